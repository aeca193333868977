//! Running a tool from its start to its end: what it prints is read and said, and it is ended as its policy says.
//!
//! Every tool stands in the ticket before it is started and until it is gone, so that whoever completes this run after a
//! crash knows what may still be at work. It is reaped last: as long as it is not, its process id, which names its group,
//! is not given to another process.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::failpoint;
use crate::limits::{KILL_AFTER, STILL_WAITING_EVERY};
use crate::os::child::Exit;
use crate::os::poll::{self, For};
use crate::os::process::{self, ProcessSet};
use crate::os::signal::Signal;
use crate::queue::EndPolicy;
use crate::queue::notes::ToolAtWork;
use crate::run::context::{CancelEnds, Deadline, broken_wait};
use crate::run::end::{Target, attempts};
use crate::run::tool::{Captured, Ended, Output, Running, Tool};
use crate::run::{Failure, HumanDuration, RunContext};

/// Receives each line of a tool and returns what to say of it, if anything.
pub type OnLine<'a> = dyn FnMut(&str) -> Option<String> + 'a;

/// Why waiting for a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Ended(Exit),
    TimeIsUp,
    Cancelled,
}

/// What ends waiting for a tool, besides its own end and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    Cancel,
    /// `cancel --force`, each once.
    Force,
    Nothing,
}

impl RunContext<'_> {
    /// Runs `tool` to its end. Each line it prints, on either stream and in the order of arrival, is offered to
    /// `on_line`; what that returns is said in the step's phase. Lines come made harmless and bounded; a carriage
    /// return ends a line too, as progress bars use it.
    ///
    /// # Errors
    /// [`Failure::Failed`] when it could not be started, [`Failure::Cancelled`] and [`Failure::Deadline`] when it was
    /// ended; an exit status is never an error here.
    pub fn tool(&mut self, tool: &Tool, on_line: &mut OnLine<'_>) -> Result<Ended, Failure> {
        let path = self.folder.output();
        let output = match tool.end_policy {
            // Neither may die of a broken pipe when we die.
            EndPolicy::Interrupt | EndPolicy::InterruptThenTerminate => Output::File(&path),
            EndPolicy::Terminate | EndPolicy::WaitOut => Output::Pipe,
        };
        let ended = self.supervise(tool, output, on_line);
        // All of it is in the log by now.
        let _ = self.folder.clear_output();
        ended.map(|(running, exit)| running.ended(exit))
    }

    /// Runs a tool whose standard output goes into the new file `path`; its other lines are offered to `on_line`.
    ///
    /// # Errors
    /// As [`RunContext::tool`].
    pub fn write_out(
        &mut self,
        tool: &Tool,
        path: &Path,
        on_line: &mut OnLine<'_>,
    ) -> Result<Ended, Failure> {
        let ended = self.supervise(tool, Output::NewFile(path), on_line);
        ended.map(|(running, exit)| running.ended(exit))
    }

    /// Runs a quiet tool and returns its standard output, at most `most` bytes of it.
    ///
    /// # Errors
    /// As [`RunContext::tool`]; and [`Failure::Failed`] when it prints more.
    pub fn capture(&mut self, tool: &Tool, most: usize) -> Result<Captured, Failure> {
        let (running, exit) = self.supervise(tool, Output::Captured { most }, &mut |_| None)?;
        running.captured(exit)
    }

    /// Like [`RunContext::tool`] for a tool that may take as long as the run as long as it gets on. `gets_on` is asked
    /// whenever `every` has passed without a line; when it says no, the tool is ended.
    ///
    /// # Errors
    /// As [`RunContext::tool`]; and [`Failure::Failed`] when it did not get on.
    pub fn tool_while(
        &mut self,
        tool: &Tool,
        on_line: &mut OnLine<'_>,
        every: Duration,
        gets_on: &mut dyn FnMut(&mut Self) -> bool,
    ) -> Result<Ended, Failure> {
        let mut running = self.start(tool, Output::Pipe)?;
        let deadline = self.deadline.or(running.name.clone(), tool.deadline);
        let waited = loop {
            let mut heard = false;
            let mut listen = |line: &str| {
                heard = true;
                on_line(line)
            };
            let until = deadline.until.min(Instant::now() + every);
            let waited = self.follow(&mut running, until, self.ended_by(), &mut listen);
            if !matches!(waited, Ok(Waited::TimeIsUp)) || Instant::now() >= deadline.until {
                break waited;
            }
            if !heard && !gets_on(self) {
                break Err(Failure::Failed(format!(
                    "{} has not got on for {}",
                    running.name,
                    HumanDuration(every)
                )));
            }
        };
        let exit = self.finish(&mut running, tool.end_policy, waited, &deadline, on_line)?;
        Ok(running.ended(exit))
    }
}

impl RunContext<'_> {
    fn supervise(
        &mut self,
        tool: &Tool,
        output: Output<'_>,
        on_line: &mut OnLine<'_>,
    ) -> Result<(Running, Exit), Failure> {
        let mut running = self.start(tool, output)?;
        let deadline = self.deadline.or(running.name.clone(), tool.deadline);
        let waited = match tool.end_policy {
            EndPolicy::WaitOut => self.wait_out(&mut running, tool.deadline, on_line),
            // Even while it changes something: that is what its one INT is for.
            EndPolicy::Interrupt | EndPolicy::InterruptThenTerminate => {
                self.follow(&mut running, deadline.until, EndedBy::Cancel, on_line)
            }
            EndPolicy::Terminate => self.follow(&mut running, deadline.until, self.ended_by(), on_line),
        };
        let exit = self.finish(&mut running, tool.end_policy, waited, &deadline, on_line)?;
        Ok((running, exit))
    }

    fn start(&mut self, tool: &Tool, output: Output<'_>) -> Result<Running, Failure> {
        self.check(CancelEnds::Everything)?;
        let program = tool.program.file_name().unwrap_or_default();
        let at_work = ToolAtWork {
            program: program.to_string_lossy().into_owned(),
            end_policy: tool.end_policy,
            started: None,
        };
        let unwritten = |error| Failure::Failed(format!("write the ticket: {error}"));
        self.ticket.starting(at_work).map_err(unwritten)?;
        match tool.start(output) {
            Ok(running) => {
                self.ticket.started(running.child.pid()).map_err(unwritten)?;
                if program == "update_container" {
                    failpoint!("script-at-work");
                }
                Ok(running)
            }
            Err(failure) => {
                self.ticket.ended(None).map_err(unwritten)?;
                Err(failure)
            }
        }
    }

    /// Makes an end of a tool that was waited for: by itself, or as its policy says.
    fn finish(
        &mut self,
        running: &mut Running,
        policy: EndPolicy,
        waited: Result<Waited, Failure>,
        deadline: &Deadline,
        on_line: &mut OnLine<'_>,
    ) -> Result<Exit, Failure> {
        let why = match waited {
            Ok(Waited::Ended(exit)) => {
                // Terraform leaves the programs that a configuration starts.
                if let EndPolicy::Interrupt | EndPolicy::InterruptThenTerminate = policy {
                    self.kill_group(running)?;
                }
                self.forget(running);
                return Ok(exit);
            }
            Ok(Waited::TimeIsUp) => deadline.passed(),
            Ok(Waited::Cancelled) if policy == EndPolicy::WaitOut => Failure::Failed(format!(
                "{} was ended by force: whether it was done is not known",
                running.name
            )),
            Ok(Waited::Cancelled) => Failure::Cancelled,
            Err(failure) => failure,
        };
        match self.end(running, policy, on_line) {
            Ok(()) => Err(why),
            Err(worse) => Err(worse),
        }
    }

    /// Waits for a call that was handed to dockerd, which does it whatever becomes of the client. No time is up before it
    /// is known to be done or not.
    fn wait_out(
        &mut self,
        running: &mut Running,
        usual: Duration,
        on_line: &mut OnLine<'_>,
    ) -> Result<Waited, Failure> {
        let begun = Instant::now();
        let mut until = begun + usual;
        loop {
            match self.follow(running, until, EndedBy::Force, on_line)? {
                Waited::TimeIsUp => {}
                ended => return Ok(ended),
            }
            let so_far = HumanDuration(Duration::from_secs(begun.elapsed().as_secs()));
            self.say(
                self.phase,
                &format!("still waiting for {} ({so_far})", running.name),
            );
            until = Instant::now() + STILL_WAITING_EVERY;
        }
    }

    /// Reads what the tool prints until it ends, `until` comes, or the run is asked to end.
    fn follow(
        &mut self,
        running: &mut Running,
        until: Instant,
        ended_by: EndedBy,
        on_line: &mut OnLine<'_>,
    ) -> Result<Waited, Failure> {
        loop {
            // In this order. Its end may be the signal that is read here, so it is asked for after that; and what it
            // printed before its end is in the pipes by the time they are read.
            let asked = self.interrupts.asked();
            let exit = running.child.peek().map_err(broken_wait)?;
            self.read(running, exit, on_line);
            if let Some(exit) = exit {
                return Ok(Waited::Ended(exit));
            }
            let is_ended = match ended_by {
                EndedBy::Cancel => asked,
                EndedBy::Force => self.interrupts.take_force(),
                EndedBy::Nothing => false,
            };
            if is_ended {
                return Ok(Waited::Cancelled);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(Waited::TimeIsUp);
            }
            self.wait_for_output(running, until.min(now + running.retry()))?;
        }
    }

    /// Says what the tool has printed by now; all of it when it has ended.
    fn read(&mut self, running: &mut Running, exit: Option<Exit>, on_line: &mut OnLine<'_>) {
        let (log, phase) = (&mut self.log, self.phase);
        let mut each = |line: &str| {
            if let Some(text) = on_line(line) {
                log.relay(phase, &text, SystemTime::now());
            }
        };
        match exit {
            Some(_) => running.read_rest(&mut each),
            None => running.read(&mut each),
        }
        log.flush();
    }

    /// A child's end is a signal; where that is not heard, the timer sees it.
    fn wait_for_output(&mut self, running: &Running, until: Instant) -> Result<(), Failure> {
        let idle = self.interrupts.as_fd();
        let [output, errors] = running.descriptors(idle);
        let sources = [
            (idle, For::Reading),
            (output, For::Reading),
            (errors, For::Reading),
        ];
        poll::wait(sources, Some(until)).map(drop).map_err(broken_wait)
    }

    /// Whether a cancellation ends a tool now.
    fn ended_by(&self) -> EndedBy {
        match self.has_changed() {
            false => EndedBy::Cancel,
            true => EndedBy::Nothing,
        }
    }
}

/// Ending a tool of ours.
impl RunContext<'_> {
    /// Ends a tool with all of its group, one attempt after the other.
    fn end(
        &mut self,
        running: &mut Running,
        policy: EndPolicy,
        on_line: &mut OnLine<'_>,
    ) -> Result<(), Failure> {
        for attempt in attempts(policy) {
            if !attempt.announcement.is_empty() {
                let text = attempt.announcement.replace("NAME", &running.name);
                self.say(self.phase, &text);
            }
            match attempt.target {
                Target::Tool => running.child.signal(attempt.signal),
                Target::Group => running.child.signal_group(attempt.signal),
            }
            let (until, ended_by) = match (attempt.target, attempt.patience) {
                (_, None) => (Instant::now() + Duration::from_secs(365 * 86_400), EndedBy::Force),
                (Target::Tool, Some(patience)) => (Instant::now() + patience, EndedBy::Force),
                (Target::Group, Some(patience)) => (Instant::now() + patience, EndedBy::Nothing),
            };
            let Waited::Ended(_) = self.follow(running, until, ended_by, on_line)? else {
                continue;
            };
            let is_gone = match attempt.target {
                Target::Tool => self.kill_group(running).map(|()| true)?,
                Target::Group => self.is_group_gone_by(running, until)?,
            };
            if is_gone {
                self.forget(running);
                return Ok(());
            }
        }
        Err(not_ending(running))
    }

    /// Kills what a tool that has ended has left in its group.
    fn kill_group(&mut self, running: &Running) -> Result<(), Failure> {
        if self.is_group_gone_by(running, Instant::now())? {
            return Ok(());
        }
        running.child.signal_group(Signal::SIGKILL);
        match self.is_group_gone_by(running, Instant::now() + KILL_AFTER)? {
            true => Ok(()),
            false => Err(not_ending(running)),
        }
    }

    fn is_group_gone_by(&self, running: &Running, until: Instant) -> Result<bool, Failure> {
        let group = ProcessSet::Group(running.child.pid());
        while !process::living(group).map_err(broken_wait)?.is_empty() {
            if Instant::now() >= until {
                return Ok(false);
            }
            let soon = until.min(Instant::now() + Duration::from_millis(10));
            poll::wait([], Some(soon)).map_err(broken_wait)?;
        }
        Ok(true)
    }

    /// Reaps it, and takes it from the ticket.
    fn forget(&mut self, running: &mut Running) {
        let _ = running.child.try_wait();
        if let Err(error) = self.ticket.ended(Some(running.child.pid())) {
            log::warn!("run {}: write the ticket: {error}", self.run_id());
        }
    }
}

fn not_ending(running: &Running) -> Failure {
    Failure::Failed(format!("{} does not end, although killed", running.name))
}
