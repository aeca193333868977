//! Settings -> [`Config`], section by section. Every section reads all of its variables before it gives up, so that the
//! operator sees every complaint of all sections at once.

use std::time::Duration;

use super::pins::{self, Issued};
use super::reader::{Complaint, Reader};
use super::{
    Account, Application, Backend, Caps, Config, DeployConfig, Endpoint, HealthConfig, Issuer, Places,
    RunLimits, Settings, Sources,
};
use super::{checks, credential, duration, image, settings, tf, url, value};
use crate::limits::{MOST_KEPT_RUNS, MOST_QUEUED, MOST_SESSIONS};

/// Where programs are looked up when nobody says (inetd starts us with an empty environment).
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Config {
    /// Makes sense of all settings, or returns every complaint.
    pub fn from_settings(settings: &Settings) -> Result<Config, Vec<Complaint>> {
        let mut reader = Reader::new(settings);
        let config = config(&mut reader, settings);
        reader.finish(config)
    }

    /// The one application that there is.
    pub fn application(&self) -> &Application {
        let [application] = &self.applications;
        application
    }

    /// What a deploy of that application does.
    pub fn deploy(&self) -> &DeployConfig {
        &self.application().deploy
    }

    /// What can be asked for with a token.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let terraform = self.terraform.iter().flat_map(|terraform| &terraform.endpoints);
        let applications = self.applications.iter();
        applications.map(|one| &one.endpoint).chain(terraform)
    }

    /// The endpoint whose path is `path`, exactly.
    pub fn endpoint_at(&self, path: &str) -> Option<&Endpoint> {
        self.endpoints().find(|endpoint| endpoint.path == path)
    }

    /// The endpoint called `name`.
    pub fn endpoint_named(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints().find(|endpoint| endpoint.name == name)
    }
}

fn config(r: &mut Reader, settings: &Settings) -> Option<Config> {
    let listen = r.read("DEPLOYER_ADDR", value::listen);
    let idle_exit = r.read("DEPLOYER_IDLE_EXIT", duration::duration_or_never);
    let cert_file = r.read("DEPLOYER_CERT_FILE", credential::path);
    let key_file = r.read("DEPLOYER_KEY_FILE", credential::path);
    let (issuer, issued) = issuer(r);
    let deploy_endpoint = pins::deploy(r, issued);
    let allowed = r.read("DEPLOYER_ALLOWED_IPS", Sources::parse);
    let status_allowed = r.optional("DEPLOYER_STATUS_ALLOWED_IPS", Sources::parse);
    let users = users(r);
    let caps = caps(r);
    let runs = run_limits(r);
    let places = places(r);
    let log = r.read("DEPLOYER_LOG", value::log_filter);
    let notify = r.optional("DEPLOYER_NOTIFY_COMMAND", value::path);
    let deploy = deploy(r, settings);
    #[cfg(feature = "failpoints")]
    let failpoint = r.optional("DEPLOYER_FAILPOINT", |text| Ok(text.to_owned()));
    let rest = tf::Rest {
        audience: deploy_endpoint
            .as_ref()
            .map(|endpoint| endpoint.audience.as_str()),
        users: users.as_ref(),
        places: places.as_ref(),
    };
    let terraform = tf::terraform(r, &rest)?;
    let (front_user, fetch_user) = users?;
    Some(Config {
        #[cfg(feature = "failpoints")]
        failpoint: failpoint?,
        listen: listen?,
        idle_exit: idle_exit?,
        cert_file: cert_file?,
        key_file: key_file?,
        issuer: issuer?,
        allowed: allowed?,
        status_allowed: status_allowed?.unwrap_or_else(Sources::everyone),
        front_user,
        fetch_user,
        caps: caps?,
        runs: runs?,
        places: places?,
        log: log?,
        notify: notify?,
        applications: [Application {
            endpoint: deploy_endpoint?,
            deploy: deploy?,
        }],
        terraform,
    })
}

/// The issuer, and whose tokens they are (GitHub's, where the issuer itself is wrong).
fn issuer(r: &mut Reader) -> (Option<Issuer>, Issued) {
    let name = r.read("DEPLOYER_ISSUER", url::issuer);
    let elsewhere = name.as_deref().is_some_and(|name| !pins::is_github(name));
    let jwks_url = if elsewhere && r.set("DEPLOYER_JWKS_URL").is_none() {
        // GitHub's keys never sign for another issuer.
        r.missing("DEPLOYER_JWKS_URL");
        None
    } else {
        r.read("DEPLOYER_JWKS_URL", url::fetchable)
    };
    let ca_file = r.optional("DEPLOYER_CA_FILE", value::path);
    let issued = if elsewhere {
        Issued::Elsewhere
    } else {
        Issued::ByGithub
    };
    let issuer = || {
        Some(Issuer {
            name: name?,
            jwks_url: jwks_url?,
            ca_file: ca_file?,
        })
    };
    (issuer(), issued)
}

/// Front and fetcher may not be one user: either could end or trace the other.
fn users(r: &mut Reader) -> Option<(Account, Account)> {
    let front = r.read("DEPLOYER_USER", value::account);
    let fetch = r.read("DEPLOYER_FETCH_USER", value::account);
    let (front, fetch) = (front?, fetch?);
    if front == fetch {
        r.complain("DEPLOYER_FETCH_USER", "another user than DEPLOYER_USER");
        return None;
    }
    Some((front, fetch))
}

/// One source has at most what all have together, whatever it is given.
fn caps(r: &mut Reader) -> Option<Caps> {
    let sessions = r.read("DEPLOYER_MAX_SESSIONS", value::count(1..=MOST_SESSIONS));
    let per_source = r.read(
        "DEPLOYER_MAX_SESSIONS_PER_SOURCE",
        value::count(1..=MOST_SESSIONS),
    );
    let followers = r.read("DEPLOYER_MAX_FOLLOWERS", value::count(1..=MOST_SESSIONS));
    let sessions = sessions?;
    Some(Caps {
        sessions,
        sessions_per_source: per_source?.min(sessions),
        followers: followers?,
    })
}

fn run_limits(r: &mut Reader) -> Option<RunLimits> {
    let queue_max = r.read("DEPLOYER_QUEUE_MAX", value::count(1..=MOST_QUEUED));
    let queue_max_wait = r.read("DEPLOYER_QUEUE_MAX_WAIT", duration::duration);
    let run_max = r.read("DEPLOYER_RUN_MAX", duration::duration);
    let keep = r.read("DEPLOYER_KEEP_RUNS", value::count(1..=MOST_KEPT_RUNS));
    Some(RunLimits {
        queue_max: queue_max?,
        queue_max_wait: queue_max_wait?,
        run_max: run_max?,
        keep: keep?,
    })
}

/// Three folders of their own: one file name must not mean two things, and nothing of ours may be in front's reach.
fn places(r: &mut Reader) -> Option<Places> {
    let state = r.read("DEPLOYER_STATE_DIR", value::path);
    let runs = r.optional("DEPLOYER_RUNS_DIR", value::path);
    let runtime = r.read("DEPLOYER_RUNTIME_DIR", value::path);
    let (state, runs, runtime) = (state?, runs?, runtime?);
    let runs = runs.unwrap_or_else(|| state.join("runs"));
    let public = runtime.join("public");
    if runtime == state || state.starts_with(&public) {
        r.complain(
            "DEPLOYER_STATE_DIR",
            "a folder of its own, not DEPLOYER_RUNTIME_DIR and not in its `public`",
        );
        return None;
    }
    if runs == state || runs == runtime || runs.starts_with(&public) {
        r.complain(
            "DEPLOYER_RUNS_DIR",
            "a folder of its own, not one of the other two and not in `public`",
        );
        return None;
    }
    Some(Places { state, runs, runtime })
}

fn deploy(r: &mut Reader, settings: &Settings) -> Option<DeployConfig> {
    let image = r.read("DEPLOYER_IMAGE", image::image);
    let containers = r.read("DEPLOYER_CONTAINERS", image::containers);
    let backend = backend(r);
    let docker = r.read("DEPLOYER_DOCKER_PATH", value::program);
    let health = health(r);
    let update_max_wait = r.read("DEPLOYER_UPDATE_MAX_WAIT", duration::duration);
    let rollback = r.read("DEPLOYER_ROLLBACK", value::rollback);
    let checks = checks::checks(r, backend.as_ref());
    let login = checks::login(r);
    let keep_images = checks::keep_images(r);
    Some(DeployConfig {
        image: image?,
        containers: containers?,
        backend: backend?,
        docker: docker?,
        environment: environment(settings),
        health: health?,
        update_max_wait: update_max_wait?,
        rollback: rollback?,
        checks: checks?,
        login: login?,
        keep_images: keep_images?,
    })
}

/// Reads the settings of every backend, so that a mistake in one that is not chosen yet is known today.
fn backend(r: &mut Reader) -> Option<Backend> {
    let chosen = r.read("DEPLOYER_BACKEND", |text| match text {
        "unraid" | "docker" | "command" => Ok(text.to_owned()),
        _ => Err("`unraid`, `docker` or `command`".into()),
    });
    let templates = r.read("DEPLOYER_TEMPLATE_DIR", value::path);
    let update_container = r.read("DEPLOYER_UPDATE_CONTAINER_PATH", value::path);
    let declarations = r.read("DEPLOYER_CONTAINER_DIR", value::path);
    let program = r.optional("DEPLOYER_COMMAND_PATH", value::path);
    let pull = r.read("DEPLOYER_PULL", value::switch);
    match chosen?.as_str() {
        "docker" => Some(Backend::Docker {
            declarations: declarations?,
        }),
        "command" => {
            let program = program?;
            if program.is_none() {
                r.missing("DEPLOYER_COMMAND_PATH");
            }
            Some(Backend::Command {
                program: program?,
                pull: pull?,
            })
        }
        _ => Some(Backend::Unraid {
            templates: templates?,
            update_container: update_container?,
        }),
    }
}

fn health(r: &mut Reader) -> Option<HealthConfig> {
    let poll_interval = r.read("DEPLOYER_HEALTH_POLL_INTERVAL", duration::duration);
    let max_wait = r.read("DEPLOYER_HEALTH_MAX_WAIT", duration::duration);
    let steady = r.read("DEPLOYER_HEALTH_STEADY", duration::duration);
    let expect = r.read("DEPLOYER_HEALTH_EXPECT", value::health_expect);
    Some(HealthConfig {
        poll_interval: poll_interval?,
        max_wait: max_wait?,
        steady: steady?,
        expect: expect?,
    })
}

/// The children's environment: what is set of the short list, and always a PATH, of absolute folders only: a relative
/// one would find programs wherever a run happens to stand.
fn environment(settings: &Settings) -> Vec<(String, String)> {
    let absolute = |path: &str| {
        path.split(':')
            .filter(|one| one.starts_with('/'))
            .collect::<Vec<_>>()
            .join(":")
    };
    let path = settings.get("PATH").map(absolute).filter(|path| !path.is_empty());
    let others = settings::FOR_CHILDREN.iter().filter(|name| **name != "PATH");
    let others = others.filter_map(|name| Some(((*name).to_owned(), settings.get(name)?.to_owned())));
    std::iter::once(("PATH".to_owned(), path.unwrap_or_else(|| USUAL_PATH.to_owned())))
        .chain(others)
        .collect()
}

/// What DEPLOYER_RUN_MAX should at least be, when it is less: every container may use its whole time to become healthy.
pub(super) fn shortest_run(config: &Config) -> Option<Duration> {
    let containers = u32::try_from(config.deploy().containers.len()).unwrap_or(u32::MAX);
    let probing = config.deploy().health.max_wait.saturating_mul(containers);
    (probing >= config.runs.run_max).then_some(probing)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
pub(super) mod tests;
