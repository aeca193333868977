//! Which processes are at work for a run, found by what they were given and never by a name alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The processes of terraform whose data lies below `workdir`, with their arguments: terraform alone, not its providers.
pub fn terraforms(workdir: &Path) -> Vec<(i32, String)> {
    let given = format!("TF_DATA_DIR={}/", workdir.display());
    let file_of = |facts: &fs::Metadata| (facts.dev(), facts.ino());
    let program = crate::support::terraform::program();
    let named = file_of(&fs::metadata(program).expect("terraform"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        // The file itself and not its name: behind walls it may have another one.
        let is_terraform = fs::metadata(entry.path().join("exe")).is_ok_and(|exe| file_of(&exe) == named);
        if is_terraform
            && environment
                .split('\0')
                .any(|variable| variable.starts_with(&given))
        {
            let arguments = read("cmdline");
            let words = String::from_utf8_lossy(&arguments).replace('\0', " ");
            found.push((pid, words.trim_end().to_owned()));
        }
    }
    found
}

/// The process of a run, as its ticket names it.
#[track_caller]
pub fn run_process(runtime: &Path, id: &str) -> i32 {
    let queue = fs::read_dir(runtime.join("queue")).expect("the queue").flatten();
    let mut tickets = queue.map(|entry| entry.path());
    let ticket = tickets.find(|path| path.to_string_lossy().ends_with(id));
    let notes = fs::read_to_string(ticket.expect("a ticket")).expect("its notes");
    let holder: Value = serde_json::from_str(notes.lines().next().expect("a holder")).expect("JSON");
    holder["holder"]["pid"].as_i64().expect("a process id") as i32
}

/// The process group of a process, while it lives.
pub fn group_of(pid: i32) -> Option<i32> {
    nix::unistd::getpgid(Some(Pid::from_raw(pid)))
        .ok()
        .map(Pid::as_raw)
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some(None | Some('Z' | 'X')))
}

/// Sends a signal to a process that the test knows.
#[track_caller]
pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to process {pid}: {error}"));
}
