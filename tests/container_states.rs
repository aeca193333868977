//! [any_state] What runs before a deploy may be in any state: a corrected version replaces it, and a version that does not
//! work leaves it as it was. And [gap] how long neither port nor name answers, printed.

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::docker::{docker, inspect};
use crate::support::host::{BACKENDS, Host, declaration};
use crate::support::images::Image;
use crate::support::{unique, wait_until};

/// Id and state of a container.
fn seen(name: &str) -> Option<(String, String)> {
    let seen = inspect(name)?;
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    Some((text(&seen["Id"]), text(&seen["State"]["Status"])))
}

/// Puts a container of version 1.0.1 in the place of the one that runs, in this state.
fn put(host: &Host, state: &str) {
    docker(&["rm", "-f", &host.name]);
    let image = host.registry.image();
    let published = format!("127.0.0.1:{}:8000", host.port);
    let make = |verb: &[&str], image: &str| {
        let with = [
            "--name",
            &host.name,
            "--restart",
            "always",
            "-p",
            &published,
            image,
        ];
        docker(&[verb, &with].concat());
    };
    let good = format!("{image}:1.0.0");
    match state {
        "absent" => {}
        "created" => make(&["create"], &good),
        "restarting" => {
            Image::of("1.0.1").behaving("exit=3").import(&image);
            make(&["run", "-d"], &format!("{image}:1.0.1"));
        }
        // Each restart comes later than the one before: the fourth more than a second after the crash.
        "looping" => {
            Image::of("1.0.1").behaving("crash-after=500").import(&image);
            make(&["run", "-d"], &format!("{image}:1.0.1"));
            wait_until("it has crashed often", Duration::from_secs(60), || {
                inspect(&host.name).is_some_and(|seen| seen["RestartCount"].as_u64() >= Some(4))
            });
            return;
        }
        "paused" => {
            make(&["run", "-d"], &good);
            docker(&["pause", &host.name]);
        }
        "exited" => {
            make(&["run", "-d"], &good);
            docker(&["stop", &host.name]);
        }
        other => panic!("{other}"),
    }
    if state != "absent" {
        wait_until("it is in its state", Duration::from_secs(30), || {
            seen(&host.name).is_some_and(|(_, now)| now == state)
        });
    }
}

fn promise(state: &str) {
    for made in BACKENDS {
        let host = made(&|setup| {
            setup.set("DEPLOYER_HEALTH_MAX_WAIT", "20s");
        });
        put(&host, state);
        let before = seen(&host.name);
        host.push("2.0.1", "exit=1");
        host.deploy("2.0.1").assert_failed();
        let now = seen(&host.name);
        assert_eq!(
            now.as_ref().map(|(id, _)| id),
            before
                .as_ref()
                .map(|(id, _)| id)
                .or(now.as_ref().map(|(id, _)| id)),
            "{state}: another container"
        );
        if before.is_some() {
            wait_until("it is as it was", Duration::from_secs(30), || {
                seen(&host.name) == before
            });
            let policy = &inspect(&host.name).expect("a container")["HostConfig"]["RestartPolicy"]["Name"];
            assert_eq!(policy, "always", "{state}");
        }
        host.deploy("2.0.0").assert_ok();
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"), "{state}");
        assert_eq!(host.containers.names(), [host.name.as_str()], "{state}");
    }
}

#[test]
fn a_crash_looping_container_is_replaced_and_put_back() {
    promise("restarting");
}

/// It is seen in a moment in which it runs, and waits for its next start when docker is to rename it.
#[test]
fn a_crash_looping_container_that_was_seen_running_is_replaced() {
    for made in BACKENDS {
        let host = made(&|setup| {
            // Bounded, and over at once when it neither runs nor loops.
            let wait = "for i in $(seq 100); do case $(docker inspect -f '{{.State.Status}}' $name) in";
            let script = format!(
                "case \"$1 $2 $3\" in\n\
                 *-prev) name=${{3%-prev}}; {wait} running) sleep 0.1 ;; *) break ;; esac; done ;;\n\
                 container\\ inspect*) for name; do :; done; {wait} restarting) sleep 0.02 ;; *) break ;; esac; done ;;\n\
                 esac 2>&-\n\
                 exec docker \"$@\""
            );
            let client = setup.executable("slow-docker", &script);
            setup.set("DEPLOYER_DOCKER_PATH", client);
        });
        put(&host, "looping");
        host.deploy("2.0.0").assert_ok();
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
        assert_eq!(host.containers.names(), [host.name.as_str()]);
    }
}

#[test]
fn a_paused_container_is_replaced_and_put_back() {
    promise("paused");
}

#[test]
fn a_stopped_container_is_replaced_and_put_back() {
    promise("exited");
}

#[test]
fn a_created_container_is_replaced_and_put_back() {
    promise("created");
}

#[test]
fn where_there_is_no_container_one_is_made() {
    promise("absent");
}

/// A network of the test's own, gone when dropped.
struct Network(String);

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["network", "rm", &self.0]).output();
    }
}

/// The longest time for which `answers` said no, until `done`.
fn longest_gap(done: &AtomicBool, answers: impl Fn() -> bool) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    while !done.load(Ordering::Relaxed) {
        if answers() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    longest.max(last.elapsed())
}

#[test]
fn a_good_deploy_is_away_only_from_a_stop_to_a_start() {
    for made in BACKENDS {
        let network = Network(unique("net"));
        docker(&["network", "create", &network.0]);
        let host = made(&|_| ());
        let image = host.registry.image();
        match &host.unraid {
            Some(unraid) => {
                let text = unraid.read(&host.name);
                let named = format!("<Network>{}</Network>", network.0);
                unraid.write(&host.name, &text.replace("<Network>bridge</Network>", &named));
            }
            None => {
                let mut declared = declaration(host.port);
                declared["networks"] = json!([network.0]);
                let path = format!("containers/{}.json", host.name);
                host.deployer.folder().write(&path, declared.to_string());
            }
        }
        // A container of somebody else's: the first deploy finds no alias, and gives one.
        docker(&["rm", "-f", &host.name]);
        let published = format!("127.0.0.1:{}:8000", host.port);
        let first = format!("{image}:1.0.0");
        docker(&[
            "run",
            "-d",
            "--network",
            &network.0,
            "--name",
            &host.name,
            "-p",
            &published,
            &first,
        ]);
        host.deploy("2.0.0").assert_ok();
        let asker = format!("{}-asker", host.name);
        docker(&["run", "-d", "--network", &network.0, "--name", &asker, &first]);
        let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &asker]);
        host.push("2.1.0", "");
        let done = AtomicBool::new(false);
        let (port, name) = std::thread::scope(|scope| {
            let port =
                scope.spawn(|| longest_gap(&done, || TcpStream::connect(("127.0.0.1", host.port)).is_ok()));
            let name = scope.spawn(|| {
                longest_gap(&done, || {
                    let asked = Command::new("nsenter")
                        .args(["-t", &pid, "-n", "busybox", "nslookup", &host.name, "127.0.0.11"])
                        .output();
                    asked.is_ok_and(|asked| asked.status.success())
                })
            });
            host.deploy("2.1.0").assert_ok();
            done.store(true, Ordering::Relaxed);
            (port.join().expect("a prober"), name.join().expect("a prober"))
        });
        let backend = host.deployer.setting("DEPLOYER_BACKEND");
        println!("[gap] {backend}: without port {port:?}, without name {name:?}");
        assert!(
            name < port + Duration::from_secs(3),
            "the name went long before the port"
        );
        docker(&["rm", "-f", &asker]);
    }
}
