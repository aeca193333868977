//! Docker: whether it answers, by the client and with the environment that a deploy would use.

use crate::cli::check::program::{Answer, last_line, path, task};
use crate::cli::check::report::Report;
use crate::config::{Backend, DeployConfig, HealthExpect};
use crate::limits::VERSION_DEADLINE;
use crate::os::child::{self, Command, Exit};

/// Asks for its version, if a deploy would ask for anything.
pub fn check(deploy: &DeployConfig, report: &mut Report) {
    if needs_docker(deploy) {
        report.found("docker", docker(deploy));
    } else {
        report.ok("docker", "not needed: the command pulls and replaces by itself");
    }
}

fn needs_docker(deploy: &DeployConfig) -> bool {
    let left_alone = matches!(deploy.backend, Backend::Command { pull: false, .. });
    !left_alone || deploy.health.expect == HealthExpect::Container
}

/// Docker's own words.
fn docker(deploy: &DeployConfig) -> Result<String, String> {
    let path = path(deploy);
    let name = deploy.docker.display();
    let client = child::find_program(&deploy.docker, path)
        .ok_or_else(|| format!("there is no `{name}` on {path}: install it, or set DEPLOYER_DOCKER_PATH"))?;
    let command = Command::tool(&client)
        .arguments(["version", "--format", "{{.Server.Version}}"])
        .variables(&deploy.environment);
    let answer = task(command).map_err(|error| format!("run {}: {error}", client.display()))?;
    match answer {
        Answer::Ended(Exit::Code(0), said) => Ok(format!(
            "{} answers with version {}",
            client.display(),
            last_line(&said)
        )),
        Answer::Ended(exit, said) => Err(format!(
            "`{name} version` ended with {exit}: {}",
            last_line(&said)
        )),
        Answer::Silent => Err(format!(
            "`{name} version` did not answer within {} s: is dockerd well?",
            VERSION_DEADLINE.as_secs()
        )),
    }
}
