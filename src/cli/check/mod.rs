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
use crate::config::{Config, warnings};
use crate::os::{logging, process, settings};
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
        docker::check(&config.deploy, &mut report);
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

fn about_the_settings(found: &Found, config: &Config, report: &mut Report) {
    report.ok("settings", format_args!("from {}", found.origin()));
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
