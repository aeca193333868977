//! The terraform settings: all that is needed, or none. One of [`SWITCHES`] that is set asks for the endpoints, and then
//! whatever is missing is complained of; without them nothing here is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Reader;
use super::tf_pins::{self, Both};
use super::tf_value::{self, FIRST_MODULE, Share};
use super::{
    Account, Endpoint, GithubApp, HealthUrl, Job, Lockfile, Module, Places, RequireDigest, RequireSha,
    Settings, Side, TerraformBody, TerraformConfig, duration, value,
};
use crate::secret::Secret;

/// Each of these, when it is set, asks for both endpoints.
pub(super) const SWITCHES: [&str; 5] = [
    "DEPLOYER_TF_APPLY_REPOSITORY",
    "DEPLOYER_TF_APPLY_WORKFLOW_REF",
    "DEPLOYER_TF_APPLY_ROOT_DIR",
    "DEPLOYER_TF_AWS_ACCESS_KEY_ID",
    "DEPLOYER_TF_AWS_SECRET_ACCESS_KEY",
];

const NO_CREDENTIALS: &str = "a plan has no credentials: set DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID and \
                              DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY to a key that can only read, or \
                              DEPLOYER_TF_PLAN_SHARE_CREDENTIALS=yes, which gives an apply's key to whoever opens a \
                              pull request";

/// What the rest of the settings is, as far as it is known.
pub(super) struct Rest<'a> {
    /// The audience of `/deploy`.
    pub audience: Option<&'a str>,
    /// The users of front and fetch.
    pub users: Option<&'a (Account, Account)>,
    /// Our folders.
    pub places: Option<&'a Places>,
}

/// Whether the endpoints are asked for.
pub(super) fn is_wanted(settings: &Settings) -> bool {
    SWITCHES.iter().any(|name| settings.get(name).is_some())
}

/// Reads all of it: what a run needs, and the endpoints that start one. The outer `None` only after a complaint.
pub(super) fn terraform(r: &mut Reader, rest: &Rest<'_>) -> Option<Option<TerraformConfig>> {
    if SWITCHES.iter().all(|name| r.set(name).is_none()) {
        return Some(None);
    }
    let pins = tf_pins::pins(r, rest.audience);
    let modules = modules(r);
    let health_urls = health_urls(r, modules.as_deref());
    let source = source(r);
    let folders = folders(r, rest.places);
    let tools = tools(r);
    let sides = sides(r, rest.users);
    let rules = rules(r);
    let (pins, modules, rules) = (pins?, modules?, rules?);
    let ((repo_url, app), (workdir, plan_workdir), tools) = (source?, folders?, tools?);
    let (apply, plan) = sides?;
    let endpoints = endpoints(&pins, &modules, &rules, plan.as_ref());
    let config = TerraformConfig {
        endpoints,
        repo_url,
        reference: pins.reference,
        modules,
        workdir,
        plan_workdir,
        git: tools.git,
        terraform: tools.terraform,
        region: tools.region,
        apply,
        no_plan: plan.is_none().then(|| NO_CREDENTIALS.into()),
        plan,
        lockfile: rules.lockfile,
        lock_timeout: rules.lock_timeout,
        run_max: rules.run_max,
        require_digest: rules.digest,
        destroy_limit: rules.destroy_limit,
        health_urls: health_urls?,
        app,
        cli_config: tools.cli_config,
        plugin_cache: tools.plugin_cache,
    };
    Some(Some(config))
}

/// `/tf-apply`, and `/tf-plan` where there is anything to plan with.
fn endpoints(pins: &Both, modules: &[Module], rules: &Rules, plan: Option<&Side>) -> Vec<Endpoint> {
    let body = |what, sha, digest| TerraformBody {
        what,
        modules: modules.iter().map(|module| module.name.clone()).collect(),
        sha,
        digest,
    };
    let apply = Endpoint::terraform(
        pins.apply.audience.clone(),
        pins.apply.pins.clone(),
        body(Job::TfApply, rules.sha, rules.digest),
    );
    let plan = plan.map(|_| {
        // A pull request's token names the merge commit, not the one whose plan is wanted.
        let body = body(Job::TfPlan, RequireSha::Off, RequireDigest::Off);
        Endpoint::terraform(pins.plan.audience.clone(), pins.plan.pins.clone(), body)
    });
    std::iter::once(apply).chain(plan).collect()
}

fn modules(r: &mut Reader) -> Option<Vec<Module>> {
    let root = r.read("DEPLOYER_TF_APPLY_ROOT_DIR", tf_value::module_path);
    let further = r.optional("DEPLOYER_TF_MODULES", tf_value::modules);
    let first = Module {
        name: FIRST_MODULE.into(),
        path: root?,
    };
    Some(
        std::iter::once(first)
            .chain(further?.unwrap_or_default())
            .collect(),
    )
}

fn health_urls(r: &mut Reader, modules: Option<&[Module]>) -> Option<Vec<HealthUrl>> {
    const NAME: &str = "DEPLOYER_TF_HEALTH_URLS";
    let urls = r.optional(NAME, tf_value::health_urls)?.unwrap_or_default();
    let known = |url: &&HealthUrl| modules?.iter().find(|module| module.name == url.module);
    if let (Some(modules), Some(stray)) = (modules, urls.iter().find(|url| known(url).is_none())) {
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        let should = format!(
            "of modules that there are: {} (`{}` is none)",
            names.join(", "),
            stray.module
        );
        r.complain(NAME, should);
        return None;
    }
    Some(urls)
}

/// Where the configuration comes from, and how it may be read there.
fn source(r: &mut Reader) -> Option<(String, Option<GithubApp>)> {
    const APP: [&str; 3] = [
        "DEPLOYER_TF_APPLY_GH_APP_ID",
        "DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
        "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
    ];
    let repo_url = r.read("DEPLOYER_TF_APPLY_REPO_URL", tf_value::repo_url);
    let [id, installation, pem] = APP;
    let id = r.optional(id, tf_value::word);
    let installation = r.optional(installation, tf_value::installation);
    let pem = r.optional(pem, value::path);
    let api_url = r.read("DEPLOYER_GITHUB_API_URL", tf_value::api_url);
    let set = APP.map(|name| r.set(name).is_some());
    let needed = repo_url.as_deref().is_some_and(tf_value::is_on_github) || set.contains(&true);
    if needed && set.contains(&false) {
        let missing = APP.into_iter().zip(set).filter(|(_, set)| !set);
        missing.for_each(|(name, _)| r.missing(name));
        return None;
    }
    let app = match (id?, installation?, pem?) {
        (Some(id), Some(installation), Some(pem)) => Some(GithubApp {
            id,
            installation,
            pem,
            api_url: api_url?,
        }),
        _ => None,
    };
    Some((repo_url?, app))
}

/// A plan runs what a pull request brings, so its folder has nothing of ours above, beneath or in it.
fn folders(r: &mut Reader, places: Option<&Places>) -> Option<(PathBuf, PathBuf)> {
    let workdir = r.read("DEPLOYER_TF_APPLY_WORKDIR", value::path);
    let plan_workdir = r.read("DEPLOYER_TF_PLAN_WORKDIR", value::path);
    let (workdir, plan_workdir, places) = (workdir?, plan_workdir?, places?);
    let overlaps = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
    let ours = [&places.runs, &places.runtime];
    if ours.iter().any(|folder| overlaps(&workdir, folder)) || places.state.starts_with(&workdir) {
        r.complain(
            "DEPLOYER_TF_APPLY_WORKDIR",
            "a folder of its own: not the state folder, and not in, or above, those of runs and of locks",
        );
        return None;
    }
    let all = [&places.state, &places.runs, &places.runtime, &workdir];
    if all.iter().any(|folder| overlaps(&plan_workdir, folder)) {
        r.complain(
            "DEPLOYER_TF_PLAN_WORKDIR",
            "a folder outside DEPLOYER_STATE_DIR, DEPLOYER_RUNS_DIR, DEPLOYER_RUNTIME_DIR and \
             DEPLOYER_TF_APPLY_WORKDIR, and none of them in it",
        );
        return None;
    }
    Some((workdir, plan_workdir))
}

struct Tools {
    git: PathBuf,
    terraform: PathBuf,
    region: String,
    cli_config: Option<PathBuf>,
    plugin_cache: Option<PathBuf>,
}

fn tools(r: &mut Reader) -> Option<Tools> {
    let git = r.read("DEPLOYER_TF_GIT_BINARY_PATH", value::program);
    let terraform = r.read("DEPLOYER_TF_BINARY_PATH", value::program);
    let region = r.read("DEPLOYER_TF_AWS_REGION", tf_value::word);
    let cli_config = r.optional("DEPLOYER_TF_CLI_CONFIG_FILE", value::path);
    let plugin_cache = r.optional("DEPLOYER_TF_PLUGIN_CACHE_DIR", value::path);
    Some(Tools {
        git: git?,
        terraform: terraform?,
        region: region?,
        cli_config: cli_config?,
        plugin_cache: plugin_cache?,
    })
}

/// What an apply and a plan run as and with; no plan where there is nothing to plan with.
fn sides(r: &mut Reader, users: Option<&(Account, Account)>) -> Option<(Side, Option<Side>)> {
    let accounts = accounts(r, users);
    let id = r.read("DEPLOYER_TF_AWS_ACCESS_KEY_ID", tf_value::secret);
    let key = r.read("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", tf_value::secret);
    let docker = r.read("DEPLOYER_TF_DOCKER_HOST", tf_value::docker_host);
    let plan_docker = r.optional("DEPLOYER_TF_PLAN_DOCKER_HOST", tf_value::docker_host);
    let own = own_credentials(r);
    let (id, key, (apply, plan)) = (id?, key?, accounts?);
    let plan_credentials = match own? {
        Credentials::Own(id, key) => Some((id, key)),
        Credentials::Shared => Some((id.clone(), key.clone())),
        Credentials::Nothing => None,
    };
    let plan_docker = plan_docker?;
    let plan = plan_credentials.map(|(access_key_id, secret_access_key)| Side {
        account: Some(plan),
        access_key_id,
        secret_access_key,
        docker_host: plan_docker,
    });
    let apply = Side {
        account: apply,
        access_key_id: id,
        secret_access_key: key,
        docker_host: Some(docker?),
    };
    Some((apply, plan))
}

/// What a plan has to look at the state with.
enum Credentials {
    Own(Secret, Secret),
    Shared,
    Nothing,
}

fn own_credentials(r: &mut Reader) -> Option<Credentials> {
    const ID: &str = "DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID";
    const KEY: &str = "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY";
    const SHARE: &str = "DEPLOYER_TF_PLAN_SHARE_CREDENTIALS";
    let id = r.optional(ID, tf_value::secret);
    let key = r.optional(KEY, tf_value::secret);
    match (id?, key?, r.read(SHARE, tf_value::share)?) {
        (Some(id), Some(key), Share::No) => Some(Credentials::Own(id, key)),
        (None, None, Share::Yes) => Some(Credentials::Shared),
        (None, None, Share::No) => Some(Credentials::Nothing),
        (Some(_), Some(_), Share::Yes) => {
            r.complain(SHARE, "`no` where a plan has credentials of its own");
            None
        }
        (Some(_), None, _) => {
            r.missing(KEY);
            None
        }
        (None, Some(_), _) => {
            r.missing(ID);
            None
        }
    }
}

/// No two may be one user: either could read what the other holds, end it or trace it.
fn accounts(r: &mut Reader, users: Option<&(Account, Account)>) -> Option<(Option<Account>, Account)> {
    const APPLY: &str = "DEPLOYER_TF_APPLY_USER";
    const PLAN: &str = "DEPLOYER_TF_PLAN_USER";
    let apply = r.read(APPLY, tf_value::apply_user);
    let plan = r.read(PLAN, value::account);
    let (apply, plan, (front, fetch)) = (apply?, plan?, users?);
    if [front, fetch].contains(&&plan) {
        r.complain(PLAN, "another user than DEPLOYER_USER and DEPLOYER_FETCH_USER");
        return None;
    }
    if let Some(apply) = &apply
        && [front, fetch, &plan].contains(&apply)
    {
        r.complain(
            APPLY,
            "another user than DEPLOYER_USER, DEPLOYER_FETCH_USER and DEPLOYER_TF_PLAN_USER",
        );
        return None;
    }
    Some((apply, plan))
}

struct Rules {
    sha: RequireSha,
    digest: RequireDigest,
    destroy_limit: Option<u64>,
    lockfile: Lockfile,
    lock_timeout: Duration,
    run_max: Duration,
}

fn rules(r: &mut Reader) -> Option<Rules> {
    let sha = r.read("DEPLOYER_TF_APPLY_REQUIRE_SHA", tf_value::require_sha);
    let digest = r.read("DEPLOYER_TF_APPLY_REQUIRE_DIGEST", tf_value::require_digest);
    let destroy_limit = r.optional("DEPLOYER_TF_DESTROY_LIMIT", value::count(0..=u32::MAX));
    let lockfile = r.read("DEPLOYER_TF_LOCKFILE", tf_value::lockfile);
    let lock_timeout = r.read("DEPLOYER_TF_LOCK_TIMEOUT", duration::duration);
    let run_max = r.read("DEPLOYER_TF_RUN_MAX", duration::duration);
    Some(Rules {
        sha: sha?,
        digest: digest?,
        destroy_limit: destroy_limit?.map(u64::from),
        lockfile: lockfile?,
        lock_timeout: lock_timeout?,
        run_max: run_max?,
    })
}

#[cfg(test)]
#[path = "tf_tests.rs"]
mod tests;
