//! Getting ready: what has no checksum is not run, and a network that fails is tried again, but nothing else.

use super::{assert_in_order, assert_without, lines_of};
use crate::support::free_port;
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;

/// A site whose providers come from a mirror, and need a lock file.
fn with_provider(provider: &SlowProvider) -> Site {
    Site::with(|setup| {
        setup.set("DEPLOYER_TF_CLI_CONFIG_FILE", provider.cli_config());
        setup.set("DEPLOYER_TF_LOCKFILE", "readonly");
    })
}

#[test]
fn a_provider_without_a_checksum_is_not_run_and_the_message_names_the_file() {
    let provider = SlowProvider::new();
    let site = with_provider(&provider);
    let things = hcl::slow_things(&[("one", 0)]);
    let answer = site.apply(&site.commit(&things), None);
    let error = answer.assert_failed();
    assert!(error.contains(".terraform.lock.hcl"), "{error}");
    assert_without(&answer, &["tf_init_retry", "tf_plan", "tf_apply"]);
    let locked = site
        .repository
        .commit(&[(".terraform.lock.hcl", &provider.lock_file())]);
    site.apply(&locked, None).assert_ok();
    assert_eq!(provider.book(), ["create-begin one", "create-end one"]);
}

#[test]
fn a_provider_that_is_not_the_one_of_the_lock_file_is_not_run() {
    let provider = SlowProvider::new();
    let site = with_provider(&provider);
    let lock = provider.lock_file();
    let (before, rest) = lock.split_once("h1:").expect("a checksum");
    let (digits, after) = rest.split_once('"').expect("its end");
    let other: String = digits.chars().rev().collect();
    let spoiled = format!("{before}h1:{other}\"{after}");
    let things = site.text(&hcl::slow_things(&[("one", 0)]));
    let sha = site
        .repository
        .commit(&[("main.tf", &things), (".terraform.lock.hcl", &spoiled)]);
    let answer = site.apply(&sha, None);
    answer.assert_failed();
    assert_without(&answer, &["tf_init_retry", "tf_plan", "tf_apply"]);
    assert_eq!(provider.book(), Vec::<String>::new());
}

#[test]
fn a_network_that_fails_is_tried_three_times_and_then_nothing_is_planned() {
    let site = Site::new();
    let source = format!("http://127.0.0.1:{}/module.zip", free_port());
    let answer = site.apply(&site.commit(&hcl::module_from(&source)), None);
    let error = answer.assert_failed();
    assert!(error.contains("terraform init"), "{error}");
    assert_in_order(&answer, &["tf_init", "tf_init_retry"]);
    assert_without(&answer, &["tf_plan", "tf_apply"]);
    let said = lines_of(&answer, "tf_init_retry");
    let warnings = said.iter().filter(|line| line.starts_with("::warning::"));
    assert_eq!(warnings.count(), 2, "three tries: {said:#?}");
}

#[test]
fn what_will_not_pass_by_itself_is_not_tried_again() {
    let site = Site::new();
    let answer = site.apply(&site.commit(&hcl::module_from("./nowhere")), None);
    answer.assert_failed();
    assert_without(&answer, &["tf_init_retry", "tf_plan", "tf_apply"]);
}

#[test]
fn a_plan_does_not_run_a_provider_that_the_pull_request_brings() {
    let provider = SlowProvider::new();
    let site = Site::new();
    // Where terraform looks for providers without being told.
    let binary = "#!/bin/sh\necho ran >&2\nexit 1\n";
    let place = format!(
        "terraform.d/plugins/example.test/engram/slow/1.0.0/linux_{}/terraform-provider-slow_v1.0.0",
        if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        }
    );
    let main = site.text(&hcl::slow_things(&[("one", 0)]));
    let sha = site.repository.propose(&[
        ("main.tf", &main),
        (&place, binary),
        (".terraform.lock.hcl", &provider.lock_file()),
    ]);
    let answer = site.plan(&sha);
    answer.assert_failed();
    assert_without(&answer, &["tf_plan"]);
    let said = answer.events().into_iter().any(|event| event["message"] == "ran");
    assert!(!said, "{answer:#?}");
}
