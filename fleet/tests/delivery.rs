//! [discovery] Who is named. [restart], [cluster], [frozen], [crash]: what is lost on the way is found by asking.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fake_host::{FakeHost, WORKS, result_of};
use crate::support::server::Server;
use crate::support::{Folder, PATIENCE, Ran, free_port, ours, wait_until};

/// A deploy that goes on while the test does something.
struct Going {
    child: std::process::Child,
    begin: Instant,
}

impl Going {
    fn start(server: &Server, target: &str, more: &[&str]) -> Going {
        let mut command = server.prepared("test-deployer", &[&["deploy", target, "--json"], more].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Going { child, begin: Instant::now() }
    }

    fn end(self) -> Ran {
        Ran::of(&self.child.wait_with_output().unwrap(), self.begin)
    }
}

fn status(ran: &Ran, host: &str) -> String {
    ran.end()["hosts"][host]["status"].as_str().unwrap_or("none").to_owned()
}

/// Hosts of the test tier that are called h0, h1, ...
fn hosts(server: &Server, count: usize, behaviour: &str) -> Vec<FakeHost> {
    let mut hosts: Vec<FakeHost> = Vec::new();
    for number in 0..count {
        let mut host = FakeHost::prepare(server, &format!("h{number}"), "testhost1");
        host.set("--heartbeat-interval", "1");
        host.behave(behaviour);
        host.spawn();
        hosts.push(host);
    }
    hosts.iter().for_each(|host| host.wait_connected(0));
    hosts
}

#[test]
fn discovery_expected_optional_skipped_and_unexpected_hosts_are_named() {
    let server = Server::many_hosts();
    let _hosts = hosts(&server, 2, WORKS);
    let quick = ["--accept-wait", "1"];
    let deploy = |more: &[&str]| server.deploy("test-deployer", "deploy.test.all", &[&quick, more].concat());

    let ran = deploy(&["--expect", "h0,h1,h2"]);
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert_eq!((status(&ran, "h0"), status(&ran, "h2")), ("completed".to_owned(), "missing".to_owned()));
    assert_eq!(ran.end()["missing"], json!(["h2"]));

    let ran = deploy(&["--expect", "h0,h1,h2", "--optional", "h2"]);
    assert_eq!((ran.status, status(&ran, "h2").as_str()), (0, "missing"), "{}", ran.out);
    let ran = deploy(&["--expect", "h0,h1,h2,h3", "--skip-offline"]);
    assert_eq!(ran.status, 0, "{}", ran.out);

    let ran = deploy(&["--expect", "h0"]);
    assert_eq!((ran.status, &ran.end()["unexpected"]), (0, &json!(["h1"])), "{}", ran.out);

    let inventory = server.folder.write("hosts", "h0 test -\nh1 test web # a comment\nprod1 prod -\n");
    let inventory = inventory.to_str().unwrap();
    let ran = deploy(&["--hosts", inventory]);
    assert_eq!((ran.status, ran.end()["hosts"].as_object().unwrap().len()), (0, 2), "{}", ran.out);
    let ran = server.deploy("admin", "deploy.other.all", &["--hosts", inventory]);
    assert!(ran.status == 2 && ran.err.contains("reaches none"), "{}", ran.err);
}

#[test]
fn discovery_two_machines_of_one_name_stop_it_before_anything_is_sent() {
    let server = Server::many_hosts();
    let twins: Vec<FakeHost> = (0..2)
        .map(|_| {
            let mut host = FakeHost::prepare(&server, "twin", "testhost1");
            host.run();
            host
        })
        .collect();
    let ran = server.deploy("test-deployer", "deploy.test.all", &[]);
    assert_eq!(ran.status, 3, "{}", ran.out);
    assert!(ran.end()["error"].as_str().unwrap().contains("two machines call themselves twin"), "{}", ran.out);
    assert!(twins.iter().all(|twin| twin.calls().is_empty()));
}

#[test]
fn discovery_of_many_hosts_on_the_common_subject_stays_bounded() {
    let server = Server::many_hosts();
    let hosts = hosts(&server, 12, WORKS);
    let client = Client::connect(&server, &server.keys.admin);
    let mut heard = client.subscribe("deploy.discover");
    let begin = Instant::now();
    for _ in 0..50 {
        client.publish("deploy.discover", "{}");
    }
    let mut count = 0;
    while heard.raw(Duration::from_millis(800)).is_some() {
        count += 1;
    }
    let seconds = begin.elapsed().as_secs() as usize + 1;
    assert!(count >= hosts.len() && count <= hosts.len() * seconds, "{count} answers in {seconds} s");
}

#[test]
fn discovery_a_host_with_other_subjects_is_found_by_them_and_a_liar_is_not_believed() {
    let wide = include_str!("../contrib/nats/sample.conf").replace("\"deploy.test.testhost1\"", "\"lab.>\"");
    let server = Server::of(&wide, "", "nats");
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--deploy-subject", "lab.<tier>.*").run();
    let ran = server.deploy("admin", "lab.test.x", &["--accept-wait", "1"]);
    assert_eq!(ran.status, 3, "the administrator may not publish there");
    let config = server.config().replace("publish: [\"deploy.>\"]", "publish: [\"deploy.>\", \"lab.>\"]");
    let config = config.replace("subscribe: [\"deploy.>\"]", "subscribe: [\"deploy.>\", \"lab.>\"]");
    server.folder.write("server.conf", &config);
    server.reload();
    wait_until("the permission is there", || {
        let ran = server.deploy("admin", "lab.test.x", &["--action", "dry-activate"]);
        ran.status == 0 && status(&ran, "testhost1") == "completed"
    });

    // A listener's key may publish any status. Who does not know what the host calls itself is not believed.
    host.behave("sleep 2; exit 1");
    let client = Client::connect(&server, &server.keys.admin);
    let mut requests = client.subscribe("lab.test.x");
    let mut command = server.prepared("admin", &["deploy", "lab.test.x", "--json"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let request = loop {
        let (_, payload) = requests.raw(PATIENCE).unwrap();
        if let Ok(request) = serde_json::from_slice::<Value>(&payload) {
            break request;
        }
    };
    let lie = json!({ "hostname": "testhost1", "status": "completed", "error": null, "message": "" });
    client.publish(request["reply_to"].as_str().unwrap(), lie.to_string());
    let ran = Ran::of(&child.wait_with_output().unwrap(), Instant::now());
    assert_eq!((ran.status, status(&ran, "testhost1").as_str()), (1, "failed"), "{}", ran.out);
    assert!(ran.out.contains("not of that machine"), "{}", ran.out);
}

#[test]
fn restart_of_the_server_while_hosts_work_loses_no_result() {
    let (count, rounds) = if crate::support::all() { (20, 10) } else { (8, 5) };
    let mut server = Server::many_hosts();
    let hosts = hosts(&server, count, "case $R in *) sleep 1;; esac; [ ! -e $R/fail ] || exit 1; switch_to 2");
    std::fs::write(hosts[1].root().join("fail"), "").unwrap();
    for round in 0..rounds {
        let going = Going::start(&server, "deploy.test.all", &["--timeout", "60"]);
        // From before the request to after the last result.
        std::thread::sleep(Duration::from_millis(300 + 250 * round));
        server.kill();
        std::thread::sleep(Duration::from_millis(200));
        server.again();
        let ran = going.end();
        if ran.status == 3 {
            assert!(ran.out.contains("fail") || !ran.err.is_empty());
            assert!(round == 0, "only before the request was sent: {}{}", ran.out, ran.err);
            wait_until("the hosts are back", || {
                let list = server.command("test-deployer", &["list-hosts", "--json"]);
                list.status == 0 && list.lines().len() == count
            });
            continue;
        }
        let end = ran.end();
        assert_eq!(end["hosts"].as_object().unwrap().len(), count, "round {round}: {end}");
        for host in &hosts {
            // Whoever never got the request has no run of it.
            let result = result_of(&host.state().join("runs").join(end["id"].as_str().unwrap()));
            let wanted = result.map_or(json!("unreachable"), |result| result["status"].clone());
            let said = &end["hosts"][&host.name]["status"];
            assert_eq!(*said, wanted, "round {round}, {}: {end}\n{}", host.name, host.log());
            let at_work = 300 + 250 * round > 1_000;
            assert!(!at_work || *said != "unreachable", "round {round}: it was at work");
        }
        assert_eq!(ran.status, 1, "round {round}");
    }
}

/// Servers that route to each other, each with the sample's users.
fn cluster() -> Vec<Server> {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let wide = include_str!("../contrib/nats/sample.conf")
        .replace("\"deploy.test.testhost1\", \"deploy.test.all\"", "\"deploy.test.*\"");
    let first = Server::of(&wide, &cluster_lines(0, &ports, &routes), "nats");
    let mut servers = vec![first];
    for number in 1..3 {
        let server = Server::of(&wide, &cluster_lines(number, &ports, &routes), "nats");
        // The same keys everywhere.
        let listen = format!("listen: 127.0.0.1:{}\n{}", server.port, cluster_lines(number, &ports, &routes));
        server
            .folder
            .write("server.conf", &format!("{listen}\n{}", crate::support::server::fill(&wide, &servers[0].keys)));
        let mut server = server;
        server.restart();
        servers.push(server);
    }
    servers
}

fn cluster_lines(number: usize, ports: &[u16], routes: &[String]) -> String {
    let port = ports[number];
    format!(
        "server_name: n{number}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: [\"{}\"] }}\n",
        routes.join("\", \"")
    )
}

#[test]
fn cluster_the_node_of_the_deployer_and_then_that_of_the_hosts_dies() {
    let mut servers = cluster();
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let mut hosts = Vec::new();
    for number in 0..4 {
        let mut host = FakeHost::prepare(&servers[0], &format!("h{number}"), "testhost1");
        host.set("--nats-url", &urls.join(",")).set("--heartbeat-interval", "1");
        host.behave("sleep 3; switch_to 2");
        host.run();
        hosts.push(host);
    }
    let key = servers[0].seed_path("test-deployer");
    for dies in [1, 0] {
        let own = format!("{},{}", urls[dies], urls[2]);
        let begin = Instant::now();
        let child = ours(&["deploy", "deploy.test.all", "--json", "--nats-url", &own, "--nkey-file", &key])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1_500));
        servers[dies].kill();
        let ran = Ran::of(&child.wait_with_output().unwrap(), begin);
        assert_eq!(ran.status, 0, "node {dies}: {}{}", ran.out, ran.err);
        assert_eq!(ran.end()["hosts"].as_object().unwrap().len(), 4);
        servers[dies].again();
        hosts.iter().for_each(|host| {
            wait_until("every host is there", || {
                let ran = servers[2].command_with(&key, &["list-hosts", "--json"]);
                ran.status == 0 && ran.out.contains(&format!("\"{}\"", host.name)) && ran.lines().len() == 4
            });
        });
    }
}

#[test]
fn frozen_listener_is_unreachable_and_runs_nothing_that_has_expired() {
    let server = Server::many_hosts();
    let hosts = hosts(&server, 2, WORKS);
    let half = hosts[1].half();
    let signal = |pid: i32, signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    // It answers discovery, and then nothing more.
    let going =
        Going::start(&server, "deploy.test.all", &["--expect", "h0,h1", "--timeout", "8", "--accept-wait", "1"]);
    std::thread::sleep(Duration::from_millis(250));
    signal(half, Signal::SIGSTOP);
    signal(hosts[1].pid(), Signal::SIGSTOP);
    let ran = going.end();
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert_eq!((status(&ran, "h0").as_str(), status(&ran, "h1").as_str()), ("completed", "unreachable"), "{}", ran.out);
    // 8 s, less a tenth for the deadline; and the leeway.
    std::thread::sleep(Duration::from_secs(40).saturating_sub(ran.time));
    signal(hosts[1].pid(), Signal::SIGCONT);
    signal(half, Signal::SIGCONT);
    wait_until("it says so", || hosts[1].log().contains("(expired)"));
    assert!(hosts[1].calls().is_empty());
    assert_eq!(hosts[0].calls().len(), 1);
}

#[test]
fn frozen_run_is_stalled_and_found_again() {
    let server = Server::many_hosts();
    let hosts = hosts(&server, 1, "sleep 6; switch_to 2");
    let going = Going::start(&server, "deploy.test.all", &[]);
    wait_until("it runs", || hosts[0].calls().len() == 1);
    hosts[0].process.as_ref().unwrap().signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(5));
    hosts[0].process.as_ref().unwrap().signal(Signal::SIGCONT);
    let ran = going.end();
    assert_eq!(ran.status, 0, "{}", ran.out);
    let states: Vec<_> =
        ran.lines().iter().filter_map(|line| line["host_status"].as_str().map(str::to_owned)).collect();
    assert!(states.contains(&"stalled".to_owned()), "{states:?}");
}

#[test]
fn frozen_for_ever_it_ends_in_time_and_says_stalled() {
    let server = Server::many_hosts();
    let hosts = hosts(&server, 2, "[ -e $R/quick ] || sleep 30; switch_to 2");
    std::fs::write(hosts[0].root().join("quick"), "").unwrap();
    let going = Going::start(&server, "deploy.test.all", &["--timeout", "9"]);
    wait_until("it runs", || hosts[1].calls().len() == 1);
    hosts[1].process.as_ref().unwrap().signal(Signal::SIGSTOP);
    let ran = going.end();
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert_eq!((status(&ran, "h0").as_str(), status(&ran, "h1").as_str()), ("completed", "stalled"), "{}", ran.out);
    assert!(ran.time < Duration::from_secs(12), "{:?}", ran.time);
}

/// Of a host that discovery has not found, a lie is seen only once statuses are signed.
#[test]
fn discovery_what_a_listeners_key_says_of_another_host_is_not_believed() {
    let server = Server::many_hosts();
    let hosts = hosts(&server, 1, "sleep 2; exit 1");
    let liar = Client::connect(&server, &server.keys.test_host);
    let mut requests = liar.subscribe("deploy.test.all");
    let going = Going::start(&server, "deploy.test.all", &["--timeout", "30"]);
    let request = requests.next(PATIENCE).unwrap();
    let lie = json!({ "hostname": "h0", "status": "completed", "error": null, "message": "", "id": request["id"] });
    let mut guess = lie.clone();
    guess["instance"] = json!("0123456789abcdef0123456789abcdef.guessed");
    for lie in [lie, guess] {
        liar.publish(request["reply_to"].as_str().unwrap(), lie.to_string());
    }
    let ran = going.end();
    assert_eq!((ran.status, status(&ran, "h0").as_str()), (1, "failed"), "{}", ran.out);
    assert!(ran.end()["notes"].to_string().contains("in the name of h0 that is not of that machine"), "{}", ran.out);
    assert_eq!(hosts[0].calls().len(), 1);
}

#[test]
fn ended_watching_says_so_and_the_deploy_goes_on() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.behave("sleep 2; switch_to 2");
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        let before = host.calls().len();
        let mut command = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        wait_until("it runs", || host.calls().len() > before);
        nix::sys::signal::kill(pid, signal).unwrap();
        let ran = Ran::of(&child.wait_with_output().unwrap(), Instant::now());
        assert_eq!((ran.status, &ran.end()["status"]), (4, &json!("unknown")), "{}", ran.out);
        let id = ran.end()["id"].as_str().unwrap().to_owned();
        assert!(ran.err.contains(&format!("homelab-deploy status {id}")), "{}", ran.err);
        wait_until("it has ended well", || server.command("test-deployer", &["status", &id]).status == 0);
    }
    // A reader that goes away.
    let before = host.calls().len();
    let mut command = server.prepared("test-deployer", &["deploy", "deploy.test.all"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    wait_until("it was run all the same", || host.calls().len() > before);
}

/// A full pipe: whoever writes to it waits.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while std::io::Write::write(&mut writer, &[b' '; 4096]).is_ok() {}
    while std::io::Write::write(&mut writer, b" ").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

#[test]
fn ended_watching_a_second_ctrl_c_exits_even_where_the_output_is_blocked() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.behave("sleep 2; switch_to 2");
    let (reader, writer) = full_pipe();
    let mut command = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json"]);
    let mut child = crate::support::Process(command.stdout(writer).stderr(Stdio::null()).spawn().unwrap());
    // By then it has come to the plan, its first line.
    std::thread::sleep(Duration::from_millis(1_500));
    child.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.is_alive(), "the first one lets it say how it stands");
    let begin = Instant::now();
    child.signal(Signal::SIGINT);
    assert_eq!(child.wait(), 4);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    drop(reader);
}

/// Kills the process that comes to a place, once; starts the keeper again where it was that one.
fn crash_at(place: &str) -> (Ran, FakeHost, Folder) {
    let server = Server::start();
    let mark = Folder::new();
    let once = mark.path().join("once");
    // The half, which makes the mark too, is another user.
    std::fs::set_permissions(mark.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--heartbeat-interval", "1");
    host.variable("HOMELAB_DEPLOY_FAILPOINT", place);
    host.variable("HOMELAB_DEPLOY_FAILPOINT_ONCE", once.to_str().unwrap());
    host.behave("sleep 0.5; switch_to 2");
    host.run();
    let mut going = Going::start(&server, "deploy.test.all", &["--timeout", "40"]);
    loop {
        if going.child.try_wait().unwrap().is_some() {
            break;
        }
        if !host.process.as_mut().unwrap().is_alive() {
            std::thread::sleep(Duration::from_millis(300));
            host.spawn();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(once.exists(), "{place} was not reached: build with --features failpoints");
    let ran = going.end();
    (ran, host, mark)
}

#[test]
fn crash_at_each_place_the_run_is_done_once_recorded_and_told() {
    for place in [
        "half-begins",
        "keeper-before-accepted",
        "keeper-before-start",
        "keeper-after-start",
        "keeper-before-final",
        "run-begins",
        "run-before-tool",
        "run-after-tool",
        "run-before-result",
        "run-after-result",
    ] {
        let (ran, host, _mark) = crash_at(place);
        let end = &ran.end()["hosts"]["testhost1"];
        let runs = host.runs();
        assert_eq!(runs.len(), 1, "{place}");
        let result = result_of(&runs[0]).unwrap_or_else(|| panic!("{place}: no record; {}", host.log()));
        assert_eq!(end["status"], result["status"], "{place}: {end}; {result}");
        assert!(host.calls().len() <= 1, "{place}: done twice");
        let status = result["status"].as_str().unwrap();
        match place {
            // It cannot be known whether the tool was started.
            "run-before-tool" => assert_eq!(result["error"], "interrupted", "{place}: {result}"),
            _ => assert_eq!((status, host.calls().len()), ("completed", 1), "{place}: {result}; {}", host.log()),
        }
    }
}

#[test]
fn crash_before_the_request_is_on_disk_leaves_nothing() {
    let (ran, host, _mark) = crash_at("keeper-before-folder");
    assert_eq!((ran.status, status(&ran, "testhost1").as_str()), (1, "unreachable"), "{}", ran.out);
    assert!(host.calls().is_empty() && host.runs().is_empty());
}

#[test]
fn crash_of_every_process_at_once_is_recovered_by_the_next_listener() {
    let server = Server::start();
    let mut host = FakeHost::start(&server);
    host.behave("sleep 60; switch_to 2");
    let going = Going::start(&server, "deploy.test.all", &["--timeout", "30"]);
    wait_until("it runs", || host.calls().len() == 1);
    let run = crate::support::fake_host::child_of(host.pid(), "run").unwrap();
    let tool = crate::support::fake_host::children_of(run)[0];
    for pid in [host.pid(), run, tool] {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(tool), Signal::SIGKILL).ok();
    host.process.take();
    host.run();
    let ran = going.end();
    assert_eq!(ran.end()["hosts"]["testhost1"]["error"], "interrupted", "{}", ran.out);
    assert_eq!(host.calls().len(), 1);
}
