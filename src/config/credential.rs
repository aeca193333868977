//! `cred:NAME`: a file that systemd provides (`LoadCredential=NAME:PATH`, systemd.exec(5)), in the place of a path.
//!
//! Only for what is read when the daemon starts. A run outlives the daemon, and systemd takes the folder away with that.

use std::path::{Path, PathBuf};

use super::{Settings, value};

/// Settings that may be one.
const MAY_BE: [&str; 2] = ["DEPLOYER_CERT_FILE", "DEPLOYER_KEY_FILE"];

const PREFIX: &str = "cred:";

impl Settings {
    /// These settings with the path of each credential in its place; without a folder, or where its name is none, it
    /// stays as it is and is complained about.
    pub fn with_credentials(self, folder: Option<&Path>) -> Settings {
        let Some(folder) = folder.and_then(Path::to_str) else {
            return self;
        };
        MAY_BE.iter().fold(self, |settings, variable| {
            let name = settings.get(variable).and_then(|text| text.strip_prefix(PREFIX));
            match name.filter(|name| is_name(name)).map(str::to_owned) {
                Some(name) => settings.with(variable, &format!("{folder}/{name}")),
                None => settings,
            }
        })
    }
}

/// A path, or a credential that nobody could put a path in the place of, which is a complaint.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix(PREFIX) {
        None => value::path(text),
        Some(name) if is_name(name) => Err(format!(
            "a path, or `cred:NAME` where systemd provides that file: the unit needs LoadCredential={name}:PATH, and \
             CREDENTIALS_DIRECTORY names no folder here"
        )),
        Some(_) => Err(
            "`cred:` and the name of a credential: letters, digits and signs, without `/` and `:`, at most 255".into(),
        ),
    }
}

/// What systemd takes for the name of a credential: a file's name that may stand in a list separated by colons.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':');
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(given: &str, folder: Option<&str>) -> String {
        let settings = Settings::default().with("DEPLOYER_KEY_FILE", given);
        let settings = settings.with_credentials(folder.map(Path::new));
        settings.get("DEPLOYER_KEY_FILE").unwrap_or_default().to_owned()
    }

    #[test]
    fn a_credential_is_a_file_in_the_folder_that_systemd_names() {
        let folder = Some("/run/credentials/x.service");
        assert_eq!(key("cred:key.pem", folder), "/run/credentials/x.service/key.pem");
        for text in [
            "/etc/key.pem",
            "cred:",
            "cred:../key.pem",
            "cred:a/b",
            "cred:..",
            "cred:a:b",
            "cred:a b",
            "Cred:key.pem",
        ] {
            assert_eq!(key(text, folder), text);
        }
        assert_eq!(key("cred:key.pem", None), "cred:key.pem");
    }

    #[test]
    fn no_other_setting_is_a_credential() {
        let other = Settings::default().with("DEPLOYER_TF_APPLY_GH_APP_PEM_PATH", "cred:app.pem");
        let other = other.with_credentials(Some(Path::new("/run/c")));
        assert_eq!(
            other.get("DEPLOYER_TF_APPLY_GH_APP_PEM_PATH"),
            Some("cred:app.pem")
        );
    }

    #[test]
    fn one_that_was_not_handed_over_says_what_the_unit_needs() {
        assert_eq!(path("/etc/key.pem"), Ok("/etc/key.pem".into()));
        let missing = path("cred:key.pem").unwrap_err();
        assert!(
            missing.contains("LoadCredential=key.pem:") && missing.contains("CREDENTIALS_DIRECTORY"),
            "{missing}"
        );
        for bad in ["cred:", "cred:../x", "cred:a:b", "cred:."] {
            assert!(path(bad).unwrap_err().contains("name of a credential"), "{bad}");
        }
        assert!(path("key.pem").is_err());
    }
}
