//! How a program is started for a plan or an apply: as whom, with what environment, in which sandbox.
//!
//! Every program of terraform's steps is started through here, git too: what a pull request holds is fetched and run as a
//! plan's user. What a plan may see of the host stands in [`Commands::mounts`]; how the rest is kept from it, in
//! [`crate::jail`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{Config, Side, TerraformConfig};
use crate::jail::{self, MountSpec, Mounts, SandboxSpec};
use crate::os::child::find_program;
use crate::os::files;
use crate::os::privilege;
use crate::run::{Failure, Tool};
use crate::terraform::work::{Kind, Work};

/// Settings of ours and of the host that are in nobody's configuration: environment files, and units, whose
/// `Environment=` often holds secrets that everybody can read.
const SETTINGS: &[&str] = &[
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

/// The commands of one run.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    /// Everything.
    pub config: &'a Config,
    /// Its part for terraform.
    pub terraform: &'a TerraformConfig,
    /// Who they run as, and with which credentials.
    pub side: &'a Side,
    /// Whether they run in a sandbox.
    pub kind: Kind,
    /// Where.
    pub work: Work,
}

impl Commands<'_> {
    /// `program` as a step starts it in `directory`, beneath [`Work::seen`]. One that could not be started ends with
    /// [`jail::FAILED`]. No secret belongs into its arguments.
    pub fn tool(
        &self,
        program: &Path,
        arguments: Vec<OsString>,
        environment: Vec<(String, String)>,
        directory: PathBuf,
    ) -> Tool {
        let mounts = match self.kind {
            Kind::Plan => Some(self.mounts(program, &environment)),
            Kind::Apply => None,
        };
        let (account, groups) = (self.side.account.clone(), self.groups());
        let mut tool = Tool::new(program, self.terraform.run_max);
        tool.sandbox = Some(SandboxSpec {
            account,
            groups,
            mounts,
            directory,
        });
        tool.arguments = arguments;
        tool.environment = environment;
        tool
    }

    /// A command of terraform in `directory`.
    pub fn terraform(&self, arguments: &[&str], directory: PathBuf) -> Tool {
        let arguments = arguments.iter().map(Into::into).collect();
        self.tool(
            &self.terraform.terraform,
            arguments,
            self.environment(),
            directory,
        )
    }

    /// Makes the folder of this run, empty and its user's own, in the place of whatever an earlier run has left.
    ///
    /// # Errors
    /// When others could put something else in its place, and when it could not be made.
    pub fn prepare(&self) -> Result<(), Failure> {
        let owner = self.side.account.as_ref().map(privilege::identity).transpose();
        let owner = owner.map_err(|error| Failure::Failed(format!("look up terraform's user: {error}")))?;
        self.work.make(owner, self.kind).map_err(Failure::Failed)
    }

    /// Writes terraform's settings, where the operator has none.
    pub fn write_cli_config(&self) -> Result<(), Failure> {
        if self.terraform.cli_config.is_some() {
            return Ok(());
        }
        let path = self.work.real_settings();
        let written = files::replace_volatile(&path, CLI_CONFIG.as_bytes(), 0o644);
        written.map_err(|error| Failure::Failed(format!("write terraform's settings: {error}")))
    }

    /// The environment of every command of terraform: this and nothing else. All of it reaches every provider.
    fn environment(&self) -> Vec<(String, String)> {
        let (terraform, side, seen) = (self.terraform, self.side, self.work.seen());
        let path = |path: &Path| path.display().to_string();
        let cli_config = terraform.cli_config.clone();
        let cli_config = cli_config.unwrap_or_else(|| self.work.seen_settings());
        let mut all = vec![
            ("PATH", PATH.to_owned()),
            ("HOME", path(&Work::home(seen))),
            ("TF_IN_AUTOMATION", "1".into()),
            ("TF_INPUT", "0".into()),
            ("TF_CLI_CONFIG_FILE", path(&cli_config)),
            ("TF_DATA_DIR", path(&Work::data(seen))),
            ("CHECKPOINT_DISABLE", "1".into()),
            ("AWS_ACCESS_KEY_ID", side.access_key_id.expose().to_owned()),
            (
                "AWS_SECRET_ACCESS_KEY",
                side.secret_access_key.expose().to_owned(),
            ),
            ("AWS_REGION", terraform.region.clone()),
            ("AWS_DEFAULT_REGION", terraform.region.clone()),
            // `init` runs git for modules.
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_ALLOW_PROTOCOL", "https".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ];
        let cache = terraform.plugin_cache.as_deref();
        all.extend(cache.map(|cache| ("TF_PLUGIN_CACHE_DIR", path(cache))));
        all.extend(side.docker_host.clone().map(|host| ("DOCKER_HOST", host)));
        all.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// That of docker's socket, for a user who is to speak to it. Never root's group: too much else is readable by that.
    fn groups(&self) -> Vec<u32> {
        let socket = self.docker_socket().filter(|_| self.side.account.is_some());
        let group = socket.and_then(jail::group_of).filter(|group| *group != 0);
        group.into_iter().collect()
    }

    fn docker_socket(&self) -> Option<&Path> {
        let host = self.side.docker_host.as_deref()?;
        host.strip_prefix("unix://").map(Path::new)
    }

    /// What a plan sees of the host besides its programs and `/etc`, and what of those it does not.
    fn mounts(&self, program: &Path, environment: &[(String, String)]) -> Mounts {
        let path = environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or("", |(_, value)| value.as_str());
        let programs = [program, &self.terraform.terraform, &self.terraform.git];
        let programs = programs.map(|program| find_program(program, path));
        let given = [&self.terraform.cli_config, &self.terraform.plugin_cache];
        let repository = self.terraform.repo_url.strip_prefix("file://").map(Path::new);
        let as_it_is = programs.iter().chain(given).flatten().map(PathBuf::as_path);
        let as_it_is = as_it_is.chain(self.docker_socket()).chain(repository);
        let settings = MountSpec {
            real: self.work.real_settings(),
            at: self.work.seen_settings(),
            writable: false,
        };
        let work = MountSpec {
            real: self.work.real().to_owned(),
            at: self.work.seen().to_owned(),
            writable: true,
        };
        let read = as_it_is.map(MountSpec::read_only).chain([settings]);
        let there =
            read.filter(|one| files::optional(one.real.metadata()).is_ok_and(|facts| facts.is_some()));
        Mounts {
            shown: there.chain([work]).collect(),
            hidden: self.hidden(),
        }
    }

    /// Wherever the operator has put what is ours. Most of it lies where a plan sees nothing anyhow.
    fn hidden(&self) -> Vec<PathBuf> {
        let Config {
            places,
            key_file,
            cert_file,
            ..
        } = self.config;
        let TerraformConfig {
            workdir,
            plan_workdir,
            app,
            ..
        } = self.terraform;
        let pem = app.as_ref().map(|app| &app.pem);
        let login = self.config.deploy().login.as_ref();
        let password = login.map(|login| &login.password_file);
        let ours = [
            key_file,
            cert_file,
            &places.state,
            &places.runs,
            &places.runtime,
            workdir,
            plan_workdir,
        ];
        let ours = ours.into_iter().chain(pem).chain(password).cloned();
        ours.chain(SETTINGS.iter().map(PathBuf::from)).collect()
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
