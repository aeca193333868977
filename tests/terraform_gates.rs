//! [terraform_gates] Over the wire: a token for one endpoint opens no other, what terraform's endpoints refuse, and when
//! there are none.

use std::fs;

use serde_json::{Map, Value, json};

use crate::support::curl::Answer;
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::text;

const APPLY: &str = "engram-tf-apply";
const PLAN: &str = "engram-tf-plan";
const SHA: &str = "abc1234abc1234abc1234abc1234abc1234abc12";
const REPOSITORY: &str = "engram-app/engram-infra";

/// A deployer whose repository is a folder that holds none, so that a run which is admitted fails at once.
fn setup(issuer: &Issuer) -> Setup {
    let mut setup = Setup::new(issuer);
    let path = |name: &str| setup.folder().join(name).display().to_string();
    let settings = [
        (
            "DEPLOYER_TF_APPLY_REPO_URL",
            format!("file://{}", path("no-repository")),
        ),
        ("DEPLOYER_TF_APPLY_WORKDIR", path("tf")),
        ("DEPLOYER_TF_PLAN_WORKDIR", path("plan")),
        ("DEPLOYER_TF_APPLY_REPOSITORY", REPOSITORY.into()),
        (
            "DEPLOYER_TF_APPLY_WORKFLOW_REF",
            workflow("tf-apply.yml", "refs/heads/main"),
        ),
        ("DEPLOYER_TF_APPLY_ROOT_DIR", "infra".into()),
        ("DEPLOYER_TF_AWS_ACCESS_KEY_ID", "AKIAAPPLY".into()),
        ("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "the-key-of-an-apply".into()),
        ("DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID", "AKIAPLAN".into()),
        (
            "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY",
            "the-key-of-a-plan".into(),
        ),
        ("DEPLOYER_TF_MODULES", "dashboard=infra/dashboard".into()),
    ];
    for (name, value) in settings {
        setup.set(name, value);
    }
    setup
}

fn parts() -> (Issuer, Deployer) {
    let issuer = Issuer::start();
    let deployer = setup(&issuer).start();
    (issuer, deployer)
}

fn workflow(file: &str, reference: &str) -> String {
    format!("{REPOSITORY}/.github/workflows/{file}@{reference}")
}

fn set(claims: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    claims.insert(name.into(), value.into());
}

/// What a job on the main branch says of itself.
fn as_apply(claims: &mut Map<String, Value>) {
    set(claims, "repository", REPOSITORY);
    set(claims, "ref", "refs/heads/main");
    set(claims, "sub", format!("repo:{REPOSITORY}:ref:refs/heads/main"));
    set(
        claims,
        "workflow_ref",
        workflow("tf-apply.yml", "refs/heads/main"),
    );
    set(claims, "sha", SHA);
}

/// What a job of a pull request says of itself; its `sha` is the merge commit's.
fn as_plan(claims: &mut Map<String, Value>) {
    set(claims, "repository", REPOSITORY);
    set(claims, "ref", "refs/pull/7/merge");
    set(claims, "sub", format!("repo:{REPOSITORY}:pull_request"));
    set(
        claims,
        "workflow_ref",
        workflow("tf-plan.yml", "refs/pull/7/merge"),
    );
    set(claims, "sha", "0".repeat(40));
}

type Change = fn(&mut Map<String, Value>);

/// Path, audience, claims and body of a good request to each endpoint.
fn good() -> [(&'static str, &'static str, Change, String); 3] {
    let body = format!(r#"{{"sha":"{SHA}"}}"#);
    [
        ("/deploy", AUDIENCE, |_| (), r#"{"version":"1.2.3"}"#.into()),
        ("/tf-apply", APPLY, as_apply, body.clone()),
        ("/tf-plan", PLAN, as_plan, body),
    ]
}

fn apply(issuer: &Issuer, deployer: &Deployer, change: Change, body: &str) -> Answer {
    let token = issuer.mint_with(APPLY, |claims| {
        as_apply(claims);
        change(claims);
    });
    deployer.client().post("/tf-apply", &token, body)
}

fn plan(issuer: &Issuer, deployer: &Deployer, change: Change, body: &str) -> Answer {
    let token = issuer.mint_with(PLAN, |claims| {
        as_plan(claims);
        change(claims);
    });
    deployer.client().post("/tf-plan", &token, body)
}

/// A body with the good commit and `more` members.
fn body(more: &str) -> String {
    format!(r#"{{"sha":"{SHA}"{more}}}"#)
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, sentence: &str) {
    assert_eq!(
        (answer.status, answer.body().as_str()),
        (status, sentence),
        "{answer:?}"
    );
}

/// A run came of it. What it does with a repository that is not there is another promise's affair.
#[track_caller]
fn assert_admitted(answer: &Answer, name: &str, deployer: &Deployer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let run = answer.header("run-id").expect("a run");
    assert_eq!(answer.outcome()["run_id"], run);
    let grant = fs::read_to_string(deployer.runs().join(run).join("grant.json")).expect("a grant");
    let grant: Value = serde_json::from_str(&grant).expect("JSON");
    assert_eq!(grant["endpoint"], name, "{grant}");
    let task = &grant["task"];
    let what = task.get("what").unwrap_or(&task["task"]);
    assert_eq!(what, name, "{grant}");
}

fn runs(deployer: &Deployer) -> usize {
    fs::read_dir(deployer.runs()).expect("the runs").count()
}

#[test]
fn a_token_for_one_endpoint_opens_no_other() {
    let (issuer, deployer) = parts();
    for (path, audience, claims, body) in good() {
        for (other, other_audience, _, other_body) in good().into_iter().filter(|(other, ..)| *other != path)
        {
            let token = issuer.mint_with(audience, claims);
            let answer = deployer.client().post(other, &token, &other_body);
            assert_refused(&answer, 401, "token rejected: audience (aud)");
            // With the other's audience the pins stand between them.
            let token = issuer.mint_with(other_audience, claims);
            let answer = deployer.client().post(other, &token, &other_body);
            assert_eq!(answer.status, 401, "{path} at {other}: {answer:?}");
            assert!(answer.body().starts_with("token rejected: claim "), "{answer:?}");
        }
        let token = issuer.mint_with(audience, claims);
        let answer = deployer.client().post(path, &token, &body);
        assert_admitted(&answer, path.trim_start_matches('/'), &deployer);
    }
    assert_eq!(runs(&deployer), 3);
}

#[test]
fn one_spoiled_claim_is_refused_by_its_own_pin() {
    let (issuer, deployer) = parts();
    let applies: [(Change, &str); 7] = [
        (|c| set(c, "repository", "engram-app/engram"), "repository"),
        (|c| set(c, "repository", "Engram-app/engram-infra"), "repository"),
        (|c| set(c, "ref", "refs/heads/next"), "ref"),
        (|c| drop(c.remove("ref")), "ref"),
        (
            |c| set(c, "workflow_ref", workflow("tf-apply.yml", "refs/heads/next")),
            "workflow_ref",
        ),
        (
            |c| set(c, "workflow_ref", workflow("other.yml", "refs/heads/main")),
            "workflow_ref",
        ),
        (
            |c| {
                set(
                    c,
                    "workflow_ref",
                    json!([workflow("tf-apply.yml", "refs/heads/main")]),
                )
            },
            "workflow_ref",
        ),
    ];
    for (change, claim) in applies {
        let answer = apply(&issuer, &deployer, change, &body(""));
        assert_refused(&answer, 401, &format!("token rejected: claim {claim}"));
    }
    let plans: [(Change, &str); 9] = [
        (|c| set(c, "repository", "mallory/engram-infra"), "repository"),
        (
            |c| set(c, "sub", format!("repo:{REPOSITORY}:ref:refs/heads/main")),
            "sub",
        ),
        (
            |c| set(c, "sub", format!("repo:{REPOSITORY}:pull_request:x")),
            "sub",
        ),
        (
            |c| set(c, "workflow_ref", workflow("tf-plan.yml", "refs/heads/main")),
            "workflow_ref",
        ),
        (
            |c| set(c, "workflow_ref", workflow("tf-plan.yml", "refs/pull/7/head")),
            "workflow_ref",
        ),
        (
            |c| set(c, "workflow_ref", workflow("tf-plan.yml", "refs/pull/07/merge")),
            "workflow_ref",
        ),
        (
            |c| set(c, "workflow_ref", workflow("tf-plan.yml", "refs/pull/7/merge/x")),
            "workflow_ref",
        ),
        (
            |c| set(c, "workflow_ref", workflow("other.yml", "refs/pull/7/merge")),
            "workflow_ref",
        ),
        (|c| drop(c.remove("workflow_ref")), "workflow_ref"),
    ];
    for (change, claim) in plans {
        let answer = plan(&issuer, &deployer, change, &body(""));
        assert_refused(&answer, 401, &format!("token rejected: claim {claim}"));
    }
    assert_eq!(runs(&deployer), 0);
}

#[test]
fn a_plan_is_for_any_pull_request_and_for_each_form_of_its_subject() {
    let issuer = Issuer::start();
    let mut setup = setup(&issuer);
    setup.set(
        "DEPLOYER_TF_PLAN_SUBJECT",
        format!("repo:{REPOSITORY}:pull_request,repo:engram-app@2/engram-infra@1:pull_request"),
    );
    let deployer = setup.start();
    let changes: [Change; 2] = [
        |c| {
            set(
                c,
                "workflow_ref",
                workflow("tf-plan.yml", "refs/pull/12345/merge"),
            )
        },
        |c| set(c, "sub", "repo:engram-app@2/engram-infra@1:pull_request"),
    ];
    for change in changes {
        assert_admitted(&plan(&issuer, &deployer, change, &body("")), "tf-plan", &deployer);
    }
    let other: Change = |c| set(c, "sub", "repo:engram-app@2/engram-infra@9:pull_request");
    let answer = plan(&issuer, &deployer, other, &body(""));
    assert_refused(&answer, 401, "token rejected: claim sub");
}

#[test]
fn a_refused_body_says_its_rule_and_does_not_spend_the_token() {
    let (issuer, deployer) = parts();
    let token = issuer.mint_with(APPLY, as_apply);
    let commit = "sha must be a 40-character lowercase hex string";
    for (body, status, sentence) in [
        ("{}".to_owned(), 400, commit),
        (r#"{"sha":"abc1234"}"#.to_owned(), 400, commit),
        (format!(r#"{{"sha":"{}"}}"#, SHA.to_uppercase()), 400, commit),
        (
            body(r#","dry_run":true"#),
            400,
            "dry_run is not for terraform: /tf-plan shows what would change, and changes nothing",
        ),
        (
            body(r#","module":"../dashboard""#),
            403,
            "module not permitted; there are: default, dashboard",
        ),
        (
            body(r#","approved_pr":0"#),
            400,
            "approved_pr must be a whole number above 0",
        ),
        (
            body(r#","plan_digest":"latest""#),
            400,
            "plan_digest must be sha256: and 64 lowercase hex characters",
        ),
        (
            format!(r#"{{"sha":"{}"}}"#, "1".repeat(40)),
            403,
            "sha not permitted: it must be that of the token",
        ),
    ] {
        let answer = deployer.client().post("/tf-apply", &token, &body);
        assert_refused(&answer, status, sentence);
    }
    assert_eq!(runs(&deployer), 0);
    let answer = deployer
        .client()
        .post("/tf-apply", &token, &body(r#","module":"dashboard""#));
    assert_admitted(&answer, "tf-apply", &deployer);
    for member in [
        r#","plan_digest":"sha256:0""#,
        r#","allow_destroy":true"#,
        r#","dry_run":true"#,
    ] {
        let answer = plan(&issuer, &deployer, |_| (), &body(member));
        assert_eq!(answer.status, 400, "{member}: {answer:?}");
    }
}

#[test]
fn whatever_nonsense_a_body_holds_nothing_starts_and_no_token_is_spent() {
    let (issuer, deployer) = parts();
    let tokens = [
        ("/tf-plan", issuer.mint_with(PLAN, as_plan)),
        ("/tf-apply", issuer.mint_with(APPLY, as_apply)),
    ];
    let long = "a".repeat(3000);
    let texts = [
        "",
        " ",
        "-",
        "--upload-pack=id",
        "../x",
        "..",
        "/etc",
        "a/b",
        "dashboard\u{0}",
        "dashboard ",
        "Dashboard",
        "d\u{430}shboard",
        "\u{202e}draobhsad",
        "\u{1f4a3}",
        "$(id)",
        "sha256:",
        "sha256:\u{661}",
        "refs/heads/main",
        "HEAD",
        &SHA[..39],
        &long,
    ];
    let mut bodies: Vec<String> = Vec::new();
    for text in texts.map(Value::from) {
        bodies.push(json!({"sha": text}).to_string());
        bodies.push(json!({"sha": SHA, "module": text}).to_string());
        bodies.push(json!({"sha": SHA, "plan_digest": text}).to_string());
    }
    for value in [
        json!(7),
        json!(null),
        json!([SHA]),
        json!({"a": SHA}),
        json!(true),
    ] {
        bodies.push(json!({"sha": value}).to_string());
    }
    for value in [json!(7), json!([]), json!({}), json!(false)] {
        bodies.push(json!({"sha": SHA, "module": value, "plan_digest": "x"}).to_string());
        bodies.push(json!({"sha": SHA, "approved_pr": -1, "module": value}).to_string());
    }
    bodies.push(format!(r#"{{"sha":"{SHA}","sha":"{SHA}"}}"#));
    bodies.push(format!(
        r#"{{"sha":"{SHA}","module":"dashboard","mod\u0075le":"default"}}"#
    ));
    bodies.push(format!(r#"{{"sha":"{SHA}""#));
    bodies.push(format!(r#"{{"sha":"{SHA}"}} x"#));
    bodies.push(format!("{}{}", "[".repeat(2000), "]".repeat(2000)));
    bodies.push(json!({"sha": SHA, "x": "a".repeat(5000)}).to_string());
    for (path, token) in &tokens {
        for body in &bodies {
            let answer = deployer.client().post(path, token, body);
            assert!(
                [400, 403, 413].contains(&answer.status),
                "{path} {body}: {answer:?}"
            );
            assert!(answer.body().len() < 200, "{path} {body}: {answer:?}");
        }
    }
    assert_eq!(runs(&deployer), 0);
    for (path, token) in &tokens {
        let answer = deployer.client().post(path, token, &body(""));
        assert_admitted(&answer, path.trim_start_matches('/'), &deployer);
    }
}

#[test]
fn an_apply_is_of_the_tokens_commit_unless_the_operator_says_otherwise() {
    let (issuer, deployer) = parts();
    let sentence = "sha not permitted: it must be that of the token";
    let changes: [Change; 3] = [
        |c| set(c, "sha", "1".repeat(40)),
        |c| drop(c.remove("sha")),
        |c| set(c, "sha", json!([SHA])),
    ];
    for change in changes {
        assert_refused(&apply(&issuer, &deployer, change, &body("")), 403, sentence);
    }
    // A pull request's token names the merge commit, and a plan is of any.
    assert_admitted(&plan(&issuer, &deployer, |_| (), &body("")), "tf-plan", &deployer);
    let mut lenient = setup(&issuer);
    lenient.set("DEPLOYER_TF_APPLY_REQUIRE_SHA", "off");
    let lenient = lenient.start();
    let other: Change = |c| set(c, "sha", "1".repeat(40));
    assert_admitted(&apply(&issuer, &lenient, other, &body("")), "tf-apply", &lenient);
}

#[test]
fn a_digest_is_asked_for_where_the_operator_wants_one() {
    let issuer = Issuer::start();
    let mut setup = setup(&issuer);
    setup.set("DEPLOYER_TF_APPLY_REQUIRE_DIGEST", "on");
    let deployer = setup.start();
    let answer = apply(&issuer, &deployer, |_| (), &body(""));
    let sentence = "plan_digest is required: that of the plan that was reviewed";
    assert_refused(&answer, 400, sentence);
    let digest = format!(r#","plan_digest":"sha256:{}""#, "a".repeat(64));
    let answer = apply(&issuer, &deployer, |_| (), &body(&digest));
    assert_admitted(&answer, "tf-apply", &deployer);
    assert_admitted(&plan(&issuer, &deployer, |_| (), &body("")), "tf-plan", &deployer);
    let from_here = deployer.run(&["tf-apply", "--sha", SHA]);
    assert_eq!(from_here.status.code(), Some(3), "{from_here:?}");
    assert!(text(&from_here.stderr).contains("--plan-digest"), "{from_here:?}");
}

#[test]
fn what_is_not_configured_is_not_found() {
    let issuer = Issuer::start();
    let deployer = Setup::new(&issuer).start();
    for (path, audience, claims, body) in good().into_iter().skip(1) {
        let token = issuer.mint_with(audience, claims);
        assert_refused(&deployer.client().post(path, &token, &body), 404, "not found");
        assert_eq!(deployer.client().get(&format!("{path}/status")).status, 404);
    }
}

#[test]
fn configured_in_part_it_does_not_start_and_names_all_that_is_missing() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.set("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "the-key-of-an-apply");
    for command in ["serve", "check"] {
        let output = setup.run(&[command]);
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(!output.status.success(), "{said}");
        for name in [
            "APPLY_REPOSITORY",
            "APPLY_WORKFLOW_REF",
            "APPLY_ROOT_DIR",
            "AWS_ACCESS_KEY_ID",
            "APPLY_GH_APP_ID",
            "APPLY_GH_APP_INSTALLATION_ID",
            "APPLY_GH_APP_PEM_PATH",
        ] {
            let complaint = format!("DEPLOYER_TF_{name} is not set");
            assert!(said.contains(&complaint), "{complaint}: {said}");
        }
        assert!(!said.contains("the-key-of-an-apply"), "{said}");
    }
}

#[test]
fn a_plan_without_credentials_is_not_found_and_the_operator_is_told_why() {
    let issuer = Issuer::start();
    let mut setup = setup(&issuer);
    setup
        .unset("DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID")
        .unset("DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY");
    let deployer = setup.start();
    assert_no_plan(&issuer, &deployer, "DEPLOYER_TF_PLAN_SHARE_CREDENTIALS=yes");
    let answer = apply(&issuer, &deployer, |_| (), &body(""));
    assert_admitted(&answer, "tf-apply", &deployer);
}

#[test]
fn where_we_are_not_root_there_is_no_plan() {
    let issuer = Issuer::start();
    let mut setup = setup(&issuer);
    setup.run_as(65530);
    let deployer = setup.start();
    assert_no_plan(&issuer, &deployer, "we are not root");
}

#[track_caller]
fn assert_no_plan(issuer: &Issuer, deployer: &Deployer, why: &str) {
    assert_refused(&plan(issuer, deployer, |_| (), &body("")), 404, "not found");
    assert_eq!(deployer.client().get("/tf-plan/status").status, 404);
    assert_eq!(deployer.client().get("/tf-apply/status").status, 204);
    let log = deployer.log();
    assert!(log.contains("/tf-plan answers 404") && log.contains(why), "{log}");
    let check = deployer.run(&["check"]);
    let said = text(&check.stdout);
    assert!(
        said.contains("/tf-plan answers 404") && said.contains(why),
        "{said}"
    );
    let typed = deployer.run(&["tf-plan", "--sha", SHA]);
    assert_eq!(typed.status.code(), Some(3), "{typed:?}");
    assert!(text(&typed.stderr).contains(why), "{typed:?}");
}

#[test]
fn a_status_is_narrowed_to_one_of_the_modules_and_to_nothing_else() {
    let (_issuer, deployer) = parts();
    let write = |name: &str, text: &str| fs::write(deployer.public().join(name), text).expect("a document");
    write("tf-apply.json", "{\"of\":\"any\"}\n");
    write("tf-apply.dashboard.json", "{\"of\":\"dashboard\"}\n");
    let get = |query: &str| deployer.client().get(&format!("/tf-apply/status{query}"));
    for (query, document) in [
        ("", r#"{"of":"any"}"#),
        ("?x=y", r#"{"of":"any"}"#),
        ("?module=dashboard", r#"{"of":"dashboard"}"#),
    ] {
        assert_eq!(get(query).body(), document, "{query}");
    }
    assert_eq!(get("?module=default").status, 204, "it has not run yet");
    for query in [
        "?module=",
        "?module=other",
        "?module=../runs",
        "?module=dashboard&module=dashboard",
    ] {
        assert_refused(&get(query), 404, "not found");
    }
}

#[test]
fn what_is_ordered_on_the_host_is_held_to_the_same_rules() {
    let (_issuer, deployer) = parts();
    for (arguments, code, said) in [
        (&["tf-plan"][..], 2, "needs --sha SHA"),
        (&["tf-apply", "--sha", "abc1234"], 2, "40-character"),
        (
            &["tf-plan", "--sha", SHA, "--module", "x"],
            3,
            "there are: default, dashboard",
        ),
        (&["drift", "--module", "x"], 3, "there are: default, dashboard"),
        (
            &["tf-apply", "--sha", SHA, "--plan-digest", "x"],
            2,
            "plan_digest must be",
        ),
    ] {
        let output = deployer.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {output:?}");
    }
    assert_eq!(runs(&deployer), 0);
    // There is no repository, so each run fails; that it ran is in the history.
    for arguments in [
        &["tf-apply", "--sha", SHA, "--module", "dashboard"][..],
        &["drift", "--json"],
    ] {
        let output = deployer.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    }
    let history = text(&deployer.run(&["history", "--json"]).stdout);
    let lines: Vec<Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let endpoints: Vec<&Value> = lines.iter().map(|line| &line["endpoint"]).collect();
    assert_eq!(endpoints, [&json!("tf-drift"), &json!("tf-apply")]);
    assert_eq!(
        (&lines[1]["module"], &lines[1]["sha"]),
        (&json!("dashboard"), &json!(SHA))
    );
}

#[test]
fn check_looks_at_the_tools_and_the_folders_of_terraform() {
    let issuer = Issuer::start();
    let mut setup = setup(&issuer);
    let well = text(&setup.run(&["check"]).stdout);
    assert!(
        well.contains("ok     git: ") && well.contains("ok     terraform: "),
        "{well}"
    );
    assert!(well.contains("plan can be made"), "{well}");
    let old = setup.executable("old", "echo '{\"terraform_version\":\"1.10.5\"}'");
    let pem = setup
        .folder()
        .write("app.pem", "-----BEGIN RSA PRIVATE KEY-----\n");
    setup
        .set("DEPLOYER_TF_BINARY_PATH", old)
        .set("DEPLOYER_TF_GIT_BINARY_PATH", "no-such-git")
        .set("DEPLOYER_TF_APPLY_GH_APP_ID", "1")
        .set("DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID", "2")
        .set("DEPLOYER_TF_APPLY_GH_APP_PEM_PATH", &pem);
    let ill = setup.run(&["check"]);
    let said = text(&ill.stdout);
    assert_eq!(ill.status.code(), Some(1), "{said}");
    for fault in [
        "1.10.5; 1.11 or newer is needed",
        "there is no `no-such-git`",
        "GitHub App: refuse to read",
    ] {
        assert!(said.contains(fault), "{fault}: {said}");
    }
}
