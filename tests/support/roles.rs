//! Our processes as the kernel sees them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A process of ours, as `/proc` shows it.
pub struct Role {
    /// Its process id.
    pub pid: i32,
    status: BTreeMap<String, String>,
}

impl Role {
    /// What `/proc` says of it now.
    pub fn read(pid: i32) -> Option<Role> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        let status = fields
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Some(Role { pid, status })
    }

    /// A field of its `status`.
    pub fn field(&self, name: &str) -> &str {
        self.status.get(name).map_or("", String::as_str)
    }

    /// A file of its folder in `/proc`.
    pub fn place(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join(name)
    }

    /// A limit, soft and hard.
    pub fn limit(&self, name: &str) -> String {
        let text = fs::read_to_string(self.place("limits")).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        // Soft and hard stand behind the name, and nobody may raise the hard one again.
        let words: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[0], words[1], "{name}: the soft limit is below the hard one");
        words[0].to_owned()
    }

    /// What it has open, by number.
    pub fn descriptors(&self) -> BTreeMap<i32, String> {
        let entries = fs::read_dir(self.place("fd")).unwrap();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let target = fs::read_link(entry.path()).unwrap().display().to_string();
                (entry.file_name().to_str().unwrap().parse().unwrap(), target)
            })
            .collect()
    }
}

/// Every process of `role` below the process `ancestor`.
pub fn roles_below(ancestor: i32, role: &str) -> Vec<Role> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let processes: Vec<Role> = pids.filter_map(Role::read).collect();
    let parent_of = |pid: i32| -> Option<i32> {
        processes
            .iter()
            .find(|process| process.pid == pid)?
            .field("PPid")
            .parse()
            .ok()
    };
    let is_below = |pid: i32| {
        std::iter::successors(Some(pid), |pid| parent_of(*pid).filter(|parent| *parent > 1))
            .any(|pid| pid == ancestor)
    };
    let wanted = format!("engram-deployer\0{role}\0");
    let found = processes.iter().filter(|process| is_below(process.pid));
    found
        .filter(|process| fs::read(process.place("cmdline")).is_ok_and(|line| line == wanted.as_bytes()))
        .filter_map(|process| Role::read(process.pid))
        .collect()
}
