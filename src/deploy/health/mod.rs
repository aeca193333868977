//! Waiting until a container answers as it should.
//!
//! The first probe goes out at once, the next after 100 ms, and the waits double up to the configured interval. Every
//! probe is made by the fetch role: no byte of an answer is parsed as HTTP here. Between probes the container is looked
//! at, because one that has ended will never answer. What was seen last is in the failure.
//!
//! After all are healthy, each must have run for a while without a restart: a version that answers once and dies a few
//! seconds later would pass every probe. The time counts from when each became healthy, so that with several containers
//! most of it has passed already.

pub mod judge;

use std::time::{Duration, Instant};

use crate::config::{Backend, Config, Container, HealthExpect};
use crate::deploy::docker::{self, Container as Seen, since};
use crate::fetch::{self, FetchRequest};
use crate::gate::Version;
use crate::limits::{DOCKER_QUICK, HEALTH_MARGIN, LOOK_INTERVAL, MAX_FETCH, PROBE_DEADLINE, STEADY};
use crate::run::{Failure, HumanDuration, Result, RunContext, fail};
use judge::Verdict::{self, Healthy, Hopeless, NotYet};

/// How one container's health is found out.
pub struct Health<'a> {
    config: &'a Config,
    name: &'a str,
    /// `None` asks for Docker's own word, or a steady run.
    url: Option<&'a str>,
    /// Whether Docker may be asked.
    looks: bool,
    /// The version that it must say, if it must.
    version: Option<&'a str>,
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
    /// How the health of `container` is found out; `None` where there is nothing to ask: the command's word counts. On the
    /// way back there is no `version`: one that was there before need not say which it is.
    pub fn of(config: &'a Config, container: &'a Container, version: Option<&'a Version>) -> Option<Self> {
        let deploy = config.deploy();
        let expect = deploy.health_expect;
        let by_container = expect == HealthExpect::Container;
        let url = container.health_url.as_deref().filter(|_| !by_container);
        // What a command replaces need not be a container at all.
        let looks = by_container || !matches!(deploy.backend, Backend::Command { .. });
        (url.is_some() || looks).then_some(Self {
            config,
            name: &container.name,
            url,
            looks,
            version: version
                .filter(|_| expect == HealthExpect::Version)
                .map(Version::as_str),
        })
    }

    /// Whether it is healthy at this moment, as far as one look can tell; a container without a health check is when it
    /// runs. `now` is the container.
    pub fn at_a_glance(&self, now: &Seen) -> bool {
        let verdict = match self.url {
            Some(url) => judge::answer(&self.probe(url), self.version),
            None => judge::container(now, STEADY),
        };
        matches!(verdict, Healthy(_))
    }

    /// Waits until the container is healthy.
    ///
    /// # Errors
    /// With the last thing that was seen, when its time is up or it has ended.
    pub fn wait(&self, ctx: &mut RunContext) -> Result {
        let start = Instant::now();
        let longest = self.config.deploy().health_max_wait;
        let mut watched = Watched::default();
        let why = match self.watch(ctx, start + longest, &mut watched, true) {
            Ok(Healthy(how)) => {
                ctx.tell(format!("{}: {how} after {}", self.name, since(start)));
                return Ok(());
            }
            Ok(Hopeless(seen)) => format!("not healthy: {seen}"),
            Ok(NotYet(seen)) => format!("not healthy after {}: {seen}", HumanDuration(longest)),
            Err(late @ Failure::Deadline { .. }) => format!("not healthy yet: {}; {late}", watched.seen),
            Err(failure) => return Err(failure),
        };
        Err(self.failed(ctx, why))
    }

    /// Whether the container is healthy as it is: one answer of its URL counts, and a steady run is waited for. Why it is
    /// not, if it is not; nothing is said.
    pub fn now(&self, ctx: &mut RunContext) -> Result<Option<String>> {
        let steady = self.url.map_or(STEADY + LOOK_INTERVAL, |_| Duration::ZERO);
        let mut watched = Watched::default();
        Ok(
            match self.watch(ctx, Instant::now() + steady, &mut watched, false)? {
                Healthy(_) => None,
                NotYet(seen) | Hopeless(seen) => Some(format!("it is not healthy: {seen}")),
            },
        )
    }

    /// Looks until there is a verdict, or until `until`; what is seen meanwhile is said where it `says` so.
    fn watch(
        &self,
        ctx: &mut RunContext,
        until: Instant,
        watched: &mut Watched,
        says: bool,
    ) -> Result<Verdict> {
        let interval = self.config.deploy().poll_interval;
        let verdict = ctx.poll(interval, until, |ctx| {
            let verdict = self.look(ctx, watched)?;
            let NotYet(seen) = verdict else {
                return Ok(Some(verdict));
            };
            if says && watched.seen != seen {
                ctx.tell(format!("{}: not healthy yet: {seen}", self.name));
            }
            watched.seen = seen;
            Ok(None)
        })?;
        Ok(verdict.unwrap_or_else(|| NotYet(watched.seen.clone())))
    }

    fn look(&self, ctx: &mut RunContext, watched: &mut Watched) -> Result<Verdict> {
        let Some(url) = self.url else {
            return Ok(match docker::container(ctx, self.name)? {
                Some(now) => judge::container(&now, watched.steady_for(&now)),
                None => Hopeless("there is no such container".into()),
            });
        };
        let verdict = judge::answer(&self.probe(url), self.version);
        let is_due = watched.looked.is_none_or(|last| last.elapsed() >= LOOK_INTERVAL);
        if !self.looks || !is_due || !matches!(verdict, NotYet(_)) {
            return Ok(verdict);
        }
        watched.looked = Some(Instant::now());
        Ok(match docker::container(ctx, self.name)? {
            None => Hopeless("the container is gone".into()),
            Some(now) => match judge::alive(&now) {
                Hopeless(seen) => Hopeless(seen),
                _ => verdict,
            },
        })
    }

    fn probe(&self, url: &str) -> judge::Answer {
        let request = FetchRequest::new(self.config, url, PROBE_DEADLINE, MAX_FETCH)?;
        let answer = fetch::send(&request)?;
        Ok((answer.status, answer.body))
    }

    /// The failure, with how the container itself is where that may be the cause: a probe between two restarts knows only
    /// that nobody answered.
    fn failed(&self, ctx: &mut RunContext, mut why: String) -> Failure {
        let name = self.name;
        if self.looks {
            ctx.in_any_case(DOCKER_QUICK, |ctx| {
                if let Ok(Some(now)) = docker::container(ctx, name) {
                    let how = now.describe();
                    if (!now.is_running() || now.restart_count > 0) && !why.contains(&how) {
                        why.push_str(&format!("; the container is {how}"));
                    }
                }
                docker::say_log(ctx, name);
            });
        }
        Failure::Failed(format!("{name}: {why}"))
    }
}

impl Watched {
    /// For how long the container has been seen to run without a restart.
    fn steady_for(&mut self, now: &Seen) -> Duration {
        let same = self.steady.filter(|(_, restarts)| *restarts == now.restart_count);
        let steady = same.unwrap_or_else(|| (Instant::now(), now.restart_count));
        self.steady = Some(steady).filter(|_| now.is_running());
        self.steady.map_or(Duration::ZERO, |(start, _)| start.elapsed())
    }
}

/// Waits until every container has been up for long enough. `healthy` has how each was when it had just become so.
pub fn wait_until_stable(ctx: &mut RunContext, healthy: &[(Seen, Instant)]) -> Result {
    let steady = ctx.config.deploy().steady;
    let names: Vec<&str> = healthy.iter().map(|(one, _)| one.name()).collect();
    let until = healthy.iter().map(|(_, at)| *at + steady).max();
    let until = until.unwrap_or_else(Instant::now);
    let mut said = false;
    // The last step of a deploy: it is not cancelled.
    let fallen = ctx.in_any_case(steady + HEALTH_MARGIN, |ctx| {
        ctx.poll(LOOK_INTERVAL, until, |ctx| {
            let now = docker::containers(ctx, &names)?;
            if !said && Instant::now() < until {
                said = true;
                let steady = HumanDuration(steady);
                ctx.tell(format!(
                    "waiting until each has run for {steady} without a restart"
                ));
            }
            Ok(healthy.iter().find_map(|(then, at)| {
                let what = match now.iter().find(|now| now.name() == then.name()) {
                    None => "it is gone".to_owned(),
                    Some(now) if now.id != then.id => "somebody has replaced it".to_owned(),
                    Some(now) if now.is_running() && now.restart_count == then.restart_count => return None,
                    Some(now) => format!("it is {}", now.describe()),
                };
                Some((then.name().to_owned(), since(*at), what))
            }))
        })
    })?;
    let Some((name, after, what)) = fallen else {
        return Ok(());
    };
    ctx.in_any_case(DOCKER_QUICK, |ctx| docker::say_log(ctx, &name));
    fail(format!("{name}: was healthy, and after {after} {what}"))
}
