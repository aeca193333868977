//! [deploy] A signed request replaces a real container, whichever backend does it, and says so line by line; what goes
//! wrong is told in a sentence, and what ran before runs on wherever this backend can see to it.

mod command;
mod deadlines;
mod dry_run;
mod failures;
mod health;
mod pulls;
mod refusals;
mod wire;

use serde_json::{Value, json};

use crate::support::curl::Answer;
use crate::support::docker::{docker, inspect, try_docker};
use crate::support::held::Held;
use crate::support::host::{Host, Second};
use crate::support::images::Image;
use crate::support::process::text;

/// A container's id; fails when there is none of that name.
#[track_caller]
fn id_of(name: &str) -> String {
    part_of(name, "Id")
}

/// The id of the image that a container runs.
#[track_caller]
fn image_of(name: &str) -> String {
    part_of(name, "Image")
}

#[track_caller]
fn part_of(name: &str, part: &str) -> String {
    let container = inspect(name).unwrap_or_else(|| panic!("there is no container {name}"));
    container[part].as_str().expect("a text").to_owned()
}

/// The id of an image of this host; `None` when it is not there.
fn image_id(reference: &str) -> Option<String> {
    let output = try_docker(&["image", "inspect", "--format", "{{.Id}}", reference]);
    let id = text(&output.stdout).trim().to_owned();
    (!id.is_empty() && output.status.success()).then_some(id)
}

/// The messages of one phase.
#[track_caller]
fn messages(answer: &Answer, phase: &str) -> Vec<String> {
    let events = answer.events();
    let of_phase = events.iter().filter(|event| event["phase"] == phase);
    of_phase
        .map(|event| event["message"].as_str().expect("a message").to_owned())
        .collect()
}

/// The messages that name a container, with their phases.
#[track_caller]
fn about(answer: &Answer, name: &str) -> Vec<(String, String)> {
    let events = answer.events().into_iter();
    let word = |event: &Value, member: &str| event[member].as_str().map(str::to_owned);
    events
        .filter_map(|event| Some((word(&event, "phase")?, word(&event, "message")?)))
        .filter(|(_, message)| message.contains(name))
        .collect()
}

/// What holds after a deploy of `version` that ended with `ok`, on every backend that pulls.
#[track_caller]
fn assert_live(host: &Host, answer: &Answer, version: &str, image: &str) {
    let outcome = answer.assert_ok().outcome();
    let repository = host.deployer.setting("DEPLOYER_IMAGE");
    assert_eq!(outcome["version"], version);
    assert_eq!(outcome["image"], image);
    assert_eq!(image_of(&host.name), image, "it runs what was pulled");
    assert_eq!(image_id(&format!("{repository}:latest")).as_deref(), Some(image));
    assert_eq!(host.live_version().as_deref(), Some(version));
    assert_eq!(host.containers.names(), [host.name.as_str()], "nothing is left");
    assert_eq!(host.deployer.status().as_ref(), Some(&outcome));
    assert_eq!(public(host, "deploy"), outcome);
    let runs = public(host, "runs");
    assert_eq!(runs["runs"][0]["run_id"], outcome["run_id"], "{runs}");
    assert_eq!(answer.header("run-id"), outcome["run_id"].as_str());
}

#[track_caller]
fn public(host: &Host, name: &str) -> Value {
    let path = host.deployer.public().join(format!("{name}.json"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("a public document is JSON")
}

#[test]
fn with_docker_version_2_replaces_version_1() {
    let host = Host::docker();
    let image = Image::of("2.1.0").push(&host.registry.image());
    let before = id_of(&host.name);
    let answer = host
        .start_deploy(json!({"version": "2.1.0", "sha": "abc1234"}))
        .finish();
    assert_live(&host, &answer, "2.1.0", &image);
    assert_ne!(id_of(&host.name), before);
    assert_eq!(answer.outcome()["sha"], "abc1234");
    wire::assert_golden("deploy-docker", &answer, &host);
    // Again: the one before is a container of ours now, and the way is the same.
    host.deploy("2.0.0").assert_ok();
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
}

#[test]
fn on_unraid_version_2_replaces_version_1_and_of_the_template_only_the_version_changes() {
    let host = Host::unraid();
    let image = Image::of("2.1.0").push(&host.registry.image());
    let unraid = host.unraid.as_ref().expect("Unraid's part");
    let before = unraid.read(&host.name);
    let answer = host.deploy("2.1.0");
    assert_live(&host, &answer, "2.1.0", &image);
    assert_eq!(unraid.read(&host.name), before.replace(":1.0.0<", ":2.1.0<"));
    assert_eq!(unraid.calls(), [host.name.as_str()]);
    let templates = std::fs::read_dir(unraid.templates()).expect("the templates");
    assert_eq!(templates.count(), 1, "no other file is left beside the template");
    wire::assert_golden("deploy-unraid", &answer, &host);
}

#[test]
fn the_first_deploy_needs_no_container() {
    let promise = |host: Host| {
        docker(&["rm", "-f", &host.name]);
        let answer = host.deploy("2.0.0");
        let image = image_id(&format!("{}:2.0.0", host.registry.image())).expect("the pulled image");
        assert_live(&host, &answer, "2.0.0", &image);
        let said = messages(&answer, "preflight");
        let expected = format!("{}: is not there yet", host.name);
        assert!(said.contains(&expected), "{said:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| promise(Host::docker()));
        scope.spawn(|| promise(Host::unraid()));
    });
}

#[test]
fn containers_are_replaced_one_after_another_up_to_the_first_that_fails() {
    let mut second = None;
    let host = Host::docker_with(|setup| {
        second = Some(Second::add(setup));
        setup.set("DEPLOYER_HEALTH_MAX_WAIT", "1500ms");
    });
    let second = second.expect("a second container");
    let answer = host.deploy("2.0.0");
    answer.assert_ok();
    let expected = ["preflight", "update", "health", "cleanup"];
    for name in [&host.name, &second.name] {
        let mut phases: Vec<_> = about(&answer, name).into_iter().map(|(phase, _)| phase).collect();
        phases.dedup();
        assert_eq!(phases, expected, "{name}");
    }
    let of_work =
        |(_, message): &(String, String)| message.contains("started ") || message.contains("healthy at");
    let both = about(&answer, "engram-test-");
    let names: Vec<_> = both
        .iter()
        .filter(|event| of_work(event))
        .map(|(_, message)| message.split(':').next().unwrap_or_default())
        .collect();
    let (one, two) = (host.name.as_str(), second.name.as_str());
    assert_eq!(
        names,
        [one, one, two, two],
        "the first is healthy before the second begins"
    );

    let untouched = id_of(two);
    host.push("2.0.1", "status=500");
    let answer = host.deploy("2.0.1");
    let error = answer.assert_failed();
    let expected =
        format!("{one}: not healthy after 1.500s: last answer: 500; what was changed is back as it was");
    assert_eq!(error, expected);
    assert_eq!(id_of(two), untouched);
    let touched = about(&answer, two);
    assert!(
        touched.iter().all(|(phase, _)| phase == "preflight"),
        "{touched:?}"
    );
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
    let health = try_docker(&["inspect", "--format", "{{.State.Running}}", two]);
    assert_eq!(text(&health.stdout).trim(), "true", "port {}", second.port);
}

#[test]
fn lines_of_a_pull_reach_the_caller_while_it_happens() {
    let mut held = None;
    let host = Host::docker_with(|setup| {
        let way = Held::before(setup.setting("DEPLOYER_IMAGE"));
        setup.set("DEPLOYER_IMAGE", way.image());
        held = Some(way);
    });
    let held = held.as_ref().expect("a way to the registry");
    let mut call = host.start_deploy(json!({"version": "2.0.0"}));
    call.wait_for("Pulling from engram");
    // Nothing can have been pulled yet, and yet the caller knows that it has begun.
    let so_far = call.so_far().body();
    assert!(
        !so_far.contains("Pull complete") && !so_far.contains("Digest: "),
        "{so_far}"
    );
    held.release();
    let answer = call.finish();
    answer.assert_ok();
    let arrived = |part: &str| {
        let line = answer.lines.iter().find(|(_, line)| line.contains(part));
        line.unwrap_or_else(|| panic!("no line with {part:?}: {answer:#?}"))
            .0
    };
    let in_order = [
        "Pulling from engram",
        "Digest: sha256:",
        "is image sha256:",
        "started ",
        "healthy at 2.0.0",
    ];
    for pair in in_order.windows(2) {
        assert!(arrived(pair[0]) <= arrived(pair[1]), "{pair:?}: {answer:#?}");
    }
    assert_ne!(
        arrived("started "),
        arrived("healthy at 2.0.0"),
        "the lines of a run do not come all at once"
    );
}
