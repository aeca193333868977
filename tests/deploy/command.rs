//! Backend `command`: the operator's executable, what it is given, and how its word counts.

use serde_json::json;

use super::{id_of, image_id, messages, wire};
use crate::support::curl::Answer;
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::host::Host;
use crate::support::oidc::Issuer;

/// A daemon whose deploy is this shell text, for the containers `one` and `two`.
fn deployer(script: &str) -> (Issuer, Deployer) {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.command_script(script).set("DEPLOYER_CONTAINERS", "one,two");
    (issuer, setup.start())
}

fn deploy(issuer: &Issuer, deployer: &Deployer) -> Answer {
    let body = r#"{"version":"1.2.3","sha":"abc1234"}"#;
    deployer.client().post("/deploy", &issuer.mint(AUDIENCE), body)
}

#[test]
fn a_command_gets_its_contract_and_nothing_else_of_ours() {
    let (issuer, deployer) =
        deployer("echo \"arguments $# $1\"; env | sed 's/^/variable /'; exec ls -l /proc/self/fd");
    let answer = deploy(&issuer, &deployer);
    answer.assert_ok();
    let said = messages(&answer, "update");
    let called: Vec<_> = said
        .iter()
        .filter(|line| line.starts_with("arguments "))
        .collect();
    assert_eq!(called, ["arguments 1 one", "arguments 1 two"]);

    let variables: Vec<_> = said
        .iter()
        .filter_map(|line| line.strip_prefix("variable "))
        .collect();
    for (name, value) in [
        ("DEPLOYER_IMAGE_REF", "ghcr.io/engram-app/engram:1.2.3"),
        ("DEPLOYER_VERSION", "1.2.3"),
        ("DEPLOYER_SHA", "abc1234"),
    ] {
        let expected = format!("{name}={value}");
        assert_eq!(
            variables.iter().filter(|line| **line == expected).count(),
            2,
            "{variables:?}"
        );
    }
    // What the shell adds, and what docker's client may need of the host.
    let harmless = [
        "PATH",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "DOCKER_HOST",
    ];
    let ours = ["DEPLOYER_IMAGE_REF", "DEPLOYER_VERSION", "DEPLOYER_SHA"];
    for variable in &variables {
        let name = variable.split('=').next().unwrap_or_default();
        assert!(harmless.contains(&name) || ours.contains(&name), "{variable}");
    }

    let descriptors: Vec<_> = said.iter().filter(|line| line.contains(" -> ")).collect();
    let number = |line: &str| {
        line.split(" -> ")
            .next()
            .and_then(|left| left.split(' ').next_back()?.parse::<u32>().ok())
    };
    // 3 is the folder that ls itself reads.
    let ls_own = |line: &str| number(line) == Some(3) && line.contains("/fd");
    let numbers: Vec<_> = descriptors
        .iter()
        .filter(|line| !ls_own(line))
        .map(|line| number(line))
        .collect();
    assert_eq!(
        numbers,
        [Some(0), Some(1), Some(2), Some(0), Some(1), Some(2)],
        "{descriptors:?}"
    );
    let input = descriptors
        .iter()
        .find(|line| number(line) == Some(0))
        .expect("standard input");
    assert!(input.ends_with("/dev/null"), "{input}");
}

#[test]
fn a_commands_exit_status_counts_and_the_rest_is_not_begun() {
    let (issuer, deployer) = deployer("echo \"at $1\"; echo 'no room' >&2; exit 7");
    let error = deploy(&issuer, &deployer).assert_failed();
    assert!(
        error.starts_with("one: ") && error.ends_with(": exit status 7: no room"),
        "{error}"
    );
    let status = deployer.status().expect("a status");
    assert_eq!(
        (&status["status"], &status["error"]),
        (&json!("fail"), &json!(error))
    );
    let runs = std::fs::read_dir(deployer.runs()).expect("the runs").flatten();
    for run in runs {
        let log = std::fs::read_to_string(run.path().join("log.ndjson")).expect("a log");
        assert!(log.contains("at one") && !log.contains("at two"), "{log}");
    }
}

#[test]
fn a_commands_lines_come_while_it_works_and_cannot_act_on_a_terminal() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let go = setup.folder().join("go");
    let script = format!(
        "printf '\\033[31mred\\033[0m\\007 \\302\\233bell\\n10%%\\r20%%\\n'; while [ ! -e {} ]; do sleep 0.05; done; printf 'end\\377'",
        go.display()
    );
    setup.command_script(&script);
    let deployer = setup.start();
    let token = issuer.mint(AUDIENCE);
    let mut call = deployer
        .client()
        .start_post("/deploy", &token, r#"{"version":"1.2.3"}"#);
    call.wait_for("20%");
    std::fs::write(&go, "").expect("letting the command go on");
    let answer = call.finish();
    answer.assert_ok();
    let said = messages(&answer, "update");
    for line in [
        "\u{fffd}[31mred\u{fffd}[0m\u{fffd} \u{fffd}bell",
        "10%",
        "20%",
        "end\u{fffd}",
    ] {
        assert!(said.iter().any(|said| said == line), "{line:?} in {said:?}");
    }
    let body = answer.body();
    assert!(
        !body.contains("\\u00") && !body.chars().any(|c| c.is_control() && c != '\n'),
        "{body}"
    );
}

#[test]
fn the_lines_of_a_command_are_a_contract() {
    let (issuer, deployer) = deployer("echo \"replaced $1 by $DEPLOYER_IMAGE_REF\"");
    let answer = deploy(&issuer, &deployer);
    let program = deployer.folder().join("command").display().to_string();
    wire::assert_lines("deploy-command", &answer, &[(&program, "PROGRAM")]);
}

#[test]
fn with_pull_on_the_image_is_here_and_tagged_before_the_command_runs() {
    let host = Host::docker_with(|setup| {
        setup
            .command_script("docker image inspect --format \"found {{.Id}}\" \"$DEPLOYER_IMAGE_REF\"")
            .set("DEPLOYER_PULL", "on");
        let word = setup
            .setting("DEPLOYER_CONTAINERS")
            .split('=')
            .next()
            .map(str::to_owned);
        setup.set("DEPLOYER_CONTAINERS", word.expect("a name"));
    });
    let before = id_of(&host.name);
    let answer = host.deploy("2.0.0");
    answer.assert_ok();
    let image = image_id(&format!("{}:2.0.0", host.registry.image())).expect("the pulled image");
    assert!(
        messages(&answer, "update").contains(&format!("found {image}")),
        "{answer:#?}"
    );
    assert_eq!(
        image_id(&format!("{}:latest", host.registry.image())),
        Some(image)
    );
    assert_eq!(id_of(&host.name), before, "the rest is the command's own affair");
    let phases = ["queued", "preflight", "pull", "verify", "tag", "update"];
    assert_eq!(answer.phases(), phases);
}
