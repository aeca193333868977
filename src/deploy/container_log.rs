//! The last lines of a container's log, for who waits for a run: why it failed stands there.
//!
//! A program that ends by a bad setting likes to print its settings, and a run's log goes to CI, where more people read it
//! than on this host. So the values of its `env_file` are covered, and where they cannot be known nothing is shown.

use std::path::Path;

use super::{docker, swap};
use crate::config::Backend;
use crate::event::{Phase, harmless};
use crate::limits::{FAILED_LOG_LINES, MAX_ENV_FILE, MIN_COVERED};
use crate::os::secret::Secret;
use crate::os::trusted;
use crate::run::{Mask, RunContext};

/// Says the last lines of the log of `name`. That they cannot be had is no failure.
pub fn say(ctx: &mut RunContext, name: &str) {
    let settings = ctx.config.deploy();
    let hidden = match settings.relay_logs {
        false => Err("DEPLOYER_RELAY_LOGS is off".to_owned()),
        true => hidden(&settings.backend, name),
    };
    let mask = match hidden {
        Ok(mask) => mask,
        Err(why) => return ctx.say(Phase::Logs, &format!("{name}: its log is not shown: {why}")),
    };
    let logs = docker::tool(ctx, &["logs", "--tail", &FAILED_LOG_LINES.to_string(), name]);
    let mut lines = Vec::new();
    let _ = ctx.tool(&logs, &mut |line| {
        lines.push(format!("{name}: {}", mask.cover(line)));
        None
    });
    lines.iter().for_each(|line| ctx.say(Phase::Logs, line));
}

/// What must not be seen of the container `name`.
fn hidden(backend: &Backend, name: &str) -> Result<Mask, String> {
    let Backend::Docker { declarations } = backend else {
        return Ok(Mask::default());
    };
    let declared = swap::declared(declarations, name).map_err(|mistakes| mistakes.join("; "))?;
    let Some(file) = declared.env_file else {
        return Ok(Mask::default());
    };
    let text = trusted::read(Path::new(&file), MAX_ENV_FILE, trusted::fault)?;
    Ok(values_of(&String::from_utf8_lossy(&text)))
}

/// The values of an env file as Docker reads it: all behind `=`, quotes too, which the program may have taken off.
fn values_of(env_file: &str) -> Mask {
    let mut mask = Mask::default();
    let lines = env_file
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    for (_, value) in lines.filter_map(|line| line.split_once('=')) {
        for word in [value, value.trim().trim_matches(['"', '\''])] {
            if word.len() >= MIN_COVERED {
                mask.hide(&Secret::new(word.to_owned()));
                // As a line of a log has it.
                mask.hide(&Secret::new(harmless(word)));
            }
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_covered_as_docker_or_a_program_reads_them_and_short_ones_are_not() {
        let mask = values_of(
            "# COMMENT=commented-out\nTOKEN=abcdefgh\r\nLEVEL=verbose\nQUOTED=\"in quotes\"\n  PADDED= \tpadded-value \n\
             URL=postgres://u:p@h/d?a=b\nODD=x\u{202e}hidden\nINHERITED\n=\nE=\nLAST=without-newline",
        );
        for (line, covered) in [
            ("TOKEN=abcdefgh", "TOKEN=***"),
            ("verbose commented-out", "verbose commented-out"),
            ("a in quotes b", "a *** b"),
            ("padded-value", "***"),
            ("postgres://u:p@h/d?a=b", "***"),
            ("x\u{fffd}hidden", "***"),
            ("without-newline, INHERITED", "***, INHERITED"),
            ("abcdef ... (cut)", "*** ... (cut)"),
        ] {
            assert_eq!(mask.cover(line), covered, "{line}");
        }
    }
}
