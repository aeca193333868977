//! `check`: everything that can be known to be wrong before a request comes, at once.
//!
//! Changes nothing but what `serve` would make as well: folders that are missing, and a replay memory that refuses the
//! tokens of before. A port that is in use is no error, since the daemon may be running.

mod certificate;
mod deploy;
mod places;
mod report;
#[cfg(feature = "terraform")]
mod terraform;

use std::path::Path;

use super::{Args, CommandError, Result, settings_source};
use crate::config::{Config, Settings, warnings};
use crate::gate;
use crate::jwt::KeySet;
use crate::limits::MAX_SETTINGS;
use crate::os::{files, logging, process, secret};
use report::Report;

/// Prints a line for each finding; it has failed when there is an error among them.
///
/// # Errors
/// When standard output cannot be written.
pub fn check(args: &Args) -> Result {
    let mut report = Report::default();
    if let Err(CommandError(_, lines)) = look_at_all(args, &mut report) {
        report.errors("settings", lines);
    }
    report.end()
}

/// # Errors
/// What is wrong with the settings: the host is not looked at until they are corrected.
fn look_at_all(args: &Args, report: &mut Report) -> Result<()> {
    let found = settings_source::read(args)?;
    report.warnings("settings", warnings(&found.settings));
    let config = found.config()?;
    logging::start("check", "error");
    let readable = found.source.file().and_then(readable_secrets);
    let origin = format!("from {}", found.sources());
    report.result("settings", readable.map_or(Ok(origin), Err));
    report.warnings("settings", config.no_plan());
    report.warnings("advice", config.advice());
    if !process::is_root() {
        report.warning("user", super::NOT_ROOT);
    }
    certificate::check(&config, report);
    places::check(&config, report);
    report.result("issuer's keys", keys(&config));
    deploy::check(&config, report);
    #[cfg(feature = "terraform")]
    terraform::check(&config, report);
    Ok(())
}

/// Says so where others may read the file `path` and secrets are set in it.
fn readable_secrets(path: &Path) -> Option<String> {
    let readable = secret::readable_by_others(&path.metadata().ok()?)?;
    let text = files::read_bounded(path, MAX_SETTINGS as u64).ok()?;
    let holds = Settings::from_env_file(&text).is_ok_and(|settings| settings.hold_a_secret());
    holds.then(|| format!("{} holds secrets: {readable}", path.display()))
}

/// Fetches the issuer's key set and reads it as the gate does; what is kept of an earlier one is left alone.
fn keys(config: &Config) -> Result<String, String> {
    let (text, url) = (gate::fetch_keys(config)?, &config.issuer.jwks_url);
    match KeySet::parse(&text) {
        Ok(set) => Ok(format!("{} usable from {url}", set.names().count())),
        Err(error) => Err(format!("the answer of {url} cannot be used: {error}")),
    }
}
