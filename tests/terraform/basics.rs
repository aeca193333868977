//! A plan says what would change and changes nothing; an apply changes it; both say so in every place where one looks.

use serde_json::{Value, json};

use super::{assert_in_order, assert_without, digest_of, lines_of};
use crate::support::deployer::Setup;
use crate::support::oidc::Issuer;
use crate::support::terraform::site::{AWS_SECRET, KEY, Site};
use crate::support::terraform::text as hcl;
use crate::support::web;

#[test]
fn a_plan_says_what_would_change_and_leaves_nothing_behind() {
    let site = Site::new();
    site.commit("");
    let sha = site.propose(&hcl::chain(&["a", "b"]));
    let answer = site.plan(&sha);
    let outcome = answer.assert_ok().outcome();
    assert_in_order(&answer, &["queued", "git_fetch", "tf_init", "tf_plan", "done"]);
    assert_without(&answer, &["tf_apply"]);
    assert_eq!(outcome["changes"], json!({"add": 2, "change": 0, "destroy": 0}));
    assert_eq!(
        (&outcome["changed"], &outcome["sha"]),
        (&Value::from(true), &Value::from(sha))
    );
    digest_of(&outcome);
    let diff = lines_of(&answer, "tf_plan").join("\n");
    assert!(diff.contains("# terraform_data.a will be created"), "{diff}");
    assert_eq!(site.bucket.keys(), Vec::<String>::new(), "no state, no lock");
    assert_eq!(site.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_apply_changes_what_it_planned_and_leaves_a_state_and_no_lock() {
    let site = Site::new();
    let sha = site.commit(&hcl::chain(&["a", "b"]));
    let answer = site.apply(&sha, None);
    let outcome = answer.assert_ok().outcome();
    assert_in_order(
        &answer,
        &["queued", "git_fetch", "tf_init", "tf_plan", "tf_apply", "done"],
    );
    assert_eq!(outcome["changes"], json!({"add": 2, "change": 0, "destroy": 0}));
    assert_eq!(outcome["changed"], true);
    digest_of(&outcome);
    let said = lines_of(&answer, "tf_apply").join("\n");
    assert!(said.contains("Apply complete! Resources: 2 added"), "{said}");
    assert_eq!(site.resources(), ["a", "b"]);
    assert_eq!(site.bucket.keys(), [KEY]);
    assert_eq!(site.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn where_there_is_nothing_to_do_nothing_is_applied() {
    let site = Site::new();
    let sha = site.commit(&hcl::chain(&["a"]));
    site.apply(&sha, None).assert_ok();
    let before = site.bucket.get(KEY);
    let answer = site.apply(&sha, None);
    let outcome = answer.assert_ok().outcome();
    assert_eq!(outcome["changed"], false);
    assert_eq!(outcome["changes"], json!({"add": 0, "change": 0, "destroy": 0}));
    assert_without(&answer, &["tf_apply"]);
    assert_eq!(site.bucket.get(KEY), before, "byte for byte");
    let id = outcome["run_id"].as_str().expect("a run id");
    assert_eq!(site.document(id, "apply")["status"], "noop");
    let planned = site.plan(&sha);
    assert_eq!(planned.assert_ok().outcome()["changed"], false);
    let id = planned.outcome()["run_id"].as_str().expect("a run id").to_owned();
    assert_eq!(site.document(&id, "plan")["status"], "in-sync");
}

#[test]
fn each_run_leaves_its_status_and_its_documents() {
    let site = Site::new();
    let sha = site.commit(&hcl::chain(&["a"]));
    assert_eq!(site.status("/tf-plan/status"), None);
    assert_eq!(site.status("/tf-apply/status"), None);
    let planned = site
        .start_plan(json!({"sha": sha, "approved_pr": 7}))
        .finish()
        .assert_ok()
        .outcome();
    assert_eq!(site.status("/tf-plan/status"), Some(planned.clone()));
    assert_eq!(site.status("/tf-apply/status"), None);
    let applied = site
        .start_apply(json!({"sha": sha, "approved_pr": 7}))
        .finish()
        .assert_ok()
        .outcome();
    assert_eq!(site.status("/tf-apply/status"), Some(applied.clone()));
    assert_eq!(site.status("/tf-plan/status"), Some(planned.clone()));

    let id = |outcome: &Value| outcome["run_id"].as_str().expect("a run id").to_owned();
    let plan = site.document(&id(&planned), "plan");
    assert_eq!(
        (&plan["status"], &plan["exit_code"]),
        (&json!("changes"), &json!(2))
    );
    let apply = site.document(&id(&applied), "apply");
    assert_eq!(
        (&apply["status"], &apply["exit_code"]),
        (&json!("applied"), &json!(0))
    );
    for document in [plan, apply] {
        assert_eq!(document["approved_pr"], 7, "{document}");
    }
}

#[test]
fn an_apply_is_ok_only_when_what_it_made_is_healthy() {
    for (status, ends) in [(200, "ok"), (503, "fail")] {
        let (listener, url) = web::listen(0);
        web::serve(listener, move |_| (status, "{}".into()));
        let site = Site::with(|setup| {
            setup.set("DEPLOYER_TF_HEALTH_URLS", format!("default={url}/health"));
            setup.set("DEPLOYER_HEALTH_MAX_WAIT", "2s");
        });
        let sha = site.commit(&hcl::chain(&["a"]));
        let answer = site.apply(&sha, None);
        let outcome = answer.outcome();
        assert_eq!(outcome["status"], ends, "{answer:#?}");
        assert_in_order(&answer, &["tf_apply", "health"]);
        assert_eq!(site.resources(), ["a"], "what is applied stays");
        let health = site.document(outcome["run_id"].as_str().expect("a run id"), "health");
        assert_eq!(health["status"] == "healthy", status == 200, "{health}");
        if status != 200 {
            assert!(
                outcome["error"].as_str().expect("an error").contains("503"),
                "{outcome}"
            );
        }
    }
}

#[test]
fn an_apply_that_fails_in_its_middle_keeps_what_it_made_and_unlocks() {
    let site = Site::new();
    let body = hcl::chain(&["a"]) + &hcl::making("b", "echo what a pity; exit 3", "a");
    let sha = site.commit(&body);
    let answer = site.apply(&sha, None);
    let error = answer.assert_failed();
    assert!(error.contains("terraform apply"), "{error}");
    let said = lines_of(&answer, "tf_apply").join("\n");
    assert!(said.contains("what a pity"), "{said}");
    assert_eq!(site.resources(), ["a", "b!"], "b is tainted");
    assert_eq!(site.lock(), None);
    let id = answer.outcome()["run_id"].as_str().expect("a run id").to_owned();
    let apply = site.document(&id, "apply");
    assert_eq!(
        (&apply["status"], &apply["exit_code"]),
        (&json!("failed"), &json!(1))
    );
}

#[test]
fn a_plan_that_fails_says_what_terraform_said_and_is_never_applied() {
    let site = Site::new();
    let sha = site.commit("output \"x\" { value = file(\"nowhere\") }\n");
    for answer in [site.plan(&sha), site.apply(&sha, None)] {
        let error = answer.assert_failed();
        assert!(error.contains("terraform plan"), "{error}");
        assert_without(&answer, &["tf_apply"]);
        assert!(answer.outcome().get("plan_digest").is_none(), "{answer:#?}");
    }
    assert_eq!(site.bucket.keys(), Vec::<String>::new());
}

#[test]
fn what_a_plan_prints_acts_on_no_terminal_and_shows_no_key() {
    let site = Site::new();
    // Terraform's whole environment, with bytes between that no terminal should see, and a command for a CI log.
    let body = "output \"all\" { value = file(\"/proc/self/environ\") }\n".to_owned()
        + &hcl::output("escape", "\\u001b[2J\\n::error::not ours");
    let answer = site.plan(&site.propose(&body));
    answer.assert_ok();
    let said = lines_of(&answer, "tf_plan").join("\n");
    assert!(said.contains("AWS_SECRET_ACCESS_KEY=***"), "{said}");
    assert!(!answer.body().contains(AWS_SECRET));
    assert!(
        !said.chars().any(|c| c.is_control() && c != '\t' && c != '\n'),
        "{said:?}"
    );
    assert!(!said.contains("DEPLOYER_"), "{said}");
}

#[test]
fn without_its_settings_both_endpoints_are_not_there_and_with_some_nothing_starts() {
    let issuer = Issuer::start();
    let deployer = Setup::new(&issuer).start();
    for path in ["/tf-plan", "/tf-apply"] {
        let answer = deployer.client().post(path, &issuer.mint("engram-tf-plan"), "{}");
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(deployer.client().get(&format!("{path}/status")).status, 404);
    }
    let mut setup = Setup::new(&issuer);
    setup.set("DEPLOYER_TF_APPLY_REPOSITORY", "engram-app/engram-infra");
    let output = setup.run(&["serve"]);
    let said = crate::support::process::text(&output.stderr) + &crate::support::process::text(&output.stdout);
    assert!(!output.status.success());
    for missing in [
        "DEPLOYER_TF_APPLY_WORKFLOW_REF",
        "DEPLOYER_TF_APPLY_ROOT_DIR",
        "DEPLOYER_TF_AWS_ACCESS_KEY_ID",
        "DEPLOYER_TF_AWS_SECRET_ACCESS_KEY",
    ] {
        assert!(said.contains(missing), "{missing} in {said}");
    }
}

#[test]
fn a_token_for_one_endpoint_opens_no_other() {
    let site = Site::new();
    let sha = site.commit("");
    let body = json!({"sha": sha}).to_string();
    let tokens = [
        ("/tf-plan", site.plan_token(&sha)),
        ("/tf-apply", site.apply_token(&sha)),
        ("/deploy", site.issuer.mint(crate::support::deployer::AUDIENCE)),
    ];
    for (own, token) in &tokens {
        for path in ["/tf-plan", "/tf-apply", "/deploy"] {
            if path != *own {
                let answer = site.deployer.client().post(path, token, &body);
                assert_eq!(answer.status, 401, "a token for {own} at {path}: {answer:#?}");
            }
        }
    }
}
