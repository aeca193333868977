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
pub(super) fn find(checkout: &Path, path: &str) -> Result<PathBuf, String> {
    let described = |error, place: &Path| files::describe(&error, "look for the module in", place);
    let root = fs::canonicalize(checkout).map_err(|error| described(error, checkout))?;
    // A path that goes on from the root, or up from it, is none beneath it whatever it leads to.
    let below = Path::new(path);
    if below.components().any(|part| {
        !matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    }) {
        return Err(format!(
            "the module's folder {path} is no path beneath the checkout"
        ));
    }
    let Ok(found) = fs::canonicalize(root.join(below)) else {
        return Err(format!("the commit has no folder {path}{}", listed(&root)));
    };
    match found.strip_prefix(&root) {
        Ok(below) if found.is_dir() => Ok(below.to_owned()),
        Ok(_) => Err(format!("{path} is no folder in this commit")),
        Err(_) => Err(format!(
            "{path} leads out of the checkout by a symbolic link; terraform runs in the commit alone"
        )),
    }
}

/// What a person should know of the checkout before terraform says something else about it.
pub(super) fn remarks(checkout: &Path, module: &Path) -> Vec<String> {
    let mut remarks = Vec::new();
    if is_file(&checkout.join(".gitmodules")) {
        remarks.push("the commit has submodules, which are not fetched: their folders are empty".to_owned());
    }
    let folders = module.ancestors().map(|folder| checkout.join(folder));
    let attributes = folders.map(|folder| folder.join(".gitattributes"));
    if attributes.into_iter().any(|file| names_lfs(&file)) {
        remarks.push(
            "the commit has files in Git LFS, which are not fetched: pointers are in their place".to_owned(),
        );
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
        0 => "; it has no folder at all".into(),
        count if count > MAX_LISTED => String::new(),
        _ => format!("; it has {}", names.join(", ")),
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file())
}

fn names_lfs(path: &Path) -> bool {
    is_file(path)
        && files::read_bounded(path, MAX_ATTRIBUTES).is_ok_and(|text| {
            let lfs = b"filter=lfs";
            text.windows(lfs.len()).any(|part| part == lfs)
        })
}
