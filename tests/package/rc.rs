//! The rc script, by the shells that may run it; the starter ended in the middle of a run.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{GATE, SOON};
use crate::support::oidc::Issuer;
use crate::support::outlive::{Caller, gated};
use crate::support::process::{links_of, output_of, text};
use crate::support::server::{HOME, RC, Server};
use crate::support::wait_until;

/// Debian's, bash (Unraid's), and busybox's, which is the strictest in some ways.
const SHELLS: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];

/// Runs the script by this shell: its exit status and what it said.
fn rc(server: &Server, shell: &[&str], verb: &str) -> (i32, String) {
    let output = server.run(&[shell, &[RC, verb]].concat());
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.code().expect("an exit status"), said)
}

fn ready() -> (Server, Issuer) {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    (server, issuer)
}

#[test]
fn launcher_rc_starts_stops_reloads_and_restarts_by_every_shell_and_does_nothing_twice() {
    let (server, _issuer) = ready();
    for shell in SHELLS {
        assert_eq!(rc(&server, shell, "status").0, 3, "{shell:?}");
        assert_eq!(
            rc(&server, shell, "stop").0,
            0,
            "{shell:?}: what does not run is stopped"
        );
        assert_eq!(rc(&server, shell, "reload").0, 1, "{shell:?}");
        // It returns when nobody has its output open any more, so the daemon has not.
        let started = Instant::now();
        let (status, said) = rc(&server, shell, "start");
        assert_eq!(status, 0, "{shell:?}: {said}");
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{shell:?}: {:?}",
            started.elapsed()
        );
        server.wait_until_it_answers();
        let pid = server.pid();
        assert_eq!(server.daemons(), [pid]);
        assert_eq!(rc(&server, shell, "status").0, 0, "{shell:?}");
        let (status, said) = rc(&server, shell, "start");
        assert!(status == 0 && said.contains("already"), "{shell:?}: {said}");
        assert_eq!(server.daemons(), [pid], "{shell:?}: one daemon");

        let before = server.syslog().matches("SIGHUP").count();
        assert_eq!(rc(&server, shell, "reload").0, 0, "{shell:?}");
        wait_until("a reload", SOON, || {
            server.syslog().matches("SIGHUP").count() > before
        });
        assert_eq!(server.daemons(), [pid]);

        assert_eq!(rc(&server, shell, "restart").0, 0, "{shell:?}");
        let new = server.pid();
        assert!(new != pid && server.daemons() == [new], "{shell:?}");
        server.wait_until_it_answers();
        assert_eq!(rc(&server, shell, "stop").0, 0, "{shell:?}");
        assert!(server.daemons().is_empty(), "{shell:?}");
        assert!(!server.has("/run/engram-deployer.pid"), "{shell:?}");
    }
    let senseless = server.run(&[RC, "dance"]);
    assert_eq!(senseless.status.code(), Some(2));
}

#[test]
fn launcher_rc_a_restart_that_could_serve_nobody_leaves_a_daemon_that_serves_in_service() {
    let (server, _issuer) = ready();
    assert_eq!(rc(&server, &["dash"], "start").0, 0);
    server.wait_until_it_answers();
    let pid = server.pid();
    let path = format!("{HOME}/engram-deployer.cfg");
    let good = server.read(&path);
    let with = |name: &str, value: &str| {
        let others = good.lines().filter(|line| !line.starts_with(name));
        others.map(|line| format!("{line}\n")).collect::<String>() + &format!("{name}=\"{value}\"\n")
    };
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (settings, why) in [
        (with("DEPLOYER_KEY_FILE", &format!("{HOME}/kye.pem")), "kye.pem"),
        (
            with("DEPLOYER_USER", "nobody-of-that-name"),
            "nobody-of-that-name",
        ),
        (with("DEPLOYER_QUEUE_MAX", "many"), "DEPLOYER_QUEUE_MAX"),
        (
            with("DEPLOYER_RUNS_DIR", "/mnt/cache/runs"),
            "start the array first",
        ),
        (with("DEPLOYER_ADDR", &taken), "Address already in use"),
        ("nonsense\n".into(), "line 1"),
    ] {
        server.write(&path, &settings);
        for shell in SHELLS {
            let (status, said) = rc(&server, shell, "restart");
            assert!(status == 1 && said.contains(why), "{shell:?}: {settings}: {said}");
            assert!(
                said.contains("left as it is") && !said.contains("stopped"),
                "{said}"
            );
        }
        assert_eq!(server.daemons(), [pid], "{settings}");
        server.wait_until_it_answers();
    }
    server.write(&path, good);
    assert_eq!(rc(&server, &["dash"], "restart").0, 0);
    assert!(server.pid() != pid && server.daemons() == [server.pid()]);
    server.wait_until_it_answers();
    assert!(!server.has("/run/engram-deployer.rehearsal"), "something stays");
}

#[test]
fn launcher_rc_does_not_say_started_of_a_daemon_that_serves_nobody_and_leaves_it_to_be_mended() {
    let (server, _issuer) = ready();
    let path = format!("{HOME}/key.pem");
    let key = server.read(&path);
    fs::remove_file(server.path(&path)).unwrap();
    let (status, said) = rc(&server, &["bash"], "start");
    assert!(
        status == 1 && said.contains("serves nobody") && said.contains("key.pem"),
        "{said}"
    );
    assert!(!said.contains("started"), "{said}");
    assert_eq!(server.daemons(), [server.pid()]);
    server.write(&path, key);
    server.wait_until_it_answers();
    assert_eq!(rc(&server, &["bash"], "restart").0, 0);
}

#[test]
fn launcher_rc_does_not_take_another_process_for_the_daemon_and_leaves_it_alone() {
    let (server, _issuer) = ready();
    let mut other = server
        .command(&["sleep", "300"])
        .spawn()
        .expect("another process");
    let pid = other.id();
    wait_until("it is what it is", SOON, || {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.split(' ').nth(19))
        .unwrap()
        .to_owned();
    // Nobody's; somebody's whose number came round; somebody's that is not our program; no numbers at all.
    let stale = [
        "4194300 1".to_owned(),
        format!("{pid} 1"),
        format!("{pid} {start}"),
        "1; reboot".into(),
        String::new(),
    ];
    for content in stale {
        server.write("/run/engram-deployer.pid", format!("{content}\n"));
        assert_eq!(rc(&server, &["dash"], "status").0, 1, "{content}");
        assert_eq!(rc(&server, &["dash"], "reload").0, 1, "{content}");
        assert_eq!(rc(&server, &["dash"], "stop").0, 0, "{content}");
        assert!(!server.has("/run/engram-deployer.pid"), "{content}");
        server.write("/run/engram-deployer.pid", format!("{content}\n"));
        assert_eq!(rc(&server, &["dash"], "start").0, 0, "{content}");
        assert_eq!(server.daemons(), [server.pid()], "{content}");
        assert_eq!(rc(&server, &["dash"], "stop").0, 0, "{content}");
        assert!(other.try_wait().unwrap().is_none(), "{content}: it still runs");
    }
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn launcher_rc_two_starts_at_once_make_one_daemon() {
    let (server, _issuer) = ready();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(rc(&server, &["dash"], "start").0, 0));
        }
    });
    assert_eq!(server.daemons(), [server.pid()]);
}

#[test]
fn launcher_rc_a_run_outlives_a_killed_starter_and_the_next_daemon_serves_again() {
    for end in ["stop", "restart", "kill"] {
        let (server, issuer) = (Server::with_plugin(), Issuer::start());
        server.configure(&issuer, &gated(GATE));
        assert_eq!(rc(&server, &["bash"], "start").0, 0);
        server.wait_until_it_answers();
        let before = server.pid();
        let replace = || {
            match end {
                "kill" => kill(Pid::from_raw(before), Signal::SIGKILL).unwrap(),
                _ => assert_eq!(rc(&server, &["bash"], end).0, 0),
            }
            wait_until("the daemon is gone", SOON, || !server.daemons().contains(&before));
            assert_eq!(rc(&server, &["bash"], "start").0, 0, "{end}");
            server.wait_until_it_answers();
        };
        let caller = Caller {
            client: server.client(),
            issuer: &issuer,
        };
        // The session of the first one follows its run, whoever started it is gone.
        let (first, followed) = caller.a_run_outlives(replace, || server.write(GATE, ""));
        // A heartbeat belongs to the stream that was silent for long, and not to the run.
        let lines = |body: &str| -> Vec<String> {
            let lines = body.lines().filter(|line| !line.contains("\"heartbeat\""));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(lines(&first.body()), lines(&followed.body()), "{end}");
    }
}

#[test]
fn launcher_rc_closes_the_keys_before_the_daemon_looks_at_them() {
    let (mut server, _issuer) = ready();
    // A flash that keeps modes, as some of Unraid's can be, and its own boot, which opens everything to everyone.
    let files = ["key.pem", "cert.pem", "engram-deployer.cfg"];
    let kept = files.map(|name| server.read(&format!("{HOME}/{name}")));
    server.reboot();
    server.must(&["mount", "-t", "tmpfs", "tmpfs", "/boot"]);
    for (name, content) in files.iter().zip(kept) {
        server.write(&format!("{HOME}/{name}"), content);
    }
    assert!(
        server
            .install(crate::support::server::VERSIONS[0])
            .status
            .success()
    );
    server.script("/usr/local/bin/deploy-it", "true");
    server.must(&["chmod", "-R", "644", "/boot"]);
    let (status, said) = rc(&server, &["bash"], "start");
    assert_eq!(status, 0, "{said}");
    for name in files {
        let mode = server.must(&["stat", "-c", "%a", &format!("{HOME}/{name}")]);
        assert_eq!(mode.trim(), "600", "{name}");
    }
}

#[test]
fn launcher_rc_never_runs_the_settings_and_never_makes_a_folder_in_the_arrays_place() {
    let (server, _issuer) = ready();
    let path = format!("{HOME}/engram-deployer.cfg");
    let good = server.read(&path);
    server.write(
        &path,
        format!("{good}DEPLOYER_TF_APPLY_GH_APP_PEM_PATH=\"$(touch /run/run)`touch /run/run`\"\n"),
    );
    rc(&server, &["bash"], "start");
    rc(&server, &["bash"], "stop");
    assert!(!server.has("/run/run"));

    server.must(&["ln", "-s", "/mnt/user", "/usr/local/share/appdata"]);
    for name in [
        "STATE_DIR",
        "RUNS_DIR",
        "RUNTIME_DIR",
        "TF_APPLY_WORKDIR",
        "TF_PLAN_WORKDIR",
    ] {
        server.write(&path, format!("DEPLOYER_{name}=\"/mnt/user/x\"\n"));
        let (status, said) = rc(&server, &["dash"], "places");
        assert!(status == 1 && said.contains(name), "{name}: {said}");
    }
    for (folder, expected) in [
        ("//mnt/user/x", 1),
        ("/mnt//user/x/", 1),
        ("/./mnt/user", 1),
        ("/mnt/../mnt/user", 1),
        ("/usr/local/share/appdata/x", 1),
        ("/run/mnt/user", 0),
        ("/mntx/user", 0),
        ("", 0),
    ] {
        for shell in SHELLS {
            let output = server.run(&[shell, &[RC, "at_hand", folder]].concat());
            assert_eq!(output.status.code(), Some(expected), "{shell:?}: {folder:?}");
        }
    }
    let on_array = "DEPLOYER_RUNS_DIR=\"/mnt/user/appdata/engram-deployer\"";
    let changed = good.replace("DEPLOYER_RUNS_DIR=\"/var/lib/engram-deployer/runs\"", on_array);
    server.write(&path, changed);
    let (status, said) = rc(&server, &["dash"], "start");
    assert!(status == 1 && said.contains("start the array first"), "{said}");
    assert!(!server.has("/mnt/user"), "nothing was made there");
    server.must(&["mkdir", "-p", "/mnt/user"]);
    server.must(&["mount", "-t", "tmpfs", "tmpfs", "/mnt/user"]);
    let (status, said) = rc(&server, &["dash"], "start");
    assert_eq!(status, 0, "{said}");
}

#[test]
fn launcher_rc_leaves_nothing_of_its_starter_in_what_stays() {
    let (server, _issuer) = ready();
    // A lock that is held by a descriptor, as Unraid's plugin manager has one, would be held as long as the daemon lives.
    let start = "for n in 3 4 5 6 7 8 9; do eval \"exec $n>/run/held\"; done; exec \"$0\" start";
    for shell in SHELLS {
        let set = [
            "DEPLOYER_LOG=off",
            "DOCKER_HOST=tcp://elsewhere",
            "HOME=/nonexistent",
        ];
        let mut starter = server.command(&set);
        let started = output_of(starter.args(shell).args(["-c", start, RC]), b"");
        assert!(started.status.success(), "{shell:?}: {started:?}");
        server.wait_until_it_answers();
        let environment = text(&fs::read(format!("/proc/{}/environ", server.pid())).unwrap());
        let names: Vec<&str> = environment.split_terminator('\0').collect();
        assert!(
            names.len() == 2 && names.contains(&"HOME=/root"),
            "{shell:?}: {names:?}"
        );
        for pid in server.processes() {
            let held = links_of(pid).into_iter().find(|link| link.ends_with("run/held"));
            assert_eq!(held, None, "{shell:?}: {pid}");
        }
        assert_eq!(rc(&server, shell, "stop").0, 0);
    }
}

#[test]
fn launcher_rc_reads_settings_as_the_daemon_does() {
    let (server, _issuer) = ready();
    // An editor of another system: a mark at the start, other line ends; and what the daemon takes besides.
    let forms = [
        "\u{feff}DEPLOYER_RUNTIME_DIR=\"/run/other place\"\r\n",
        "\u{feff}\tDEPLOYER_RUNTIME_DIR=/run/other place  \r\n",
        "#DEPLOYER_RUNTIME_DIR=/no\r\n;DEPLOYER_RUNTIME_DIR=/no\r\nexport  DEPLOYER_RUNTIME_DIR='/run/other place'\r\n",
    ];
    let path = format!("{HOME}/engram-deployer.cfg");
    let good = server.read(&path);
    for form in forms {
        server.write(&path, format!("{form}{good}"));
        for shell in SHELLS {
            let read = server.must(&[shell, &[RC, "setting", "RUNTIME_DIR"]].concat());
            assert_eq!(read, "/run/other place\n", "{shell:?}: {form:?}");
        }
        server.must(&["engram-deployer", "runs", "--env-file", &path]);
        assert!(server.has("/run/other place/public/runs.json"), "{form:?}");
        server.must(&["rm", "-r", "/run/other place"]);
    }
}

#[test]
fn launcher_rc_says_that_the_daemon_died_and_starts_it_again() {
    let (server, _issuer) = ready();
    assert_eq!(rc(&server, &["dash"], "start").0, 0);
    let died = server.pid();
    kill(Pid::from_raw(died), Signal::SIGKILL).unwrap();
    wait_until("the daemon is gone", SOON, || server.daemons().is_empty());
    let (status, said) = rc(&server, &["dash"], "status");
    assert!(status == 1 && said.contains("died"), "{said}");
    assert_eq!(rc(&server, &["dash"], "start").0, 0);
    assert_ne!(server.pid(), died);
}
