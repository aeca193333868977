//! Against real repositories, served by git itself.

use super::*;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::config::{Config, Lockfile, RequireDigest, Side, TerraformConfig};
use crate::jwt::base64url::encode_standard;
use crate::run;
use crate::terraform::work::Kind;

#[path = "../../tests/support/git_server.rs"]
#[allow(dead_code, reason = "the promises in tests/ use the rest")]
mod git_server;

use git_server::{GitServer, Manners, Repository};

const TOKEN: &str = "ghs_1_canary.token-of_a.test";
const PLAIN: &str = "100644";
const LINK: &str = "120000";

/// A repository, a place for one checkout of it, and the settings for that.
struct Bench {
    scratch: run::testing::Scratch,
    repository: Repository,
    config: Config,
    module: Module,
}

impl Bench {
    fn new(word: &str) -> Bench {
        let scratch = run::testing::Scratch::new(&format!("checkout-{word}"));
        let root = scratch.0.state.parent().unwrap().to_owned();
        let repository = Repository::create(&root.join("served"), "infra.git");
        let url = format!("file://{}", repository.path().display());
        let mut config = run::testing::config(&scratch.0);
        config.terraform = Some(terraform(url, &root.join("tf")));
        let module = Module {
            name: "default".into(),
            path: "envs/prod".into(),
        };
        Bench {
            scratch,
            repository,
            config,
            module,
        }
    }

    /// Three commits on `main` and one beside it; their ids.
    fn with_history(word: &str) -> (Bench, Vec<String>) {
        let bench = Bench::new(word);
        let commit = |branch: &str, text: &str| {
            let file = (PLAIN, "envs/prod/main.tf", text);
            bench.repository.commit(branch, &[file])
        };
        let mut ids = vec![
            commit("main", "# 1\n"),
            commit("main", "# 2\n"),
            commit("main", "# 3\n"),
        ];
        bench.repository.run(&["branch", "side", &ids[1]]);
        ids.push(commit("side", "# side\n"));
        (bench, ids)
    }

    fn served(&mut self, manners: Manners) -> GitServer {
        let server = GitServer::start(self.repository.path().parent().unwrap(), manners);
        self.settings().repo_url = format!("{}/infra.git", server.url());
        server
    }

    fn settings(&mut self) -> &mut TerraformConfig {
        self.config.terraform.as_mut().unwrap()
    }

    fn work(&self) -> Work {
        Work::of(self.config.terraform.as_ref().unwrap(), Kind::Apply)
    }

    fn checkout(&self) -> PathBuf {
        Work::checkout(self.work().real())
    }

    /// What comes of fetching it into a fresh folder, and the lines that were said.
    fn fetch(
        &self,
        commit: Option<&str>,
        trust: Trust,
        token: Option<&str>,
    ) -> (Result<CheckedOut, String>, Vec<String>) {
        let work = self.work();
        let _ = fs::remove_dir_all(work.real());
        fs::create_dir_all(Work::home(work.real())).unwrap();
        self.fetch_there(commit, trust, token)
    }

    fn fetch_there(
        &self,
        commit: Option<&str>,
        trust: Trust,
        token: Option<&str>,
    ) -> (Result<CheckedOut, String>, Vec<String>) {
        let (terraform, work) = (self.config.terraform.as_ref().unwrap(), self.work());
        let hands = Hands {
            config: &self.config,
            terraform,
            side: &terraform.apply,
            kind: Kind::Apply,
            work: work.clone(),
        };
        let commit = commit.map(|id| Commit::try_from(id.to_owned()).unwrap());
        let wanted = Wanted {
            commit: commit.as_ref(),
            trust,
            module: &self.module,
        };
        let _ = fs::remove_dir_all(&self.scratch.0.runs);
        let mut stage = Stage::scratch(&self.scratch.0);
        let token = token.map(|text| Secret::new(text.to_owned()));
        let done = checkout_with(&mut stage, &hands, wanted, token.as_ref());
        drop(stage);
        (done.map_err(|failure| failure.to_string()), self.lines())
    }

    fn lines(&self) -> Vec<String> {
        let mut runs = fs::read_dir(&self.scratch.0.runs).unwrap().flatten();
        let text = fs::read_to_string(runs.next().unwrap().path().join("log.ndjson")).unwrap_or_default();
        let message = |line: &str| serde_json::from_str::<crate::event::Event>(line).unwrap().message;
        text.lines().map(message).collect()
    }

    /// The error of a checkout that must fail.
    #[track_caller]
    fn refusal(&self, commit: &str, trust: Trust, token: Option<&str>) -> String {
        let (done, lines) = self.fetch(Some(commit), trust, token);
        let error = done.unwrap_err();
        assert!(!format!("{error}{lines:?}").contains(TOKEN), "{error}");
        error
    }

    /// Puts a program in git's place that notes what it was given before it becomes git.
    fn note_calls(&mut self) -> PathBuf {
        let root = self.scratch.0.state.parent().unwrap().to_owned();
        let (notes, program) = (root.join("notes"), root.join("noting-git"));
        let script = format!(
            "#!/bin/sh\n{{ echo call; printf '%s\\n' \"$@\"; env; }} >>{}\nexec git \"$@\"\n",
            notes.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        self.settings().git = program;
        notes
    }
}

fn terraform(repo_url: String, workdir: &Path) -> TerraformConfig {
    let none = || Secret::new(String::new());
    TerraformConfig {
        repo_url,
        reference: "refs/heads/main".into(),
        modules: Vec::new(),
        workdir: workdir.to_owned(),
        plan_workdir: workdir.join("plan"),
        git: "git".into(),
        terraform: "terraform".into(),
        region: "us-east-1".into(),
        apply: Side {
            account: None,
            access_key_id: none(),
            secret_access_key: none(),
            docker_host: None,
        },
        plan: None,
        no_plan: None,
        lockfile: Lockfile::ReadOnly,
        lock_timeout: Duration::from_secs(1),
        run_max: Duration::from_secs(60),
        require_digest: RequireDigest::Off,
        destroy_limit: None,
        health_urls: Vec::new(),
        app: None,
        cli_config: None,
        plugin_cache: None,
    }
}

fn basic(token: &str) -> Option<String> {
    let pair = format!("x-access-token:{token}");
    Some(format!("Basic {}", encode_standard(pair.as_bytes())))
}

fn wants_token() -> Manners {
    Manners {
        wants: basic(TOKEN),
        ..Manners::default()
    }
}

fn is_old() -> Manners {
    Manners {
        is_old: true,
        ..Manners::default()
    }
}

#[test]
fn a_commit_by_its_id_is_files_and_no_repository() {
    let (mut bench, ids) = Bench::with_history("files");
    for http in [false, true] {
        if http {
            bench.served(Manners::default());
        }
        for (id, trust, text) in [
            (&ids[2], Trust::Merged, "# 3\n"),
            (&ids[0], Trust::Merged, "# 1\n"),
            (&ids[3], Trust::Any, "# side\n"),
        ] {
            let (done, lines) = bench.fetch(Some(id), trust, None);
            let done = done.unwrap();
            assert_eq!(
                (done.commit.to_string(), done.folder),
                (id.clone(), "envs/prod".into())
            );
            assert_eq!(
                fs::read_to_string(bench.checkout().join("envs/prod/main.tf")).unwrap(),
                text
            );
            let names: Vec<_> = fs::read_dir(bench.checkout())
                .unwrap()
                .flatten()
                .map(|e| e.file_name())
                .collect();
            assert_eq!(names, ["envs"]);
            let url = &bench.config.terraform.as_ref().unwrap().repo_url;
            assert_eq!(
                lines,
                [
                    format!("fetching {} of {url}", &id[..7]),
                    format!("checked out {}", &id[..7])
                ]
            );
        }
    }
}

#[test]
fn without_an_id_it_is_the_pinned_references_commit() {
    let (bench, ids) = Bench::with_history("tip");
    let (done, _) = bench.fetch(None, Trust::Merged, None);
    assert_eq!(done.unwrap().commit.to_string(), ids[2]);
}

#[test]
fn what_was_not_merged_is_not_applied() {
    let (mut bench, ids) = Bench::with_history("merged");
    for http in [false, true] {
        if http {
            bench.served(Manners::default());
        }
        let error = bench.refusal(&ids[3], Trust::Merged, None);
        assert!(
            error.contains("neither the commit of refs/heads/main nor one of its ancestors"),
            "{error}"
        );
        assert!(
            !bench.checkout().join("envs").exists(),
            "a file of it was written"
        );
    }
    // Nor a commit that no reference has any more, as a fork's or after a force-push.
    bench.repository.run(&["update-ref", "-d", "refs/heads/side"]);
    let error = bench.refusal(&ids[3], Trust::Merged, None);
    assert!(error.contains("ancestors"), "{error}");
    // Nor a later one than the reference's.
    bench.repository.run(&["update-ref", "refs/heads/main", &ids[1]]);
    let error = bench.refusal(&ids[2], Trust::Merged, None);
    assert!(error.contains("ancestors"), "{error}");
}

#[test]
fn a_merged_side_branch_is_an_ancestor() {
    let (bench, ids) = Bench::with_history("merge");
    let tree = bench.repository.run(&["rev-parse", "main^{tree}"]);
    let merge = bench.repository.run(&[
        "commit-tree",
        "-m",
        "x",
        "-p",
        &ids[2],
        "-p",
        &ids[3],
        tree.trim(),
    ]);
    bench
        .repository
        .run(&["update-ref", "refs/heads/main", merge.trim()]);
    for id in [&ids[3], &ids[1], &merge.trim().to_owned()] {
        bench.fetch(Some(id), Trust::Merged, None).0.unwrap();
    }
}

#[test]
fn an_unknown_commit_or_reference_is_told_as_such() {
    let (mut bench, ids) = Bench::with_history("unknown");
    let unknown = "1234567890123456789012345678901234567890";
    for http in [false, true] {
        if http {
            bench.served(Manners::default());
        }
        let error = bench.refusal(unknown, Trust::Any, None);
        assert!(
            error.starts_with(&format!("fetch {unknown} of ")) && error.contains("no such commit"),
            "{error}"
        );
    }
    bench.settings().reference = "refs/heads/nope".into();
    let error = bench.refusal(&ids[2], Trust::Merged, None);
    assert!(error.contains("no such reference"), "{error}");
    bench.settings().reference = "refs/heads/*".into();
    let error = bench.refusal(&ids[2], Trust::Merged, None);
    assert!(error.contains("DEPLOYER_TF_APPLY_REF"), "{error}");
}

#[test]
fn a_tree_or_a_tag_is_no_commit() {
    let (bench, _) = Bench::with_history("kinds");
    let tree = bench.repository.run(&["rev-parse", "main^{tree}"]);
    for trust in [Trust::Any, Trust::Merged] {
        bench.fetch(Some(tree.trim()), trust, None).0.unwrap_err();
    }
}

#[test]
fn a_token_opens_the_repository_and_is_seen_by_nobody() {
    let (mut bench, ids) = Bench::with_history("token");
    let server = bench.served(wants_token());
    let notes = bench.note_calls();
    for id in [&ids[0], &ids[2]] {
        let (done, lines) = bench.fetch(Some(id), Trust::Merged, Some(TOKEN));
        done.unwrap();
        assert!(!format!("{lines:?}").contains(TOKEN));
    }
    assert!(
        server
            .seen()
            .iter()
            .any(|seen| seen.authorization == basic(TOKEN))
    );
    let notes = fs::read_to_string(notes).unwrap();
    let pair = basic(TOKEN).unwrap();
    assert!(
        !notes.contains(TOKEN) && !notes.contains(&pair["Basic ".len()..]),
        "{notes}"
    );
    // All that git's children were given.
    let variables = [
        "GIT_", "HOME=", "LC_ALL=", "PATH=", "PWD=", "SHLVL=", "OLDPWD=", "_=",
    ];
    let given = notes.lines().filter(|line| {
        line.split('=')
            .next()
            .unwrap()
            .chars()
            .all(|c| c.is_ascii_uppercase() || c == '_')
    });
    for line in given.filter(|line| line.contains('=')) {
        assert!(variables.iter().any(|name| line.starts_with(name)), "{line}");
    }
    assert!(!notes.contains("GIT_TRACE") && notes.contains("GIT_CONFIG_GLOBAL=/dev/null"));
}

#[test]
fn a_token_that_is_refused_or_missing_is_told_as_such() {
    let (mut bench, ids) = Bench::with_history("refused");
    let server = bench.served(wants_token());
    for token in [None, Some("another")] {
        let error = bench.refusal(&ids[2], Trust::Any, token);
        assert!(error.contains("refuses the credentials"), "{error}");
    }
    server.behave(Manners {
        fails_with: Some(403),
        ..Manners::default()
    });
    let error = bench.refusal(&ids[2], Trust::Any, Some(TOKEN));
    assert!(error.contains("refuses the credentials"), "{error}");
    for (status, words) in [(404, "no such repository"), (502, "in trouble")] {
        server.behave(Manners {
            fails_with: Some(status),
            ..Manners::default()
        });
        let error = bench.refusal(&ids[2], Trust::Any, Some(TOKEN));
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_as_the_network() {
    let (mut bench, ids) = Bench::with_history("network");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    bench.settings().repo_url = format!("http://127.0.0.1:{port}/infra.git");
    let error = bench.refusal(&ids[2], Trust::Any, None);
    assert!(error.contains("could not be reached"), "{error}");
}

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
    let error = bench.refusal(&ids[2], Trust::Any, Some(TOKEN));
    assert!(error.contains("sends us elsewhere"), "{error}");
    assert_eq!(elsewhere.seen(), []);
}

#[test]
fn an_old_server_gives_what_the_reference_has_and_nothing_else() {
    let (mut bench, ids) = Bench::with_history("old");
    bench.served(is_old());
    let (done, lines) = bench.fetch(Some(&ids[0]), Trust::Merged, None);
    done.unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("fetching all of refs/heads/main instead")),
        "{lines:?}"
    );
    assert_eq!(
        fs::read_to_string(bench.checkout().join("envs/prod/main.tf")).unwrap(),
        "# 1\n"
    );
    bench.repository.run(&["update-ref", "-d", "refs/heads/side"]);
    for trust in [Trust::Any, Trust::Merged] {
        let error = bench.refusal(&ids[3], trust, None);
        assert!(
            error.contains("the history of refs/heads/main does not have it"),
            "{error}"
        );
    }
}

#[test]
fn a_server_without_filters_sends_more_and_it_is_said() {
    let (mut bench, ids) = Bench::with_history("filters");
    bench.served(Manners::default());
    bench
        .repository
        .run(&["config", "uploadpack.allowFilter", "false"]);
    let (done, lines) = bench.fetch(Some(&ids[0]), Trust::Merged, None);
    done.unwrap();
    assert!(
        lines.iter().any(|line| line.contains("filtering not recognized")),
        "{lines:?}"
    );
    let error = bench.refusal(&ids[3], Trust::Merged, None);
    assert!(error.contains("ancestors"), "{error}");
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
    let home = Work::home(bench.work().real());
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join(".gitconfig"), &settings).unwrap();
    let (done, lines) = bench.fetch_there(Some(&id), Trust::Merged, None);
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
        let error = bench.refusal(id.trim(), Trust::Merged, None);
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
        ("../home", Err("no path beneath")),
        ("envs/../../home", Err("no path beneath")),
        ("/etc", Err("no path beneath")),
    ] {
        bench.module.path = path.into();
        match (bench.fetch(Some(&id), Trust::Any, None).0, found) {
            (Ok(done), Ok(folder)) => assert_eq!(done.folder, Path::new(folder), "{path}"),
            (Err(error), Err(words)) => assert!(error.contains(words), "{path}: {error}"),
            (done, _) => panic!("{path}: {done:?}"),
        }
    }
}

#[test]
fn what_another_run_left_is_not_built_upon() {
    let (bench, ids) = Bench::with_history("left");
    bench.fetch(Some(&ids[2]), Trust::Any, None).0.unwrap();
    let error = bench.fetch_there(Some(&ids[2]), Trust::Any, None).0.unwrap_err();
    assert!(error.contains("is there already"), "{error}");
    fs::remove_dir_all(bench.checkout()).unwrap();
    std::os::unix::fs::symlink("/nonexistent", bench.checkout()).unwrap();
    let error = bench.fetch_there(Some(&ids[2]), Trust::Any, None).0.unwrap_err();
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn the_reference_may_move_while_a_commit_is_fetched() {
    let (mut bench, ids) = Bench::with_history("moved");
    // It moves between the two fetches: before the second one of git's calls with a filter.
    let root = bench.scratch.0.state.parent().unwrap().to_owned();
    let program = root.join("moving-git");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--filter=*) git -C {} update-ref refs/heads/main {};; esac\nexec git \"$@\"\n",
        bench.repository.path().display(),
        ids[1]
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    bench.settings().git = program;
    // Backwards: what was the reference's a moment ago is not any more.
    let error = bench.refusal(&ids[2], Trust::Merged, None);
    assert!(error.contains("ancestors"), "{error}");
    bench.fetch(Some(&ids[0]), Trust::Merged, None).0.unwrap();
}

#[test]
fn a_repository_that_lies_around_the_checkout_is_not_touched() {
    let (mut bench, ids) = Bench::with_history("around");
    let root = bench.scratch.0.state.parent().unwrap().to_owned();
    git_server::git(&root).args(["init", "--quiet"]).status().unwrap();
    let settings = fs::read(root.join(".git/config")).unwrap();
    // Even when there is no repository where there should be one.
    let program = root.join("lazy-git");
    fs::write(
        &program,
        "#!/bin/sh\n[ \"$1\" != init ] || exit 0\nexec git \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    bench.settings().git = program;
    for trust in [Trust::Any, Trust::Merged] {
        let error = bench.refusal(&ids[2], trust, None);
        assert!(error.contains("not a git repository"), "{error}");
    }
    assert_eq!(fs::read(root.join(".git/config")).unwrap(), settings);
    assert!(!root.join(".git/shallow").exists());
}

#[test]
fn a_repository_of_somebody_elses_can_be_planned_from_its_file_address() {
    let (bench, ids) = Bench::with_history("owner");
    let mut folders = vec![bench.repository.path().to_owned()];
    while let Some(folder) = folders.pop() {
        std::os::unix::fs::chown(&folder, Some(65523), Some(65523)).unwrap();
        let below = fs::read_dir(&folder).unwrap().flatten();
        folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    bench.fetch(Some(&ids[0]), Trust::Merged, None).0.unwrap();
}

#[test]
fn few_requests_are_made() {
    let (mut bench, ids) = Bench::with_history("requests");
    let server = bench.served(wants_token());
    let mut before = 0;
    let mut made = |id: &str, trust| {
        bench.fetch(Some(id), trust, Some(TOKEN)).0.unwrap();
        let all = server.seen();
        let made = all[before..]
            .iter()
            .map(|seen| seen.method.clone())
            .collect::<Vec<_>>();
        before = all.len();
        made
    };
    let plan = made(&ids[3], Trust::Any);
    let apply = made(&ids[2], Trust::Merged);
    println!("requests of a plan: {plan:?}; of an apply: {apply:?}");
    assert_eq!(
        plan.iter().filter(|method| *method == "POST").count(),
        1,
        "{plan:?}"
    );
    assert_eq!(
        apply.iter().filter(|method| *method == "POST").count(),
        2,
        "{apply:?}"
    );
}

/// 5,000 commits and 80 MB, as a repository that has grown for years.
fn grown(repository: &Repository) -> String {
    let mut told = Vec::new();
    let mut noise: u64 = 7;
    let mut bytes = |count: usize| {
        (0..count)
            .map(|_| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            })
            .collect::<Vec<u8>>()
    };
    for number in 0..5000 {
        let head = format!(
            "commit refs/heads/main\ncommitter a <a@example.com> {} +0000\ndata 1\nx\n",
            1_700_000_000 + number
        );
        told.extend(head.bytes());
        let file = format!("M 100644 inline envs/prod/f{}.tf\ndata 16384\n", number % 500);
        told.extend(file.bytes());
        told.extend(bytes(16384));
        told.push(b'\n');
    }
    repository.import(&told);
    repository.tip("main")
}

#[test]
fn one_commit_of_a_grown_repository_costs_less_than_half_of_a_clone() {
    let mut bench = Bench::new("grown");
    let id = grown(&bench.repository);
    bench.served(wants_token());
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let root = bench.scratch.0.state.parent().unwrap().to_owned();
        let started = Instant::now();
        let url = bench.config.terraform.as_ref().unwrap().repo_url.clone();
        let header = format!("http.extraHeader=Authorization: {}", basic(TOKEN).unwrap());
        let cloned = git_server::git(&root)
            .args(["-c", &header, "clone", "--quiet", &url, "clone"])
            .status()
            .unwrap();
        assert!(cloned.success());
        let by_hand = started.elapsed();
        fs::remove_dir_all(root.join("clone")).unwrap();
        let started = Instant::now();
        bench.fetch(Some(&id), Trust::Merged, Some(TOKEN)).0.unwrap();
        let ours = started.elapsed();
        println!("clone and checkout by hand {by_hand:.2?}, ours {ours:.2?}");
        ratios.push(ours.as_secs_f64() / by_hand.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("{:.2} of a clone", ratios[1]);
    assert!(ratios[1] <= 0.5, "{ratios:?}");
}
