//! Running a tool from its start to its end, and reading what it prints. [`super::ending`] ends it when its time is up.
//!
//! Every tool stands in the ticket before it is started and until its group is gone, so that whoever completes this run
//! after a crash knows what may still be at work.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::failpoint;
use crate::limits::{MIDWAY_LEAST, RETRY};
use crate::os::child::Exit;
use crate::os::poll::{self, For};
use crate::queue::EndPolicy;
use crate::queue::ticket::Work;
use crate::run::RunContext;
use crate::run::context::{Bound, CancelPolicy, machine};
use crate::run::log::Voice;
use crate::run::output::{Left, Name};
use crate::run::step::Failure;
use crate::run::tool::{AtWork, Captured, Ended, Running, Streams, Tool, ToolEnd};

/// Receives each line of a tool and returns what to say of it, if anything.
pub type OnLine<'a> = dyn FnMut(&str) -> Option<String> + 'a;

/// Why waiting for a tool ended.
pub(super) enum Attended {
    Ended(Exit),
    TimeIsUp,
    Cancelled,
}

impl RunContext {
    /// Runs `tool` to its end. Each line it prints, on either stream and in the order of arrival, is offered to
    /// `on_line`; what that returns is said in the step's phase. Lines come made harmless and bounded; a carriage
    /// return ends a line too, as progress bars use it.
    ///
    /// # Errors
    /// [`Failure::Failed`] when it could not be started, [`Failure::Cancelled`] and [`Failure::Deadline`] when it was
    /// ended; an exit status is never an error here.
    pub fn tool(&mut self, tool: &Tool, on_line: &mut OnLine<'_>) -> Result<ToolEnd, Failure> {
        let kept = self.folder.output();
        let streams = match tool.ending {
            EndPolicy::NeverMidway | EndPolicy::InterruptThenTerminate => Streams::Kept(&kept, Name::GivenUp),
            EndPolicy::Interrupt => Streams::Kept(&kept, Name::Stays),
            EndPolicy::Terminate => Streams::Merged,
        };
        let running = self.start(tool, streams)?;
        let bound = self.sooner(Bound::new(tool.name(), tool.deadline));
        let (bound, cancel) = match tool.ending {
            EndPolicy::NeverMidway => {
                let least = Bound::new(tool.name(), tool.deadline.min(MIDWAY_LEAST));
                (later(bound, least), CancelPolicy::Never)
            }
            // Even while it changes something: that is what its one INT is for.
            EndPolicy::Interrupt | EndPolicy::InterruptThenTerminate => (bound, CancelPolicy::Cancel),
            EndPolicy::Terminate => (bound, self.cancel_policy()),
        };
        let end = self.carry(running, tool.ending, &bound, cancel, on_line);
        if tool.ending == EndPolicy::Interrupt {
            // All of it is in the log by now.
            let _ = self.folder.clear_output();
        }
        end
    }

    /// Runs a tool whose standard output goes into the new file `path`; its other lines are offered to `on_line`.
    ///
    /// # Errors
    /// As [`RunContext::tool`]. It is ended as [`EndPolicy::Terminate`] says, whatever the tool names.
    pub fn write_out(
        &mut self,
        tool: &Tool,
        path: &Path,
        on_line: &mut OnLine<'_>,
    ) -> Result<Ended, Failure> {
        let running = self.start(tool, Streams::Into(path))?;
        let bound = self.sooner(Bound::new(tool.name(), tool.deadline));
        let cancel = self.cancel_policy();
        match self.carry(running, EndPolicy::Terminate, &bound, cancel, on_line)? {
            ToolEnd::Ended(ended) => Ok(ended),
            ToolEnd::AtWork(at_work) => Err(at_work.why),
        }
    }

    /// Runs a quiet tool and returns its standard output, at most `most` bytes of it.
    ///
    /// # Errors
    /// As [`RunContext::tool`]; and [`Failure::Failed`] when it prints more. It is always ended as
    /// [`EndPolicy::Terminate`] says, whatever the tool names: what only looks is never in the middle of anything.
    pub fn capture(&mut self, tool: &Tool, most: usize) -> Result<Captured, Failure> {
        let mut running = self.start(tool, Streams::Captured { most })?;
        let bound = self.sooner(Bound::new(tool.name(), tool.deadline));
        let cancel = self.cancel_policy();
        let exit = match self.attend(&mut running, bound.until, cancel, &mut |_| None)? {
            Attended::Ended(exit) => exit,
            Attended::TimeIsUp => {
                return Err(self.end(running, EndPolicy::Terminate, bound.passed(), &mut |_| None));
            }
            Attended::Cancelled => {
                return Err(self.end(running, EndPolicy::Terminate, Failure::Cancelled, &mut |_| None));
            }
        };
        self.forget(running.child.pid());
        running.captured(exit)
    }

    /// Waits on for a tool that is past its deadline, whatever the deadlines of step and run say.
    ///
    /// # Errors
    /// None but those of the machine: a cancellation does not end it.
    pub fn await_longer(
        &mut self,
        at_work: AtWork,
        patience: Duration,
        on_line: &mut OnLine<'_>,
    ) -> Result<ToolEnd, Failure> {
        let AtWork { running, why } = at_work;
        let bound = Bound::new(running.name.clone(), patience);
        let end = self.carry(
            running,
            EndPolicy::NeverMidway,
            &bound,
            CancelPolicy::Never,
            on_line,
        )?;
        Ok(match end {
            // The deadline that it missed is still the first one.
            ToolEnd::AtWork(AtWork { running, .. }) => ToolEnd::AtWork(AtWork { running, why }),
            ended => ended,
        })
    }
}

impl RunContext {
    fn start(&mut self, tool: &Tool, streams: Streams<'_>) -> Result<Running, Failure> {
        self.check()?;
        let until = SystemTime::now() + tool.deadline;
        let work = Work {
            program: tool
                .program
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            ending: tool.ending,
            until: until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let noted = |error| Failure::Failed(format!("write the ticket: {error}"));
        self.ticket.starting(work).map_err(noted)?;
        match tool.start(streams) {
            Ok(running) => {
                self.groups.push(running.child.pid());
                self.ticket.started(running.child.pid()).map_err(noted)?;
                if let Streams::Kept(..) = streams {
                    failpoint!("script-at-work");
                }
                Ok(running)
            }
            Err(failure) => {
                self.ticket.not_started().map_err(noted)?;
                Err(failure)
            }
        }
    }

    /// Follows a tool to the end of its time.
    fn carry(
        &mut self,
        mut running: Running,
        ending: EndPolicy,
        bound: &Bound,
        cancel: CancelPolicy,
        on_line: &mut OnLine<'_>,
    ) -> Result<ToolEnd, Failure> {
        match self.attend(&mut running, bound.until, cancel, on_line)? {
            Attended::Ended(exit) => {
                if let EndPolicy::Interrupt | EndPolicy::InterruptThenTerminate = ending {
                    self.sweep(&mut running)?;
                }
                self.forget(running.child.pid());
                let tail = running.tail();
                Ok(ToolEnd::Ended(Ended { exit, tail }))
            }
            Attended::TimeIsUp if ending == EndPolicy::NeverMidway => {
                let why = bound.passed();
                Ok(ToolEnd::AtWork(AtWork { running, why }))
            }
            Attended::TimeIsUp => Err(self.end(running, ending, bound.passed(), on_line)),
            Attended::Cancelled => Err(self.end(running, ending, Failure::Cancelled, on_line)),
        }
    }

    /// Reads and waits until the tool ends, the time comes, or the run is cancelled.
    pub(super) fn attend(
        &mut self,
        running: &mut Running,
        until: Instant,
        cancel: CancelPolicy,
        on_line: &mut OnLine<'_>,
    ) -> Result<Attended, Failure> {
        loop {
            // In this order. Its end may be the signal that is read here, so it is asked for after that; and what it
            // printed before its end is in the pipes by the time they are read.
            let asked = self.interrupts.asked();
            let exit = running.child.try_wait().map_err(machine)?;
            let (phase, mut left) = (self.phase, Left::Nothing);
            self.log.together(|log| {
                let mut each = |line: &str| {
                    if let Some(text) = on_line(line) {
                        log.say(phase, &text, Voice::Tool, SystemTime::now());
                    }
                };
                match exit {
                    Some(_) => running.read_rest(&mut each),
                    None => left = running.read(&mut each),
                }
            });
            if let Some(exit) = exit {
                return Ok(Attended::Ended(exit));
            }
            let ended = match cancel {
                CancelPolicy::Cancel => asked,
                CancelPolicy::ForceOnly => self.interrupts.forced(),
                CancelPolicy::Never => false,
            };
            if ended {
                return Ok(Attended::Cancelled);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(Attended::TimeIsUp);
            }
            if left == Left::Nothing {
                self.doze(running, now, until)?;
            }
        }
    }

    /// Waits for output, a signal or the time. A child's end is a signal; where that is not heard, the timer sees it:
    /// soon after its streams were closed, since that is what an end begins with.
    fn doze(&mut self, running: &mut Running, now: Instant, until: Instant) -> Result<(), Failure> {
        let retry = running.silent_since(now).map_or(RETRY, |since| {
            (now - since).clamp(Duration::from_millis(1), RETRY)
        });
        let idle = self.interrupts_descriptor();
        let [output, errors] = running.descriptors(idle);
        let sources = [
            (idle, For::Reading),
            (output, For::Reading),
            (errors, For::Reading),
        ];
        poll::wait(sources, Some(until.min(now + retry))).map_err(machine)?;
        Ok(())
    }

    fn sooner(&self, tool: Bound) -> Bound {
        let bounds = [tool, self.step.clone(), self.run.clone()];
        let [first, rest @ ..] = bounds;
        rest.into_iter().fold(
            first,
            |best, other| if other.until < best.until { other } else { best },
        )
    }
}

fn later(one: Bound, other: Bound) -> Bound {
    if other.until > one.until { other } else { one }
}
