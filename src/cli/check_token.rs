//! `check-token`: the rules of an endpoint, one by one, for a token on standard input.
//!
//! On the host only, because it says what was expected. Nothing is used up; the network hears of nothing but a request
//! for the issuer's keys, when those that are kept are too old or lack the token's.

use std::fmt::Write;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::SystemTime;

use crate::cli::given::{self, Given};
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::config::{Config, Endpoint};
use crate::gate::{Finding, Gates, Keys, Memory, Verdict, explain, fetch_keys};
use crate::limits::MAX_TOKEN;

/// Prints each rule with what came of it; [`Exit::Done`] when all hold.
///
/// # Errors
/// When there is no such endpoint or no token.
pub fn check_token(env_file: Option<&Path>, endpoint: Option<&str>) -> Result<Exit, Trouble> {
    let Given { config, .. } = given::config(env_file)?;
    let endpoint = named(&config, endpoint.unwrap_or("deploy"))?;
    let token = read_token()?;
    let findings = judge(&config, endpoint, &token);
    out::print(&table(&findings))?;
    let holds = findings.iter().all(|finding| finding.verdict == Verdict::Pass);
    Ok(if holds { Exit::Done } else { Exit::Failed })
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
        out::complain("paste the token, then press Enter and Ctrl-D");
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
    let places = &config.places;
    let memory = Memory::of(&places.state);
    let gates = Gates {
        allowed: &config.allowed,
        issuer: &config.issuer.name,
        keys: Keys::new(&places.state, &places.runtime, &config.issuer.jwks_url, &fetch),
        memory: &memory,
    };
    explain(token, endpoint, &gates, SystemTime::now())
}

fn table(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.rule.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for Finding { rule, verdict } in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{rule:width$}  {verdict}");
    }
    text
}
