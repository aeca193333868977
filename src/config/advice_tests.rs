use super::super::Settings;
use super::super::parse::tests::drop_in;
use super::*;

fn advice(changes: &[(&str, &str)]) -> Vec<String> {
    let settings = changes
        .iter()
        .fold(drop_in(), |settings: Settings, (name, value)| {
            settings.with(name, value)
        });
    Config::from_settings(&settings)
        .expect("a good configuration")
        .advice()
}

const TIGHT: &str = "repository_id=1,repository_owner_id=2,environment=production,event_name=push";

fn gitlab(claims: &str) -> Vec<String> {
    advice(&[
        ("DEPLOYER_ISSUER", "https://gitlab.example"),
        ("DEPLOYER_JWKS_URL", "https://gitlab.example/oauth/discovery/keys"),
        ("DEPLOYER_REPOSITORY", ""),
        ("DEPLOYER_WORKFLOW_REF", ""),
        ("DEPLOYER_CLAIMS", claims),
    ])
}

#[test]
fn a_tight_configuration_needs_no_advice() {
    assert_eq!(advice(&[("DEPLOYER_CLAIMS", TIGHT)]), [""; 0]);
    assert_eq!(
        gitlab("project_id=7,ref=main,ref_type=branch,pipeline_source=web"),
        [""; 0]
    );
}

#[test]
fn the_sample_for_gitlab_follows_the_advice() {
    let sample = include_str!("../../contrib/ci/samples/gitlab.yml");
    let claims = sample
        .lines()
        .find_map(|line| line.strip_prefix("#   DEPLOYER_CLAIMS="));
    let claims = claims.expect("its claims").replace("NUMBER", "7");
    assert_eq!(gitlab(&claims), [""; 0]);
    let (before, event) = claims.rsplit_once(',').expect("claims");
    let (event, _) = event.split_once('=').expect("a claim");
    assert!(gitlab(before)[0].contains(event), "{event}");
}

#[test]
fn what_is_not_pinned_is_advised() {
    let bare = advice(&[]).join("\n");
    for claim in [
        "pin repository_id in DEPLOYER_CLAIMS",
        "pin repository_owner_id in",
        "pin environment in",
        "pin event_name or pipeline_source in",
    ] {
        assert!(bare.contains(claim), "{claim}: {bare}");
    }
    for (claims, word) in [
        (
            "project_path=g/p,ref_path=refs/heads/main,pipeline_source=push",
            "pin project_id",
        ),
        ("project_id=7,ref=main,pipeline_source=push", "pin ref_type"),
        ("project_id=7,ref_path=refs/heads/main", "every event"),
    ] {
        let lines = gitlab(claims);
        assert!(lines.len() == 1 && lines[0].contains(word), "{claims}: {lines:?}");
    }
}

#[cfg(feature = "terraform")]
#[test]
fn terraforms_endpoints_are_advised_like_the_other_and_by_their_own_variables() {
    let workflow = "acme/infra/.github/workflows/a.yml@refs/heads/main";
    let base = [
        ("DEPLOYER_CLAIMS", TIGHT),
        ("DEPLOYER_TF_APPLY_REPOSITORY", "acme/infra"),
        ("DEPLOYER_TF_APPLY_WORKFLOW_REF", workflow),
        ("DEPLOYER_TF_APPLY_ROOT_DIR", "."),
        ("DEPLOYER_TF_AWS_ACCESS_KEY_ID", "i"),
        ("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "k"),
        ("DEPLOYER_TF_APPLY_REPO_URL", "file:///srv/infra"),
        ("DEPLOYER_TF_PLAN_SHARE_CREDENTIALS", "yes"),
    ];
    let lines = advice(&base);
    let of = |path: &str, variable: &str| {
        let about = lines.iter().filter(|line| line.starts_with(path));
        about.filter(|line| line.contains(variable)).count()
    };
    // Repository, owner, environment, event; of a plan the first two.
    assert_eq!(of("/tf-apply: ", "DEPLOYER_TF_APPLY_CLAIMS"), 4, "{lines:?}");
    assert_eq!(of("/tf-plan: ", "DEPLOYER_TF_PLAN_CLAIMS"), 2, "{lines:?}");
    assert_eq!(lines.len(), 6, "{lines:?}");
    let tight = [
        ("DEPLOYER_TF_APPLY_CLAIMS", TIGHT),
        ("DEPLOYER_TF_PLAN_CLAIMS", "repository_id=1,repository_owner_id=2"),
    ];
    assert_eq!(advice(&[&base[..], &tight].concat()), [""; 0]);
}

#[test]
fn what_is_pinned_or_set_loosely_is_advised() {
    let with = |more: &str| format!("{TIGHT},{more}");
    for (name, value, word) in [
        (
            "DEPLOYER_CLAIMS",
            with("event_name=pull_request_target").as_str(),
            "pull_request_target",
        ),
        ("DEPLOYER_ALLOWED_IPS", "10.0.0.1,0.0.0.0/0", "every address"),
        ("DEPLOYER_USER", "nobody", "share"),
        ("DEPLOYER_FETCH_USER", "65534", "share"),
    ] {
        let lines = advice(&[("DEPLOYER_CLAIMS", TIGHT), (name, value)]);
        assert!(
            lines.len() == 1 && lines[0].contains(word),
            "{name}={value}: {lines:?}"
        );
    }
}
