//! The files that a run needs: the program that replaces a container, templates, declarations, the notice command; that
//! they are there, well-formed, and nobody else's to write.

use std::path::Path;

use crate::cli::check::report::Report;
use crate::config::{Backend, Config};
use crate::deploy;
use crate::deploy::unraid::folder;
use crate::deploy::unraid::template::Template;
use crate::os::{disk, trusted};

/// Looks at all of them.
pub fn check(config: &Config, report: &mut Report) {
    let complaints = deploy::complaints(config);
    complaints
        .iter()
        .for_each(|complaint| report.fault("deploy", complaint));
    if let Some(cosign) = &config.deploy().checks.cosign {
        root_alone("cosign", &cosign.program, report);
    }
    if let (Some(login), None) = (&config.deploy().login, deploy::refusal(config)) {
        let user = &login.username;
        report.ok(
            "registry login",
            format_args!("as {user}, with a password that root alone can read"),
        );
        let runtime = &config.places.runtime;
        if !disk::is_in_memory(runtime).unwrap_or(true) {
            let advice = "is not in memory (tmpfs): the password is on a disk while a pull is under way";
            report.warn("registry login", format_args!("{} {advice}", runtime.display()));
        }
    }
    match &config.deploy().backend {
        Backend::Unraid {
            templates,
            update_container,
        } => {
            root_alone("update_container", update_container, report);
            root_alone("templates", templates, report);
            self::templates(config, templates, report);
        }
        Backend::Docker { declarations } => {
            root_alone("declarations", declarations, report);
            let count = config.deploy().containers.len();
            if complaints.is_empty() {
                report.ok(
                    "declarations",
                    format_args!("{count} in {}", declarations.display()),
                );
            }
        }
        Backend::Command { program, .. } => root_alone("command", program, report),
    }
    if let Some(command) = &config.notify {
        match deploy::executable(command) {
            Ok(()) => root_alone("notices", command, report),
            Err(fault) => report.fault("notices", fault),
        }
    }
}

/// What others may write to decides what root does. One that is missing was complained of, or will be.
fn root_alone(what: &str, path: &Path, report: &mut Report) {
    let Ok(facts) = path.metadata() else {
        return;
    };
    match trusted::fault(&facts) {
        None => report.ok(what, format_args!("{} is root's alone to write", path.display())),
        Some(fault) => report.fault(what, format_args!("{}: {fault}", path.display())),
    }
}

fn templates(config: &Config, folder: &Path, report: &mut Report) {
    for container in &config.deploy().containers {
        let name = &container.name;
        let found = folder::find(folder, name).inspect(|found| {
            let warnings = found.warnings.iter();
            warnings.for_each(|line| report.warn("templates", line));
        });
        let reference = found.and_then(|found| {
            let path = found.path.display();
            let template = Template::read(&found.text).map_err(|broken| format!("{path}: {broken}"))?;
            let reference = template.reference(&config.deploy().image);
            reference
                .map(|reference| format!("{name}: {path} names {reference}"))
                .map_err(|fault| format!("{path}: {fault}"))
        });
        report.found("templates", reference);
    }
}
