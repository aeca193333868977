//! `deploy`.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Ended;
use super::args::DeployArgs;
use super::print::Printer;
use crate::fleet::{Access, Inventory, watch};
use crate::limits::OUTPUT_SILENCE_MS;
use crate::os::{Exit, clock, log};
use crate::rollout::{Spec, Verdict};
use crate::wire::{Invalid, RunId, Target};

const SILENCE: Duration = Duration::from_millis(OUTPUT_SILENCE_MS);

/// The subject that the argument stands for.
fn target(text: &str) -> Result<Target, Invalid> {
    if text.contains('.') {
        return text.parse();
    }
    let name = format!("HOMELAB_DEPLOY_ALIAS_{}", text.to_uppercase().replace('-', "_"));
    let Ok(value) = std::env::var(&name) else {
        return Err(Invalid(format!("{text:?} has no dot, and there is no alias of that name: {name} is not set")));
    };
    let subject = value.parse().ok().filter(|_| value.contains('.'));
    subject.ok_or_else(|| {
        Invalid(format!("{name} holds {value:?}, which is no target: tokens joined by dots, no wildcards"))
    })
}

/// Who asks, for the hosts' logs.
fn by() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let user = std::env::var("USER").unwrap_or_else(|_| nix::unistd::getuid().to_string());
    Some(format!("{user}@{name}"))
}

fn spec(args: DeployArgs) -> Result<Spec, Invalid> {
    if args.on_branch.is_some() && !args.branch.is_commit() {
        return Err(Invalid("--on-branch goes with a commit of 40 hexadecimal digits".to_owned()));
    }
    let id = RunId::from_random(clock::random());
    let responses = args.connect.responses.as_ref();
    let mut spec = Spec::new(target(&args.target)?, args.action, args.branch, id, responses);
    (spec.request.branch, spec.request.by) = (args.on_branch, by());
    spec.timeout_ms = args.timeout * 1_000;
    spec.discover_wait_ms = (args.discover_wait * 1_000.0) as u64;
    spec.accept_wait_ms = (args.accept_wait * 1_000.0) as u64;
    spec.optional = args.optional.into_iter().collect();
    spec.skip_offline = args.skip_offline;
    spec.expected = (!args.expect.is_empty()).then(|| args.expect.into_iter().collect());
    if let Some(file) = args.hosts {
        let wrong = |why: &dyn std::fmt::Display| Invalid(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|why| wrong(&why))?;
        let hosts = Inventory::read(&text).map_err(|why| wrong(&why))?.reached_by(&spec.target);
        if hosts.is_empty() {
            return Err(wrong(&format!("{} reaches none of these hosts", spec.target)));
        }
        spec.expected = Some(hosts);
    }
    Ok(spec)
}

/// The first Ctrl-C, hang-up or TERM. A second one ends this process at once, also where its output is blocked: they are waited
/// for on a thread of their own.
fn interrupted() -> oneshot::Receiver<()> {
    let (first, interrupted) = oneshot::channel();
    std::thread::spawn(move || {
        super::block_on(async move {
            let kinds = [SignalKind::interrupt(), SignalKind::hangup(), SignalKind::terminate()];
            let mut signals: Vec<Signal> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
            select_all(signals.iter_mut().map(|signal| signal.recv().boxed())).await;
            first.send(()).ok();
            select_all(signals.iter_mut().map(|signal| signal.recv().boxed())).await;
            std::process::exit(Verdict::Unknown.exit_status().into());
        });
    });
    interrupted
}

/// What ends the watching: a signal, or that nobody reads what is printed.
async fn stopped(printer: &RefCell<Printer>) {
    let closed = async {
        while !printer.borrow().closed {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        Ok(()) = interrupted() => {}
        () = closed => {}
    }
}

pub async fn deploy(args: DeployArgs) -> Ended {
    let (json, connect) = (args.json, args.connect.clone());
    let spec = spec(args)?;
    let access = Access::of(&connect, &connect.nkey_file)?;
    let id = spec.request.id.clone();
    let printer = RefCell::new(Printer::new(json, id.clone()));
    let mut watching =
        std::pin::pin!(watch(&access, spec, |report| printer.borrow_mut().say(report), stopped(&printer)));
    let outcome = loop {
        let silent_at = printer.borrow().last + SILENCE;
        tokio::select! {
            outcome = &mut watching => break outcome,
            () = tokio::time::sleep_until(silent_at.into()) => {
                if printer.borrow().last + SILENCE <= Instant::now() {
                    printer.borrow_mut().heartbeat();
                }
            }
        }
    };
    printer.borrow_mut().end(&outcome);
    match (outcome.verdict, outcome.error) {
        (Verdict::Nobody, Some(why)) => return Err(Exit(outcome.verdict.exit_status(), why)),
        (Verdict::Unknown, _) => log::line(&format!("how it ended: homelab-deploy status {id}")),
        _ => {}
    }
    Ok(outcome.verdict.exit_status())
}
