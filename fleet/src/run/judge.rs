//! How a run ended: by what the links say before and after, not by the exit status alone, which nixos-rebuild-ng makes 1 for
//! everything. No I/O.

use super::Links;
use crate::wire::{Action, Code, Status};

/// How the tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Exited(i32),
    /// By a signal that was not ours.
    Killed,
    /// We ended it while it built: its time was over.
    TimedOut,
    /// We ended it while it built: the run was told to stop.
    Stopped,
    /// It outlived the process that started it, so that nobody knows.
    Unknown,
    NotStarted,
}

pub struct Facts<'a> {
    pub action: Action,
    pub tool: Tool,
    pub before: &'a Links,
    pub after: &'a Links,
    /// The end of its output.
    pub output: &'a str,
}

/// Units that the output names as failed.
fn failed_units(output: &str) -> Vec<&str> {
    output
        .lines()
        .filter_map(|line| line.split_once("the following units failed:"))
        .flat_map(|(_, units)| units.split(','))
        .map(str::trim)
        .filter(|unit| !unit.is_empty())
        .collect()
}

impl Facts<'_> {
    /// What is active is what was asked for.
    fn is_active(&self) -> bool {
        self.action != Action::Switch || self.after.active == self.after.installed
    }

    /// The activation ran, and the tool says that it was not well.
    fn activation_complained(&self) -> bool {
        let ended_so = |line: &str| line.contains("switch-to-configuration") && line.contains("exit status 4");
        self.output.lines().any(ended_so) || !failed_units(self.output).is_empty()
    }
}

pub fn judge(facts: &Facts) -> (Status, Option<Code>, String) {
    let failed = |code: Code, message: &str| (Status::Failed, Some(code), message.to_owned());
    let moved = facts.after != facts.before;
    let well = facts.tool == Tool::Exited(0) || (facts.tool == Tool::Unknown && moved);
    if !well && facts.output.contains("Could not acquire lock") {
        return failed(Code::AlreadyRunning, "another switch-to-configuration runs on this host");
    }
    if well && facts.is_active() && !(facts.tool == Tool::Unknown && facts.activation_complained()) {
        return (Status::Completed, None, done(facts));
    }
    if moved || well || facts.activation_complained() {
        return failed(Code::ActivationFailed, &activation_sentence(facts));
    }
    match facts.tool {
        Tool::TimedOut => failed(Code::Timeout, "the time was over while it was being built; nothing was changed"),
        Tool::Stopped => failed(Code::Interrupted, "it was stopped while it was being built; nothing was changed"),
        Tool::Unknown => failed(Code::Interrupted, "the run was killed, and the system is as it was before"),
        Tool::NotStarted => failed(Code::Interrupted, "the run was killed before it began; nothing was changed"),
        Tool::Killed => failed(Code::BuildFailed, "nixos-rebuild was killed; nothing was changed"),
        Tool::Exited(status) => {
            failed(Code::BuildFailed, &format!("nixos-rebuild ended with status {status}; nothing was changed"))
        }
    }
}

fn done(facts: &Facts) -> String {
    let generation = facts.after.number().map_or(String::new(), |number| format!(" generation {number}"));
    match facts.action {
        Action::Switch => format!("Successfully switched to{generation}"),
        Action::Boot => format!("Successfully installed{generation} for the next boot"),
        Action::Test => "Successfully activated until the next boot".to_owned(),
        Action::DryActivate => "Successfully built; nothing was changed".to_owned(),
    }
}

fn activation_sentence(facts: &Facts) -> String {
    let mut text = match (facts.after.number(), facts.after.generation != facts.before.generation) {
        (Some(number), true) => format!("generation {number} is installed, and its activation was not well"),
        _ => "the activation was not well".to_owned(),
    };
    let units = failed_units(facts.output);
    if !units.is_empty() {
        text.push_str(&format!("; units that failed: {}", units.join(", ")));
    }
    if !facts.is_active() {
        text.push_str("; what is installed is not what is active");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(number: u32, active: u32) -> Links {
        Links {
            generation: Some(format!("system-{number}-link")),
            installed: Some(format!("/nix/store/{number}").into()),
            active: Some(format!("/nix/store/{active}").into()),
        }
    }

    fn verdict(action: Action, tool: Tool, after: &Links, output: &str) -> (Status, Option<Code>, String) {
        judge(&Facts { action, tool, before: &links(1, 1), after, output })
    }

    #[test]
    fn nixos_backend_links_decide_and_the_exit_status_does_not() {
        let code = |tool, after: &Links, output| verdict(Action::Switch, tool, after, output).1;
        assert_eq!(code(Tool::Exited(0), &links(2, 2), ""), None);
        assert_eq!(code(Tool::Exited(0), &links(1, 1), ""), None, "nothing new to install");
        assert_eq!(code(Tool::Exited(0), &links(2, 1), ""), Some(Code::ActivationFailed));
        assert_eq!(code(Tool::Exited(1), &links(1, 1), "error: x"), Some(Code::BuildFailed));
        assert_eq!(code(Tool::Exited(1), &links(2, 2), ""), Some(Code::ActivationFailed));
        assert_eq!(code(Tool::Exited(1), &links(2, 1), "Could not acquire lock"), Some(Code::AlreadyRunning));
        assert_eq!(code(Tool::TimedOut, &links(1, 1), ""), Some(Code::Timeout));
        assert_eq!(code(Tool::TimedOut, &links(2, 1), ""), Some(Code::ActivationFailed));
        assert_eq!(code(Tool::Stopped, &links(1, 1), ""), Some(Code::Interrupted));
        assert_eq!(code(Tool::Unknown, &links(1, 1), ""), Some(Code::Interrupted));
        assert_eq!(code(Tool::Unknown, &links(2, 2), ""), None);
        assert_eq!(code(Tool::NotStarted, &links(1, 1), ""), Some(Code::Interrupted));
    }

    #[test]
    fn nixos_backend_failed_units_are_named() {
        let output = "warning: the following units failed: a.service, b.service\n\
            Command '['/nix/store/x/bin/switch-to-configuration', 'switch']' returned non-zero exit status 4.\n";
        let (_, code, message) = verdict(Action::Switch, Tool::Exited(1), &links(2, 2), output);
        assert_eq!(code, Some(Code::ActivationFailed));
        assert!(message.contains("generation 2") && message.contains("a.service, b.service"), "{message}");
        let (_, code, _) = verdict(Action::Test, Tool::Exited(1), &links(1, 1), output);
        assert_eq!(code, Some(Code::ActivationFailed), "the same system activated again");
    }

    #[test]
    fn nixos_backend_the_message_names_the_generation() {
        let (_, _, message) = verdict(Action::Switch, Tool::Exited(0), &links(42, 42), "");
        assert_eq!(message, "Successfully switched to generation 42");
    }
}
