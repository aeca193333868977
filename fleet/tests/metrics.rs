//! [metrics] Zero from the start, and right after each kind of end.

use std::io::{Read, Write};

use crate::support::fake_host::FakeHost;
use crate::support::server::Server;
use crate::support::{free_port, run, wait_until};

fn get(port: u16, path: &str) -> String {
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("{series} is not there:\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn ends(status: &str, action: &str, code: &str) -> String {
    format!("homelab_deploy_deployments_total{{status=\"{status}\",action=\"{action}\",error_code=\"{code}\"}}")
}

#[test]
fn metrics_are_there_with_zero_and_right_after_each_kind_of_end() {
    let server = Server::start();
    let port = free_port();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.flag("--metrics-enabled").set("--metrics-addr", &format!("127.0.0.1:{port}"));
    host.run();
    let text = get(port, "/metrics");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    for action in ["switch", "boot", "test", "dry-activate"] {
        assert_eq!(value(&text, &ends("completed", action, "")), 0);
        for code in ["build_failed", "timeout", "activation_failed", "interrupted", "already_running"] {
            assert_eq!(value(&text, &ends("failed", action, code)), 0);
        }
        for code in ["invalid_revision", "already_running", "expired", "held", "duplicate_id"] {
            assert_eq!(value(&text, &ends("rejected", action, code)), 0);
        }
        for success in ["true", "false"] {
            let labels = format!("{{action=\"{action}\",success=\"{success}\"}}");
            assert_eq!(value(&text, &format!("homelab_deploy_deployment_duration_seconds_count{labels}")), 0);
            assert_eq!(value(&text, &format!("homelab_deploy_deployment_duration_seconds_sum{labels}")), 0);
        }
    }
    assert_eq!(value(&text, "homelab_deploy_deployment_in_progress"), 0);
    let info = format!(
        "homelab_deploy_info{{hostname=\"testhost1\",tier=\"test\",role=\"\",version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(value(&text, &info), 1);
    let before = text.lines().filter(|line| line.starts_with("homelab_deploy")).count();

    host.behave("while [ ! -e $R/go ]; do sleep 0.05; done; switch_to 2");
    let child = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json"]).spawn().unwrap();
    let mut going = crate::support::Process(child);
    wait_until("a run is in progress", || value(&get(port, "/metrics"), "homelab_deploy_deployment_in_progress") == 1);
    std::fs::write(host.root().join("go"), "").unwrap();
    assert_eq!(going.wait(), 0);
    host.behave("exit 1");
    assert_eq!(server.deploy("test-deployer", "deploy.test.all", &["--action", "boot"]).status, 1);
    let state = host.state();
    run(&["hold", "--state-dir", state.to_str().unwrap()]);
    assert_eq!(server.deploy("test-deployer", "deploy.test.all", &["--action", "test"]).status, 1);
    let text = get(port, "/metrics");
    for (series, wanted) in [
        (ends("completed", "switch", ""), 1),
        (ends("failed", "boot", "build_failed"), 1),
        (ends("rejected", "test", "held"), 1),
        (ends("failed", "switch", "build_failed"), 0),
        ("homelab_deploy_deployment_in_progress".to_owned(), 0),
        ("homelab_deploy_deployment_duration_seconds_count{action=\"switch\",success=\"true\"}".to_owned(), 1),
        ("homelab_deploy_deployment_duration_seconds_count{action=\"boot\",success=\"false\"}".to_owned(), 1),
    ] {
        assert_eq!(value(&text, &series), wanted, "{series}");
    }
    let after = text.lines().filter(|line| line.starts_with("homelab_deploy")).count();
    assert_eq!(before, after, "no series appears later");
    assert!(get(port, "/").starts_with("HTTP/1.1 404"));
}
