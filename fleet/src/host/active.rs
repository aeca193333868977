//! The run that is going on, as the keeper sees it: its process, its log and its result. All of it is on disk, so that another
//! keeper takes over where this one ended.

use std::io;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::{Settings, unit};
use crate::limits::RUN_ATTEMPTS;
use crate::os::{clock, failpoint, files, log};
use crate::run::{Order, RunFolder, Runs};
use crate::wire::{Code, Last, Running, Status, tail};

/// The result is looked for this often: a run in a unit is no child of ours.
const LOOK: Duration = Duration::from_millis(250);
/// Between `accepted` and the start: in a fleet on one machine, and on a busy host, answers go first.
const START_PAUSE: Duration = Duration::from_millis(50);
/// A run that nobody holds for so long is dead: its unit would have restarted it.
const DEAD_AFTER: Duration = Duration::from_secs(3);

pub struct Active {
    pub order: Order,
    pub running: Running,
    pub started: bool,
    folder: RunFolder,
    child: Option<Child>,
    in_unit: bool,
    attempts: u32,
    next_look: Instant,
    free_since: Option<Instant>,
    heartbeat: Duration,
    next_beat: Instant,
}

impl Active {
    pub fn of(folder: RunFolder, order: Order, settings: &Settings) -> Self {
        let now = Instant::now();
        let heartbeat = Duration::from_secs(settings.heartbeat_interval);
        Active {
            running: Running::of(&order.request, order.accepted_at),
            started: false,
            folder,
            child: None,
            in_unit: !settings.no_units && unit::has_systemd(),
            attempts: 0,
            next_look: now + START_PAUSE,
            free_since: None,
            heartbeat,
            next_beat: now + heartbeat,
            order,
        }
    }

    /// Starts `run ID`, again where it has ended without a result.
    fn start(&mut self, state: &Path) -> io::Result<()> {
        self.attempts += 1;
        self.free_since = None;
        self.child = Some(unit::start_run(state, &self.running.id, self.in_unit)?);
        self.started = true;
        self.next_look = Instant::now() + LOOK;
        failpoint::hit("keeper-after-start");
        Ok(())
    }

    /// Looks whether there is a result, and starts a dead run again.
    pub fn look(&mut self, state: &Path, runs: &Runs) -> io::Result<Option<Last>> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        if ended.is_none() && Instant::now() < self.next_look {
            return Ok(None);
        }
        self.next_look = Instant::now() + LOOK;
        if let Some(last) = self.folder.result()? {
            return Ok(Some(last));
        }
        if let Some(status) = ended {
            self.child = None;
            if self.in_unit && !status.success() {
                log::line("systemd-run could not start the run: it is started as a process of its own");
                self.in_unit = false;
                return self.start(state).map(|()| None);
            }
        }
        if self.child.is_some() || runs.turn()?.try_lock_shared().is_err() {
            self.free_since = None;
            return Ok(None);
        }
        let free = self.free_since.get_or_insert_with(Instant::now).elapsed();
        let patience = match self.attempts {
            0 => Duration::ZERO,
            _ if self.in_unit => DEAD_AFTER,
            attempts => LOOK * (attempts - 1),
        };
        if free < patience {
            return Ok(None);
        }
        if self.attempts >= RUN_ATTEMPTS {
            return self.give_up().map(Some);
        }
        if self.attempts > 0 {
            log::line(&format!("run {} ended without a result: it is completed", self.running.id));
        }
        self.start(state).map(|()| None)
    }

    fn give_up(&self) -> io::Result<Last> {
        let last = Last {
            id: self.running.id.clone(),
            status: Status::Failed,
            error: Some(Code::Interrupted.to_string()),
            revision: None,
            finished_at: clock::now(),
            message: format!("the run ended {RUN_ATTEMPTS} times without a result"),
        };
        self.folder.write_result(&last)?;
        Ok(last)
    }

    /// Whether a heartbeat is due; the next one is then set.
    pub fn beats(&mut self) -> bool {
        let due = Instant::now() >= self.next_beat;
        if due {
            self.next_beat = Instant::now() + self.heartbeat;
        }
        due
    }

    /// The last line of the log.
    pub fn line(&self) -> String {
        let end = files::read_end(&self.folder.log_path(), 2_048).unwrap_or_default();
        let last = end.lines().rev().find(|line| !line.trim().is_empty());
        tail(last.unwrap_or_default(), 1_024).to_owned()
    }

    pub fn wake(&self) -> Instant {
        self.next_look.min(self.next_beat)
    }
}
