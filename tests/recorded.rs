//! [recorded] Going back is to the image that was healthy, whatever its tag names now; and what was healthy and is here
//! needs no registry.

use std::fs;

use serde_json::{Value, json};

use crate::support::docker::{docker, inspect};
use crate::support::host::Host;
use crate::support::images::Image;
use crate::support::process::text;

fn image_of(host: &Host) -> String {
    let seen = inspect(&host.name).expect("a container");
    seen["Image"].as_str().expect("an image").to_owned()
}

/// A host on which 2.0.0 was healthy before 2.1.0, which is live; the image of 2.0.0.
fn host() -> (Host, String) {
    let host = Host::docker();
    host.push("2.1.0", "");
    host.deploy("2.0.0").assert_ok();
    let image = image_of(&host);
    host.deploy("2.1.0").assert_ok();
    (host, image)
}

#[test]
fn a_rollback_runs_what_was_healthy_although_its_tag_was_pushed_anew() {
    let (host, image) = host();
    Image::of("2.0.0")
        .behaving("status=500")
        .push(&host.registry.image());
    let back = host.deployer.run(&["rollback"]);
    assert!(
        back.status.success(),
        "{}{}",
        text(&back.stdout),
        text(&back.stderr)
    );
    assert_eq!(image_of(&host), image);
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
}

#[test]
fn a_rollback_and_a_redeploy_of_what_is_here_need_no_registry() {
    let (mut host, image) = host();
    host.registry.stop();
    let back = host.deployer.run(&["rollback"]);
    assert!(
        back.status.success(),
        "{}{}",
        text(&back.stdout),
        text(&back.stderr)
    );
    assert_eq!(image_of(&host), image);
    let again = host.start_deploy(json!({"version": "2.1.0"})).finish();
    again.assert_ok();
    assert!(
        again.body().contains("is deployed without its registry"),
        "{}",
        again.body()
    );
    let list = fs::read(host.deployer.state().join("healthy.json")).expect("the list");
    let list: Value = serde_json::from_slice(&list).expect("JSON");
    let versions: Vec<_> = list["versions"].as_array().expect("a list").iter().collect();
    assert_eq!(
        (&versions[0]["version"], &versions[1]["version"]),
        (&json!("2.1.0"), &json!("2.0.0"))
    );
    assert_eq!(versions[1]["image"], image.as_str());
    assert!(
        versions[1]["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:"))
    );
}

#[test]
fn a_tag_that_the_registry_does_not_know_any_more_is_no_absence() {
    let (host, _) = host();
    let error = host.deploy("2.2.0").assert_failed();
    assert!(error.contains("no such image or tag"), "{error}");
}

#[test]
fn an_image_that_is_gone_comes_back_by_its_digest() {
    let (host, image) = host();
    let reference = format!("{}:2.0.0", host.registry.image());
    let remove = || {
        docker(&["rmi", "-f", &image]);
    };
    remove();
    Image::of("2.0.0")
        .behaving("status=500")
        .push(&host.registry.image());
    docker(&["rmi", "-f", &reference]);
    let back = host.deployer.run(&["rollback"]);
    assert!(
        back.status.success(),
        "{}{}",
        text(&back.stdout),
        text(&back.stderr)
    );
    assert_eq!(image_of(&host), image);
    assert_eq!(
        docker(&["image", "inspect", "-f", "{{.Id}}", &reference]),
        image,
        "its tag names it again"
    );
}
