//! The part of a unit's sandbox that can be made without systemd, and what a trace says of the part that cannot.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{Unit, analyze};
use crate::support::deployer::Setup;
use crate::support::folder::install;
use crate::support::process::installed;

/// A daemon that is started with a unit's capabilities, all of the host read-only, a `/proc` of processes alone, and
/// every system call written down.
pub struct Sandbox {
    trace: PathBuf,
}

impl Sandbox {
    /// Has `setup` start its program within `unit`.
    pub fn around(setup: &mut Setup, unit: &Unit) -> Sandbox {
        installed("strace", "strace");
        let folder = setup.folder().path().display().to_string();
        let trace = setup.folder().join("calls");
        let program = setup.folder().join("engram-deployer");
        install(env!("CARGO_BIN_EXE_engram-deployer"), &program);
        let capabilities: String = unit
            .words("CapabilityBoundingSet")
            .iter()
            .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
            .collect();
        let script = format!(
            "case $1 in serve) ;; *) exec {program} \"$@\" ;; esac\n\
             exec unshare --mount --propagation slave sh -c '\n\
             set -e\n\
             mount --bind {folder} {folder}\n\
             awk \"{{print \\$5}}\" /proc/self/mountinfo | sort -u | while read -r at; do\n\
             case $at in {folder} | {folder}/* | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac\n\
             mount -o remount,bind,ro \"$at\" 2>/dev/null || true\n\
             done\n\
             if touch /etc/{word} 2>/dev/null; then exit 1; fi\n\
             mount -t proc -o subset=pid proc /proc\n\
             exec strace -D -f -qq -s 0 -o {trace} setpriv --no-new-privs --bounding-set=-all{capabilities} \\\n\
             --inh-caps=-all {program} \"$@\"' sh \"$@\"",
            program = program.display(),
            trace = trace.display(),
            word = crate::support::unique("writable"),
        );
        let wrapper = setup.executable("in-a-unit", &script);
        setup.use_program(&wrapper);
        Sandbox { trace }
    }

    /// Every system call of the daemon, its roles and its tools so far, a line each; not those of what started it.
    pub fn trace(&self) -> String {
        let trace = fs::read_to_string(&self.trace).expect("a trace");
        // The second is the daemon; the first is setpriv.
        let (_, rest) = trace.split_once("execve(").expect("setpriv");
        let (_, rest) = rest.split_once("execve(").expect("the daemon");
        rest.to_owned()
    }
}

/// What in `trace` the unit's filters would have refused, each once.
pub fn offences(unit: &Unit, trace: &str) -> Vec<String> {
    let allowed = allowed_calls(unit);
    let families = unit.words("RestrictAddressFamilies");
    let namespaces = unit.words("RestrictNamespaces");
    let mut found = BTreeSet::new();
    let lines = trace.lines().filter_map(|line| line.split_once(' ')).skip(1);
    for (name, arguments) in lines.filter_map(|(_, rest)| rest.trim_start().split_once('(')) {
        // `<... read resumed>`, signals and ends are no calls.
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.is_empty() {
            continue;
        }
        if !allowed.contains(name) {
            found.insert(name.to_owned());
        }
        let first = arguments.split([',', ')']).next().unwrap_or_default();
        if name == "socket" && !families.contains(&first) {
            found.insert(format!("socket of {first}"));
        }
        // MemoryDenyWriteExecute=, RestrictSUIDSGID=.
        let both = arguments.contains("PROT_WRITE|PROT_EXEC");
        if both || (name == "mprotect" && arguments.contains("PROT_EXEC")) {
            found.insert(format!("{name} to execute what was written"));
        }
        if arguments.split([',', ' ', ')']).any(sets_an_id) {
            found.insert(format!("{name} of a set-user-id or set-group-id file"));
        }
        for flag in arguments.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            let kind = flag.strip_prefix("CLONE_NEW").map(namespace_word);
            if kind.is_some_and(|kind| !namespaces.contains(&kind.as_str())) {
                found.insert(format!("{name} {flag}"));
            }
        }
    }
    found.into_iter().collect()
}

/// A mode, in octal, with one of the two bits.
fn sets_an_id(mode: &str) -> bool {
    let digits = mode.len() == 5 && mode.bytes().all(|b| b.is_ascii_digit());
    digits && mode.starts_with('0') && !mode.starts_with("00") && !mode.starts_with("01")
}

/// As `RestrictNamespaces=` writes what clone(2) calls `CLONE_NEW...`.
fn namespace_word(kind: &str) -> String {
    match kind {
        "NS" => "mnt".into(),
        kind => kind.to_lowercase(),
    }
}

/// `SystemCallFilter=` line by line, as systemd.exec(5) has it: the first one lists what is allowed, and a `~` takes away.
fn allowed_calls(unit: &Unit) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    let lines = unit.0.iter().filter(|(key, _)| key == "SystemCallFilter");
    for (_, line) in lines {
        let (takes, list) = match line.strip_prefix('~') {
            Some(list) => (true, list),
            None => (false, line.as_str()),
        };
        for call in list.split_whitespace().flat_map(calls_of) {
            if takes {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    assert!(allowed.len() > 200, "{} calls are allowed", allowed.len());
    allowed
}

/// The calls of a group, and of the groups in it.
fn calls_of(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let (good, said) = analyze(&["syscall-filter", "--no-pager", word], &[]);
    assert!(good, "{word}: {said}");
    let lines = said.lines().skip(1).map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(calls_of)
        .collect()
}
