//! terraform and git, which note what they were given before they work.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{git, program};
use crate::support::folder::Folder;

/// Two small programs of these names, and the file that they write into.
pub struct Notes {
    folder: Folder,
}

impl Notes {
    /// Nothing noted yet.
    pub fn new() -> Notes {
        let notes = Notes {
            folder: Folder::new("notes"),
        };
        let book = notes.folder.write("book", "");
        // A plan has a user of its own.
        fs::set_permissions(&book, fs::Permissions::from_mode(0o666)).expect("the mode of the book");
        notes.wrap("terraform", &program(), &book);
        notes.wrap("git", &git(), &book);
        notes
    }

    fn wrap(&self, name: &str, real: &Path, book: &Path) {
        let script = format!(
            "#!/bin/sh\n{{ echo '== {name}'; printf 'argument %s\\n' \"$@\"; \
             tr '\\0' '\\n' </proc/$$/environ | sed 's/^/variable /'; }} >>{}\nexec {} \"$@\"\n",
            book.display(),
            real.display()
        );
        let place = self.folder.write(name, script);
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("the mode of a wrapper");
    }

    /// For `DEPLOYER_TF_BINARY_PATH`.
    pub fn terraform(&self) -> PathBuf {
        self.folder.join("terraform")
    }

    /// For `DEPLOYER_TF_GIT_BINARY_PATH`.
    pub fn git(&self) -> PathBuf {
        self.folder.join("git")
    }

    /// What each start of the program `name` was given: lines `argument ...` and `variable NAME=value`.
    pub fn of(&self, name: &str) -> Vec<String> {
        let book = fs::read_to_string(self.folder.join("book")).expect("the notes");
        let starts = book.split("== ").skip(1);
        starts
            .filter_map(|start| start.strip_prefix(&format!("{name}\n")))
            .map(str::to_owned)
            .collect()
    }
}
