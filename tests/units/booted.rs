//! The units under a systemd that is process 1, installed by `contrib/install.sh` as an operator would.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::booted::{Booted, COMMAND, SERVICE, SETTINGS, SOCKET};
use crate::support::deployer::AUDIENCE;
use crate::support::docker::inspect;
use crate::support::host::{Live, declaration};
use crate::support::oidc::Issuer;
use crate::support::outlive::{Caller, gated};
use crate::support::process::text;
use crate::support::terraform::bucket::{self, Bucket};
use crate::support::terraform::repository::Repository;
use crate::support::terraform::site;
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(15);
const GATE: &str = "/run/gate";
const DRIFT: &str = "engram-deployer-drift.service";
const RECOVER: &str = "engram-deployer-recover.service";

fn deploy(host: &Booted, issuer: &Issuer, version: &str) -> crate::support::curl::Answer {
    let body = format!("{{\"version\":\"{version}\"}}");
    host.client().post("/deploy", &issuer.mint(AUDIENCE), &body)
}

#[test]
fn the_installer_makes_users_and_folders_and_turns_on_what_listens_and_what_recovers() {
    let host = Booted::start();
    let said = host.install(&[]);
    assert!(
        !said.contains("not made") && !said.contains("not a valid"),
        "{said}"
    );
    for (name, number) in [("front", 65521), ("fetch", 65522), ("plan", 65523)] {
        let entry = host.must(&["getent", "passwd", &format!("engram-{name}")]);
        assert!(
            entry.contains(&format!(":{number}:{number}:")) && entry.contains("nologin"),
            "{entry}"
        );
    }
    let modes = [
        "stat",
        "-c",
        "%a %U %n",
        "/run/engram-deployer",
        "/var/lib/engram-deployer-plan",
    ];
    assert_eq!(
        host.must(&modes),
        "755 root /run/engram-deployer\n711 root /var/lib/engram-deployer-plan\n"
    );
    for unit in [SOCKET, RECOVER] {
        assert_eq!(host.must(&["systemctl", "is-enabled", unit]), "enabled\n");
    }
    assert_eq!(
        host.property(SOCKET, "ActiveState"),
        "inactive",
        "settings are still missing"
    );
    let again = host.install(&[]);
    assert!(
        !again.contains("installed /") && !again.contains("made "),
        "{again}"
    );
}

#[test]
fn a_container_is_deployed_by_the_first_connection_and_an_idle_host_runs_nothing_again() {
    let (live, issuer) = (Live::new(), Issuer::start());
    let host = Booted::with_deployer(&issuer, "true");
    deploys(
        &host,
        &issuer,
        &live,
        &[
            ("DEPLOYER_IDLE_EXIT", "700ms"),
            ("DEPLOYER_COSIGN_PATH", "/usr/local/bin/cosign"),
            (
                "DEPLOYER_COSIGN_IDENTITY",
                "https://github.com/a/b/x.yml@refs/heads/main",
            ),
            ("DEPLOYER_COSIGN_ISSUER", "https://token.example.org"),
        ],
    );
    // As the real one, which does nothing without its cache.
    host.script(
        "/usr/local/bin/cosign",
        "mkdir -p \"${TUF_ROOT:-$HOME/.sigstore/root}\" && touch \"${TUF_ROOT:-$HOME/.sigstore/root}/metadata\"",
    );
    assert_eq!(host.property(SERVICE, "ActiveState"), "inactive");
    host.must(&["systemctl", "restart", SOCKET]);

    deploy(&host, &issuer, "2.0.0").assert_ok();
    assert_eq!(live.version().as_deref(), Some("2.0.0"));
    assert_eq!(host.property(SERVICE, "ActiveState"), "active");
    wait_until("all that is left waits", SOON, || {
        named(&host) == ["engram-deployer", "engram-front", "engram-session"]
            && host.property(SERVICE, "StatusText") == "nothing runs"
    });
    // A token that was used: refused, and a warning in the journal.
    let token = issuer.mint(AUDIENCE);
    let ask = || {
        host.client()
            .post("/deploy", &token, r#"{"version":"2.0.0"}"#)
            .status
    };
    assert_eq!((ask(), ask()), (200, 401));
    let warnings = host.journal(SERVICE, &["-p", "4"]);
    assert!(warnings.contains("token replay detected"), "{warnings}");
    let all = host.journal(SERVICE, &[]);
    assert!(
        all.contains("admitted as run") && !warnings.contains("admitted as run"),
        "{all}"
    );
    assert!(
        !all.contains("<6>") && !all.contains("<4>"),
        "systemd takes the levels off: {all}"
    );

    wait_until("it goes when there is nothing to do", SOON, || {
        host.property(SERVICE, "ActiveState") == "inactive"
    });
    assert_eq!(host.property(SERVICE, "Result"), "success");
    assert_eq!(host.property(SOCKET, "SubState"), "listening");
    assert_eq!(named(&host), [""; 0], "a process is left");
    assert_eq!(host.client().get("/healthz").status, 200);
}

/// Has a host deploy a container, with these settings besides.
fn deploys(host: &Booted, issuer: &Issuer, live: &Live, more: &[(&str, &str)]) {
    let (image, entry) = (live.image(), live.entry());
    let settings = [
        ("DEPLOYER_BACKEND", "docker"),
        ("DEPLOYER_PULL", "on"),
        ("DEPLOYER_IMAGE", image.as_str()),
        ("DEPLOYER_CONTAINERS", entry.as_str()),
    ];
    host.configure(issuer, &[&settings, more].concat());
    let declared = format!("/etc/engram-deployer/containers/{}.json", live.name);
    host.write(&declared, declaration(live.port).to_string());
}

/// What the daemon's processes are called.
fn named(host: &Booted) -> Vec<String> {
    let names = host.must(&["sh", "-c", "cat /proc/[0-9]*/comm"]);
    let ours = names
        .lines()
        .filter(|name| name.starts_with("engram") || *name == "exe");
    let mut ours: Vec<String> = ours.map(str::to_owned).collect();
    ours.sort();
    ours
}

/// A host whose deploys wait at the gate, and who asks for them.
fn with_gate(issuer: &Issuer) -> (Booted, Caller<'_>) {
    let host = Booted::with_deployer(issuer, &gated(GATE));
    let client = host.client();
    (host, Caller { client, issuer })
}

#[test]
fn a_run_outlives_a_stop_a_restart_an_upgrade_and_a_daemon_that_was_killed() {
    let issuer = Issuer::start();
    let (host, caller) = with_gate(&issuer);
    let main_process = || host.property(SERVICE, "MainPID");
    let stop = || {
        host.must(&["systemctl", "stop", SERVICE, SOCKET]);
        assert_eq!(host.property(SERVICE, "ActiveState"), "inactive");
        assert!(
            host.has("/run/engram-deployer/queue"),
            "the locks are still there"
        );
        host.must(&["systemctl", "start", SOCKET]);
    };
    let restart = || drop(host.must(&["systemctl", "restart", SERVICE]));
    let upgrade = || {
        let before = main_process();
        // Another file of the same program: as a new version is one.
        host.must(&["cp", "/usr/local/sbin/engram-deployer", "/tmp/older"]);
        host.must(&[
            "sh",
            "-c",
            "rm /usr/local/sbin/engram-deployer && echo old >/usr/local/sbin/engram-deployer",
        ]);
        let said = host.install(&[]);
        assert!(
            said.contains("installed /usr/local/sbin/engram-deployer"),
            "{said}"
        );
        assert_ne!(main_process(), before, "the new one serves");
    };
    let kill = || {
        let before = main_process();
        host.signal("KILL", &before);
        wait_until("systemd starts another", SOON, || {
            let now = main_process();
            now != "0" && now != before
        });
    };
    let ways: [(&str, &dyn Fn()); 4] = [
        ("stop", &stop),
        ("restart", &restart),
        ("upgrade", &upgrade),
        ("kill", &kill),
    ];
    for (way, replace) in ways {
        let (first, followed) = caller.a_run_outlives(replace, || host.write(GATE, ""));
        assert_eq!(first.body(), followed.body(), "{way}");
        fs::remove_file(host.path(GATE)).expect("the gate");
    }
}

#[test]
fn a_daemon_that_hangs_is_replaced_by_the_watchdog_and_its_run_goes_on() {
    let issuer = Issuer::start();
    let (host, caller) = with_gate(&issuer);
    host.drop_in(
        SERVICE,
        "watchdog.conf",
        "[Service]\nWatchdogSec=1\nRestartSec=100ms\n",
    );
    let hang = || {
        let pid = host.property(SERVICE, "MainPID");
        host.signal("STOP", &pid);
        wait_until("systemd replaces it", SOON, || {
            let now = host.property(SERVICE, "MainPID");
            now != "0" && now != pid
        });
    };
    caller.a_run_outlives(hang, || host.write(GATE, ""));
    let said = host.must(&["journalctl", "--no-pager", "-o", "cat", "-u", SERVICE]);
    assert!(said.contains("Watchdog timeout"), "{said}");
}

#[test]
fn what_a_power_cut_interrupted_is_put_back_at_boot_when_docker_answers() {
    let (live, issuer) = (Live::new(), Issuer::start());
    live.push("3.0.0", "slow-start=60000");
    let mut host = Booted::with_deployer(&issuer, "true");
    deploys(&host, &issuer, &live, &[("DEPLOYER_HEALTH_MAX_WAIT", "120s")]);
    host.must(&["systemctl", "restart", SOCKET]);
    let token = issuer.mint(AUDIENCE);
    let mut call = host
        .client()
        .start_post("/deploy", &token, r#"{"version":"3.0.0"}"#);
    call.wait_for("\"phase\":\"health\"");
    host.power_cut();
    call.vanish();

    assert_eq!(host.property(RECOVER, "Result"), "success");
    let moment = |unit: &str, name| host.property(unit, name).parse::<u64>().expect("a time");
    assert!(
        moment(RECOVER, "ExecMainStartTimestampMonotonic")
            >= moment("docker.service", "ExecMainExitTimestampMonotonic"),
        "docker first"
    );
    assert_eq!(live.version().as_deref(), Some("1.0.0"));
    let container = inspect(&live.name).expect("the container");
    assert_eq!(container["State"]["Running"], true);
    let status: Value = serde_json::from_str(&host.client().get("/status").body()).expect("a status");
    assert_eq!(
        (&status["status"], &status["interrupted"]),
        (&"fail".into(), &true.into()),
        "{status}"
    );
    // And the memory of used tokens is the one from before.
    assert_eq!(
        host.client()
            .post("/deploy", &token, r#"{"version":"2.0.0"}"#)
            .status,
        401
    );
    deploy(&host, &issuer, "2.0.0").assert_ok();
}

#[test]
fn a_key_that_only_systemd_can_read_is_served_with_also_after_a_reload() {
    let issuer = Issuer::start();
    let host = Booted::with_deployer(&issuer, "true");
    host.must(&[
        "sh",
        "-c",
        "mkdir -m 700 /srv/keys && mv /etc/engram-deployer/key.pem /srv/keys/",
    ]);
    // A folder that the unit does not see.
    host.drop_in(
        SERVICE,
        "key.conf",
        "[Service]\nLoadCredential=key.pem:/srv/keys/key.pem\nInaccessiblePaths=/srv/keys\n",
    );
    for key in ["cred:key.pem", "/run/credentials/engram-deployer.service/key.pem"] {
        host.configure(&issuer, &[("DEPLOYER_KEY_FILE", key)]);
        // It is no fault of the settings that nobody has it yet.
        host.must(&["systemctl", "stop", SERVICE]);
        let said = host.must(&["engram-deployer", "check"]);
        assert!(said.contains("is there while the service runs"), "{said}");
        host.must(&["systemctl", "start", SERVICE]);
        let said = host.must(&["engram-deployer", "check"]);
        assert!(said.contains("fit together"), "{said}");
        deploy(&host, &issuer, "1.2.3").assert_ok();
        host.write(SETTINGS, host.read(SETTINGS) + "DEPLOYER_AUDIENCE=another\n");
        host.must(&["systemctl", "reload", SERVICE]);
        wait_until("the new settings are in use", SOON, || {
            let token = issuer.mint("another");
            host.client()
                .post("/deploy", &token, r#"{"version":"1.2.3"}"#)
                .status
                == 200
        });
    }
}

#[test]
fn with_a_process_each_connection_it_serves_alike_and_leaves_no_failed_unit() {
    let issuer = Issuer::start();
    let (host, caller) = with_gate(&issuer);
    let accept = "/repository/contrib/systemd/drop-in/accept.conf";
    host.drop_in(SOCKET, "accept.conf", &host.read(accept));
    host.must(&["systemctl", "restart", SOCKET]);
    let replace = || {
        host.must(&["systemctl", "stop", "engram-deployer@*.service"]);
        assert!(
            host.has("/run/engram-deployer/queue"),
            "the locks are still there"
        );
    };
    let (_, followed) = caller.a_run_outlives(replace, || host.write(GATE, ""));
    assert!(followed.body().contains("after the gate"));
    let refused = host.client().post("/deploy", "no.token.atall", "{}");
    assert_eq!(refused.status, 401);
    assert_eq!(
        host.property(SERVICE, "ActiveState"),
        "inactive",
        "it is not the one that serves"
    );
    wait_until("every instance has gone", SOON, || {
        let units = host.must(&[
            "systemctl",
            "list-units",
            "--all",
            "--no-legend",
            "--plain",
            "engram-deployer@*",
        ]);
        units.trim().is_empty()
    });
    assert_eq!(host.must(&["systemctl", "--failed", "--no-legend"]), "");
}

#[test]
fn settings_that_are_wrong_keep_nobody_out_for_longer_than_they_are() {
    let issuer = Issuer::start();
    let host = Booted::with_deployer(&issuer, "true");
    host.drop_in(SERVICE, "sooner.conf", "[Service]\nRestartSec=300ms\n");
    let good = host.read(SETTINGS);
    host.write(SETTINGS, format!("{good}DEPLOYER_QUEUE_MAX=many\n"));
    let call = host.client().start("/healthz", &[] as &[&str]);
    wait_until(
        "it was tried more often than systemd usually puts up with",
        SOON,
        || {
            host.property(SERVICE, "NRestarts")
                .parse::<u32>()
                .is_ok_and(|count| count > 6)
        },
    );
    let said = host.journal(SERVICE, &["-p", "3"]);
    assert!(said.contains("DEPLOYER_QUEUE_MAX is `many`"), "{said}");
    host.write(SETTINGS, good);
    assert_eq!(call.finish().status, 200, "who waited is served");
}

#[test]
fn plans_applies_and_drift_work_within_the_units() {
    let issuer = Issuer::start();
    let (repository, bucket) = (Repository::new(), Bucket::start());
    let host = Booted::with_deployer(&issuer, "true");
    host.install(&["--terraform"]);
    let configuration = bucket.backend(site::KEY) + "resource \"terraform_data\" \"one\" {}\n";
    let sha = repository.commit(&[("main.tf", &configuration)]);
    // Where the unit sees it: /tmp is its own.
    let copied = host
        .command(&["cp", "-r", "--", "/proc/self/fd/0/.", "/srv/infra"])
        .stdin(fs::File::open(repository.folder().path()).expect("the repository"))
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let settings = site::settings("file:///srv/infra");
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    host.configure(&issuer, &settings);
    let body = format!("{{\"sha\":\"{sha}\"}}");
    for (path, audience, claims) in [
        (
            "/tf-plan",
            site::AUDIENCES[0],
            site::plan_claims as fn(&mut _, &str),
        ),
        ("/tf-apply", site::AUDIENCES[1], site::apply_claims),
    ] {
        let token = issuer.mint_with(audience, |all| claims(all, &sha));
        host.client().post(path, &token, &body).assert_ok();
    }
    let state = bucket.state(site::KEY).expect("a state");
    assert_eq!(bucket::resources(&state), ["one"]);
    host.must(&["systemctl", "start", DRIFT]);
    let said = host.journal(DRIFT, &[]);
    assert!(said.contains("\"drifted\":0"), "{said}");
}

#[test]
fn removing_it_stops_what_listens_and_leaves_a_run_and_the_settings_alone() {
    let issuer = Issuer::start();
    let (host, caller) = with_gate(&issuer);
    let (call, id) = caller.run();
    let said = host.run(&["sh", "/repository/contrib/install.sh", "--uninstall"]);
    assert!(said.status.success(), "{said:?}");
    let units = host.run(&["systemctl", "list-unit-files", "--no-legend", "engram-deployer*"]);
    assert_eq!(text(&units.stdout), "");
    assert_eq!(caller.client.get("/healthz").status, 0, "nobody listens");
    assert!(host.has(SETTINGS) && host.has("/etc/engram-deployer/key.pem"));
    host.write(GATE, "");
    call.finish().assert_ok();
    // It is made after the caller was told.
    let result = format!("/var/lib/engram-deployer/runs/{id}/result.json");
    wait_until("the result can be read", Duration::from_secs(10), || {
        host.has(&result)
    });
    assert!(host.has(COMMAND), "what is not ours stays");
    let left = text(&host.run(&["systemctl", "--failed", "--no-legend"]).stdout);
    assert_eq!(left, "");
}
