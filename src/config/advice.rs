//! What `check` advises though nothing is wrong: pins that are not set and would close a known way in.
//!
//! Each line says what could happen without it and what to write. The rules and their sources are those of trusted
//! publishing elsewhere: names can change hands, ids cannot; a workflow is one file on one branch; events are allowed,
//! not denied.

use super::pins::{self, GITHUB};
use super::{Account, Config, Endpoint, Expected, Job, parse};

/// Events that run with the repository's rights on what a stranger has sent.
const RISKY_EVENTS: [&str; 4] = [
    "pull_request_target",
    "workflow_run",
    "issue_comment",
    "pull_request",
];

impl Config {
    /// Advice on a configuration that is right but could be tighter; a line each, the weightiest first.
    pub fn advice(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for endpoint in self.endpoints() {
            let about = if pins::is_github(&self.issuer.name) {
                github(endpoint)
            } else {
                elsewhere(endpoint)
            };
            let both = about.into_iter().chain(subject(endpoint)).chain(events(endpoint));
            lines.extend(both.map(|line| format!("{}: {line}", endpoint.path)));
        }
        lines.extend(self.around());
        lines
    }

    /// Everything but the pins.
    fn around(&self) -> impl Iterator<Item = String> {
        let keys = (self.issuer.name == GITHUB && !self.issuer.jwks_url.starts_with(&format!("{GITHUB}/")))
            .then(|| {
                format!(
                    "keys for GitHub's tokens come from {}; whoever runs that can deploy",
                    self.issuer.jwks_url
                )
            });
        let open = self
            .allowed
            .is_open()
            .then(|| "DEPLOYER_ALLOWED_IPS lets every address in; the source gate stops nobody".to_owned());
        let shared = [
            ("DEPLOYER_USER", &self.front_user),
            ("DEPLOYER_FETCH_USER", &self.fetch_user),
        ]
        .into_iter()
        .filter(|(_, user)| is_shared(user))
        .map(|(name, _)| format!("{name} is a user that other programs share; give it one of its own"));
        let short = parse::shortest_run(self).map(|probing| {
            format!(
                "DEPLOYER_RUN_MAX ends a run before all containers had DEPLOYER_HEALTH_MAX_WAIT ({} s in all)",
                probing.as_secs()
            )
        });
        keys.into_iter()
            .chain(open)
            .chain(shared)
            .chain(short)
            .chain(self.another_repository())
    }
}

impl Config {
    /// The default of the repository that terraform is fetched from is one of ours; with other pins it was forgotten.
    fn another_repository(&self) -> Option<String> {
        let url = &self.terraform.as_ref()?.repo_url;
        let endpoint = self.endpoint_named(Job::TfApply.name())?;
        let fetched = url.strip_prefix("https://github.com/")?.trim_end_matches(".git");
        let pinned = values(endpoint, "repository").next()?;
        (!fetched.eq_ignore_ascii_case(pinned)).then(|| {
            format!("DEPLOYER_TF_APPLY_REPO_URL is {url}, but tokens are those of {pinned}, whose commits it will not have")
        })
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
    for (claim, what) in [("repository_id", "repository"), ("repository_owner_id", "owner")] {
        if !is_pinned(endpoint, claim) {
            lines.push(format!(
                "`{claim}` is not pinned: a deleted or renamed {what}'s name can be taken by another; add \
                 {claim}=NUMBER to {}",
                claims_of(endpoint)
            ));
        }
    }
    // A plan is for whoever may open a pull request; an environment would only ask somebody to wait.
    if endpoint.job != Job::TfPlan && !is_pinned(endpoint, "environment") {
        lines.push(format!(
            "`environment` is not pinned: a protected environment, pinned as environment=NAME in {}, asks for more than \
             the right to push",
            claims_of(endpoint)
        ));
    }
    lines.extend(workflow(endpoint));
    lines
}

/// A workflow on a branch, and the branch pinned beside it, should be the same branch.
fn workflow(endpoint: &Endpoint) -> Vec<String> {
    let at = |value: &str| value.split_once("@refs/").map(|(_, rest)| format!("refs/{rest}"));
    let mut lines = Vec::new();
    for value in values(endpoint, "workflow_ref") {
        match at(value) {
            None => lines.push(format!("`workflow_ref` {value} has no `@refs/...`: name the branch it is on, whole")),
            Some(branch) if !values(endpoint, "ref").any(|pinned| pinned == branch) => lines.push(format!(
                "`workflow_ref` {value} is on {branch}, which {} does not name; both must hold, and for most events \
                 they are the same",
                match endpoint.job {
                    Job::Deploy => "DEPLOYER_REF",
                    _ => "DEPLOYER_TF_APPLY_REF",
                }
            )),
            Some(_) => {}
        }
    }
    lines
}

fn elsewhere(endpoint: &Endpoint) -> Vec<String> {
    let mut lines = Vec::new();
    if !["project_id", "repository_id"]
        .iter()
        .any(|claim| is_pinned(endpoint, claim))
    {
        lines.push(
            "the project is pinned by name alone, and names can change hands: pin project_id or repository_id".into(),
        );
    }
    let short = values(endpoint, "ref").any(|value| !value.starts_with("refs/"));
    if short
        && !["ref_type", "ref_path"]
            .iter()
            .any(|claim| is_pinned(endpoint, claim))
    {
        lines.push(
            "`ref` is a short name, so a tag of that name passes too: pin ref_type=branch as well".into(),
        );
    }
    lines
}

/// The variable with further claims of this endpoint.
fn claims_of(endpoint: &Endpoint) -> &'static str {
    match endpoint.job {
        Job::Deploy => "DEPLOYER_CLAIMS",
        Job::TfPlan => "DEPLOYER_TF_PLAN_CLAIMS",
        Job::TfApply | Job::TfDrift => "DEPLOYER_TF_APPLY_CLAIMS",
    }
}

fn events(endpoint: &Endpoint) -> Vec<String> {
    // Its workflow must have run on `refs/pull/<number>/merge`, which one event alone does.
    if endpoint.job == Job::TfPlan {
        return Vec::new();
    }
    let risky: Vec<&str> = values(endpoint, "event_name")
        .filter(|one| RISKY_EVENTS.contains(one))
        .collect();
    if !risky.is_empty() {
        return vec![format!(
            "`event_name` allows {}: such runs work on what a stranger sent",
            risky.join(", ")
        )];
    }
    // Forgejo has the claim as well; GitLab's is called pipeline_source.
    if is_pinned(endpoint, "event_name") || is_pinned(endpoint, "pipeline_source") {
        return Vec::new();
    }
    vec![format!(
        "no event is pinned: add event_name=push,event_name=workflow_dispatch (GitLab: pipeline_source=web, or \
         however you start it) to {}, so that no other event passes",
        claims_of(endpoint)
    )]
}

/// `sub` can be given another form by whoever runs the project; in its immutable form it holds ids, which must agree.
fn subject(endpoint: &Endpoint) -> Vec<String> {
    let mut lines = Vec::new();
    for value in values(endpoint, "sub") {
        let Some((owner, repository)) = ids(value) else {
            // For a plan there is always a pin on it, beside those on claims.
            if endpoint.job == Job::TfPlan {
                continue;
            }
            lines.push(format!(
                "`sub` {value} has no ids in it, and its form can be changed by API: pin claims, not `sub`"
            ));
            continue;
        };
        for (claim, id) in [("repository_owner_id", owner), ("repository_id", repository)] {
            if is_pinned(endpoint, claim) && !values(endpoint, claim).any(|pinned| pinned == id) {
                lines.push(format!(
                    "`sub` {value} has {id} where `{claim}` is pinned to another: both can never hold"
                ));
            }
        }
    }
    lines
}

/// Owner's and repository's id in `repo:OWNER@OWNERID/REPO@REPOID:...`; names cannot hold an `@`.
fn ids(subject: &str) -> Option<(&str, &str)> {
    let (owner, rest) = subject.strip_prefix("repo:")?.split_once('/')?;
    let (_, owner_id) = owner.split_once('@')?;
    let (_, repository_id) = rest.split(':').next()?.split_once('@')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (number(owner_id) && number(repository_id)).then_some((owner_id, repository_id))
}

fn is_pinned(endpoint: &Endpoint, claim: &str) -> bool {
    endpoint.pins_of(claim).next().is_some()
}

/// The values that pins on `claim` list.
fn values<'a>(endpoint: &'a Endpoint, claim: &'a str) -> impl Iterator<Item = &'a str> {
    endpoint.pins_of(claim).flat_map(|pin| match &pin.expected {
        Expected::AnyOf(values) => values.iter().map(String::as_str).collect::<Vec<_>>(),
        Expected::PullRequestOf(_) => Vec::new(),
    })
}

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
