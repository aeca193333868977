//! The module's folder in a checkout, and what there is to say of what was checked out.
//!
//! The files are a stranger's, and so are the links among them: nothing is opened that is a link, and no folder is used
//! that does not lie in the checkout when all links are followed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::event::harmless;
use crate::limits::{MAX_ATTRIBUTES, MAX_LISTED};
use crate::os::files;

/// The folder `path` beneath `checkout`, as a path beneath it without links.
///
/// # Errors
/// A sentence: there is none, with what there is instead; or it lies elsewhere.
pub fn find(checkout: &Path, path: &str) -> Result<PathBuf, String> {
    let root = fs::canonicalize(checkout).map_err(|error| files::describe(&error, "find", checkout))?;
    let Ok(found) = fs::canonicalize(root.join(path)) else {
        return Err(format!("the commit has no folder {path}{}", listed(&root)));
    };
    match found.strip_prefix(&root) {
        Ok(below) if found.is_dir() => Ok(below.to_owned()),
        Ok(_) => Err(format!("{path} is no folder in this commit")),
        Err(_) => Err(format!("{path} leads out of the checkout by a symbolic link")),
    }
}

/// What a person should know of the checkout before terraform says something else about it.
pub fn remarks(checkout: &Path, module: &Path) -> Vec<&'static str> {
    let mut remarks = Vec::new();
    if is_file(&checkout.join(".gitmodules")) {
        remarks.push("the commit has submodules, which are not fetched");
    }
    let mut folders = module.ancestors().map(|folder| checkout.join(folder));
    if folders.any(|folder| names_lfs(&folder.join(".gitattributes"))) {
        remarks.push("the commit has files in Git LFS, which are not fetched");
    }
    remarks
}

/// `: there is a, b`, when that is short enough to help.
fn listed(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = folders.map(|entry| harmless(&entry.file_name().to_string_lossy()));
    let mut names: Vec<String> = names.take(MAX_LISTED + 1).collect();
    names.sort();
    match names.len() {
        1..=MAX_LISTED => format!("; it has {}", names.join(", ")),
        _ => String::new(),
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.is_file())
}

fn names_lfs(path: &Path) -> bool {
    let names = |text: Vec<u8>| String::from_utf8_lossy(&text).contains("filter=lfs");
    is_file(path) && files::read_bounded(path, MAX_ATTRIBUTES).is_ok_and(names)
}
