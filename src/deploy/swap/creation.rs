//! A [`Declaration`] -> what `docker create` is told. Pure.
//!
//! No value of a variable is in argv, which everyone on the host can read: values of one line go as an env-file over
//! standard input, the others through the client's environment, where `--env NAME` finds them.

use ring::digest::{SHA256, digest};

use super::declaration::Declaration;
use super::values::fits_env_file;
use crate::deploy::docker::Creation;

/// The version that a container was made for.
pub const VERSION_LABEL: &str = "engram.version";

/// The declaration that it was made from: changes when anything in it changes.
pub const SPEC_LABEL: &str = "engram.spec-sha256";

/// What a container is made of.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// The name it gets.
    pub name: &'a str,
    /// The image.
    pub reference: &'a str,
    /// The version, for its label.
    pub version: &'a str,
    /// Everything else.
    pub declared: &'a Declaration,
}

impl Making<'_> {
    /// The words for `docker create`. The networks beyond the first are not in it: older clients take only one.
    pub fn creation(&self) -> Creation {
        let (one_line, several_lines): (Vec<_>, Vec<_>) = self
            .declared
            .env
            .iter()
            .cloned()
            .partition(|(_, value)| fits_env_file(value));
        let mut arguments: Vec<String> = ["create", "--pull=never"].map(Into::into).into();
        let mut add = |flag: &str, value: &str| arguments.push(format!("--{flag}={value}"));
        add("name", self.name);
        add("label", &format!("{VERSION_LABEL}={}", self.version));
        add("label", &format!("{SPEC_LABEL}={}", fingerprint(self.declared)));
        let declared = self.declared;
        add("restart", &declared.restart);
        declared.ports.iter().for_each(|port| add("publish", port));
        declared.volumes.iter().for_each(|volume| add("volume", volume));
        declared
            .networks
            .iter()
            .take(1)
            .for_each(|network| add("network", network));
        declared
            .labels
            .iter()
            .for_each(|(name, value)| add("label", &format!("{name}={value}")));
        declared.user.iter().for_each(|user| add("user", user));
        declared
            .hostname
            .iter()
            .for_each(|hostname| add("hostname", hostname));
        declared.env_file.iter().for_each(|path| add("env-file", path));
        add("env-file", "/dev/stdin");
        several_lines.iter().for_each(|(name, _)| add("env", name));
        arguments.extend(declared.arguments.iter().cloned());
        arguments.push(self.reference.into());
        arguments.extend(declared.command.iter().cloned());
        Creation {
            arguments,
            environment: several_lines,
            env_file: one_line
                .iter()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect(),
        }
    }
}

/// What tells one declaration from another.
pub fn fingerprint(declared: &Declaration) -> String {
    // Debug quotes every text, so that no two declarations read the same.
    let hash = digest(&SHA256, format!("{declared:?}").as_bytes());
    crate::jwt::base64url::hex(hash.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creation(text: &str) -> Creation {
        let declared = Declaration::read(text.as_bytes()).unwrap();
        let making = Making {
            name: "app-next",
            reference: "x/y:1.2.3",
            version: "1.2.3",
            declared: &declared,
        };
        making.creation()
    }

    #[test]
    fn a_declaration_becomes_argv() {
        let creation = creation(
            r#"{"ports":["80:80"],"volumes":["a:/b"],"networks":["n","m"],"labels":{"k":"v"},"user":"1","hostname":"h",
                "env_file":"/e","arguments":["--init"],"command":["-c","x"]}"#,
        );
        let arguments: Vec<&str> = creation.arguments.iter().map(String::as_str).collect();
        assert_eq!(
            arguments[..4],
            [
                "create",
                "--pull=never",
                "--name=app-next",
                "--label=engram.version=1.2.3"
            ]
        );
        assert!(arguments[4].starts_with("--label=engram.spec-sha256=") && arguments[4].len() == 27 + 64);
        assert_eq!(
            arguments[5..],
            [
                "--restart=unless-stopped",
                "--publish=80:80",
                "--volume=a:/b",
                "--network=n",
                "--label=k=v",
                "--user=1",
                "--hostname=h",
                "--env-file=/e",
                "--env-file=/dev/stdin",
                "--init",
                "x/y:1.2.3",
                "-c",
                "x",
            ]
        );
    }

    #[test]
    fn no_value_of_a_variable_is_in_argv() {
        let creation = creation(r#"{"env":{"A":"hunter2 #x","KEY":"BEGIN hunter2\nEND","EMPTY":""}}"#);
        assert!(!creation.arguments.concat().contains("hunter2"));
        assert_eq!(creation.env_file, "A=hunter2 #x\nEMPTY=\n");
        assert_eq!(
            creation.environment,
            [("KEY".into(), "BEGIN hunter2\nEND".into())]
        );
        assert!(creation.arguments.contains(&"--env=KEY".into()));
    }

    #[test]
    fn the_fingerprint_tells_declarations_apart() {
        let of = |text: &str| fingerprint(&Declaration::read(text.as_bytes()).unwrap());
        assert_eq!(
            of(r#"{"env":{"A":"1","B":"2"}}"#),
            of(r#"{"env":{"B":"2","A":"1"}}"#)
        );
        assert_ne!(of(r#"{"env":{"A":"1"}}"#), of(r#"{"env":{"A":"2"}}"#));
        assert_ne!(of(r#"{"command":["a","b"]}"#), of(r#"{"command":["a, b"]}"#));
    }
}
