//! `listener`, `hold` and `release`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{HoldArgs, ListenerArgs, StateArgs};
use super::{Ended, USAGE, fault, usage};
use crate::host::{self, Settings};
use crate::run::Places;
use crate::wire::{Invalid, subject};

/// What the tool gets of our environment: enough to find programs, certificates and a proxy.
const PASSED: [&str; 10] = [
    "PATH",
    "LOCALE_ARCHIVE",
    "NIX_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "TZDIR",
];

fn environment(more: &[String]) -> BTreeMap<String, String> {
    let names = PASSED.into_iter().chain(more.iter().map(String::as_str));
    let mut environment: BTreeMap<String, String> =
        names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    environment.entry("PATH".to_owned()).or_insert_with(|| "/run/current-system/sw/bin:/usr/bin:/bin".to_owned());
    // git and ssh look for their settings there; a service has none.
    environment.entry("HOME".to_owned()).or_insert_with(|| "/root".to_owned());
    environment
}

fn user(text: &str) -> Result<u32, Invalid> {
    let number = text.parse().ok().or_else(|| Some(nix::unistd::User::from_name(text).ok()??.uid.as_raw()));
    number.filter(|number| *number != 0).ok_or_else(|| Invalid(format!("user {text:?}: no user of this host, or root")))
}

/// A program as an absolute path: a run looks nothing up.
fn program(path: &Path, search: &str) -> PathBuf {
    if path.components().count() > 1 {
        return path.to_owned();
    }
    search.split(':').map(|folder| Path::new(folder).join(path)).find(|path| path.is_file()).unwrap_or(path.to_owned())
}

pub fn settings(args: &ListenerArgs) -> Result<Settings, Invalid> {
    let discover = &args.connect.discover_subject;
    let environment = environment(&args.pass_env);
    let path = environment["PATH"].clone();
    Ok(Settings {
        subjects: subject::expand(&args.deploy_subject, &args.hostname, args.tier, args.role.as_ref(), discover)?,
        hostname: args.hostname.clone(),
        tier: args.tier,
        role: args.role.clone(),
        servers: args.connect.nats_url.clone(),
        seed_file: args.connect.nkey_file.clone(),
        ca_file: args.connect.ca_file.clone(),
        flake_url: args.flake_url.clone(),
        timeout: Duration::from_secs(args.timeout),
        heartbeat: Duration::from_secs(args.heartbeat_interval),
        discover: discover.clone(),
        state: args.state.folder(),
        user: user(&args.user)?,
        metrics: args.metrics_enabled.then(|| args.metrics_addr.clone()),
        environment,
        nixos_rebuild: program(&args.nixos_rebuild, &path),
        nix: program(&args.nix, &path),
        places: Places { root: args.root.clone() },
        unit_file: args.unit_file.clone(),
        units: !args.no_units,
    })
}

pub fn listener(args: Box<ListenerArgs>) -> Ended {
    let settings = settings(&args).map_err(usage)?;
    // With one listener in a thousand hosts its own settings need not stay in memory twice.
    drop(args);
    host::listen(settings).map_err(fault)
}

fn denied(state: &Path) -> impl Fn(std::io::Error) -> (u8, String) {
    move |why| (USAGE, format!("{}: {why}", state.display()))
}

pub fn hold(args: &HoldArgs) -> Ended {
    let state = args.state.folder();
    host::hold::hold(&state, &args.reason).map_err(denied(&state))?;
    println!("deploys are held; release them with: homelab-deploy release");
    Ok(0)
}

pub fn release(args: &StateArgs) -> Ended {
    let state = args.folder();
    host::hold::release(&state).map_err(denied(&state))?;
    println!("deploys are taken again");
    Ok(0)
}
