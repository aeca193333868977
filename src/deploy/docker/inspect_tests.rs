use super::*;
use serde_json::{Value, json};

fn id() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

fn container(state: Value) -> Container {
    serde_json::from_value(json!({
        "Id": "3f2a", "Name": "/app", "Image": id(), "RestartCount": 2, "State": state,
        "Config": {"Image": "x/y:1", "Labels": null},
        "HostConfig": {"NetworkMode": "default", "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
        "NetworkSettings": {"Networks": {"bridge": {"x": 1}}}, "Mounts": [],
    }))
    .unwrap()
}

#[test]
fn a_container_without_a_healthcheck_has_no_health() {
    let seen = container(json!({"Status": "running", "Running": true}));
    assert!(seen.health().is_none() && seen.is_running());
    assert_eq!(seen.networks().into_iter().collect::<Vec<_>>(), ["bridge"]);
    assert_eq!(
        (seen.network_mode(), seen.restart_policy().as_str()),
        ("bridge", "on-failure:3")
    );
    assert!(seen.name() == "app" && seen.label("a").is_none());
}

#[test]
fn the_last_probe_is_one_line() {
    let health = json!({"Status": "unhealthy", "Log": [{"Output": "a"}, {"Output": "b\n c"}]});
    let seen = container(json!({"Status": "running", "Health": health}));
    assert_eq!(seen.health(), Some(("unhealthy", "b c".to_owned())));
    let seen = container(json!({"Status": "running", "Health": {"Status": "none"}}));
    assert_eq!(seen.health(), None);
}

#[test]
fn an_alias_on_every_network_of_its_own_keeps_the_name() {
    let on = |networks: Value| {
        let mut seen = container(json!({"Status": "running"}));
        seen.rest["NetworkSettings"]["Networks"] = networks;
        seen.networks_without_alias("app").is_empty()
    };
    assert!(on(json!({"bridge": {"Aliases": null}})) && on(json!({})));
    assert!(on(json!({"a": {"Aliases": ["app", "3f2a"]}, "host": {}})));
    assert!(!on(
        json!({"a": {"Aliases": ["app"]}, "b": {"Aliases": ["application"]}})
    ));
}

#[test]
fn only_running_is_running() {
    for word in [
        "created",
        "paused",
        "restarting",
        "removing",
        "exited",
        "dead",
        "melted",
    ] {
        assert!(
            !container(json!({"Status": word, "Running": true})).is_running(),
            "{word}"
        );
    }
}

#[test]
fn how_it_is_can_be_read() {
    let seen = container(json!({"Status": "restarting", "ExitCode": 3}));
    assert_eq!(
        seen.describe(),
        "restarting after exit status 3, restarted 2 times"
    );
    let seen = container(json!({"Status": "created", "Error": "port is already allocated"}));
    assert_eq!(
        seen.describe(),
        "created, restarted 2 times, port is already allocated"
    );
}

#[test]
fn an_image_knows_its_digests_and_its_commit() {
    let image = |value: Value| serde_json::from_value::<Image>(value);
    let digest = format!("x/y@{}", id());
    let labels = json!({"org.opencontainers.image.revision": "abc1234"});
    let full = image(json!({"Id": id(), "RepoDigests": [digest], "Config": {"Labels": labels}})).unwrap();
    assert!(full.has_digest(&id()) && !full.has_digest("sha256:ab"));
    assert_eq!(full.revision(), Some("abc1234"));
    let bare = image(json!({"Id": id(), "RepoDigests": null, "Config": {"Labels": null}})).unwrap();
    assert!(!bare.has_digest(&id()) && bare.revision().is_none());
    assert!(image(json!({"Id": "sha256:ab"})).is_err());
    assert_eq!(full.id.to_string(), "sha256:abababababab");
}
