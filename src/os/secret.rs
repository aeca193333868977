//! Secrets in files: read in one place, and only where nobody else can read them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::event::harmless;
use crate::limits::MAX_SECRET;
use crate::os::trusted;
pub use crate::secret::Secret;

/// The secret in the file `path`: its one line, without the newline.
///
/// # Errors
/// When anybody but root (or us, where we are not root) could read or write the file, judged by what was opened; when
/// it is no plain file, empty, or more than one line. No error quotes what is in it.
pub fn read(path: &Path) -> Result<Secret, String> {
    let bytes = read_bytes(path, MAX_SECRET)?;
    let unusable = |what: &str| format!("the secret in {} {what}", path.display());
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => Err(unusable("is empty")),
        // What the log makes harmless could not be found there to be masked.
        text if harmless(text) != text => Err(unusable("is more than one line, or has control characters")),
        text => Ok(Secret::new(text.to_owned())),
    }
}

/// All of the file `path`, at most `most` bytes of it: a key in PEM.
///
/// # Errors
/// Those of [`read`], but for what it says of the content.
pub fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    trusted::read(path, most, |facts| {
        trusted::fault(facts).or_else(|| readable_by_others(facts))
    })
}

/// Why what is in the file `path` is no secret, if it can be known: everyone may read it, or somebody else write it. For
/// a file that is served from all the same.
pub fn known_to_all(path: &Path) -> Option<String> {
    let facts = path.metadata().ok()?;
    let fault = trusted::fault(&facts).or_else(|| readable(&facts, 0o004, "everyone can"))?;
    Some(format!("{}: {fault}", path.display()))
}

/// Whether others than its owner may read a file, in words.
pub fn readable_by_others(facts: &Metadata) -> Option<String> {
    readable(facts, 0o077, "others may")
}

fn readable(facts: &Metadata, bits: u32, who: &str) -> Option<String> {
    let mode = facts.mode() & 0o7777;
    (mode & bits != 0).then(|| format!("{who} read it (mode {mode:04o}); take that away (chmod 600)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    fn of(name: &str, content: &str, mode: u32, owner: u32) -> Result<Secret, String> {
        let path = std::env::temp_dir().join(format!("secret-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(owner), None).unwrap();
        let secret = read(&path);
        std::fs::remove_file(&path).unwrap();
        secret
    }

    fn ours() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn a_secret_is_the_line_in_a_file_of_roots_alone() {
        for (content, mode) in [("hunter2\n", 0o600), ("hunter2", 0o400), ("hunter2\r\n", 0o600)] {
            let secret = of("good", content, mode, ours()).unwrap();
            assert_eq!(secret.expose(), "hunter2");
        }
    }

    #[test]
    fn a_secret_that_others_could_have_read_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o610, 0o660, 0o602] {
            let refusal = of("mode", "hunter2", mode, ours()).unwrap_err();
            assert!(refusal.contains(&format!("{mode:04o}")), "{refusal}");
            assert!(!refusal.contains("hunter2"));
        }
        if nix::unistd::geteuid().is_root() {
            assert!(
                of("owner", "hunter2", 0o600, 65521)
                    .unwrap_err()
                    .contains("65521")
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_quoted() {
        let long = "x".repeat(MAX_SECRET as usize + 1);
        for content in ["", "\n", "hunter2\nhunter3\n", "hunter2\u{1b}", long.as_str()] {
            let refusal = of("unusable", content, 0o600, ours()).unwrap_err();
            assert!(!refusal.contains("hunter"), "{refusal}");
        }
    }

    #[test]
    fn a_secret_says_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "(a secret)");
    }
}
