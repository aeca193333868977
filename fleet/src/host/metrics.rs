//! Counters in Prometheus' text form. Every combination of labels is there with 0 from the start: a rate over a series that
//! appears with its first failure misses that failure.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::ValueEnum;

use super::Settings;
use crate::wire::{Action, Code, Last, Role, Status};

/// In the place of an action that is none.
const INVALID: &str = "invalid";
/// Upper bounds of the duration's buckets, in seconds.
const BUCKETS: [u64; 10] = [1, 5, 15, 30, 60, 120, 300, 600, 1_200, 3_600];

#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: u64,
}

pub struct Metrics {
    /// By status, action and code. A request may name an action that is none.
    ends: BTreeMap<(Status, String, String), u64>,
    /// By action and success.
    durations: BTreeMap<(Action, bool), Histogram>,
    pub in_progress: bool,
    info: String,
}

impl Metrics {
    pub fn of(Settings { hostname, tier, role, .. }: &Settings) -> Self {
        let role = role.as_ref().map_or("", Role::as_str);
        let version = env!("CARGO_PKG_VERSION");
        let info = format!("hostname=\"{hostname}\",tier=\"{tier}\",role=\"{role}\",version=\"{version}\"");
        let mut metrics = Metrics { ends: BTreeMap::new(), durations: BTreeMap::new(), in_progress: false, info };
        for code in Code::ALL.map(|code| code.to_string()) {
            metrics.ends.insert((Status::Rejected, INVALID.to_owned(), code.clone()), 0);
            for action in Action::value_variants().iter().map(Action::to_string) {
                metrics.ends.insert((Status::Completed, action.clone(), String::new()), 0);
                metrics.ends.insert((Status::Failed, action.clone(), code.clone()), 0);
                metrics.ends.insert((Status::Rejected, action, code.clone()), 0);
            }
        }
        for &action in Action::value_variants() {
            metrics.durations.extend([true, false].map(|success| ((action, success), Histogram::default())));
        }
        metrics
    }

    pub fn ended(&mut self, action: Action, last: &Last, seconds: u64) {
        self.in_progress = false;
        let key = (last.status, action.to_string(), last.error.clone().unwrap_or_default());
        *self.ends.entry(key).or_default() += 1;
        let histogram = self.durations.entry((action, last.status == Status::Completed)).or_default();
        for (bucket, bound) in histogram.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
        histogram.count += 1;
        histogram.sum += seconds;
    }

    pub fn rejected(&mut self, action: Option<Action>, code: Code) {
        let action = action.map_or(INVALID.to_owned(), |action| action.to_string());
        *self.ends.entry((Status::Rejected, action, code.to_string())).or_default() += 1;
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
