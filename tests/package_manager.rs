//! [package_manager] A package manager that somebody else is using is waited for, by all scripts that install packages:
//! `tests/run.sh`, `contrib/demo.sh` and `contrib/bench.sh` do it by `apt_get` of `tests/support/parts.sh`.

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::{self, File};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::folder::Folder;
use crate::support::process::{Running, installed, output_of, text};
use crate::support::wait_until;

/// Each of apt's locks, and a command that takes it.
const LOCKS: [(&str, &str); 4] = [
    ("lists/lock", "update"),
    ("dpkg/lock-frontend", "install -y"),
    ("dpkg/lock", "install -y"),
    ("cache/archives/lock", "install -y"),
];

/// A root of its own for apt: it has no packages and no sources.
struct Apt(Folder);

impl Apt {
    fn new() -> Apt {
        installed("apt-get", "apt");
        let apt = Apt(Folder::new("apt"));
        let root = apt.0.path().display();
        let places = format!(
            "Dir::State \"{root}\"; Dir::State::lists \"{root}/lists\"; Dir::State::status \"{root}/dpkg/status\";\n\
             Dir::Cache \"{root}/cache\"; Dir::Etc \"{root}/etc\"; Dir::Log \"{root}/log\"; APT::Sandbox::User \"root\";\n"
        );
        apt.0.write("configuration", places);
        apt.0.write("dpkg/status", "");
        for folder in ["lists/partial", "cache/archives/partial", "etc"] {
            fs::create_dir_all(apt.0.join(folder)).expect("a folder for apt");
        }
        apt
    }

    /// A script that runs apt-get with these arguments and waits for at most so many seconds.
    fn script(&self, seconds: u32, arguments: &str) -> Command {
        let lines = format!(
            ". tests/support/parts.sh\nbegin\nlock_wait={seconds}\napt_get {arguments}\nstatus=$?\n\
             echo \"ended with $status\"\nexit $status\n"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &lines])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("APT_CONFIG", self.0.join("configuration"));
        command
    }

    fn run(&self, seconds: u32, arguments: &str) -> Output {
        output_of(&mut self.script(seconds, arguments), b"")
    }

    /// Takes a lock as apt does, until the file is closed.
    fn lock(&self, name: &str) -> File {
        let file = File::create(self.0.join(name)).expect("a lock file");
        let whole = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&whole)).expect("a lock that nobody has");
        file
    }
}

#[test]
fn a_package_manager_in_use_is_waited_for() {
    for (lock, arguments) in LOCKS {
        let apt = Apt::new();
        let held = apt.lock(lock);
        let log = apt.0.join("log");
        let mut script = Running::start(&mut apt.script(120, arguments), &log);
        let said = || text(&fs::read(&log).unwrap_or_default());
        wait_until("it says that it waits", Duration::from_secs(60), || {
            assert!(!script.ended(), "{lock}: {}", said());
            said().contains("the package manager is in use, waiting up to 120 s: ")
        });
        assert!(
            said().contains(lock) && said().contains("held by process"),
            "{}",
            said()
        );
        drop(held);
        wait_until("it goes on", Duration::from_secs(60), || script.ended());
        assert!(said().contains("ended with 0\n"), "{lock}: {}", said());
        assert_eq!(said().matches("waiting up to").count(), 1, "{}", said());
    }
}

#[test]
fn a_package_manager_that_stays_in_use_is_given_up_with_its_own_words() {
    let apt = Apt::new();
    let _held = apt.lock("lists/lock");
    let output = apt.run(1, "update");
    assert_eq!(output.status.code(), Some(100));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("not waiting any longer"), "{said}");
    assert!(said.contains("E: Could not get lock"), "{said}");
}

#[test]
fn another_failure_of_the_package_manager_is_not_waited_for() {
    let output = Apt::new().run(120, "install -y no-such-package");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(100), "{said}");
    assert!(
        said.contains("Unable to locate package") && !said.contains("waiting"),
        "{said}"
    );
}

#[test]
fn no_script_calls_the_package_manager_by_itself() {
    let root = env!("CARGO_MANIFEST_DIR");
    // Called, and not only named in a sentence: at the beginning of a command.
    let calls = "(^|[;&|({]|then|do|else)[[:space:]]*(sudo )?(apt|apt-get|dpkg) +(-|update|install|download)";
    let output = output_of(
        Command::new("grep")
            .args([
                "-rnE",
                "--include=*.sh",
                calls,
                "contrib",
                "package",
                "tests",
                ".ci",
            ])
            .current_dir(root),
        b"",
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}
