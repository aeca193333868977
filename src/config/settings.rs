//! Settings as they were given: names and texts, not yet made sense of.
//!
//! Keeps what is ours (`DEPLOYER_*`) and a short list of variables that the tools we start need; everything else in the
//! environment stays behind, here, once. Never prints the value of a secret, whatever prints it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::{envfile, table};
use crate::limits::MAX_SETTINGS;

/// What docker, cosign and the operator's command find in their environment, when it was set: how to find programs and
/// the home folder, how to speak, which dockerd to talk to, and where cosign has what it trusts. Leaving out one of
/// docker's own would talk to another one.
pub const FOR_CHILDREN: [&str; 10] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "TUF_ROOT",
];

/// Names and values. An empty value is the same as none: forms and templates write `KEY=""` for "not set".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Takes ours out of an environment (`std::env::vars_os()`). Refuses a value of ours that is not UTF-8.
    pub fn from_environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Settings, Vec<String>> {
        let (mut settings, mut errors) = (Settings::default(), Vec::new());
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else {
                continue;
            };
            match value.into_string() {
                Ok(value) => settings = settings.with(name, &value),
                Err(_) => errors.push(format!("{name} in the environment is not UTF-8")),
            }
        }
        if errors.is_empty() {
            Ok(settings)
        } else {
            Err(errors)
        }
    }

    /// Reads the text of an environment file: `KEY=value` or `KEY="value"` lines, never expanded, never sourced.
    pub fn from_env_file(text: &[u8]) -> Result<Settings, Vec<String>> {
        envfile::values(text).map(Settings)
    }

    /// These settings, and `beneath` for what they do not mention: a file goes over the environment.
    ///
    /// A name that the file sets to nothing is mentioned: it means the default, not the environment's.
    pub fn over(mut self, beneath: Settings) -> Settings {
        for (name, value) in beneath.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// These settings with one more, replacing what it was.
    pub fn with(mut self, name: &str, value: &str) -> Settings {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// These settings with the path of each file of systemd's in the place of its `cred:NAME` (`LoadCredential=`,
    /// systemd.exec(5)). Only for what is read when the daemon starts: a run outlives it, and systemd takes the folder away.
    pub fn with_credentials(mut self, folder: Option<&Path>) -> Settings {
        let Some(folder) = folder.and_then(Path::to_str) else {
            return self;
        };
        for variable in ["DEPLOYER_CERT_FILE", "DEPLOYER_KEY_FILE"] {
            let name = self.get(variable).and_then(|text| text.strip_prefix("cred:"));
            if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains('/')) {
                let path = format!("{folder}/{name}");
                self = self.with(variable, &path);
            }
        }
        self
    }

    /// The value of `name`; `None` when it is not set or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Names that are set to something, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(|name| self.get(name).is_some())
    }

    /// The value of `name` as it may be shown to the operator: a secret's is not.
    pub fn shown(&self, name: &str) -> Option<&str> {
        let hidden = table::is_secret(name).then_some("(a secret)");
        self.get(name).map(|value| hidden.unwrap_or(value))
    }

    /// Whether a value that may not be shown is among them.
    pub fn hold_a_secret(&self) -> bool {
        self.names().any(table::is_secret)
    }

    /// As one JSON object, of ours alone, of at most [`MAX_SETTINGS`] bytes, for a role's pipe. Secrets are in it: never log it.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        let ours: BTreeMap<_, _> = self.0.iter().filter(|(name, _)| is_ours(name)).collect();
        // A map of strings: serialising it cannot fail.
        let json = serde_json::to_vec(&ours).unwrap_or_default();
        match json.len() <= MAX_SETTINGS {
            true => Ok(json),
            false => Err(format!("the settings are longer than {MAX_SETTINGS} bytes")),
        }
    }

    /// Reads back what [`Settings::to_json`] wrote. An error never quotes it.
    pub fn from_json(json: &[u8]) -> Result<Settings, &'static str> {
        let values = serde_json::from_slice(json);
        values
            .map(Settings)
            .map_err(|_| "the settings handed over cannot be read")
    }
}

/// What roles are handed; an environment file may name more, and is warned of.
fn is_ours(name: &str) -> bool {
    name.starts_with("DEPLOYER_") || FOR_CHILDREN.contains(&name)
}

/// Without secrets: a `{:?}` left in a log line must not give one away.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.names().map(|name| (name, self.shown(name)));
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn environment(pairs: &[(&str, &str)]) -> Settings {
        Settings::from_environment(pairs.iter().map(|(n, v)| (n.into(), v.into()))).expect("good settings")
    }

    fn errors(text: &[u8]) -> Vec<String> {
        Settings::from_env_file(text).expect_err("bad settings")
    }

    #[test]
    fn only_ours_and_what_our_tools_need_is_kept() {
        let settings = environment(&[
            ("DEPLOYER_ADDR", ":1"),
            ("PATH", "/bin"),
            ("DOCKER_HOST", "tcp://x"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("LD_PRELOAD", "/evil.so"),
            ("XDEPLOYER_ADDR", "x"),
        ]);
        assert_eq!(
            settings.names().collect::<Vec<_>>(),
            ["DEPLOYER_ADDR", "DOCKER_HOST", "PATH"]
        );
    }

    #[test]
    fn a_value_of_ours_that_is_not_utf8_is_refused_and_anothers_is_not_looked_at() {
        let bad = || OsString::from_vec(vec![0xff]);
        assert!(Settings::from_environment([("OTHER".into(), bad()), (bad(), bad())]).is_ok());
        let error = Settings::from_environment([("DEPLOYER_IMAGE".into(), bad())]).expect_err("not UTF-8");
        assert_eq!(error, ["DEPLOYER_IMAGE in the environment is not UTF-8"]);
    }

    #[test]
    fn what_a_file_sets_wins_even_when_it_sets_nothing() {
        let file =
            Settings::from_env_file(b"DEPLOYER_REF=\"\"\nDEPLOYER_ADDR=:2\nFOO=bar\n").expect("a good file");
        let beneath = [
            ("DEPLOYER_REF", "refs/heads/x"),
            ("DEPLOYER_ADDR", ":1"),
            ("PATH", "/bin"),
            ("DEPLOYER_LOG", "debug"),
        ];
        let settings = file.over(environment(&beneath));
        assert_eq!(settings.get("DEPLOYER_REF"), None);
        assert_eq!(settings.get("DEPLOYER_ADDR"), Some(":2"));
        assert_eq!(settings.get("PATH"), Some("/bin"));
        assert_eq!(settings.get("DEPLOYER_LOG"), Some("debug"));
        assert!(settings.names().any(|name| name == "FOO"));
    }

    #[test]
    fn a_secret_is_printed_by_nothing() {
        let text =
            b"DEPLOYER_TF_AWS_SECRET_ACCESS_KEY=hunter2\nDEPLOYER_NEW_PASSWORD=hunter2\nDEPLOYER_ADDR=:1\n";
        let settings = Settings::from_env_file(text).expect("a good file");
        for printed in [format!("{settings:?}"), format!("{settings:#?}")] {
            assert!(
                !printed.contains("hunter2") && printed.contains(":1"),
                "{printed}"
            );
            assert!(printed.contains("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY"), "{printed}");
        }
        assert_eq!(settings.get("DEPLOYER_NEW_PASSWORD"), Some("hunter2"));
        assert!(settings.hold_a_secret());
        let unset = b"DEPLOYER_TF_AWS_SECRET_ACCESS_KEY=\nDEPLOYER_KEY_FILE=/x\n";
        assert!(
            !Settings::from_env_file(unset)
                .expect("a good file")
                .hold_a_secret()
        );
        let error =
            errors(b"DEPLOYER_TF_AWS_SECRET_ACCESS_KEY=hunter2 # x\nhunter2\n\"hunter2\"=1\n").join("\n");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn settings_survive_the_pipe_and_only_within_their_bound() {
        let settings = environment(&[("DEPLOYER_IMAGE", "a\"b\\c\u{fc}\n"), ("PATH", "/bin")]);
        let json = settings
            .clone()
            .with("LD_PRELOAD", "x")
            .to_json()
            .expect("short enough");
        assert_eq!(Settings::from_json(&json).expect("our own"), settings);
        assert!(Settings::from_json(&vec![b' '; MAX_SETTINGS + 1]).is_err());
        for bad in [&b"[]"[..], b"{\"DEPLOYER_ADDR\":1}", b"{}x", b"", b"\xff"] {
            assert!(
                Settings::from_json(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
        let long = Settings::default().with("DEPLOYER_CLAIMS", &"x".repeat(MAX_SETTINGS));
        assert!(long.to_json().is_err());
    }

    #[test]
    fn all_errors_of_a_file_are_reported_at_once() {
        let found = errors(b"DEPLOYER_ADDR=:1\nnonsense\nDEPLOYER_ADDR=:2\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("line 2: ") && found[1].starts_with("line 3: "),
            "{found:?}"
        );
    }

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
}
