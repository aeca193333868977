//! Backend `command`: the operator's own executable replaces the container, and is taken at its word.
//!
//! It is called once for each container, with the name as its argument, and finds `DEPLOYER_IMAGE_REF`,
//! `DEPLOYER_VERSION` and, when the request named one, `DEPLOYER_SHA` in its environment. Its exit status counts, its
//! lines go to the caller. Nothing that a stranger wrote reaches it but the version and the sha, whose shapes are checked.

use std::path::Path;

use crate::os::child::Exit;
use crate::run::{Ended, Result, RunContext, Tool};

/// Runs it for the container `name`; `variables` say what to deploy.
pub fn update(ctx: &mut RunContext, program: &Path, name: &str, variables: &[(String, String)]) -> Result {
    let ended = run(ctx, program, name, variables)?;
    if !ended.exit.is_success() {
        return Err(sentence(name, program, ended.exit, &ended.tail).into());
    }
    ctx.tell(format!("{name}: {} is done", program.display()));
    Ok(())
}

/// Runs what replaces a container, with `variables` beside the usual environment.
pub fn run(
    ctx: &mut RunContext,
    program: &Path,
    name: &str,
    variables: &[(String, String)],
) -> Result<Ended> {
    let config = ctx.config.deploy();
    ctx.tell(format!("{name}: {} is at work", program.display()));
    let tool = Tool {
        arguments: vec![name.into()],
        environment: [&config.environment, variables].concat(),
        ..Tool::new(program, config.update_max_wait)
    };
    ctx.tool(&tool, &mut |line| Some(line.to_owned()))
}

fn sentence(name: &str, program: &Path, exit: Exit, tail: &[String]) -> String {
    let said = tail.iter().map(|line| line.trim()).rfind(|line| !line.is_empty());
    let said = said.map_or(String::new(), |line| format!(": {line}"));
    format!("{name}: {}: {exit}{said}", program.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_how_it_ended_and_its_last_words() {
        let program = Path::new("/opt/deploy");
        let tail = ["a".to_owned(), " b ".to_owned(), String::new()];
        assert_eq!(
            sentence("app", program, Exit::Code(3), &tail),
            "app: /opt/deploy: exit status 3: b"
        );
        assert_eq!(
            sentence(
                "app",
                program,
                Exit::Signal(crate::os::signal::Signal::SIGKILL),
                &[]
            ),
            "app: /opt/deploy: killed by SIGKILL"
        );
    }
}
