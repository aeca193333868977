//! Counters in Prometheus' text form. Every combination of labels is there with 0 from the start: a rate over a series that
//! appears with its first failure misses that failure.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Settings;
use crate::wire::{Action, Code, Status};

/// Upper bounds of the duration's buckets, in seconds.
const BUCKETS: [u64; 10] = [1, 5, 15, 30, 60, 120, 300, 600, 1_200, 3_600];

/// Codes of the ends that a run can come to, and of rejections.
const FAILURES: [Code; 6] = [
    Code::AlreadyRunning,
    Code::BuildFailed,
    Code::Timeout,
    Code::Interrupted,
    Code::ActivationFailed,
    Code::RolledBack,
];
const REJECTIONS: [Code; 8] = [
    Code::InvalidRevision,
    Code::InvalidAction,
    Code::AlreadyRunning,
    Code::Expired,
    Code::DuplicateId,
    Code::Unsigned,
    Code::Held,
    Code::Quarantined,
];

#[derive(Default, Clone)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: u64,
}

pub struct Metrics {
    /// By status, action and code.
    ends: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// By action and success.
    durations: BTreeMap<(&'static str, bool), Histogram>,
    in_progress: bool,
    info: String,
}

/// A request may name an action that is none.
fn name(action: Option<Action>) -> &'static str {
    action.map_or("invalid", Action::as_str)
}

impl Metrics {
    pub fn of(settings: &Settings) -> Self {
        let mut ends = BTreeMap::new();
        let mut durations = BTreeMap::new();
        for action in Action::ALL.map(Some).into_iter().chain([None]) {
            for code in REJECTIONS {
                ends.insert(("rejected", name(action), code.as_str()), 0);
            }
        }
        for action in Action::ALL {
            ends.insert(("completed", action.as_str(), ""), 0);
            for code in FAILURES {
                ends.insert(("failed", action.as_str(), code.as_str()), 0);
            }
            for success in [true, false] {
                durations.insert((action.as_str(), success), Histogram::default());
            }
        }
        let role = settings.role.as_ref().map_or("", |role| role.as_str());
        let info = format!(
            "hostname=\"{}\",tier=\"{}\",role=\"{role}\",version=\"{}\"",
            settings.hostname,
            settings.tier,
            env!("CARGO_PKG_VERSION")
        );
        Metrics { ends, durations, in_progress: false, info }
    }

    pub fn begun(&mut self) {
        self.in_progress = true;
    }

    pub fn ended(&mut self, status: Status, action: Action, code: Option<Code>, seconds: u64) {
        self.in_progress = false;
        let code = code.map_or("", Code::as_str);
        *self.ends.entry((status.as_str(), action.as_str(), code)).or_default() += 1;
        let success = status == Status::Completed;
        let histogram = self.durations.entry((action.as_str(), success)).or_default();
        for (bucket, bound) in histogram.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
        histogram.count += 1;
        histogram.sum += seconds;
    }

    pub fn rejected(&mut self, action: Option<Action>, code: Code) {
        *self.ends.entry(("rejected", name(action), code.as_str())).or_default() += 1;
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            writeln!(text, "# HELP homelab_deploy_{name} {help}\n# TYPE homelab_deploy_{name} {kind}").ok();
        };
        head(&mut text, "deployments_total", "counter", "Deploys that ended, and requests that were rejected.");
        for ((status, action, code), count) in &self.ends {
            writeln!(
                text,
                "homelab_deploy_deployments_total{{status=\"{status}\",action=\"{action}\",error_code=\"{code}\"}} {count}"
            )
            .ok();
        }
        head(&mut text, "deployment_duration_seconds", "histogram", "From accepted to the end.");
        for ((action, success), histogram) in &self.durations {
            histogram.write(&mut text, &format!("action=\"{action}\",success=\"{success}\""));
        }
        head(&mut text, "deployment_in_progress", "gauge", "Whether a run goes on.");
        writeln!(text, "homelab_deploy_deployment_in_progress {}", u8::from(self.in_progress)).ok();
        head(&mut text, "info", "gauge", "This listener.");
        writeln!(text, "homelab_deploy_info{{{}}} 1", self.info).ok();
        text
    }
}

impl Histogram {
    fn write(&self, text: &mut String, labels: &str) {
        let name = "homelab_deploy_deployment_duration_seconds";
        for (count, bound) in self.buckets.iter().zip(BUCKETS) {
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}").ok();
        }
        writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count).ok();
        writeln!(text, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {}", self.sum, self.count).ok();
    }
}
