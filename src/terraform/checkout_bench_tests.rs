//! A real repository, served by git itself, and a place for one checkout of it.

use super::*;

use std::time::Duration;

use crate::config::{Config, Side, TerraformConfig};
use crate::jwt::base64url::encode_standard;
use crate::queue;
use crate::terraform::work::{HOME, Work};

#[path = "../../tests/support/git_server.rs"]
#[allow(dead_code, reason = "the promises in tests/ use the rest")]
pub(super) mod git_server;

use git_server::{GitServer, Manners, Repository};

pub(super) const TOKEN: &str = "ghs_1_canary.token-of_a.test";
pub(super) const PLAIN: &str = "100644";
pub(super) const LINK: &str = "120000";

/// A repository, a place for one checkout of it, and the settings for that.
pub(super) struct Bench {
    pub(super) scratch: queue::testing::Scratch,
    pub(super) repository: Repository,
    pub(super) config: Config,
    pub(super) module: Module,
}

impl Bench {
    pub(super) fn new(word: &str) -> Bench {
        let scratch = queue::testing::Scratch::new(&format!("checkout-{word}"));
        let root = scratch.0.state.parent().unwrap().to_owned();
        let repository = Repository::create(&root.join("served"), "infra.git");
        let url = format!("file://{}", repository.path().display());
        let mut config = queue::testing::config(&scratch.0);
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
    pub(super) fn with_history(word: &str) -> (Bench, Vec<String>) {
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

    pub(super) fn served(&mut self, manners: Manners) -> GitServer {
        let server = GitServer::start(self.repository.path().parent().unwrap(), manners);
        self.settings().repo_url = format!("{}/infra.git", server.url());
        server
    }

    pub(super) fn settings(&mut self) -> &mut TerraformConfig {
        self.config.terraform.as_mut().unwrap()
    }

    pub(super) fn work(&self) -> Work {
        Work::of(self.config.terraform.as_ref().unwrap(), Job::TfApply)
    }

    pub(super) fn checkout(&self) -> PathBuf {
        self.work().real.join(CHECKOUT)
    }

    /// What comes of fetching it into a fresh folder, and the lines that were said.
    pub(super) fn fetch(
        &self,
        commit: Option<&str>,
        job: Job,
        token: Option<&str>,
    ) -> (Result<CheckedOut, String>, Vec<String>) {
        let work = self.work();
        let _ = fs::remove_dir_all(&work.real);
        fs::create_dir_all(work.real.join(HOME)).unwrap();
        self.fetch_there(commit, job, token)
    }

    pub(super) fn fetch_there(
        &self,
        commit: Option<&str>,
        job: Job,
        token: Option<&str>,
    ) -> (Result<CheckedOut, String>, Vec<String>) {
        let (terraform, work) = (self.config.terraform.as_ref().unwrap(), self.work());
        let commands = Commands {
            config: &self.config,
            terraform,
            side: &terraform.apply,
            job: Job::TfApply,
            work: work.clone(),
        };
        let commit = commit.map(|id| Commit::try_from(id.to_owned()).unwrap());
        let _ = fs::remove_dir_all(&self.scratch.0.runs);
        let mut ctx = RunContext::scratch(&self.scratch.0);
        let token = token.map(|text| Secret::new(text.to_owned()));
        let done = checkout_with(
            &mut ctx,
            &commands,
            commit.as_ref(),
            job,
            &self.module,
            token.as_ref(),
        );
        drop(ctx);
        (done.map_err(|failure| failure.to_string()), self.lines())
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut runs = fs::read_dir(&self.scratch.0.runs).unwrap().flatten();
        let text = fs::read_to_string(runs.next().unwrap().path().join("log.ndjson")).unwrap_or_default();
        let message = |line: &str| serde_json::from_str::<crate::event::Event>(line).unwrap().message;
        text.lines().map(message).collect()
    }

    /// The error of a checkout that must fail.
    #[track_caller]
    pub(super) fn refusal(&self, commit: &str, job: Job, token: Option<&str>) -> String {
        let (done, lines) = self.fetch(Some(commit), job, token);
        let error = done.unwrap_err();
        assert!(!format!("{error}{lines:?}").contains(TOKEN), "{error}");
        error
    }

    /// Puts a program in git's place that notes what it was given before it becomes git.
    pub(super) fn note_calls(&mut self) -> PathBuf {
        let notes = self.scratch.0.state.parent().unwrap().join("notes");
        self.before_git(&format!(
            "{{ echo call; printf '%s\\n' \"$@\"; env; }} >>{}",
            notes.display()
        ));
        notes
    }

    /// Puts a program in git's place that runs this shell text before it becomes git.
    pub(super) fn before_git(&mut self, script: &str) {
        let root = self.scratch.0.state.parent().unwrap();
        let (text, program) = (root.join("git.text"), root.join("wrapped-git"));
        fs::write(&text, format!("#!/bin/sh\n{script}\nexec git \"$@\"\n")).unwrap();
        // By another process: a child that another test starts at this moment would have it open for writing.
        let mut install = std::process::Command::new("install");
        let made = install.args(["-m", "755"]).args([&text, &program]).status();
        assert!(made.unwrap().success());
        self.settings().git = program;
    }
}

fn terraform(repo_url: String, workdir: &Path) -> TerraformConfig {
    let none = || Secret::new(String::new());
    TerraformConfig {
        endpoints: Vec::new(),
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
        plan: Err(String::new()),

        lockfile_readonly: true,
        lock_timeout: Duration::from_secs(1),
        run_max: Duration::from_secs(60),
        require_digest: false,
        destroy_limit: None,
        health_urls: Vec::new(),
        app: None,
        cli_config: None,
        plugin_cache: None,
    }
}

pub(super) fn basic(token: &str) -> Option<String> {
    let pair = format!("x-access-token:{token}");
    Some(format!("Basic {}", encode_standard(pair.as_bytes())))
}

pub(super) fn wants_token() -> Manners {
    Manners {
        wants: basic(TOKEN),
        ..Manners::default()
    }
}

pub(super) fn is_old() -> Manners {
    Manners {
        is_old: true,
        ..Manners::default()
    }
}
