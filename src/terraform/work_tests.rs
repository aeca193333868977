use super::*;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

const OWNER: Identity = Identity {
    uid: 65523,
    gid: 65523,
};

/// A folder of root's, and a work folder in it.
fn scene(name: &str) -> (PathBuf, Work) {
    let top = std::env::temp_dir().join(format!("work-{name}-{}", std::process::id()));
    fs::create_dir(&top).unwrap();
    fs::set_permissions(&top, Permissions::from_mode(0o755)).unwrap();
    let work = Work {
        seen: top.join("tf/work"),
        real: top.join("plans/work"),
    };
    (top, work)
}

#[test]
fn a_work_folder_is_its_users_alone_and_new_each_time() {
    let (top, work) = scene("new");
    work.make(Some(OWNER), Job::TfPlan).unwrap();
    let left = work.real.join(CHECKOUT).join("left");
    fs::create_dir(work.real.join(CHECKOUT)).unwrap();
    fs::write(&left, "").unwrap();
    symlink(&top, work.real.join("link")).unwrap();
    chown(&left, Some(OWNER.uid), None).unwrap();
    fs::set_permissions(work.real.join(HOME), Permissions::from_mode(0o000)).unwrap();
    work.make(Some(OWNER), Job::TfPlan).unwrap();
    let folders = [DATA, HOME].map(|name| work.real.join(name));
    for folder in folders.iter().chain([&work.real]) {
        let facts = fs::metadata(folder).unwrap();
        assert_eq!(
            (facts.uid(), facts.gid(), facts.mode() & 0o777),
            (65523, 65523, 0o700)
        );
    }
    // That is for git to make.
    assert!(!work.real.join(CHECKOUT).exists());
    for parent in ["plans", "tf"] {
        let facts = fs::metadata(top.join(parent)).unwrap();
        assert_eq!((facts.uid(), facts.mode() & 0o777), (0, 0o711), "{parent}");
    }
    work.remove().unwrap();
    work.remove().unwrap();
    assert!(!work.real.exists() && top.exists());
    fs::remove_dir_all(top).unwrap();
}

#[test]
fn a_work_folder_that_others_could_replace_is_refused() {
    let (top, work) = scene("others");
    let plans = top.join("plans");
    fs::create_dir(&plans).unwrap();
    for (folder, mode, owner, word) in [
        (&plans, 0o777, 0, "0777"),
        (&plans, 0o1777, 0, "1777"),
        (&plans, 0o711, 65523, "65523"),
        (&top, 0o775, 0, "0775"),
        (&top, 0o755, 65523, "65523"),
    ] {
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        chown(folder, Some(owner), None).unwrap();
        let refusal = work.make(Some(OWNER), Job::TfPlan).unwrap_err();
        assert!(
            refusal.contains(word) && refusal.contains(folder.to_str().unwrap()),
            "{refusal}"
        );
        assert!(!work.real.exists());
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        chown(folder, Some(0), None).unwrap();
    }
    work.make(Some(OWNER), Job::TfPlan).unwrap();
    fs::remove_dir_all(top).unwrap();
}

#[test]
fn a_folder_that_a_link_leads_to_is_judged_as_well() {
    let (top, work) = scene("link");
    fs::create_dir_all(top.join("open/plans")).unwrap();
    fs::set_permissions(top.join("open"), Permissions::from_mode(0o777)).unwrap();
    symlink(top.join("open/plans"), top.join("plans")).unwrap();
    let refusal = work.make(Some(OWNER), Job::TfPlan).unwrap_err();
    assert!(refusal.contains("/open: others may write"), "{refusal}");
    fs::remove_dir_all(top).unwrap();
}

#[test]
fn a_user_who_could_not_get_there_is_refused_before_the_run() {
    let (top, work) = scene("walk");
    fs::set_permissions(&top, Permissions::from_mode(0o700)).unwrap();
    // Nobody goes this way in a sandbox.
    work.make(Some(OWNER), Job::TfPlan).unwrap();
    work.make(None, Job::TfApply).unwrap();
    let refusal = work.make(Some(OWNER), Job::TfApply).unwrap_err();
    assert!(
        refusal.contains("uid 65523 cannot enter it (mode 0700)"),
        "{refusal}"
    );
    fs::remove_dir_all(top).unwrap();
}
