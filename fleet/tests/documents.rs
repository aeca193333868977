//! [documents] Help, manual, README, SECURITY.md and the module name the same flags, defaults and codes.

use std::process::Command;

use crate::support::text;

fn document(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Command, flag, default, variable; what is hidden is not there.
fn flags() -> Vec<(String, String, Option<String>, Option<String>)> {
    let command = homelab_deploy::cli::command();
    let mut flags = Vec::new();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        for argument in sub.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long().filter(|long| *long != "help") else { continue };
            let value = argument.get_default_values().first().map(|value| value.to_str().unwrap().to_owned());
            let value = value.filter(|_| argument.get_action().takes_values());
            let variable = argument.get_env().map(|name| name.to_str().unwrap().to_owned());
            flags.push((sub.get_name().to_owned(), long.to_owned(), value, variable));
        }
    }
    assert!(flags.len() > 60, "{}", flags.len());
    flags
}

#[test]
fn documents_readme_and_manual_name_every_flag_default_and_variable() {
    let (readme, manual) = (document("README.md"), document("man/homelab-deploy.8").replace('\\', ""));
    for (command, flag, value, variable) in flags() {
        assert!(readme.contains(&format!("`--{flag}`")), "README: --{flag} of {command}");
        assert!(manual.contains(&format!("--{flag}")), "manual: --{flag} of {command}");
        if let Some(variable) = variable {
            assert!(readme.contains(&variable) && manual.contains(&variable), "{variable}");
        }
        let Some(value) = value.filter(|_| flag != "reason") else { continue };
        let row = readme.lines().find(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            cells.len() > 4
                && cells[1].contains(&format!("`--{flag}`"))
                && (cells[2].contains(&format!("`{command}`")) || cells[2] == "all that connect")
        });
        let row = row.unwrap_or_else(|| panic!("README has no row for --{flag} of {command}"));
        assert!(row.contains(&value), "README: --{flag} of {command}: {value} is not in {row}");
        assert!(manual.contains(&value), "manual: {value}");
    }
}

#[test]
fn documents_name_no_flag_that_is_not_there() {
    let mut known: Vec<String> = flags().into_iter().map(|(_, flag, ..)| flag).collect();
    // Of later, and of other programs.
    known.extend(["debug", "trusted-key", "refresh", "release", "help", "version"].map(str::to_owned));
    for name in ["README.md", "SECURITY.md", "man/homelab-deploy.8"] {
        let document = document(name).replace("\\-", "-");
        for word in document.split(|c: char| !(c.is_ascii_lowercase() || c == '-')) {
            if let Some(flag) = word.strip_prefix("--").filter(|flag| flag.chars().any(char::is_alphabetic)) {
                assert!(known.iter().any(|known| known == flag), "{name}: --{flag}");
            }
        }
    }
}

#[test]
fn documents_name_every_code_command_and_exit_status() {
    let (readme, manual) = (document("README.md"), document("man/homelab-deploy.8"));
    for code in homelab_deploy::wire::Code::ALL {
        assert!(readme.contains(&format!("`{code}`")) && manual.contains(&code.to_string()), "{code}");
    }
    for command in homelab_deploy::cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        assert!(readme.contains(&format!("`{}", command.get_name())), "README: {}", command.get_name());
        assert!(manual.contains(command.get_name()), "manual: {}", command.get_name());
    }
    for status in 0..=4 {
        assert!(readme.contains(&format!("\n| {status} | ")), "{status}");
    }
}

#[test]
fn documents_the_module_names_what_the_readme_does() {
    let (readme, module) = (document("README.md"), document("nixos/module.nix"));
    for option in ["enable", "package", "hostname", "tier", "role", "natsUrl", "nkeyFile", "flakeUrl", "timeout"]
        .into_iter()
        .chain(["deploySubjects", "discoverSubject", "environment", "extraArgs"])
    {
        assert!(readme.contains(&format!("`{option}`")), "{option}");
        assert!(module.contains(&format!("{option} = mk")), "{option}");
    }
    for (command, flag, value, _) in flags().into_iter().filter(|(command, ..)| command == "listener") {
        if let (Some(value), true) = (value, ["timeout", "discover-subject", "metrics-addr"].contains(&flag.as_str())) {
            assert!(
                module.contains(&format!("default = {value}")) || module.contains(&format!("default = \"{value}\"")),
                "{command} {flag}"
            );
        }
    }
}

#[test]
fn documents_tests_that_the_security_document_names_are_there() {
    let mut all = String::new();
    for entry in std::fs::read_dir(format!("{}/tests", env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            all.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let security = document("SECURITY.md");
    let names: Vec<&str> =
        security.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 3).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(all.contains(&format!("fn {name}()")), "{name}");
    }
}

#[test]
fn documents_the_manual_is_good_roff() {
    let path = format!("{}/man/homelab-deploy.8", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("mandoc").args(["-T", "lint", "-W", "warning", &path]).output();
    let output = output.unwrap_or_else(|why| panic!("mandoc: {why}: run fleet/tests/run.sh, which installs it"));
    let said: String = text(&output.stdout).lines().filter(|line| !line.contains("missing date")).collect();
    assert!(said.is_empty(), "{said}");
}
