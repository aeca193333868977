//! [hermetic] The tests neither read nor change what the product of this machine has, and leave no folder behind.
//!
//! `support/poisoned.sh` makes a host on which the product is installed, with nonsense in all of its files, and compares
//! them afterwards; it can have the whole suite around it: `unshare --mount sh tests/support/poisoned.sh FOLDER
//! tests/run.sh`. Here it has a sample of each kind of test that would see a difference.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::folder::Folder;
use crate::support::process::{installed, output_of, text};

/// Commands that are typed, with and without a terminal: they read the host's settings when they are told of none.
const COMMANDS: [&str; 3] = [
    "cli::a_person_on_a_terminal_gets_aligned_lines",
    "cli::pin_prints_what_openssl_computes_and_needs_no_other_setting",
    "history::every_run_is_remembered_with_who_asked_and_what_came_of_it",
];

/// Scratch roots with this machine's files beneath.
const ROOTS: [&str; 1] =
    ["package::install::the_packages_first_installation_starts_the_daemon_when_docker_is_up"];

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/support")
        .join(name)
}

/// Runs a command on a poisoned host, from the repository's folder; it must succeed and leave the product's files alone.
#[track_caller]
fn poisoned(command: &[&str]) -> Output {
    let folder = Folder::new("poisoned");
    let mut unshare = installed("unshare", "util-linux");
    unshare
        .args(["--mount", "--propagation", "private", "sh"])
        .arg(script("poisoned.sh"))
        .arg(folder.path())
        .args(command)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    output_of(&mut unshare, b"")
}

/// The words with which this test program runs exactly these tests.
fn exactly<'a>(program: &'a str, tests: &[&'a str]) -> Vec<&'a str> {
    [&[program, "--exact", "--test-threads=2"], tests].concat()
}

fn this_program() -> String {
    let program = std::env::current_exe().expect("this test program");
    program.display().to_string()
}

#[track_caller]
fn assert_passed(output: &Output, tests: usize) {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains(&format!("{tests} passed; 0 failed")), "{said}");
}

#[test]
fn the_poison_is_noticed_where_it_is_read_and_where_it_is_changed() {
    let program = env!("CARGO_BIN_EXE_engram-deployer");
    let read = poisoned(&["env", "-i", program, "status"]);
    let said = text(&read.stderr);
    assert_eq!(read.status.code(), Some(3), "{said}");
    assert!(said.contains("/etc/engram-deployer/env"), "{said}");
    for change in [
        "echo >>/etc/engram-deployer/env",
        "touch /var/lib/engram-deployer/new",
        "chmod 700 /var/lib/engram-deployer/runs",
        "rm /boot/config/plugins/engram-deployer/engram-deployer.cfg",
    ] {
        let changed = poisoned(&["sh", "-c", change]);
        let said = text(&changed.stderr);
        assert_eq!(changed.status.code(), Some(97), "{change}: {said}");
    }
}

#[test]
fn a_poisoned_host_changes_no_result_and_stays_as_it_was() {
    let (hermetic, program) = (script("hermetic.sh").display().to_string(), this_program());
    let command = [&[hermetic.as_str()], &exactly(&program, &COMMANDS)[..]].concat();
    assert_passed(&poisoned(&command), COMMANDS.len());
}

#[test]
fn cargo_test_alone_reads_nothing_of_a_poisoned_host_either() {
    let program = this_program();
    let tests = [&COMMANDS[..], &ROOTS].concat();
    assert_passed(&poisoned(&exactly(&program, &tests)), tests.len());
}

#[test]
fn folders_that_were_made_to_be_mounted_on_are_gone_afterwards() {
    let folder = Folder::new("bare");
    let hermetic = script("hermetic.sh").display().to_string();
    // The folders are missing on this host; within it they are there and empty, and what is written stays within.
    let inner = "for folder in /etc/engram-deployer /run/engram-deployer /var/lib/engram-deployer; do \
                 test -z \"$(ls -A $folder)\" && echo >$folder/written || exit 1; done";
    let outer = "set -e; folder=$1; shift; mkdir $folder/ram $folder/root; mount -t tmpfs tmpfs $folder/ram\n\
                 . tests/support/places.sh; mkdir $folder/ram/upper $folder/ram/work $folder/ram/hidden\n\
                 hide_product $folder/ram/hidden\n\
                 mount -t overlay -o lowerdir=$folder/ram/hidden:/,upperdir=$folder/ram/upper,workdir=$folder/ram/work \
                 overlay $folder/root\n\
                 cd $folder/root; mount -t proc proc proc; mount --rbind /dev dev; mkdir -p mnt\n\
                 pivot_root . mnt; umount -l /mnt\n\
                 \"$@\"\n\
                 until test -z \"$(ls -d $product_folders 2>/dev/null)\"; do sleep 0.1; done";
    let mut unshare = installed("unshare", "util-linux");
    unshare
        .args(["--mount", "--propagation", "private", "timeout", "60"])
        // Of the processes of this machine, some have the same paths mounted: this host has no others.
        .args(["unshare", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", outer, "sh"])
        .arg(folder.path())
        .args([hermetic.as_str(), "sh", "-c", inner])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = output_of(&mut unshare, b"");
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        text(&output.stderr)
    );
}
