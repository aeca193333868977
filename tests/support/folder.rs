//! A folder of one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// A new folder, removed with everything in it when dropped. A test that fails leaves it, and says where it is.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A folder whose name has `word` in it.
    pub fn new(word: &str) -> Folder {
        Folder::at(&std::env::temp_dir(), word)
    }

    /// The same beneath `above`.
    pub fn at(above: &Path, word: &str) -> Folder {
        let path = above.join(super::unique(word));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
        Folder { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, with the folders above it, and says where.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        let parent = path.parent().expect("a file in a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, content))
            .unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
        path
    }

    /// Writes a program in it and says where.
    pub fn program(&self, name: &str, script: impl AsRef<[u8]>) -> PathBuf {
        let text = self.write(&format!("{name}.text"), script);
        let made = self.join(&format!("{name}.made"));
        install(&text, &made);
        fs::remove_file(text).expect("removing a text");
        let place = self.join(name);
        fs::rename(made, &place).expect("putting a program in its place");
        place
    }
}

/// Copies a program, by another process: a child that this one starts at the same moment has a copy of every descriptor
/// until its exec, and a program that somebody has open for writing cannot be started (ETXTBSY).
#[track_caller]
pub fn install(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let (from, to) = (from.as_ref(), to.as_ref());
    let status = Command::new("install")
        .args(["-m", "755"])
        .args([from, to])
        .status();
    assert!(status.expect("install").success(), "installing {}", to.display());
}

/// The files below `folder` whose content is one that `is_it` means.
pub fn files_below(folder: &Path, is_it: impl Fn(&[u8]) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind of file"));
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_it(&fs::read(&path).unwrap_or_default()) {
                found.push(path);
            }
        }
    }
    found
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("left for you to read: {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
