//! What a deploy needs: docker, the program that replaces a container, templates, declarations, the notice command; that
//! they are there, well-formed, and that nobody else can write to them.

use std::path::Path;

use crate::cli::check::program::{self, last_line, version};
use crate::cli::check::report::Report;
use crate::config::{Backend, Config, DeployConfig, HealthExpect};
use crate::deploy;
use crate::deploy::unraid::folder;
use crate::deploy::unraid::template::Template;
use crate::os::disk;

/// Looks at all of them.
pub fn check(config: &Config, report: &mut Report) {
    let deploy = config.deploy();
    let needs_docker = !matches!(deploy.backend, Backend::Command { pull: false, .. })
        || deploy.health.expect == HealthExpect::Container;
    match needs_docker {
        true => report.result("docker", docker(deploy)),
        false => report.ok("docker", "not needed: the command pulls and replaces by itself"),
    }
    let complaints = deploy::complaints(config);
    complaints.iter().for_each(|one| report.error("deploy", one));
    login(config, report);
    if let Some(cosign) = &deploy.checks.cosign {
        report.root_alone("cosign", &cosign.program);
    }
    match &deploy.backend {
        Backend::Unraid {
            templates,
            update_container,
        } => {
            report.root_alone("update_container", update_container);
            report.root_alone("templates", templates);
            let containers = deploy.containers.iter();
            containers.for_each(|one| template(&one.name, templates, &deploy.image, report));
        }
        Backend::Docker { declarations } => {
            report.root_alone("declarations", declarations);
            if complaints.is_empty() {
                let (count, folder) = (deploy.containers.len(), declarations.display());
                report.ok("declarations", format!("{count} in {folder}"));
            }
        }
        Backend::Command { program, .. } => report.root_alone("command", program),
    }
    if let Some(command) = &config.notify {
        deploy::executable(command).unwrap_or_else(|error| report.error("notices", error));
        report.root_alone("notices", command);
    }
}

/// Asks docker for its version, by the client and with the environment that a deploy would use.
fn docker(deploy: &DeployConfig) -> Result<String, String> {
    let client = program::find(&deploy.docker, program::path(deploy), "DEPLOYER_DOCKER_PATH")?;
    let arguments = ["version", "--format", "{{.Server.Version}}"];
    let text = version(&client, &arguments, &deploy.environment)?;
    let (client, version) = (client.display(), last_line(&text));
    Ok(format!("{client} answers with version {version}"))
}

fn login(config: &Config, report: &mut Report) {
    const WHAT: &str = "registry login";
    let (Some(login), None) = (&config.deploy().login, deploy::refusal(config)) else {
        return;
    };
    let (user, runtime) = (&login.username, config.places.runtime.display());
    report.ok(
        WHAT,
        format!("as {user}, with a password that only root can read"),
    );
    if !disk::is_in_memory(&config.places.runtime).unwrap_or(true) {
        let advice = "is not in memory (tmpfs): the password is on a disk while a pull is under way";
        report.warning(WHAT, format!("{runtime} {advice}"));
    }
}

fn template(name: &str, folder: &Path, image: &str, report: &mut Report) {
    let found = match folder::find(folder, name) {
        Ok(found) => found,
        Err(error) => return report.error("templates", error),
    };
    let warnings = found.warnings.iter();
    warnings.for_each(|line| report.warning("templates", line));
    let path = found.path.display();
    let template = Template::read(&found.text).map_err(|error| error.to_string());
    match template.and_then(|template| template.reference(image)) {
        Ok(reference) => report.ok("templates", format!("{name}: {path} names {reference}")),
        Err(error) => report.error("templates", format!("{path}: {error}")),
    }
}
