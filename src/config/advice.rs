//! What `check` advises though nothing is wrong: pins that are not set and would close a known way in.
//!
//! Each line says what could happen without it and what to write. The rules and their sources are those of trusted
//! publishing elsewhere: a name can pass to another owner, an id cannot; events are allowed, not denied.

use super::pins::{self, GITHUB};
use super::{Account, Config, Endpoint, Expected, Job};

impl Config {
    /// Advice on a configuration that is right but could be tighter; a line each, the weightiest first.
    pub fn advice(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for endpoint in self.endpoints() {
            let project = match pins::is_github(&self.issuer.name) {
                true => github(endpoint),
                false => elsewhere(endpoint),
            };
            let all = project.into_iter().chain(events(endpoint));
            lines.extend(all.map(|line| format!("{}: {line}", endpoint.path)));
        }
        let keys = &self.issuer.jwks_url;
        if self.issuer.name == GITHUB && !keys.starts_with(&format!("{GITHUB}/")) {
            lines.push(format!(
                "keys for GitHub's tokens come from {keys}; whoever runs that can deploy"
            ));
        }
        if self.allowed.is_open() {
            lines.push("DEPLOYER_ALLOWED_IPS lets every address in; the source gate stops nobody".into());
        }
        let users = self.users().into_iter().filter(|(_, user)| is_shared(user));
        lines.extend(
            users.map(|(name, _)| {
                format!("{name} is a user that other programs share; give it one of its own")
            }),
        );
        lines
    }
}

/// `nobody` of Debian and of Unraid, by number and by name.
fn is_shared(user: &Account) -> bool {
    match user {
        Account::Id(id) => matches!(id, 65534 | 99),
        Account::Name(name) => matches!(name.as_str(), "nobody" | "nogroup"),
    }
}

fn github(endpoint: &Endpoint) -> Vec<String> {
    let mut lines = Vec::new();
    for (claim, why) in [
        ("repository_id", "a deleted name can be taken by another"),
        ("repository_owner_id", "a deleted name can be taken by another"),
        ("environment", "it asks for more than the right to push"),
    ] {
        // A plan is for whoever may open a pull request; an environment would only ask somebody to wait.
        let is_asked = claim != "environment" || endpoint.job != Job::TfPlan;
        if is_asked && !is_pinned(endpoint, &[claim]) {
            let list = claims_of(endpoint);
            lines.push(format!(
                "`{claim}` is not pinned: {why}; add {claim}=VALUE to {list}"
            ));
        }
    }
    lines
}

fn elsewhere(endpoint: &Endpoint) -> Vec<String> {
    let mut lines = Vec::new();
    if !is_pinned(endpoint, &["project_id", "repository_id"]) {
        lines.push(
            "the project is pinned by name alone, and a deleted name can be taken by another: pin project_id or repository_id".into(),
        );
    }
    let is_short = values(endpoint, "ref").any(|value| !value.starts_with("refs/"));
    if is_short && !is_pinned(endpoint, &["ref_type", "ref_path"]) {
        lines.push(
            "`ref` is a short name, so a tag of that name passes too: pin ref_type=branch as well".into(),
        );
    }
    lines
}

fn events(endpoint: &Endpoint) -> Option<String> {
    // A plan's workflow must have run on `refs/pull/<number>/merge`, which one event alone does.
    if endpoint.job == Job::TfPlan {
        return None;
    }
    // These run with the repository's rights on what a stranger has sent.
    let risky = [
        "pull_request",
        "pull_request_target",
        "workflow_run",
        "issue_comment",
    ];
    let risky: Vec<&str> = values(endpoint, "event_name")
        .filter(|one| risky.contains(one))
        .collect();
    if !risky.is_empty() {
        return Some(format!(
            "`event_name` allows {}: such runs work on what a stranger sent",
            risky.join(", ")
        ));
    }
    // Forgejo has the claim as well; GitLab's is called pipeline_source.
    if is_pinned(endpoint, &["event_name", "pipeline_source"]) {
        return None;
    }
    let list = claims_of(endpoint);
    Some(format!(
        "no event is pinned: add event_name=push,event_name=workflow_dispatch (GitLab: pipeline_source=web, or \
         however you start it) to {list}, so that no other event passes"
    ))
}

/// The variable with further claims of this endpoint.
fn claims_of(endpoint: &Endpoint) -> &'static str {
    match endpoint.job {
        Job::Deploy => "DEPLOYER_CLAIMS",
        Job::TfPlan => "DEPLOYER_TF_PLAN_CLAIMS",
        Job::TfApply | Job::TfDrift => "DEPLOYER_TF_APPLY_CLAIMS",
    }
}

/// Whether one of these claims is pinned.
fn is_pinned(endpoint: &Endpoint, claims: &[&str]) -> bool {
    endpoint
        .pins
        .iter()
        .any(|pin| claims.contains(&pin.claim.as_str()))
}

/// The values that pins on `claim` list.
fn values<'a>(endpoint: &'a Endpoint, claim: &'a str) -> impl Iterator<Item = &'a str> {
    let listed = endpoint.pins_of(claim).filter_map(|pin| match &pin.expected {
        Expected::AnyOf(values) => Some(values),
        Expected::PullRequestOf(_) => None,
    });
    listed.flatten().map(String::as_str)
}

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
