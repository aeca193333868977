//! How a tool in a sandbox ends, and that everything ends with it.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::plan_isolation::sandbox::{Scene, USER, lives, processes_with, run, shell, start};
use crate::support::roles::Role;
use crate::support::wait_until;

/// A number of seconds that is nobody else's.
fn nap() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{}.{:07}",
        3000 + COUNT.fetch_add(1, Ordering::Relaxed),
        std::process::id()
    )
}

#[test]
fn a_tool_ends_with_the_same_status_in_a_sandbox_and_without() {
    let scene = Scene::new();
    for (script, code) in [
        ("true", 0),
        ("exit 2", 2),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -INT $$", 130),
    ] {
        assert_eq!(run(&shell(script)).code, code, "{script}");
        assert_eq!(run(&scene.plan(script)).code, code, "{script}");
    }
}

#[test]
fn nothing_that_a_plan_starts_outlives_it() {
    let scene = Scene::new();
    let nap = nap();
    let script = format!(
        "setsid sleep {nap} >/dev/null 2>&1 & (trap '' TERM HUP INT; setsid setsid sleep {nap}) & sleep 0.2; echo left"
    );
    let without = start(&shell(&format!("setsid sleep {nap} >/dev/null 2>&1 & echo left")));
    assert_eq!(without.end().said, "left\n");
    assert!(lives(&nap), "the twin without a sandbox leaves something");
    for pid in processes_with(&nap) {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    let mut plan = start(&scene.plan(&script));
    assert_eq!(plan.line(), "left");
    assert_eq!(plan.end().code, 0);
    assert!(!lives(&nap), "it outlived the plan");
}

#[test]
fn a_kill_of_the_keeper_or_of_the_group_is_the_end_of_all() {
    let scene = Scene::new();
    for of_group in [false, true] {
        let nap = nap();
        let script = format!(
            "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP INT; echo up; sleep {nap}' & sleep {nap}"
        );
        let mut plan = start(&scene.plan(&script));
        assert_eq!(plan.line(), "up");
        wait_until("the naps", Duration::from_secs(5), || lives(&nap));
        match of_group {
            true => plan.signal_group(Signal::SIGKILL),
            false => plan.signal(Signal::SIGKILL),
        }
        // Before its output is read to the end: what lives holds that open.
        wait_until("everything within is gone", Duration::from_secs(5), || {
            !lives(&nap)
        });
        assert_eq!(plan.end().code, 137);
    }
}

#[test]
fn an_ask_to_end_reaches_the_tool_once() {
    let scene = Scene::new();
    let script = "trap 'echo INT' INT; trap 'echo TERM' TERM; echo up; i=0; while [ $i -lt 40 ]; do sleep 0.02; i=$((i+1)); done; exit 9";
    for (signal, of_group) in [
        (Signal::SIGINT, false),
        (Signal::SIGTERM, false),
        (Signal::SIGTERM, true),
    ] {
        let mut plan = start(&scene.plan(script));
        assert_eq!(plan.line(), "up");
        match of_group {
            true => plan.signal_group(signal),
            false => plan.signal(signal),
        }
        let ended = plan.end();
        assert_eq!(
            (ended.code, ended.said.as_str()),
            (9, &format!("{}\n", &signal.as_str()[3..])[..])
        );
    }
}

#[test]
fn an_apply_is_the_process_that_was_started() {
    let mut order = shell(
        "echo $$; id -u; id -G; umask; grep NoNewPrivs /proc/self/status; trap 'echo INT; exit 5' INT; echo ready; while :; do sleep 0.02; done",
    );
    order.sandbox.groups = vec![65599];
    let mut apply = start(&order);
    assert_eq!(apply.line(), apply.pid().to_string());
    assert_eq!(apply.line(), USER.to_string());
    assert_eq!(apply.line(), format!("{USER} 65599"));
    assert_eq!(apply.line(), "0077");
    assert_eq!(apply.line(), "NoNewPrivs:\t1");
    assert_eq!(apply.line(), "ready");
    apply.signal(Signal::SIGINT);
    let ended = apply.end();
    assert_eq!((ended.code, ended.said.as_str()), (5, "INT\n"));
}

#[test]
fn the_first_process_within_has_no_more_than_the_tool_and_is_closed_to_it() {
    let scene = Scene::new();
    let nap = nap();
    let mut order = scene.plan(&format!("echo up; exec sleep {nap}"));
    order
        .environment
        .push(("WORD".into(), "of the tool alone".into()));
    let mut plan = start(&order);
    assert_eq!(plan.line(), "up");
    wait_until("the nap", Duration::from_secs(5), || lives(&nap));
    let tool = Role::read(processes_with(&nap)[0].as_raw()).unwrap();
    let first = Role::read(tool.field("PPid").parse().unwrap()).unwrap();
    assert_eq!(
        first.field("PPid"),
        plan.pid().to_string(),
        "the keeper is its parent"
    );
    assert!(first.field("NSpid").ends_with("\t1") && tool.field("NSpid").ends_with("\t2"));
    for one in [&first, &tool] {
        assert_eq!(one.field("Uid"), [USER.to_string().as_str(); 4].join("\t"));
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(one.field(set), "0000000000000000");
        }
        assert_eq!(one.field("NoNewPrivs"), "1");
        assert_eq!(one.field("Groups"), "");
    }
    // Not dumpable: its files in /proc are root's. Its environment is empty besides.
    assert_eq!(std::fs::metadata(first.place("environ")).unwrap().uid(), 0);
    assert_eq!(std::fs::read(first.place("environ")).unwrap(), b"");
    // Its lifeline, its output, and what it hears of ended children.
    assert_eq!(first.descriptors().len(), 4, "{:?}", first.descriptors());
    plan.signal(Signal::SIGTERM);
    assert_eq!(plan.end().code, 143);
}
