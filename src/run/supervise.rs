//! Running a tool from its start to its end: what it prints is read and said, and it is ended as its policy says.
//!
//! Every tool stands in the ticket before it is started and until it is gone, so that whoever completes this run after a
//! crash knows what may still be at work. It is reaped last: as long as it is not, its process id, which names its group,
//! is not given to another process.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failpoint;
use crate::limits::{KILL_AFTER, STILL_WAITING_EVERY};
use crate::os::child::Exit;
use crate::os::poll::{self, For};
use crate::os::process;
use crate::os::signal::Signal;
use crate::queue::{EndPolicy, Urgency};
use crate::run::context::{CancelEnds, Deadline};
use crate::run::end::{attempts, not_ended};
use crate::run::tool::{Ended, Output, Running, Tool};
use crate::run::{Failure, HumanDuration, Result, RunContext};

/// Receives each line of a tool and returns what to say of it, if anything.
pub type OnLine<'a> = dyn FnMut(&str) -> Option<String> + 'a;

impl RunContext<'_> {
    /// Runs `tool` to its end. Each line it prints, on either stream and in the order of arrival, is offered to
    /// `on_line`; what that returns is said in the step's phase. Lines come made harmless and bounded; a carriage
    /// return ends a line too, as progress bars use it.
    ///
    /// # Errors
    /// [`Failure::Failed`] when it could not be started, [`Failure::Cancelled`] and [`Failure::Deadline`] when it was
    /// ended; an exit status is never an error here.
    pub fn tool(&mut self, tool: &Tool, on_line: &mut OnLine) -> Result<Ended> {
        let path = self.folder.output();
        let output = match tool.end_policy.interrupts() {
            // It may not die of a broken pipe when we die.
            true => Output::File(&path),
            false => Output::Pipe,
        };
        let ended = self.supervise(tool, output, on_line);
        // All of it is in the log by now.
        let _ = self.folder.clear_output();
        ended
    }

    /// Runs a tool whose standard output goes into the new file `path`; its other lines are offered to `on_line`.
    ///
    /// # Errors
    /// As [`RunContext::tool`].
    pub fn write_out(&mut self, tool: &Tool, path: &Path, on_line: &mut OnLine) -> Result<Ended> {
        self.supervise(tool, Output::NewFile(path), on_line)
    }

    /// Runs a quiet tool for its standard output, of which it may print `most` bytes.
    ///
    /// # Errors
    /// As [`RunContext::tool`]; and [`Failure::Failed`] when it prints more.
    pub fn capture(&mut self, tool: &Tool, most: usize) -> Result<Ended> {
        self.supervise(tool, Output::Captured(most), &mut |_| None)
    }

    /// Like [`RunContext::tool`] for a tool that may take as long as the run as long as it gets on. `gets_on` is asked
    /// whenever `every` has passed without a line; when it says no, the tool is ended.
    ///
    /// # Errors
    /// As [`RunContext::tool`]; and [`Failure::Failed`] when it did not get on.
    pub fn tool_while(
        &mut self,
        tool: &Tool,
        on_line: &mut OnLine,
        every: Duration,
        gets_on: &mut dyn FnMut(&mut Self) -> bool,
    ) -> Result<Ended> {
        let (mut running, deadline) = self.start(tool, Output::Pipe, on_line)?;
        let waited = loop {
            running.has_spoken = false;
            let until = deadline.until.min(Instant::now() + every);
            let waited = self.follow(&mut running, until, self.ended_by());
            if !matches!(waited, Ok(None)) || until == deadline.until {
                break waited;
            }
            if !running.has_spoken && !gets_on(self) {
                let (name, every) = (tool.name(), HumanDuration(every));
                break Err(format!("{name} has not got on for {every}").into());
            }
        };
        self.finish(running, waited, &deadline)
    }

    fn supervise(&mut self, tool: &Tool, output: Output, on_line: &mut OnLine) -> Result<Ended> {
        let (mut running, deadline) = self.start(tool, output, on_line)?;
        let waited = match tool.end_policy {
            EndPolicy::WaitOut => self.wait_out(&mut running),
            EndPolicy::Terminate => self.follow(&mut running, deadline.until, self.ended_by()),
            // Even while it changes something: that is what its one INT is for.
            _ => self.follow(&mut running, deadline.until, Some(Urgency::Gentle)),
        };
        self.finish(running, waited, &deadline)
    }

    fn start<'t>(
        &mut self,
        tool: &'t Tool,
        output: Output,
        on_line: &'t mut OnLine,
    ) -> Result<(Running<'t>, Deadline)> {
        self.check(CancelEnds::Everything)?;
        let program = tool.file_name();
        self.ticket.starting(&program, tool.end_policy)?;
        let started = tool.start(output, on_line);
        let pid = started.as_ref().ok().map(|running| running.child.pid());
        match pid {
            Some(pid) => self.ticket.started(pid)?,
            None => self.ticket.ended(None)?,
        }
        if program == "update_container" {
            failpoint!("script-at-work");
        }
        Ok((started?, self.deadline.or(&tool.name(), tool.deadline)))
    }

    /// Makes an end of a tool that was waited for: by itself, or as its policy says.
    fn finish(
        &mut self,
        mut running: Running,
        waited: Result<Option<Exit>>,
        deadline: &Deadline,
    ) -> Result<Ended> {
        let policy = running.tool.end_policy;
        let why = match waited {
            Ok(None) => deadline.passed(),
            Ok(Some(exit)) => {
                // Terraform leaves the programs that a configuration starts.
                if policy.interrupts() {
                    end_group(&running, Instant::now())?;
                }
                self.forget(&mut running);
                return running.ended(exit);
            }
            Err(Failure::Cancelled) if policy == EndPolicy::WaitOut => {
                let name = running.tool.name();
                format!("{name} was ended by force: whether it was done is not known").into()
            }
            Err(failure) => failure,
        };
        self.end(&mut running)?;
        Err(why)
    }

    /// Waits for a call that was handed to dockerd, which does it whatever becomes of the client. No time is up before it
    /// is known to be done or not.
    fn wait_out(&mut self, running: &mut Running) -> Result<Option<Exit>> {
        let begun = Instant::now();
        let mut until = begun + running.tool.deadline;
        loop {
            let waited = self.follow(running, until, Some(Urgency::Force))?;
            if waited.is_some() {
                return Ok(waited);
            }
            let (name, so_far) = (running.tool.name(), HumanDuration::since(begun));
            self.tell(format!("still waiting for {name} ({so_far})"));
            until = Instant::now() + STILL_WAITING_EVERY;
        }
    }

    /// Reads what the tool prints until it ends, `until` has come, or the run is asked to end with that urgency.
    fn follow(
        &mut self,
        running: &mut Running,
        until: Instant,
        ended_by: Option<Urgency>,
    ) -> Result<Option<Exit>> {
        loop {
            // In this order. Its end may be the signal that is read here, so it is asked for after that; and what it
            // printed before its end is in the pipes by the time they are read.
            let asked = self.interrupts.asked();
            let exit = running.child.peek()?;
            running.read(exit.is_some(), &mut |text| {
                self.log.relay(self.phase, text);
            });
            self.log.flush();
            if exit.is_some() {
                return Ok(exit);
            }
            let is_ended = match ended_by {
                Some(Urgency::Gentle) => asked,
                Some(Urgency::Force) => self.interrupts.take_force(),
                None => false,
            };
            if is_ended {
                return Err(Failure::Cancelled);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            // A child's end is a signal; where that is not heard, the timer sees it.
            let until = until.min(now + running.retry());
            let idle = self.interrupts.as_fd();
            let [output, errors] = running.descriptors(idle);
            poll::wait([idle, output, errors].map(|one| (one, For::Reading)), Some(until))?;
        }
    }

    /// What ends a tool now.
    fn ended_by(&self) -> Option<Urgency> {
        (!self.has_changed()).then_some(Urgency::Gentle)
    }

    /// Ends a tool of ours with all of its group, one attempt after the other.
    fn end(&mut self, running: &mut Running) -> Result {
        for attempt in attempts(running.tool.end_policy) {
            if !attempt.announcement.is_empty() {
                self.tell(attempt.announcement.replace("NAME", &running.tool.name()));
            }
            let until = Instant::now() + attempt.patience;
            let (ended_by, rest_until) = match attempt.to_group {
                true => {
                    running.child.signal_group(attempt.signal);
                    (None, until)
                }
                false => {
                    running.child.signal(attempt.signal);
                    (Some(Urgency::Force), Instant::now())
                }
            };
            if let Ok(Some(_)) = self.follow(running, until, ended_by) {
                end_group(running, rest_until)?;
                self.forget(running);
                return Ok(());
            }
        }
        Err(not_ended(&running.tool.name()))
    }

    /// Reaps it, and takes it from the ticket.
    fn forget(&mut self, running: &mut Running) {
        let _ = running.child.try_wait();
        if let Err(error) = self.ticket.ended(Some(running.child.pid())) {
            log::warn!("run {}: {error}", self.run_id());
        }
    }
}

/// Kills what a tool that has ended has left in its group and is still there at `until`.
fn end_group(running: &Running, until: Instant) -> Result {
    if is_group_gone_by(running, until)? {
        return Ok(());
    }
    running.child.signal_group(Signal::SIGKILL);
    match is_group_gone_by(running, Instant::now() + KILL_AFTER)? {
        true => Ok(()),
        false => Err(not_ended(&running.tool.name())),
    }
}

fn is_group_gone_by(running: &Running, until: Instant) -> Result<bool> {
    let group = Some(running.child.pid());
    while !process::living(None, group)?.is_empty() {
        if Instant::now() >= until {
            return Ok(false);
        }
        let soon = until.min(Instant::now() + Duration::from_millis(10));
        poll::wait([], Some(soon))?;
    }
    Ok(true)
}
