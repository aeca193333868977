//! Whom terraform runs as, and what it can read there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::lines_of;
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;

/// A user of nobody else's, but not a plan's.
const USER: u32 = 65_530;

#[test]
fn an_apply_runs_as_the_user_that_the_operator_names() {
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_APPLY_USER", USER.to_string());
    });
    let who = "echo it is $(id -u):$(id -g) $(id -G), $(stat -c %u:%a $TF_DATA_DIR/../plan.bin)";
    let sha = site.commit(&hcl::making("who", who, ""));
    let answer = site.apply(&sha, None);
    answer.assert_ok();
    let said = lines_of(&answer, "tf_apply").join("\n");
    let own = format!("it is {USER}:{USER} ");
    assert!(
        said.contains(&own) && said.contains(&format!("{USER}:600")),
        "{said}"
    );
    assert_eq!(site.resources(), ["who"]);
    assert_eq!(site.left_behind(), Vec::<std::path::PathBuf>::new());
    // A plan has a user of its own all the same.
    site.plan(&sha).assert_ok();
}

#[test]
fn a_user_who_cannot_get_to_the_work_folder_is_told_which_folder_is_closed() {
    let mut closed = None;
    let site = Site::with(|setup| {
        let folder = setup.folder().join("closed");
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("its mode");
        setup.set("DEPLOYER_TF_APPLY_USER", USER.to_string());
        setup.set("DEPLOYER_TF_APPLY_WORKDIR", folder.join("tf"));
        closed = Some(folder);
    });
    let error = site.apply(&site.commit(""), None).assert_failed();
    let closed = closed.expect("a folder").display().to_string();
    assert!(
        error.contains(&format!("{closed}: uid {USER} cannot enter it")),
        "{error}"
    );
    assert!(error.contains("DEPLOYER_TF_APPLY_WORKDIR"), "{error}");
}

#[test]
fn where_we_are_not_root_an_apply_runs_as_we_do() {
    let site = Site::with(|setup| setup.run_as(USER));
    let sha = site.commit(&hcl::making("who", "echo it is $(id -u)", ""));
    let answer = site.apply(&sha, None);
    answer.assert_ok();
    assert!(
        lines_of(&answer, "tf_apply")
            .join("\n")
            .contains(&format!("it is {USER}"))
    );
    assert_eq!(site.resources(), ["who"]);
}

#[test]
fn providers_of_a_mirror_are_planned_and_applied_with_their_checksums() {
    // Where a plan sees them: it sees nothing of /tmp.
    let provider = SlowProvider::among_programs();
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_CLI_CONFIG_FILE", provider.cli_config());
        setup.set("DEPLOYER_TF_LOCKFILE", "readonly");
    });
    site.commit("");
    let main = site.text(&hcl::slow_things(&[("one", 0)]));
    let without = site.repository.propose(&[("main.tf", &main)]);
    let error = site.plan(&without).assert_failed();
    assert!(error.contains(".terraform.lock.hcl"), "{error}");
    let lock = provider.lock_file();
    let files = [("main.tf", main.as_str()), (".terraform.lock.hcl", &lock)];
    let sha = site.repository.propose(&files);
    let planned = site.plan(&sha).assert_ok().outcome();
    assert_eq!(planned["changes"]["add"], 1);
    let digest = planned["plan_digest"].as_str().expect("a digest");
    site.apply(&site.repository.merge(), Some(digest)).assert_ok();
    assert_eq!(site.resources(), ["one"]);
    assert_eq!(provider.book(), ["create-begin one", "create-end one"]);
}
