//! The terraform settings: all that is needed, or none. One of [`SWITCHES`] that is set asks for the endpoints, and then
//! whatever is missing is complained of; without them nothing here is read.

use std::path::{Path, PathBuf};

use super::table::VARIABLES;
use super::{DEFAULT_MODULE, GithubApp, HealthUrl, Module, Side, TerraformConfig, value as tf};
use crate::config::duration::duration;
use crate::config::parse::{must_be_of, with_listed};
use crate::config::reader::Reader;
use crate::config::{
    Account, BodyRule, Config, Endpoint, Expected, Job, Pin, Places, Settings, TerraformBody, pins, value,
};
use crate::secret::Secret;

/// Each of these, when it is set, asks for both endpoints.
pub const SWITCHES: [&str; 5] = [
    REPOSITORY,
    WORKFLOW_REF,
    ROOT_DIR,
    "DEPLOYER_TF_AWS_ACCESS_KEY_ID",
    "DEPLOYER_TF_AWS_SECRET_ACCESS_KEY",
];

const REPOSITORY: &str = "DEPLOYER_TF_APPLY_REPOSITORY";
const WORKFLOW_REF: &str = "DEPLOYER_TF_APPLY_WORKFLOW_REF";
const ROOT_DIR: &str = "DEPLOYER_TF_APPLY_ROOT_DIR";

const NO_CREDENTIALS: &str = "a plan has no credentials: set DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID and \
                              DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY to a key that can only read, or \
                              DEPLOYER_TF_PLAN_SHARE_CREDENTIALS=yes, which gives an apply's key to whoever opens a \
                              pull request";

/// Reads all of it, beside the `rest` of the settings: what a run needs, and the endpoints that start one.
pub fn terraform(r: &mut Reader, rest: &Config) -> Option<TerraformConfig> {
    if SWITCHES.iter().all(|name| r.set(name).is_none()) {
        return None;
    }
    let reference = r.read("DEPLOYER_TF_APPLY_REF", pins::reference);
    let modules = modules(r);
    let repo_url = r.read("DEPLOYER_TF_APPLY_REPO_URL", tf::repo_url);
    let (workdir, plan_workdir) = folders(r, &rest.places);
    let (apply, plan) = sides(r, rest);
    let require_digest = r.on_or_off("DEPLOYER_TF_APPLY_REQUIRE_DIGEST");
    let mut endpoints = endpoints(r, rest, &reference, &modules, require_digest);
    endpoints.retain(|endpoint| plan.is_some() || endpoint.job != Job::TfPlan);
    Some(TerraformConfig {
        endpoints,
        reference,
        workdir,
        plan_workdir,
        git: r.read("DEPLOYER_TF_GIT_BINARY_PATH", value::program),
        terraform: r.read("DEPLOYER_TF_BINARY_PATH", value::program),
        region: r.read("DEPLOYER_TF_AWS_REGION", tf::word),
        apply,
        no_plan: plan.is_none().then(|| NO_CREDENTIALS.into()),
        plan,
        lockfile_readonly: r.choice("DEPLOYER_TF_LOCKFILE", &[("readonly", true), ("update", false)]),
        lock_timeout: r.read("DEPLOYER_TF_LOCK_TIMEOUT", duration),
        run_max: r.read("DEPLOYER_TF_RUN_MAX", duration),
        require_digest,
        destroy_limit: r
            .optional("DEPLOYER_TF_DESTROY_LIMIT", value::count(0..=u32::MAX))
            .map(u64::from),
        health_urls: health_urls(r, &modules),
        modules,
        app: app(r, &repo_url),
        repo_url,
        cli_config: r.optional("DEPLOYER_TF_CLI_CONFIG_FILE", value::path),
        plugin_cache: r.optional("DEPLOYER_TF_PLUGIN_CACHE_DIR", value::path),
    })
}

/// A line about settings that are not read, because none of [`SWITCHES`] is set.
pub fn unread(settings: &Settings) -> Option<String> {
    let is_ours = |name: &&str| VARIABLES.iter().any(|one| one.name == *name);
    let names: Vec<&str> = settings.names().filter(is_ours).collect();
    if names.is_empty() || SWITCHES.iter().any(|name| names.contains(name)) {
        return None;
    }
    let (names, switches) = (names.join(", "), SWITCHES.join(", "));
    Some(format!(
        "not read: {names}; /tf-apply and /tf-plan answer 404 unless all of these are set: {switches}"
    ))
}

/// `/tf-apply` and `/tf-plan`. Both are of one repository; they differ in audience, branch and workflow, so that a token
/// for one opens no other. Only issuers whose tokens name a repository and a workflow as GitHub's do can be pinned here;
/// Forgejo's do.
fn endpoints(
    r: &mut Reader,
    rest: &Config,
    reference: &str,
    modules: &[Module],
    digest: bool,
) -> Vec<Endpoint> {
    let [apply_audience, plan_audience] = audiences(r, &rest.application().endpoint.audience);
    let (apply_pins, plan_pins) = pins_of_both(r, reference);
    let endpoint = |job: Job, path, audience, pins, require_sha, require_digest| Endpoint {
        name: job.name(),
        path,
        audience,
        pins,
        body: BodyRule::Terraform(TerraformBody {
            what: job,
            modules: modules.iter().map(|module| module.name.clone()).collect(),
            require_sha,
            require_digest,
        }),
        job,
    };
    let sha = r.on_or_off("DEPLOYER_TF_APPLY_REQUIRE_SHA");
    vec![
        endpoint(Job::TfApply, "/tf-apply", apply_audience, apply_pins, sha, digest),
        // A pull request's token names the merge commit, not the one whose plan is wanted.
        endpoint(Job::TfPlan, "/tf-plan", plan_audience, plan_pins, false, false),
    ]
}

/// The audience is what tells a token for one endpoint from a token for another, so no two may have the same.
fn audiences(r: &mut Reader, deploy: &str) -> [String; 2] {
    const APPLY: &str = "DEPLOYER_TF_APPLY_AUDIENCE";
    const PLAN: &str = "DEPLOYER_TF_PLAN_AUDIENCE";
    const SHOULD: &str = "an audience that no other endpoint has: a token for one opens no other";
    let [apply, plan] = [APPLY, PLAN].map(|name| r.read(name, pins::exact));
    r.must_fit(APPLY, apply != deploy, SHOULD);
    r.must_fit(PLAN, plan != deploy && plan != apply, SHOULD);
    [apply, plan]
}

/// What a token must say for an apply, and for a plan.
fn pins_of_both(r: &mut Reader, reference: &str) -> (Vec<Pin>, Vec<Pin>) {
    const SUBJECT: &str = "DEPLOYER_TF_PLAN_SUBJECT";
    const PREFIX: &str = "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX";
    let repository = r.read(REPOSITORY, pins::repository);
    let workflow = r.read(WORKFLOW_REF, pins::workflow_refs);
    must_be_of(r, (REPOSITORY, &repository), (WORKFLOW_REF, &workflow));
    let subject = r.optional(SUBJECT, pins::exact_list);
    let subject = subject.unwrap_or_else(|| vec![format!("repo:{repository}:pull_request")]);
    let prefix = r.optional(PREFIX, pins::workflow_prefix);
    let prefix = [prefix.unwrap_or_else(|| format!("{repository}/.github/workflows/tf-plan.yml@"))];
    must_be_of(r, (REPOSITORY, &repository), (PREFIX, &prefix));
    let [prefix] = prefix;
    let apply = vec![
        pins::pin("repository", vec![repository.clone()]),
        pins::pin("ref", vec![reference.to_owned()]),
        pins::pin("workflow_ref", workflow),
    ];
    let plan = vec![
        pins::pin("repository", vec![repository]),
        pins::pin("sub", subject),
        Pin {
            claim: "workflow_ref".into(),
            expected: Expected::PullRequestOf(prefix),
        },
    ];
    let apply = with_listed(r, apply, "DEPLOYER_TF_APPLY_CLAIMS");
    (apply, with_listed(r, plan, "DEPLOYER_TF_PLAN_CLAIMS"))
}

fn modules(r: &mut Reader) -> Vec<Module> {
    let first = Module {
        name: DEFAULT_MODULE.into(),
        path: r.read(ROOT_DIR, tf::module_path),
    };
    let further = r.optional("DEPLOYER_TF_MODULES", tf::modules);
    std::iter::once(first)
        .chain(further.unwrap_or_default())
        .collect()
}

fn health_urls(r: &mut Reader, modules: &[Module]) -> Vec<HealthUrl> {
    const NAME: &str = "DEPLOYER_TF_HEALTH_URLS";
    let urls = r.optional(NAME, tf::health_urls).unwrap_or_default();
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let known = urls.iter().all(|url| names.contains(&url.module.as_str()));
    let should = format!("of modules that there are: {}", names.join(", "));
    r.must_fit(NAME, known || r.is_wrong("DEPLOYER_TF_MODULES"), should);
    urls
}

/// How the repository is read where it is private; needed for GitHub's.
fn app(r: &mut Reader, repo_url: &str) -> Option<GithubApp> {
    const APP: [&str; 3] = [
        "DEPLOYER_TF_APPLY_GH_APP_ID",
        "DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
        "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
    ];
    let id = r.optional(APP[0], tf::word);
    let installation = r.optional(APP[1], tf::installation);
    let pem = r.optional(APP[2], value::path);
    let api_url = r.read("DEPLOYER_GITHUB_API_URL", tf::api_url);
    match tf::is_on_github(repo_url) {
        true => r.all_of(&APP),
        false => r.all_or_none(&APP),
    }
    Some(GithubApp {
        id: id?,
        installation: installation?,
        pem: pem?,
        api_url,
    })
}

/// A plan runs what a pull request brings, so its folder has nothing of ours above, beneath or in it.
fn folders(r: &mut Reader, places: &Places) -> (PathBuf, PathBuf) {
    const APART: &str =
        "a folder of its own: not the state folder, and not in, or above, those of runs and of locks";
    const OUTSIDE: &str = "a folder outside DEPLOYER_STATE_DIR, DEPLOYER_RUNS_DIR, DEPLOYER_RUNTIME_DIR and \
                           DEPLOYER_TF_APPLY_WORKDIR, and none of them in it";
    let workdir = r.read("DEPLOYER_TF_APPLY_WORKDIR", value::path);
    let plan_workdir = r.read("DEPLOYER_TF_PLAN_WORKDIR", value::path);
    let Places { state, runs, runtime } = places;
    let overlap = |one: &Path, other: &Path| {
        // One that is wrong is empty, and every path starts with that.
        let is_known = other.is_absolute();
        is_known && (one.starts_with(other) || other.starts_with(one))
    };
    let overlaps = overlap(&workdir, runs) || overlap(&workdir, runtime) || state.starts_with(&workdir);
    r.must_fit("DEPLOYER_TF_APPLY_WORKDIR", !overlaps, APART);
    let all = [state, runs, runtime, &workdir];
    let overlaps = all.iter().any(|folder| overlap(&plan_workdir, folder));
    r.must_fit("DEPLOYER_TF_PLAN_WORKDIR", !overlaps, OUTSIDE);
    (workdir, plan_workdir)
}

/// What an apply and a plan run as and with; no plan where there is nothing to plan with.
fn sides(r: &mut Reader, rest: &Config) -> (Side, Option<Side>) {
    let (account, plan_account) = accounts(r, rest);
    let key = [SWITCHES[3], SWITCHES[4]].map(|name| Secret::new(r.read(name, tf::secret)));
    let docker_host = Some(r.read("DEPLOYER_TF_DOCKER_HOST", tf::docker_host));
    let plan_docker_host = r.optional("DEPLOYER_TF_PLAN_DOCKER_HOST", tf::docker_host);
    let plan = plan_key(r, &key).map(|[access_key_id, secret_access_key]| Side {
        account: Some(plan_account),
        access_key_id,
        secret_access_key,
        docker_host: plan_docker_host,
    });
    let [access_key_id, secret_access_key] = key;
    let apply = Side {
        account,
        access_key_id,
        secret_access_key,
        docker_host,
    };
    (apply, plan)
}

/// What a plan looks at the state with: a key of its own, or that of an apply, or nothing.
fn plan_key(r: &mut Reader, of_apply: &[Secret; 2]) -> Option<[Secret; 2]> {
    const KEY: [&str; 2] = [
        "DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID",
        "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY",
    ];
    const SHARE: &str = "DEPLOYER_TF_PLAN_SHARE_CREDENTIALS";
    let [id, key] = KEY.map(|name| r.optional(name, tf::secret).map(Secret::new));
    r.all_or_none(&KEY);
    let share = r.yes_or_no(SHARE);
    let should = "`no` where a plan has credentials of its own";
    r.must_fit(SHARE, !share || id.is_none(), should);
    match share {
        true => Some(of_apply.clone()),
        false => Some([id?, key?]),
    }
}

/// No two may be one user: either could read what the other holds, end it or trace it.
fn accounts(r: &mut Reader, rest: &Config) -> (Option<Account>, Account) {
    const APPLY: &str = "DEPLOYER_TF_APPLY_USER";
    const PLAN: &str = "DEPLOYER_TF_PLAN_USER";
    const OF_ROLES: &str = "another user than DEPLOYER_USER and DEPLOYER_FETCH_USER";
    const OF_OTHERS: &str = "another user than DEPLOYER_USER, DEPLOYER_FETCH_USER and DEPLOYER_TF_PLAN_USER";
    let apply = r.read(APPLY, tf::apply_user);
    let plan = r.read(PLAN, value::account);
    let roles = [&rest.front_user, &rest.fetch_user];
    r.must_fit(PLAN, !roles.contains(&&plan), OF_ROLES);
    let differs = |apply: &Account| *apply != plan && !roles.contains(&apply);
    r.must_fit(APPLY, apply.as_ref().is_none_or(differs), OF_OTHERS);
    (apply, plan)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
