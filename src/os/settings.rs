//! Settings on their way: from the environment or a file into a process, and from a process into a role.
//!
//! A role gets them as JSON on standard input: complete before it starts, in no argument, in no environment.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::config::{Config, Settings};
use crate::limits::MAX_SETTINGS;
use crate::os::{descriptor, logging, process, trusted};

const NOT_ROOT: &str =
    "we are not root here, and only root can start the sandbox for what a pull request brings";

/// Where settings are from.
pub enum Source {
    /// The environment alone.
    Environment,
    /// A file that was named: it goes over the environment.
    Named(PathBuf),
    /// A file that was only looked for: it lies beneath the environment, because what was typed in front of a command was
    /// meant.
    Usual(PathBuf),
}

impl Source {
    /// The settings as they are there now.
    ///
    /// # Errors
    /// Every fault at once, one line each, naming the file.
    pub fn load(&self) -> Result<Settings, Vec<String>> {
        let environment = Settings::from_environment(std::env::vars_os())?;
        let settings = match self {
            Source::Environment => environment,
            Source::Named(path) => read(path)?.over(environment),
            Source::Usual(path) => environment.over(read(path)?),
        };
        settings.to_json().map_err(|error| vec![error])?;
        // Where the service manager puts credentials for this process, if it does.
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Ok(settings.with_credentials(folder.filter(|folder| folder.is_dir()).as_deref()))
    }

    /// The file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Source::Environment => None,
            Source::Named(path) | Source::Usual(path) => Some(path),
        }
    }
}

/// A role's settings, which [`memory_file`] put on standard input; the log is opened with them. They were checked before, so
/// a complaint is a mistake of ours.
///
/// # Errors
/// When they cannot be read or are not good.
pub fn received(role: &'static str) -> io::Result<(Settings, Config)> {
    let received = Settings::from_json(&descriptor::take_stdin()?).map_err(io::Error::other)?;
    let config = understand_in_one_line(&received).map_err(io::Error::other)?;
    logging::start(role, &config.log);
    Ok((received, config))
}

/// The settings in a file. Whoever may write to it decides what root runs, so it must be root's alone to write.
///
/// # Errors
/// Every fault at once, one line each, naming the file.
fn read(path: &Path) -> Result<Settings, Vec<String>> {
    let text = trusted::read(path, MAX_SETTINGS as u64, trusted::fault);
    let text = text.map_err(|error| vec![format!("take settings: {error}")])?;
    let named = |error| format!("{}: {error}", path.display());
    Settings::from_env_file(&text).map_err(|errors| errors.into_iter().map(named).collect())
}

/// What `settings` mean on this machine: without the endpoints that it cannot offer.
///
/// # Errors
/// Every complaint at once.
pub fn understand(settings: &Settings) -> Result<Config, Vec<String>> {
    let config = Config::from_settings(settings)?;
    Ok(match process::is_root() {
        true => config,
        false => config.without_plan(NOT_ROOT),
    })
}

/// The same, with all complaints in one line.
pub fn understand_in_one_line(settings: &Settings) -> Result<Config, String> {
    understand(settings).map_err(|complaints| complaints.join("; "))
}

/// `settings` as a role's standard input.
pub fn memory_file(settings: &Settings) -> io::Result<OwnedFd> {
    descriptor::memory_file(&settings.to_json().map_err(io::Error::other)?)
}
