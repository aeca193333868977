//! What a command is given: the environment, and the file that was named or is looked for.

use std::path::{Path, PathBuf};

use crate::cli::help::ENV_FILES;
use crate::cli::out::Trouble;
use crate::config::{Complaint, Config, Settings};
use crate::os::logging;
use crate::os::settings::{self, Source};

/// Where systemd keeps what it handed to the daemon, while that runs. A command that was typed is handed nothing, and
/// `check` wants to look at the daemon's key; the others do without.
pub const UNIT_CREDENTIALS: &str = "/run/credentials/engram-deployer.service";

/// Settings as they were found, and where.
pub struct Found {
    /// Not yet made sense of.
    pub settings: Settings,
    /// Where they are from.
    pub source: Source,
}

/// The settings of a command that was typed.
///
/// # Errors
/// Every fault of the file at once.
pub fn settings(env_file: Option<&Path>) -> Result<Found, Trouble> {
    let found = from(source(env_file))?;
    Ok(Found {
        settings: found.settings.with_credentials(Some(Path::new(UNIT_CREDENTIALS))),
        ..found
    })
}

/// Where a command finds its settings.
pub fn source(env_file: Option<&Path>) -> Source {
    match env_file {
        Some(named) => Source::Named(named.to_owned()),
        None => usual_file().map_or(Source::Environment, Source::Usual),
    }
}

/// The settings that are there.
///
/// # Errors
/// Every fault at once.
pub fn from(source: Source) -> Result<Found, Trouble> {
    let settings = source.load().map_err(Trouble::Unable)?;
    Ok(Found { settings, source })
}

/// Settings that make sense.
pub struct Given {
    /// As they were, for the roles that are started.
    pub settings: Settings,
    /// What they mean.
    pub config: Config,
}

/// The settings of a command, made sense of; it logs warnings from here on.
///
/// # Errors
/// Every complaint at once, and what to do about them.
pub fn config(env_file: Option<&Path>) -> Result<Given, Trouble> {
    let found = settings(env_file)?;
    let config = found.config()?;
    logging::start("cli", "warn");
    Ok(Given {
        settings: found.settings,
        config,
    })
}

impl Found {
    /// Makes sense of them.
    ///
    /// # Errors
    /// Every complaint at once, and what to do about them.
    pub fn config(&self) -> Result<Config, Trouble> {
        settings::understand(&self.settings).map_err(|complaints| self.trouble(&complaints))
    }

    /// Where they are from, for a sentence.
    pub fn origin(&self) -> String {
        match self.source.file() {
            Some(file) => format!("the environment and {}", file.display()),
            None => "the environment".into(),
        }
    }

    fn trouble(&self, complaints: &[Complaint]) -> Trouble {
        let faults = match complaints.len() {
            1 => "1 fault".to_owned(),
            many => format!("{many} faults"),
        };
        let advice = match self.source.file() {
            Some(_) => "mend them",
            None => "set them there, or name a file of KEY=value lines with --env-file",
        };
        let last = format!("{faults} in the settings from {}; {advice}", self.origin());
        let lines = complaints.iter().map(ToString::to_string).chain([last]);
        Trouble::Unable(lines.collect())
    }
}

/// The first file that exists, or of which that cannot be known: reading it will say why.
fn usual_file() -> Option<PathBuf> {
    ENV_FILES
        .into_iter()
        .map(PathBuf::from)
        .find(|file| !matches!(file.try_exists(), Ok(false)))
}
