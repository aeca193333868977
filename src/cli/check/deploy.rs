//! What a deploy needs: docker, the program that replaces a container, templates, declarations, the notice command; that
//! they are there, well-formed, and that nobody else can write to them.

use std::path::Path;
use std::time::Instant;

use super::Report;
use crate::config::{Backend, Config, HealthExpect};
use crate::deploy;
use crate::deploy::unraid::{folder, template::Template};
use crate::limits::{MAX_VERSION, VERSION_DEADLINE};
use crate::os::child::{self, Command};
use crate::os::disk;

/// Looks at all of them.
pub fn check(config: &Config, report: &mut Report) {
    let deploy = config.deploy();
    let needs_docker = !matches!(deploy.backend, Backend::Command { pull: false, .. })
        || deploy.health_expect == HealthExpect::Container;
    if needs_docker {
        // With the environment that a deploy would use.
        let arguments = ["version", "--format", "{{.Server.Version}}"];
        let text = version(&deploy.docker, &arguments, &deploy.environment);
        let said = text.map(|text| format!("answers with version {}", last_line(&text)));
        report.result("docker", said);
    } else {
        report.ok("docker", "not needed: the command pulls by itself");
    }
    report.errors("deploy", deploy::complaints(config));
    let runtime = &config.places.runtime;
    if deploy.login.is_some() && !disk::is_in_memory(runtime).unwrap_or(true) {
        let advice = "is not in memory (tmpfs): a pull has the registry's password on a disk";
        report.warning("registry login", format!("{} {advice}", runtime.display()));
    }
    if let Some(cosign) = &deploy.cosign {
        report.root_alone("cosign", &cosign.program);
    }
    match &deploy.backend {
        Backend::Unraid { templates, script } => {
            report.root_alone("update_container", script);
            report.root_alone("templates", templates);
            for container in &deploy.containers {
                template(&container.name, templates, &deploy.image, report);
            }
        }
        Backend::Docker { declarations } => report.root_alone("declarations", declarations),
        Backend::Command { program, .. } => report.root_alone("command", program),
    }
    if let Some(command) = &config.notify {
        report.errors("notices", deploy::executable(command).err());
        report.root_alone("notices", command);
    }
}

/// What a program, found by the `PATH` with which `environment` begins, prints of its version.
pub fn version(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<String, String> {
    let (path, name) = (&environment[0].1, program.display());
    let none = || format!("there is no `{name}` on {path}: install it, or set its path");
    let found = child::find_program(program, path).ok_or_else(none)?;
    let command = Command::tool(&found).arguments(arguments).variables(environment);
    let shown = format!("{} {}", found.display(), arguments[0]);
    let (exit, bytes) = child::output(command, MAX_VERSION, Instant::now() + VERSION_DEADLINE)
        .map_err(|error| format!("run {shown}: {error}"))?;
    let seconds = VERSION_DEADLINE.as_secs();
    let bytes = bytes.ok_or_else(|| format!("`{shown}` did not answer within {seconds} s"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match exit.is_success() {
        true => Ok(text),
        false => Err(format!("`{shown}`: {exit}: {}", last_line(&text))),
    }
}

pub fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("no output")
}

fn template(name: &str, folder: &Path, image: &str, report: &mut Report) {
    let found = match folder::find(folder, name) {
        Ok(found) => found,
        Err(error) => return report.error("templates", error),
    };
    report.warnings("templates", found.warnings);
    let path = found.path.display();
    match Template::read(&found.text).and_then(|template| template.reference(image)) {
        Ok(reference) => report.ok("templates", format!("{name}: {path} names {reference}")),
        Err(error) => report.error("templates", format!("{path}: {error}")),
    }
}
