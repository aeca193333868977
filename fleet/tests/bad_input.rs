//! [bad_input] Each row of what may be wrong, over the real server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fake_host::FakeHost;
use crate::support::server::Server;
use crate::support::{run, run_with, wait_until};

const QUIET: Duration = Duration::from_millis(700);

#[track_caller]
fn usage(arguments: &[&str], words: &str) {
    let ran = run(arguments);
    assert_eq!(ran.status, 2, "{arguments:?}: {}{}", ran.out, ran.err);
    assert!(ran.err.contains(words), "{arguments:?}: {words}: {}", ran.err);
}

#[test]
fn bad_input_names_templates_and_urls_end_the_listener_with_the_rule() {
    let server = Server::start();
    let check = |flag: &str, value: &str, words: &str| {
        let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
        host.set(flag, value);
        usage(&host.arguments(), words);
    };
    for name in ["all", "role", "_x", "a.b", "", "a b"] {
        check("--hostname", name, "1 to 63 of A-Z a-z 0-9 _ -");
    }
    check("--tier", "staging", "test, prod");
    check("--role", "a.b", "role");
    check("--deploy-subject", "deploy.<zone>.x", "<hostname>, <tier> and <role>");
    check("--deploy-subject", "deploy..x", "none empty");
    check("--deploy-subject", "a b", "white space");
    check("--deploy-subject", "deploy.>", "deploy.responses.>");
    check("--deploy-subject", "deploy.discover", "overlaps");
    check("--flake-url", "git+https://a/b?ref=x", "`ref`");
    check("--flake-url", "git+https://a/b#c", "#");
    check("--timeout", "0", "1..=86400");
    check("--timeout", "86401", "1..=86400");
    check("--nats-url", "http://a", "nats://host:4222");
    check("--user", "root", "or root");
    check("--user", "no-such-user", "no user");
}

#[test]
fn bad_input_targets_aliases_revisions_and_actions_end_the_deploy_before_it_connects() {
    // Nobody listens there: whoever connects ends with 3.
    let key = Server::start();
    let seed = key.seed_path("test-deployer");
    let deploy = |more: &[&str], environment: &[(&str, &str)]| {
        let connect = ["--nats-url", "nats://127.0.0.1:1", "--nkey-file", &seed];
        run_with(&[&["deploy"], &connect[..], more].concat(), environment)
    };
    for target in ["deploy.prod.*", "deploy.prod.>", "deploy..x", ".x", "deploy.prod.a b", "deploy.prod.\u{7}"] {
        let ran = deploy(&[target], &[]);
        assert!(ran.status == 2 && ran.err.contains("target"), "{target}: {} {}", ran.status, ran.err);
    }
    let ran = deploy(&["prod-dns"], &[]);
    assert!(ran.status == 2 && ran.err.contains("HOMELAB_DEPLOY_ALIAS_PROD_DNS is not set"), "{}", ran.err);
    let ran = deploy(&["prod"], &[("HOMELAB_DEPLOY_ALIAS_PROD", "all")]);
    assert!(ran.status == 2 && ran.err.contains("holds \"all\""), "{}", ran.err);
    let ran = deploy(&["prod"], &[("HOMELAB_DEPLOY_ALIAS_PROD", "deploy.prod.*")]);
    assert!(ran.status == 2 && ran.err.contains("HOMELAB_DEPLOY_ALIAS_PROD holds"), "{}", ran.err);
    let target = "deploy.test.all";
    for (more, words) in [
        (["--branch", "a&dir=.."], "revision"),
        (["--action", "reboot"], "dry-activate"),
        (["--timeout", "0"], "1..=86400"),
        (["--timeout", "86401"], "1..=86400"),
        (["--expect", "a.b"], "hostname"),
        (["--hosts", "/no/such/file"], "No such file"),
        (["--on-branch", "main"], "--on-branch"),
    ] {
        let ran = deploy(&[&[target], &more[..]].concat(), &[]);
        assert!(ran.status == 2 && ran.err.contains(words), "{more:?}: {} {}", ran.status, ran.err);
    }
    let ran = deploy(&[target, "--branch=-x"], &[]);
    assert!(ran.status == 2 && ran.err.contains("revision"), "{}", ran.err);
    assert_eq!(deploy(&[target], &[]).status, 3);
}

fn request(id: &str, more: Value) -> Vec<u8> {
    let mut request = json!({ "action": "switch", "revision": "main", "reply_to": format!("deploy.responses.{id}") });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request.to_string().into_bytes()
}

#[test]
fn bad_input_requests_that_cannot_be_answered_are_dropped_and_counted() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let client = Client::connect(&server, &server.keys.admin);
    let mut everything = client.subscribe("deploy.>");
    let long = request("long", json!({ "x": "x".repeat(9_000) }));
    let bad: Vec<Vec<u8>> = vec![
        long,
        b"hello".to_vec(),
        b"{".to_vec(),
        vec![0xff, 0xfe],
        br#"{"action":"switch","revision":"main"}"#.to_vec(),
        request("x", json!({ "reply_to": "deploy.prod.evil" })),
        request("x", json!({ "reply_to": "_INBOX.x" })),
        request("x", json!({ "reply_to": "deploy.responses.>" })),
        request("x", json!({ "reply_to": "deploy.responses.a.b.c" })),
        request("x", json!({ "reply_to": "deploy.discover" })),
    ];
    for bytes in &bad {
        client.publish("deploy.test.testhost1", bytes.clone());
    }
    assert!(everything.raw(QUIET).is_none(), "nothing is answered");
    wait_until("it is logged", || host.log().contains("dropped 1 requests"));
    assert!(host.calls().is_empty() && host.runs().is_empty());
    assert!(host.log().matches("dropped").count() <= 3, "at most once a second: {}", host.log());
}

#[test]
fn bad_input_wrong_fields_are_rejected_with_their_code() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let client = Client::connect(&server, &server.keys.admin);
    let over = "2020-01-01T00:00:00Z";
    for (id, more, code) in [
        ("a", json!({ "action": "reboot" }), "invalid_action"),
        ("b", json!({ "action": 7 }), "invalid_action"),
        ("c", json!({ "revision": "a&b" }), "invalid_revision"),
        ("d", json!({ "revision": null }), "invalid_revision"),
        ("e", json!({ "branch": "../x" }), "invalid_revision"),
        ("f", json!({ "deadline": over }), "expired"),
        ("g", json!({ "deadline": "2120-01-01T00:00:00Z" }), "expired"),
    ] {
        let mut heard = client.subscribe(&format!("deploy.responses.{id}"));
        client.publish("deploy.test.testhost1", request(id, more));
        let statuses = heard.statuses();
        assert_eq!(statuses.len(), 1, "{statuses:?}");
        assert_eq!((&statuses[0]["status"], &statuses[0]["error"]), (&json!("rejected"), &json!(code)), "{id}");
        if id == "f" {
            assert!(
                statuses[0]["message"].as_str().unwrap().contains("here it is 20"),
                "the host's time: {statuses:?}"
            );
        }
    }
    assert!(host.calls().is_empty());
}

#[test]
fn bad_input_the_same_request_again_is_answered_and_not_run_again() {
    let server = Server::start();
    let mut host = FakeHost::start(&server);
    let client = Client::connect(&server, &server.keys.admin);
    let mut heard = client.subscribe("deploy.responses.same");
    let bytes = request("same", json!({}));
    client.publish("deploy.test.testhost1", bytes.clone());
    assert_eq!(heard.statuses().last().unwrap()["status"], "completed");
    client.publish("deploy.test.all", bytes.clone());
    assert_eq!(heard.statuses().last().unwrap()["status"], "completed", "its present status");
    client.publish("deploy.test.testhost1", request("same", json!({ "branch": "x" })));
    let again = heard.statuses();
    assert_eq!(again.last().unwrap()["error"], "duplicate_id");
    // Nor after a restart.
    host.kill();
    host.run();
    assert_eq!(heard.statuses().last().unwrap()["status"], "completed", "what it sends when it is back");
    client.publish("deploy.test.testhost1", bytes);
    assert_eq!(heard.statuses().last().unwrap()["status"], "completed");
    assert_eq!(host.calls().len(), 1);
}

#[test]
fn bad_input_a_busy_host_says_with_what_and_a_held_one_why() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.behave("while [ ! -e $R/go ]; do sleep 0.1; done; switch_to 2");
    let client = Client::connect(&server, &server.keys.admin);
    let mut first = client.subscribe("deploy.responses.first");
    client.publish("deploy.test.testhost1", request("first", json!({ "by": "somebody" })));
    wait_until("it runs", || host.calls().len() == 1);
    let mut second = client.subscribe("deploy.responses.second");
    client.publish("deploy.test.testhost1", request("second", json!({})));
    let busy = second.statuses().pop().unwrap();
    assert_eq!((&busy["error"], &busy["run"]), (&json!("already_running"), &json!("first")));
    let message = busy["message"].as_str().unwrap();
    assert!(message.contains("since 20") && message.contains("somebody"), "{message}");
    std::fs::write(host.root().join("go"), "").unwrap();
    assert_eq!(first.statuses().last().unwrap()["status"], "completed");

    let state = host.state();
    let state = state.to_str().unwrap();
    assert_eq!(run(&["hold", "--reason", "the disk is changed", "--state-dir", state]).status, 0);
    let ran = server.deploy("test-deployer", "deploy.test.all", &[]);
    assert_eq!(ran.status, 1);
    let end = &ran.end()["hosts"]["testhost1"];
    assert_eq!((&end["status"], &end["error"]), (&json!("rejected"), &json!("held")));
    assert!(end["message"].as_str().unwrap().contains("the disk is changed"));
    assert_eq!(run(&["release", "--state-dir", state]).status, 0);
    assert_eq!(server.deploy("test-deployer", "deploy.test.all", &[]).status, 0);
    assert_eq!(host.calls().len(), 2);
}

/// A small generator of numbers: the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn mutated(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = request(&format!("m{}", numbers.next(9)), json!({ "id": "x", "action": "zz" }));
    for _ in 0..1 + numbers.next(6) {
        let place = numbers.next(bytes.len().max(1)).min(bytes.len() - 1);
        match numbers.next(4) {
            0 => bytes[place] = numbers.next(256) as u8,
            1 if bytes.len() > 1 => drop(bytes.remove(place)),
            2 => bytes.insert(place, b"{}[]\",:\\0"[numbers.next(9)]),
            _ => bytes.truncate(place.max(1)),
        }
    }
    bytes
}

fn memory(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn bad_input_ten_thousand_mutated_requests_start_nothing_and_cost_no_memory() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let client = Client::connect(&server, &server.keys.admin);
    let mut elsewhere = client.subscribe("deploy.>");
    let seed = 0x5eed_u64;
    let mut numbers = Numbers(seed);
    let mut before = (0, 0);
    for number in 0..10_000 {
        client.publish("deploy.test.testhost1", mutated(&mut numbers));
        if number == 1_000 {
            before = (memory(host.pid()), memory(host.half()));
        }
    }
    // Whoever comes last is answered last.
    client.publish("deploy.test.testhost1", request("last", json!({ "action": "none" })));
    let mut answers = 0;
    loop {
        let (subject, _) = elsewhere.raw(crate::support::PATIENCE).expect("the last one is answered");
        assert!(subject.starts_with("deploy.responses."), "{subject}");
        answers += 1;
        if subject == "deploy.responses.last" {
            break;
        }
    }
    assert!(answers > 10, "some of them were requests: {answers}");
    assert!(host.calls().is_empty() && host.runs().is_empty(), "seed {seed:#x}");
    let after = (memory(host.pid()), memory(host.half()));
    assert!(after.0 < before.0 + 2_000 && after.1 < before.1 + 2_000, "kB: {before:?}, then {after:?}");
}

#[test]
fn bad_input_what_a_host_sends_too_much_or_wrong_is_ignored_and_named() {
    let server = Server::start();
    let client = Client::connect(&server, &server.keys.admin);
    let mut requests = client.subscribe("deploy.test.liar");
    let child = server
        .prepared("test-deployer", &["deploy", "deploy.test.liar", "--json", "--accept-wait", "2", "--timeout", "6"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let request = loop {
        let (_, payload) = requests.raw(crate::support::PATIENCE).unwrap();
        if !payload.is_empty() {
            break serde_json::from_slice::<Value>(&payload).unwrap();
        }
    };
    let reply = request["reply_to"].as_str().unwrap();
    let say = |value: Value| client.publish(reply, value.to_string());
    client.publish(reply, "hello");
    say(json!({ "hostname": "liar", "status": "done", "error": null, "message": "" }));
    say(json!({ "hostname": "a.b", "status": "completed", "error": null, "message": "" }));
    say(json!({ "hostname": "liar", "status": "started", "message": "x".repeat(17_000) }));
    say(json!({ "hostname": "liar", "status": "completed", "id": "another", "message": "" }));
    for number in 0..1_100 {
        say(json!({ "hostname": "liar", "status": "started", "message": number }));
    }
    say(json!({ "hostname": "liar", "status": "completed", "message": "" }));
    say(json!({ "hostname": "other", "status": "completed", "error": null, "message": "\u{1b}[31mred" }));
    let output = child.wait_with_output().unwrap();
    let end: Value = serde_json::from_str(crate::support::text(&output.stdout).lines().last().unwrap()).unwrap();
    let notes = end["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect::<Vec<_>>();
    for words in [
        "not a JSON object",
        "unknown status",
        "without a valid hostname",
        "over 16 KiB",
        "for another deploy",
        "more than 1000 messages of liar",
    ] {
        assert_eq!(notes.iter().filter(|note| note.contains(words)).count(), 1, "{words}: {notes:?}");
    }
    assert_eq!(end["hosts"]["other"]["status"], "completed", "it joined");
    assert_ne!(end["hosts"]["liar"]["status"], "completed", "its last message was one too many");
}
