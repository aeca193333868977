//! Backend `command`: the operator's own executable replaces the container, and is taken at its word.
//!
//! It is called once for each container, with the name as its argument, and finds `DEPLOYER_IMAGE_REF`,
//! `DEPLOYER_VERSION` and, when the request named one, `DEPLOYER_SHA` in its environment. Its exit status counts, its
//! lines go to the caller. Nothing that a stranger wrote reaches it but the version and the sha, whose shapes are checked.

use std::path::Path;
use std::time::Duration;

use crate::event::Phase;
use crate::os::child::Exit;
use crate::run::{Failure, Result, RunContext, Tool};

/// What the step of this backend works with.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// `DEPLOYER_COMMAND_PATH`.
    pub program: &'a Path,
    /// The fixed part of its environment.
    pub environment: &'a [(String, String)],
    /// `DEPLOYER_UPDATE_MAX_WAIT`.
    pub deadline: Duration,
    /// `DEPLOYER_PULL`: whether the image is pulled and tagged before it is called.
    pub pull: bool,
}

impl Command<'_> {
    /// Runs it for the container `name`; `variables` say what to deploy.
    pub fn update(&self, ctx: &mut RunContext, name: &str, variables: &[(String, String)]) -> Result {
        let program = self.program.display();
        ctx.say(Phase::Update, &format!("{name}: {program} is at work"));
        let tool = Tool {
            arguments: vec![name.into()],
            environment: [self.environment, variables].concat(),
            ..Tool::new(self.program, self.deadline)
        };
        let ended = ctx.tool(&tool, &mut |line| Some(line.to_owned()))?;
        match ended.exit.is_success() {
            true => ctx.say(Phase::Update, &format!("{name}: {program} is done")),
            false => {
                let why = sentence(name, self.program, ended.exit, &ended.tail);
                return Err(Failure::Failed(why));
            }
        }
        Ok(())
    }
}

fn sentence(name: &str, program: &Path, exit: Exit, tail: &[String]) -> String {
    let said = tail.iter().rev().find(|line| !line.trim().is_empty());
    let said = said.map_or(String::new(), |line| format!(": {}", line.trim()));
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
            sentence("app", program, Exit::Signal(9), &[]),
            "app: /opt/deploy: killed by SIGKILL"
        );
    }
}
