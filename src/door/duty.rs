//! What `serve` owes whoever started it: to say how it is, and to go when a socket of theirs will call it back.
//!
//! Knows which sessions have a connection and which runs live, and decides nothing about either.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::config::Places;
use crate::limits::{RETRY, STATUS_EVERY};
use crate::os::child::Child;
use crate::os::notify::{Heard, Notifier};
use crate::os::watch::Watch;
use crate::queue::{Present, present};

/// See the module's head.
#[derive(Debug)]
pub struct Duty {
    notifier: Notifier,
    places: Places,
    /// Tickets, and the published list of runs, which changes when a run's turn comes.
    changes: Watch,
    idle_exit: Option<Duration>,
    /// Sessions with a connection.
    serving: Vec<Child>,
    present: io::Result<Present>,
    /// Since when there was neither connection nor run.
    quiet_since: Option<Instant>,
    /// When to look again even if nothing wakes us.
    look_at: Option<Instant>,
    /// When the watchdog is to be fed.
    beat_at: Option<Instant>,
    /// Whether a session could take a connection.
    is_ready: bool,
    /// The status that our starter knows; `None` when it does not know that we are ready.
    told: Option<String>,
}

impl Duty {
    /// `idle_exit` is `None` where nobody would start us again.
    pub fn new(notifier: Notifier, places: &Places, idle_exit: Option<Duration>, now: Instant) -> Self {
        let mut duty = Self {
            beat_at: notifier.watchdog().map(|every| now + every),
            notifier,
            places: places.clone(),
            changes: Watch::closed_after_writing(&places.queue()).and(&places.public()),
            idle_exit,
            serving: Vec::new(),
            present: Ok(Present::default()),
            quiet_since: None,
            look_at: None,
            is_ready: false,
            told: None,
        };
        duty.look(now);
        duty
    }

    /// What to poll for reading, when there is something; [`Duty::look`] when it was ready.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.changes.descriptor().filter(|_| self.is_of_interest())
    }

    fn is_of_interest(&self) -> bool {
        self.notifier.is_heard() || self.idle_exit.is_some()
    }

    /// A session took a connection.
    pub fn accepted(&mut self, session: Child, now: Instant) {
        self.serving.push(session);
        self.quiet_since = None;
        self.look_at = Some(now + STATUS_EVERY);
    }

    /// A session can take a connection; only the first one is worth a word.
    pub fn ready(&mut self, now: Instant) {
        if !self.is_ready {
            self.is_ready = true;
            self.look(now);
        }
    }

    /// New settings are taken in; [`Duty::reloaded`] follows.
    pub fn reloading(&self) {
        self.notifier.reloading();
    }

    /// They are in use, or the old ones stay.
    pub fn reloaded(&mut self, now: Instant) {
        self.told = None;
        self.look(now);
    }

    /// From new settings.
    pub fn set_idle_exit(&mut self, idle_exit: Option<Duration>) {
        self.idle_exit = idle_exit;
    }

    /// The end.
    pub fn stopping(&self) {
        self.notifier.stopping();
    }

    /// Looks at who is at work. Cheap: a folder of tickets.
    pub fn look(&mut self, now: Instant) {
        self.changes.drain();
        self.serving
            .retain_mut(|session| matches!(session.try_wait(), Ok(None)));
        self.look_at = None;
        if !self.is_of_interest() {
            return;
        }
        self.present = present(&self.places);
        // A queue that cannot be read may have somebody in it, and nobody was answered before we were ready: whoever made
        // our starter start us waits at the socket.
        let is_quiet =
            self.is_ready && self.serving.is_empty() && self.present.as_ref().is_ok_and(Present::is_nothing);
        self.quiet_since = is_quiet.then(|| self.quiet_since.unwrap_or(now));
        let heard = self.tell();
        self.look_at = match (heard, is_quiet) {
            (Heard::NoRoom, _) => Some(now + RETRY),
            (Heard::Yes, false) => Some(now + STATUS_EVERY),
            // Then a signal or inotify wakes us, or it is time to leave.
            (Heard::Yes, true) => None,
        };
    }

    fn tell(&mut self) -> Heard {
        let status = self.status();
        if !self.is_ready || self.told.as_ref() == Some(&status) {
            return Heard::Yes;
        }
        let heard = match self.told {
            None => self.notifier.ready(&status),
            Some(_) => self.notifier.status(&status),
        };
        if heard == Heard::Yes {
            self.told = Some(status);
        }
        heard
    }

    fn status(&self) -> String {
        match &self.present {
            Ok(present) => present.to_string(),
            Err(error) => format!("the queue cannot be read: {error}"),
        }
    }

    /// Feeds the watchdog when that is due.
    pub fn beat(&mut self, now: Instant) {
        if let (Some(at), Some(every)) = (self.beat_at, self.notifier.watchdog())
            && now >= at
        {
            let pause = match self.notifier.alive() {
                Heard::Yes => every,
                Heard::NoRoom => every.min(RETRY),
            };
            self.beat_at = Some(now + pause);
        }
    }

    /// When to come back at the latest.
    pub fn until(&self) -> Option<Instant> {
        let leave_at = self
            .quiet_since
            .zip(self.idle_exit)
            .map(|(since, limit)| since + limit);
        [self.beat_at, leave_at, self.look_at].into_iter().flatten().min()
    }

    /// Whether there has been nothing to do for so long that our starter can have its memory back.
    pub fn is_over(&self, now: Instant) -> bool {
        self.quiet_since
            .zip(self.idle_exit)
            .is_some_and(|(since, limit)| now >= since + limit)
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

    fn duty(places: &Places, now: Instant) -> Duty {
        let mut duty = Duty::new(Notifier::default(), places, Some(LIMIT), now);
        duty.ready(now);
        duty
    }

    #[test]
    fn it_is_not_over_before_anybody_could_be_answered() {
        let scratch = Scratch::new("duty-slow");
        let start = Instant::now();
        let mut duty = Duty::new(Notifier::default(), &scratch.0, Some(LIMIT), start);
        duty.look(start + LIMIT);
        assert!(!duty.is_over(start + 10 * LIMIT));
        duty.ready(start + 2 * LIMIT);
        assert!(!duty.is_over(start + 3 * LIMIT - Duration::from_millis(1)));
        assert!(duty.is_over(start + 3 * LIMIT));
    }

    #[test]
    fn it_is_over_after_the_whole_time_without_connection_and_run() {
        let scratch = Scratch::new("duty-idle");
        let start = Instant::now();
        let mut duty = duty(&scratch.0, start);
        assert_eq!(duty.until(), Some(start + LIMIT));
        duty.look(start + LIMIT / 2);
        assert!(!duty.is_over(start + LIMIT - Duration::from_millis(1)));
        assert!(duty.is_over(start + LIMIT));
    }

    #[test]
    fn it_is_never_over_while_a_run_is_queued_or_at_work() {
        let scratch = Scratch::new("duty-run");
        let start = Instant::now();
        let mut duty = duty(&scratch.0, start);
        let ticket = reserve(&scratch.0, 5, order(&RunId::new(SystemTime::now()).unwrap())).unwrap();
        duty.look(start + LIMIT);
        assert!(!duty.is_over(start + 10 * LIMIT));
        // Whether or not inotify has an instance for us.
        assert_eq!(duty.until(), Some(start + LIMIT + STATUS_EVERY));
        for entry in std::fs::read_dir(scratch.0.queue()).unwrap() {
            std::fs::write(entry.unwrap().path(), "{\"turn\":1}\n").unwrap();
        }
        duty.look(start + 2 * LIMIT);
        assert!(!duty.is_over(start + 10 * LIMIT));
        drop(ticket);
        // The time begins anew.
        duty.look(start + 3 * LIMIT);
        assert!(!duty.is_over(start + 4 * LIMIT - Duration::from_millis(1)));
        assert!(duty.is_over(start + 4 * LIMIT));
    }

    #[test]
    fn it_is_never_over_while_a_session_serves() {
        let scratch = Scratch::new("duty-session");
        let start = Instant::now();
        let mut duty = duty(&scratch.0, start);
        let session = Command::tool(Path::new("/bin/sleep"))
            .argument("100")
            .spawn()
            .unwrap();
        let pid = session.pid();
        duty.accepted(session, start);
        assert_eq!(duty.until(), Some(start + STATUS_EVERY));
        duty.look(start + LIMIT);
        assert!(!duty.is_over(start + 10 * LIMIT));
        crate::os::process::signal(pid, nix::sys::signal::Signal::SIGKILL);
        while !duty.serving.is_empty() {
            duty.look(start + 2 * LIMIT);
        }
        assert!(duty.is_over(start + 3 * LIMIT));
    }

    #[test]
    fn without_a_time_to_go_there_is_nothing_to_wake_for() {
        let scratch = Scratch::new("duty-never");
        let start = Instant::now();
        let mut duty = Duty::new(Notifier::default(), &scratch.0, None, start);
        duty.look(start + LIMIT);
        assert_eq!(duty.until(), None);
        let session = Command::tool(Path::new("/bin/true")).spawn().unwrap();
        duty.accepted(session, start);
        duty.look(start + LIMIT);
        assert_eq!(duty.until(), None);
        assert!(!duty.is_over(start + 1000 * LIMIT) && duty.descriptor().is_none());
    }

    #[test]
    fn a_queue_that_cannot_be_read_keeps_us() {
        let scratch = Scratch::new("duty-unread");
        let start = Instant::now();
        let mut duty = duty(&scratch.0, start);
        std::fs::remove_dir_all(scratch.0.queue()).unwrap();
        duty.look(start + LIMIT);
        assert!(!duty.is_over(start + 10 * LIMIT));
    }
}
