//! What `serve` does for its supervisor: sd_notify(3) messages, the watchdog, and the exit when idle.
//!
//! Knows which sessions have a connection and which runs are alive, and decides nothing about either.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::config::Places;
use crate::limits::{RETRY, STATUS_EVERY};
use crate::os::child::Child;
use crate::os::notify::Notifier;
use crate::os::watch::{CLOSED, Watch};
use crate::queue::list::{live, summary};

pub struct NotifyStatus {
    pub notifier: Notifier,
    places: Places,
    /// Tickets, and the published list of runs, which changes when a run's turn comes.
    changes: Watch,
    /// How long to stay idle; `None` where nobody would start us again.
    pub idle_exit: Option<Duration>,
    /// Those with a connection.
    sessions: Vec<Child>,
    /// Since when there was neither connection nor run.
    idle_since: Option<Instant>,
    /// When to update even if nothing wakes us.
    update_at: Option<Instant>,
    watchdog_at: Option<Instant>,
    /// Whether a session could take a connection.
    is_ready: bool,
    /// The last status that was delivered; `None` before `READY=1`.
    delivered: Option<String>,
}

impl NotifyStatus {
    pub fn new(notifier: Notifier, places: &Places, idle_exit: Option<Duration>, now: Instant) -> Self {
        let mut status = Self {
            watchdog_at: notifier.watchdog.map(|every| now + every),
            notifier,
            places: places.clone(),
            changes: Watch::on_all([&*places.queue(), &places.public()], CLOSED),
            idle_exit,
            sessions: Vec::new(),
            idle_since: None,
            update_at: None,
            is_ready: false,
            delivered: None,
        };
        status.update(now);
        status
    }

    /// What to poll for reading, when there is something; [`NotifyStatus::update`] when it was ready.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.changes.descriptor().filter(|_| self.is_needed())
    }

    fn is_needed(&self) -> bool {
        self.notifier.is_connected() || self.idle_exit.is_some()
    }

    /// A session took a connection.
    pub fn accepted(&mut self, session: Child, now: Instant) {
        self.sessions.push(session);
        self.idle_since = None;
        self.update_at = Some(now + STATUS_EVERY);
    }

    /// A session can take a connection; `READY=1` is sent for the first one.
    pub fn ready(&mut self, now: Instant) {
        if !self.is_ready {
            self.is_ready = true;
            self.update(now);
        }
    }

    /// After [`Notifier::reloading`], whatever came of it: `READY=1` again.
    pub fn reloaded(&mut self, now: Instant) {
        self.delivered = None;
        self.update(now);
    }

    /// Looks which sessions and runs are alive, and tells the supervisor what is new. Cheap: a folder of tickets.
    pub fn update(&mut self, now: Instant) {
        self.changes.drain();
        self.sessions
            .retain_mut(|session| matches!(session.try_wait(), Ok(None)));
        self.update_at = None;
        if !self.is_needed() {
            return;
        }
        let runs = live(&self.places);
        // Not idle while the queue cannot be read, since it may hold somebody; and not before we were ready, since whoever
        // made the supervisor start us waits at the socket.
        let is_idle = self.is_ready && self.sessions.is_empty() && runs.as_ref().is_ok_and(Vec::is_empty);
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        let text = match runs {
            Ok(runs) => summary(&runs),
            Err(error) => format!("the queue cannot be read: {error}"),
        };
        self.update_at = match self.deliver(text) {
            false => Some(now + RETRY),
            // When idle, a signal or inotify wakes us, or the idle exit is due.
            true => (!is_idle).then(|| now + STATUS_EVERY),
        };
    }

    /// False when it has to be tried again.
    fn deliver(&mut self, status: String) -> bool {
        if !self.is_ready || self.delivered.as_ref() == Some(&status) {
            return true;
        }
        let ready = if self.delivered.is_none() { "READY=1\n" } else { "" };
        let is_sent = self.notifier.send(&format!("{ready}STATUS={status}"));
        if is_sent {
            self.delivered = Some(status);
        }
        is_sent
    }

    /// Does what is due: the watchdog's keep-alive, an update.
    pub fn tick(&mut self, now: Instant) {
        if self.watchdog_at.is_some_and(|at| at <= now) {
            let every = self.notifier.watchdog;
            self.watchdog_at = match self.notifier.send("WATCHDOG=1") {
                true => every.map(|every| now + every),
                false => every.map(|every| now + every.min(RETRY)),
            };
        }
        if self.update_at.is_some_and(|at| at <= now) {
            self.update(now);
        }
    }

    /// When [`NotifyStatus::tick`] or the idle exit is due next.
    pub fn due_at(&self) -> Option<Instant> {
        [self.watchdog_at, self.update_at, self.idle_exit_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn idle_exit_at(&self) -> Option<Instant> {
        Some(self.idle_since? + self.idle_exit?)
    }

    /// Whether there has been no connection and no run for the whole of `DEPLOYER_IDLE_EXIT`.
    pub fn is_idle_exit_due(&self, now: Instant) -> bool {
        self.idle_exit_at().is_some_and(|at| now >= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::child::Command;
    use crate::queue::{RunId, reserve, testing};
    use std::path::Path;
    use std::time::SystemTime;
    use testing::{Scratch, order};

    const LIMIT: Duration = Duration::from_secs(60);

    fn status(places: &Places, now: Instant) -> NotifyStatus {
        let mut status = NotifyStatus::new(Notifier::default(), places, Some(LIMIT), now);
        status.ready(now);
        status
    }

    #[test]
    fn it_is_not_over_before_anybody_could_be_answered() {
        let scratch = Scratch::new("notify-slow");
        let start = Instant::now();
        let mut status = NotifyStatus::new(Notifier::default(), &scratch.0, Some(LIMIT), start);
        status.update(start + LIMIT);
        assert!(!status.is_idle_exit_due(start + 10 * LIMIT));
        status.ready(start + 2 * LIMIT);
        assert!(!status.is_idle_exit_due(start + 3 * LIMIT - Duration::from_millis(1)));
        assert!(status.is_idle_exit_due(start + 3 * LIMIT));
    }

    #[test]
    fn it_is_over_after_the_whole_time_without_connection_and_run() {
        let scratch = Scratch::new("notify-idle");
        let start = Instant::now();
        let mut status = status(&scratch.0, start);
        assert_eq!(status.due_at(), Some(start + LIMIT));
        status.update(start + LIMIT / 2);
        assert!(!status.is_idle_exit_due(start + LIMIT - Duration::from_millis(1)));
        assert!(status.is_idle_exit_due(start + LIMIT));
    }

    #[test]
    fn it_is_never_over_while_a_run_is_queued_or_at_work() {
        let scratch = Scratch::new("notify-run");
        let start = Instant::now();
        let mut status = status(&scratch.0, start);
        let ticket = reserve(&scratch.0, 5, order(&RunId::new(SystemTime::now()).unwrap())).unwrap();
        status.update(start + LIMIT);
        assert!(!status.is_idle_exit_due(start + 10 * LIMIT));
        // Whether or not inotify has an instance for us.
        assert_eq!(status.due_at(), Some(start + LIMIT + STATUS_EVERY));
        for entry in std::fs::read_dir(scratch.0.queue()).unwrap() {
            std::fs::write(entry.unwrap().path(), "{\"turn\":1}\n").unwrap();
        }
        status.update(start + 2 * LIMIT);
        assert!(!status.is_idle_exit_due(start + 10 * LIMIT));
        drop(ticket);
        // The time begins anew.
        status.update(start + 3 * LIMIT);
        assert!(!status.is_idle_exit_due(start + 4 * LIMIT - Duration::from_millis(1)));
        assert!(status.is_idle_exit_due(start + 4 * LIMIT));
    }

    #[test]
    fn it_is_never_over_while_a_session_serves() {
        let scratch = Scratch::new("notify-session");
        let start = Instant::now();
        let mut status = status(&scratch.0, start);
        let session = Command::tool(Path::new("/bin/sleep"))
            .argument("100")
            .spawn()
            .unwrap();
        let pid = session.pid();
        status.accepted(session, start);
        assert_eq!(status.due_at(), Some(start + STATUS_EVERY));
        status.update(start + LIMIT);
        assert!(!status.is_idle_exit_due(start + 10 * LIMIT));
        crate::os::process::signal(pid, nix::sys::signal::Signal::SIGKILL);
        while !status.sessions.is_empty() {
            status.update(start + 2 * LIMIT);
        }
        assert!(status.is_idle_exit_due(start + 3 * LIMIT));
    }

    #[test]
    fn without_a_time_to_go_there_is_nothing_to_wake_for() {
        let scratch = Scratch::new("notify-never");
        let start = Instant::now();
        let mut status = NotifyStatus::new(Notifier::default(), &scratch.0, None, start);
        status.update(start + LIMIT);
        assert_eq!(status.due_at(), None);
        let session = Command::tool(Path::new("/bin/true")).spawn().unwrap();
        status.accepted(session, start);
        status.update(start + LIMIT);
        assert_eq!(status.due_at(), None);
        assert!(!status.is_idle_exit_due(start + 1000 * LIMIT) && status.descriptor().is_none());
    }

    #[test]
    fn a_queue_that_cannot_be_read_keeps_us() {
        let scratch = Scratch::new("notify-unread");
        let start = Instant::now();
        let mut status = status(&scratch.0, start);
        std::fs::remove_dir_all(scratch.0.queue()).unwrap();
        status.update(start + LIMIT);
        assert!(!status.is_idle_exit_due(start + 10 * LIMIT));
    }
}
