//! How a program is started for a plan or an apply: as whom, with what environment, in which sandbox.
//!
//! Every program of terraform's steps is started through here, git too: what a pull request holds is fetched and run as a
//! plan's user. What a plan may see of the host stands in [`Commands::mounts`]; how the rest is kept from it, in
//! [`crate::jail`].

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::work::{CHECKOUT, DATA, HOME, SETTINGS, Work};
use crate::config::{Config, Job, Side, TerraformConfig};
use crate::jail::{MountSpec, Mounts, SandboxSpec};
use crate::os::child::find_program;
use crate::os::files;
use crate::os::privilege;
use crate::run::{EndPolicy, Tool};

/// Settings of ours and of the host that are in nobody's configuration: environment files, and units, whose
/// `Environment=` often holds secrets that everybody can read.
const SECRETS: &[&str] = &[
    "/etc/default/engram-deployer",
    "/etc/engram-deployer",
    "/etc/sysconfig/engram-deployer",
    "/etc/systemd",
];

/// Our settings for terraform where the operator has none: no calls home, and providers from their registries alone. A
/// block like this also keeps terraform from running a provider that a commit has brought with it.
const CLI_CONFIG: &str = "disable_checkpoint = true\nprovider_installation {\n  direct {}\n}\n";

/// Where programs are found: terraform, git for modules, and what a configuration starts.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Of every tool: git itself, and terraform, whose `init` runs git for modules.
const COMMON: [(&str, &str); 3] = [
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
];

/// The commands of one run.
pub struct Commands<'a> {
    /// Everything.
    pub config: &'a Config,
    /// Its part for terraform.
    pub terraform: &'a TerraformConfig,
    /// Who they run as, and with which credentials.
    pub side: &'a Side,
    /// A plan's run in a sandbox.
    pub job: Job,
    /// Where.
    pub work: Work,
}

impl Commands<'_> {
    /// `program` as a step starts it in `directory`, beneath [`Work::seen`]. One that could not be started ends with
    /// [`crate::jail::FAILED`]. No secret belongs into its arguments.
    pub fn tool(
        &self,
        program: &Path,
        arguments: Vec<String>,
        mut environment: Vec<(&str, String)>,
        directory: PathBuf,
    ) -> Tool {
        environment.extend(COMMON.map(|(name, value)| (name, value.to_owned())));
        environment.push(("HOME", self.seen(HOME)));
        let sandbox = SandboxSpec {
            account: self.side.account.clone(),
            groups: self.groups(),
            mounts: (self.job == Job::TfPlan).then(|| self.mounts(program, &environment)),
            directory,
        };
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        Tool {
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: environment.into_iter().map(owned).collect(),
            sandbox: Some(sandbox),
            ..Tool::new(program, self.terraform.run_max)
        }
    }

    /// What is called `name` in the work folder, as the tools see it.
    pub fn seen(&self, name: &str) -> String {
        self.work.seen.join(name).display().to_string()
    }

    /// A command of terraform in the folder of this module.
    pub fn terraform(&self, arguments: &[&str], module: &Path, end_policy: EndPolicy) -> Tool {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let directory = self.work.seen.join(CHECKOUT).join(module);
        let mut tool = self.tool(
            &self.terraform.terraform,
            arguments,
            self.environment(),
            directory,
        );
        tool.end_policy = end_policy;
        tool
    }

    /// Makes the folder of this run, empty and its user's own, in the place of whatever an earlier run has left.
    ///
    /// # Errors
    /// When others could put something else in its place, and when it could not be made.
    pub fn prepare(&self) -> Result<(), String> {
        let owner = self.side.account.as_deref().map(privilege::identity).transpose();
        let owner = owner.map_err(|error| format!("look up terraform's user: {error}"))?;
        self.work.make(owner, self.job)
    }

    /// Writes terraform's settings, where the operator has none.
    pub fn write_cli_config(&self) -> Result<(), String> {
        if self.terraform.cli_config.is_some() {
            return Ok(());
        }
        let path = self.work.real.with_file_name(SETTINGS);
        let written = files::replace_volatile(&path, CLI_CONFIG.as_bytes(), 0o644);
        written.map_err(|error| files::describe(&error, "write", &path))
    }

    /// The environment of every command of terraform, besides [`COMMON`]: this and nothing else. All of it reaches every
    /// provider.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let (terraform, side) = (self.terraform, self.side);
        let path = |path: &Path| path.display().to_string();
        let own = self.work.seen.with_file_name(SETTINGS);
        let mut all = vec![
            ("PATH", PATH.to_owned()),
            ("TF_IN_AUTOMATION", "1".into()),
            ("TF_INPUT", "0".into()),
            (
                "TF_CLI_CONFIG_FILE",
                path(terraform.cli_config.as_ref().unwrap_or(&own)),
            ),
            ("TF_DATA_DIR", self.seen(DATA)),
            ("CHECKPOINT_DISABLE", "1".into()),
            ("AWS_ACCESS_KEY_ID", side.access_key_id.expose().to_owned()),
            (
                "AWS_SECRET_ACCESS_KEY",
                side.secret_access_key.expose().to_owned(),
            ),
            ("AWS_REGION", terraform.region.clone()),
            ("AWS_DEFAULT_REGION", terraform.region.clone()),
            ("GIT_ALLOW_PROTOCOL", "https".into()),
        ];
        let cache = terraform.plugin_cache.as_deref();
        all.extend(cache.map(|cache| ("TF_PLUGIN_CACHE_DIR", path(cache))));
        all.extend(side.docker_host.clone().map(|host| ("DOCKER_HOST", host)));
        all
    }

    /// That of docker's socket, for a user who is to speak to it. Never root's group: too much else is readable by that.
    fn groups(&self) -> Vec<u32> {
        let socket = self.docker_socket().filter(|_| self.side.account.is_some());
        let group = socket.and_then(|socket| Some(socket.metadata().ok()?.gid()));
        group.into_iter().filter(|group| *group != 0).collect()
    }

    fn docker_socket(&self) -> Option<&Path> {
        let host = self.side.docker_host.as_deref()?;
        host.strip_prefix("unix://").map(Path::new)
    }

    /// What a plan sees of the host besides its programs and `/etc`, and what of those it does not.
    fn mounts(&self, program: &Path, environment: &[(&str, String)]) -> Mounts {
        let terraform = self.terraform;
        let path = environment.iter().find(|(name, _)| *name == "PATH");
        let path = path.map_or("", |(_, value)| value.as_str());
        let programs = [program, &terraform.terraform, &terraform.git];
        let programs = programs.map(|program| find_program(program, path));
        let given = [&terraform.cli_config, &terraform.plugin_cache];
        let repository = terraform.repo_url.strip_prefix("file://").map(Path::new);
        let as_it_is = programs.iter().chain(given).flatten().map(PathBuf::as_path);
        let as_it_is = as_it_is.chain(self.docker_socket()).chain(repository);
        let Work { real, seen } = &self.work;
        let settings = MountSpec {
            real: real.with_file_name(SETTINGS),
            at: seen.with_file_name(SETTINGS),
            writable: false,
        };
        let work = MountSpec {
            real: real.clone(),
            at: seen.clone(),
            writable: true,
        };
        let read = as_it_is.map(MountSpec::read_only).chain([settings]);
        let there = read.filter(|one| one.real.exists());
        Mounts {
            shown: there.chain([work]).collect(),
            hidden: self.hidden(),
        }
    }

    /// Wherever the operator has put what is ours. Most of it lies where a plan sees nothing anyhow.
    fn hidden(&self) -> Vec<PathBuf> {
        let (config, terraform, places) = (self.config, self.terraform, &self.config.places);
        let pem = terraform.app.iter().map(|app| &app.pem);
        let password = config.deploy().login.iter().map(|login| &login.password_file);
        let ours = [
            &config.key_file,
            &config.cert_file,
            &terraform.workdir,
            &terraform.plan_workdir,
        ];
        let ours = ours
            .into_iter()
            .chain([&places.state, &places.runs, &places.runtime]);
        let ours = ours.chain(pem).chain(password).cloned();
        ours.chain(SECRETS.iter().map(PathBuf::from)).collect()
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
