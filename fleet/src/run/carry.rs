//! `run ID`: begins the run, or completes one that was killed. Doing it twice changes nothing more.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::tool::Watched;
use super::{Facts, Journal, Order, RunFolder, Runs, Tool, flake, judge};
use crate::limits::{ACTIVATION_WAIT, MESSAGE_BYTES};
use crate::os::process::{Signals, started_at, with_plain_signals};
use crate::os::{clock, failpoint, files, log};
use crate::wire::names::is_commit;
use crate::wire::{Action, Last, RunId, Status, tail};

pub fn carry(state: &Path, id: &RunId) -> io::Result<()> {
    // A session of its own: the listener's end, and that of a terminal, are not ours.
    nix::unistd::setsid().ok();
    let signals = Signals::of(&[Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    let runs = Runs::of(state);
    let folder = runs.open(id);
    let turn = runs.turn()?;
    // The kernel frees it when its holder dies; what waits for longer than its time is not begun.
    turn.lock()?;
    if folder.result()?.is_some() {
        return Ok(());
    }
    let order = folder.order()?.ok_or_else(|| io::Error::other(format!("there is no run {id}")))?;
    failpoint::hit("run-begins");
    let result = Run { folder: &folder, order: &order, signals: &signals }.complete()?;
    failpoint::hit("run-before-result");
    record(&folder, &result)?;
    failpoint::hit("run-after-result");
    Ok(())
}

/// A full disk must not take the result: the log makes room.
fn record(folder: &RunFolder, result: &Last) -> io::Result<()> {
    let mut tries = 0;
    while let Err(why) = folder.write_result(result) {
        log::line(&format!("the result of {} cannot be written: {why}", folder.id));
        folder.log().and_then(|log| log.set_len(0)).ok();
        tries += 1;
        if tries == 10 {
            return Err(why);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

struct Run<'a> {
    folder: &'a RunFolder,
    order: &'a Order,
    signals: &'a Signals,
}

impl Run<'_> {
    fn complete(&self) -> io::Result<Last> {
        let (journal, tool) = match self.folder.journal()? {
            None if clock::now() >= self.order.limit => (self.new_journal(), Tool::NotStarted),
            None => self.begin()?,
            // Its tool may go on without the run that was killed.
            Some(journal) => {
                self.folder.say("the run was killed, and is completed")?;
                let lives = journal.process.filter(|(pid, start)| started_at(*pid) == Some(*start));
                let tool = self.watch(&journal, None, lives.map(|(pid, _)| pid))?;
                (journal, tool)
            }
        };
        // The unit of an activation outlives nixos-rebuild where that was killed. One that stays is no longer waited for.
        let until = Instant::now() + ACTIVATION_WAIT;
        while self.order.places.activates() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(self.result(&journal, tool))
    }

    fn new_journal(&self) -> Journal {
        Journal { before: self.order.places.links(), process: None }
    }

    fn reference(&self) -> (String, bool) {
        let request = &self.order.request;
        flake::reference(&self.order.flake_url, &request.revision, request.branch.as_ref())
    }

    fn begin(&self) -> io::Result<(Journal, Tool)> {
        let mut journal = self.new_journal();
        self.folder.write_journal(&journal)?;
        failpoint::hit("run-before-tool");
        let (reference, refresh) = self.reference();
        let mut arguments = vec![self.order.request.action.to_string()];
        arguments.extend(flake::arguments(&reference, &self.order.hostname, refresh));
        self.folder.say(&format!("nixos-rebuild {}", arguments.join(" ")))?;
        let lock = self.folder.tool_lock()?;
        lock.lock()?;
        let child = match self.start(&self.order.nixos_rebuild, &arguments, lock.into(), self.folder.log()?) {
            Ok(child) => child,
            Err(why) => {
                self.folder.say(&why.to_string())?;
                return Ok((journal, Tool::Exited(127)));
            }
        };
        let pid = child.id() as i32;
        journal.process = started_at(pid).map(|start| (pid, start));
        self.folder.write_journal(&journal)?;
        failpoint::hit("run-after-tool");
        let tool = self.watch(&journal, Some(child), Some(pid))?;
        Ok((journal, tool))
    }

    /// Starts a program with exactly these words and variables, in a group of its own.
    fn start(&self, program: &Path, arguments: &[String], input: Stdio, output: File) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.order.environment).current_dir("/").process_group(0);
        command.stdin(input).stdout(output).stderr(self.folder.log()?);
        let named = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", program.display()));
        with_plain_signals(|| command.spawn()).map_err(named)
    }

    fn watch(&self, journal: &Journal, child: Option<Child>, group: Option<i32>) -> io::Result<Tool> {
        let rest = Duration::from_millis(self.order.limit.since(clock::now()));
        let watched = Watched {
            child,
            group,
            lock: self.folder.tool_lock()?,
            log: self.folder.log()?,
            signals: self.signals,
            limit: Instant::now() + rest,
        };
        let places = &self.order.places;
        watched.wait(|| places.activates() || places.links() != journal.before)
    }

    fn result(&self, journal: &Journal, tool: Tool) -> Last {
        let after = self.order.places.links();
        let output = files::read_end(&self.folder.log_path(), 64 * 1024).unwrap_or_default();
        let request = &self.order.request;
        let facts = Facts { action: request.action, tool, before: &journal.before, after: &after, output: &output };
        let (status, error, mut message) = judge(&facts);
        let revision = self.commit(status, after.installed.as_deref());
        if status == Status::Completed {
            if let Some(commit) = &revision {
                message.push_str(&format!("; commit {commit}"));
            }
            let system = after.active.as_ref().filter(|_| request.action == Action::Test);
            if system.or(after.installed.as_ref()).is_some_and(|system| self.order.places.needs_reboot(system)) {
                message.push_str("; reboot needed");
            }
        } else {
            message.push_str(&format!("\n{}", tail(&output, MESSAGE_BYTES - message.len().min(1_000) - 1)));
        }
        let error = error.map(|code| code.to_string());
        Last { id: request.id.clone(), status, error, revision, finished_at: clock::now(), message }
    }

    /// The commit that was built: what was asked for where that is one, else what nix has fetched for the name just now.
    fn commit(&self, status: Status, installed: Option<&Path>) -> Option<String> {
        let revision = &self.order.request.revision;
        if revision.is_commit() {
            return Some(revision.as_str().to_owned());
        }
        if status != Status::Completed {
            return None;
        }
        let words = ["--extra-experimental-features", "nix-command flakes", "flake", "metadata", "--json"];
        let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).chain([self.reference().0]).collect();
        let metadata = self.ask(&self.order.nix, &arguments).and_then(|text| serde_json::from_str(&text).ok());
        let of = |value: &serde_json::Value| {
            let found = value.get("revision").or_else(|| value.get("locked")?.get("rev"))?;
            found.as_str().filter(|text| is_commit(text)).map(str::to_owned)
        };
        metadata.as_ref().and_then(of).or_else(|| {
            let version: PathBuf = installed?.join("sw/bin/nixos-version");
            let text = self.ask(&version, &["--configuration-revision".to_owned()])?;
            Some(text.trim().to_owned()).filter(|text| is_commit(text))
        })
    }

    /// What a program prints, within half a minute.
    fn ask(&self, program: &Path, arguments: &[String]) -> Option<String> {
        let path = self.folder.path.join("asked");
        let output = File::create(&path).ok()?;
        let child = self.start(program, arguments, Stdio::null(), output).ok()?;
        let group = Some(child.id() as i32);
        let watched = Watched {
            child: Some(child),
            group,
            // A file of its own that nobody holds: it is free at once.
            lock: File::create(self.folder.path.join("asked.lock")).ok()?,
            log: self.folder.log().ok()?,
            signals: self.signals,
            limit: Instant::now() + Duration::from_secs(30),
        };
        let end = watched.wait(|| false).ok()?;
        let text = files::read(&path, 1024 * 1024).ok()??;
        std::fs::remove_file(&path).ok();
        if end != Tool::Exited(0) {
            log::debug(&format!("{} ended: {end:?}", program.display()));
            return None;
        }
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}
