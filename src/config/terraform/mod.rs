//! What `/tf-plan` and `/tf-apply` do: the repository, the tools, who they run as, what may be applied. Attached to the
//! table of settings, to the parser and to [`Config`] at one place each.

mod parse;
mod table;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, DEFAULT_MODULE, Endpoint, Job};
use crate::secret::Secret;

pub(super) use parse::{terraform, unread};
pub(super) use table::VARIABLES;

/// All of terraform's settings. There is one only where terraform is configured in full.
#[derive(Clone, Debug)]
pub struct TerraformConfig {
    /// `/tf-apply`, and `/tf-plan` where there is anything to plan with.
    pub endpoints: Vec<Endpoint>,
    /// Where the configuration is fetched from: `https://`, or `file://` (`DEPLOYER_TF_APPLY_REPO_URL`).
    pub repo_url: String,
    /// A commit is applied only if it is this reference's, or one of its ancestors (`DEPLOYER_TF_APPLY_REF`).
    pub reference: String,
    /// The folders in the repository where terraform can run: the first is that of a request which names none
    /// (`DEPLOYER_TF_APPLY_ROOT_DIR`), the others are `DEPLOYER_TF_MODULES`. Never empty.
    pub modules: Vec<Module>,
    /// Where terraform works (`DEPLOYER_TF_APPLY_WORKDIR`): the same path for a plan and for an apply.
    pub workdir: PathBuf,
    /// Where the files of a plan really lie, out of the reach of anything else of ours (`DEPLOYER_TF_PLAN_WORKDIR`). The
    /// plan sees them at `workdir`.
    pub plan_workdir: PathBuf,
    /// `DEPLOYER_TF_GIT_BINARY_PATH`.
    pub git: PathBuf,
    /// `DEPLOYER_TF_BINARY_PATH`.
    pub terraform: PathBuf,
    /// `DEPLOYER_TF_AWS_REGION`.
    pub region: String,
    /// What an apply runs as and with.
    pub apply: Side,
    /// What a plan runs as and with, or why plans are refused: there is no endpoint `tf-plan` then.
    pub plan: Result<Side, String>,
    /// Whether `.terraform.lock.hcl` must be there and name every provider (`DEPLOYER_TF_LOCKFILE=readonly`): without it
    /// a provider has no checksum. Otherwise terraform may write it.
    pub lockfile_readonly: bool,
    /// How long terraform waits for a state that is locked (`DEPLOYER_TF_LOCK_TIMEOUT`).
    pub lock_timeout: Duration,
    /// Terraform's own in the place of `DEPLOYER_RUN_MAX` (`DEPLOYER_TF_RUN_MAX`).
    pub run_max: Duration,
    /// Whether an apply without `plan_digest` is refused (`DEPLOYER_TF_APPLY_REQUIRE_DIGEST`).
    pub require_digest: bool,
    /// A plan that destroys more needs `"allow_destroy":true` (`DEPLOYER_TF_DESTROY_LIMIT`).
    pub destroy_limit: Option<u64>,
    /// Asked after an apply of the module until they answer 200 (`DEPLOYER_TF_HEALTH_URLS`).
    pub health_urls: Vec<HealthUrl>,
    /// How a private repository on GitHub is read.
    pub app: Option<GithubApp>,
    /// Terraform's own settings in the place of ours (`DEPLOYER_TF_CLI_CONFIG_FILE`).
    pub cli_config: Option<PathBuf>,
    /// Providers that were fetched before (`DEPLOYER_TF_PLUGIN_CACHE_DIR`); read by plans, written by applies alone.
    pub plugin_cache: Option<PathBuf>,
}

/// One folder of the repository where terraform can run.
#[derive(Clone, Debug)]
pub struct Module {
    /// As a request names it: `[a-z0-9][a-z0-9_-]*`, at most 64; the first one is [`DEFAULT_MODULE`].
    pub name: String,
    /// Beneath the checkout: relative, without `..`; `.` is the checkout itself.
    pub path: String,
}

/// What a plan, or an apply, runs as and with.
#[derive(Clone, Debug)]
pub struct Side {
    /// `None` is root.
    pub account: Option<String>,
    /// Of the key to terraform's state.
    pub access_key_id: Secret,
    /// The key to terraform's state.
    pub secret_access_key: Secret,
    /// The docker that terraform may speak to, if any.
    pub docker_host: Option<String>,
}

/// Where a module's health is asked for after an apply.
#[derive(Clone, Debug)]
pub struct HealthUrl {
    /// The module's name.
    pub module: String,
    /// https, or http to loopback.
    pub url: String,
}

/// A GitHub App that may read the repository.
#[derive(Clone, Debug)]
pub struct GithubApp {
    /// App id, or client id (`DEPLOYER_TF_APPLY_GH_APP_ID`).
    pub id: String,
    /// `DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID`.
    pub installation: String,
    /// Its private key, PEM (`DEPLOYER_TF_APPLY_GH_APP_PEM_PATH`).
    pub pem: PathBuf,
    /// Without a slash at its end (`DEPLOYER_GITHUB_API_URL`).
    pub api_url: String,
}

impl Config {
    /// The same without `/tf-plan`, for this reason: what the machine cannot do is not offered.
    pub fn without_plan(mut self, why: &str) -> Config {
        if let Some(terraform) = &mut self.terraform {
            terraform.plan = Err(why.to_owned());
            terraform.endpoints.retain(|endpoint| endpoint.job != Job::TfPlan);
        }
        self
    }

    /// The names of all modules.
    pub fn module_names(&self) -> Vec<String> {
        let modules = self.terraform.iter().flat_map(|terraform| &terraform.modules);
        modules.map(|module| module.name.clone()).collect()
    }

    /// Why `/tf-plan` answers 404 where terraform is configured, as a line for the operator.
    pub fn no_plan(&self) -> Option<String> {
        let why = self.terraform.as_ref()?.plan.as_ref().err()?;
        Some(format!("/tf-plan answers 404, because {why}"))
    }
}

impl TerraformConfig {
    /// Who its tools run as, with the variable of each; root is left out.
    pub fn users(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let plan = self.plan.iter().map(|plan| ("DEPLOYER_TF_PLAN_USER", plan));
        let sides = plan.chain([("DEPLOYER_TF_APPLY_USER", &self.apply)]);
        sides.filter_map(|(name, side)| Some((name, side.account.as_ref()?)))
    }

    /// The module that a request means: the first one where it names none.
    pub fn module(&self, name: Option<&str>) -> Option<&Module> {
        match name {
            None => self.modules.first(),
            Some(name) => self.modules.iter().find(|module| module.name == name),
        }
    }
}
