use super::*;
use crate::config::deploy::USUAL_PATH;
use crate::config::table::{self, Preset};
use crate::config::{Backend, Container, Expected, HealthExpect, Listen, Revision, warnings};
use std::path::PathBuf;
use std::time::Duration;

/// The `/deploy` endpoint, by its own settings alone.
pub(in crate::config) fn made(settings: &Settings, by_github: bool) -> Result<Endpoint, Vec<String>> {
    let mut r = Reader::new(settings);
    let endpoint = endpoint(&mut r, by_github);
    r.finish(endpoint)
}

/// What a host of the Go daemon has in its environment, and no more.
pub(in crate::config) fn drop_in() -> Settings {
    [
        ("DEPLOYER_CERT_FILE", "/etc/engram-deployer/cert.pem"),
        ("DEPLOYER_KEY_FILE", "/etc/engram-deployer/key.pem"),
        ("DEPLOYER_REPOSITORY", "acme/app"),
        (
            "DEPLOYER_WORKFLOW_REF",
            "acme/app/.github/workflows/deploy.yml@refs/heads/main",
        ),
        ("DEPLOYER_ALLOWED_IPS", "10.0.0.0/8"),
    ]
    .into_iter()
    .fold(Settings::default(), |settings, (name, value)| {
        settings.with(name, value)
    })
}

fn with(changes: &[(&str, &str)]) -> Settings {
    changes
        .iter()
        .fold(drop_in(), |settings, (name, value)| settings.with(name, value))
}

fn good(changes: &[(&str, &str)]) -> Config {
    Config::from_settings(&with(changes)).unwrap_or_else(|all| panic!("{changes:?}: {all:?}"))
}

fn complaints(settings: &Settings) -> Vec<String> {
    Config::from_settings(settings).err().unwrap_or_default()
}

/// What is complained of, sorted.
fn names(complaints: &[String]) -> Vec<&str> {
    let names = complaints
        .iter()
        .map(|line| line.split(' ').next().unwrap_or_default());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn the_defaults_are_those_of_the_daemon_we_replace() {
    let config = good(&[]);
    assert_eq!(config.listen, Listen::Everywhere(8443));
    assert_eq!(config.issuer.name, "https://token.actions.githubusercontent.com");
    assert_eq!(
        config.issuer.jwks_url,
        "https://token.actions.githubusercontent.com/.well-known/jwks"
    );
    assert_eq!(config.issuer.ca_file, None);
    let endpoint = config.endpoint_named("deploy").expect("the one endpoint");
    assert_eq!(endpoint.audience, "engram-deploy");
    assert_eq!(endpoint.pins.len(), 3);
    let reference = endpoint.pins_of("ref").next().expect("a pin on the reference");
    assert_eq!(
        reference.expected,
        Expected::AnyOf(vec!["refs/heads/main".into()])
    );
    assert_eq!(config.status_allowed, Sources::everyone());
    assert_eq!(config.front_user, "65521");
    assert_eq!(config.fetch_user, "65522");
    assert_eq!(config.places.state, PathBuf::from("/var/lib/engram-deployer"));
    assert_eq!(config.places.runs, PathBuf::from("/var/lib/engram-deployer/runs"));
    assert_eq!(config.places.runtime, PathBuf::from("/run/engram-deployer"));
    assert_eq!(config.log, "info");
    assert_eq!(config.notify, None);
    assert_eq!(config.deploy().image, "ghcr.io/engram-app/engram");
    let container = |name: &str, port: u16| Container {
        name: name.into(),
        health_url: Some(format!("http://localhost:{port}/api/health")),
    };
    assert_eq!(
        config.deploy().containers,
        [container("engram-saas", 8000), container("engram-selfhost", 8001)]
    );
    let Backend::Unraid {
        templates,
        script: update_container,
    } = &config.deploy().backend
    else {
        panic!("not unraid")
    };
    assert_eq!(
        templates,
        &PathBuf::from("/boot/config/plugins/dockerMan/templates-user")
    );
    let script = "/usr/local/emhttp/plugins/dynamix.docker.manager/scripts/update_container";
    assert_eq!(update_container, &PathBuf::from(script));
    assert_eq!(config.deploy().docker, PathBuf::from("docker"));
    assert_eq!(config.deploy().poll_interval, Duration::from_secs(2));
    assert_eq!(config.deploy().health_max_wait, Duration::from_secs(60));
    assert_eq!(config.deploy().steady, Duration::from_secs(10));
    assert_eq!(config.deploy().health_expect, HealthExpect::Version);
    assert_eq!(config.deploy().update_max_wait, Duration::from_secs(300));
    assert!(config.deploy().rollback);
    assert_eq!(warnings(&drop_in()), [""; 0]);
}

#[test]
fn an_empty_environment_is_told_all_that_is_required_at_once() {
    let found = complaints(&Settings::default());
    let required = table::variables().filter(|(_, preset)| *preset == Preset::Required);
    let mut required: Vec<&str> = required.map(|(name, _)| *name).collect();
    required.sort_unstable();
    assert_eq!(names(&found), required);
    assert!(
        found
            .iter()
            .all(|line| line.contains(" is not set; it should be "))
    );
}

#[test]
fn every_complaint_of_every_section_is_reported_at_once() {
    let bad = [
        ("DEPLOYER_ADDR", "8443"),
        ("DEPLOYER_CERT_FILE", "cert.pem"),
        ("DEPLOYER_JWKS_URL", "http://example.com/jwks"),
        ("DEPLOYER_CA_FILE", "ca.pem"),
        ("DEPLOYER_REPOSITORY", "acme/*"),
        ("DEPLOYER_ALLOWED_IPS", "10.0.0.5/8"),
        ("DEPLOYER_STATUS_ALLOWED_IPS", "x"),
        ("DEPLOYER_USER", "root"),
        ("DEPLOYER_MAX_SESSIONS", "0"),
        ("DEPLOYER_MAX_FOLLOWERS", "4097"),
        ("DEPLOYER_QUEUE_MAX", "0"),
        ("DEPLOYER_RUN_MAX", "25h"),
        ("DEPLOYER_STATE_DIR", "state"),
        ("DEPLOYER_LOG", "in\nfo"),
        ("DEPLOYER_IMAGE", "engram:latest"),
        ("DEPLOYER_CONTAINERS", "a"),
        ("DEPLOYER_BACKEND", "podman"),
        ("DEPLOYER_PULL", "yes"),
        ("DEPLOYER_DOCKER_PATH", "./docker"),
        ("DEPLOYER_HEALTH_POLL_INTERVAL", "2"),
        ("DEPLOYER_HEALTH_EXPECT", "ok"),
    ];
    let found = complaints(&with(&bad));
    assert_eq!(found.len(), bad.len());
    for (name, value) in bad {
        let begin = crate::event::harmless(&format!("{name} is `{value}`; it should be "));
        assert!(
            found.iter().any(|line| line.starts_with(&begin)),
            "{begin}: {found:?}"
        );
    }
}

#[test]
fn one_wrong_setting_is_one_complaint() {
    for (name, value) in [
        ("DEPLOYER_FETCH_USER", "65521"),
        ("DEPLOYER_ISSUER", "github"),
        ("DEPLOYER_AUDIENCE", "a*"),
        ("DEPLOYER_REF", "main"),
        ("DEPLOYER_CLAIMS", "environment"),
        ("DEPLOYER_MAX_SESSIONS_PER_SOURCE", "-1"),
        ("DEPLOYER_QUEUE_MAX_WAIT", "soon"),
        ("DEPLOYER_KEEP_RUNS", "0"),
        ("DEPLOYER_LOG", "warning"),
        ("DEPLOYER_RUNS_DIR", "/var/lib/engram-deployer"),
        ("DEPLOYER_RUNS_DIR", "/run/engram-deployer/public/runs"),
        ("DEPLOYER_RUNTIME_DIR", "/"),
        ("DEPLOYER_TEMPLATE_DIR", "templates"),
        ("DEPLOYER_CONTAINER_DIR", "/etc/../x"),
        ("DEPLOYER_COMMAND_PATH", "deploy.sh"),
        ("DEPLOYER_UPDATE_CONTAINER_PATH", "update_container"),
        ("DEPLOYER_HEALTH_MAX_WAIT", "60"),
        ("DEPLOYER_HEALTH_STEADY", "0"),
        ("DEPLOYER_UPDATE_MAX_WAIT", "5 minutes"),
        ("DEPLOYER_ROLLBACK", "yes"),
    ] {
        assert_eq!(names(&complaints(&with(&[(name, value)]))), [name], "{value}");
    }
    let same = [("DEPLOYER_STATE_DIR", "/x"), ("DEPLOYER_RUNTIME_DIR", "/x")];
    assert_eq!(names(&complaints(&with(&same))), ["DEPLOYER_STATE_DIR"]);
    assert_eq!(
        names(&complaints(&with(&[("DEPLOYER_BACKEND", "command")]))),
        ["DEPLOYER_COMMAND_PATH"]
    );
    let elsewhere = [("DEPLOYER_ISSUER", "https://forge.example/api/actions")];
    assert_eq!(names(&complaints(&with(&elsewhere))), ["DEPLOYER_JWKS_URL"]);
}

#[test]
fn each_backend_takes_its_own_settings() {
    let config = good(&[
        ("DEPLOYER_BACKEND", "docker"),
        ("DEPLOYER_CONTAINER_DIR", "/srv/c"),
    ]);
    assert!(
        matches!(&config.deploy().backend, Backend::Docker { declarations } if declarations == &PathBuf::from("/srv/c"))
    );
    let command = [
        ("DEPLOYER_BACKEND", "command"),
        ("DEPLOYER_COMMAND_PATH", "/bin/true"),
    ];
    for (more, expected) in [
        (&[][..], false),
        (&[("DEPLOYER_PULL", "on")][..], true),
        (&[("DEPLOYER_PULL", "")][..], false),
    ] {
        let config = good(&[&command[..], more].concat());
        let Backend::Command { program, pull } = config.deploy().backend.clone() else {
            panic!("not command")
        };
        assert_eq!((program, pull), (PathBuf::from("/bin/true"), expected));
    }
}

#[test]
fn one_source_never_has_more_than_all_together() {
    assert_eq!(
        good(&[("DEPLOYER_MAX_SESSIONS", "8")]).caps.sessions_per_source,
        8
    );
}

#[test]
fn children_find_programs_in_absolute_folders_only() {
    let path = |value: &str| good(&[("PATH", value)]).deploy().environment.clone();
    assert_eq!(
        path("/bin::.:relative:/usr/bin:"),
        [("PATH".to_owned(), "/bin:/usr/bin".to_owned())]
    );
    assert_eq!(path("."), [("PATH".to_owned(), USUAL_PATH.to_owned())]);
    assert_eq!(
        good(&[]).deploy().clone().environment,
        [("PATH".to_owned(), USUAL_PATH.to_owned())]
    );
    let more = good(&[
        ("DOCKER_HOST", "unix:///x.sock"),
        ("HOME", "/root"),
        ("DEPLOYER_LOG", "warn"),
    ])
    .deploy()
    .environment
    .clone();
    let names: Vec<&str> = more.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PATH", "HOME", "DOCKER_HOST"]);
}

/// The sample environment file, with `#` taken from the lines that `keep` keeps.
fn sample(keep: impl Fn(&str) -> bool) -> String {
    let text = include_str!("../../contrib/engram-deployer.env");
    let line = |line: &str| match line
        .strip_prefix('#')
        .filter(|rest| rest.starts_with("DEPLOYER_"))
    {
        Some(rest) if keep(rest.split('=').next().unwrap_or_default()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn is_required(name: &str) -> bool {
    table::preset(name) == Some(Preset::Required)
}

// A build without terraform knows fewer.
#[cfg(feature = "terraform")]
#[test]
fn the_sample_file_names_every_variable_with_its_default_and_no_other() {
    let mut found = Vec::new();
    for line in include_str!("../../contrib/engram-deployer.env").lines() {
        let Some((name, value)) = line
            .strip_prefix("#DEPLOYER_")
            .and_then(|rest| rest.split_once('='))
        else {
            assert!(
                line.is_empty() || line.starts_with("# ") || line == "#",
                "neither comment nor setting: {line}"
            );
            continue;
        };
        let name = format!("DEPLOYER_{name}");
        match table::preset(&name) {
            None => panic!("{name} is in the sample file alone"),
            Some(Preset::Text(text)) => assert_eq!(value, text, "{name}"),
            Some(Preset::Unset) => assert_eq!(value, "", "{name}"),
            Some(Preset::Required) => assert_ne!(value, "", "{name}"),
        }
        found.push(name);
    }
    let known: Vec<&str> = table::variables().map(|(name, _)| *name).collect();
    assert_eq!(found, known);
}

#[test]
fn the_sample_file_is_a_good_configuration_once_the_required_lines_are_uncommented() {
    let settings = Settings::from_env_file(sample(is_required).as_bytes()).expect("a good file");
    let required = Config::from_settings(&settings).unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!(warnings(&settings), [""; 0]);
    let all = Settings::from_env_file(sample(|_| true).as_bytes()).expect("a good file");
    let all = Config::from_settings(&all).unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!(
        format!("{all:?}"),
        format!("{required:?}"),
        "the sample file's values are the defaults"
    );
}

#[test]
fn what_is_checked_before_anything_is_touched_has_careful_defaults() {
    let deploy = good(&[]).deploy().clone();
    assert_eq!(deploy.min_free, 1 << 30);
    assert_eq!(deploy.revision, Revision::Warn);
    assert!(deploy.allow_downgrade);
    assert!(deploy.cosign.is_none() && deploy.login.is_none());
    assert_eq!(deploy.keep_images, 3);
}

#[test]
fn half_a_check_is_no_check_and_is_complained_of() {
    for (set, missing) in [
        (
            &["DEPLOYER_COSIGN_PATH"][..],
            &["DEPLOYER_COSIGN_IDENTITY", "DEPLOYER_COSIGN_ISSUER"][..],
        ),
        (
            &["DEPLOYER_COSIGN_IDENTITY", "DEPLOYER_COSIGN_ISSUER"],
            &["DEPLOYER_COSIGN_PATH"],
        ),
        (
            &["DEPLOYER_REGISTRY_USERNAME"],
            &["DEPLOYER_REGISTRY_PASSWORD_FILE"],
        ),
        (
            &["DEPLOYER_REGISTRY_PASSWORD_FILE"],
            &["DEPLOYER_REGISTRY_USERNAME"],
        ),
    ] {
        let set: Vec<(&str, &str)> = set.iter().map(|name| (*name, "/x")).collect();
        assert_eq!(names(&complaints(&with(&set))), missing);
    }
    let colon = with(&[
        ("DEPLOYER_REGISTRY_USERNAME", "a:b"),
        ("DEPLOYER_REGISTRY_PASSWORD_FILE", "/x"),
    ]);
    assert_eq!(names(&complaints(&colon)), ["DEPLOYER_REGISTRY_USERNAME"]);
}

#[test]
fn an_image_that_is_never_seen_cannot_be_asked_for_its_origin() {
    let command = [
        ("DEPLOYER_BACKEND", "command"),
        ("DEPLOYER_COMMAND_PATH", "/bin/true"),
        ("DEPLOYER_COSIGN_PATH", "/x"),
        ("DEPLOYER_COSIGN_IDENTITY", "i"),
        ("DEPLOYER_COSIGN_ISSUER", "i"),
        ("DEPLOYER_REQUIRE_REVISION", "on"),
    ];
    assert_eq!(
        names(&complaints(&with(&command))),
        ["DEPLOYER_COSIGN_PATH", "DEPLOYER_REQUIRE_REVISION"]
    );
    assert!(Config::from_settings(&with(&[&command[..], &[("DEPLOYER_PULL", "on")]].concat())).is_ok());
}

#[test]
fn the_bounds_that_the_documents_name_are_those_of_the_parser() {
    let mut seen = 0;
    for text in include_str!("../../contrib/settings.txt").split("\n\n").skip(1) {
        let (name, rest) = text.split_once('\n').expect("a name");
        let Some((_, bounds)) = rest.split_once("\ntype: a number from ") else {
            continue;
        };
        let (least, most) = bounds
            .lines()
            .next()
            .and_then(|line| line.split_once(" to "))
            .expect(name);
        let [least, most]: [u32; 2] = [least, most].map(|number| number.parse().expect(name));
        for (number, is_good) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
            let settings = with(&[(name, &number.to_string())]);
            assert_eq!(complaints(&settings).is_empty(), is_good, "{name}={number}");
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
    for (time, is_good) in [("10ms", true), ("24h", true), ("9ms", false), ("24h1ms", false)] {
        let all = include_str!("../../contrib/settings.txt").split("\n\n");
        for text in all.filter(|text| text.contains("\ntype: a duration from 10ms to 24h")) {
            let name = text.lines().next().expect("a name");
            let good = complaints(&with(&[(name, time)])).is_empty();
            assert!(good == is_good || name.contains("_TF_"), "{name}={time}");
        }
    }
}
