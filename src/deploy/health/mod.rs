//! Waiting until a container answers as it should.
//!
//! The first probe goes out at once, the next after 100 ms, and the waits double up to the configured interval. Every
//! probe is made by the fetch role: no byte of an answer is parsed as HTTP here. Between probes the container is looked
//! at, because one that has ended will never answer. What was seen last is in the failure.

pub mod judge;

use std::time::{Duration, Instant};

use crate::config::{Config, Container, HealthExpect};
use crate::deploy::docker::inspect::Container as Seen;
use crate::deploy::docker::{Docker, since};
use crate::event::Phase;
use crate::fetch;
use crate::limits::{DOCKER_QUICK, LOOK_INTERVAL, MAX_FETCH, PROBE_DEADLINE, STEADY};
use crate::os::privilege;
use crate::run::{Failure, HumanDuration, Result, RunContext};
use judge::Verdict;

/// How one container's health is found out.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a> {
    config: &'a Config,
    container: &'a Container,
    /// `None` asks for Docker's own word, or a steady run.
    url: Option<&'a str>,
    /// `None` where Docker may not be asked.
    docker: Option<Docker<'a>>,
    expect: HealthExpect,
    /// What its lines bear.
    phase: Phase,
    /// The version that it must say.
    version: &'a str,
}

/// What has been seen so far.
#[derive(Default)]
struct Watched {
    /// Since when the container runs without a restart, and how many it had then.
    steady: Option<(Instant, u64)>,
    looked: Option<Instant>,
    /// What was seen last.
    seen: String,
}

impl<'a> Health<'a> {
    /// How the health of `container` is found out; `None` where there is nothing to ask: the command's word counts.
    pub fn of(
        config: &'a Config,
        container: &'a Container,
        docker: Option<Docker<'a>>,
        version: &'a str,
    ) -> Option<Self> {
        let expect = config.deploy().health_expect;
        let by_container = expect == HealthExpect::Container;
        let url = container.health_url.as_deref().filter(|_| !by_container);
        let docker = docker.or_else(|| by_container.then(|| Docker::new(config.deploy())));
        (url.is_some() || docker.is_some()).then_some(Self {
            config,
            container,
            url,
            docker,
            expect,
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
        let verdict = match self.url {
            Some(url) => judge::answer(&self.probe(url), self.expect, self.version),
            None => judge::container(now, STEADY),
        };
        matches!(verdict, Verdict::Healthy(_))
    }

    /// Waits until the container is healthy.
    ///
    /// # Errors
    /// With the last thing that was seen, when its time is up or it has ended.
    pub fn wait(&self, ctx: &mut RunContext) -> Result {
        let start = Instant::now();
        let longest = self.config.deploy().health_max_wait;
        let mut watched = Watched::default();
        let why = match self.watch(ctx, start + longest, &mut watched, Self::say_news) {
            Ok(Verdict::Healthy(how)) => {
                self.say(ctx, &format!("{how} after {}", since(start)));
                return Ok(());
            }
            Ok(Verdict::Hopeless(seen)) => format!("not healthy: {seen}"),
            Ok(Verdict::NotYet(seen)) => format!("not healthy after {}: {seen}", HumanDuration(longest)),
            Err(late @ Failure::Deadline { .. }) => format!("not healthy yet: {}; {late}", watched.seen),
            Err(failure) => return Err(failure),
        };
        Err(self.failed(ctx, why))
    }

    /// Whether the container is healthy as it is: one answer of its URL counts, and a steady run is waited for. Why it is
    /// not, if it is not; nothing is said.
    pub fn now(&self, ctx: &mut RunContext) -> Result<Option<String>> {
        let steady = self.url.map_or(STEADY + LOOK_INTERVAL, |_| Duration::ZERO);
        let until = Instant::now() + steady;
        Ok(
            match self.watch(ctx, until, &mut Watched::default(), |_, _, _| ())? {
                Verdict::Healthy(_) => None,
                Verdict::NotYet(seen) | Verdict::Hopeless(seen) => Some(format!("it is not healthy: {seen}")),
            },
        )
    }

    /// Looks until there is a verdict, or until `until`; `hears` gets what was seen each time there is none.
    fn watch(
        &self,
        ctx: &mut RunContext,
        until: Instant,
        watched: &mut Watched,
        hears: impl Fn(&Self, &mut RunContext, &str),
    ) -> Result<Verdict> {
        let interval = self.config.deploy().poll_interval;
        let verdict = ctx.poll(interval, until, |ctx| {
            let verdict = self.look(ctx, watched)?;
            let Verdict::NotYet(seen) = verdict else {
                return Ok(Some(verdict));
            };
            if watched.seen != seen {
                hears(self, ctx, &seen);
                watched.seen = seen;
            }
            Ok(None)
        })?;
        Ok(verdict.unwrap_or_else(|| Verdict::NotYet(watched.seen.clone())))
    }

    fn say_news(&self, ctx: &mut RunContext, seen: &str) {
        self.say(ctx, &format!("not healthy yet: {seen}"));
    }

    fn look(&self, ctx: &mut RunContext, watched: &mut Watched) -> Result<Verdict> {
        let name = &self.container.name;
        let (Some(url), docker) = (self.url, self.docker) else {
            let now = self
                .docker
                .map(|docker| docker.container(ctx, name))
                .transpose()?;
            return Ok(match now.flatten() {
                Some(now) => judge::container(&now, watched.steady_for(&now)),
                None => Verdict::Hopeless("there is no such container".into()),
            });
        };
        let verdict = judge::answer(&self.probe(url), self.expect, self.version);
        let due = watched.looked.is_none_or(|last| last.elapsed() >= LOOK_INTERVAL);
        let (Verdict::NotYet(_), Some(docker), true) = (&verdict, docker, due) else {
            return Ok(verdict);
        };
        watched.looked = Some(Instant::now());
        Ok(match docker.container(ctx, name)? {
            None => Verdict::Hopeless("the container is gone".into()),
            Some(now) => match judge::alive(&now) {
                Verdict::Hopeless(seen) => Verdict::Hopeless(seen),
                _ => verdict,
            },
        })
    }

    fn probe(&self, url: &str) -> judge::Answer {
        let identity = privilege::identity(&self.config.fetch_user).map_err(|error| error.to_string())?;
        let order = fetch::FetchRequest::new(url, identity, PROBE_DEADLINE, MAX_FETCH)
            .trusting(self.config.issuer.ca_file.as_deref())?;
        match fetch::send(&order) {
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

    /// The failure, with how the container itself is where that may be the cause: a probe between two restarts knows only
    /// that nobody answered.
    fn failed(&self, ctx: &mut RunContext, mut why: String) -> Failure {
        let name = &self.container.name;
        if let Some(docker) = self.docker {
            ctx.in_any_case(DOCKER_QUICK, |ctx| {
                if let Ok(Some(now)) = docker.container(ctx, name) {
                    let how = now.describe();
                    if (!now.is_running() || now.restart_count > 0) && !why.contains(&how) {
                        why.push_str(&format!("; the container is {how}"));
                    }
                }
                docker.say_log(ctx, name);
            });
        }
        Failure::Failed(format!("{name}: {why}"))
    }
}

impl Watched {
    /// For how long the container has been seen to run without a restart.
    fn steady_for(&mut self, now: &Seen) -> Duration {
        self.steady = match self.steady {
            _ if !now.is_running() => None,
            Some((start, restarts)) if restarts == now.restart_count => Some((start, restarts)),
            _ => Some((Instant::now(), now.restart_count)),
        };
        self.steady.map_or(Duration::ZERO, |(start, _)| start.elapsed())
    }
}
