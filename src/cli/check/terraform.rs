//! What a run of terraform needs: git, terraform in a version that is known to do what we rely on, the GitHub App's key,
//! and folders that nobody else can write to.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::check::program::{Answer, last_line, path, task};
use crate::cli::check::report::Report;
use crate::config::{Config, GithubApp, TerraformConfig};
use crate::limits::VERSION_DEADLINE;
use crate::os::child::{self, Command, Exit};
use crate::os::{secret, trusted};

/// The first terraform that locks its state in S3 by itself, and whose plans we have read.
const LEAST: [u64; 2] = [1, 11];

/// Looks at all of it, where terraform is configured.
pub fn check(config: &Config, report: &mut Report) {
    let Some(terraform) = &config.terraform else {
        return;
    };
    let path = path(config.deploy());
    report.found("git", git(terraform, path));
    report.found("terraform", version(terraform, path));
    if let Some(app) = &terraform.app {
        report.found("GitHub App", key(app));
    }
    report.found("terraform's folder", folder(&terraform.workdir));
    if terraform.plan.is_some() {
        report.found("folder of plans", folder(&terraform.plan_workdir));
    }
    for file in [&terraform.cli_config, &terraform.plugin_cache]
        .into_iter()
        .flatten()
    {
        report.found("terraform", roots_alone(file));
    }
}

fn git(terraform: &TerraformConfig, path: &str) -> Result<String, String> {
    let git = found(&terraform.git, path, "DEPLOYER_TF_GIT_BINARY_PATH")?;
    let said = said_by(Command::tool(&git).arguments(["version"]), &git)?;
    Ok(format!("{}: {}", git.display(), last_line(&said)))
}

fn version(terraform: &TerraformConfig, path: &str) -> Result<String, String> {
    let program = found(&terraform.terraform, path, "DEPLOYER_TF_BINARY_PATH")?;
    let command = Command::tool(&program)
        .arguments(["version", "-json"])
        .variable("CHECKPOINT_DISABLE", "1")
        .variable("HOME", "/nonexistent")
        .variable("PATH", path);
    let said = said_by(command, &program)?;
    let version: Value = serde_json::from_str(&said).unwrap_or_default();
    let version = version["terraform_version"].as_str().ok_or_else(|| {
        format!(
            "{} does not say its version: {}",
            program.display(),
            last_line(&said)
        )
    })?;
    match is_new_enough(version) {
        true => Ok(format!("{} has version {version}", program.display())),
        false => Err(format!(
            "{} has version {version}; {}.{} or newer is needed",
            program.display(),
            LEAST[0],
            LEAST[1]
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

fn found(program: &Path, path: &str, variable: &str) -> Result<PathBuf, String> {
    let name = program.display();
    child::find_program(program, path)
        .ok_or_else(|| format!("there is no `{name}` on {path}: install it, or set {variable}"))
}

/// What a program says that ends well, and soon.
fn said_by(command: Command, program: &Path) -> Result<String, String> {
    let name = program.display();
    match task(command).map_err(|error| format!("run {name}: {error}"))? {
        Answer::Ended(Exit::Code(0), said) => Ok(said),
        Answer::Ended(exit, said) => Err(format!("{name} ended with {exit}: {}", last_line(&said))),
        Answer::Silent => Err(format!(
            "{name} did not say its version within {} s",
            VERSION_DEADLINE.as_secs()
        )),
    }
}

/// A private key that root alone can read; whether it is the App's only GitHub knows.
fn key(app: &GithubApp) -> Result<String, String> {
    let pem = secret::read_bytes(&app.pem, crate::limits::MAX_PEM)?;
    let is_key = String::from_utf8_lossy(&pem)
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----"));
    match is_key {
        true => Ok(format!("{} is a key that root alone can read", app.pem.display())),
        false => Err(format!(
            "{} has no private key in it; GitHub gives it out once, as a file that ends in .pem",
            app.pem.display()
        )),
    }
}

/// Whether it can be made, or is there: what there is of it must be a folder that nobody else can write to.
fn folder(path: &Path) -> Result<String, String> {
    let there = path.ancestors().find(|folder| folder.symlink_metadata().is_ok());
    let there = there.ok_or_else(|| format!("{} cannot be made: not even `/` is there", path.display()))?;
    let facts = there
        .metadata()
        .map_err(|error| format!("look at {}: {error}", there.display()))?;
    if !facts.is_dir() {
        return Err(format!(
            "{} is no folder, so {} cannot be made",
            there.display(),
            path.display()
        ));
    }
    match trusted::fault(&facts) {
        Some(fault) => Err(format!("{}: {fault}", there.display())),
        None if there == path => Ok(format!("{} is root's alone to write", path.display())),
        None => Ok(format!("{} can be made", path.display())),
    }
}

/// What others may write to decides what terraform runs.
fn roots_alone(path: &Path) -> Result<String, String> {
    let facts = path
        .metadata()
        .map_err(|error| format!("look at {}: {error}", path.display()))?;
    match trusted::fault(&facts) {
        None => Ok(format!("{} is root's alone to write", path.display())),
        Some(fault) => Err(format!("{}: {fault}", path.display())),
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
