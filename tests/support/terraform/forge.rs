//! A forge: the repository of a site behind a git server that demands a token, and the API that gives one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::deployer::Setup;
use crate::support::folder::Folder;
use crate::support::git_server::{GitServer, Manners};
use crate::support::github_api::{APP, GithubApi, INSTALLATION, REPOSITORY};
use crate::support::token::openssl_rsa;

/// The parts. The servers' threads end with the process.
pub struct Forge {
    /// Serves the repository.
    pub server: GitServer,
    /// Gives the tokens.
    pub api: GithubApi,
    folder: Folder,
}

impl Forge {
    /// Puts the repository of `setup` behind a server, and the daemon before it as a GitHub App.
    pub fn before(setup: &mut Setup) -> Forge {
        let folder = Folder::new("forge");
        let repository = setup.setting("DEPLOYER_TF_APPLY_REPO_URL");
        let repository = PathBuf::from(repository.trim_start_matches("file://")).join(".git");
        let served = folder.join("served");
        fs::create_dir(&served).expect("a folder");
        symlink(&repository, served.join(format!("{REPOSITORY}.git"))).expect("a link");
        let pem = folder.write("app.pem", key());
        fs::set_permissions(&pem, fs::Permissions::from_mode(0o600)).expect("the mode of the key");
        let forge = Forge {
            server: GitServer::start(&served, Manners::default()),
            api: GithubApi::start(key()),
            folder,
        };
        let url = format!("{}/{REPOSITORY}.git", forge.server.url());
        setup
            .set("DEPLOYER_TF_APPLY_REPO_URL", url)
            .set("DEPLOYER_GITHUB_API_URL", forge.api.url())
            .set("DEPLOYER_TF_APPLY_GH_APP_ID", APP)
            .set("DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID", INSTALLATION)
            .set("DEPLOYER_TF_APPLY_GH_APP_PEM_PATH", pem);
        forge
    }

    /// From now on the server serves only who comes with the token that the API gives next, each time after `waits`.
    pub fn wants_the_next(&self, waits: Duration) {
        self.server.behave(Manners {
            wants: Some(authorization(&self.api.next())),
            waits,
            ..Manners::default()
        });
    }

    /// The same, each time when `so` is true.
    pub fn wants_the_next_until(&self, so: &Arc<AtomicBool>) {
        self.server.behave(Manners {
            wants: Some(authorization(&self.api.next())),
            until: Some(Arc::clone(so)),
            ..Manners::default()
        });
    }

    /// Where the app's key is.
    pub fn pem(&self) -> PathBuf {
        self.folder.join("app.pem")
    }
}

/// How git's requests bear a token.
pub fn authorization(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("x-access-token:{token}")))
}

/// One key for the whole test process: making one takes a while.
pub fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| openssl_rsa(2048))
}
