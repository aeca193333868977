//! Where a command finds its settings: the environment, and the file that was named or is looked for.

use std::path::{Path, PathBuf};

use super::help::ENV_FILES;
use super::{Args, CommandError, ExitStatus, Result};
use crate::config::{Config, Settings};
use crate::os::settings::{self, Source};
use crate::os::{logging, places};

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
pub fn read(args: &Args) -> Result<FoundSettings> {
    let mut found = from(source(args.env_file()))?;
    found.settings = found.settings.with_credentials(Some(Path::new(UNIT_CREDENTIALS)));
    Ok(found)
}

/// The file that was named, else the first usual one that exists, or of which that cannot be known: reading it will say
/// why.
pub fn source(env_file: Option<&Path>) -> Source {
    if let Some(named) = env_file {
        return Source::Named(named.to_owned());
    }
    let mut usual = ENV_FILES.into_iter().map(PathBuf::from);
    let found = usual.find(|file| !matches!(file.try_exists(), Ok(false)));
    found.map_or(Source::Environment, Source::Usual)
}

pub fn from(source: Source) -> Result<FoundSettings> {
    let settings = source.load();
    let settings = settings.map_err(|faults| CommandError(ExitStatus::Unable, faults))?;
    Ok(FoundSettings { settings, source })
}

/// Settings, and what they mean.
pub struct Loaded {
    /// For the roles that are started.
    pub settings: Settings,
    pub config: Config,
}

/// The settings of a command, made sense of, and the folders that they name; it logs warnings from here on.
///
/// # Errors
/// Every complaint at once, and what to do about them.
pub fn load(args: &Args) -> Result<Loaded> {
    let found = read(args)?;
    let config = found.config()?;
    logging::start("cli", "warn");
    places::prepare(&config.places)?;
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
    pub fn config(&self) -> Result<Config> {
        settings::understand(&self.settings).map_err(|mut lines| {
            let sources = self.sources();
            lines.push(format!(
                "correct the settings from {sources}, or name a file with --env-file"
            ));
            CommandError(ExitStatus::Unable, lines)
        })
    }

    /// Where they are from, for a sentence.
    pub fn sources(&self) -> String {
        match self.source.file() {
            Some(file) => format!("the environment and {}", file.display()),
            None => "the environment".into(),
        }
    }
}
