//! `check-token`: the rules of an endpoint, one by one, for a token on standard input.
//!
//! On the host only, because it says what was expected. Nothing is used up; the network hears of nothing but a request
//! for the issuer's keys, when those that are kept are too old or lack the token's.

use std::io::{self, IsTerminal, Read};
use std::time::SystemTime;

use super::commands::ENDPOINT;
use super::settings_source::read;
use super::{Args, ExitStatus, Result, complain, print};
use crate::gate::{Finding, Gates, explain, fetch_keys};
use crate::limits::MAX_TOKEN;
use crate::os::logging;

/// Prints each rule with what came of it; [`ExitStatus::Done`] when all hold.
///
/// # Errors
/// When there is no such endpoint or no token.
pub fn check_token(args: &Args) -> Result {
    let config = read(args)?.config()?;
    logging::start("cli", "warn");
    let name = args.value(&ENDPOINT).unwrap_or("deploy");
    let names: Vec<&str> = config.endpoints().map(|one| one.name).collect();
    let unknown = || format!("there is no endpoint `{name}`; there is: {}", names.join(", "));
    let endpoint = config.endpoint_named(name).ok_or_else(unknown)?;
    let fetch = || fetch_keys(&config);
    let gates = Gates::of(&config, &fetch, SystemTime::now());
    let findings = explain(&read_token()?, endpoint, &gates);
    let widths = findings.iter().map(|finding| finding.rule.chars().count());
    let width = widths.max().unwrap_or_default();
    let line = |Finding { rule, fault }: &Finding| match fault {
        None => format!("{rule:width$}  pass\n"),
        Some(fault) => format!("{rule:width$}  fail: {fault}\n"),
    };
    print(&findings.iter().map(line).collect::<String>())?;
    match findings.iter().all(|finding| finding.fault.is_none()) {
        true => Ok(ExitStatus::Done),
        false => Ok(ExitStatus::Failed),
    }
}

/// The token without the blanks and the line end that come with pasting. A longer one than is ever read is cut, and so
/// fails its own rule.
fn read_token() -> Result<Vec<u8>> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        complain("paste the token, then press Enter and Ctrl-D");
    }
    let mut text = Vec::new();
    let read = stdin.take(2 * MAX_TOKEN as u64).read_to_end(&mut text);
    read.map_err(|error| format!("read the token from standard input: {error}"))?;
    match text.trim_ascii() {
        b"" => Err("there is no token on standard input".into()),
        token => Ok(token.to_vec()),
    }
}
