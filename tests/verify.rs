//! [verify] Before anything is touched: room, origin, signature, order; and what is there already is left alone.

use std::fs;

use serde_json::{Value, json};

use crate::support::curl::Answer;
use crate::support::docker::{Containers, docker, inspect};
use crate::support::host::{BACKENDS, Host, declaration};
use crate::support::images::Image;
use crate::support::unique;

const LABEL: &str = "org.opencontainers.image.revision";
const COMMIT: &str = "abc1234abc1234abc1234abc1234abc1234abc12";
const OTHER: &str = "fff0000fff0000fff0000fff0000fff0000fff00";

#[track_caller]
fn id_of(host: &Host) -> String {
    let container = inspect(&host.name).expect("the container");
    container["Id"].as_str().expect("an id").to_owned()
}

fn deploy(host: &Host, body: Value) -> Answer {
    host.start_deploy(body).finish()
}

/// Says whether a run touched nothing: the container is the one from before, and `latest` does not exist.
#[track_caller]
fn assert_untouched(host: &Host, before: &str) {
    assert_eq!(id_of(host), before);
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
    assert!(!tags(host).contains(&"latest".to_owned()));
}

/// The tags of the application on this host, in order.
fn tags(host: &Host) -> Vec<String> {
    let list = docker(&["images", "--format", "{{.Tag}}", &host.registry.image()]);
    let mut tags: Vec<_> = list.lines().map(str::to_owned).collect();
    tags.sort_unstable();
    tags
}

#[test]
fn without_enough_room_nothing_is_even_pulled() {
    let host = Host::docker_with(|setup| {
        setup.set("DEPLOYER_MIN_FREE", "1000000TiB");
    });
    let before = id_of(&host);
    let answer = host.deploy("2.0.0");
    let error = answer.assert_failed();
    assert!(
        error.contains("are free in /") && error.contains("DEPLOYER_MIN_FREE"),
        "{error}"
    );
    assert_eq!(answer.phases(), ["queued", "preflight"]);
    assert_untouched(&host, &before);
    // An image that is here already needs no room.
    Image::of("1.5.0").import(&host.registry.image());
    let error = host.deploy("1.5.0").assert_failed();
    assert!(error.starts_with("pull failed"), "{error}");
}

#[test]
fn an_image_of_another_commit_is_warned_of_and_refused_where_that_is_asked_for() {
    let push = |host: &Host| {
        Image::of("2.1.0")
            .labelled(LABEL, COMMIT)
            .push(&host.registry.image());
    };
    let lenient = Host::docker();
    push(&lenient);
    let answer = deploy(&lenient, json!({"version": "2.1.0", "sha": &OTHER[..7]}));
    answer.assert_ok();
    let warning = format!("warning: the image's label {LABEL} says {COMMIT}, the request says fff0000");
    assert!(answer.body().contains(&warning), "{answer:#?}");

    let strict = Host::docker_with(|setup| {
        setup.set("DEPLOYER_REQUIRE_REVISION", "on");
    });
    push(&strict);
    let before = id_of(&strict);
    for (version, asked, token, why) in [
        ("2.1.0", OTHER, COMMIT, "the request says fff0000"),
        ("2.1.0", COMMIT, OTHER, "the token says fff0000"),
        ("2.0.0", COMMIT, COMMIT, "has no label"),
    ] {
        strict.issuer.claim("sha", token);
        let error = deploy(&strict, json!({"version": version, "sha": asked})).assert_failed();
        assert!(error.contains(why), "{error}");
        assert_untouched(&strict, &before);
    }
    strict.issuer.claim("sha", COMMIT);
    deploy(&strict, json!({"version": "2.1.0", "sha": &COMMIT[..7]})).assert_ok();
}

#[test]
fn a_signature_is_asked_for_by_digest_and_whatever_is_not_a_yes_refuses() {
    for host in BACKENDS {
        let host = host(&|setup| {
            let cosign = setup.executable(
                "cosign",
                r#"printf '%s\n' "$@" >"$(dirname "$0")/asked"; echo 'Error: no signatures found' >&2
                exit "$(cat "$(dirname "$0")/verdict")""#,
            );
            setup.set("DEPLOYER_COSIGN_PATH", cosign);
            setup.set(
                "DEPLOYER_COSIGN_IDENTITY",
                "https://github.com/a/b/x.yml@refs/heads/main",
            );
            setup.set("DEPLOYER_COSIGN_ISSUER", "https://token.example.org");
        });
        let verdict = |code: &str| host.deployer.folder().write("verdict", code);
        let before = id_of(&host);
        verdict("1");
        let error = host.deploy("2.0.0").assert_failed();
        let image = host.registry.image();
        let expected = format!("the signature of {image}:2.0.0 was not verified: Error: no signatures found");
        assert_eq!(error, expected);
        assert_untouched(&host, &before);
        verdict("0");
        let answer = host.deploy("2.0.0");
        answer.assert_ok();
        let digest = answer.outcome()["digest"].as_str().expect("a digest").to_owned();
        let asked = fs::read_to_string(host.deployer.folder().join("asked")).expect("what was asked");
        let asked: Vec<_> = asked.lines().map(str::to_owned).collect();
        let image = format!("{image}@{digest}");
        let expected = [
            "verify",
            "--certificate-identity",
            "https://github.com/a/b/x.yml@refs/heads/main",
            "--certificate-oidc-issuer",
            "https://token.example.org",
            &image,
        ];
        assert_eq!(asked, expected);
    }
}

#[test]
fn what_is_there_already_is_left_alone_unless_force_is_asked_for() {
    for host in BACKENDS {
        let host = host(&|_| ());
        assert_eq!(host.deploy("2.0.0").assert_ok().outcome()["changed"], true);
        let first = id_of(&host);
        let again = host.deploy("2.0.0");
        assert_eq!(again.assert_ok().outcome()["changed"], false);
        assert!(again.body().contains("already and is healthy"), "{again:#?}");
        assert_eq!(id_of(&host), first);
        let forced = deploy(&host, json!({"version": "2.0.0", "force": true}));
        assert_eq!(forced.assert_ok().outcome()["changed"], true);
        let second = id_of(&host);
        assert_ne!(second, first);
        let by_hand = host.deployer.run(&["deploy", "2.0.0", "--force", "--json"]);
        assert!(by_hand.status.success(), "{by_hand:?}");
        assert_ne!(id_of(&host), second);
    }
}

#[test]
fn a_container_that_is_not_as_it_should_be_is_replaced_though_its_image_is_right() {
    for host in BACKENDS {
        let host = host(&|_| ());
        host.deploy("2.0.0").assert_ok();
        docker(&["stop", &host.name]);
        let answer = host.deploy("2.0.0");
        assert_eq!(answer.assert_ok().outcome()["changed"], true);
        assert!(
            answer.body().contains("has this image already, but is exited"),
            "{answer:#?}"
        );
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
        let before = id_of(&host);
        match &host.unraid {
            Some(unraid) => {
                unraid.template(&host.name, &format!("{}:1.9.0", host.registry.image()), host.port);
            }
            None => {
                let mut declared = declaration(host.port);
                declared["labels"] = json!({"a": "b"});
                let file = format!("containers/{}.json", host.name);
                host.deployer.folder().write(&file, declared.to_string());
            }
        }
        assert_eq!(host.deploy("2.0.0").assert_ok().outcome()["changed"], true);
        assert_ne!(id_of(&host), before);
    }
}

#[test]
fn a_downgrade_is_said_to_be_one_and_refused_where_it_is_not_allowed() {
    for host in BACKENDS {
        let host = host(&|_| ());
        Image::of("0.9.0").push(&host.registry.image());
        let answer = host.deploy("0.9.0");
        answer.assert_ok();
        let said = format!("{}: 1.0.0 is live, so 0.9.0 is a downgrade", host.name);
        assert!(answer.body().contains(&said), "{answer:#?}");
    }
    let host = Host::unraid_with(|setup| {
        setup.set("DEPLOYER_ALLOW_DOWNGRADE", "no");
    });
    Image::of("0.9.0").push(&host.registry.image());
    let before = id_of(&host);
    let answer = host.deploy("0.9.0");
    let error = answer.assert_failed();
    assert!(
        error.contains("1.0.0 is live") && error.contains("DEPLOYER_ALLOW_DOWNGRADE=no"),
        "{error}"
    );
    assert_eq!(answer.phases(), ["queued", "preflight"]);
    assert_untouched(&host, &before);
    host.deploy("2.0.0").assert_ok();
}

#[test]
fn a_tag_that_is_moved_after_the_pull_changes_nothing() {
    let [docker, unraid] = BACKENDS;
    for (host, moment) in [
        (docker, "image"),
        (docker, "create"),
        (unraid, "image"),
        (unraid, "tag"),
    ] {
        let host = host(&|setup| {
            let image = setup.setting("DEPLOYER_IMAGE").to_owned();
            let script = format!(
                "if [ \"$1\" = {moment} ] && [ \"${{3#{image}:2}}\" = \"$3\" ]; then docker tag {image}:1.0.0 {image}:2.0.0; fi\n\
                 exec docker \"$@\""
            );
            let client = setup.executable("moving-docker", &script);
            setup.set("DEPLOYER_DOCKER_PATH", client);
        });
        let answer = host.deploy("2.0.0");
        answer.assert_ok();
        let container = inspect(&host.name).expect("the container");
        assert_eq!(container["Image"], answer.outcome()["image"]);
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
        if host.unraid.is_some() {
            assert!(
                answer.body().contains("was moved by somebody else"),
                "{answer:#?}"
            );
        }
    }
}

#[test]
fn old_versions_go_after_a_good_deploy_and_nothing_that_is_in_use_or_may_be_gone_back_to() {
    for host in BACKENDS {
        let host = host(&|setup| {
            setup.set("DEPLOYER_KEEP_IMAGES", "2");
        });
        let image = host.registry.image();
        for version in ["0.7.0", "0.8.0", "0.9.0", "1.5.0"] {
            Image::of(version).import(&image);
        }
        docker(&["tag", &format!("{image}:0.9.0"), &format!("{image}:nightly")]);
        let (name, old) = (unique("old"), format!("{image}:0.7.0"));
        let _old = Containers::named(&name);
        docker(&["create", "--name", &name, &old]);
        assert!(host.deploy("9.9.9").assert_failed().contains("no such image"));
        assert!(
            tags(&host).contains(&"0.8.0".to_owned()),
            "a failed deploy removes nothing"
        );
        let answer = host.deploy("2.0.0");
        answer.assert_ok();
        // 2.0.0 and 1.5.0 are the two to keep; 1.0.0 was live before, 0.7.0 has a container, 0.9.0 another name.
        assert_eq!(
            tags(&host),
            ["0.7.0", "0.9.0", "1.0.0", "1.5.0", "2.0.0", "latest", "nightly"]
        );
        assert!(
            answer
                .body()
                .contains(&format!("removed the image {image}:0.8.0")),
            "{answer:#?}"
        );
    }
}
