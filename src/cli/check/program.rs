//! Asking a program for its version: one that says little, and ends soon.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::config::DeployConfig;
use crate::limits::{MAX_VERSION, VERSION_DEADLINE};
use crate::os::child::{self, Command};

/// Where a run looks for programs.
pub fn path(deploy: &DeployConfig) -> &str {
    let mut environment = deploy.environment.iter();
    let path = environment.find(|(name, _)| name == "PATH");
    path.map_or("", |(_, path)| path)
}

/// Where the program that `setting` names is found on `path`.
pub fn find(program: &Path, path: &str, setting: &str) -> Result<PathBuf, String> {
    let name = program.display();
    child::find_program(program, path)
        .ok_or_else(|| format!("there is no `{name}` on {path}: install it, or set {setting}"))
}

/// All that `program` prints of its version.
pub fn version(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<String, String> {
    let shown = format!("{} {}", program.display(), arguments[0]);
    let command = Command::tool(program).arguments(arguments).variables(environment);
    let output = child::output(command, MAX_VERSION, Instant::now() + VERSION_DEADLINE)
        .map_err(|error| format!("run {shown}: {error}"))?;
    let seconds = VERSION_DEADLINE.as_secs();
    let bytes = output
        .bytes
        .ok_or_else(|| format!("`{shown}` did not answer within {seconds} s"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match output.exit.is_success() {
        true => Ok(text),
        false => Err(format!("`{shown}`: {}: {}", output.exit, last_line(&text))),
    }
}

pub fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("no output")
}
