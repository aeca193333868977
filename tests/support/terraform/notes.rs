//! terraform and git, which note what they were given before they work.
//!
//! The notes go to a server of the test's by loopback: behind the walls of a plan there is no file of ours to write to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{git, program};
use crate::support::folder::Folder;
use crate::support::web;

/// Two small programs of these names, and what they have told.
pub struct Notes {
    folder: Folder,
    book: Arc<Mutex<String>>,
}

impl Notes {
    /// Nothing noted yet.
    pub fn new() -> Notes {
        let notes = Notes {
            folder: Folder::new("notes"),
            book: Arc::default(),
        };
        let (listener, url) = web::listen(0);
        let book = Arc::clone(&notes.book);
        web::serve(listener, move |request| {
            book.lock().expect("the book").push_str(&request.body);
            (200, String::new())
        });
        notes.wrap("terraform", &program(), &url);
        notes.wrap("git", &git(), &url);
        notes
    }

    /// Beside arguments and environment: what stands in the repository, but for its objects, which are compressed.
    fn wrap(&self, name: &str, real: &Path, url: &str) {
        let script = format!(
            "#!/bin/sh\n{{ echo '== {name}'; printf 'argument %s\\n' \"$@\"; \
             tr '\\0' '\\n' </proc/$$/environ | sed 's/^/variable /'; \
             find \"$HOME/../checkout/.git\" -type f ! -path '*/objects/*' -exec cat {{}} + 2>/dev/null | \
             LC_ALL=C tr -c '[:print:]\\n' '?' | sed 's/^/repository /'; }} | \
             env -i curl -sS -H Expect: --data-binary @- {url} || exit 99\nexec {} \"$@\"\n",
            real.display()
        );
        self.folder.program(name, script);
    }

    /// For `DEPLOYER_TF_BINARY_PATH`.
    pub fn terraform(&self) -> PathBuf {
        self.folder.join("terraform")
    }

    /// For `DEPLOYER_TF_GIT_BINARY_PATH`.
    pub fn git(&self) -> PathBuf {
        self.folder.join("git")
    }

    /// What each start of the program `name` was given: lines `argument ...`, `variable NAME=value` and
    /// `repository ...`.
    pub fn of(&self, name: &str) -> Vec<String> {
        let book = self.book.lock().expect("the book");
        let starts = book.split("== ").skip(1);
        starts
            .filter_map(|start| start.strip_prefix(&format!("{name}\n")))
            .map(str::to_owned)
            .collect()
    }
}
