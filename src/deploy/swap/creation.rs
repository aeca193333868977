//! A [`Declaration`] -> what `docker create` is told. Pure.
//!
//! No value of a variable is in argv, which everyone on the host can read: values of one line go as an env-file over
//! standard input, the others through the client's environment, where `--env NAME` finds them.

use super::declaration::{Declaration, fits_env_file};
use super::{NewContainer, next};
use crate::hash::sha256;
use crate::jwt::base64url::hex;
use crate::run::Tool;

/// The version that a container was made for.
pub const VERSION_LABEL: &str = "engram.version";

/// The declaration that it was made from: changes when anything in it changes.
pub const SPEC_LABEL: &str = "engram.spec-sha256";

/// Makes `docker`, the client, one that creates `NAME-next`. The networks beyond the first are not in it: older clients take only one.
pub fn creation(docker: Tool, new: &NewContainer, declared: &Declaration) -> Tool {
    let env = declared.env.iter().cloned();
    let (one_line, several_lines): (Vec<_>, Vec<_>) = env.partition(|(_, value)| fits_env_file(value));
    let mut arguments = vec!["create".to_owned(), "--pull=never".to_owned()];
    let mut add = |flag: &str, value: &str| arguments.push(format!("--{flag}={value}"));
    add("name", &next(new.name));
    add("label", &format!("{VERSION_LABEL}={}", new.version));
    add("label", &format!("{SPEC_LABEL}={}", fingerprint(declared)));
    add("restart", &declared.restart);
    declared.ports.iter().for_each(|port| add("publish", port));
    declared.volumes.iter().for_each(|volume| add("volume", volume));
    if let Some(network) = declared.networks.first() {
        add("network", network);
        if declared.has_aliases() {
            // The name stays known while a deploy renames the container.
            add("network-alias", new.name);
        }
    }
    for (name, value) in &declared.labels {
        add("label", &format!("{name}={value}"));
    }
    declared.user.iter().for_each(|user| add("user", user));
    declared.hostname.iter().for_each(|host| add("hostname", host));
    declared.env_file.iter().for_each(|path| add("env-file", path));
    add("env-file", "/dev/stdin");
    several_lines.iter().for_each(|(name, _)| add("env", name));
    arguments.extend(declared.arguments.iter().cloned());
    arguments.push(new.reference.into());
    arguments.extend(declared.command.iter().cloned());
    let env_file: String = one_line
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    Tool {
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: [docker.environment, several_lines].concat(),
        stdin: Some(env_file.into_bytes()),
        ..docker
    }
}

/// What tells one declaration from another.
pub fn fingerprint(declared: &Declaration) -> String {
    let text = serde_json::to_vec(declared).unwrap_or_default();
    hex(&sha256(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn creation(text: &str) -> Tool {
        let declared = Declaration::read(text.as_bytes()).unwrap();
        let image = format!("sha256:{}", "ab".repeat(32)).try_into().unwrap();
        let new = NewContainer {
            name: "app",
            reference: "x/y:1.2.3",
            image: &image,
            version: "1.2.3",
        };
        super::creation(Tool::new("docker", Duration::ZERO), &new, &declared)
    }

    #[test]
    fn a_declaration_becomes_argv() {
        let creation = creation(
            r#"{"ports":["80:80"],"volumes":["a:/b"],"networks":["n","m"],"labels":{"k":"v"},"user":"1","hostname":"h",
                "env_file":"/e","arguments":["--init"],"command":["-c","x"]}"#,
        );
        let arguments: Vec<&str> = creation
            .arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect();
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
                "--network-alias=app",
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
        assert!(!format!("{:?}", creation.arguments).contains("hunter2"));
        assert_eq!(creation.stdin.unwrap(), b"A=hunter2 #x\nEMPTY=\n");
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

    #[test]
    fn a_network_of_dockers_own_takes_no_alias() {
        for networks in [
            r#"["host"]"#,
            r#"["none"]"#,
            r#"["bridge"]"#,
            r#"["container:a"]"#,
        ] {
            let creation = creation(&format!(r#"{{"networks":{networks}}}"#));
            assert!(
                !format!("{:?}", creation.arguments).contains("alias"),
                "{networks}"
            );
        }
    }
}
