//! [rollback] A deploy never costs the last good container: what was changed goes back as it was, in reverse order, and the
//! record says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::curl::Answer;
use crate::support::deployer::Setup;
use crate::support::docker::{docker, inspect, try_docker};
use crate::support::host::{Host, Second, version_at};
use crate::support::wait_until;
use std::time::Duration;

/// A host with two containers, and what it was like.
pub struct Pair {
    /// With the first one.
    pub host: Host,
    /// The second one.
    pub second: Second,
}

/// Everything that a deploy may change, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// By name: id, image, status, restart policy, networks.
    pub containers: BTreeMap<String, Value>,
    /// By name, byte for byte.
    pub templates: BTreeMap<String, Vec<u8>>,
    /// The id of `image:latest`.
    pub latest: Option<String>,
    /// What the health URLs say.
    pub versions: Vec<Option<String>>,
}

impl Pair {
    /// With backend `unraid` or `docker`, and settings of the test's own.
    pub fn new(backend: &str, change: impl FnOnce(&mut Setup)) -> Pair {
        let mut second = None;
        let prepare = |setup: &mut Setup| {
            second = Some(Second::add(setup));
            setup.set("DEPLOYER_HEALTH_MAX_WAIT", "1500ms");
            change(setup);
        };
        let host = match backend {
            "unraid" => Host::unraid_with(prepare),
            _ => Host::docker_with(prepare),
        };
        let second = second.expect("a second container");
        Pair { host, second }
    }

    /// The names, in the order of the deploy.
    pub fn names(&self) -> [&str; 2] {
        [&self.host.name, &self.second.name]
    }

    /// What everything is like now.
    pub fn picture(&self) -> Picture {
        let found = [&self.host.containers, &self.second.containers];
        let names = found.iter().flat_map(|containers| containers.names());
        let containers = names.filter_map(|name| {
            let now = inspect(&name)?;
            let networks = now["NetworkSettings"]["Networks"].as_object()?.keys();
            let networks: Vec<_> = networks.cloned().collect();
            let (state, policy) = (&now["State"]["Status"], &now["HostConfig"]["RestartPolicy"]);
            let said = json!([now["Id"], now["Image"], state, policy, networks]);
            Some((name, said))
        });
        let folder = self.host.unraid.as_ref().map(|unraid| unraid.templates());
        let templates = folder
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).expect("templates"));
        let templates = templates.flatten().map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("a template"))
        });
        let latest = format!("{}:latest", self.host.registry.image());
        let latest = try_docker(&["image", "inspect", "--format", "{{.Id}}", &latest]);
        let latest = String::from_utf8_lossy(&latest.stdout).trim().to_owned();
        Picture {
            containers: containers.collect(),
            templates: templates.collect(),
            latest: latest.starts_with("sha256:").then_some(latest),
            versions: [self.host.port, self.second.port].map(version_at).to_vec(),
        }
    }

    /// Waits until both answer, and takes the picture.
    #[track_caller]
    pub fn healthy_picture(&self) -> Picture {
        wait_until("both answer", Duration::from_secs(10), || {
            [self.host.port, self.second.port]
                .iter()
                .all(|port| version_at(*port).is_some())
        });
        self.picture()
    }
}

/// What `rolled_back` says: name and version.
fn rolled_back(answer: &Answer) -> Vec<(String, String)> {
    let outcome = answer.outcome();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = outcome["rolled_back"].as_array().expect("a list").clone();
    list.iter()
        .map(|one| (text(&one["container"]), text(&one["to"])))
        .collect()
}

fn both(promise: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for backend in ["unraid", "docker"] {
            let promise = &promise;
            scope.spawn(move || promise(backend));
        }
    });
}

#[test]
fn when_the_second_container_fails_both_go_back_byte_for_byte_in_reverse_order() {
    both(|backend| {
        // Nobody answers at the second one's health URL.
        let pair = Pair::new(backend, |setup| {
            let all = setup.setting("DEPLOYER_CONTAINERS").to_owned();
            let (first, second) = all.split_once(',').expect("two containers");
            let name = second.split('=').next().expect("a name");
            let all = format!("{first},{name}=http://127.0.0.1:1/");
            setup.set("DEPLOYER_CONTAINERS", all);
        });
        let before = pair.healthy_picture();
        let answer = pair.host.deploy("2.0.0");
        let error = answer.assert_failed();
        let [one, two] = pair.names().map(str::to_owned);
        assert!(
            error.starts_with(&format!("{two}: not healthy after ")),
            "{error}"
        );
        assert!(error.ends_with("; what was changed is back as it was"), "{error}");
        let old = || "1.0.0".to_owned();
        assert_eq!(rolled_back(&answer), [(two.clone(), old()), (one, old())]);
        assert_eq!(pair.picture(), before, "{backend}");
        let log = format!("{two}: engram 2.0.0: listening on port 8000");
        let body = answer.body();
        let (logs, back) = (body.find(&log), body.find("\"rollback\""));
        assert!(logs.is_some() && logs < back, "its log comes first: {body}");
        assert_eq!(pair.host.deployer.status().expect("a status"), answer.outcome());
    });
}

#[test]
fn what_did_not_run_before_does_not_run_after() {
    both(|backend| {
        let pair = Pair::new(backend, |_| ());
        docker(&["stop", pair.names()[0]]);
        pair.host.push("2.0.1", "status=500");
        let before = pair.picture();
        pair.host.deploy("2.0.1").assert_failed();
        assert_eq!(pair.picture(), before, "{backend}");
    });
}

#[test]
fn a_version_that_dies_soon_after_it_was_healthy_goes_back() {
    both(|backend| {
        let pair = Pair::new(backend, |setup| {
            setup.set("DEPLOYER_HEALTH_STEADY", "6s");
        });
        let before = pair.healthy_picture();
        pair.host.push("2.0.1", "crash-after=5000");
        let answer = pair.host.deploy("2.0.1");
        let error = answer.assert_failed();
        assert!(error.contains(": was healthy, and after "), "{error}");
        assert_eq!(pair.picture(), before, "{backend}");
    });
}

#[test]
fn a_cancellation_in_the_middle_goes_back_and_one_at_the_end_does_not() {
    both(|backend| {
        let pair = Pair::new(backend, |setup| {
            setup
                .set("DEPLOYER_HEALTH_MAX_WAIT", "10s")
                .set("DEPLOYER_HEALTH_STEADY", "2s");
        });
        let before = pair.healthy_picture();
        pair.host.push("2.0.1", "slow-start=1000");
        let cancel_at = |part: &str| {
            let mut call = pair.host.start_deploy(json!({"version": "2.0.1"}));
            call.wait_for(part);
            let first: Value = serde_json::from_str(&call.so_far().lines[0].1).expect("an event");
            let id = first["run_id"].as_str().expect("a run id").to_owned();
            assert!(pair.host.deployer.run(&["cancel", &id]).status.success());
            call.finish()
        };
        let answer = cancel_at(&format!("{}: not healthy yet", pair.names()[0]));
        let error = answer.assert_failed();
        assert_eq!(error, "cancelled; what was changed is back as it was");
        assert_eq!(answer.outcome()["cancelled"], true);
        assert_eq!(pair.picture(), before, "{backend}");

        let answer = cancel_at("waiting until each has run");
        answer.assert_ok();
        assert_eq!(
            pair.picture().versions,
            ["2.0.1", "2.0.1"].map(|text| Some(text.to_owned()))
        );
    });
}

#[test]
fn with_rollback_off_everything_stays_and_the_next_deploy_mends_it() {
    both(|backend| {
        let pair = Pair::new(backend, |setup| {
            setup.set("DEPLOYER_ROLLBACK", "off");
        });
        let before = pair.healthy_picture();
        pair.host.push("2.0.1", "status=500");
        let answer = pair.host.deploy("2.0.1");
        let error = answer.assert_failed();
        assert!(
            error.ends_with("; nothing was put back (DEPLOYER_ROLLBACK=off)"),
            "{error}"
        );
        assert!(answer.outcome().get("rolled_back").is_none());
        let kept = format!("{}-prev", pair.names()[0]);
        assert_eq!(
            inspect(&kept).expect("the one before")["Id"],
            before.containers[pair.names()[0]][0]
        );
        pair.host.deploy("2.0.0").assert_ok();
        let after = pair.picture();
        assert_eq!(after.containers.len(), 2, "{after:?}");
        assert_eq!(
            after.versions,
            ["2.0.0", "2.0.0"].map(|text| Some(text.to_owned()))
        );
    });
}

#[test]
fn a_template_that_somebody_edits_meanwhile_keeps_their_edit_and_gets_its_image_back() {
    let pair = Pair::new("unraid", |_| ());
    let unraid = pair.host.unraid.as_ref().expect("Unraid's part");
    let name = pair.names()[0].to_owned();
    let path = unraid.templates().join(format!("my-{name}.xml"));
    let before = pair.healthy_picture();
    pair.host.push("2.0.1", "status=500");
    let mut call = pair.host.start_deploy(json!({"version": "2.0.1"}));
    call.wait_for("not healthy yet");
    let edited = unraid
        .read(&name)
        .replace("<Shell>sh</Shell>", "<Shell>bash</Shell>");
    std::fs::write(&path, edited).expect("an edit");
    let answer = call.finish();
    let error = answer.assert_failed();
    assert!(error.ends_with("; what was changed is back as it was"), "{error}");
    assert!(
        answer
            .body()
            .contains("was edited by somebody else: only its image is as it was"),
        "{}",
        answer.body()
    );
    let after = pair.picture();
    assert_eq!(after.containers, before.containers);
    let file = format!("my-{name}.xml");
    let old = String::from_utf8_lossy(&before.templates[&file]).into_owned();
    let expected = old.replace("<Shell>sh</Shell>", "<Shell>bash</Shell>");
    assert_eq!(String::from_utf8_lossy(&after.templates[&file]), expected);
}

#[test]
fn even_where_somebody_removes_the_kept_one_it_comes_back() {
    both(|backend| {
        let pair = Pair::new(backend, |_| ());
        let name = pair.names()[0].to_owned();
        let before = pair.healthy_picture();
        pair.host.push("2.0.1", "status=500");
        let mut call = pair.host.start_deploy(json!({"version": "2.0.1"}));
        call.wait_for("not healthy yet");
        docker(&["rm", "-f", &format!("{name}-prev")]);
        let answer = call.finish();
        let error = answer.assert_failed();
        assert!(error.ends_with("; what was changed is back as it was"), "{error}");
        assert_eq!(rolled_back(&answer), [(name.clone(), "1.0.0".to_owned())]);
        let after = pair.picture();
        assert_eq!(after.versions, before.versions);
        assert_eq!(after.templates, before.templates);
        assert_eq!(after.containers[&name][1], before.containers[&name][1]);
        assert_eq!(after.containers.len(), 2, "{after:?}");
        if let Some(unraid) = &pair.host.unraid {
            let last = unraid.calls().pop().expect("a call");
            assert_eq!(last, name);
        }
    });
}

#[test]
fn a_way_back_that_fails_is_said_first_and_loudest() {
    both(|backend| {
        let pair = Pair::new(backend, |_| ());
        let name = pair.names()[0].to_owned();
        pair.host.push("2.0.1", "status=500");
        let mut call = pair.host.start_deploy(json!({"version": "2.0.1"}));
        call.wait_for("not healthy yet");
        // Somebody takes the matter into their own hands.
        let other = format!("{}:1.0.0", pair.host.registry.image());
        docker(&["rm", "-f", &name]);
        docker(&["create", "--name", &name, &other]);
        let error = call.finish().assert_failed();
        let expected = format!("ROLLBACK FAILED: {name} is ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(
            error.contains(&format!("{name}-prev is the one before")),
            "{error}"
        );
        assert!(error.contains("; it was to go back because of this: "), "{error}");
        docker(&["rm", "-f", &format!("{name}-prev")]);
    });
}
