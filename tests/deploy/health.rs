//! What counts as healthy, and who asks.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::unistd::Uid;

use super::messages;
use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::host::Host;
use crate::support::images::Image;
use crate::support::oidc::Issuer;

#[test]
fn with_status_any_200_is_healthy_whatever_version_it_claims() {
    let host = Host::docker_with(|setup| {
        setup
            .set("DEPLOYER_HEALTH_EXPECT", "status")
            .set("DEPLOYER_HEALTH_MAX_WAIT", "1200ms");
    });
    host.push("2.0.1", "claim=0.0.1");
    host.deploy("2.0.1").assert_ok();
    host.push("2.0.2", "status=503");
    let error = host.deploy("2.0.2").assert_failed();
    assert!(error.contains("last answer: 503"), "{error}");
    assert_eq!(host.live_version().as_deref(), Some("0.0.1"));
}

#[test]
fn with_container_dockers_own_word_counts() {
    let host = Host::docker_with(|setup| {
        setup
            .set("DEPLOYER_HEALTH_EXPECT", "container")
            .set("DEPLOYER_HEALTH_MAX_WAIT", "30s");
    });
    let image = host.registry.image();
    // The URL would fail it; docker's health check asks something else of it.
    Image::of("2.0.1")
        .behaving("claim=0.0.1")
        .with_healthcheck()
        .push(&image);
    let answer = host.deploy("2.0.1");
    answer.assert_ok();
    let said = messages(&answer, "health");
    assert!(
        said.last()
            .is_some_and(|line| line.contains("healthy, says Docker after ")),
        "{said:?}"
    );

    Image::of("2.0.2")
        .behaving("unhealthy")
        .with_healthcheck()
        .push(&image);
    let error = host.deploy("2.0.2").assert_failed();
    assert!(error.contains("not healthy: unhealthy, says Docker"), "{error}");
    assert_eq!(host.live_version().as_deref(), Some("0.0.1"));
}

#[test]
fn with_container_an_image_without_a_health_check_must_run_for_a_while() {
    let host = Host::docker_with(|setup| {
        setup
            .set("DEPLOYER_HEALTH_EXPECT", "container")
            .set("DEPLOYER_HEALTH_MAX_WAIT", "30s");
    });
    host.push("2.0.1", "crash-after=300");
    let error = host.deploy("2.0.1").assert_failed();
    assert!(error.contains("restarted"), "{error}");
    let answer = host.deploy("2.0.0");
    answer.assert_ok();
    let said = messages(&answer, "health");
    assert!(
        said.last()
            .is_some_and(|line| line.contains("running for 5 s without a restart")),
        "{said:?}"
    );
}

#[test]
fn a_slow_and_flaky_start_is_waited_for() {
    let host = Host::docker();
    host.push("2.0.1", "slow-start=700,flaky=2");
    let answer = host.deploy("2.0.1");
    answer.assert_ok();
    let said = messages(&answer, "health");
    assert!(
        said.iter()
            .any(|line| line.ends_with("not healthy yet: last answer: 503")),
        "{said:?}"
    );
    assert!(
        said.last()
            .is_some_and(|line| line.contains("healthy at 2.0.1 after ")),
        "{said:?}"
    );
}

/// An application on loopback that notes the kernel's word on whose socket each request came from.
fn asked_by() -> (u16, Receiver<u32>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, owners) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let peer = stream.peer_addr().expect("a peer").port();
            let _ = sender.send(owner_of(peer));
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"version":"1.2.3"}"#;
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (port, owners)
}

/// The user whose socket has this port of loopback for its own.
fn owner_of(port: u16) -> u32 {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let own = format!("0100007F:{port:04X}");
    let line = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut line = line.filter(|words| words.get(1) == Some(&own.as_str()));
    line.next()
        .and_then(|words| words.get(7)?.parse().ok())
        .expect("the socket of the request")
}

#[test]
fn a_health_url_is_asked_by_the_role_without_privileges() {
    assert!(
        Uid::effective().is_root(),
        "as root alone there are privileges to give up: start the tests as root"
    );
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let (port, owners) = asked_by();
    setup.set(
        "DEPLOYER_CONTAINERS",
        format!("app=http://127.0.0.1:{port}/api/health"),
    );
    let deployer = setup.start();
    let token = issuer.mint(AUDIENCE);
    let answer = deployer
        .client()
        .post("/deploy", &token, r#"{"version":"1.2.3"}"#);
    answer.assert_ok();
    let owners: Vec<u32> = owners.try_iter().collect();
    assert_eq!(owners, [65522], "DEPLOYER_FETCH_USER, and nobody else");
}
