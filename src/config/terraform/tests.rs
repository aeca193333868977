use std::path::PathBuf;

use std::time::Duration;

use super::*;
use crate::config::Settings;
use crate::config::parse::tests::drop_in;

/// What a host of the Go daemon has set for terraform, and the credentials of a plan.
fn settings(changes: &[(&str, &str)]) -> Settings {
    let base = [
        ("DEPLOYER_TF_APPLY_REPOSITORY", "acme/infra"),
        (
            "DEPLOYER_TF_APPLY_WORKFLOW_REF",
            "acme/infra/.github/workflows/tf-apply.yml@refs/heads/main",
        ),
        ("DEPLOYER_TF_APPLY_ROOT_DIR", "envs/prod"),
        ("DEPLOYER_TF_AWS_ACCESS_KEY_ID", "AKIAAPPLY"),
        ("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("DEPLOYER_TF_APPLY_GH_APP_ID", "77"),
        ("DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID", "88"),
        (
            "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
            "/etc/engram-deployer/app.pem",
        ),
        ("DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID", "AKIAPLAN"),
        ("DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY", "hunter3"),
    ];
    base.iter()
        .chain(changes)
        .fold(drop_in(), |settings, (name, value)| settings.with(name, value))
}

fn good(changes: &[(&str, &str)]) -> Config {
    Config::from_settings(&settings(changes)).unwrap_or_else(|all| panic!("{changes:?}: {all:?}"))
}

fn names(complaints: &[String]) -> Vec<&str> {
    let first = |line: &'_ String| line.split(' ').next().map(str::len).unwrap_or_default();
    complaints.iter().map(|line| &line[..first(line)]).collect()
}

fn named(changes: &[(&str, &str)]) -> Vec<String> {
    let complaints = Config::from_settings(&settings(changes))
        .err()
        .unwrap_or_default();
    assert!(!complaints.concat().contains("hunter"), "{complaints:?}");
    names(&complaints).into_iter().map(str::to_owned).collect()
}

fn pinned(config: &Config, endpoint: &str) -> Vec<(String, Expected)> {
    let endpoint = config.endpoint_named(endpoint).expect("an endpoint");
    let pins = endpoint.pins.iter();
    pins.map(|pin| (pin.claim.clone(), pin.expected.clone()))
        .collect()
}

fn any_of(values: &[&str]) -> Expected {
    Expected::AnyOf(values.iter().map(|value| value.to_string()).collect())
}

#[test]
fn the_defaults_are_those_of_the_daemon_we_replace() {
    let config = good(&[]);
    let terraform = config.terraform.as_ref().expect("configured");
    assert_eq!(
        terraform.repo_url,
        "https://github.com/engram-app/engram-infra.git"
    );
    assert_eq!(terraform.reference, "refs/heads/main");
    assert_eq!(terraform.workdir, PathBuf::from("/var/lib/engram-deployer/tf"));
    assert_eq!(
        terraform.plan_workdir,
        PathBuf::from("/var/lib/engram-deployer-plan")
    );
    assert_eq!(terraform.git, PathBuf::from("git"));
    assert_eq!(terraform.terraform, PathBuf::from("terraform"));
    assert_eq!(terraform.region, "us-east-1");
    assert!(terraform.lockfile_readonly && !terraform.require_digest);
    assert_eq!(terraform.lock_timeout, Duration::from_secs(300));
    assert_eq!(terraform.run_max, Duration::from_secs(3600));
    assert_eq!(terraform.destroy_limit, None);
    let module = terraform.module(None).expect("the first module");
    assert_eq!(
        (module.name.as_str(), module.path.as_str()),
        ("default", "envs/prod")
    );
    assert_eq!(terraform.apply.account, None);
    let socket = Some("unix:///var/run/docker.sock");
    assert_eq!(terraform.apply.docker_host.as_deref(), socket);
    let plan = terraform.plan.as_ref().expect("a plan has credentials");
    assert_eq!(plan.account, Some("65523".to_owned()));
    assert_eq!(
        (plan.access_key_id.expose(), &plan.docker_host),
        ("AKIAPLAN", &None)
    );
    let app = terraform.app.as_ref().expect("an App");
    assert_eq!(app.api_url, "https://api.github.com");
    assert_eq!(config.no_plan(), None);
}

#[test]
fn the_two_endpoints_differ_in_audience_branch_and_workflow() {
    let config = good(&[]);
    let apply = config.endpoint_named("tf-apply").expect("an endpoint");
    let plan = config.endpoint_named("tf-plan").expect("an endpoint");
    assert_eq!(
        (apply.name, apply.audience.as_str(), apply.job),
        ("tf-apply", "engram-tf-apply", Job::TfApply)
    );
    assert_eq!(
        (plan.name, plan.audience.as_str(), plan.job),
        ("tf-plan", "engram-tf-plan", Job::TfPlan)
    );
    assert_eq!(
        pinned(&config, "tf-apply"),
        [
            ("repository".into(), any_of(&["acme/infra"])),
            ("ref".into(), any_of(&["refs/heads/main"])),
            (
                "workflow_ref".into(),
                any_of(&["acme/infra/.github/workflows/tf-apply.yml@refs/heads/main"])
            ),
        ]
    );
    assert_eq!(
        pinned(&config, "tf-plan"),
        [
            ("repository".into(), any_of(&["acme/infra"])),
            ("sub".into(), any_of(&["repo:acme/infra:pull_request"])),
            (
                "workflow_ref".into(),
                Expected::PullRequestOf("acme/infra/.github/workflows/tf-plan.yml@".into())
            ),
        ]
    );
    let BodyRule::Terraform(body) = &apply.body else {
        panic!("not terraform's")
    };
    assert_eq!(
        (body.require_sha, body.require_digest, body.modules.as_slice()),
        (true, false, &["default".to_owned()][..])
    );
}

#[test]
fn what_is_set_otherwise_is_pinned_otherwise() {
    let config = good(&[
        (
            "DEPLOYER_TF_PLAN_SUBJECT",
            "repo:acme/infra:pull_request,repo:acme@1/infra@2:pull_request",
        ),
        (
            "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX",
            "acme/infra/.forgejo/workflows/p.yml@",
        ),
        ("DEPLOYER_TF_PLAN_CLAIMS", "repository_id=2"),
        ("DEPLOYER_TF_APPLY_CLAIMS", "environment=infra,event_name=push"),
        ("DEPLOYER_TF_APPLY_REQUIRE_SHA", "off"),
        ("DEPLOYER_TF_APPLY_REQUIRE_DIGEST", "on"),
        ("DEPLOYER_TF_MODULES", "dashboard=infra/dash"),
        ("DEPLOYER_TF_HEALTH_URLS", "dashboard=https://dash.example/ok"),
        ("DEPLOYER_TF_DESTROY_LIMIT", "0"),
    ]);
    assert_eq!(pinned(&config, "tf-plan").len(), 4);
    assert_eq!(pinned(&config, "tf-apply").len(), 5);
    let expected = any_of(&["repo:acme/infra:pull_request", "repo:acme@1/infra@2:pull_request"]);
    assert_eq!(pinned(&config, "tf-plan")[1].1, expected);
    let BodyRule::Terraform(body) = &config.endpoint_named("tf-apply").expect("an endpoint").body else {
        panic!("not terraform's")
    };
    assert_eq!((body.require_sha, body.require_digest), (false, true));
    assert_eq!(body.modules, ["default", "dashboard"]);
    assert_eq!(config.terraform.expect("configured").destroy_limit, Some(0));
}

#[test]
fn one_switch_asks_for_all_and_all_that_is_missing_is_named_at_once() {
    let value = |name: &str| settings(&[]).get(name).expect("set above").to_owned();
    for switch in SWITCHES {
        let one = drop_in().with(switch, &value(switch));
        let found = Config::from_settings(&one).expect_err("configured in part");
        let names = names(&found);
        for other in SWITCHES {
            assert_eq!(names.contains(&other), other != switch, "{switch}: {names:?}");
        }
        for app in ["ID", "INSTALLATION_ID", "PEM_PATH"] {
            let name = format!("DEPLOYER_TF_APPLY_GH_APP_{app}");
            assert!(names.contains(&name.as_str()), "{switch}: {names:?}");
        }
        assert_eq!(names.len(), 7, "{switch}: {names:?}");
    }
}

#[test]
fn without_a_switch_nothing_is_read() {
    let config = Config::from_settings(&drop_in().with("DEPLOYER_TF_LOCKFILE", "nonsense"));
    assert!(config.expect("not read").terraform.is_none());
}

#[test]
fn an_app_is_needed_for_github_and_is_whole_everywhere() {
    let app = [
        "DEPLOYER_TF_APPLY_GH_APP_ID",
        "DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
        "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
    ];
    let none = app.map(|name| (name, ""));
    assert_eq!(named(&none), app);
    for url in [
        "https://git.example/a/b.git",
        "file:///srv/git/b",
        "http://localhost:1/a/b",
    ] {
        let url = ("DEPLOYER_TF_APPLY_REPO_URL", url);
        assert!(
            good(&[&none[..], &[url]].concat())
                .terraform
                .expect("configured")
                .app
                .is_none()
        );
        assert_eq!(named(&[none[1], url]), [app[1]]);
    }
}

#[test]
fn without_credentials_there_is_no_plan_and_everything_else_is_there() {
    let none = [
        ("DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID", ""),
        ("DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY", ""),
    ];
    let config = good(&none);
    assert!(config.endpoint_named("tf-plan").is_none() && config.endpoint_named("tf-apply").is_some());
    let said = config.no_plan().expect("the reason");
    assert!(said.contains("DEPLOYER_TF_PLAN_SHARE_CREDENTIALS=yes"), "{said}");
    let share = ("DEPLOYER_TF_PLAN_SHARE_CREDENTIALS", "yes");
    let shared = good(&[none[0], none[1], share]).terraform.expect("configured");
    assert_eq!(shared.plan.expect("a plan").access_key_id.expose(), "AKIAAPPLY");
    assert_eq!(named(&[none[0]]), [none[0].0]);
    assert_eq!(named(&[none[1]]), [none[1].0]);
    assert_eq!(named(&[share]), [share.0]);
}

#[test]
fn what_the_machine_cannot_do_is_not_offered() {
    let config = good(&[]).without_plan("we are not root");
    assert!(config.endpoint_named("tf-plan").is_none() && config.endpoint_named("tf-apply").is_some());
    assert_eq!(
        config.no_plan().as_deref(),
        Some("/tf-plan answers 404, because we are not root")
    );
}

#[test]
fn no_two_endpoints_have_one_audience() {
    for (changes, name) in [
        (
            &[("DEPLOYER_TF_PLAN_AUDIENCE", "engram-tf-apply")][..],
            "DEPLOYER_TF_PLAN_AUDIENCE",
        ),
        (
            &[("DEPLOYER_TF_PLAN_AUDIENCE", "engram-deploy")],
            "DEPLOYER_TF_PLAN_AUDIENCE",
        ),
        (
            &[("DEPLOYER_TF_APPLY_AUDIENCE", "engram-deploy")],
            "DEPLOYER_TF_APPLY_AUDIENCE",
        ),
        (
            &[("DEPLOYER_AUDIENCE", "engram-tf-apply")],
            "DEPLOYER_TF_APPLY_AUDIENCE",
        ),
    ] {
        assert_eq!(named(changes), [name], "{changes:?}");
    }
}

#[test]
fn one_wrong_setting_is_one_complaint() {
    for (name, value) in [
        ("DEPLOYER_TF_APPLY_REPOSITORY", "acme"),
        (
            "DEPLOYER_TF_APPLY_WORKFLOW_REF",
            "acme/other/.github/workflows/a.yml@refs/heads/main",
        ),
        (
            "DEPLOYER_TF_APPLY_WORKFLOW_REF",
            "acme/infra/.github/workflows/a.yml",
        ),
        ("DEPLOYER_TF_APPLY_REF", "main"),
        ("DEPLOYER_TF_APPLY_ROOT_DIR", "../x"),
        ("DEPLOYER_TF_APPLY_ROOT_DIR", "a\u{1b}b"),
        ("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "hunter 2"),
        ("DEPLOYER_TF_PLAN_SUBJECT", "repo:acme/*"),
        (
            "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX",
            "acme/infra/.github/workflows/p.yml",
        ),
        (
            "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX",
            "acme/infra/.github/workflows/p.yml@refs/heads/@",
        ),
        (
            "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX",
            "acme/other/.github/workflows/p.yml@",
        ),
        ("DEPLOYER_TF_PLAN_CLAIMS", "sub=repo:acme/else:pull_request"),
        (
            "DEPLOYER_TF_PLAN_CLAIMS",
            "workflow_ref=acme/infra/.github/workflows/p.yml@refs/heads/main",
        ),
        ("DEPLOYER_TF_APPLY_CLAIMS", "aud=x"),
        ("DEPLOYER_TF_APPLY_REPO_URL", "git@github.com:acme/infra.git"),
        ("DEPLOYER_GITHUB_API_URL", "http://192.0.2.1"),
        ("DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID", "x"),
        ("DEPLOYER_TF_APPLY_GH_APP_PEM_PATH", "app.pem"),
        ("DEPLOYER_TF_APPLY_WORKDIR", "/var/lib/engram-deployer"),
        ("DEPLOYER_TF_APPLY_WORKDIR", "/run/engram-deployer/public/x"),
        ("DEPLOYER_TF_PLAN_WORKDIR", "/var/lib/engram-deployer/plan"),
        ("DEPLOYER_TF_PLAN_WORKDIR", "/var/lib"),
        ("DEPLOYER_TF_PLAN_WORKDIR", "/run/engram-deployer/x"),
        ("DEPLOYER_TF_PLAN_USER", "root"),
        ("DEPLOYER_TF_PLAN_USER", "65521"),
        ("DEPLOYER_TF_PLAN_USER", "65522"),
        ("DEPLOYER_TF_APPLY_USER", "65523"),
        ("DEPLOYER_TF_APPLY_USER", "65521"),
        ("DEPLOYER_TF_APPLY_USER", "0"),
        ("DEPLOYER_TF_APPLY_REQUIRE_SHA", "yes"),
        ("DEPLOYER_TF_APPLY_REQUIRE_DIGEST", "1"),
        ("DEPLOYER_TF_DESTROY_LIMIT", "-1"),
        ("DEPLOYER_TF_MODULES", "default=x"),
        ("DEPLOYER_TF_HEALTH_URLS", "dashboard=https://dash.example/"),
        ("DEPLOYER_TF_RUN_MAX", "60"),
        ("DEPLOYER_TF_LOCK_TIMEOUT", "0"),
        ("DEPLOYER_TF_LOCKFILE", "write"),
        ("DEPLOYER_TF_CLI_CONFIG_FILE", "x.tfrc"),
        ("DEPLOYER_TF_PLUGIN_CACHE_DIR", "../x"),
        ("DEPLOYER_TF_BINARY_PATH", "./terraform"),
        ("DEPLOYER_TF_GIT_BINARY_PATH", "-git"),
        ("DEPLOYER_TF_DOCKER_HOST", "/var/run/docker.sock"),
        ("DEPLOYER_TF_PLAN_DOCKER_HOST", "docker"),
        ("DEPLOYER_TF_PLAN_SHARE_CREDENTIALS", "on"),
        // What is wrong by itself is not held against the others.
        ("DEPLOYER_TF_APPLY_WORKDIR", "tf"),
        ("DEPLOYER_TF_PLAN_WORKDIR", "plan"),
        ("DEPLOYER_STATE_DIR", "state"),
        ("DEPLOYER_RUNS_DIR", "runs"),
        ("DEPLOYER_RUNTIME_DIR", "run"),
        ("DEPLOYER_USER", "root"),
        ("DEPLOYER_FETCH_USER", "root"),
        ("DEPLOYER_AUDIENCE", "*"),
        ("DEPLOYER_TF_APPLY_AUDIENCE", "*"),
        ("DEPLOYER_TF_MODULES", "x"),
    ] {
        assert_eq!(named(&[(name, value)]), [name], "{value}");
    }
}
