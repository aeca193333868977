//! Settings -> [`Config`]: all of them are read before anything is refused, so that the operator sees every complaint at
//! once.

use super::duration::{duration, duration_or_never};
use super::reader::{Name, Reader};
use super::{
    Application, BodyRule, Caps, Config, Endpoint, Issuer, Job, Pin, Places, RunLimits, Settings, Sources,
    deploy, pins, url, value,
};
use crate::limits::{MOST_KEPT_RUNS, MOST_QUEUED, MOST_SESSIONS};

const REPOSITORY: &str = "DEPLOYER_REPOSITORY";
const WORKFLOW_REF: &str = "DEPLOYER_WORKFLOW_REF";
const REF: &str = "DEPLOYER_REF";
const CLAIMS: &str = "DEPLOYER_CLAIMS";

impl Config {
    /// Makes sense of all settings, or returns every complaint.
    pub fn from_settings(settings: &Settings) -> Result<Config, Vec<String>> {
        let mut r = Reader::new(settings);
        let config = host(&mut r);
        #[cfg(feature = "terraform")]
        let config = Config {
            terraform: super::terraform::terraform(&mut r, &config),
            ..config
        };
        // Either could read what the other holds, end it or trace it.
        r.must_differ(&config.users());
        r.finish(config)
    }
}

/// Everything but terraform.
fn host(r: &mut Reader) -> Config {
    let status_allowed = r.optional("DEPLOYER_STATUS_ALLOWED_IPS", Sources::parse);
    let issuer = issuer(r);
    Config {
        listen: r.read("DEPLOYER_ADDR", value::listen),
        idle_exit: r.read("DEPLOYER_IDLE_EXIT", duration_or_never),
        cert_file: r.read("DEPLOYER_CERT_FILE", value::path),
        key_file: r.read("DEPLOYER_KEY_FILE", value::path),
        allowed: r.read("DEPLOYER_ALLOWED_IPS", Sources::parse),
        status_allowed: status_allowed.unwrap_or_else(Sources::everyone),
        front_user: r.read("DEPLOYER_USER", value::user),
        fetch_user: r.read("DEPLOYER_FETCH_USER", value::user),
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
            endpoint: endpoint(r, pins::is_github(&issuer.name)),
            deploy: deploy::deploy(r),
        }],
        issuer,
        #[cfg(feature = "terraform")]
        terraform: None,
        #[cfg(feature = "failpoints")]
        failpoint: r.optional("DEPLOYER_FAILPOINT", |text| Some(text.to_owned())),
    }
}

fn issuer(r: &mut Reader) -> Issuer {
    let name = r.read("DEPLOYER_ISSUER", url::issuer);
    // GitHub's keys never sign for another issuer.
    if !pins::is_github(&name) {
        r.require(&["DEPLOYER_JWKS_URL"]);
    }
    Issuer {
        name,
        jwks_url: r.read("DEPLOYER_JWKS_URL", url::fetchable),
        ca_file: r.optional("DEPLOYER_CA_FILE", value::path),
    }
}

/// The `/deploy` endpoint. GitHub's tokens are held to repository, workflow and reference. Elsewhere these may be left
/// out; but where the repository or the workflow is pinned, the tokens are like GitHub's, and the default of the
/// reference holds as well.
fn endpoint(r: &mut Reader, by_github: bool) -> Endpoint {
    if by_github {
        r.require(&[REPOSITORY, WORKFLOW_REF]);
    }
    let exact = |of_github: fn(&str) -> Option<String>| if by_github { of_github } else { pins::exact };
    let repository = r.optional(REPOSITORY, exact(pins::repository));
    let workflows = match by_github {
        true => r.optional(WORKFLOW_REF, pins::workflow_refs),
        false => r.optional(WORKFLOW_REF, pins::exact_list),
    };
    let reference = match by_github || r.is_set(REPOSITORY) || r.is_set(WORKFLOW_REF) {
        true => Some(r.read(REF, exact(pins::reference))),
        false => r.optional(REF, exact(pins::reference)),
    };
    if by_github && let (Some(repository), Some(workflows)) = (&repository, &workflows) {
        must_be_of(r, (REPOSITORY, repository), (WORKFLOW_REF, workflows));
    }
    let mut own = Vec::new();
    own.extend(repository.map(|one| pins::pin("repository", vec![one])));
    own.extend(workflows.map(|all| pins::pin("workflow_ref", all)));
    own.extend(reference.map(|one| pins::pin("ref", vec![one])));
    let pins = with_listed(r, own, CLAIMS);
    let should = "pins of the project and of the branch, such as project_id=7,ref=main";
    r.must_fit(CLAIMS, by_github || pins::are_enough(&pins), should);
    Endpoint {
        name: "deploy",
        path: "/deploy",
        audience: r.read("DEPLOYER_AUDIENCE", pins::exact),
        pins,
        body: BodyRule::Deploy,
        job: Job::Deploy,
    }
}

/// Complains unless the workflows are of the repository, since others could never match; both come with the names of
/// their variables.
pub(super) fn must_be_of(
    r: &mut Reader,
    (of, repository): (Name, &str),
    (name, workflows): (Name, &[String]),
) {
    let prefix = format!("{repository}/");
    let fits = repository.is_empty() || workflows.iter().all(|one| one.starts_with(&prefix));
    r.must_fit(name, fits, &format!("of {of}, so it begins with `{prefix}`"));
}

/// The pins of single variables, and those of the list in the variable `name`.
pub(super) fn with_listed(r: &mut Reader, own: Vec<Pin>, name: Name) -> Vec<Pin> {
    let listed = r.optional(name, pins::claims).unwrap_or_default();
    if let Some(pin) = pins::contrary(&own, &listed) {
        let should = format!(
            "free of `{}`: it is pinned to something else too, and both must hold",
            pin.claim
        );
        r.must_fit(name, false, &should);
    }
    own.into_iter().chain(listed).collect()
}

/// One source has at most what all have together, whatever it is given.
fn caps(r: &mut Reader) -> Caps {
    let mut cap = |name| r.read(name, value::count(1..=MOST_SESSIONS));
    let sessions = cap("DEPLOYER_MAX_SESSIONS");
    Caps {
        sessions,
        sessions_per_source: cap("DEPLOYER_MAX_SESSIONS_PER_SOURCE").min(sessions),
        followers: cap("DEPLOYER_MAX_FOLLOWERS"),
    }
}

/// Three folders of their own: one file name must not mean two things, and nothing of ours may be in front's reach.
fn places(r: &mut Reader) -> Places {
    let state = r.read("DEPLOYER_STATE_DIR", value::path);
    let runs = r.optional("DEPLOYER_RUNS_DIR", value::path);
    let runs = runs.unwrap_or_else(|| state.join("runs"));
    let runtime = r.read("DEPLOYER_RUNTIME_DIR", value::path);
    let places = Places { state, runs, runtime };
    let named = [
        ("DEPLOYER_RUNTIME_DIR", &places.runtime),
        ("DEPLOYER_STATE_DIR", &places.state),
        ("DEPLOYER_RUNS_DIR", &places.runs),
    ];
    r.must_differ(&named);
    for (name, folder) in named {
        let fits = !folder.starts_with(places.public());
        r.must_fit(name, fits, "outside of `public` in DEPLOYER_RUNTIME_DIR");
    }
    places
}

#[cfg(test)]
#[path = "parse_tests.rs"]
pub(super) mod tests;
