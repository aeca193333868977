//! What a run of terraform needs: git, terraform in a version that is known to do what we rely on, the GitHub App's key,
//! and folders that nobody else can write to.

use std::path::Path;

use serde_json::Value;

use super::Report;
use super::deploy::{last_line, version};
use crate::config::Config;
use crate::jwt::sign;
use crate::limits::MAX_PEM;
use crate::os::secret;

/// The first terraform that locks its state in S3 by itself, and whose plans we have read.
const LEAST: [u64; 2] = [1, 11];

/// Looks at all of it, where terraform is configured.
pub fn check(config: &Config, report: &mut Report) {
    let Some(terraform) = &config.terraform else {
        return;
    };
    let quiet = [("CHECKPOINT_DISABLE", "1"), ("HOME", "/nonexistent")];
    let quiet = quiet.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = [&config.deploy().environment[..1], &quiet].concat();
    let git = version(&terraform.git, &["version"], &environment);
    report.result("git", git.as_deref().map(last_line));
    report.result("terraform", terraform_version(&terraform.terraform, &environment));
    if let Some(app) = &terraform.app {
        report.result("GitHub App", key(&app.pem));
    }
    folder("terraform's folder", &terraform.workdir, report);
    if terraform.plan.is_ok() {
        folder("folder of plans", &terraform.plan_workdir, report);
    }
    for file in terraform.cli_config.iter().chain(&terraform.plugin_cache) {
        report.root_alone("terraform", file);
        if !file.exists() {
            report.error("terraform", format!("there is no {}", file.display()));
        }
    }
}

fn terraform_version(program: &Path, environment: &[(String, String)]) -> Result<String, String> {
    let text = version(program, &["version", "-json"], environment)?;
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let [major, minor] = LEAST;
    match document["terraform_version"].as_str() {
        None => Err(format!("it prints no version: {}", last_line(&text))),
        Some(version) if is_new_enough(version) => Ok(format!("version {version}")),
        Some(version) => Err(format!("version {version}; {major}.{minor} or newer is needed")),
    }
}

fn is_new_enough(version: &str) -> bool {
    let numbers = version.split('.').map_while(|number| number.parse::<u64>().ok());
    numbers.take(2).ge(LEAST)
}

/// A private key that root alone can read; whether it is the App's only GitHub knows.
fn key(pem: &Path) -> Result<String, String> {
    let (bytes, path) = (secret::read_bytes(pem, MAX_PEM)?, pem.display());
    sign::check(&bytes).map_err(|fault| format!("{path}: {fault}"))?;
    Ok(format!("{path} is a key that only root can read"))
}

/// What there is of the folder must be root's alone to write.
fn folder(what: &str, path: &Path, report: &mut Report) {
    let existing = path.ancestors().find(|folder| folder.exists());
    report.root_alone(what, existing.unwrap_or(path));
    if existing != Some(path) {
        report.ok(what, format!("{} can be made", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_new_enough_by_its_numbers() {
        for good in ["1.11.0", "1.11.4", "1.12.0-beta1", "1.100.0", "2.0.0"] {
            assert!(is_new_enough(good), "{good}");
        }
        for bad in ["1.10.5", "0.15.3", "1.9.9", "1", "", "one.two", "1.x"] {
            assert!(!is_new_enough(bad), "{bad}");
        }
    }
}
