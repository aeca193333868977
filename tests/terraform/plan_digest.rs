//! [plan_digest] What was reviewed is what is applied: plan, review, apply with the digest; and when the world has moved in
//! between, nothing is changed.

use serde_json::{Value, json};

use super::{assert_without, digest_of};
use crate::support::folder::Folder;
use crate::support::process::{installed, output_of, run, text};
use crate::support::terraform::by_hand;
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::site::{KEY, Site};
use crate::support::terraform::text::{self as hcl, World};

/// What a plan of this commit comes to.
#[track_caller]
fn reviewed(site: &Site, sha: &str) -> String {
    digest_of(&site.plan(sha).assert_ok().outcome())
}

/// Somebody else's hand in the state: the thing `name` is another one now.
#[track_caller]
fn drift(site: &Site, name: &str) {
    let mut state = site.state().expect("a state");
    state["serial"] = json!(state["serial"].as_u64().expect("a serial") + 1);
    let resources = state["resources"].as_array_mut().expect("resources").iter_mut();
    let mut found = resources.filter(|resource| resource["name"] == name);
    let attributes = &mut found.next().expect("the resource")["instances"][0]["attributes"];
    for name in ["input", "output"] {
        attributes[name] = json!({"value": "drifted", "type": "string"});
    }
    site.bucket.put(KEY, &state.to_string());
}

#[test]
fn a_plan_that_was_reviewed_is_applied_after_the_merge() {
    let site = Site::new();
    site.commit(&hcl::chain(&["a"]));
    site.apply(&site.repository.head(), None).assert_ok();
    let proposed = site.propose(&hcl::chain(&["a", "b"]));
    let digest = reviewed(&site, &proposed);
    assert_eq!(
        reviewed(&site, &proposed),
        digest,
        "it depends on nothing but the plan"
    );
    let answer = site.apply(&site.repository.merge(), Some(&digest));
    assert_eq!(digest_of(&answer.assert_ok().outcome()), digest);
    assert_eq!(site.resources(), ["a", "b"]);
    assert_eq!(site.bucket.keys(), [KEY], "the lock is gone");
}

#[test]
fn a_digest_can_be_computed_by_hand() {
    let site = Site::new();
    site.apply(&site.commit(&hcl::chain(&["a", "b"])), None)
        .assert_ok();
    // With what spellings differ in, a timestamp that counts, and attributes that others look at, in no order.
    let more = r#"
output "o" { value = data.terraform_remote_state.used.outputs.value }
resource "terraform_data" "c" {
  input = { timestamp = "now", "<&>" = "\u00e9 \u2028 \\ \"", big = 12345678901234567890, of = terraform_data.a.output }
}
resource "terraform_data" "d" {
  input = [terraform_data.c.id, terraform_data.b.output, terraform_data.c.output, terraform_data.a.id, terraform_data.b.id]
}
"#;
    let world = World::of("a value");
    let data = hcl::read_from(&world, "used") + &hcl::read_from(&world, "unused");
    let sha = site.commit(&(hcl::thing("a", "another") + &hcl::thing("b", "b") + &data + more));
    let digest = reviewed(&site, &sha);
    let folder = Folder::new("by-hand");
    folder.write(
        "main.tf",
        site.repository.git(&["show", &format!("{sha}:main.tf")]) + "\n",
    );
    let terraform = |arguments: &[&str]| run(&mut by_hand(folder.path(), arguments));
    terraform(&["init", "-input=false"]);
    terraform(&["plan", "-input=false", "-out=plan.bin"]);
    let shown = terraform(&["show", "-json", "plan.bin"]);
    let list = shown.split("\"relevant_attributes\":[").nth(1).expect("a list");
    assert!(list.matches("\"resource\"").count() > 2, "{list}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/plan-digest.py");
    let mut python = installed("python3", "python3");
    let plan = folder.join("plan.bin");
    let output = output_of(python.arg(script).arg(&plan), shown.as_bytes());
    assert_eq!(
        text(&output.stdout).trim_end(),
        digest,
        "{}",
        text(&output.stderr)
    );
    let other = shown.replace("another", "an other");
    let output = output_of(
        installed("python3", "python3").arg(script).arg(&plan),
        other.as_bytes(),
    );
    assert_ne!(text(&output.stdout).trim_end(), digest);
}

#[test]
fn a_plan_whose_world_has_drifted_is_not_applied_and_changes_nothing() {
    let site = Site::new();
    site.commit(&hcl::chain(&["a"]));
    site.apply(&site.repository.head(), None).assert_ok();
    let digest = reviewed(&site, &site.propose(&hcl::chain(&["a", "b"])));
    drift(&site, "a");
    let before = site.bucket.get(KEY).expect("a state");
    let merged = site.repository.merge();
    let answer = site.apply(&merged, Some(&digest));
    let error = answer.assert_failed();
    assert!(
        error.contains("the plan changed since it was reviewed"),
        "{error}"
    );
    assert_without(&answer, &["tf_apply"]);
    assert_eq!(site.bucket.get(KEY).as_ref(), Some(&before), "byte for byte");
    assert_eq!(site.bucket.keys(), [KEY], "no lock is left");
    // Planned and reviewed again, it is applied: also what had drifted.
    let again = reviewed(&site, &merged);
    assert_ne!(again, digest);
    let outcome = site.apply(&merged, Some(&again)).assert_ok().outcome();
    assert_eq!(outcome["changes"], json!({"add": 1, "change": 1, "destroy": 0}));
}

#[test]
fn a_plan_of_another_commit_is_not_the_one_that_was_reviewed() {
    let site = Site::new();
    site.commit("");
    let digest = reviewed(&site, &site.propose(&hcl::thing("a", "harmless")));
    let other = site.commit(&hcl::thing("a", "harmful"));
    let error = site.apply(&other, Some(&digest)).assert_failed();
    assert!(
        error.contains("the plan changed since it was reviewed"),
        "{error}"
    );
    assert_eq!(site.bucket.keys(), Vec::<String>::new());
}

/// Plans `first`, then `happens`, then `second` is applied with the digest of the plan: that must be refused, naming `what`.
#[track_caller]
fn assert_refused(site: &Site, first: &str, happens: impl FnOnce(), second: &str, what: &str) {
    let before = site.bucket.get(KEY);
    let digest = reviewed(site, &site.commit(first));
    happens();
    let answer = site.apply(&site.commit(second), Some(&digest));
    let error = answer.assert_failed();
    assert!(
        error.contains("the plan changed since it was reviewed"),
        "{error}"
    );
    let said = super::lines_of(&answer, "tf_plan").join("\n");
    assert!(said.contains(what), "{what}: {answer:#?}");
    assert_eq!(site.bucket.get(KEY), before, "nothing was changed");
}

#[test]
fn what_another_key_reads_is_no_other_plan_where_no_change_needs_it() {
    let site = Site::new();
    let world = World::of("the plan's key");
    let account = World::of("account");
    let text = hcl::read_from(&world, "who")
        + &hcl::read_from(&account, "account")
        + "resource \"terraform_data\" \"a\" { input = data.terraform_remote_state.account.outputs.value }\n";
    let digest = reviewed(&site, &site.commit(&text));
    world.becomes("the apply's key");
    site.apply(&site.repository.head(), Some(&digest)).assert_ok();
    assert_eq!(site.resources(), ["a"]);
    let more = text
        + "resource \"terraform_data\" \"b\" { input = data.terraform_remote_state.account.outputs.value }\n";
    let here = "terraform_data.b: other values than in the reviewed plan";
    assert_refused(&site, &more, || account.becomes("another account"), &more, here);
}

#[test]
fn what_acts_and_is_not_shown_as_a_change_is_part_of_what_was_reviewed() {
    let provider = SlowProvider::among_programs();
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_CLI_CONFIG_FILE", provider.cli_config());
    });
    let kept = "resource \"terraform_data\" \"kept\" {\n  input = \"kept\"\n  lifecycle { ignore_changes = [input] }\n}\n";
    site.apply(&site.commit(kept), None).assert_ok();
    let world = World::of("one");
    let text = kept.to_owned() + &hcl::read_from(&world, "w");
    let value = "data.terraform_remote_state.w.outputs.value";
    let data = "data.terraform_remote_state.w: other values";

    // Data into a command.
    let made = text.clone() + &hcl::making("m", &format!("echo ${{{value}}}"), "");
    assert_refused(&site, &made, || world.becomes("two"), &made, data);
    // Data into a provider's settings.
    let things = hcl::slow_things(&[("s", 0)]);
    let provided = format!("{text}provider \"slow\" {{ endpoint = {value} }}\n{things}");
    let provided = provided.replace("terraform {\n  required", "\nterraform {\n  required");
    assert_refused(&site, &provided, || world.becomes("three"), &provided, data);
    // A value that an unknown one hides.
    let hidden = format!(
        "{text}{}resource \"terraform_data\" \"h\" {{\n  input = \"${{{value}}} ${{terraform_data.n.id}}\"\n}}\n",
        hcl::thing("n", "n")
    );
    assert_refused(&site, &hidden, || world.becomes("four"), &hidden, data);
    // The value of a resource that does not change into a command.
    let command = kept.to_owned() + &hcl::making("m", "echo ${terraform_data.kept.output}", "");
    let digest = reviewed(&site, &site.commit(&command));
    drift(&site, "kept");
    let answer = site.apply(&site.repository.head(), Some(&digest));
    answer.assert_failed();
    let said = super::lines_of(&answer, "tf_plan").join("\n");
    assert!(said.contains("terraform_data.kept: other values"), "{said}");
    // Another thing that is imported.
    let import = format!(
        "{text}import {{\n  to = terraform_data.i\n  id = {value}\n}}\nresource \"terraform_data\" \"i\" {{}}\n"
    );
    assert_refused(
        &site,
        &import,
        || world.becomes("five"),
        &import,
        "terraform_data.i: other values",
    );
    // The words beside a reference, which terraform does not show.
    let literal = |word: &str| text.clone() + &hcl::making("m", &format!("echo ${{{value}}} {word}"), "");
    assert_refused(
        &site,
        &literal("harmless"),
        || (),
        &literal("harmful"),
        "main.tf: other values",
    );
    assert_eq!(provider.book(), Vec::<String>::new());
}

#[test]
fn every_change_of_a_plan_is_named_when_it_is_refused() {
    let site = Site::new();
    let base = hcl::thing("a", "a");
    site.apply(&site.commit(&base), None).assert_ok();
    let changed = |value: &str| hcl::thing("a", value);
    for (first, second, what) in [
        (
            changed("b"),
            changed("c"),
            "terraform_data.a: other values than in the reviewed plan",
        ),
        (
            changed("b"),
            base.clone(),
            "terraform_data.a: update was reviewed, this is no-op",
        ),
        (
            base.clone(),
            base.clone() + &hcl::thing("new", "x"),
            "terraform_data.new: only in this plan",
        ),
        (
            base.clone() + &hcl::thing("gone", "x"),
            base.clone(),
            "terraform_data.gone: only in the reviewed plan",
        ),
        (
            base.clone() + &hcl::output("o", "1"),
            base.clone() + &hcl::output("o", "2"),
            "output o: other values",
        ),
        (
            base.clone() + "variable \"v\" { default = 1 }\n",
            base.clone() + "variable \"v\" { default = 2 }\n",
            "variable v: other values",
        ),
    ] {
        assert_refused(&site, &first, || (), &second, what);
    }
    let unknown = format!("sha256:{}", "0".repeat(64));
    let answer = site.apply(&site.commit(&changed("z")), Some(&unknown));
    answer.assert_failed();
    let said = super::lines_of(&answer, "tf_plan").join("\n");
    assert!(said.contains("what differs is not known"), "{said}");
}

#[test]
fn a_value_that_no_plan_shows_is_part_of_what_was_reviewed() {
    let site = Site::new();
    site.commit("");
    let first = reviewed(&site, &site.propose(&hcl::sensitive("password", "one")));
    let second = reviewed(&site, &site.propose(&hcl::sensitive("password", "two")));
    assert_ne!(first, second);
}

#[test]
fn where_a_digest_is_required_an_apply_without_one_is_refused_and_spends_no_token() {
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_APPLY_REQUIRE_DIGEST", "on");
    });
    let sha = site.commit(&hcl::chain(&["a"]));
    let token = site.apply_token(&sha);
    let post = |body: Value| {
        site.deployer
            .client()
            .post("/tf-apply", &token, &body.to_string())
    };
    let refused = post(json!({"sha": sha}));
    assert_eq!(refused.status, 400, "{refused:#?}");
    assert!(refused.body().contains("plan_digest"), "{refused:#?}");
    let malformed = post(json!({"sha": sha, "plan_digest": "sha256:ABC"}));
    assert_eq!(malformed.status, 400, "{malformed:#?}");
    let digest = reviewed(&site, &sha);
    post(json!({"sha": sha, "plan_digest": digest})).assert_ok();
    assert_eq!(site.resources(), ["a"]);
}

#[test]
fn a_plan_that_destroys_too_much_needs_a_word_for_it() {
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_DESTROY_LIMIT", "1");
    });
    site.apply(&site.commit(&hcl::chain(&["a", "b", "c"])), None)
        .assert_ok();
    let before = site.bucket.get(KEY);
    let one_is_left = site.commit(&hcl::chain(&["a"]));
    let planned = site.plan(&one_is_left).assert_ok().outcome();
    assert_eq!(planned["changes"], json!({"add": 0, "change": 0, "destroy": 2}));
    let answer = site.apply(&one_is_left, None);
    let error = answer.assert_failed();
    assert!(error.contains("DEPLOYER_TF_DESTROY_LIMIT"), "{error}");
    assert_without(&answer, &["tf_apply"]);
    assert_eq!(site.bucket.get(KEY), before);
    assert_eq!(site.lock(), None);
    let ask = json!({"sha": one_is_left, "allow_destroy": true});
    site.start_apply(ask).finish().assert_ok();
    assert_eq!(site.resources(), ["a"]);
    // As many as the limit is not more than the limit.
    site.apply(&site.commit(""), None).assert_ok();
    assert_eq!(site.resources(), Vec::<String>::new());
}
