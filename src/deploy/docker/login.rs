//! A login at the registry: a private docker configuration that lives as long as a pull.
//!
//! The password is in one file, which only root can read, in a folder of its own in the runtime folder (memory, on a
//! usual host); never in an argument, in an environment, or on a standard input. The client gets the folder's name. Both
//! go when the value does; after a kill, with the next run (see [`crate::queue::dead`]). The operator's own
//! `config.json` is not used: an expired login in it breaks even pulls that need none.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::Login;
use crate::deploy::reference::registry;
use crate::jwt::base64url::encode_standard;
use crate::limits::MAX_TEMPLATE;
use crate::os::files::{self, ensure_folder, optional};
use crate::os::secret::{self, Secret};
use crate::os::trusted;

/// A login that is in use. Dropped, it is gone.
#[derive(Debug)]
pub struct LoggedIn {
    folder: PathBuf,
    /// The operator's own docker configuration, if there is a place for one.
    usual: Option<PathBuf>,
    /// The password, and name and password as the file spells them.
    pub secrets: [Secret; 2],
}

impl LoggedIn {
    /// Writes what a pull of `image` logs in with into the new `folder`. `environment` is what the client gets otherwise.
    ///
    /// # Errors
    /// When the password cannot be read, or anybody else could look into the folder.
    pub fn new(
        login: &Login,
        image: &str,
        folder: PathBuf,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let password = secret::read(&login.password_file)?;
        let pair = format!("{}:{}", login.username, password.expose());
        let pair = Secret::new(encode_standard(pair.as_bytes()));
        let described = |error: io::Error| format!("write the registry login: {error}");
        make_private(&folder).map_err(described)?;
        let made = Self {
            folder,
            usual: usual(environment),
            secrets: [password, pair],
        };
        made.write(image).map_err(described)?;
        Ok(made)
    }

    fn write(&self, image: &str) -> io::Result<()> {
        let mut config = json!({"auths": {registry(image): {"auth": self.secrets[1].expose()}}});
        // Which dockerd is talked to must not depend on who logs in.
        if let Some(usual) = &self.usual {
            let contexts = usual.join("contexts");
            if contexts.is_dir() {
                symlink(contexts, self.folder.join("contexts"))?;
            }
            let file = files::read_bounded(&usual.join("config.json"), MAX_TEMPLATE);
            let theirs: Value = serde_json::from_slice(&file.unwrap_or_default()).unwrap_or_default();
            config["currentContext"] = theirs["currentContext"].as_str().into();
        }
        let file = self.folder.join("config.json");
        files::replace_volatile(&file, config.to_string().as_bytes(), 0o600)
    }

    /// `environment`, with this login in the place of the usual one.
    pub fn environment(&self, environment: &[(String, String)]) -> Vec<(String, String)> {
        let is_set = |wanted: &str| environment.iter().any(|(name, _)| name == wanted);
        let mut own = environment.to_vec();
        own.retain(|(name, _)| name != "DOCKER_CONFIG");
        own.push(("DOCKER_CONFIG".into(), self.folder.display().to_string()));
        // Certificates for a dockerd on the network stand in the usual folder, too.
        let needs_certificates = is_set("DOCKER_TLS_VERIFY") && !is_set("DOCKER_CERT_PATH");
        if let Some(usual) = self.usual.as_ref().filter(|_| needs_certificates) {
            own.push(("DOCKER_CERT_PATH".into(), usual.display().to_string()));
        }
        own
    }
}

impl Drop for LoggedIn {
    fn drop(&mut self) {
        if let Err(error) = optional(fs::remove_dir_all(&self.folder)) {
            let what = files::describe(&error, "remove the registry login", &self.folder);
            log::error!("{what}; the next run tries again");
        }
    }
}

/// The folder is new; it and the one that it is in are ours alone.
fn make_private(folder: &Path) -> io::Result<()> {
    let outer = folder.parent().unwrap_or(folder);
    ensure_folder(outer, 0o700)?;
    let facts = fs::symlink_metadata(outer)?;
    if !facts.is_dir() || trusted::fault(&facts).is_some() || facts.mode() & 0o077 != 0 {
        let path = outer.display();
        return Err(io::Error::other(format!(
            "{path} is not root's alone (mode 0700)"
        )));
    }
    optional(fs::remove_dir_all(folder))?;
    DirBuilder::new().mode(0o700).create(folder)
}

fn usual(environment: &[(String, String)]) -> Option<PathBuf> {
    let value = |wanted: &str| {
        let found = environment.iter().find(|(name, _)| name == wanted)?;
        Some(PathBuf::from(&found.1))
    };
    value("DOCKER_CONFIG").or_else(|| Some(value("HOME")?.join(".docker")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(word: &str) -> Self {
            let path = std::env::temp_dir().join(format!("engram-login-{}-{word}", std::process::id()));
            fs::create_dir_all(path.join("home/.docker/contexts")).unwrap();
            fs::write(path.join("password"), "hunter2\n").unwrap();
            fs::set_permissions(path.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
            Self(path)
        }

        fn login(&self) -> Result<LoggedIn, String> {
            let login = Login {
                username: "robot".into(),
                password_file: self.0.join("password"),
            };
            let home = ("HOME".to_owned(), self.0.join("home").display().to_string());
            LoggedIn::new(&login, "host:5000/a/b", self.0.join("login/run"), &[home])
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_login_is_a_file_of_ours_alone_and_goes_with_its_value() {
        let scratch = Scratch::new("alone");
        let usual = r#"{"auths":{"host:5000":{"auth":"b2xk"}},"currentContext":"far"}"#;
        fs::write(scratch.0.join("home/.docker/config.json"), usual).unwrap();
        let login = scratch.login().unwrap();
        let folder = scratch.0.join("login/run");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("config.json"))), (0o700, 0o600));
        let written: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let expected =
            json!({"auths": {"host:5000": {"auth": "cm9ib3Q6aHVudGVyMg=="}}, "currentContext": "far"});
        assert_eq!(written, expected);
        assert!(folder.join("contexts").is_dir());
        drop(login);
        assert!(!folder.exists() && scratch.0.join("home/.docker/contexts").is_dir());
    }

    #[test]
    fn the_client_is_told_of_the_folder_and_of_nothing_secret() {
        let scratch = Scratch::new("told");
        let login = scratch.login().unwrap();
        let given = [
            ("DOCKER_CONFIG", "/old"),
            ("PATH", "/bin"),
            ("DOCKER_TLS_VERIFY", "1"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let told = login.environment(&given);
        let folder = scratch.0.join("login/run").display().to_string();
        assert!(told.contains(&("DOCKER_CONFIG".into(), folder)));
        assert!(told.iter().any(|(name, _)| name == "DOCKER_CERT_PATH"));
        let text = format!("{told:?}{login:?}");
        assert!(
            !text.contains("/old") && !text.contains("hunter2") && !text.contains("cm9ib3Q6"),
            "{text}"
        );
    }

    #[test]
    fn a_folder_that_others_may_look_into_gets_no_login() {
        let scratch = Scratch::new("open");
        fs::create_dir(scratch.0.join("login")).unwrap();
        fs::set_permissions(scratch.0.join("login"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(scratch.login().unwrap_err().contains("0700"));
        assert!(!scratch.0.join("login/run").exists());
    }
}
