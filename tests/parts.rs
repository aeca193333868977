//! [parts] The stand-ins behave as the real things were measured to, or every other promise rests on sand.

use crate::support::docker::{Containers, docker, inspect, try_docker};
use crate::support::images::Image;
use crate::support::oidc::{Issuer, KeySet, OldKey, REQUEST_TOKEN};
use crate::support::process::{installed, output_of, run, text};
use crate::support::registry::{Registry, refusing};
use crate::support::template::Unraid;
use crate::support::{free_port, unique, wait_until};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

fn fetch(url: &str) -> (String, String) {
    let output = output_of(
        installed("curl", "curl").args(["-s", "-m", "5", "-w", "\n%{http_code}", url]),
        b"",
    );
    let said = text(&output.stdout);
    let (body, status) = said.rsplit_once('\n').expect("curl writes the status last");
    (status.to_string(), body.to_string())
}

fn version_at(port: u16) -> Option<String> {
    let (_, body) = fetch(&format!("http://127.0.0.1:{port}/api/health"));
    let health: Value = serde_json::from_str(&body).ok()?;
    Some(health["version"].as_str()?.to_string())
}

fn set_of(issuer: &Issuer) -> Vec<Value> {
    let (_, body) = fetch(&issuer.jwks_url());
    serde_json::from_str::<Value>(&body).expect("a key set is JSON")["keys"]
        .as_array()
        .expect("keys")
        .clone()
}

#[test]
fn an_image_goes_through_the_registry_and_runs_as_its_version() {
    let registry = Registry::start();
    let reference = format!("{}:1.2.3", registry.image());
    let id = Image::of("1.2.3").with_healthcheck().push(&registry.image());
    let (name, port) = (unique("pulled"), free_port());
    let containers = Containers::named(&name);
    docker(&[
        "run",
        "-d",
        "--name",
        &name,
        "-p",
        &format!("127.0.0.1:{port}:8000"),
        &reference,
    ]);
    wait_until("the application answers", Duration::from_secs(10), || {
        version_at(port).as_deref() == Some("1.2.3")
    });
    assert_eq!(inspect(&name).expect("a container")["Image"], id);
    wait_until("it is healthy", Duration::from_secs(10), || {
        inspect(&name).expect("a container")["State"]["Health"]["Status"] == "healthy"
    });
    drop(containers);
    assert!(inspect(&name).is_none());
    drop(registry);
    assert!(!try_docker(&["image", "inspect", &reference]).status.success());
}

#[test]
fn a_registry_that_refuses_makes_docker_say_so() {
    let image = refusing(429);
    let output = try_docker(&["pull", &format!("{image}:1.0.0")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("toomanyrequests"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_issuer_gives_tokens_to_jobs_only_and_fails_as_told() {
    let issuer = Issuer::start();
    let url = format!("{}&audience=engram%2Ddeploy", issuer.token_url());
    assert_eq!(fetch(&url).0, "401");
    let authorization = format!("Authorization: bearer {REQUEST_TOKEN}");
    let answer: Value = serde_json::from_str(&run(Command::new("curl").args([
        "-s",
        "-H",
        &authorization,
        &url,
    ])))
    .expect("the answer is JSON");
    assert_eq!(answer["value"].as_str().expect("a token").split('.').count(), 3);

    let before = set_of(&issuer);
    assert_eq!((before.len(), issuer.fetches()), (1, 1));
    issuer.rotate(OldKey::Kept);
    assert_eq!(set_of(&issuer)[1..], before);
    issuer.rotate(OldKey::Withdrawn);
    assert_eq!(set_of(&issuer).len(), 1);
    issuer.serve_set(KeySet::Empty);
    assert_eq!(set_of(&issuer).len(), 0);
    issuer.fail(503, 1);
    assert_eq!(fetch(&issuer.jwks_url()).0, "503");
    assert_eq!(fetch(&issuer.jwks_url()).0, "200");
}

/// A template for version 2.0.0 and a running 1.0.0, both images local, nothing in any registry.
struct Updated {
    unraid: Unraid,
    name: String,
    port: u16,
    _containers: Containers,
    registry: Registry,
}

impl Updated {
    fn new() -> Updated {
        let (registry, unraid) = (Registry::start(), Unraid::new());
        let image = registry.image();
        Image::of("1.0.0").import(&image);
        Image::of("2.0.0").import(&image);
        let (name, port) = (unique("unraid"), free_port());
        let containers = Containers::named(&name);
        docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "-p",
            &format!("127.0.0.1:{port}:8000"),
            &format!("{image}:1.0.0"),
        ]);
        unraid.template(&name, &format!("{image}:2.0.0"), port);
        Updated {
            unraid,
            name,
            port,
            registry,
            _containers: containers,
        }
    }

    /// Runs the stand-in with the empty environment that it gets from the daemon.
    fn update(&self, arguments: &[&str]) {
        let output = output_of(
            Command::new(self.unraid.update_container())
                .args(arguments)
                .env_clear(),
            b"",
        );
        let said = (output.status.code(), output.stdout.len(), output.stderr.len());
        assert_eq!(said, (Some(0), 0, 0), "update_container says nothing, ever");
    }

    fn state(&self) -> Option<String> {
        Some(inspect(&self.name)?["State"]["Status"].as_str()?.to_string())
    }
}

#[test]
fn update_container_replaces_a_running_container_by_its_template() {
    let host = Updated::new();
    host.update(&[&host.name]);
    wait_until("version 2.0.0", Duration::from_secs(10), || {
        version_at(host.port).as_deref() == Some("2.0.0")
    });
    let container = inspect(&host.name).expect("a container");
    assert_eq!(container["Config"]["Labels"]["engram.note"], "two words");
    let environment = container["Config"]["Env"].as_array().expect("an environment");
    assert!(
        environment.contains(&Value::from("GREETING=a & b")),
        "{environment:?}"
    );
    host.update(&["nobody-of-that-name"]);
    assert_eq!(host.state().as_deref(), Some("running"));
}

#[test]
fn update_container_leaves_nothing_when_the_image_is_missing() {
    let host = Updated::new();
    host.unraid
        .template(&host.name, &format!("{}:9.9.9", host.registry.image()), host.port);
    host.update(&[&host.name]);
    assert_eq!(host.state(), None);
}

#[test]
fn update_container_starts_only_what_ran_before_unless_it_is_told_to() {
    let host = Updated::new();
    docker(&["rm", "-f", &host.name]);
    host.update(&[&host.name]);
    assert_eq!(host.state().as_deref(), Some("created"));
    host.update(&[&host.name, "ca_docker_run_override"]);
    assert_eq!(host.state().as_deref(), Some("running"));
    assert_eq!(host.unraid.calls().len(), 2);
}

#[test]
fn update_container_takes_the_first_template_of_a_name_wherever_it_is() {
    let host = Updated::new();
    let other = host.unraid.read(&host.name).replace(":2.0.0<", ":1.0.0<");
    let templates = host.unraid.templates();
    std::fs::write(templates.join(".hidden.xml"), &other).expect("a hidden template");
    std::fs::write(templates.join(format!("a-{}.xml.bak", host.name)), &other).expect("a backup");
    host.update(&[&host.name]);
    wait_until("version 2.0.0", Duration::from_secs(10), || {
        version_at(host.port).as_deref() == Some("2.0.0")
    });
    std::fs::create_dir(templates.join("bk")).expect("a subfolder");
    std::fs::write(templates.join("bk/a.xml"), &other).expect("another template of the name");
    host.update(&[&host.name]);
    wait_until("version 1.0.0", Duration::from_secs(10), || {
        version_at(host.port).as_deref() == Some("1.0.0")
    });
}

#[test]
fn update_container_goes_wrong_as_it_is_told() {
    let host = Updated::new();
    host.unraid.behave("nothing");
    host.update(&[&host.name]);
    assert_eq!(version_at(host.port).as_deref(), Some("1.0.0"));
    host.unraid.behave("not-started");
    host.update(&[&host.name]);
    assert_eq!(host.state().as_deref(), Some("created"));
    host.unraid.behave("remove-only");
    host.update(&[&host.name]);
    assert_eq!(host.state(), None);
}
