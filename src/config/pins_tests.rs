use super::*;
use crate::config::parse::tests::made;
use crate::config::{Endpoint, Settings};

const REPOSITORY: &str = "DEPLOYER_REPOSITORY";
const WORKFLOW_REF: &str = "DEPLOYER_WORKFLOW_REF";
const REF: &str = "DEPLOYER_REF";
const CLAIMS: &str = "DEPLOYER_CLAIMS";

#[derive(Clone, Copy)]
enum Issued {
    ByGithub,
    Elsewhere,
}

fn settings(changes: &[(&str, &str)]) -> Settings {
    let base = Settings::default().with(REPOSITORY, "acme/app").with(
        WORKFLOW_REF,
        "acme/app/.github/workflows/deploy.yml@refs/heads/main",
    );
    changes
        .iter()
        .fold(base, |settings, (name, value)| settings.with(name, value))
}

fn endpoint(issuer: Issued, changes: &[(&str, &str)]) -> Result<Endpoint, Vec<String>> {
    made(&settings(changes), matches!(issuer, Issued::ByGithub))
}

fn pinned(endpoint: &Endpoint) -> Vec<(&str, Vec<&str>)> {
    endpoint
        .pins
        .iter()
        .map(|pin| match &pin.expected {
            Expected::AnyOf(values) => (pin.claim.as_str(), values.iter().map(String::as_str).collect()),
            Expected::PullRequestOf(prefix) => (pin.claim.as_str(), vec![prefix.as_str()]),
        })
        .collect()
}

#[test]
fn the_three_variables_pin_repository_workflow_and_reference() {
    let endpoint = endpoint(Issued::ByGithub, &[]).expect("enough pins");
    assert_eq!(
        (endpoint.name, endpoint.path, endpoint.audience.as_str()),
        ("deploy", "/deploy", "engram-deploy")
    );
    assert_eq!(
        pinned(&endpoint),
        [
            ("repository", vec!["acme/app"]),
            (
                "workflow_ref",
                vec!["acme/app/.github/workflows/deploy.yml@refs/heads/main"]
            ),
            ("ref", vec!["refs/heads/main"]),
        ]
    );
}

#[test]
fn a_list_pins_further_claims_and_a_repeated_name_means_any_of_these() {
    let list = "event_name=push, repository_id=42,event_name=workflow_dispatch,environment=a=b c,";
    let endpoint = endpoint(Issued::ByGithub, &[(CLAIMS, list)]).expect("enough pins");
    assert_eq!(
        pinned(&endpoint)[3..],
        [
            ("event_name", vec!["push", "workflow_dispatch"]),
            ("repository_id", vec!["42"]),
            ("environment", vec!["a=b c"]),
        ]
    );
}

#[test]
fn a_claim_pinned_twice_must_hold_twice_and_must_be_able_to() {
    let both = [(CLAIMS, "ref=refs/heads/main,ref=refs/heads/next")];
    assert_eq!(
        endpoint(Issued::ByGithub, &both)
            .expect("one value does for both")
            .pins_of("ref")
            .count(),
        2
    );
    let contrary =
        endpoint(Issued::ByGithub, &[(CLAIMS, "ref=refs/heads/next")]).expect_err("no value would do");
    assert!(contrary[0].contains("both must hold"), "{contrary:?}");
}

#[test]
fn github_needs_all_three_and_complains_about_all_at_once() {
    let missing = endpoint(
        Issued::ByGithub,
        &[(REPOSITORY, ""), (WORKFLOW_REF, ""), (REF, "main"), (CLAIMS, "x")],
    );
    let complaints = missing.expect_err("nothing is right");
    for (complaint, name) in complaints.iter().zip([REPOSITORY, WORKFLOW_REF, REF, CLAIMS]) {
        assert!(complaint.starts_with(name), "{complaints:?}");
    }
    assert_eq!(complaints.len(), 4);
}

#[test]
fn a_pin_that_could_never_match_is_refused() {
    let workflow = "acme/app/.github/workflows/d.yml";
    for (name, value) in [
        (REPOSITORY, "acme"),
        (REPOSITORY, "acme/app/x"),
        (REPOSITORY, "acme/*"),
        (REPOSITORY, "https://github.com/acme/app"),
        (REPOSITORY, "Acme/app"),
        (WORKFLOW_REF, workflow),
        (WORKFLOW_REF, "acme/app/.github/workflows/d.yml@"),
        (WORKFLOW_REF, "acme/app/.github/workflows/*@refs/heads/main"),
        (WORKFLOW_REF, "acme/apple/.github/workflows/d.yml@refs/heads/main"),
        (
            WORKFLOW_REF,
            "acme/app/.github/workflows/d.yml@refs/heads/main,deploy.yml",
        ),
        (WORKFLOW_REF, ","),
        (REF, "main"),
        (REF, "refs/"),
        (REF, "refs/heads/*"),
        (REF, "refs/heads/a,refs/heads/b"),
        (CLAIMS, "event_name"),
        (CLAIMS, "event_name=push,workflow_dispatch"),
        (CLAIMS, "event_name="),
        (CLAIMS, "=push"),
        (CLAIMS, "event name=push"),
        (CLAIMS, "environment=prod*"),
        (CLAIMS, "aud=engram-deploy"),
        (CLAIMS, "jti=1"),
        (CLAIMS, ","),
        ("DEPLOYER_AUDIENCE", "*"),
        ("DEPLOYER_AUDIENCE", " a"),
    ] {
        assert!(
            endpoint(Issued::ByGithub, &[(name, value)]).is_err(),
            "{name}={value}"
        );
    }
    let long = format!("environment={}", "x".repeat(MAX_PIN + 1));
    assert!(endpoint(Issued::ByGithub, &[(CLAIMS, &long)]).is_err());
}

#[test]
fn another_issuer_is_held_to_a_project_and_a_branch() {
    let bare = |list: &'static str| [(REPOSITORY, ""), (WORKFLOW_REF, ""), (CLAIMS, list)];
    for enough in [
        "project_id=7,ref_path=refs/heads/main",
        "project_path=g/p,environment=production",
        "repository_id=7,ref=main,ref_type=branch",
        "repository_id=7,workflow_ref=a/b/.forgejo/workflows/d.yml@refs/heads/main",
    ] {
        let endpoint = endpoint(Issued::Elsewhere, &bare(enough)).expect(enough);
        assert_eq!(
            endpoint.pins.len(),
            enough.split(',').count(),
            "the reference has no default here"
        );
    }
    for short in [
        "",
        "project_id=7",
        "ref=main",
        "project_id=7,project_path=g/p",
        "ref=main,environment=x",
        "sub=x,actor=y",
        "project_id=7,project_id=8",
        "ref=main,ref_type=branch",
        "namespace_id=7,ref=main",
    ] {
        assert!(endpoint(Issued::Elsewhere, &bare(short)).is_err(), "{short}");
    }
    let with_ref = [
        (REPOSITORY, ""),
        (WORKFLOW_REF, ""),
        (REF, "main"),
        (CLAIMS, "project_id=7"),
    ];
    assert!(endpoint(Issued::Elsewhere, &with_ref).is_ok());
}

#[test]
fn tokens_like_githubs_from_elsewhere_keep_the_default_reference() {
    let forgejo = endpoint(Issued::Elsewhere, &[]).expect("enough pins");
    assert_eq!(forgejo.pins_of("ref").count(), 1);
    assert_eq!(forgejo.pins.len(), 3);
}

#[test]
fn an_enterprise_of_github_is_github_and_a_look_alike_is_not() {
    for (issuer, github) in [
        (GITHUB, true),
        ("https://token.actions.githubusercontent.com/acme", true),
        ("https://token.actions.githubusercontent.com.evil.example", false),
        ("https://gitlab.example", false),
    ] {
        assert_eq!(is_github(issuer), github, "{issuer}");
    }
}

#[test]
fn a_reference_is_what_git_takes_for_one_and_for_nothing_else() {
    for good in ["refs/heads/main", "refs/heads/a-b/c_d.e", "refs/tags/v1@x"] {
        assert_eq!(reference(good).as_deref(), Some(good));
    }
    for bad in [
        "main",
        "refs/",
        "refs//x",
        "refs/heads/a..b",
        "refs/heads/a:refs/heads/b",
        "refs/heads/*",
        "refs/heads/a b",
        "refs/heads/a,refs/heads/b",
        "refs/heads/.x",
        "refs/heads/x.lock",
        "refs/heads/x@{1}",
        "refs/heads/x/",
        "+refs/heads/x",
        "refs/heads/x^",
    ] {
        assert!(reference(bad).is_none(), "{bad}");
    }
}
