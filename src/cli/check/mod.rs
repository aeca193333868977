//! `check`: everything that can be known to be wrong before a request comes, at once.
//!
//! Changes nothing but what `serve` would make as well: folders that are missing, and a replay memory that refuses the
//! tokens of before. A port that is in use is no fault, since the daemon may be running.

mod certificate;
mod deploy;
mod docker;
mod keys;
mod places;
mod program;
mod report;
mod terraform;

use std::path::Path;
use std::time::SystemTime;

use crate::cli::given::{self, Found};
use crate::cli::help::Exit;
use crate::cli::out::Trouble;
use crate::config::{Config, Settings, warnings};
use crate::limits::MAX_SETTINGS;
use crate::os::{files, logging, process, secret, settings, trusted};
use report::Report;

/// Prints a line for each finding; [`Exit::Failed`] when there is a fault among them.
///
/// # Errors
/// When standard output cannot be written.
pub fn check(env_file: Option<&Path>) -> Result<Exit, Trouble> {
    let mut report = Report::default();
    if let Some((found, config)) = settings_of(env_file, &mut report) {
        logging::start("check", "error");
        about_the_settings(&found, &config, &mut report);
        let now = SystemTime::now();
        certificate::check(&config, now, &mut report);
        places::check(&config, now, &mut report);
        keys::check(&config, &mut report);
        docker::check(config.deploy(), &mut report);
        deploy::check(&config, &mut report);
        terraform::check(&config, &mut report);
    }
    report.end()
}

/// Without settings that make sense there is nothing else to look at.
fn settings_of(env_file: Option<&Path>, report: &mut Report) -> Option<(Found, Config)> {
    let found = match given::settings(env_file) {
        Ok(found) => found,
        Err(Trouble::Unable(faults)) => {
            faults.iter().for_each(|fault| report.fault("settings", fault));
            return None;
        }
        Err(Trouble::Unread(_) | Trouble::Senseless(_)) => return None,
    };
    match settings::understand(&found.settings) {
        Ok(config) => Some((found, config)),
        Err(complaints) => {
            complaints
                .iter()
                .for_each(|complaint| report.fault("settings", complaint));
            warnings(&found.settings)
                .iter()
                .for_each(|line| report.warn("settings", line));
            report.warn("host", "not looked at until the settings are mended");
            None
        }
    }
}

/// Why the secrets that are set in the file `path` are none, if others may read it. Those in the environment are not the
/// file's affair.
fn secrets_for_all(path: &Path) -> Option<String> {
    let (file, facts) = trusted::open(path).ok()?;
    let readable = secret::readable_by_others(&facts)?;
    let text = files::read_bounded_from(file, path, MAX_SETTINGS as u64).ok()?;
    let holds = Settings::from_env_file(&text).is_ok_and(|settings| settings.hold_a_secret());
    let (path, advice) = (path.display(), secret::CLOSE_IT);
    holds.then(|| format!("{path}: {readable}, and it holds secrets; {advice}"))
}

fn about_the_settings(found: &Found, config: &Config, report: &mut Report) {
    match found.source.file().and_then(secrets_for_all) {
        None => report.ok("settings", format_args!("from {}", found.origin())),
        Some(fault) => report.fault("settings", fault),
    }
    warnings(&found.settings)
        .iter()
        .chain(&config.no_plan())
        .for_each(|line| report.warn("settings", line));
    config
        .advice()
        .iter()
        .for_each(|line| report.warn("advice", line));
    if !process::is_root() {
        report.warn(
            "user",
            "not root: front and fetch keep our user, and docker must let it in",
        );
    }
}
