//! The notice: the operator's executable (`DEPLOYER_NOTIFY_COMMAND`) is given the result of each run.
//!
//! It is started before the run's ticket goes, and waited for after that, when nobody waits for the run any more: so
//! neither the turn nor the last line of a run waits for it. It has a deadline, past which it is ended with all that it
//! has started. What went wrong is logged; a run never fails by it. For a run that a crash has cut short it is started
//! when that is completed, and perhaps twice rather than never.

use std::io;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::event::Status;
use crate::limits::NOTICE_DEADLINE;
use crate::os::child::{Child, Command};
use crate::os::descriptor;
use crate::queue::EndPolicy;
use crate::queue::notes::Process;
use crate::queue::record::Record;
use crate::run::end::Processes;
use crate::run::interrupts::Interrupts;
use crate::run::{HumanDuration, Result};

/// A notice command at work.
pub struct Notice {
    child: Child,
    until: Instant,
    /// As a sentence begins.
    name: String,
}

/// Starts the notice of `record`, if the operator wants one. A dry run is not worth one: it has changed nothing, and who
/// started it is watching.
pub fn start(config: &Config, record: &Record) -> Option<Notice> {
    let program = config.notify.as_ref()?;
    if record.is_dry() {
        return None;
    }
    let name = format!(
        "run {}: the notice by {}",
        record.outcome.run_id,
        program.display()
    );
    let command = Command::tool(program).variables(&variables(config, record));
    let input = descriptor::memory_file(format!("{}\n", record.listed()).as_bytes());
    let started =
        input.and_then(|input| Notice::of(command.descriptor(0, input), name.clone(), NOTICE_DEADLINE));
    started
        .map_err(|error| log::warn!("{name} was not started: {error}"))
        .ok()
}

fn variables(config: &Config, record: &Record) -> Vec<(String, String)> {
    let kept = config.deploy().environment.iter();
    let kept = kept.filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME"));
    let status = match record.outcome.status {
        Status::Ok => "ok",
        Status::Fail => "fail",
    };
    let own = [
        ("DEPLOYER_RUN_ID", record.outcome.run_id.as_str()),
        ("DEPLOYER_STATUS", status),
        ("DEPLOYER_ENDPOINT", &record.endpoint),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    kept.cloned().chain(own).collect()
}

impl Notice {
    fn of(command: Command, name: String, given: Duration) -> io::Result<Self> {
        Ok(Self {
            child: command.spawn()?,
            until: Instant::now() + given,
            name,
        })
    }

    /// Waits for its end and that of all it has started, or ends them: at its deadline, or when we are asked to end. What
    /// was wrong with it, if anything: the end of a sentence.
    fn finish(&mut self, interrupts: &mut Interrupts) -> Result<Option<String>> {
        let processes = Processes {
            name: self.name.clone(),
            holder: None,
            leader: Process::of(self.child.pid()),
        };
        if processes.end_by(self.until, interrupts) == Ok(true) {
            let exit = self.child.wait()?;
            return Ok((!exit.is_success()).then(|| format!("ended with {exit}")));
        }
        processes.end(EndPolicy::Terminate, &mut Interrupts::deaf()?)?;
        self.child.wait()?;
        let given = HumanDuration(NOTICE_DEADLINE);
        Ok(Some(format!(
            "was ended: it may take {given}, and less when we are asked to end"
        )))
    }
}

/// Waits for each notice, or ends it, and logs what was wrong with it.
///
/// # Errors
/// Only those of the machine.
pub fn finish_all(notices: Vec<Notice>) -> io::Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    // Anew: what has cancelled the run is not meant for them.
    let mut interrupts = Interrupts::block()?;
    for mut notice in notices {
        match notice.finish(&mut interrupts) {
            Ok(None) => log::debug!("{} is done", notice.name),
            Ok(Some(why)) => log::warn!("{} {why}", notice.name),
            Err(failure) => log::error!("{}: {failure}", notice.name),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KILL_AFTER;
    use crate::os::process;
    use crate::queue::testing::Scratch;
    use std::path::Path;

    /// What comes of this shell text, which has `given` for it.
    fn finish(script: &str, given: Duration, interrupts: &mut Interrupts) -> Option<String> {
        let command = Command::tool(Path::new("/bin/sh")).arguments(["-c", script]);
        let command = command.variables(&[("PATH".into(), "/usr/bin:/bin".into())]);
        let mut notice = Notice::of(command, "a notice".into(), given).unwrap();
        notice.finish(interrupts).unwrap()
    }

    #[test]
    fn what_a_command_does_wrong_is_a_sentence() {
        let long = Duration::from_secs(9);
        let mut deaf = Interrupts::deaf().unwrap();
        assert_eq!(finish("exit 0", long, &mut deaf), None);
        let why = finish("exit 7", long, &mut deaf).unwrap();
        assert_eq!(why, "ended with exit status 7");
        let missing = Command::tool(Path::new("/nowhere/at-all"));
        assert!(Notice::of(missing, "a notice".into(), long).is_err());
    }

    #[test]
    fn nothing_that_a_command_has_started_outlives_its_deadline() {
        let scratch = Scratch::new("notice-late");
        let file = scratch.0.state.join("group");
        let group = file.display();
        for script in [
            "sleep 60",
            "sleep 60 & exit 0",
            "trap '' TERM; sleep 60 & exec >/dev/null 2>&1; exit 0",
        ] {
            let begun = Instant::now();
            let script = format!("echo $$ >{group}; {script}");
            let why = finish(
                &script,
                Duration::from_millis(300),
                &mut Interrupts::deaf().unwrap(),
            );
            assert!(why.as_ref().unwrap().contains("was ended"), "{script}: {why:?}");
            assert!(begun.elapsed() < KILL_AFTER + Duration::from_secs(5), "{script}");
            let group = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            assert_eq!(process::living(None, Some(group)).unwrap(), [0; 0], "{script}");
        }
    }

    #[test]
    fn a_notice_that_is_asked_to_end_does() {
        let mut interrupts = Interrupts::deaf().unwrap();
        interrupts.ask_in(Duration::ZERO);
        let begun = Instant::now();
        let why = finish("sleep 60", Duration::from_secs(60), &mut interrupts);
        assert!(why.is_some() && begun.elapsed() < Duration::from_secs(9));
    }
}
