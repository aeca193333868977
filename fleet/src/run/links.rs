//! What is installed, what is active and what was booted: read from links, before and after.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where NixOS keeps its links, below a root that only a test changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    pub root: PathBuf,
}

/// The unit in which nixos-rebuild activates.
const ACTIVATION_UNIT: &str = "run/systemd/transient/nixos-rebuild-switch-to-configuration.service";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// `system-42-link`: changes with every generation.
    pub generation: Option<String>,
    /// The system that is installed, and that which is active.
    pub installed: Option<PathBuf>,
    pub active: Option<PathBuf>,
}

impl Places {
    fn resolved(&self, place: &str) -> Option<PathBuf> {
        std::fs::canonicalize(self.root.join(place)).ok()
    }

    pub fn links(&self) -> Links {
        let profile = std::fs::read_link(self.root.join("nix/var/nix/profiles/system")).ok();
        Links {
            generation: profile.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
            installed: self.resolved("nix/var/nix/profiles/system"),
            active: self.resolved("run/current-system"),
        }
    }

    /// Whether systemd holds the unit of an activation: past this it is waited for.
    pub fn activates(&self) -> bool {
        self.root.join(ACTIVATION_UNIT).exists()
    }

    /// Whether a kernel, an initrd or modules wait for the next boot.
    pub fn needs_reboot(&self, system: &Path) -> bool {
        let Some(booted) = self.resolved("run/booted-system") else {
            return false;
        };
        ["kernel", "initrd", "kernel-modules"].iter().any(|part| {
            let of = |system: &Path| std::fs::canonicalize(system.join(part)).ok();
            of(&booted) != of(system)
        })
    }
}

impl Links {
    /// `42` of `system-42-link`.
    pub fn number(&self) -> Option<&str> {
        self.generation.as_deref()?.strip_prefix("system-")?.strip_suffix("-link")
    }
}
