//! A run in its middle, something that happens to it, and what is left afterwards.
//!
//! Each has a site of its own. An apply makes three things, one after another, with a provider that ignores INT and takes
//! its time for the second; the event comes in its middle. A plan reads something for some seconds.

use std::fmt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::curl::Call;
use crate::support::roles::roles_below;
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::site::{Site, run_id};
use crate::support::terraform::{at_work, text as hcl};
use crate::support::wait_until;

/// What [`Left::row`] is a row of.
pub const HEAD: &str = "| run   | event                | ended   | record | state                    | lost       | lock     | the record says";

/// How long the second thing of an apply, and the reading of a plan, takes.
const SLOW: u32 = 4;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// What happens in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    CallerGone,
    ServeTerm,
    SessionKilled,
    RunKilled,
    TerraformKilled,
    Cancelled,
    Forced,
    RunTerm,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Event::CallerGone => "caller gone",
            Event::ServeTerm => "TERM to serve",
            Event::SessionKilled => "KILL of the session",
            Event::RunKilled => "KILL of the run",
            Event::TerraformKilled => "KILL of terraform",
            Event::Cancelled => "`cancel RUN`",
            Event::Forced => "`cancel RUN --force`",
            Event::RunTerm => "TERM to the run",
        })
    }
}

/// What was found afterwards.
pub struct Left {
    pub after: Duration,
    pub resources: Vec<String>,
    pub lock: Option<Value>,
    pub outcome: Value,
    pub book: Vec<String>,
}

impl Left {
    pub fn error(&self) -> &str {
        self.outcome["error"].as_str().unwrap_or_default()
    }

    pub fn made(&self, name: &str) -> bool {
        self.book.contains(&format!("create-end {name}"))
    }

    pub fn lost(&self) -> Vec<&str> {
        let made = self
            .book
            .iter()
            .filter_map(|line| line.strip_prefix("create-end "));
        made.filter(|name| !self.resources.iter().any(|known| known == name))
            .collect()
    }

    pub fn row(&self, what: &str, event: Event) -> String {
        let lock = if self.lock.is_some() { "LEFT" } else { "released" };
        format!(
            "| {what:5} | {:20} | {:5.1} s | {:6} | {:24} | {:10} | {lock:8} | {}",
            event.to_string(),
            self.after.as_secs_f64(),
            self.outcome["status"].as_str().unwrap_or("?"),
            self.resources.join(" "),
            self.lost().join(" "),
            self.error(),
        )
    }
}

/// A run in its middle.
pub struct Midway {
    pub site: Site,
    pub provider: Option<SlowProvider>,
    pub call: Option<Call>,
    pub id: String,
    session: i32,
    terraform: i32,
}

impl Midway {
    pub fn apply() -> Midway {
        let provider = SlowProvider::new();
        let site = Site::with(|setup| {
            setup.set("DEPLOYER_TF_CLI_CONFIG_FILE", provider.cli_config());
            setup.set("DEPLOYER_TF_LOCKFILE", "readonly");
        });
        let things = hcl::slow_things(&[("first", 0), ("slow", SLOW), ("last", 0)]);
        let sha = site.repository.commit(&[
            ("main.tf", &site.text(&things)),
            (".terraform.lock.hcl", &provider.lock_file()),
        ]);
        let session = warm_session(&site);
        let mut call = site.start_apply(json!({"sha": sha}));
        let id = run_id(&mut call);
        wait_until("the slow thing is being made", SOON, || {
            assert_still_runs(&mut call);
            provider.has_noted("create-begin slow")
        });
        let terraform = site.terraform_at_work(" apply ");
        assert!(site.lock().is_some(), "the state is locked meanwhile");
        Midway {
            site,
            provider: Some(provider),
            call: Some(call),
            id,
            session,
            terraform,
        }
    }

    pub fn plan() -> Midway {
        let site = Site::new();
        site.commit("");
        let sha = site.propose(&(hcl::chain(&["a"]) + &hcl::waiting(&hcl::sleeper(), SLOW)));
        let session = warm_session(&site);
        let mut call = site.start_plan(json!({"sha": sha}));
        let id = run_id(&mut call);
        wait_until("the state is locked", SOON, || {
            assert_still_runs(&mut call);
            site.lock().is_some()
        });
        let terraform = site.terraform_at_work(" plan ");
        Midway {
            site,
            provider: None,
            call: Some(call),
            id,
            session,
            terraform,
        }
    }

    /// Lets it happen, waits until all is over, and looks at what is left.
    pub fn meet(mut self, event: Event) -> Left {
        let began = Instant::now();
        self.happen(event);
        let outcome = self.site.outcome(&self.id);
        self.site.no_terraform_is_left(SOON);
        let after = began.elapsed();
        // An orphan of the provider may still be making something.
        let book = || self.provider.as_ref().map_or_else(Vec::new, SlowProvider::book);
        std::thread::sleep(Duration::from_millis(500));
        Left {
            after,
            resources: self.site.resources(),
            lock: self.site.lock(),
            outcome,
            book: book(),
        }
    }

    fn happen(&mut self, event: Event) {
        let run = at_work::run_process(&self.site.deployer.runtime(), &self.id);
        match event {
            Event::CallerGone => self.call.take().expect("a caller").vanish(),
            Event::ServeTerm => self.site.deployer.stop(),
            Event::SessionKilled => at_work::signal(self.session, Signal::SIGKILL),
            Event::RunKilled => at_work::signal(run, Signal::SIGKILL),
            Event::TerraformKilled => at_work::signal(self.terraform, Signal::SIGKILL),
            Event::RunTerm => at_work::signal(run, Signal::SIGTERM),
            Event::Cancelled => {
                let output = self.site.deployer.run(&["cancel", &self.id]);
                assert!(output.status.success(), "{output:?}");
            }
            Event::Forced => {
                let output = self.site.deployer.run(&["cancel", &self.id, "--force"]);
                assert!(output.status.success(), "{output:?}");
            }
        }
    }
}

/// Fails when the run has ended before its middle.
#[track_caller]
fn assert_still_runs(call: &mut Call) {
    let answer = call.so_far();
    let last = answer.lines.last().map(|(_, line)| line.as_str());
    assert!(last.is_none_or(|line| line.contains("\"phase\"")), "{answer:#?}");
}

/// The session that the next connection gets.
#[track_caller]
fn warm_session(site: &Site) -> i32 {
    let mut found = Vec::new();
    wait_until("one session waits", SOON, || {
        found = roles_below(site.deployer.pid(), "session");
        found.len() == 1
    });
    found[0].pid
}
