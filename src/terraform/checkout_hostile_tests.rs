//! What a repository, its server and its leftovers may try.

use super::bench::git_server::{self, GitServer, Manners};
use super::bench::{Bench, LINK, PLAIN, TOKEN};
use super::*;
use crate::terraform::work::HOME;

#[test]
fn a_redirect_is_not_followed_and_gets_no_token() {
    let (mut bench, ids) = Bench::with_history("redirect");
    let elsewhere = GitServer::start(bench.repository.path().parent().unwrap(), Manners::default());
    // The same machine under another name: another host for a credential.
    let other = elsewhere.url().replace("127.0.0.1", "localhost");
    bench.served(Manners {
        redirects_to: Some(other),
        ..Manners::default()
    });
    let error = bench.refusal(&ids[2], Job::TfPlan, Some(TOKEN));
    assert!(error.contains("sends us elsewhere"), "{error}");
    assert_eq!(elsewhere.seen(), []);
}

#[test]
fn what_a_commit_brings_along_is_not_run() {
    let bench = Bench::new("hostile");
    let mark = bench.scratch.0.state.join("ran");
    let command = format!("touch {}", mark.display());
    let hook = format!("#!/bin/sh\n{command}\n");
    let settings = format!(
        "[filter \"evil\"]\n\tsmudge = {command}\n[core]\n\tfsmonitor = {command}\n\thooksPath = hooks\n"
    );
    let id = bench.repository.commit(
        "main",
        &[
            (
                PLAIN,
                ".gitattributes",
                "* filter=evil diff=evil merge=evil\n*.tf filter=lfs\n",
            ),
            (PLAIN, ".gitconfig", &settings),
            (PLAIN, "gitconfig", &settings),
            ("100755", "hooks/post-checkout", &hook),
            (
                PLAIN,
                ".gitmodules",
                "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c id\n",
            ),
            ("160000", "x", "1234567890123456789012345678901234567890"),
            (PLAIN, "envs/prod/main.tf", "# 1\n"),
        ],
    );
    // A home and a template that would do it, too.
    let home = bench.work().real.join(HOME);
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join(".gitconfig"), &settings).unwrap();
    let (done, lines) = bench.fetch_there(Some(&id), Job::TfApply, None);
    done.unwrap();
    assert!(!mark.exists());
    assert!(
        lines
            .iter()
            .any(|line| line.contains("submodules, which are not fetched")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("Git LFS")), "{lines:?}");
    assert!(fs::read_dir(bench.checkout().join("x")).unwrap().next().is_none());
}

#[test]
fn a_repository_within_the_commit_is_refused() {
    let bench = Bench::new("inner");
    let blob = bench.repository.path().join("blob");
    fs::write(&blob, "[core]\n\tfsmonitor = id\n").unwrap();
    let blob = bench.repository.run(&["hash-object", "-w", "blob"]);
    // Neither mktree nor fast-import would write such a name, so the tree is made of its bytes.
    for name in [".git", ".GIT", "git~1"] {
        let inner = tree(&bench, "100644", "config", blob.trim());
        let outer = tree(&bench, "40000", name, &inner);
        let id = bench.repository.run(&["commit-tree", "-m", "x", &outer]);
        bench
            .repository
            .run(&["update-ref", "refs/heads/main", id.trim()]);
        let error = bench.refusal(id.trim(), Job::TfApply, None);
        assert!(error.contains("not well-formed"), "{name}: {error}");
    }
}

/// A tree with one entry, whatever it is called.
fn tree(bench: &Bench, mode: &str, name: &str, id: &str) -> String {
    let id: Vec<u8> = (0..20)
        .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let bytes = [format!("{mode} {name}\0").as_bytes(), &id].concat();
    fs::write(bench.repository.path().join("raw"), bytes).unwrap();
    let made = bench
        .repository
        .run(&["hash-object", "-w", "-t", "tree", "--literally", "raw"]);
    made.trim().to_owned()
}

#[test]
fn the_modules_folder_lies_in_the_checkout_or_there_is_none() {
    let mut bench = Bench::new("module");
    let id = bench.repository.commit(
        "main",
        &[
            (PLAIN, "envs/prod/main.tf", "# 1\n"),
            (PLAIN, "modules/a/main.tf", "# 2\n"),
            (PLAIN, "file", "x"),
            (LINK, "within", "envs/prod"),
            (LINK, "etc", "/etc"),
            (LINK, "envs/up", "../../../../../../../../etc"),
            (LINK, "beside", "../home"),
            (LINK, "loop", "loop"),
        ],
    );
    for (path, found) in [
        ("envs/prod", Ok("envs/prod")),
        (".", Ok("")),
        ("./envs", Ok("envs")),
        ("within", Ok("envs/prod")),
        ("nope", Err("the commit has no folder nope; it has envs, modules")),
        ("loop", Err("no folder loop")),
        ("file", Err("file is no folder")),
        ("etc", Err("leads out of the checkout")),
        ("envs/up", Err("leads out of the checkout")),
        ("beside", Err("leads out of the checkout")),
        ("../home", Err("leads out of the checkout")),
        ("envs/../../home", Err("leads out of the checkout")),
        ("/etc", Err("leads out of the checkout")),
    ] {
        bench.module.path = path.into();
        match (bench.fetch(Some(&id), Job::TfPlan, None).0, found) {
            (Ok(done), Ok(folder)) => assert_eq!(done.folder, Path::new(folder), "{path}"),
            (Err(error), Err(words)) => assert!(error.contains(words), "{path}: {error}"),
            (done, _) => panic!("{path}: {done:?}"),
        }
    }
}

#[test]
fn what_another_run_left_is_not_built_upon() {
    let (bench, ids) = Bench::with_history("left");
    bench.fetch(Some(&ids[2]), Job::TfPlan, None).0.unwrap();
    let error = bench.fetch_there(Some(&ids[2]), Job::TfPlan, None).0.unwrap_err();
    assert!(error.contains("is there already"), "{error}");
    fs::remove_dir_all(bench.checkout()).unwrap();
    std::os::unix::fs::symlink("/nonexistent", bench.checkout()).unwrap();
    let error = bench.fetch_there(Some(&ids[2]), Job::TfPlan, None).0.unwrap_err();
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn the_reference_may_move_while_a_commit_is_fetched() {
    let (mut bench, ids) = Bench::with_history("moved");
    // It moves between the two fetches: before the second one of git's calls with a filter.
    bench.before_git(&format!(
        "case \"$*\" in *--filter=*) git -C {} update-ref refs/heads/main {};; esac",
        bench.repository.path().display(),
        ids[1]
    ));
    // Backwards: what was the reference's a moment ago is not any more.
    let error = bench.refusal(&ids[2], Job::TfApply, None);
    assert!(error.contains("ancestors"), "{error}");
    bench.fetch(Some(&ids[0]), Job::TfApply, None).0.unwrap();
}

#[test]
fn a_repository_that_lies_around_the_checkout_is_not_touched() {
    let (mut bench, ids) = Bench::with_history("around");
    let root = bench.scratch.0.state.parent().unwrap().to_owned();
    git_server::git(&root).args(["init", "--quiet"]).status().unwrap();
    let settings = fs::read(root.join(".git/config")).unwrap();
    // Even when there is no repository where there should be one.
    bench.before_git("[ \"$1\" != init ] || exit 0");
    for trust in [Job::TfPlan, Job::TfApply] {
        let error = bench.refusal(&ids[2], trust, None);
        assert!(error.contains("not a git repository"), "{error}");
    }
    assert_eq!(fs::read(root.join(".git/config")).unwrap(), settings);
    assert!(!root.join(".git/shallow").exists());
}

#[test]
fn a_tree_or_a_tag_is_no_commit() {
    let (bench, _) = Bench::with_history("kinds");
    let tree = bench.repository.run(&["rev-parse", "main^{tree}"]);
    for trust in [Job::TfPlan, Job::TfApply] {
        bench.fetch(Some(tree.trim()), trust, None).0.unwrap_err();
    }
}
