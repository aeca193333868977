//! A git repository as a test wants it, reached by `file://`.

use std::process::Command;

use super::git;
use crate::support::folder::Folder;
use crate::support::process::run;

/// The branch of the pull request of [`Repository::propose`].
const PULL_REQUEST: &str = "pull-7";

/// A repository whose branch is `main`; everything in it goes with it.
pub struct Repository {
    folder: Folder,
}

impl Repository {
    /// With one commit and nothing in it.
    pub fn new() -> Repository {
        let repository = Repository {
            folder: Folder::new("repository"),
        };
        repository.git(&["init", "-q", "--template=", "-b", "main"]);
        repository.commit(&[]);
        repository
    }

    /// For `DEPLOYER_TF_APPLY_REPO_URL`.
    pub fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// Commits these files to main, beside those that are there; the commit.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            self.folder.write(name, content);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits these files to a pull request's branch that begins at main and is not merged; the commit.
    #[track_caller]
    pub fn propose(&self, files: &[(&str, &str)]) -> String {
        self.git(&["checkout", "-q", "-B", PULL_REQUEST]);
        let commit = self.commit(files);
        self.git(&["update-ref", "refs/pull/7/head", &commit]);
        self.git(&["checkout", "-q", "main"]);
        commit
    }

    /// Merges what was proposed; the commit on main.
    #[track_caller]
    pub fn merge(&self) -> String {
        self.git(&["merge", "-q", "--no-ff", "-m", "a merge", PULL_REQUEST]);
        self.head()
    }

    /// The last commit of main.
    #[track_caller]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "main"])
    }

    /// Its folder, for what has no word of its own here.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Any command of git; what it printed, without the last newline.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(git());
        command.arg("-C").arg(self.folder.path());
        command.args(["-c", "user.name=a test", "-c", "user.email=test@example.test"]);
        command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]);
        command
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        run(&mut command).trim_end().to_owned()
    }
}
