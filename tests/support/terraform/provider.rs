//! A provider whose resource takes its time (`slow_provider.py`), in a mirror that terraform installs it from.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{by_hand, python, text};
use crate::support::folder::Folder;
use crate::support::process::run;

/// The provider, its mirror, and the book that it writes into.
pub struct SlowProvider {
    folder: Folder,
    python: Option<Shown>,
}

/// The folder of an interpreter, at a place where a plan sees it.
struct Shown(PathBuf);

/// Unmounted before the folder around it goes.
impl Drop for SlowProvider {
    fn drop(&mut self) {
        self.python = None;
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl SlowProvider {
    /// In a folder of its own, which everyone may enter: a plan has a user of its own.
    pub fn new() -> SlowProvider {
        SlowProvider::within(Folder::new("provider"), python(), None)
    }

    /// Beneath a folder of programs, which plans see, with its interpreter.
    #[track_caller]
    pub fn among_programs() -> SlowProvider {
        let folder = Folder::at(Path::new("/opt"), "provider");
        let place = folder.join("python");
        fs::create_dir(&place).expect("a folder");
        let interpreter = python();
        let whole = interpreter.ancestors().nth(2).expect("bin, and its folder");
        run(Command::new("mount").arg("--bind").arg(whole).arg(&place));
        let python = place.join("bin/python");
        SlowProvider::within(folder, python, Some(Shown(place)))
    }

    fn within(folder: Folder, interpreter: PathBuf, shown: Option<Shown>) -> SlowProvider {
        let place = format!(
            "mirror/example.test/engram/slow/1.0.0/{}/terraform-provider-slow_v1.0.0",
            platform()
        );
        let program = folder.write("slow_provider.py", include_str!("slow_provider.py"));
        let book = folder.write("book", "");
        fs::set_permissions(&book, fs::Permissions::from_mode(0o666)).expect("the mode of the book");
        let start = format!(
            "#!/bin/sh\nexec {} -B {} {}\n",
            interpreter.display(),
            program.display(),
            book.display()
        );
        folder.program(&place, start);
        let provider = SlowProvider {
            folder,
            python: shown,
        };
        provider.folder.write(
            "terraform.rc",
            format!(
                "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{ path = \"{}\" }}\n}}\n",
                provider.mirror().display()
            ),
        );
        provider
    }

    /// For `DEPLOYER_TF_CLI_CONFIG_FILE`: providers come from the mirror and from nowhere else.
    pub fn cli_config(&self) -> PathBuf {
        self.folder.join("terraform.rc")
    }

    /// The `.terraform.lock.hcl` of a configuration that uses the provider.
    #[track_caller]
    pub fn lock_file(&self) -> String {
        let folder = Folder::new("lock-file");
        folder.write("main.tf", text::slow_things(&[]));
        let mirror = format!("-fs-mirror={}", self.mirror().display());
        let platform = format!("-platform={}", platform());
        run(&mut by_hand(
            folder.path(),
            &["providers", "lock", &mirror, &platform],
        ));
        fs::read_to_string(folder.join(".terraform.lock.hcl")).expect("terraform writes a lock file")
    }

    /// What really happened: `create-begin NAME`, `create-end NAME`, `delete NAME`.
    pub fn book(&self) -> Vec<String> {
        let book = fs::read_to_string(self.folder.join("book")).expect("the provider's book");
        book.lines().map(str::to_owned).collect()
    }

    /// Whether that stands in the book.
    pub fn has_noted(&self, entry: &str) -> bool {
        self.book().iter().any(|line| line == entry)
    }

    /// Does something to a thing behind terraform's back: `gone NAME`, `moved NAME`.
    pub fn happens(&self, what: &str) {
        let mut book = fs::File::options().append(true).open(self.folder.join("book"));
        let book = book.as_mut().expect("the provider's book");
        writeln!(book, "{what}").expect("writing into the book");
    }

    fn mirror(&self) -> PathBuf {
        self.folder.join("mirror")
    }
}

/// This machine, as terraform calls it.
fn platform() -> String {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux_{machine}")
}
