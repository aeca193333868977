//! A daemon that plans and applies: a repository, a bucket that holds the state, and callers with the right tokens.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::bucket::{self, Bucket};
use super::repository::Repository;
use super::{at_work, git, program};
use crate::support::curl::{Answer, Call};
use crate::support::deployer::{Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::wait_until;

/// The repository whose jobs may plan and apply.
pub const REPOSITORY: &str = "engram-app/engram-infra";

/// The `aud` of tokens for `/tf-plan` and `/tf-apply`.
pub const AUDIENCES: [&str; 2] = ["engram-tf-plan", "engram-tf-apply"];

/// The secret of the key to the state: of no use anywhere, and unlike any other text.
pub const AWS_SECRET: &str = "canary-aws-3kX0vQ8ZsTn2PfLwYd7R";

/// The object that holds the state.
pub const KEY: &str = "infra/terraform.tfstate";

/// The parts, in the order in which they go: the daemon before what it works on.
pub struct Site {
    /// The daemon.
    pub deployer: Deployer,
    /// Who signs.
    pub issuer: Issuer,
    /// What is planned and applied.
    pub repository: Repository,
    /// Where the state is.
    pub bucket: Bucket,
}

impl Site {
    /// With settings that work.
    #[track_caller]
    pub fn new() -> Site {
        Site::with(|_| ())
    }

    /// With settings of the test's own.
    #[track_caller]
    pub fn with(change: impl FnOnce(&mut Setup)) -> Site {
        let issuer = Issuer::start();
        let (repository, bucket) = (Repository::new(), Bucket::start());
        let mut setup = Setup::new(&issuer);
        configure(&mut setup, &repository);
        change(&mut setup);
        Site {
            deployer: setup.start(),
            issuer,
            repository,
            bucket,
        }
    }

    /// A whole configuration: this, with its state in the bucket.
    pub fn text(&self, body: &str) -> String {
        self.bucket.backend(KEY) + body
    }

    /// Commits a configuration to main; the commit.
    #[track_caller]
    pub fn commit(&self, body: &str) -> String {
        self.repository.commit(&[("main.tf", &self.text(body))])
    }

    /// Commits a configuration to a pull request; the commit.
    #[track_caller]
    pub fn propose(&self, body: &str) -> String {
        self.repository.propose(&[("main.tf", &self.text(body))])
    }

    /// A token for `/tf-plan`, as a job of a pull request gets it for this commit.
    pub fn plan_token(&self, sha: &str) -> String {
        self.issuer
            .mint_with(AUDIENCES[0], |claims| plan_claims(claims, sha))
    }

    /// A token for `/tf-apply`, as a job on main gets it for this commit.
    pub fn apply_token(&self, sha: &str) -> String {
        self.issuer
            .mint_with(AUDIENCES[1], |claims| apply_claims(claims, sha))
    }

    /// Asks for a plan, and follows it to its end.
    #[track_caller]
    pub fn plan(&self, sha: &str) -> Answer {
        self.start_plan(json!({ "sha": sha })).finish()
    }

    /// Asks for a plan with this body, and does not wait.
    #[track_caller]
    pub fn start_plan(&self, body: Value) -> Call {
        let token = self.plan_token(body["sha"].as_str().expect("a commit"));
        self.deployer
            .client()
            .start_post("/tf-plan", &token, &body.to_string())
    }

    /// Asks for an apply of what was reviewed, or of whatever there is, and follows it to its end.
    #[track_caller]
    pub fn apply(&self, sha: &str, digest: Option<&str>) -> Answer {
        let mut body = json!({ "sha": sha });
        if let Some(digest) = digest {
            body["plan_digest"] = digest.into();
        }
        self.start_apply(body).finish()
    }

    /// Asks for an apply with this body, and does not wait.
    #[track_caller]
    pub fn start_apply(&self, body: Value) -> Call {
        let token = self.apply_token(body["sha"].as_str().expect("a commit"));
        self.deployer
            .client()
            .start_post("/tf-apply", &token, &body.to_string())
    }

    /// The names of the resources that the state has.
    pub fn resources(&self) -> Vec<String> {
        self.state()
            .map_or_else(Vec::new, |state| bucket::resources(&state))
    }

    /// The state, if there is one.
    pub fn state(&self) -> Option<Value> {
        self.bucket.state(KEY)
    }

    /// The state's lock, if somebody holds it.
    pub fn lock(&self) -> Option<Value> {
        self.bucket.lock(KEY)
    }

    /// A lock that somebody else holds, as terraform writes it.
    pub fn lock_by_another(&self) {
        let info = json!({
            "ID": "3f1c9a5e-1111-2222-3333-444455556666", "Operation": "OperationTypeApply", "Info": "",
            "Who": "ada@laptop", "Version": "1.11.4", "Created": "2026-01-02T03:04:05.678Z",
            "Path": format!("engram-state/{KEY}"),
        });
        self.bucket.put(&format!("{KEY}.tflock"), &info.to_string());
    }

    /// Where tools work, as they see it.
    pub fn workdir(&self) -> PathBuf {
        self.deployer.setting("DEPLOYER_TF_APPLY_WORKDIR").into()
    }

    /// A document that a run left in its folder: `plan`, `apply`, `health`.
    #[track_caller]
    pub fn document(&self, id: &str, name: &str) -> Value {
        let path = self.deployer.runs().join(id).join(format!("{name}.json"));
        read_json(&path)
    }

    /// The result of a run, once there is one.
    #[track_caller]
    pub fn outcome(&self, id: &str) -> Value {
        let path = self.deployer.runs().join(id).join("result.json");
        wait_until("the run is recorded", Duration::from_secs(60), || path.exists());
        read_json(&path)["outcome"].clone()
    }

    /// What `GET` of this path gives.
    #[track_caller]
    pub fn status(&self, path: &str) -> Option<Value> {
        let answer = self.deployer.client().get(path);
        assert!([200, 204].contains(&answer.status), "{answer:#?}");
        (answer.status == 200).then(|| answer.events().remove(0))
    }

    /// Waits until a terraform of this daemon works with these arguments; its process id.
    #[track_caller]
    pub fn terraform_at_work(&self, arguments: &str) -> i32 {
        let mut found = None;
        wait_until("terraform is at work", Duration::from_secs(30), || {
            let processes = at_work::terraforms(&self.workdir());
            let mut wanted = processes
                .into_iter()
                .filter(|(_, words)| words.contains(arguments));
            found = wanted.next().map(|(pid, _)| pid);
            found.is_some()
        });
        found.expect("it was found")
    }

    /// Waits until no terraform of this daemon is left.
    #[track_caller]
    pub fn no_terraform_is_left(&self, limit: Duration) {
        wait_until("no terraform is left", limit, || {
            at_work::terraforms(&self.workdir()).is_empty()
        });
    }

    /// Every file beneath the folders where tools work, whoever left it, but for terraform's own settings: they hold no
    /// secret, and every run has the same.
    pub fn left_behind(&self) -> Vec<PathBuf> {
        let mut folders = ["DEPLOYER_TF_APPLY_WORKDIR", "DEPLOYER_TF_PLAN_WORKDIR"]
            .map(|name| PathBuf::from(self.deployer.setting(name)))
            .to_vec();
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder { &mut folders } else { &mut files }.push(entry.path());
            }
        }
        files.retain(|path| !path.ends_with("terraform.rc"));
        files
    }
}

/// The id of the run that a call is about, once its stream has begun.
#[track_caller]
pub fn run_id(call: &mut Call) -> String {
    let line = call.wait_for("run_id");
    let first: Value = serde_json::from_str(&line).expect("an event is JSON");
    first["run_id"].as_str().expect("a run id").to_owned()
}

/// Adds what terraform needs to settings that have what a deploy needs.
pub fn configure(setup: &mut Setup, repository: &Repository) {
    let workdirs = ["tf", "tf-plan"].map(|name| setup.folder().join(name));
    for (name, workdir) in ["APPLY", "PLAN"].into_iter().zip(workdirs) {
        fs::create_dir(&workdir).expect("a folder for terraform");
        setup.set(&format!("DEPLOYER_TF_{name}_WORKDIR"), workdir);
    }
    for (name, value) in settings(&repository.url()) {
        setup.set(name, value);
    }
}

/// What terraform needs besides what a deploy needs, but for its folders.
pub fn settings(repository: &str) -> Vec<(&'static str, String)> {
    let workflow = format!("{REPOSITORY}/.github/workflows/tf-apply.yml@refs/heads/main");
    vec![
        ("DEPLOYER_TF_APPLY_REPOSITORY", REPOSITORY.into()),
        ("DEPLOYER_TF_APPLY_WORKFLOW_REF", workflow),
        ("DEPLOYER_TF_APPLY_ROOT_DIR", ".".into()),
        ("DEPLOYER_TF_APPLY_REPO_URL", repository.into()),
        ("DEPLOYER_TF_AWS_ACCESS_KEY_ID", "AKIDOFATEST".into()),
        ("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", AWS_SECRET.into()),
        ("DEPLOYER_TF_PLAN_SHARE_CREDENTIALS", "yes".into()),
        // What is built into terraform has no lock file.
        ("DEPLOYER_TF_LOCKFILE", "update".into()),
        ("DEPLOYER_TF_LOCK_TIMEOUT", "1s".into()),
        ("DEPLOYER_TF_BINARY_PATH", program().display().to_string()),
        ("DEPLOYER_TF_GIT_BINARY_PATH", git().display().to_string()),
    ]
}

/// What GitHub says of a job of pull request 7.
pub fn plan_claims(claims: &mut Map<String, Value>, sha: &str) {
    let said = json!({
        "repository": REPOSITORY, "sub": format!("repo:{REPOSITORY}:pull_request"),
        "workflow_ref": format!("{REPOSITORY}/.github/workflows/tf-plan.yml@refs/pull/7/merge"),
        "ref": "refs/pull/7/merge", "event_name": "pull_request", "base_ref": "main", "head_ref": "pull-7", "sha": sha,
    });
    extend(claims, said);
}

/// What GitHub says of a job of a push to main.
pub fn apply_claims(claims: &mut Map<String, Value>, sha: &str) {
    let said = json!({
        "repository": REPOSITORY, "sub": format!("repo:{REPOSITORY}:ref:refs/heads/main"),
        "workflow_ref": format!("{REPOSITORY}/.github/workflows/tf-apply.yml@refs/heads/main"),
        "ref": "refs/heads/main", "event_name": "push", "sha": sha,
    });
    extend(claims, said);
}

fn extend(claims: &mut Map<String, Value>, said: Value) {
    match said {
        Value::Object(said) => claims.extend(said),
        other => unreachable!("{other} is an object"),
    }
}

#[track_caller]
fn read_json(path: &std::path::Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
