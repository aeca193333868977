//! Where a command finds its settings: the environment, and the file that was named or is looked for.

use std::path::{Path, PathBuf};

use crate::cli::help::ENV_FILES;
use crate::cli::output::CommandError;
use crate::config::{Config, Settings};
use crate::os::logging;
use crate::os::settings::{self, Source};

/// Where systemd keeps the credentials of the daemon, while that runs. A command that was typed has none of its own, and
/// `check` wants to look at the daemon's key; the others do without.
pub const UNIT_CREDENTIALS: &str = "/run/credentials/engram-deployer.service";

/// Settings as they were found, not yet made sense of.
pub struct FoundSettings {
    pub settings: Settings,
    pub source: Source,
}

/// The settings of a command that was typed.
///
/// # Errors
/// Every fault of the file at once.
pub fn read(env_file: Option<&Path>) -> Result<FoundSettings, CommandError> {
    let found = from(source(env_file))?;
    Ok(FoundSettings {
        settings: found.settings.with_credentials(Some(Path::new(UNIT_CREDENTIALS))),
        ..found
    })
}

/// The file that was named, else the first usual one that exists, or of which that cannot be known: reading it will say
/// why.
pub fn source(env_file: Option<&Path>) -> Source {
    let exists = |file: &PathBuf| !matches!(file.try_exists(), Ok(false));
    match env_file {
        Some(named) => Source::Named(named.to_owned()),
        None => ENV_FILES
            .into_iter()
            .map(PathBuf::from)
            .find(exists)
            .map_or(Source::Environment, Source::Usual),
    }
}

/// # Errors
/// Every fault at once.
pub fn from(source: Source) -> Result<FoundSettings, CommandError> {
    let settings = source.load().map_err(CommandError::Unable)?;
    Ok(FoundSettings { settings, source })
}

/// Settings, and what they mean.
pub struct Loaded {
    /// For the roles that are started.
    pub settings: Settings,
    pub config: Config,
}

/// The settings of a command, made sense of; it logs warnings from here on.
///
/// # Errors
/// Every complaint at once, and what to do about them.
pub fn load(env_file: Option<&Path>) -> Result<Loaded, CommandError> {
    let found = read(env_file)?;
    let config = found.config()?;
    logging::start("cli", "warn");
    Ok(Loaded {
        settings: found.settings,
        config,
    })
}

impl FoundSettings {
    /// Makes sense of them.
    ///
    /// # Errors
    /// Every complaint at once, and what to do about them.
    pub fn config(&self) -> Result<Config, CommandError> {
        settings::understand(&self.settings).map_err(|complaints| self.error(complaints))
    }

    /// Where they are from, for a sentence.
    pub fn sources(&self) -> String {
        match self.source.file() {
            Some(file) => format!("the environment and {}", file.display()),
            None => "the environment".into(),
        }
    }

    fn error(&self, mut complaints: Vec<String>) -> CommandError {
        let errors = match complaints.len() {
            1 => "1 error".to_owned(),
            many => format!("{many} errors"),
        };
        let advice = match self.source.file() {
            Some(_) => "correct them",
            None => "set them there, or name a file of KEY=value lines with --env-file",
        };
        let last = format!("{errors} in the settings from {}; {advice}", self.sources());
        complaints.push(last);
        CommandError::Unable(complaints)
    }
}
