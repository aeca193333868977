//! How a tool is started for a plan, or for an apply: as whom, with what environment, within which walls.
//!
//! Every tool of terraform's steps goes through here, git too: what a pull request holds is fetched and run as a plan's
//! user. What a plan may see of the host stands in [`Hands::walls`]; how the rest is kept from it, in [`crate::jail`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Side, TerraformConfig};
use crate::jail::{self, Access, Cell, Show, Walls};
use crate::os::child::find_program;
use crate::os::files;
use crate::os::privilege;
use crate::run::{EndPolicy, Failure, Tool};
use crate::secret::Secret;
use crate::terraform::work::{Kind, Work};

/// Settings of ours and of the host that are in nobody's configuration: environment files, and units, whose
/// `Environment=` often holds secrets that everybody can read.
const SETTINGS: &[&str] = &[
    "/etc/default/engram-deployer",
    "/etc/engram-deployer",
    "/etc/sysconfig/engram-deployer",
    "/etc/systemd",
];

/// The hands of one run.
#[derive(Clone, Debug)]
pub struct Hands<'a> {
    /// Everything.
    pub config: &'a Config,
    /// Its part for terraform.
    pub terraform: &'a TerraformConfig,
    /// Who the tools run as, and with which credentials.
    pub side: &'a Side,
    /// Within which walls.
    pub kind: Kind,
    /// Where.
    pub work: Work,
}

/// One tool to start.
#[derive(Clone, Debug)]
pub struct Errand {
    /// With a slash, or looked for on `PATH`.
    pub program: PathBuf,
    /// After the program's own name. No secret belongs here.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Where it stands, as it sees it: beneath [`Work::seen`].
    pub directory: PathBuf,
    /// How long it may take.
    pub deadline: Duration,
    /// How it is ended before that.
    pub ending: EndPolicy,
    /// What it can read from descriptor 3, once.
    pub pipe: Option<Secret>,
}

impl Hands<'_> {
    /// The tool as a step starts it. One that could not be started ends with [`jail::FAILED`].
    pub fn tool(&self, errand: Errand) -> Tool {
        let cell = Cell {
            account: self.side.account.clone(),
            groups: self.groups(),
            walls: match self.kind {
                Kind::Plan => Some(self.walls(&errand)),
                Kind::Apply => None,
            },
            directory: errand.directory,
        };
        Tool {
            program: errand.program,
            arguments: errand.arguments,
            environment: errand.environment,
            deadline: errand.deadline,
            end_policy: errand.ending,
            stdin: None,
            cell: Some(cell),
            pipe: errand.pipe,
        }
    }

    /// Makes the folder of this run, empty and its user's own, in the place of whatever an earlier run has left.
    ///
    /// # Errors
    /// When others could put something else in its place, and when it could not be made.
    pub fn prepare(&self) -> Result<(), Failure> {
        let account = self.side.account.as_ref();
        let prepared = account
            .map(privilege::identity)
            .transpose()
            .map_err(|error| format!("look up terraform's user: {error}"))
            .and_then(|owner| self.work.make(owner, self.kind));
        prepared.map_err(Failure::Failed)
    }

    /// Removes it, with the plan and whatever else is secret in it.
    ///
    /// # Errors
    /// When it could not be removed.
    pub fn clear(&self) -> Result<(), Failure> {
        self.work.remove().map_err(Failure::Failed)
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
    fn walls(&self, errand: &Errand) -> Walls {
        let path = errand.environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or("", |(_, value)| value.as_str());
        let programs = [&errand.program, &self.terraform.terraform, &self.terraform.git];
        let programs = programs.map(|program| find_program(program, path));
        let given = [&self.terraform.cli_config, &self.terraform.plugin_cache];
        let read = programs.iter().chain(given).flatten().map(PathBuf::as_path);
        let repository = self.terraform.repo_url.strip_prefix("file://").map(Path::new);
        let read = read
            .chain(self.docker_socket())
            .chain(repository)
            .map(Show::reading);
        let ours = Show {
            real: self.work.real_settings(),
            at: self.work.seen_settings(),
            access: Access::Reading,
        };
        let work = Show {
            real: self.work.real().to_owned(),
            at: self.work.seen().to_owned(),
            access: Access::Writing,
        };
        let there = read
            .chain([ours])
            .filter(|show| files::optional(show.real.metadata()).is_ok_and(|facts| facts.is_some()));
        Walls {
            shows: there.chain([work]).collect(),
            hides: self.hides(),
        }
    }

    /// Wherever the operator has put what is ours. Most of it lies where a plan sees nothing anyhow.
    fn hides(&self) -> Vec<PathBuf> {
        let Config { places, .. } = self.config;
        let app = self.terraform.app.as_ref().map(|app| app.pem.clone());
        let login = self.config.deploy().login.as_ref();
        let password = login.map(|login| login.password_file.clone());
        let ours = [
            &self.config.key_file,
            &self.config.cert_file,
            &places.state,
            &places.runs,
            &places.runtime,
            &self.terraform.workdir,
            &self.terraform.plan_workdir,
        ];
        let ours = ours.into_iter().cloned().chain(app).chain(password);
        ours.chain(SETTINGS.iter().map(PathBuf::from)).collect()
    }
}

#[cfg(test)]
#[path = "hands_tests.rs"]
mod tests;
