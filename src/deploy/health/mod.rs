//! Waiting until a container answers as it should.
//!
//! The first probe goes out at once, the next after 100 ms, and the waits double up to the configured interval. Every
//! probe is made by the fetch role: no byte of an answer is parsed as HTTP here. Between probes the container is looked
//! at, because one that has ended will never answer. What was seen last is in the failure.

pub mod judge;

use std::time::{Duration, Instant};

use crate::config::{Config, Container, HealthExpect};
use crate::deploy::docker::seen::Container as Seen;
use crate::deploy::docker::{Docker, since};
use crate::event::Phase;
use crate::fetch;
use crate::limits::{DOCKER_QUICK, FIRST_PROBE_PAUSE, LOOK_INTERVAL, MAX_FETCH, PROBE_DEADLINE, STEADY};
use crate::os::privilege;
use crate::run::{Failure, RunContext};
use judge::Verdict;

/// What is asked, container or URL.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// This URL answers; the container's end is noticed where Docker may be asked.
    Url(&'a str, Option<Docker<'a>>),
    /// Docker's own word, or a steady run.
    Container(Docker<'a>),
}

/// One container's wait for health.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a> {
    /// All settings: how health is judged, who fetches.
    pub config: &'a Config,
    /// Whose health.
    pub container: &'a Container,
    /// What is asked.
    pub subject: Subject<'a>,
    /// What counts.
    pub expect: HealthExpect,
    /// What its lines bear.
    pub phase: Phase,
    /// The version that it must say.
    pub version: &'a str,
}

/// The state of the wait.
struct Wait {
    start: Instant,
    until: Instant,
    pause: Duration,
    /// Since when the container runs without a restart, and how many it had then.
    steady: Option<(Instant, u32)>,
    looked: Option<Instant>,
    /// What the container exited with when it was last seen down.
    exit_status: Option<i64>,
    said: String,
}

impl Wait {
    fn new(longest: Duration) -> Self {
        let start = Instant::now();
        Self {
            start,
            until: start + longest,
            pause: FIRST_PROBE_PAUSE,
            steady: None,
            looked: None,
            exit_status: None,
            said: String::new(),
        }
    }
}

impl<'a> Health<'a> {
    /// What to ask of `container`; `None` where there is nothing to ask: the command's word counts.
    pub fn of(
        config: &'a Config,
        container: &'a Container,
        docker: Option<Docker<'a>>,
        version: &'a str,
    ) -> Option<Self> {
        let expects_container = config.deploy().health.expect == HealthExpect::Container;
        let subject = match (&container.health_url, docker) {
            (_, None) if expects_container => Subject::Container(Docker::new(config.deploy())),
            (Some(url), docker) if !expects_container => Subject::Url(url, docker),
            (_, Some(docker)) => Subject::Container(docker),
            (_, None) => return None,
        };
        Some(Self {
            config,
            container,
            subject,
            expect: config.deploy().health.expect,
            phase: Phase::Health,
            version,
        })
    }

    /// As it is judged on the way back: any version will do, since one that was there before need not say which it is.
    pub fn on_the_way_back(self) -> Self {
        let expect = match self.expect {
            HealthExpect::Version => HealthExpect::Status,
            other => other,
        };
        let phase = Phase::Rollback;
        Self {
            expect,
            phase,
            ..self
        }
    }

    /// Whether it is healthy at this moment, as far as one look can tell; a container without a health check is when it
    /// runs. `now` is the container.
    pub fn at_a_glance(&self, now: &Seen) -> bool {
        match self.subject {
            Subject::Url(url, _) => {
                let answer = self.probe(url, PROBE_DEADLINE);
                matches!(
                    judge::answer(&answer, self.expect, self.version),
                    Verdict::Healthy(_)
                )
            }
            Subject::Container(_) => matches!(judge::container(now, STEADY), Verdict::Healthy(_)),
        }
    }

    /// Waits until the container is healthy.
    ///
    /// # Errors
    /// With the last thing that was seen, when its time is up or it has ended.
    pub fn wait(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        let mut wait = Wait::new(self.config.deploy().health.max_wait);
        wait.pause = wait.pause.min(self.config.deploy().health.poll_interval);
        match self.watch(ctx, &mut wait) {
            Err(late @ Failure::Deadline { .. }) => {
                let seen = Some(wait.said.as_str()).filter(|said| !said.is_empty());
                let seen = seen.unwrap_or("nothing was seen");
                Err(self.late(ctx, &wait, "not healthy yet", &format!("{seen}; {late}")))
            }
            watched => watched,
        }
    }

    fn watch(&self, ctx: &mut RunContext, wait: &mut Wait) -> Result<(), Failure> {
        loop {
            match self.look(ctx, wait)? {
                Verdict::Healthy(how) => {
                    self.say(ctx, &format!("{how} after {}", since(wait.start)));
                    return Ok(());
                }
                Verdict::Hopeless(seen) => return Err(self.failed(ctx, &format!("not healthy: {seen}"))),
                Verdict::NotYet(seen) => self.wait_on(ctx, wait, seen)?,
            }
        }
    }

    /// Whether the container is healthy as it is: one answer of its URL counts, and a steady run is waited for no longer
    /// than it takes. Why it is not, if it is not; nothing is said.
    pub fn now(&self, ctx: &mut RunContext) -> Result<Option<String>, Failure> {
        let mut wait = Wait::new(STEADY + LOOK_INTERVAL);
        loop {
            let seen = match self.look(ctx, &mut wait)? {
                Verdict::Healthy(_) => return Ok(None),
                Verdict::NotYet(seen) | Verdict::Hopeless(seen) => seen,
            };
            let may_come = matches!(self.subject, Subject::Container(_)) && wait.steady.is_some();
            if !may_come || Instant::now() >= wait.until {
                return Ok(Some(format!("it is not healthy: {seen}")));
            }
            ctx.pause(LOOK_INTERVAL)?;
        }
    }

    /// Waits for the next look; what was seen is said when it is news.
    fn wait_on(&self, ctx: &mut RunContext, wait: &mut Wait, seen: String) -> Result<(), Failure> {
        let left = wait.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let given = crate::run::HumanDuration(self.config.deploy().health.max_wait);
            return Err(self.late(ctx, wait, &format!("not healthy after {given}"), &seen));
        }
        if wait.said != seen {
            self.say(ctx, &format!("not healthy yet: {seen}"));
            wait.said = seen;
        }
        ctx.pause(wait.pause.min(left))?;
        wait.pause = (wait.pause * 2).min(self.config.deploy().health.poll_interval);
        Ok(())
    }

    fn look(&self, ctx: &mut RunContext, wait: &mut Wait) -> Result<Verdict, Failure> {
        let (url, docker) = match self.subject {
            Subject::Container(docker) => return self.look_at_container(ctx, docker, wait),
            Subject::Url(url, docker) => (url, docker),
        };
        let left = wait.until.saturating_duration_since(Instant::now());
        let answer = self.probe(url, left.min(PROBE_DEADLINE));
        let verdict = judge::answer(&answer, self.expect, self.version);
        let due = wait.looked.is_none_or(|last| last.elapsed() >= LOOK_INTERVAL);
        let (Verdict::NotYet(_), Some(docker), true) = (&verdict, docker, due) else {
            return Ok(verdict);
        };
        wait.looked = Some(Instant::now());
        let Some(seen) = docker.container(ctx, &self.container.name)? else {
            return Ok(Verdict::Hopeless("the container is gone".into()));
        };
        wait.exit_status = seen.exit_status().or(wait.exit_status);
        match judge::alive(&seen) {
            Verdict::Hopeless(seen) => Ok(Verdict::Hopeless(seen)),
            _ => Ok(verdict),
        }
    }

    fn look_at_container(
        &self,
        ctx: &mut RunContext,
        docker: Docker<'_>,
        wait: &mut Wait,
    ) -> Result<Verdict, Failure> {
        let Some(seen) = docker.container(ctx, &self.container.name)? else {
            return Ok(Verdict::Hopeless("there is no such container".into()));
        };
        wait.exit_status = seen.exit_status().or(wait.exit_status);
        wait.steady = match wait.steady {
            _ if !seen.is_running() => None,
            Some((start, restarts)) if restarts == seen.restart_count => Some((start, restarts)),
            _ => Some((Instant::now(), seen.restart_count)),
        };
        let steady = wait.steady.map_or(Duration::ZERO, |(start, _)| start.elapsed());
        Ok(judge::container(&seen, steady))
    }

    fn probe(&self, url: &str, given: Duration) -> judge::Answer {
        let identity = privilege::identity(&self.config.fetch_user).map_err(|error| error.to_string())?;
        let order = fetch::FetchRequest::new(url, identity, given, MAX_FETCH)
            .trusting(self.config.issuer.ca_file.as_deref())?;
        match fetch::get(&order) {
            Ok(answer) => Ok((answer.status, answer.body)),
            Err(why) => Err(why
                .strip_prefix(&format!("get {url}: "))
                .unwrap_or(&why)
                .to_owned()),
        }
    }

    fn say(&self, ctx: &mut RunContext, message: &str) {
        ctx.say(self.phase, &format!("{}: {message}", self.container.name));
    }

    /// Out of time. A probe between two restarts meets nobody, and says no more than that: the container is looked at once
    /// more, and what it has to do with it comes first.
    fn late(&self, ctx: &mut RunContext, wait: &Wait, what: &str, seen: &str) -> Failure {
        let own_part = match self.subject {
            Subject::Url(_, Some(docker)) | Subject::Container(docker) => {
                let now = ctx.in_any_case(DOCKER_QUICK, |ctx| docker.container(ctx, &self.container.name));
                now.ok()
                    .and_then(|now| judge::own_part(now.as_ref(), wait.exit_status))
            }
            Subject::Url(_, None) => None,
        };
        match own_part.filter(|part| part != seen) {
            Some(part) => self.failed(ctx, &format!("{what}: {part}; {seen}")),
            None => self.failed(ctx, &format!("{what}: {seen}")),
        }
    }

    fn failed(&self, ctx: &mut RunContext, why: &str) -> Failure {
        if let Subject::Url(_, Some(docker)) | Subject::Container(docker) = self.subject {
            ctx.in_any_case(DOCKER_QUICK, |ctx| docker.say_log(ctx, &self.container.name));
        }
        Failure::Failed(format!("{}: {why}", self.container.name))
    }
}
