//! Settings -> [`Config`]: all of them are read before anything is refused, so that the operator sees every complaint at
//! once.

use super::duration::{duration, duration_or_never};
use super::reader::{Complaint, Name, Reader};
use super::{
    Application, BodyRule, Caps, Config, Endpoint, Issuer, Job, Pin, Places, RunLimits, Settings, Sources,
    credential, deploy, pins, url, value,
};
use crate::limits::{MOST_KEPT_RUNS, MOST_QUEUED, MOST_SESSIONS};

const REPOSITORY: &str = "DEPLOYER_REPOSITORY";
const WORKFLOW_REF: &str = "DEPLOYER_WORKFLOW_REF";
const REF: &str = "DEPLOYER_REF";
const CLAIMS: &str = "DEPLOYER_CLAIMS";

impl Config {
    /// Makes sense of all settings, or returns every complaint.
    pub fn from_settings(settings: &Settings) -> Result<Config, Vec<Complaint>> {
        let mut r = Reader::new(settings);
        let config = host(&mut r, settings);
        #[cfg(feature = "terraform")]
        let config = Config {
            terraform: super::terraform::terraform(&mut r, &config),
            ..config
        };
        r.finish(config)
    }
}

/// Everything but terraform.
fn host(r: &mut Reader, settings: &Settings) -> Config {
    let listen = r.read("DEPLOYER_ADDR", value::listen);
    let idle_exit = r.read("DEPLOYER_IDLE_EXIT", duration_or_never);
    let cert_file = r.read("DEPLOYER_CERT_FILE", credential::path);
    let key_file = r.read("DEPLOYER_KEY_FILE", credential::path);
    let issuer = r.read("DEPLOYER_ISSUER", url::issuer);
    let by_github = pins::is_github(&issuer) || issuer.is_empty();
    let jwks_url = match by_github {
        true => r.read("DEPLOYER_JWKS_URL", url::fetchable),
        // GitHub's keys never sign for another issuer.
        false => r.needed("DEPLOYER_JWKS_URL", url::fetchable),
    };
    let ca_file = r.optional("DEPLOYER_CA_FILE", value::path);
    let endpoint = endpoint(r, by_github);
    let config = Config {
        listen,
        idle_exit,
        cert_file,
        key_file,
        issuer: Issuer {
            name: issuer,
            jwks_url,
            ca_file,
        },
        allowed: r.read("DEPLOYER_ALLOWED_IPS", Sources::parse),
        status_allowed: r
            .optional("DEPLOYER_STATUS_ALLOWED_IPS", Sources::parse)
            .unwrap_or_else(Sources::everyone),
        front_user: r.read("DEPLOYER_USER", value::account),
        fetch_user: r.read("DEPLOYER_FETCH_USER", value::account),
        caps: caps(r),
        runs: RunLimits {
            queue_max: r.read("DEPLOYER_QUEUE_MAX", value::count(1..=MOST_QUEUED)),
            queue_max_wait: r.read("DEPLOYER_QUEUE_MAX_WAIT", duration),
            run_max: r.read("DEPLOYER_RUN_MAX", duration),
            keep: r.read("DEPLOYER_KEEP_RUNS", value::count(1..=MOST_KEPT_RUNS)),
        },
        places: places(r),
        log: r.read("DEPLOYER_LOG", value::log_filter),
        notify: r.optional("DEPLOYER_NOTIFY_COMMAND", value::path),
        applications: [Application {
            endpoint,
            deploy: deploy::deploy(r, settings),
        }],
        #[cfg(feature = "terraform")]
        terraform: None,
        #[cfg(feature = "failpoints")]
        failpoint: r.optional("DEPLOYER_FAILPOINT", |text| Ok(text.to_owned())),
    };
    // Either could end or trace the other.
    let differ = config.front_user != config.fetch_user;
    r.must_fit("DEPLOYER_FETCH_USER", differ, "another user than DEPLOYER_USER");
    config
}

/// The `/deploy` endpoint. GitHub's tokens are held to repository, workflow and reference. Elsewhere these may be left
/// out; but where the repository or the workflow is pinned, the tokens are like GitHub's, and the default of the
/// reference holds as well.
fn endpoint(r: &mut Reader, by_github: bool) -> Endpoint {
    let audience = r.read("DEPLOYER_AUDIENCE", pins::exact);
    let like_github = by_github || r.set(REPOSITORY).is_some() || r.set(WORKFLOW_REF).is_some();
    let (repository, workflows) = match by_github {
        true => (
            Some(r.read(REPOSITORY, pins::repository)),
            Some(r.read(WORKFLOW_REF, pins::workflow_refs)),
        ),
        false => (
            r.optional(REPOSITORY, pins::exact),
            r.optional(WORKFLOW_REF, pins::exact_list),
        ),
    };
    let reference = match (by_github, like_github) {
        (true, _) => Some(r.read(REF, pins::reference)),
        (false, true) => Some(r.read(REF, pins::exact)),
        (false, false) => r.optional(REF, pins::exact),
    };
    if by_github && let (Some(repository), Some(workflows)) = (&repository, &workflows) {
        must_be_of(r, (REPOSITORY, repository), (WORKFLOW_REF, workflows));
    }
    let own = [
        ("repository", repository.map(|one| vec![one])),
        ("workflow_ref", workflows),
        ("ref", reference.map(|one| vec![one])),
    ];
    let own = own
        .into_iter()
        .filter_map(|(claim, values)| Some(pins::pin(claim, values?)));
    let pins = with_listed(r, own.collect(), CLAIMS);
    if !by_github && let Err(should) = pins::are_enough(&pins) {
        r.must_fit(CLAIMS, false, should);
    }
    Endpoint {
        name: "deploy",
        path: "/deploy",
        audience,
        pins,
        body: BodyRule::Deploy,
        job: Job::Deploy,
    }
}

/// Complains unless the workflows are of the repository; both come with the names of their variables.
pub(super) fn must_be_of(
    r: &mut Reader,
    (of, repository): (&str, &str),
    (name, workflows): (Name, &[String]),
) {
    let fits = r.is_wrong(of) || pins::are_of(repository, workflows);
    let should = format!("of {of}, so each value begins with `{repository}/`, case included");
    r.must_fit(name, fits, should);
}

/// The pins of single variables, and those of the list in the variable `name`.
pub(super) fn with_listed(r: &mut Reader, own: Vec<Pin>, name: Name) -> Vec<Pin> {
    let listed = r.optional(name, pins::claims).unwrap_or_default();
    if let Err(should) = pins::can_hold(&own, &listed) {
        r.must_fit(name, false, should);
    }
    own.into_iter().chain(listed).collect()
}

/// One source has at most what all have together, whatever it is given.
fn caps(r: &mut Reader) -> Caps {
    let sessions = r.read("DEPLOYER_MAX_SESSIONS", value::count(1..=MOST_SESSIONS));
    let per_source = r.read(
        "DEPLOYER_MAX_SESSIONS_PER_SOURCE",
        value::count(1..=MOST_SESSIONS),
    );
    Caps {
        sessions,
        sessions_per_source: per_source.min(sessions),
        followers: r.read("DEPLOYER_MAX_FOLLOWERS", value::count(1..=MOST_SESSIONS)),
    }
}

/// Three folders of their own: one file name must not mean two things, and nothing of ours may be in front's reach.
fn places(r: &mut Reader) -> Places {
    const RUNTIME: &str = "a folder of its own, not DEPLOYER_RUNTIME_DIR and not in its `public`";
    const OTHERS: &str = "a folder of its own, not one of the other two and not in `public`";
    let state = r.read("DEPLOYER_STATE_DIR", value::path);
    let runs = r.optional("DEPLOYER_RUNS_DIR", value::path);
    let runs = runs.unwrap_or_else(|| state.join("runs"));
    let runtime = r.read("DEPLOYER_RUNTIME_DIR", value::path);
    let public = runtime.join("public");
    let fits = runtime != state && !state.starts_with(&public);
    r.must_fit("DEPLOYER_STATE_DIR", fits, RUNTIME);
    let fits = runs != state && runs != runtime && !runs.starts_with(&public);
    r.must_fit("DEPLOYER_RUNS_DIR", fits, OTHERS);
    Places { state, runs, runtime }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
pub(super) mod tests;
