//! [recorded] Going back is to the image that was healthy, whatever its tag names now; and what was healthy and is here
//! needs no registry.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deployer::Setup;
use crate::support::docker::{docker, inspect, try_docker};
use crate::support::host::{BACKENDS, Host, Made};
use crate::support::images::Image;
use crate::support::process::text;
use crate::support::wait_until;

fn image_of(host: &Host) -> String {
    let seen = inspect(&host.name).expect("a container");
    seen["Image"].as_str().expect("an image").to_owned()
}

/// A host on which 2.0.0 was healthy before 2.1.0, which is live; the image of 2.0.0.
fn host(made: Made, change: &dyn Fn(&mut Setup)) -> (Host, String) {
    let host = made(change);
    host.push("2.1.0", "");
    host.deploy("2.0.0").assert_ok();
    let image = image_of(&host);
    host.deploy("2.1.0").assert_ok();
    (host, image)
}

/// Pushes another image as this version; what it does, in the words of `app.rs`.
fn push_anew(host: &Host, version: &str, words: &str) -> String {
    let image = Image::of(version).behaving(words).labelled("pushed", "anew");
    image.push(&host.registry.image())
}

/// Runs `rollback`, which must succeed; what it said.
#[track_caller]
fn roll_back(host: &Host, options: &[&str]) -> String {
    let back = host.deployer.run(&[&["rollback"], options].concat());
    let said = text(&back.stdout) + &text(&back.stderr);
    assert!(back.status.success(), "{said}");
    said
}

/// Runs `rollback`, which must be refused and leave 2.1.0 as it is; what it said.
#[track_caller]
fn assert_not_rolled_back(host: &Host) -> String {
    let before = inspect(&host.name).expect("a container")["Id"].clone();
    let back = host.deployer.run(&["rollback"]);
    let said = text(&back.stdout) + &text(&back.stderr);
    assert!(!back.status.success(), "{said}");
    assert_eq!(
        inspect(&host.name).expect("the container")["Id"],
        before,
        "{said}"
    );
    assert_eq!(host.live_version().as_deref(), Some("2.1.0"));
    said
}

fn is_here(image: &str) -> bool {
    try_docker(&["image", "inspect", image]).status.success()
}

/// What the state folder has of the versions that were healthy, after `change`.
fn healthy(host: &Host, change: impl FnOnce(&mut Value)) -> Value {
    let path = host.deployer.state().join("healthy.json");
    let mut list: Value = serde_json::from_slice(&fs::read(&path).expect("the list")).expect("JSON");
    change(&mut list);
    fs::write(&path, list.to_string()).expect("writing the list");
    list
}

#[test]
fn a_rollback_runs_what_was_healthy_although_its_tag_was_pushed_anew() {
    for made in BACKENDS {
        let (host, image) = host(made, &|_| ());
        push_anew(&host, "2.0.0", "status=500");
        roll_back(&host, &[]);
        assert_eq!(image_of(&host), image);
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
        // What the tag names now was here as well: it failed, and 2.1.0 was put back.
        host.deploy("2.1.0").assert_ok();
        host.deploy("2.0.0").assert_failed();
        roll_back(&host, &[]);
        assert_eq!(image_of(&host), image);
        let tag = format!("{}:2.0.0", host.registry.image());
        assert_eq!(docker(&["image", "inspect", "-f", "{{.Id}}", &tag]), image);
    }
}

#[test]
fn a_rollback_and_a_redeploy_of_what_is_here_need_no_registry() {
    for made in BACKENDS {
        let (mut host, image) = host(made, &|_| ());
        host.registry.stop();
        roll_back(&host, &[]);
        assert_eq!(image_of(&host), image);
        let again = host.start_deploy(json!({"version": "2.1.0"})).finish();
        again.assert_ok();
        let said = "is deployed without its registry";
        assert!(again.body().contains(said), "{}", again.body());
        let list = healthy(&host, |_| ());
        let version = |place: usize| &list["versions"][place];
        assert_eq!(version(0)["version"], "2.1.0");
        assert_eq!(version(1)["version"], "2.0.0");
        assert_eq!(version(1)["image"], image.as_str());
        let digest = version(1)["digest"].as_str();
        assert!(digest.is_some_and(|digest| digest.starts_with("sha256:")));
        let live = host.deploy("2.1.0");
        assert_eq!(live.assert_ok().outcome()["changed"], false);
    }
}

#[test]
fn what_was_healthy_is_remembered_where_the_run_folders_are_gone() {
    for made in BACKENDS {
        let (mut host, image) = host(made, &|_| ());
        host.deployer.stop();
        fs::remove_dir_all(host.deployer.runs()).expect("removing the run folders");
        fs::create_dir(host.deployer.runs()).expect("their folder");
        host.deployer.start_again();
        host.registry.stop();
        roll_back(&host, &[]);
        assert_eq!(image_of(&host), image);
    }
}

#[test]
fn a_container_that_is_made_again_is_of_the_image_that_it_was() {
    for made in BACKENDS {
        let host = made(&|setup| {
            setup.set("DEPLOYER_HEALTH_MAX_WAIT", "6s");
        });
        host.deploy("2.0.0").assert_ok();
        let image = image_of(&host);
        push_anew(&host, "2.0.0", "");
        host.push("2.1.0", "status=500");
        let template = |host: &Host| {
            let unraid = host.unraid.as_ref()?;
            let file = unraid.templates().join(format!("my-{}.xml", host.name));
            Some(fs::read_to_string(file).expect("the template"))
        };
        let before = template(&host);
        let failing = host.start_deploy(json!({"version": "2.1.0"}));
        let kept = format!("{}-prev", host.name);
        wait_until("the new one runs", Duration::from_secs(30), || {
            let ended = inspect(&kept).is_some_and(|kept| kept["State"]["Running"] == false);
            ended && inspect(&host.name).is_some_and(|new| new["State"]["Running"] == true)
        });
        docker(&["rm", &kept]);
        let failed = failing.finish();
        let error = failed.assert_failed();
        assert!(error.contains("back as it was"), "{error}");
        assert!(failed.body().contains("making it again"), "{failed:#?}");
        assert_eq!(image_of(&host), image);
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
        assert_eq!(template(&host), before);
    }
}

#[test]
fn only_a_registry_that_does_not_answer_now_counts_as_absent() {
    let [made, _] = BACKENDS;
    let (mut host, _) = host(made, &|_| ());
    let status = Arc::new(AtomicU16::new(404));
    host.registry.refuse(Arc::clone(&status));
    for (answer, why) in [
        (404, "no such image or tag"),
        (401, "refused the credentials"),
        (403, "refused the credentials"),
    ] {
        status.store(answer, Ordering::Relaxed);
        let refused = host.deploy("2.0.0");
        let error = refused.assert_failed();
        assert!(error.contains(why), "{answer}: {error}");
        assert!(refused.outcome()["changed"].is_null(), "{refused:#?}");
        assert_eq!(host.live_version().as_deref(), Some("2.1.0"));
    }
    for (answer, version) in [(429, "2.0.0"), (500, "2.1.0"), (503, "2.0.0")] {
        status.store(answer, Ordering::Relaxed);
        let again = host.deploy(version);
        again.assert_ok();
        let said = "it was healthy and is still here, so it is deployed without its registry";
        assert!(again.body().contains(said), "{answer}: {}", again.body());
        assert_eq!(host.live_version().as_deref(), Some(version));
    }
}

#[test]
fn an_image_that_is_gone_comes_back_by_its_digest() {
    for made in BACKENDS {
        let (host, image) = host(made, &|_| ());
        let reference = format!("{}:2.0.0", host.registry.image());
        docker(&["rmi", "-f", &image]);
        push_anew(&host, "2.0.0", "status=500");
        roll_back(&host, &[]);
        assert_eq!(image_of(&host), image);
        let tagged = docker(&["image", "inspect", "-f", "{{.Id}}", &reference]);
        assert_eq!(tagged, image, "its tag names it again");
    }
}

#[test]
fn an_image_that_is_nowhere_any_more_is_refused_with_both_digests_unless_forced() {
    for made in BACKENDS {
        let (mut host, image) = host(made, &|_| ());
        let was = healthy(&host, |_| ())["versions"][1]["digest"].clone();
        docker(&["rmi", "-f", &image]);
        host.registry.lose_everything();
        let said = assert_not_rolled_back(&host);
        assert!(said.contains("cannot be had"), "{said}");
        let other = push_anew(&host, "2.0.0", "");
        let said = assert_not_rolled_back(&host);
        let name = format!("{}:2.0.0", host.registry.image());
        let now = docker(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", &name]);
        let (_, now) = now.split_once('@').expect("a digest");
        for digest in [was.as_str().expect("a digest"), now] {
            assert!(said.contains(digest), "{digest}: {said}");
        }
        roll_back(&host, &["--force"]);
        assert_eq!(image_of(&host), other);
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
    }
}

#[test]
fn without_a_recorded_digest_what_the_tag_names_now_is_taken_only_by_force() {
    let [made, _] = BACKENDS;
    let (host, image) = host(made, &|_| ());
    docker(&["rmi", "-f", &image]);
    healthy(&host, |list| list["versions"][1]["digest"] = Value::Null);
    let other = push_anew(&host, "2.0.0", "");
    let said = assert_not_rolled_back(&host);
    assert!(
        said.contains("nothing tells of the digest that was healthy"),
        "{said}"
    );
    roll_back(&host, &["--force"]);
    assert_eq!(image_of(&host), other);
}

#[test]
fn a_registry_that_is_down_is_no_reason_to_take_another_image() {
    let [made, _] = BACKENDS;
    let (mut host, image) = host(made, &|_| ());
    docker(&["rmi", "-f", &image]);
    host.registry.stop();
    let said = assert_not_rolled_back(&host);
    assert!(
        said.contains("could not be reached") && !said.contains("--force"),
        "{said}"
    );
}

#[test]
fn what_is_here_needs_no_room() {
    let [made, _] = BACKENDS;
    let (host, image) = host(made, &|_| ());
    let repository = host.registry.image();
    docker(&["tag", &image, &format!("{repository}:nightly")]);
    docker(&["rmi", &format!("{repository}:2.0.0")]);
    let mut back = host.deployer.command(&["rollback"]);
    let back = back
        .env("DEPLOYER_MIN_FREE", "1000000TiB")
        .output()
        .expect("rollback");
    assert!(
        back.status.success(),
        "{}{}",
        text(&back.stdout),
        text(&back.stderr)
    );
    assert_eq!(image_of(&host), image);
}

/// `cosign` says what the file `verdict` says.
fn with_cosign(setup: &mut Setup) {
    let cosign = setup.executable("cosign", "exit \"$(cat \"$(dirname \"$0\")/verdict\")\"");
    setup.folder().write("verdict", "0");
    setup.set("DEPLOYER_COSIGN_PATH", cosign);
    setup.set(
        "DEPLOYER_COSIGN_IDENTITY",
        "https://github.com/a/b/x.yml@refs/heads/main",
    );
    setup.set("DEPLOYER_COSIGN_ISSUER", "https://token.example.org");
}

#[test]
fn a_signature_is_asked_for_unless_it_was_found_good_for_this_very_image() {
    let [made, _] = BACKENDS;
    let (mut host, image) = host(made, &with_cosign);
    host.deployer.folder().write("verdict", "1");
    host.registry.stop();
    let unsigned = healthy(&host, |_| ());
    healthy(&host, |list| {
        list["versions"][1]["signed_by"] = "somebody else".into()
    });
    let said = assert_not_rolled_back(&host);
    assert!(
        said.contains("the signature of") && said.contains("was not verified"),
        "{said}"
    );
    let error = host.deploy("2.0.0").assert_failed();
    assert!(error.contains("was not verified"), "{error}");
    healthy(&host, |list| *list = unsigned);
    roll_back(&host, &[]);
    assert_eq!(image_of(&host), image);
}

#[test]
fn pruning_keeps_what_was_healthy_also_where_its_tag_was_pushed_anew() {
    for made in BACKENDS {
        let (host, image) = host(made, &|setup| {
            setup.set("DEPLOYER_KEEP_IMAGES", "1");
            setup.set("DEPLOYER_HEALTH_MAX_WAIT", "1500ms");
        });
        let failed = ["2.0.0", "2.3.0", "2.3.0"].map(|version| {
            let image = push_anew(&host, version, "status=500");
            host.deploy(version).assert_failed();
            image
        });
        let failed: std::collections::BTreeSet<_> = failed.into();
        assert!(failed.iter().all(|image| is_here(image)));
        Image::of("2.2.0").push(&host.registry.image());
        host.deploy("2.2.0").assert_ok();
        assert!(is_here(&image), "2.0.0 as it was healthy");
        for image in failed {
            assert!(!is_here(&image), "{image} was never healthy");
        }
        roll_back(&host, &[]);
        assert_eq!(host.live_version().as_deref(), Some("2.1.0"));
    }
}
