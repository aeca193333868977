//! The terraform settings: all that is needed, or none. One of [`SWITCHES`] that is set asks for the endpoints, and then
//! whatever is missing is complained of; without them nothing here is read.

use std::path::{Path, PathBuf};

use super::table::VARIABLES;
use super::{DEFAULT_MODULE, GithubApp, HealthUrl, Module, Side, TerraformConfig, value as tf};
use crate::config::duration::duration;
use crate::config::parse::{must_be_of, with_listed};
use crate::config::reader::Reader;
use crate::config::{
    BodyRule, Config, Endpoint, Expected, Job, Pin, Places, Settings, TerraformBody, pins, value,
};

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
                              _SECRET_ACCESS_KEY, or DEPLOYER_TF_PLAN_SHARE_CREDENTIALS=yes";

/// Reads all of it, beside the `rest` of the settings: what a run needs, and the endpoints that start one.
pub fn terraform(r: &mut Reader, rest: &Config) -> Option<TerraformConfig> {
    if !SWITCHES.iter().any(|name| r.is_set(name)) {
        return None;
    }
    let reference = r.read("DEPLOYER_TF_APPLY_REF", pins::reference);
    let modules = modules(r);
    let repo_url = r.read("DEPLOYER_TF_APPLY_REPO_URL", tf::repo_url);
    let (workdir, plan_workdir) = folders(r, &rest.places);
    let apply = Side {
        account: r.read("DEPLOYER_TF_APPLY_USER", tf::apply_user),
        access_key_id: r.read(SWITCHES[3], tf::secret),
        secret_access_key: r.read(SWITCHES[4], tf::secret),
        docker_host: Some(r.read("DEPLOYER_TF_DOCKER_HOST", tf::docker_host)),
    };
    let plan = plan_side(r, &apply).ok_or_else(|| NO_CREDENTIALS.to_owned());
    let require_digest = r.on_or_off("DEPLOYER_TF_APPLY_REQUIRE_DIGEST");
    let mut endpoints = endpoints(r, rest, &reference, &modules, require_digest);
    endpoints.retain(|endpoint| plan.is_ok() || endpoint.job != Job::TfPlan);
    Some(TerraformConfig {
        endpoints,
        reference,
        workdir,
        plan_workdir,
        git: r.read("DEPLOYER_TF_GIT_BINARY_PATH", value::program),
        terraform: r.read("DEPLOYER_TF_BINARY_PATH", value::program),
        region: r.read("DEPLOYER_TF_AWS_REGION", tf::word),
        apply,
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
    let is_ours = |name: &&str| VARIABLES.iter().any(|(known, _)| known == name);
    let names: Vec<&str> = settings.names().filter(is_ours).collect();
    if names.is_empty() || SWITCHES.iter().any(|name| names.contains(name)) {
        return None;
    }
    let (names, switches) = (names.join(", "), SWITCHES.join(", "));
    Some(format!("not read: {names}; terraform needs all of {switches}"))
}

/// `/tf-apply` and `/tf-plan`. Both are of one repository; they differ in audience, branch and workflow, so that a token
/// for one opens no other. Only issuers whose tokens name a repository and a workflow as GitHub's do can be pinned here;
/// Forgejo's do.
fn endpoints(
    r: &mut Reader,
    rest: &Config,
    reference: &str,
    modules: &[Module],
    require_digest: bool,
) -> Vec<Endpoint> {
    const AUDIENCES: [&str; 2] = ["DEPLOYER_TF_APPLY_AUDIENCE", "DEPLOYER_TF_PLAN_AUDIENCE"];
    let [of_apply, of_plan] = AUDIENCES.map(|name| r.read(name, pins::exact));
    let of_deploy = &rest.applications[0].endpoint.audience;
    r.must_differ(&[
        ("DEPLOYER_AUDIENCE", of_deploy),
        (AUDIENCES[0], &of_apply),
        (AUDIENCES[1], &of_plan),
    ]);
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
    let require_sha = r.on_or_off("DEPLOYER_TF_APPLY_REQUIRE_SHA");
    vec![
        endpoint(
            Job::TfApply,
            "/tf-apply",
            of_apply,
            apply_pins,
            require_sha,
            require_digest,
        ),
        // A pull request's token names the merge commit, not the one whose plan is wanted.
        endpoint(Job::TfPlan, "/tf-plan", of_plan, plan_pins, false, false),
    ]
}

/// What a token must say for an apply, and for a plan.
fn pins_of_both(r: &mut Reader, reference: &str) -> (Vec<Pin>, Vec<Pin>) {
    const PREFIX: &str = "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX";
    let repository = r.read(REPOSITORY, pins::repository);
    let workflow = r.read(WORKFLOW_REF, pins::workflow_refs);
    must_be_of(r, (REPOSITORY, &repository), (WORKFLOW_REF, &workflow));
    let subject = r.optional("DEPLOYER_TF_PLAN_SUBJECT", pins::exact_list);
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
    let name = DEFAULT_MODULE.into();
    let path = r.read(ROOT_DIR, tf::module_path);
    let further = r.optional("DEPLOYER_TF_MODULES", tf::modules);
    let mut modules = vec![Module { name, path }];
    modules.extend(further.unwrap_or_default());
    modules
}

fn health_urls(r: &mut Reader, modules: &[Module]) -> Vec<HealthUrl> {
    const NAME: &str = "DEPLOYER_TF_HEALTH_URLS";
    let urls = r.optional(NAME, tf::health_urls).unwrap_or_default();
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let known = urls.iter().all(|url| names.contains(&url.module.as_str()));
    let should = format!("of modules that there are: {}", names.join(", "));
    r.must_fit(NAME, known, &should);
    urls
}

/// How the repository is read where it is private; needed for GitHub's.
fn app(r: &mut Reader, repo_url: &str) -> Option<GithubApp> {
    const APP: [&str; 3] = [
        "DEPLOYER_TF_APPLY_GH_APP_ID",
        "DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
        "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
    ];
    match tf::is_on_github(repo_url) {
        true => r.require(&APP),
        false => r.all_or_none(&APP),
    }
    let id = r.optional(APP[0], tf::word);
    let installation = r.optional(APP[1], tf::installation);
    let pem = r.optional(APP[2], value::path);
    let api_url = r.read("DEPLOYER_GITHUB_API_URL", tf::api_url);
    Some(GithubApp {
        id: id?,
        installation: installation?,
        pem: pem?,
        api_url,
    })
}

/// A plan runs what a pull request brings, so its folder has nothing of ours above, beneath or in it.
fn folders(r: &mut Reader, places: &Places) -> (PathBuf, PathBuf) {
    const APART: &str = "apart from all other folders of ours";
    let workdir = r.read("DEPLOYER_TF_APPLY_WORKDIR", value::path);
    let plan_workdir = r.read("DEPLOYER_TF_PLAN_WORKDIR", value::path);
    let Places { state, runs, runtime } = places;
    // One that is wrong is empty, and every path starts with that.
    let overlap =
        |one: &Path, other: &Path| other.is_absolute() && (one.starts_with(other) || other.starts_with(one));
    let overlaps = overlap(&workdir, runs) || overlap(&workdir, runtime) || state.starts_with(&workdir);
    r.must_fit("DEPLOYER_TF_APPLY_WORKDIR", !overlaps, APART);
    let all = [state, runs, runtime, &workdir];
    let overlaps = all.iter().any(|one| overlap(&plan_workdir, one));
    r.must_fit("DEPLOYER_TF_PLAN_WORKDIR", !overlaps, APART);
    (workdir, plan_workdir)
}

/// What a plan looks at the state with: a key of its own, or that of an apply; no plan where there is neither.
fn plan_side(r: &mut Reader, apply: &Side) -> Option<Side> {
    const SHARE: &str = "DEPLOYER_TF_PLAN_SHARE_CREDENTIALS";
    const KEY: [&str; 2] = [
        "DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID",
        "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY",
    ];
    r.all_or_none(&KEY);
    let [id, key] = KEY.map(|name| r.optional(name, tf::secret));
    let share = r.yes_or_no(SHARE);
    let fits = !share || id.is_none();
    r.must_fit(SHARE, fits, "`no` where a plan has a key of its own");
    let account = Some(r.read("DEPLOYER_TF_PLAN_USER", value::user));
    let docker_host = r.optional("DEPLOYER_TF_PLAN_DOCKER_HOST", tf::docker_host);
    let shared = || share.then(|| (apply.access_key_id.clone(), apply.secret_access_key.clone()));
    let (access_key_id, secret_access_key) = id.zip(key).or_else(shared)?;
    Some(Side {
        account,
        access_key_id,
        secret_access_key,
        docker_host,
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
