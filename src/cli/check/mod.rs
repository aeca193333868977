//! `check`: everything that can be known to be wrong before a request comes, at once.
//!
//! Changes nothing but what `serve` would make as well: folders that are missing, and a replay memory that refuses the
//! tokens of before. A port that is in use is no error, since the daemon may be running.

mod certificate;
mod deploy;
mod places;
mod program;
mod report;
#[cfg(feature = "terraform")]
mod terraform;

use std::path::Path;
use std::time::SystemTime;

use crate::cli::help::ExitStatus;
use crate::cli::output::CommandError;
use crate::cli::settings_source::{self, FoundSettings};
use crate::config::{Config, Settings, warnings};
use crate::gate;
use crate::jwt::KeySet;
use crate::limits::MAX_SETTINGS;
use crate::os::{files, logging, process, secret, settings, trusted};
use report::Report;

/// Prints a line for each finding; [`ExitStatus::Failed`] when there is an error among them.
///
/// # Errors
/// When standard output cannot be written.
pub fn check(env_file: Option<&Path>) -> Result<ExitStatus, CommandError> {
    let mut report = Report::default();
    let found = match settings_source::read(env_file) {
        Ok(found) => found,
        Err(CommandError::Unable(errors)) => {
            errors.iter().for_each(|error| report.error("settings", error));
            return report.end();
        }
        Err(error) => return Err(error),
    };
    let warnings = warnings(&found.settings);
    warnings.iter().for_each(|line| report.warning("settings", line));
    match settings::understand(&found.settings) {
        Ok(config) => {
            logging::start("check", "error");
            settings(&found, &config, &mut report);
            host(&config, &mut report);
        }
        Err(complaints) => {
            complaints.iter().for_each(|one| report.error("settings", one));
            report.warning("host", "not checked until the settings are corrected");
        }
    }
    report.end()
}

fn host(config: &Config, report: &mut Report) {
    let now = SystemTime::now();
    certificate::check(config, now, report);
    places::check(config, now, report);
    keys(config, report);
    deploy::check(config, report);
    #[cfg(feature = "terraform")]
    terraform::check(config, report);
}

fn settings(found: &FoundSettings, config: &Config, report: &mut Report) {
    let readable = found.source.file().and_then(readable_secrets);
    let origin = format!("from {}", found.sources());
    report.result("settings", readable.map_or(Ok(origin), Err));
    let no_plan = config.no_plan();
    no_plan.iter().for_each(|line| report.warning("settings", line));
    let advice = config.advice();
    advice.iter().for_each(|line| report.warning("advice", line));
    if !process::is_root() {
        let what = "not root: front and fetch keep our user, and docker must let it in";
        report.warning("user", what);
    }
}

/// Says so where others may read the file `path` and secrets are set in it.
fn readable_secrets(path: &Path) -> Option<String> {
    let (file, facts) = trusted::open(path).ok()?;
    let readable = secret::readable_by_others(&facts)?;
    let text = files::read_bounded_from(file, path, MAX_SETTINGS as u64).ok()?;
    let holds = Settings::from_env_file(&text).is_ok_and(|settings| settings.hold_a_secret());
    holds.then(|| format!("{} holds secrets: {readable}", path.display()))
}

/// Fetches the issuer's key set and reads it as the gate does; what is kept of an earlier one is left alone.
fn keys(config: &Config, report: &mut Report) {
    let url = &config.issuer.jwks_url;
    let set = gate::fetch_keys(config).and_then(|text| {
        KeySet::parse(&text).map_err(|error| format!("the answer of {url} cannot be used: {error}"))
    });
    let usable = set.map(|set| format!("{} usable from {url}", set.names().count()));
    report.result("issuer's keys", usable);
}
