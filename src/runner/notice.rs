//! Being told: the operator's executable (`DEPLOYER_NOTIFY_COMMAND`) is given the result of each run.
//!
//! A process of its own does it, in a session of its own, so that neither the turn nor the last line of a run waits for
//! it: [`tell`] starts that process, [`role`] is what it does. It gives the command a deadline, ends all that the
//! command has started, and logs what went wrong; a run never fails by it. A run that a crash has cut short is told of
//! when it is completed, and perhaps twice rather than never.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::Config;
use crate::event::Status;
use crate::limits::{KILL_AFTER, NOTICE_DEADLINE, RETRY};
use crate::os::child::{Child, Command, Exit};
use crate::os::poll::{self, For};
use crate::os::signal::Signal;
use crate::os::{descriptor, logging, process};
use crate::queue::record::Record;
use crate::run::HumanDuration;
use crate::run::context::CancelPolicy;
use crate::run::ending::{GroupIs, group_is};
use crate::run::interrupts::Interrupts;
use crate::run::output::{Lines, Sink, Stream};

/// What the role is started with instead of a ticket's name.
pub const TELL: &str = "--tell";

/// All that the process needs to know; it reads no settings.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    command: PathBuf,
    environment: Vec<(String, String)>,
    /// What the command reads: a line of JSON, as `/runs` lists it.
    document: String,
    log: String,
}

/// Has the operator told of `record`, if they want to be. Nothing waits for that. A dry run is not worth a word: it has
/// changed nothing, and who started it is watching.
pub fn tell(config: &Config, record: &Record) {
    let Some(command) = &config.notify else { return };
    if record.outcome.more.get("dry_run") == Some(&json!(true)) {
        return;
    }
    if let Err(error) = start(&errand(config, command, record)) {
        let id = &record.outcome.run_id;
        log::warn!("run {id}: start the notice by {}: {error}", command.display());
    }
}

fn errand(config: &Config, command: &Path, record: &Record) -> Errand {
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
    Errand {
        command: command.to_owned(),
        environment: kept.cloned().chain(own).collect(),
        document: record.listed(),
        log: config.log.clone(),
    }
}

/// Its end is nobody's business, and it lives longer than we do.
fn start(errand: &Errand) -> io::Result<()> {
    Command::role("run")
        .argument(TELL)
        .descriptor(0, descriptor::memory_file(&serde_json::to_vec(errand)?)?)
        .descriptor(1, descriptor::null()?)
        .spawn()
        .map(drop)
}

/// The role behind [`tell`]: runs the command to its end, or ends it.
///
/// # Errors
/// Only those of the machine: what the command does wrong is logged.
pub fn role() -> io::Result<()> {
    process::leave_session()?;
    let errand: Errand = serde_json::from_slice(&descriptor::take_stdin()?)?;
    logging::start("notice", &errand.log);
    let mut interrupts = Interrupts::block()?;
    match carry_out(&errand, NOTICE_DEADLINE, &mut interrupts)? {
        Told::Yes => log::debug!("{errand} is done"),
        Told::No(why) => log::warn!("{errand} {why}"),
    }
    Ok(())
}

/// As a sentence begins.
impl std::fmt::Display for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self
            .environment
            .iter()
            .find(|(name, _)| name == "DEPLOYER_RUN_ID");
        let id = id.map_or("-", |(_, id)| id.as_str());
        write!(f, "run {id}: the notice by {}", self.command.display())
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Yes,
    /// Why not: the end of a sentence.
    No(String),
}

fn carry_out(errand: &Errand, given: Duration, interrupts: &mut Interrupts) -> io::Result<Told> {
    let (mut output, writer) = Stream::new(Sink::Lines(Lines::default()))?;
    let command = Command::tool(&errand.command).variables(&errand.environment);
    let document = format!("{}\n", errand.document);
    let started = command
        .descriptor(0, descriptor::memory_file(document.as_bytes())?)
        .descriptor(2, writer.try_clone()?)
        .descriptor(1, writer)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(Told::No(format!("was not started: {error}"))),
    };
    let until = Instant::now() + given;
    let told = match attend(&mut child, &mut output, until, CancelPolicy::Cancel, interrupts)? {
        Attended::Ended(exit) if exit.is_success() => Told::Yes,
        Attended::Ended(exit) => Told::No(format!("ended with {exit}{}", last_words(&output))),
        Attended::AtWork => {
            end(&mut child, &mut output, interrupts)?;
            let (given, last) = (HumanDuration(given), last_words(&output));
            Told::No(format!(
                "was ended: it may take {given}, and less when we are asked to end{last}"
            ))
        }
    };
    Ok(told)
}

enum Attended {
    /// With all that it had started.
    Ended(Exit),
    /// The time is up, or somebody asked us to end.
    AtWork,
}

/// Waits until the command and its whole group are gone.
fn attend(
    child: &mut Child,
    output: &mut Stream,
    until: Instant,
    cancel: CancelPolicy,
    interrupts: &mut Interrupts,
) -> io::Result<Attended> {
    loop {
        let asked = interrupts.asked();
        let exit = child.try_wait()?;
        output.read(&mut |line| log::debug!("the notice says: {line}"));
        if let (Some(exit), GroupIs::Empty) = (exit, group_is(child.pid())) {
            return Ok(Attended::Ended(exit));
        }
        let now = Instant::now();
        if now >= until || (asked && cancel == CancelPolicy::Cancel) {
            return Ok(Attended::AtWork);
        }
        let signals = interrupts.as_fd();
        let printed = output.descriptor().unwrap_or(signals);
        poll::wait(
            [(signals, For::Reading), (printed, For::Reading)],
            Some(until.min(now + RETRY)),
        )?;
    }
}

/// Ends the command and all that it has started.
fn end(child: &mut Child, output: &mut Stream, interrupts: &mut Interrupts) -> io::Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        child.signal_group(signal);
        let until = Instant::now() + KILL_AFTER;
        if let Attended::Ended(_) = attend(child, output, until, CancelPolicy::Never, interrupts)? {
            return Ok(());
        }
    }
    log::error!("the group {} does not end, although killed", child.pid());
    Ok(())
}

fn last_words(output: &Stream) -> String {
    let Sink::Lines(lines) = &output.sink else {
        return String::new();
    };
    lines
        .tail()
        .pop()
        .map(|line| format!(": {line}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::process::{Kin, living};
    use crate::queue::folder::testing::Scratch;

    /// What comes of this shell text, which has `given` for it.
    fn told(script: &str, given: Duration, interrupts: &mut Interrupts) -> Told {
        let errand = Errand {
            command: "/bin/sh".into(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            document: script.to_owned(),
            log: "off".into(),
        };
        carry_out(&errand, given, interrupts).unwrap()
    }

    #[test]
    fn what_a_command_does_wrong_is_a_sentence() {
        let long = Duration::from_secs(9);
        let mut deaf = Interrupts::deaf();
        assert_eq!(told("exit 0", long, &mut deaf), Told::Yes);
        let why = told("echo first; echo no route >&2; exit 7", long, &mut deaf);
        assert_eq!(why, Told::No("ended with exit status 7: no route".into()));
        let missing = Errand {
            command: "/nowhere/at-all".into(),
            environment: Vec::new(),
            document: String::new(),
            log: "off".into(),
        };
        let why = carry_out(&missing, long, &mut deaf).unwrap();
        assert!(
            matches!(&why, Told::No(why) if why.starts_with("was not started: ")),
            "{why:?}"
        );
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
            let why = told(&script, Duration::from_millis(300), &mut Interrupts::deaf());
            assert!(
                matches!(&why, Told::No(why) if why.contains("was ended")),
                "{script}: {why:?}"
            );
            assert!(begun.elapsed() < KILL_AFTER + Duration::from_secs(5), "{script}");
            let group = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            assert_eq!(living(Kin::Group(group)).unwrap(), [0; 0], "{script}");
        }
    }

    #[test]
    fn a_notice_that_is_asked_to_end_does() {
        let mut interrupts = Interrupts::deaf();
        interrupts.task();
        let begun = Instant::now();
        let told = told("sleep 60", Duration::from_secs(60), &mut interrupts);
        assert!(matches!(told, Told::No(_)) && begun.elapsed() < Duration::from_secs(9));
    }
}
