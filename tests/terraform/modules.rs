//! Further roots of the repository are asked for by name, and each has its own state and its own status.

use std::fs;

use serde_json::{Value, json};

use crate::support::deployer::Setup;
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;

const MODULES: &str = "dashboard=modules/dashboard";

/// A site with two roots, and the commit that has both.
fn two_roots(change: impl FnOnce(&mut Setup)) -> (Site, String) {
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_MODULES", MODULES);
        change(setup);
    });
    let main = site.text(&hcl::chain(&["of_main"]));
    let dashboard = site.bucket.backend("dashboard.tfstate") + &hcl::chain(&["of_dashboard"]);
    let sha = site
        .repository
        .commit(&[("main.tf", &main), ("modules/dashboard/main.tf", &dashboard)]);
    (site, sha)
}

fn of_last(site: &Site, module: &str) -> Value {
    let path = site
        .deployer
        .state()
        .join(format!("last/modules/{module}.status.json"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn a_module_is_applied_in_its_own_folder_with_its_own_state() {
    let (site, sha) = two_roots(|_| ());
    let ask = json!({"sha": sha, "module": "dashboard"});
    let planned = site.start_plan(ask.clone()).finish();
    assert_eq!(planned.assert_ok().outcome()["changes"]["add"], 1);
    site.start_apply(ask).finish().assert_ok();
    assert_eq!(site.bucket.keys(), ["dashboard.tfstate"]);
    site.apply(&sha, None).assert_ok();
    assert_eq!(site.resources(), ["of_main"]);
}

#[test]
fn each_module_has_a_status_and_the_last_of_any_is_that_of_the_endpoint() {
    let (site, sha) = two_roots(|_| ());
    let main = site.apply(&sha, None).assert_ok().outcome();
    let ask = json!({"sha": sha, "module": "dashboard"});
    let dashboard = site.start_apply(ask).finish().assert_ok().outcome();
    assert_eq!(site.status("/tf-apply/status"), Some(dashboard.clone()));
    for (module, outcome) in [("default", &main), ("dashboard", &dashboard)] {
        let narrowed = site
            .status(&format!("/tf-apply/status?module={module}"))
            .expect("a status of that module");
        assert_eq!(narrowed["run_id"], outcome["run_id"], "{module}: {narrowed}");
        assert_eq!(of_last(&site, module)["run_id"], outcome["run_id"], "{module}");
    }
}

#[test]
fn a_module_that_is_not_listed_is_refused_with_the_list() {
    let (site, sha) = two_roots(|_| ());
    for module in ["other", "modules/dashboard", "../dashboard"] {
        let body = json!({"sha": sha, "module": module});
        for answer in [
            site.start_plan(body.clone()).finish(),
            site.start_apply(body.clone()).finish(),
        ] {
            assert_eq!(answer.status, 403, "{module}: {answer:#?}");
            assert!(answer.body().contains("dashboard"), "{answer:#?}");
        }
    }
    assert_eq!(site.bucket.keys(), Vec::<String>::new());
}
