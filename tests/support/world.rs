//! A host within this machine: processes with mounts (and more) of their own, seen from outside.

use super::folder::install;
use super::process::{installed, output_of, run, text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Such a host, by one process of it that lives as long as it does.
#[derive(Clone, Copy)]
pub struct World {
    /// That process.
    pub pid: i32,
    /// What it has of its own, as `nsenter` calls it.
    pub spaces: &'static [&'static str],
}

impl World {
    /// A file of the host's, as this process reaches it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// A file's text.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        let bytes = fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        text(&bytes)
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Writes a file, with the folders above it.
    #[track_caller]
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let place = self.path(path);
        fs::create_dir_all(place.parent().expect("a file in a folder")).expect("its folder");
        fs::write(&place, content).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Writes an executable shell script.
    #[track_caller]
    pub fn script(&self, path: &str, lines: &str) {
        let text = format!("{path}.text");
        self.write(&text, format!("#!/bin/sh\n{lines}\n"));
        install(self.path(&text), self.path(path));
        fs::remove_file(self.path(&text)).expect("removing a text");
    }

    /// A command on the host, as root, with an environment of its own.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = installed("nsenter", "util-linux");
        command
            .arg(format!("--target={}", self.pid))
            .args(self.spaces)
            .args(["--root", "--wd"]);
        command
            .args([
                "/usr/bin/env",
                "-i",
                "PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
            ])
            .args(words);
        command
    }

    /// Runs it to its end, which is when nobody has its output open any more.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Output {
        output_of(&mut self.command(words), b"")
    }

    /// The same, and it must succeed; what it said.
    #[track_caller]
    pub fn must(&self, words: &[&str]) -> String {
        run(&mut self.command(words))
    }

    /// Every process with the same mounts, by its number on this machine.
    pub fn processes(&self) -> Vec<i32> {
        let space = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let ours = space(self.pid);
        let pids = fs::read_dir("/proc").expect("reading /proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| ours.is_some() && space(*pid) == ours)
            .collect()
    }

    /// Ends the process that stands for the host.
    pub fn kill(&self) {
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}

/// The children of a process.
pub fn children_of(pid: i32) -> Vec<i32> {
    let place = Path::new("/proc").join(format!("{pid}/task/{pid}/children"));
    let text = fs::read_to_string(place).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
