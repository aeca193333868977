//! Which commit: one that was merged, of the repository of the configuration, with nothing of git left beside it.

use serde_json::json;

use super::{assert_without, lines_of};
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;

#[test]
fn a_commit_that_was_not_merged_is_planned_and_not_applied() {
    let site = Site::new();
    site.commit("");
    let sha = site.propose(&hcl::chain(&["a"]));
    site.plan(&sha).assert_ok();
    let answer = site.apply(&sha, None);
    let error = answer.assert_failed();
    assert!(
        error.contains(&sha) || error.contains("refs/heads/main"),
        "{error}"
    );
    assert_without(&answer, &["tf_init", "tf_plan", "tf_apply"]);
    assert_eq!(site.bucket.keys(), Vec::<String>::new());
    let merged = site.repository.merge();
    site.apply(&merged, None).assert_ok();
    assert_eq!(site.resources(), ["a"]);
}

#[test]
fn a_commit_that_main_has_left_behind_is_still_one_of_its_own() {
    let site = Site::new();
    let first = site.commit(&hcl::chain(&["a"]));
    for number in 0..3 {
        site.commit(&(hcl::chain(&["a"]) + &hcl::output("number", &number.to_string())));
    }
    site.apply(&first, None).assert_ok();
    assert_eq!(site.resources(), ["a"]);
}

#[test]
fn a_commit_of_nobody_is_told_as_such() {
    let site = Site::new();
    site.commit("");
    let nobody = "0123456789abcdef0123456789abcdef01234567";
    for answer in [site.plan(nobody), site.apply(nobody, None)] {
        let error = answer.assert_failed();
        assert!(error.contains(nobody), "{error}");
        assert_without(&answer, &["tf_init"]);
    }
}

#[test]
fn a_commit_that_is_not_the_tokens_is_refused_unless_the_operator_says_otherwise() {
    for (required, status) in [("on", 403), ("off", 200)] {
        let site = Site::with(|setup| {
            setup.set("DEPLOYER_TF_APPLY_REQUIRE_SHA", required);
        });
        let sha = site.commit(&hcl::chain(&["a"]));
        let token = site.apply_token(&site.commit("# another\n"));
        let answer = site
            .deployer
            .client()
            .post("/tf-apply", &token, &json!({"sha": sha}).to_string());
        assert_eq!(answer.status, status, "{answer:#?}");
        assert_eq!(site.resources().is_empty(), status != 200);
    }
}

#[test]
fn terraform_finds_no_git_and_no_way_out_of_the_checkout() {
    let site = Site::new();
    let looks = "output \"git\" { value = \"git is ${fileexists(\"${path.root}/.git/HEAD\") ? \"there\" : \"gone\"}\" }\n";
    let answer = site.plan(&site.propose(looks));
    answer.assert_ok();
    let said = lines_of(&answer, "tf_plan").join("\n");
    assert!(said.contains("git is gone"), "{said}");
}

#[test]
fn a_root_that_leads_out_of_the_checkout_is_refused() {
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_APPLY_ROOT_DIR", "infra");
    });
    site.repository.commit(&[("README", "nothing yet\n")]);
    std::os::unix::fs::symlink("../../../../../../etc", site.repository.folder().join("infra"))
        .expect("a link");
    let sha = site.repository.commit(&[]);
    for answer in [site.plan(&sha), site.apply(&sha, None)] {
        answer.assert_failed();
        assert_without(&answer, &["tf_init"]);
    }
}
