//! `check-token`: the rules of an endpoint, one by one, for a token on standard input.
//!
//! On the host only, because it says what was expected. Nothing is used up; the network hears of nothing but a request
//! for the issuer's keys, when those that are kept are too old or lack the token's.

use std::io::{self, IsTerminal, Read};
use std::time::SystemTime;

use crate::cli::arguments::Arguments;
use crate::cli::commands::ENDPOINT;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::settings_source::{self, Loaded};
use crate::config::{Config, Endpoint};
use crate::gate::{Finding, Gates, explain, fetch_keys};
use crate::limits::MAX_TOKEN;

/// Prints each rule with what came of it; [`ExitStatus::Done`] when all hold.
///
/// # Errors
/// When there is no such endpoint or no token.
pub fn check_token(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let Loaded { config, .. } = settings_source::load(arguments.env_file())?;
    let endpoint = named(&config, arguments.value(&ENDPOINT).unwrap_or("deploy"))?;
    let token = read_token()?;
    let findings = judge(&config, endpoint, &token);
    output::print(&table(&findings))?;
    let holds = findings.iter().all(|finding| finding.fault.is_none());
    Ok(if holds {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}

fn named<'a>(config: &'a Config, name: &str) -> Result<&'a Endpoint, String> {
    config.endpoint_named(name).ok_or_else(|| {
        let names: Vec<&str> = config.endpoints().map(|one| one.name).collect();
        format!("there is no endpoint `{name}`; there is: {}", names.join(", "))
    })
}

/// The token without the blanks and the line end that come with pasting. A longer one than is ever read is cut, and so
/// fails its own rule.
fn read_token() -> Result<Vec<u8>, String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        output::complain("paste the token, then press Enter and Ctrl-D");
    }
    let mut text = Vec::new();
    stdin
        .take(2 * MAX_TOKEN as u64)
        .read_to_end(&mut text)
        .map_err(|error| format!("read the token from standard input: {error}"))?;
    let token = text.trim_ascii();
    if token.is_empty() {
        return Err("there is no token on standard input".into());
    }
    Ok(token.to_vec())
}

fn judge(config: &Config, endpoint: &Endpoint, token: &[u8]) -> Vec<Finding> {
    let fetch = || fetch_keys(config);
    explain(token, endpoint, &Gates::of(config, &fetch, SystemTime::now()))
}

fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.rule.chars().count()).max();
    let width = width.unwrap_or_default();
    let line = |Finding { rule, fault }: &Finding| match fault {
        None => format!("{rule:width$}  pass\n"),
        Some(fault) => format!("{rule:width$}  fail: {fault}\n"),
    };
    findings.iter().map(line).collect()
}
