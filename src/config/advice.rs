//! What `check` advises though nothing is wrong: pins that are not set and would close a known way in.
//!
//! The rules and their sources are those of trusted publishing elsewhere: a name can pass to another owner, an id cannot;
//! events are allowed, not denied.

use super::{Config, Endpoint, Expected, Job, pins};

/// Runs of these work with the repository's rights on what a stranger has sent.
const RISKY: [&str; 4] = [
    "pull_request",
    "pull_request_target",
    "workflow_run",
    "issue_comment",
];

impl Config {
    /// Advice on a configuration that is right but could be tighter, a line each.
    pub fn advice(&self) -> Vec<String> {
        let by_github = pins::is_github(&self.issuer.name);
        let of_endpoints = self.endpoints().flat_map(|one| of_endpoint(one, by_github));
        let mut lines: Vec<String> = of_endpoints.collect();
        if self.allowed.is_open() {
            lines.push("DEPLOYER_ALLOWED_IPS lets every address in".into());
        }
        // `nobody` of Debian and of Unraid.
        let nobody = |user: &str| matches!(user, "65534" | "99" | "nobody");
        let users = self.users().into_iter().filter(|(_, user)| nobody(user));
        lines.extend(users.map(|(name, _)| format!("{name} is a user that other programs share")));
        lines
    }
}

fn of_endpoint(endpoint: &Endpoint, by_github: bool) -> Vec<String> {
    const TAKEN: &str = "a deleted name can be taken by another";
    const PUSH: &str = "it asks for more than the right to push";
    const TAG: &str = "a tag of that name passes too";
    const EVENT: &str = "every event passes";
    let values = |claim| {
        endpoint.pins_of(claim).flat_map(|pin| match &pin.expected {
            Expected::AnyOf(values) => &values[..],
            Expected::PullRequestOf(_) => &[],
        })
    };
    let is_plan = endpoint.job == Job::TfPlan;
    let is_short = values("ref").any(|value| !value.starts_with("refs/"));
    // Whether it is asked for, the claims of which one will do, and why.
    let rules = [
        (by_github, &["repository_id"][..], TAKEN),
        (by_github, &["repository_owner_id"], TAKEN),
        // A plan is for whoever may open a pull request; an environment would only ask somebody to wait.
        (by_github && !is_plan, &["environment"], PUSH),
        (!by_github, &["project_id", "repository_id"], TAKEN),
        (!by_github && is_short, &["ref_type", "ref_path"], TAG),
        // A plan's workflow must have run on `refs/pull/<number>/merge`, which one event alone does.
        (!is_plan, &["event_name", "pipeline_source"], EVENT),
    ];
    let is_pinned = |claim: &&str| endpoint.pins_of(claim).next().is_some();
    let is_missing = |(asked, any, _): &(bool, &[&str], _)| *asked && !any.iter().any(is_pinned);
    let missing = rules.into_iter().filter(is_missing);
    let (path, list) = (endpoint.path, claims_of(endpoint));
    let pin = missing.map(|(_, any, why)| format!("{path}: pin {} in {list}: {why}", any.join(" or ")));
    let risky = values("event_name").filter(|event| !is_plan && RISKY.contains(&event.as_str()));
    let risky = risky.map(|event| format!("{path}: event {event} works on what a stranger sent"));
    pin.chain(risky).collect()
}

/// The variable with further claims of this endpoint.
fn claims_of(endpoint: &Endpoint) -> &'static str {
    match endpoint.job {
        Job::Deploy => "DEPLOYER_CLAIMS",
        Job::TfPlan => "DEPLOYER_TF_PLAN_CLAIMS",
        Job::TfApply | Job::TfDrift => "DEPLOYER_TF_APPLY_CLAIMS",
    }
}

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
