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
use crate::os::process;
use crate::os::signal::Signal;
use crate::queue::{EndPolicy, Urgency};
use crate::run::context::{CancelEnds, Deadline};
use crate::run::end::attempts;
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
    pub fn tool(&mut self, tool: &Tool, on_line: &mut OnLine<'_>) -> Result<Ended> {
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
    pub fn write_out(&mut self, tool: &Tool, path: &Path, on_line: &mut OnLine<'_>) -> Result<Ended> {
        self.supervise(tool, Output::NewFile(path), on_line)
    }

    /// Runs a quiet tool for its standard output, of which it may print `most` bytes.
    ///
    /// # Errors
    /// As [`RunContext::tool`]; and [`Failure::Failed`] when it prints more.
    pub fn capture(&mut self, tool: &Tool, most: usize) -> Result<Ended> {
        self.supervise(tool, Output::Captured { most }, &mut |_| None)
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
    ) -> Result<Ended> {
        let (mut running, deadline) = self.start(tool, Output::Pipe)?;
        let waited = loop {
            let mut heard = false;
            let mut listen = |line: &str| {
                heard = true;
                on_line(line)
            };
            let waited = self.follow(
                &mut running,
                &deadline.or("", every),
                self.ended_by(),
                &mut listen,
            );
            if !matches!(waited, Err(Failure::Deadline { .. })) {
                break waited;
            }
            if let Err(late) = deadline.check() {
                break Err(late);
            }
            if !heard && !gets_on(self) {
                let (name, every) = (&running.name, HumanDuration(every));
                break Err(Failure::Failed(format!("{name} has not got on for {every}")));
            }
        };
        self.finish(running, tool.end_policy, waited, on_line)
    }

    fn supervise(&mut self, tool: &Tool, output: Output<'_>, on_line: &mut OnLine<'_>) -> Result<Ended> {
        let (mut running, deadline) = self.start(tool, output)?;
        let waited = match tool.end_policy {
            EndPolicy::WaitOut => self.wait_out(&mut running, tool.deadline, on_line),
            EndPolicy::Terminate => self.follow(&mut running, &deadline, self.ended_by(), on_line),
            // Even while it changes something: that is what its one INT is for.
            EndPolicy::Interrupt | EndPolicy::InterruptThenTerminate => {
                self.follow(&mut running, &deadline, Some(Urgency::Gentle), on_line)
            }
        };
        self.finish(running, tool.end_policy, waited, on_line)
    }

    fn start(&mut self, tool: &Tool, output: Output<'_>) -> Result<(Running, Deadline)> {
        self.check(CancelEnds::Everything)?;
        let program = tool.file_name();
        self.ticket.starting(&program, tool.end_policy)?;
        let started = tool.start(output);
        let running = match started {
            Ok(running) => running,
            Err(failure) => {
                self.ticket.ended(None)?;
                return Err(failure);
            }
        };
        self.ticket.started(running.child.pid())?;
        if program == "update_container" {
            failpoint!("script-at-work");
        }
        let deadline = self.deadline.or(&running.name, tool.deadline);
        Ok((running, deadline))
    }

    /// Makes an end of a tool that was waited for: by itself, or as its policy says.
    fn finish(
        &mut self,
        mut running: Running,
        policy: EndPolicy,
        waited: Result<Exit>,
        on_line: &mut OnLine<'_>,
    ) -> Result<Ended> {
        let why = match waited {
            Ok(exit) => {
                // Terraform leaves the programs that a configuration starts.
                if policy.interrupts() {
                    end_group(&running, Instant::now())?;
                }
                self.forget(&mut running);
                return running.ended(exit);
            }
            Err(Failure::Cancelled) if policy == EndPolicy::WaitOut => Failure::Failed(format!(
                "{} was ended by force: whether it was done is not known",
                running.name
            )),
            Err(failure) => failure,
        };
        self.end(&mut running, policy, on_line)?;
        Err(why)
    }

    /// Waits for a call that was handed to dockerd, which does it whatever becomes of the client. No time is up before it
    /// is known to be done or not.
    fn wait_out(&mut self, running: &mut Running, usual: Duration, on_line: &mut OnLine<'_>) -> Result<Exit> {
        let begun = Instant::now();
        let mut given = usual;
        loop {
            let waited = self.follow(running, &Deadline::new("", given), Some(Urgency::Force), on_line);
            if !matches!(waited, Err(Failure::Deadline { .. })) {
                return waited;
            }
            let so_far = HumanDuration::since(begun);
            self.tell(&format!("still waiting for {} ({so_far})", running.name));
            given = STILL_WAITING_EVERY;
        }
    }

    /// Reads what the tool prints until it ends, the deadline has passed, or the run is asked to end with that urgency.
    fn follow(
        &mut self,
        running: &mut Running,
        deadline: &Deadline,
        ended_by: Option<Urgency>,
        on_line: &mut OnLine<'_>,
    ) -> Result<Exit> {
        loop {
            // In this order. Its end may be the signal that is read here, so it is asked for after that; and what it
            // printed before its end is in the pipes by the time they are read.
            let asked = self.interrupts.asked();
            let exit = running.child.peek()?;
            self.read(running, exit.is_some(), on_line);
            if let Some(exit) = exit {
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
            deadline.check()?;
            // A child's end is a signal; where that is not heard, the timer sees it.
            let until = deadline.until.min(Instant::now() + running.retry());
            let idle = self.interrupts.as_fd();
            let [output, errors] = running.descriptors(idle);
            poll::wait([idle, output, errors].map(|one| (one, For::Reading)), Some(until))?;
        }
    }

    /// Says what the tool has printed by now; all of it when it has ended.
    fn read(&mut self, running: &mut Running, has_ended: bool, on_line: &mut OnLine<'_>) {
        let (log, phase) = (&mut self.log, self.phase);
        running.read(has_ended, &mut |line| {
            if let Some(text) = on_line(line) {
                log.relay(phase, &text, SystemTime::now());
            }
        });
        log.flush();
    }

    /// What ends a tool now.
    fn ended_by(&self) -> Option<Urgency> {
        (!self.has_changed()).then_some(Urgency::Gentle)
    }

    /// Ends a tool of ours with all of its group, one attempt after the other.
    fn end(&mut self, running: &mut Running, policy: EndPolicy, on_line: &mut OnLine<'_>) -> Result {
        for attempt in attempts(policy) {
            if !attempt.announcement.is_empty() {
                self.tell(&attempt.announcement.replace("NAME", &running.name));
            }
            let deadline = Deadline::new("", attempt.patience);
            let (ended_by, rest_until) = match attempt.to_group {
                true => {
                    running.child.signal_group(attempt.signal);
                    (None, deadline.until)
                }
                false => {
                    running.child.signal(attempt.signal);
                    (Some(Urgency::Force), Instant::now())
                }
            };
            if self.follow(running, &deadline, ended_by, on_line).is_ok() {
                end_group(running, rest_until)?;
                self.forget(running);
                return Ok(());
            }
        }
        Err(not_ending(running))
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
        false => Err(not_ending(running)),
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

fn not_ending(running: &Running) -> Failure {
    Failure::Failed(format!("{} does not end, although killed", running.name))
}
