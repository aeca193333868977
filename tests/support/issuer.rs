//! `issuer [--port N] [--claim NAME=VALUE]...`: the issuer as a program, for shell scripts.
//!
//! It prints shell assignments, so that a script can read them: where it listens, and what a job of CI would find in its
//! environment. Then it runs until it is killed; its control pages are described in `oidc.rs`.
//! A claim's value is JSON when it reads as JSON (`true`, `7`, `null` to take it away), else a string.

#[allow(dead_code, reason = "the tests use the rest")]
mod oidc;
#[allow(dead_code, reason = "the tests use the rest")]
mod token;
#[allow(dead_code, reason = "the tests use the rest")]
mod web;

use oidc::{Issuer, REQUEST_TOKEN};
use serde_json::Value;
use std::env;
use std::process::exit;
use std::thread;

const USAGE: &str = "usage: issuer [--port N] [--claim NAME=VALUE]...";

fn main() {
    let mut port = 0;
    let mut claims = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| usage());
        match argument.as_str() {
            "--port" => port = value.parse().unwrap_or_else(|_| usage()),
            "--claim" => {
                let (name, value) = value.split_once('=').unwrap_or_else(|| usage());
                let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
                claims.push((name.to_string(), value));
            }
            _ => usage(),
        }
    }
    let issuer = Issuer::start_at(port);
    for (name, value) in claims {
        issuer.claim(&name, value);
    }
    println!("ISSUER='{}'", issuer.name());
    println!("JWKS_URL='{}'", issuer.jwks_url());
    println!("ACTIONS_ID_TOKEN_REQUEST_URL='{}'", issuer.token_url());
    println!("ACTIONS_ID_TOKEN_REQUEST_TOKEN='{REQUEST_TOKEN}'");
    loop {
        thread::park();
    }
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    exit(2);
}
