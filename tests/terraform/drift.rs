//! `engram-deployer drift`: what is there is compared with the state, nothing is changed, and the result is where one looks.

use std::fs;

use serde_json::{Value, json};

use crate::support::deployer::Setup;
use crate::support::process::{output_of, text};
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::site::{KEY, Site};
use crate::support::terraform::text as hcl;

/// Two things that were applied.
struct World {
    site: Site,
    provider: SlowProvider,
    sha: String,
}

impl World {
    fn made() -> World {
        World::made_with(|_| ())
    }

    fn made_with(change: impl FnOnce(&mut Setup)) -> World {
        let provider = SlowProvider::new();
        let site = Site::with(|setup| {
            setup.set("DEPLOYER_TF_CLI_CONFIG_FILE", provider.cli_config());
            setup.set("DEPLOYER_TF_LOCKFILE", "readonly");
            change(setup);
        });
        let things = site.text(&hcl::slow_things(&[("one", 0), ("two", 0)]));
        let lock = provider.lock_file();
        let files = [("main.tf", things.as_str()), (".terraform.lock.hcl", &lock)];
        let sha = site.repository.commit(&files);
        site.apply(&sha, None).assert_ok();
        World { site, provider, sha }
    }

    /// `drift` with these arguments: its exit status, and its lines.
    fn drift(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = self.site.deployer.run(&[&["drift"], arguments].concat());
        let lines = text(&output.stdout);
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
        (output.status.code(), lines.collect())
    }

    fn of_module(&self) -> Value {
        let path = self
            .site
            .deployer
            .state()
            .join("last/modules/default.status.json");
        serde_json::from_slice(&fs::read(path).expect("a status of the module")).expect("JSON")
    }

    /// What a person on a terminal reads.
    fn status(&self) -> String {
        let mut script = self.site.deployer.on_a_terminal("status");
        text(&output_of(script.env("NO_COLOR", "1"), b"").stdout)
    }
}

fn said(lines: &[Value]) -> String {
    let messages = lines.iter().filter_map(|line| line["message"].as_str());
    messages.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_nobody_has_touched_has_not_drifted() {
    let world = World::made();
    let before = world.site.bucket.get(KEY);
    let applied = world.site.status("/tf-apply/status");
    let (exit, lines) = world.drift(&[]);
    let outcome = lines.last().expect("an outcome");
    assert_eq!((exit, &outcome["status"]), (Some(0), &json!("ok")), "{lines:#?}");
    assert_eq!(
        (&outcome["drifted"], &outcome["changed"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(
        outcome["sha"],
        world.sha.as_str(),
        "which commit that was: {outcome}"
    );
    assert!(
        outcome.get("plan_digest").is_none(),
        "there is nothing to apply: {outcome}"
    );
    assert!(said(&lines).contains("nothing has drifted"), "{lines:#?}");
    let module = world.of_module();
    assert_eq!(
        (&module["status"], &module["endpoint"]),
        (&json!("in-sync"), &json!("tf-drift"))
    );
    assert!(
        world.status().contains("tf-drift default: ok"),
        "{}",
        world.status()
    );
    // Neither the state nor what the endpoints say of their last runs.
    assert_eq!(world.site.bucket.get(KEY), before);
    assert_eq!(world.site.bucket.keys(), [KEY], "no lock is left");
    assert_eq!(world.site.status("/tf-apply/status"), applied);
    assert_eq!(world.site.status("/tf-plan/status"), None);
}

#[test]
fn what_was_changed_behind_terraforms_back_is_told_and_stays_as_it_is() {
    let world = World::made();
    let before = world.site.bucket.get(KEY);
    world.provider.happens("gone one");
    world.provider.happens("moved two");
    let (exit, lines) = world.drift(&[]);
    let outcome = lines.last().expect("an outcome");
    // That it was found out is a success; whether anything has drifted is in the outcome.
    assert_eq!((exit, &outcome["status"]), (Some(0), &json!("ok")), "{lines:#?}");
    assert_eq!(
        (&outcome["drifted"], &outcome["changed"]),
        (&json!(2), &json!(true))
    );
    let said = said(&lines);
    for part in [
        "slow_thing.one has been deleted",
        "moved-two",
        "resources that have drifted: 2",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(
        (&world.of_module()["status"], &world.of_module()["exit_code"]),
        (&json!("changes"), &json!(2))
    );
    assert!(world.status().contains("2 drifted"), "{}", world.status());
    assert_eq!(world.site.bucket.get(KEY), before, "byte for byte");
    assert_eq!(world.site.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_output_that_is_another_one_by_now_is_drift_as_well() {
    let site = Site::new();
    site.apply(&site.commit(&hcl::output("shown", "as it was")), None)
        .assert_ok();
    let mut state = site.state().expect("a state");
    state["outputs"]["shown"]["value"] = json!("as somebody wrote it");
    state["serial"] = json!(state["serial"].as_u64().expect("a serial") + 1);
    site.bucket.put(KEY, &state.to_string());
    let output = site.deployer.run(&["drift"]);
    let said = text(&output.stdout);
    assert!(said.contains("an output has drifted"), "{said}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_look_for_drift_that_fails_fails_its_command_and_names_who_holds_the_lock() {
    let world = World::made();
    world.site.lock_by_another();
    let (exit, lines) = world.drift(&[]);
    let outcome = lines.last().expect("an outcome");
    assert_eq!(
        (exit, &outcome["status"]),
        (Some(1), &json!("fail")),
        "{lines:#?}"
    );
    assert_eq!(outcome["lock"]["who"], "ada@laptop", "{outcome}");
    assert_eq!(world.of_module()["status"], "failed");
    assert!(
        world.status().contains("tf-drift default: FAIL"),
        "{}",
        world.status()
    );
}

#[test]
fn drift_is_looked_for_in_one_module_or_one_commit_by_name() {
    let world = World::made_with(|setup| {
        setup.set("DEPLOYER_TF_MODULES", "other=other");
    });
    let own = world.site.bucket.backend("other.tfstate") + &hcl::chain(&["a"]);
    let later = world.site.repository.commit(&[("other/main.tf", &own)]);
    let (exit, lines) = world.drift(&["--module", "other"]);
    let outcome = lines.last().expect("an outcome");
    assert_eq!((exit, &outcome["sha"]), (Some(0), &json!(later)), "{lines:#?}");
    // Nothing of it was ever made, which is no drift.
    assert_eq!(
        (&outcome["module"], &outcome["drifted"]),
        (&json!("other"), &json!(0))
    );
    // A commit from before there was such a folder.
    let (exit, lines) = world.drift(&["--module", "other", "--sha", &world.sha]);
    let error = lines.last().expect("an outcome")["error"].to_string();
    assert!(exit == Some(1) && error.contains("no folder other"), "{lines:#?}");
    let output = world.site.deployer.run(&["drift", "--module", "nowhere"]);
    let said = text(&output.stderr);
    assert!(said.contains("there are: default, other"), "{said}");
    assert!(!output.status.success());
}
