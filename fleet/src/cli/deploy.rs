//! `deploy`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::args::{self, DeployArgs};
use super::print::Printer;
use super::{Ended, NOBODY, USAGE, usage};
use crate::fleet::{Inventory, Order, watch};
use crate::limits::OUTPUT_SILENCE_MS;
use crate::os::clock;
use crate::rollout::Verdict;
use crate::wire::{Hostname, Invalid, RunId, Target};

const SILENCE: Duration = Duration::from_millis(OUTPUT_SILENCE_MS);

fn expected(args: &DeployArgs, target: &Target) -> Result<Option<BTreeSet<Hostname>>, Invalid> {
    if let Some(file) = &args.hosts {
        let wrong = |why: String| Invalid(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|why| wrong(why.to_string()))?;
        let hosts = Inventory::read(&text).map_err(|why| wrong(why.0))?.reached_by(target);
        if hosts.is_empty() {
            return Err(wrong(format!("{target} reaches none of these hosts")));
        }
        return Ok(Some(hosts.into_iter().collect()));
    }
    Ok((!args.expect.is_empty()).then(|| args.expect.iter().cloned().collect()))
}

/// Who asks, for the hosts' logs.
fn by() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let user = std::env::var("USER").unwrap_or_else(|_| nix::unistd::getuid().to_string());
    Some(format!("{user}@{name}"))
}

fn order(args: &DeployArgs) -> Result<Order, Invalid> {
    let target = args::target(&args.target)?;
    Ok(Order {
        id: RunId::from_random(clock::random()),
        action: args.action,
        revision: args.branch.clone(),
        branch: args.on_branch.clone(),
        by: by(),
        timeout: Duration::from_secs(args.timeout),
        discover_wait: Duration::from_secs_f64(args.discover_wait),
        accept_wait: Duration::from_secs_f64(args.accept_wait),
        expected: expected(args, &target)?,
        optional: args.optional.iter().cloned().collect(),
        skip_offline: args.skip_offline,
        max_hosts: None,
        target,
    })
}

/// The first Ctrl-C, a closed terminal or a closed output ends the watching; a second Ctrl-C ends this at once.
async fn stopped(printer: &RefCell<Printer>) {
    let (Ok(mut interrupt), Ok(mut hangup), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::hangup()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    let closed = async {
        while !printer.borrow().closed {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        _ = terminate.recv() => {}
        () = closed => {}
    }
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(Verdict::Unknown.exit_status().into());
    });
}

pub async fn deploy(args: DeployArgs) -> Ended {
    let order = order(&args).map_err(usage)?;
    if args.on_branch.is_some() && !args.branch.is_commit() {
        return Err((USAGE, "--on-branch goes with a commit of 40 hexadecimal digits".to_owned()));
    }
    let access = args.connect.access().map_err(usage)?;
    let printer = RefCell::new(Printer::new(args.json, order.id.clone()));
    let mut watching =
        std::pin::pin!(watch(&access, &order, |report| printer.borrow_mut().say(&report), stopped(&printer)));
    let ended = loop {
        let silent_at = printer.borrow().last + SILENCE;
        tokio::select! {
            ended = &mut watching => break ended,
            () = tokio::time::sleep_until(silent_at.into()) => {
                if printer.borrow().last + SILENCE <= Instant::now() {
                    printer.borrow_mut().heartbeat();
                }
            }
        }
    };
    match ended {
        Ok(outcome) => {
            printer.borrow_mut().end(&outcome);
            if outcome.verdict == Verdict::Unknown {
                crate::os::log::line(&format!("how it ended: homelab-deploy status {}", order.id));
            }
            Ok(outcome.verdict.exit_status())
        }
        Err(why) => {
            printer.borrow_mut().fail(&why.0);
            Err((NOBODY, why.0))
        }
    }
}
