//! Hosts and commits that are not as they should be: each is told in a sentence, changes nothing and leaves nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{assert_without, lines_of};
use crate::support::folder::Folder;
use crate::support::git_server::git;
use crate::support::long_tests;
use crate::support::process::{go_first, output_of, run, text};
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;

/// The commands of the host that do what the endpoints do.
const BOTH: [&str; 2] = ["tf-plan", "tf-apply"];

/// What a command on the host comes to with these settings instead of the site's.
#[track_caller]
fn ends(site: &Site, name: &str, sha: &str, settings: &[(&str, &Path)]) -> Value {
    let mut command = site.deployer.command(&[name, "--sha", sha]);
    command.envs(settings.iter().copied());
    let output = output_of(&mut command, b"");
    let lines = text(&output.stdout);
    let last = lines.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no outcome: {lines}{}", text(&output.stderr)))
}

#[track_caller]
fn fails(site: &Site, name: &str, sha: &str, settings: &[(&str, &Path)], words: &[&str]) {
    let outcome = ends(site, name, sha, settings);
    assert_eq!(outcome["status"], "fail", "{outcome}");
    let error = outcome["error"].as_str().expect("an error");
    for word in words {
        assert!(error.contains(word), "{name}: no word of {word:?}: {error}");
    }
    assert_eq!(site.left_behind(), Vec::<PathBuf>::new());
    assert_eq!(site.bucket.keys(), Vec::<String>::new());
}

/// A file system in memory with so much room; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(place: PathBuf, options: &str) -> Small {
        fs::create_dir_all(&place).expect("a folder");
        let options = format!("mode=755,{options}");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&place));
        Small(place)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_tool_that_is_missing_or_no_program_is_named() {
    let site = Site::new();
    let sha = site.commit(&hcl::chain(&["a"]));
    let folder = site.deployer.folder();
    let missing = Path::new("/nowhere/tool");
    let no_program = folder.write("no-program", "\u{7f}ELF, but not really");
    let closed = folder.write("closed", "#!/bin/sh\n");
    fs::set_permissions(&no_program, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).expect("a mode");
    for name in BOTH {
        for variable in ["DEPLOYER_TF_BINARY_PATH", "DEPLOYER_TF_GIT_BINARY_PATH"] {
            for tool in [missing, &no_program, &closed] {
                let word = tool.display().to_string();
                fails(&site, name, &sha, &[(variable, tool)], &[&word]);
            }
        }
    }
}

#[test]
fn a_terraform_that_is_too_old_is_told_in_its_own_words() {
    let site = Site::new();
    let wants = "terraform {\n  required_version = \">= 99.0.0\"\n}\n";
    let sha = site.commit(wants);
    let old = "echo 'Error: Failed to parse command-line flags' >&2; echo 'flag provided but not defined: -lockfile' >&2; exit 1";
    let old = site.deployer.executable("terraform-of-old", old);
    for name in BOTH {
        fails(
            &site,
            name,
            &sha,
            &[],
            &["terraform init failed: Unsupported Terraform Core version"],
        );
        let settings = [("DEPLOYER_TF_BINARY_PATH", old.as_path())];
        let words =
            ["terraform init failed: Failed to parse command-line flags: flag provided but not defined"];
        fails(&site, name, &sha, &settings, &words);
    }
}

#[test]
fn a_root_that_is_missing_or_a_file_is_told_with_what_there_is() {
    let site = Site::new();
    let sha = site
        .repository
        .commit(&[("envs/prod/main.tf", ""), ("infra", "a file\n")]);
    for (root, word) in [
        ("infra", "infra is no folder in this commit"),
        ("env", "the commit has no folder env; it has .. envs"),
        (
            "envs/prod/main.tf",
            "envs/prod/main.tf is no folder in this commit",
        ),
    ] {
        for name in BOTH {
            let settings = [("DEPLOYER_TF_APPLY_ROOT_DIR", Path::new(root))];
            fails(&site, name, &sha, &settings, &[&word.replace(".. ", "")]);
        }
    }
}

#[test]
fn a_work_folder_that_cannot_be_written_is_named() {
    let site = Site::new();
    let sha = site.commit("");
    let closed = Small::mount(site.deployer.folder().join("closed"), "size=1m,ro");
    for (name, variable) in [
        ("tf-plan", "DEPLOYER_TF_PLAN_WORKDIR"),
        ("tf-apply", "DEPLOYER_TF_APPLY_WORKDIR"),
    ] {
        let word = closed.0.display().to_string();
        fails(&site, name, &sha, &[(variable, &closed.0)], &[&word, "ead-only"]);
    }
}

#[test]
fn a_work_folder_that_fills_up_is_told_and_is_empty_again() {
    let site = Site::new();
    let large: String = (0..400_000u64)
        .map(|number| format!("{:x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let main = site.text(&hcl::chain(&["a"]));
    let sha = site.repository.commit(&[("main.tf", &main), ("large", &large)]);
    for (name, variable) in [
        ("tf-plan", "DEPLOYER_TF_PLAN_WORKDIR"),
        ("tf-apply", "DEPLOYER_TF_APPLY_WORKDIR"),
    ] {
        let small = Small::mount(site.deployer.folder().join(name), "size=4m");
        fails(&site, name, &sha, &[(variable, &small.0)], &["the disk is full"]);
        let left: Vec<_> = fs::read_dir(&small.0).expect("the folder").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_line_without_end_is_cut_and_what_follows_it_is_shown() {
    let site = Site::new();
    let long = "output \"long\" { value = join(\"\", [for i in range(1000) : \"0123456789\".repeat]) }\n";
    let long =
        long.replace("\"0123456789\".repeat", "format(\"%0200d\", i)") + &hcl::output("zzz", "the last one");
    let answer = site.plan(&site.propose(&long));
    answer.assert_ok();
    let said = lines_of(&answer, "tf_plan");
    let longest = said.iter().map(String::len).max().expect("lines");
    assert!((8000..9000).contains(&longest), "{longest}");
    assert!(said.iter().any(|line| line.ends_with("... (cut)")));
    assert!(said.iter().any(|line| line.contains("the last one")), "{said:#?}");
}

#[test]
fn what_an_apply_prints_is_harmless_whatever_bytes_it_is_of() {
    let site = Site::new();
    let prints = "printf 'broken \\377\\376 utf-8\\n\\033[2J\\033]0;title\\007escaped\\n::error::not ours\\r::add-mask::x\\n\\000nul\\n'; \
                  head -c 200000 /dev/zero | tr '\\0' 'x'; echo; echo the last one";
    let answer = site.apply(&site.commit(&hcl::making("prints", prints, "")), None);
    answer.assert_ok();
    let said = lines_of(&answer, "tf_apply");
    for part in ["broken \u{fffd}", "escaped", "::error::not ours", "the last one"] {
        assert!(said.iter().any(|line| line.contains(part)), "{part}: {said:#?}");
    }
    assert!(said.iter().all(|line| line.len() < 9000));
    assert!(
        !said.iter().any(|line| line.chars().any(char::is_control)),
        "{said:#?}"
    );
    // On the wire each line is a member of a JSON object, so that no line of ours begins as a command does.
    assert!(answer.lines.iter().all(|(_, line)| line.starts_with('{')));
    assert_eq!(site.resources(), ["prints"]);
}

#[test]
fn what_a_program_of_an_apply_leaves_at_work_is_gone_when_the_run_is() {
    let site = Site::new();
    let leaves = "sh -c 'sleep 300 & sleep 300' >/dev/null 2>&1 &";
    let sha = site.commit(&hcl::making("leaves", leaves, ""));
    site.apply(&sha, None).assert_ok();
    let left = crate::support::process::processes_in(&site.workdir());
    assert_eq!(left, Vec::<i32>::new());
}

#[test]
fn a_commit_with_a_hundred_thousand_files_is_planned_and_leaves_none_of_them() {
    if !long_tests() {
        return;
    }
    // The daemon has deadlines of its own for it.
    go_first();
    let site = Site::new();
    let main = site.text(&hcl::chain(&["a"]));
    let mut told = format!(
        "commit refs/heads/many\ncommitter a <a@example.com> 1700000000 +0000\ndata 1\nx\nM 100644 inline main.tf\ndata {}\n{main}\n",
        main.len()
    );
    for number in 0..100_000 {
        told += &format!("M 100644 inline d{}/f{number}\ndata 1\nx\n", number % 300);
    }
    let sha = imported(&site, told.as_bytes());
    let by_hand = git_alone(&site, &sha);
    let began = Instant::now();
    site.plan(&sha).assert_ok();
    let took = began.elapsed();
    println!("100,000 files: {took:?}, and git alone {by_hand:?}");
    // Against what this machine does at the moment: a walk that is not linear would take hours.
    assert!(took < 10 * by_hand + Duration::from_secs(600), "{took:?}");
    assert_eq!(site.left_behind(), Vec::<PathBuf>::new());
}

#[test]
fn a_commit_with_a_file_of_200_megabytes_is_planned_and_gives_the_disk_back() {
    if !long_tests() {
        return;
    }
    let site = Site::new();
    site.commit("");
    let mut random = Command::new("head");
    let large = fs::File::create(site.repository.folder().join("large")).expect("a file");
    let made = random.args(["-c", "200M", "/dev/urandom"]).stdout(large).status();
    assert!(made.expect("head").success());
    let sha = site.propose(&hcl::chain(&["a"]));
    let began = Instant::now();
    site.plan(&sha).assert_ok();
    let took = began.elapsed();
    println!("200 MB: {took:?}");
    assert!(took < Duration::from_secs(600), "{took:?}");
    assert_eq!(site.left_behind(), Vec::<PathBuf>::new());
}

/// How long git takes to fetch a commit and to write its files, without anybody between.
#[track_caller]
fn git_alone(site: &Site, sha: &str) -> Duration {
    let folder = Folder::new("by-hand");
    let began = Instant::now();
    let from = site.repository.folder().path().display().to_string();
    for words in [
        &["init", "-q", "."][..],
        &["fetch", "-q", "--depth=1", &from, sha],
        &["checkout", "-q", "FETCH_HEAD"],
    ] {
        run(git(folder.path()).args(words));
    }
    began.elapsed()
}

/// The commit that git-fast-import(1) makes of this.
#[track_caller]
fn imported(site: &Site, told: &[u8]) -> String {
    let branch = text(told.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let branch = branch.trim_start_matches("commit ").to_owned();
    let mut command = Command::new(crate::support::terraform::git());
    command.arg("-C").arg(site.repository.folder().path());
    let output = output_of(command.args(["fast-import", "--quiet", "--force"]), told);
    assert!(output.status.success(), "{}", text(&output.stderr));
    site.repository.git(&["rev-parse", &branch])
}

#[test]
fn a_plan_that_is_tampered_with_before_its_apply_is_not_applied() {
    let site = Site::new();
    // What the configuration starts while it is planned has the plan's own user: in an apply that is terraform's.
    let before = site.commit(&hcl::chain(&["a"]));
    let real = crate::support::terraform::program();
    let spoils = format!(
        "'{0}' \"$@\"; status=$?; [ \"$1\" != show ] || echo spoiled >\"$TF_DATA_DIR/../plan.bin\"; exit $status",
        real.display()
    );
    let spoils = site.deployer.executable("terraform-that-spoils", &spoils);
    let outcome = ends(
        &site,
        "tf-apply",
        &before,
        &[("DEPLOYER_TF_BINARY_PATH", &spoils)],
    );
    assert_eq!(outcome["status"], "fail", "{outcome}");
    assert_eq!(site.resources(), Vec::<String>::new());
    let answer = site.start_apply(json!({"sha": before})).finish();
    answer.assert_ok();
    assert_without(&answer, &["tf_init_retry"]);
}
