//! What a run of terraform needs: git, terraform in a version that is known to do what we rely on, the GitHub App's key,
//! and folders that nobody else can write to.

use std::path::Path;

use serde_json::Value;

use crate::cli::check::program::{self, last_line};
use crate::cli::check::report::Report;
use crate::config::{Config, GithubApp, TerraformConfig};
use crate::limits::MAX_PEM;
use crate::os::secret;

/// The first terraform that locks its state in S3 by itself, and whose plans we have read.
const LEAST: [u64; 2] = [1, 11];

/// Looks at all of it, where terraform is configured.
pub fn check(config: &Config, report: &mut Report) {
    let Some(terraform) = &config.terraform else {
        return;
    };
    let path = program::path(config.deploy());
    report.result("git", git(terraform, path));
    report.result("terraform", version(terraform, path));
    if let Some(app) = &terraform.app {
        report.result("GitHub App", key(app));
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

fn git(terraform: &TerraformConfig, path: &str) -> Result<String, String> {
    let git = program::find(&terraform.git, path, "DEPLOYER_TF_GIT_BINARY_PATH")?;
    let text = program::version(&git, &["version"], &[])?;
    Ok(format!("{}: {}", git.display(), last_line(&text)))
}

fn version(terraform: &TerraformConfig, path: &str) -> Result<String, String> {
    let program = program::find(&terraform.terraform, path, "DEPLOYER_TF_BINARY_PATH")?;
    let environment = [
        ("CHECKPOINT_DISABLE", "1"),
        ("HOME", "/nonexistent"),
        ("PATH", path),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = program::version(&program, &["version", "-json"], &environment)?;
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let (program, [major, minor]) = (program.display(), LEAST);
    match document["terraform_version"].as_str() {
        None => Err(format!("{program} prints no version: {}", last_line(&text))),
        Some(version) if is_new_enough(version) => Ok(format!("{program} has version {version}")),
        Some(version) => Err(format!(
            "{program} has version {version}; {major}.{minor} or newer is needed"
        )),
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => [major, minor] >= LEAST,
        _ => false,
    }
}

/// A private key that root alone can read; whether it is the App's only GitHub knows.
fn key(app: &GithubApp) -> Result<String, String> {
    let path = app.pem.display();
    let pem = secret::read_bytes(&app.pem, MAX_PEM)?;
    let mut lines = pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    match lines.any(|line| line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----")) {
        true => Ok(format!("{path} is a key that only root can read")),
        false => Err(format!(
            "{path} has no private key in it; GitHub gives it out once, as a file that ends in .pem"
        )),
    }
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
