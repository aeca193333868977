//! [permission] What the server refuses is said at once, with the subject. [no_listener] Nobody there is said at once.

use std::time::{Duration, Instant};

use crate::support::fake_host::FakeHost;
use crate::support::server::Server;
use crate::support::{Ran, seed};

const SOON: Duration = Duration::from_secs(1);

#[track_caller]
fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.time < SOON, "{:?}", ran.time);
    for word in words {
        assert!(ran.out.contains(word) || ran.err.contains(word), "{word}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn permission_a_test_deployer_cannot_reach_prod_and_hears_so_at_once() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    let ran = server.deploy("test-deployer", "deploy.prod.all", &[]);
    refused(&ran, &["publish", "deploy.prod.all"]);
    assert!(host.calls().is_empty());
}

#[test]
fn permission_a_key_that_may_publish_one_subject_alone_deploys_to_it() {
    let sample = include_str!("../contrib/nats/sample.conf");
    let narrow =
        sample.replace("[\"deploy.test.>\", \"deploy.discover\"]", "[\"deploy.test.all\", \"deploy.discover\"]");
    assert_ne!(narrow, sample);
    let server = Server::of(&narrow, "", "nats");
    let host = FakeHost::start(&server);
    let ran = server.deploy("test-deployer", "deploy.test.all", &[]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert_eq!(host.calls().len(), 1, "the probes of permissions start nothing");
    refused(&server.deploy("test-deployer", "deploy.test.testhost1", &[]), &["deploy.test.testhost1"]);
}

#[test]
fn permission_a_listeners_key_deploys_nothing() {
    let server = Server::start();
    let ran = server.deploy("testhost1", "deploy.test.all", &[]);
    refused(&ran, &["subscribe", "deploy.responses."]);
}

#[test]
fn permission_an_unknown_key_is_named() {
    let server = Server::start();
    server.seed_file("unknown", &seed());
    refused(&server.deploy("unknown", "deploy.test.all", &[]), &["does not know this key"]);
    refused(&server.command("unknown", &["list-hosts"]), &["does not know this key"]);
}

#[test]
fn permission_a_listener_that_may_not_subscribe_ends_with_the_subject() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "dns1", "testhost1");
    host.spawn();
    assert_eq!(host.process.as_mut().unwrap().wait(), 3);
    assert!(host.log().contains("subscribe to deploy.test.dns1"), "{}", host.log());
}

#[test]
fn permission_check_prints_the_line_that_is_missing() {
    let server = Server::start();
    let host = FakeHost::prepare(&server, "testhost1", "testhost1");
    let check = |host: &FakeHost| {
        let mut arguments = host.arguments();
        arguments[0] = "check";
        crate::support::run(&arguments)
    };
    let ran = check(&host);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(&server.keys.test_host.public_key()), "{}", ran.out);
    let other = FakeHost::prepare(&server, "dns1", "testhost1");
    let ran = check(&other);
    assert_eq!(ran.status, 3);
    assert!(ran.out.contains("add \"deploy.test.dns1\" to permissions.subscribe"), "{}", ran.out);
    let deployer = FakeHost::prepare(&server, "testhost1", "test-deployer");
    let ran = check(&deployer);
    assert!(ran.out.contains("\"deploy.responses.>\" to permissions.publish"), "{}", ran.out);
}

#[test]
fn no_listener_is_said_in_under_a_second() {
    let server = Server::start();
    let ran = server.deploy("test-deployer", "deploy.test.all", &[]);
    refused(&ran, &["no listener on deploy.test.all"]);
    assert_eq!(ran.end()["status"], "fail");
}

#[test]
fn no_listener_at_first_and_one_that_comes_300_ms_later_is_found() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    let begin = Instant::now();
    let mut command = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300).saturating_sub(begin.elapsed()));
    host.run();
    let ran = Ran::of(&child.wait_with_output().unwrap(), begin);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.end()["hosts"]["testhost1"]["status"], "completed");
    assert_eq!(host.calls().len(), 1);
}

#[test]
fn no_listener_no_server_or_no_tls_is_one_sentence_within_five_seconds() {
    let mut server = Server::start();
    let plain = server.url().replace("nats://", "tls://");
    let key = server.seed_path("test-deployer");
    let deploy =
        |url: &str| crate::support::run(&["deploy", "deploy.test.all", "--nats-url", url, "--nkey-file", &key]);
    let ran = deploy(&plain);
    assert_eq!((ran.status, ran.err.lines().count()), (3, 1), "{}", ran.err);
    assert!(ran.err.contains("speaks no TLS"), "{}", ran.err);
    let frozen = server.pid();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(frozen), nix::sys::signal::Signal::SIGSTOP).unwrap();
    let ran = deploy(&server.url());
    assert_eq!((ran.status, ran.err.lines().count()), (3, 1), "{}", ran.err);
    assert!(ran.err.contains("does not answer") && ran.time < Duration::from_secs(5), "{} {:?}", ran.err, ran.time);
    server.kill();
    let ran = deploy(&server.url());
    assert_eq!((ran.status, ran.err.lines().count()), (3, 1), "{}", ran.err);
    assert!(ran.err.contains("refused") && ran.time < SOON, "{}", ran.err);
    let ran = deploy("nats://no-such-host.invalid:4222");
    assert_eq!((ran.status, ran.err.lines().count()), (3, 1), "{}", ran.err);
}

/// A certificate for loopback; its own issuer.
fn certificate(folder: &crate::support::Folder) -> (String, String) {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("server.pem"), path("server.key"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", &cert, "-keyout", &key])
        .output()
        .unwrap();
    assert!(made.status.success());
    (cert, key)
}

#[test]
fn permission_strict_sample_tls_subjects_a_deployer_and_revoking_a_host() {
    let certificates = crate::support::Folder::new();
    let (cert, key) = certificate(&certificates);
    let strict = include_str!("../contrib/nats/strict.conf")
        .replace("/etc/nats/server.pem", &cert)
        .replace("/etc/nats/server.key", &key);
    let server = Server::of(&strict, "", "tls");
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--ca-file", &cert).run();
    let ours = ["--ca-file", &cert, "--responses", "ci"];
    let ran = server.deploy("test-deployer", "deploy.test.all", &ours);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let other = server.deploy("test-deployer", "deploy.test.all", &["--ca-file", &cert, "--responses", "admin"]);
    refused(&other, &["subscribe to deploy.responses.admin."]);
    let mistrusted = server.deploy("test-deployer", "deploy.test.all", &["--responses", "ci"]);
    refused(&mistrusted, &["--ca-file"]);

    let block = format!("nkey: \"{}\"", server.keys.test_host.public_key());
    let revoked = server.config().replace(&block, &format!("nkey: \"{}\"", seed().public_key()));
    server.folder.write("server.conf", &revoked);
    server.reload();
    crate::support::wait_until("the host is off", || host.log().contains("does not know this key"));
    let ran = server.deploy("test-deployer", "deploy.test.all", &ours);
    refused(&ran, &["no listener"]);
    assert_eq!(host.calls().len(), 1);
}
