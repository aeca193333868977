//! [github_app] A token comes from GitHub by the app's key alone, narrow and for a short time; and when it does not come,
//! the reason is told.
//!
//! The requests are made by the real fetch role.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use engram_deployer::config::{Config, GithubApp, Settings};
use engram_deployer::fetch::{FetchRequest, FetchResponse};
use engram_deployer::terraform::github_app::Installation;

use crate::support::folder::Folder;
use crate::support::github_api::{APP, GithubApi, INSTALLATION, Mood, REPOSITORY};
use crate::support::process::{installed, output_of};
use crate::support::token::openssl_rsa;

const URL: &str = "https://github.com/engram-app/infra.git";

/// Two keys for the whole test process: the app's, and another's.
fn keys() -> &'static [String; 2] {
    static KEYS: OnceLock<[String; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [openssl_rsa(2048), openssl_rsa(2048)])
}

struct Bench {
    api: GithubApi,
    app: GithubApp,
    config: Config,
    folder: Folder,
}

impl Bench {
    fn new() -> Bench {
        let (api, folder) = (GithubApi::start(&keys()[0]), Folder::new("github-app"));
        let pem = folder.write("app.pem", &keys()[0]);
        fs::set_permissions(&pem, fs::Permissions::from_mode(0o600)).expect("the mode of the key");
        let app = GithubApp {
            id: APP.into(),
            installation: INSTALLATION.into(),
            pem,
            api_url: api.url().into(),
        };
        let config = config();
        Bench {
            api,
            app,
            config,
            folder,
        }
    }

    fn token(&self) -> Result<String, String> {
        self.token_of(URL)
    }

    fn token_of(&self, url: &str) -> Result<String, String> {
        let installation = Installation::new(&self.config, &self.app, url);
        let token = installation.token(SystemTime::now(), &mut by_role)?;
        Ok(token.expose().to_owned())
    }
}

fn config() -> Config {
    let least = Settings::from_env_file(include_bytes!("data/least.env")).expect("settings");
    Config::from_settings(&least).expect("good settings")
}

/// What `fetch::send` does with itself, done with the daemon's executable; and nobody sees a secret meanwhile.
fn by_role(order: &FetchRequest) -> Result<FetchResponse, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engram-deployer"));
    let piped = command
        .arg("fetch")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().expect("starting the role");
    let order = serde_json::to_vec(order).expect("JSON");
    let place = format!("/proc/{}", child.id());
    for file in ["cmdline", "environ"] {
        let seen = fs::read(format!("{place}/{file}")).unwrap_or_default();
        let seen = String::from_utf8_lossy(&seen).into_owned();
        assert!(!seen.contains("Bearer") && !seen.contains("ghs_"), "{seen}");
    }
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&order)
        .expect("the role reads");
    let output = child.wait_with_output().expect("the role ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("an answer")
}

#[test]
fn a_token_is_for_one_repository_and_is_taken_back() {
    let bench = Bench::new();
    let token = bench.token().unwrap();
    assert_eq!(bench.api.given(), [token.as_str()]);
    let installation = Installation::new(&bench.config, &bench.app, URL);
    let token = engram_deployer::secret::Secret::new(token);
    installation.revoke(&token, &mut by_role).unwrap();
    assert_eq!(bench.api.revoked(), bench.api.given());
    let calls = [
        format!("POST /app/installations/{INSTALLATION}/access_tokens"),
        "DELETE /installation/token".to_owned(),
    ];
    assert_eq!(bench.api.calls(), calls);
    let another = engram_deployer::secret::Secret::new("ghs_gone".into());
    assert!(
        installation
            .revoke(&another, &mut by_role)
            .unwrap_err()
            .contains("401")
    );
}

#[test]
fn a_key_as_github_writes_it_does_as_well() {
    let bench = Bench::new();
    let mut openssl = installed("openssl", "openssl");
    let pem = output_of(openssl.args(["rsa", "-traditional"]), keys()[0].as_bytes()).stdout;
    assert!(pem.starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
    fs::write(&bench.app.pem, pem).expect("writing the key");
    bench.token().unwrap();
}

#[test]
fn whatever_is_wrong_is_told_with_what_to_do() {
    for (mood, words) in [
        (Mood::Suspended, "the app may not read infra"),
        (Mood::WithoutPermission, "it needs the permission Contents (read)"),
        (Mood::PrimaryLimit, "rate limit is reached, try again later"),
        (Mood::SecondaryLimit, "rate limit is reached, try again in 42 s"),
        (Mood::Broken, "GitHub is in trouble"),
    ] {
        let bench = Bench::new();
        bench.api.is(mood);
        let error = bench.token().unwrap_err();
        assert!(
            error.starts_with(&format!("get a token for the GitHub App {APP}: ")),
            "{error}"
        );
        assert!(error.contains(words), "{mood:?}: {error}");
    }
    let mut bench = Bench::new();
    let error = bench
        .token_of("https://github.com/engram-app/other.git")
        .unwrap_err();
    assert!(error.contains("the app may not read other"), "{error}");
    bench.app.installation = "1".into();
    let error = bench.token().unwrap_err();
    assert!(
        error.contains("no installation 1, check DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID"),
        "{error}"
    );
    bench.app.id = "1".into();
    let error = bench.token().unwrap_err();
    assert!(
        error.contains("no such app, check DEPLOYER_TF_APPLY_GH_APP_ID"),
        "{error}"
    );
    assert_eq!(REPOSITORY, "infra");
}

#[test]
fn a_wrong_key_is_told_from_a_wrong_clock() {
    let bench = Bench::new();
    fs::write(&bench.app.pem, &keys()[1]).expect("writing another key");
    let error = bench.token().unwrap_err();
    assert!(
        error.contains("is none of this app's") && error.contains("app.pem"),
        "{error}"
    );
    fs::write(&bench.app.pem, &keys()[0]).expect("writing the key");
    for ahead in [-300, 900] {
        bench.api.is_ahead(ahead);
        let error = bench.token().unwrap_err();
        assert!(error.contains("this host's clock is wrong"), "{ahead}: {error}");
    }
    // What the back-dating is for.
    for ahead in [-50, 50] {
        bench.api.is_ahead(ahead);
        bench.token().unwrap();
    }
}

#[test]
fn a_key_that_others_can_read_or_that_is_none_is_not_used() {
    let bench = Bench::new();
    let mode = |mode| fs::set_permissions(&bench.app.pem, fs::Permissions::from_mode(mode)).expect("a mode");
    for open in [0o644, 0o640, 0o622] {
        mode(open);
        let error = bench.token().unwrap_err();
        assert!(
            error.contains("refuse to read") && error.contains("app.pem"),
            "{error}"
        );
    }
    mode(0o600);
    for (content, words) in [("hunter2", "no private key in it"), ("", "no private key in it")] {
        fs::write(&bench.app.pem, content).expect("writing the key");
        let error = bench.token().unwrap_err();
        assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
    }
    fs::write(&bench.app.pem, "x".repeat(300 * 1024)).expect("writing the key");
    assert!(bench.token().unwrap_err().contains("larger than"));
    fs::remove_file(&bench.app.pem).expect("removing the key");
    assert!(bench.token().unwrap_err().contains("app.pem"));
    assert_eq!(bench.api.calls(), Vec::<String>::new());
    drop(bench.folder);
}

#[test]
fn a_github_that_is_not_there_is_told_as_the_network() {
    let mut bench = Bench::new();
    bench.app.api_url = format!("http://127.0.0.1:{}", crate::support::free_port());
    let started = std::time::Instant::now();
    let error = bench.token().unwrap_err();
    assert!(error.contains("can this host reach http://127.0.0.1"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60));
}
