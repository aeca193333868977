//! [contract] Every flag, default, variable, alias, template, message and code of the Go tool, and foreign ends in Python.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fake_host::FakeHost;
use crate::support::python::{self, Talk};
use crate::support::server::Server;
use crate::support::{run, run_with, within};

/// Command, flag, default, variable, whether it is required.
type Flag = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, bool);

const FLAGS: &[Flag] = &[
    ("listener", "hostname", None, None, true),
    ("listener", "tier", None, None, true),
    ("listener", "nats-url", None, Some("HOMELAB_DEPLOY_NATS_URL"), true),
    ("listener", "nkey-file", None, Some("HOMELAB_DEPLOY_NKEY_FILE"), true),
    ("listener", "flake-url", None, None, true),
    ("listener", "role", None, None, false),
    ("listener", "timeout", Some("600"), None, false),
    ("listener", "deploy-subject", Some("deploy.<tier>.<hostname>"), None, false),
    ("listener", "discover-subject", Some("deploy.discover"), None, false),
    ("listener", "heartbeat-interval", Some("10"), None, false),
    ("listener", "metrics-enabled", None, None, false),
    ("listener", "metrics-addr", Some(":9972"), None, false),
    ("listener", "state-dir", Some("/var/lib/homelab-deploy"), Some("STATE_DIRECTORY"), false),
    ("listener", "user", Some("65524"), None, false),
    ("listener", "ca-file", None, Some("HOMELAB_DEPLOY_CA_FILE"), false),
    ("deploy", "nats-url", None, Some("HOMELAB_DEPLOY_NATS_URL"), true),
    ("deploy", "nkey-file", None, Some("HOMELAB_DEPLOY_NKEY_FILE"), true),
    ("deploy", "branch", Some("master"), Some("HOMELAB_DEPLOY_BRANCH"), false),
    ("deploy", "action", Some("switch"), Some("HOMELAB_DEPLOY_ACTION"), false),
    ("deploy", "timeout", Some("900"), Some("HOMELAB_DEPLOY_TIMEOUT"), false),
    ("deploy", "ca-file", None, Some("HOMELAB_DEPLOY_CA_FILE"), false),
    ("mcp", "nats-url", None, Some("HOMELAB_DEPLOY_NATS_URL"), true),
    ("mcp", "nkey-file", None, Some("HOMELAB_DEPLOY_NKEY_FILE"), true),
    ("mcp", "enable-admin", None, None, false),
    ("mcp", "admin-nkey-file", None, None, false),
    ("mcp", "read-only", None, None, false),
    ("mcp", "allow-branch", None, None, false),
    ("mcp", "max-hosts", None, None, false),
    ("mcp", "require-approval", None, None, false),
    ("list-hosts", "nats-url", None, Some("HOMELAB_DEPLOY_NATS_URL"), true),
    ("list-hosts", "tier", None, None, false),
    ("list-hosts", "json", None, None, false),
    ("status", "nkey-file", None, Some("HOMELAB_DEPLOY_NKEY_FILE"), true),
    ("status", "json", None, None, false),
    ("keygen", "public", None, None, false),
    ("hold", "reason", Some("no reason was given"), None, false),
];

#[test]
fn contract_flags_defaults_and_variables() {
    let command = homelab_deploy::cli::command();
    for (name, flag, default, variable, required) in FLAGS {
        let sub = command.find_subcommand(name).unwrap_or_else(|| panic!("{name}"));
        let found = sub.get_arguments().find(|argument| argument.get_long() == Some(flag));
        let argument = found.unwrap_or_else(|| panic!("{name} --{flag}"));
        let value = argument.get_default_values().first().map(|value| value.to_str().unwrap());
        let boolean = matches!(argument.get_action(), clap::ArgAction::SetTrue);
        assert_eq!(value.filter(|_| !boolean), *default, "{name} --{flag}");
        assert_eq!(argument.get_env().map(|name| name.to_str().unwrap()), *variable, "{name} --{flag}");
        assert_eq!(argument.is_required_set(), *required, "{name} --{flag}");
    }
    let templates = command.find_subcommand("listener").unwrap();
    let templates = templates.get_arguments().find(|argument| argument.get_long() == Some("deploy-subject")).unwrap();
    let values: Vec<_> = templates.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(values, ["deploy.<tier>.<hostname>", "deploy.<tier>.all", "deploy.<tier>.role.<role>"]);
}

#[test]
fn contract_statuses_and_codes_are_spelled_so() {
    use homelab_deploy::wire::{Action, Code, Status};
    let statuses = [Status::Accepted, Status::Rejected, Status::Started, Status::Completed, Status::Failed];
    assert_eq!(statuses.map(|status| status.to_string()), ["accepted", "rejected", "started", "completed", "failed"]);
    assert_eq!(
        clap::ValueEnum::value_variants().iter().map(Action::to_string).collect::<Vec<_>>(),
        ["switch", "boot", "test", "dry-activate"]
    );
    let codes = "invalid_revision invalid_action already_running build_failed timeout expired duplicate_id unsigned held \
                 interrupted activation_failed rolled_back quarantined";
    assert_eq!(Code::ALL.map(|code| code.to_string()).join(" "), codes);
}

#[test]
fn contract_golden_messages_are_read_and_written() {
    use homelab_deploy::wire::message::Incoming;
    use homelab_deploy::wire::{Discovery, Request, Response};
    let golden = |name: &str| {
        let path = format!("{}/../tests/data/wire/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|why| panic!("{path}: {why}"))
    };
    let same =
        |name: &str, ours: Value| assert_eq!(serde_json::from_slice::<Value>(&golden(name)).unwrap(), ours, "{name}");
    let request: Request = serde_json::from_slice(&golden("request.json")).unwrap();
    same("request.json", serde_json::to_value(&request).unwrap());
    assert_eq!(Incoming::read(&golden("request.json")).unwrap().request().unwrap(), request);
    Incoming::read(&golden("request-go.json")).unwrap().request().unwrap();
    let response = Response::read(&golden("response.json")).unwrap();
    same("response.json", serde_json::from_slice(&response.write()).unwrap());
    assert_eq!(Response::read(&golden("response-go.json")).unwrap().message, "Successfully switched to generation 42");
    let Some(Discovery::Answer(answer)) = Discovery::read(&golden("answer.json")) else { panic!("no answer") };
    same("answer.json", serde_json::to_value(&*answer).unwrap());
    assert!(matches!(Discovery::read(&golden("question.json")), Some(Discovery::Ask(_))));
}

#[test]
fn contract_variables_and_aliases_deploy() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let key = server.seed_path("test-deployer");
    let url = server.url();
    let environment = [
        ("HOMELAB_DEPLOY_NATS_URL", url.as_str()),
        ("HOMELAB_DEPLOY_NKEY_FILE", &key),
        ("HOMELAB_DEPLOY_BRANCH", "feature/x"),
        ("HOMELAB_DEPLOY_ACTION", "boot"),
        ("HOMELAB_DEPLOY_TIMEOUT", "60"),
        ("HOMELAB_DEPLOY_ALIAS_TEST_ALL", "deploy.test.all"),
    ];
    host.behave("install 2");
    let ran = run_with(&["deploy", "test-all"], &environment);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("ok\n"), "{}", ran.out);
    assert!(
        host.calls()[0]
            .starts_with("argv [boot] [--flake] [git+https://git.example.com/u/c.git?ref=feature/x#testhost1]")
    );
    assert_eq!(run_with(&["list-hosts"], &environment).status, 0);
    assert_eq!(run_with(&["status"], &environment).status, 0);
    assert_eq!(run(&["deploy"]).status, 2);
    assert_eq!(run(&["--help"]).status, 0);
    assert_eq!(run(&["--version"]).status, 0);
}

#[test]
fn contract_a_foreign_deployer_deploys_with_our_listener() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let (url, key) = (server.url(), server.seed_path("test-deployer"));
    let statuses = python::run("foreign.py", &["deployer", &url, &key, "deploy.test.testhost1"]);
    let names: Vec<_> = statuses.iter().map(|status| status["status"].as_str().unwrap()).collect();
    assert_eq!(names, ["accepted", "started", "completed"]);
    for status in &statuses {
        assert_eq!(status["hostname"], "testhost1");
        assert_eq!(status["error"], Value::Null);
    }
    assert!(statuses[2]["message"].as_str().unwrap().starts_with("Successfully switched to generation 2"));
    let refused = python::run("foreign.py", &["deployer", &url, &key, "deploy.test.all", "reboot", "main"]);
    assert_eq!(refused[0]["error"], "invalid_action");
    host.behave("exit 1");
    let failed = python::run("foreign.py", &["deployer", &url, &key, "deploy.test.all"]);
    assert_eq!(failed.last().unwrap()["error"], "build_failed");
}

#[test]
fn contract_a_foreign_listener_is_deployed_by_us_alone_and_beside_ours() {
    let server = Server::start();
    let (url, key) = (server.url(), server.seed_path("dns1"));
    let mut foreign = Talk::start(
        "foreign.py",
        &["listener", &url, &key, "dns1", "deploy.prod.dns1", "deploy.prod.all", "deploy.prod.role.dns"],
    );
    assert_eq!(foreign.read(), "ready");
    let ran = server.deploy("admin", "deploy.prod.role.dns", &["--accept-wait", "1"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.end()["hosts"]["dns1"]["status"], "completed");
    let request = foreign.read();
    assert_eq!(request["request"]["action"], "switch");
    // One of ours on the other tier's keys answers discovery; the foreign one joins by accepting.
    let mut ours = FakeHost::prepare(&server, "testhost1", "admin");
    ours.set("--tier", "prod").run();
    let ran = server.deploy("admin", "deploy.prod.all", &["--expect", "testhost1,dns1"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.end()["hosts"].as_object().unwrap().len(), 2);
}

#[test]
fn contract_discovery_answers_where_it_is_asked_to_and_never_an_answer() {
    let server = Server::start();
    let _host = FakeHost::start(&server);
    let client = Client::connect(&server, &server.keys.admin);
    let mut all = client.subscribe("deploy.>");
    let time = std::time::Duration::from_secs(5);
    let quiet = std::time::Duration::from_millis(500);
    client.publish("deploy.discover", json!({ "reply_to": "deploy.responses.d1" }).to_string());
    let (subject, payload) = all.raw(time).unwrap();
    assert_eq!(subject, "deploy.responses.d1");
    let answer: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((&answer["hostname"], &answer["tier"]), (&json!("testhost1"), &json!("test")));
    assert_eq!(answer["subjects"], json!(["deploy.test.testhost1", "deploy.test.all"]));
    for field in ["instance", "version", "backend", "timeout", "time"] {
        assert!(!answer[field].is_null(), "{field}: {answer}");
    }
    client.publish_with_reply("deploy.discover", "deploy.responses.d2", "{}");
    assert_eq!(all.raw(time).unwrap().0, "deploy.responses.d2");
    client.publish_with_reply(
        "deploy.discover",
        "deploy.responses.d3",
        json!({ "reply_to": "deploy.prod.x" }).to_string(),
    );
    assert_eq!(all.raw(time).unwrap().0, "deploy.responses.d3");
    client.publish("deploy.discover", "{}");
    let (subject, payload) = all.raw(time).unwrap();
    assert_eq!(subject, "deploy.discover");
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap()["instance"], Value::Null, "everybody reads this");
    client.publish("deploy.discover", "{}");
    assert!(all.raw(quiet).is_none(), "at most once a second");
    client.publish("deploy.discover", json!({ "hostname": "other", "reply_to": "deploy.responses.d4" }).to_string());
    client.publish("deploy.discover", json!({ "tier": "prod", "reply_to": "deploy.responses.d5" }).to_string());
    client.publish("deploy.discover", "hello");
    assert!(all.raw(quiet).is_none(), "an answer, another tier, no JSON");
}

#[test]
fn contract_json_lines_and_the_last_line() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let ran = server.deploy("test-deployer", "deploy.test.all", &["--branch", commit]);
    let lines = ran.lines();
    let phases: Vec<_> = lines.iter().filter_map(|line| line["phase"].as_str()).collect();
    assert_eq!(phases[..2], ["plan", "batch"]);
    assert!(phases[2..].iter().all(|phase| *phase == "host"), "{phases:?}");
    for line in &lines[..lines.len() - 1] {
        assert!(line["message"].is_string() && line["time"].is_string(), "{line}");
    }
    assert_eq!(lines[0]["hosts"], json!(["testhost1"]));
    let last = lines.iter().rev().find(|line| line["phase"] == "host").unwrap();
    assert_eq!(
        (&last["host"], &last["host_status"], &last["revision"]),
        (&json!("testhost1"), &json!("completed"), &json!(commit))
    );
    let end = ran.end();
    assert_eq!((&end["status"], &end["error"], &end["revision"]), (&json!("ok"), &Value::Null, &json!(commit)));
    assert_eq!((&end["missing"], &end["unexpected"]), (&json!([]), &json!([])));
    assert!(end["duration_ms"].is_u64() && end["hosts"]["testhost1"]["seconds"].is_u64());
    let id = end["id"].as_str().unwrap();
    let status = server.command("test-deployer", &["status", id, "--json"]);
    assert_eq!((status.status, &status.lines()[0]["last"]["id"]), (0, &json!(id)));
    assert_eq!(server.command("test-deployer", &["status", "no-such-id"]).status, 4);
    assert!(within(std::time::Duration::from_secs(1), || host.calls().len() == 1));
}

#[test]
fn contract_ten_seconds_of_silence_are_broken_by_a_heartbeat() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--heartbeat-interval", "60");
    host.behave("sleep 12; switch_to 2");
    host.run();
    let ran = server.deploy("test-deployer", "deploy.test.all", &[]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let beats = ran.lines().iter().filter(|line| line["phase"] == "heartbeat").count();
    assert_eq!(beats, 1, "{}", ran.out);
}

#[test]
fn contract_a_host_moves_from_the_go_tool_with_its_key_and_name() {
    let server = Server::start();
    let (url, key) = (server.url(), server.seed_path("testhost1"));
    let subjects = ["deploy.test.testhost1", "deploy.test.all"];
    let deploy = || server.deploy("test-deployer", "deploy.test.testhost1", &["--accept-wait", "1"]);
    {
        let mut old = Talk::start("foreign.py", &[&["listener", &url, &key, "testhost1"], &subjects[..]].concat());
        assert_eq!(old.read(), "ready");
        let ran = deploy();
        assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
        assert_eq!(ran.end()["hosts"]["testhost1"]["message"], "completed by testhost1");
    }
    let host = FakeHost::start(&server);
    assert_eq!(deploy().status, 0);
    let old = python::run("foreign.py", &["deployer", &url, &server.seed_path("test-deployer"), "deploy.test.all"]);
    assert_eq!(old.last().unwrap()["status"], "completed");
    assert_eq!(host.calls().len(), 2);
}
