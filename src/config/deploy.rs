//! What a deploy does, and its settings.

use std::path::PathBuf;
use std::time::Duration;

use super::duration::duration;
use super::reader::Reader;
use super::{Settings, image, pins, settings, value};
use crate::limits::MOST_KEPT_IMAGES;

/// Where programs are looked up when nobody says (inetd starts us with an empty environment).
pub const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `/deploy` does.
#[derive(Clone, Debug)]
pub struct DeployConfig {
    /// Without a tag (`DEPLOYER_IMAGE`).
    pub image: String,
    /// In the order of the deploy (`DEPLOYER_CONTAINERS`).
    pub containers: Vec<Container>,
    /// How a container is replaced.
    pub backend: Backend,
    /// The docker client (`DEPLOYER_DOCKER_PATH`).
    pub docker: PathBuf,
    /// What docker and the operator's command find in their environment; nothing else reaches them.
    pub environment: Vec<(String, String)>,
    /// The longest wait between two health probes.
    pub poll_interval: Duration,
    /// How long a container may take to become healthy.
    pub health_max_wait: Duration,
    /// How long a container must have run without a restart before the deploy counts (`DEPLOYER_HEALTH_STEADY`).
    pub steady: Duration,
    pub health_expect: HealthExpect,
    /// Whether a run shows the last lines of a container that failed (`DEPLOYER_RELAY_LOGS`).
    pub relay_logs: bool,
    /// How long `update_container`, or the operator's executable, may take for one container
    /// (`DEPLOYER_UPDATE_MAX_WAIT`).
    pub update_max_wait: Duration,
    /// Whether a deploy that fails, or was interrupted, after it has changed something is put back
    /// (`DEPLOYER_ROLLBACK`); else everything stays as it is, for somebody to look at.
    pub rollback: bool,
    /// Bytes that must be free where docker keeps images (`DEPLOYER_MIN_FREE`); 0 asks for none.
    pub min_free: u64,
    /// Whether the image must be of the commit that was asked for.
    pub revision: Revision,
    /// Whether a lower version than the live one may be deployed (`DEPLOYER_ALLOW_DOWNGRADE`).
    pub allow_downgrade: bool,
    /// Who must have signed the image, if anybody.
    pub cosign: Option<Cosign>,
    /// How docker logs in for the pull, if it does.
    pub login: Option<Login>,
    /// Versions of the image that stay on the host (`DEPLOYER_KEEP_IMAGES`).
    pub keep_images: u32,
}

/// One container to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Docker's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    pub name: String,
    /// Where its health is asked for, if anywhere.
    pub health_url: Option<String>,
}

/// `DEPLOYER_BACKEND` with what each needs.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Rewrite the template, run Unraid's script, prove by inspection.
    Unraid {
        /// `DEPLOYER_TEMPLATE_DIR`.
        templates: PathBuf,
        /// `DEPLOYER_UPDATE_CONTAINER_PATH`.
        script: PathBuf,
    },
    /// Create from a declaration, swap by names.
    Docker {
        /// `DEPLOYER_CONTAINER_DIR`.
        declarations: PathBuf,
    },
    /// The operator's executable.
    Command {
        /// `DEPLOYER_COMMAND_PATH`.
        program: PathBuf,
        /// `DEPLOYER_PULL=on`: pull and tag before it.
        pull: bool,
    },
}

/// `DEPLOYER_HEALTH_EXPECT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthExpect {
    /// 200 with JSON whose `version` is the one deployed.
    #[default]
    Version,
    /// Any 200.
    Status,
    /// Docker's own health state; without a HEALTHCHECK: running, not restarting, for a while.
    Container,
}

/// `DEPLOYER_REQUIRE_REVISION`: what the image's label `org.opencontainers.image.revision` is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// Nothing.
    Off,
    /// The commit of the request; another one is worth a line.
    #[default]
    Warn,
    /// The commit of the request and that of the token; another one refuses.
    On,
}

/// Who must have signed the image.
#[derive(Clone, Debug)]
pub struct Cosign {
    /// `DEPLOYER_COSIGN_PATH`.
    pub program: PathBuf,
    /// `DEPLOYER_COSIGN_IDENTITY`: the subject of the signing certificate, exactly.
    pub identity: String,
    /// `DEPLOYER_COSIGN_ISSUER`: who vouched for that subject, exactly.
    pub issuer: String,
}

/// How docker logs in at the registry, for the pull alone.
#[derive(Clone, Debug)]
pub struct Login {
    /// `DEPLOYER_REGISTRY_USERNAME`.
    pub username: String,
    /// `DEPLOYER_REGISTRY_PASSWORD_FILE`: the password is read where it is used and nowhere else.
    pub password_file: PathBuf,
}

/// Reads all of it.
pub fn deploy(r: &mut Reader) -> DeployConfig {
    const EXPECTED: [(&str, HealthExpect); 3] = [
        ("version", HealthExpect::Version),
        ("status", HealthExpect::Status),
        ("container", HealthExpect::Container),
    ];
    const REVISIONS: [(&str, Revision); 3] = [
        ("off", Revision::Off),
        ("warn", Revision::Warn),
        ("on", Revision::On),
    ];
    let config = DeployConfig {
        image: r.read("DEPLOYER_IMAGE", image::image),
        containers: r.read("DEPLOYER_CONTAINERS", image::containers),
        backend: backend(r),
        docker: r.read("DEPLOYER_DOCKER_PATH", value::program),
        environment: environment(r.settings),
        poll_interval: r.read("DEPLOYER_HEALTH_POLL_INTERVAL", duration),
        health_max_wait: r.read("DEPLOYER_HEALTH_MAX_WAIT", duration),
        steady: r.read("DEPLOYER_HEALTH_STEADY", duration),
        health_expect: r.choice("DEPLOYER_HEALTH_EXPECT", &EXPECTED),
        relay_logs: r.on_or_off("DEPLOYER_RELAY_LOGS"),
        update_max_wait: r.read("DEPLOYER_UPDATE_MAX_WAIT", duration),
        rollback: r.on_or_off("DEPLOYER_ROLLBACK"),
        min_free: r.read("DEPLOYER_MIN_FREE", value::bytes),
        revision: r.choice("DEPLOYER_REQUIRE_REVISION", &REVISIONS),
        allow_downgrade: r.yes_or_no("DEPLOYER_ALLOW_DOWNGRADE"),
        cosign: cosign(r),
        login: login(r),
        keep_images: r.read("DEPLOYER_KEEP_IMAGES", value::count(1..=MOST_KEPT_IMAGES)),
    };
    // A check of an image that we never see would be a check that nobody makes.
    if matches!(config.backend, Backend::Command { pull: false, .. }) {
        let should = "unset unless DEPLOYER_PULL=on: we see no image that your command pulls";
        r.must_fit(
            "DEPLOYER_REQUIRE_REVISION",
            config.revision != Revision::On,
            should,
        );
        r.must_fit("DEPLOYER_COSIGN_PATH", config.cosign.is_none(), should);
    }
    config
}

/// Reads the settings of every backend, so that a mistake in one that is not chosen yet is known today.
fn backend(r: &mut Reader) -> Backend {
    let names = ["unraid", "docker", "command"].map(|name| (name, name));
    let chosen = r.choice("DEPLOYER_BACKEND", &names);
    if chosen == "command" {
        r.require(&["DEPLOYER_COMMAND_PATH"]);
    }
    let templates = r.read("DEPLOYER_TEMPLATE_DIR", value::path);
    let script = r.read("DEPLOYER_UPDATE_CONTAINER_PATH", value::path);
    let declarations = r.read("DEPLOYER_CONTAINER_DIR", value::path);
    let program = r.optional("DEPLOYER_COMMAND_PATH", value::path);
    let pull = r.on_or_off("DEPLOYER_PULL");
    match chosen {
        "docker" => Backend::Docker { declarations },
        "command" => Backend::Command {
            program: program.unwrap_or_default(),
            pull,
        },
        _ => Backend::Unraid { templates, script },
    }
}

/// All three or none: a signature by anybody is worth nothing, and a forgotten path must not switch the check off.
fn cosign(r: &mut Reader) -> Option<Cosign> {
    const ALL: [&str; 3] = [
        "DEPLOYER_COSIGN_PATH",
        "DEPLOYER_COSIGN_IDENTITY",
        "DEPLOYER_COSIGN_ISSUER",
    ];
    r.all_or_none(&ALL);
    let program = r.optional(ALL[0], value::path);
    let [identity, issuer] = [ALL[1], ALL[2]].map(|name| r.optional(name, pins::exact));
    Some(Cosign {
        program: program?,
        identity: identity?,
        issuer: issuer?,
    })
}

fn login(r: &mut Reader) -> Option<Login> {
    const BOTH: [&str; 2] = ["DEPLOYER_REGISTRY_USERNAME", "DEPLOYER_REGISTRY_PASSWORD_FILE"];
    r.all_or_none(&BOTH);
    // RFC 7617 section 2: the first colon ends the name.
    let username = r.optional(BOTH[0], |text| (!text.contains(':')).then(|| text.to_owned()));
    let password_file = r.optional(BOTH[1], value::path);
    Some(Login {
        username: username?,
        password_file: password_file?,
    })
}

/// The children's environment: what is set of the short list, and always a PATH, of absolute folders only: a relative
/// one would find programs wherever a run happens to stand.
fn environment(settings: &Settings) -> Vec<(String, String)> {
    let folders = settings.get("PATH").unwrap_or_default().split(':');
    let absolute: Vec<&str> = folders.filter(|one| one.starts_with('/')).collect();
    let path = match absolute.is_empty() {
        true => USUAL_PATH.to_owned(),
        false => absolute.join(":"),
    };
    let others = settings::FOR_CHILDREN.iter().filter(|name| **name != "PATH");
    let others = others.filter_map(|name| Some((name.to_string(), settings.get(name)?.to_owned())));
    [("PATH".to_owned(), path)].into_iter().chain(others).collect()
}
