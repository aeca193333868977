//! The package put in place, upgraded in the middle of a run, and removed.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::{HELD, SOON};
use crate::support::deployer::AUDIENCE;
use crate::support::folder::Folder;
use crate::support::oidc::Issuer;
use crate::support::process::{output_of, run, text};
use crate::support::server::{HOME, PLUGIN, RC, Server, VERSIONS, package};
use crate::support::wait_until;

#[test]
fn installing_the_package_makes_settings_a_key_and_a_certificate_once_and_shows_the_pins() {
    let mut server = Server::start();
    let installed = server.install(VERSIONS[0]);
    let said = text(&installed.stdout);
    assert!(installed.status.success(), "{said}");
    for line in server.must(&["engram-deployer", "pin"]).lines() {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    let certificate = server.must(&[
        "openssl",
        "x509",
        "-noout",
        "-text",
        "-in",
        &format!("{HOME}/cert.pem"),
    ]);
    let host = server.must(&["hostname"]);
    let host = host.trim().split('.').next().unwrap();
    for part in [
        "prime256v1",
        "CA:FALSE",
        "IP Address:127.0.0.1",
        &format!("DNS:{host}"),
    ] {
        assert!(certificate.contains(part), "{part} is not in {certificate}");
    }
    let ten_years_less_a_week = (3650 - 7) * 24 * 3600;
    let path = format!("{HOME}/cert.pem");
    server.must(&[
        "openssl",
        "x509",
        "-noout",
        "-in",
        &path,
        "-checkend",
        &ten_years_less_a_week.to_string(),
    ]);
    let ignored = server.read(&format!("{HOME}/.gitignore"));
    assert!(
        ["*.pem", "*.cfg", "state/"]
            .iter()
            .all(|line| ignored.lines().any(|found| found == *line)),
        "{ignored}"
    );
    // There is no Docker yet, so nothing was started; that is its event's affair.
    assert!(server.daemons().is_empty());

    let kept = ["key.pem", "cert.pem", "engram-deployer.cfg"].map(|name| format!("{HOME}/{name}"));
    let before = kept.each_ref().map(|path| server.read(path));
    server.reboot();
    assert!(!server.has(RC), "what is in memory is gone");
    // Unraid installs what is on the flash, before there is a network or an array.
    let again = server.run(&["plugin", "install", "/boot/config/plugins/engram-deployer.plg"]);
    assert!(again.status.success(), "{}", text(&again.stdout));
    assert!(server.has(RC) && server.daemons().is_empty());
    assert_eq!(before, kept.each_ref().map(|path| server.read(path)));
}

#[test]
fn the_package_writes_where_it_says_and_nowhere_else() {
    let server = Server::start();
    let before: BTreeSet<String> = server.written().into_iter().collect();
    assert!(server.install(VERSIONS[0]).status.success());
    let allowed = [
        "usr/local/sbin/engram-deployer",
        "usr/local/etc/rc.d/rc.engram-deployer",
        "usr/local/emhttp/plugins/engram-deployer",
        "usr/doc/engram-deployer-",
        "var/lib/pkgtools/packages/engram-deployer-",
    ];
    for entry in server
        .written()
        .iter()
        .filter(|entry| entry.starts_with("f ") && !before.contains(*entry))
    {
        assert!(allowed.iter().any(|path| entry.contains(path)), "{entry}");
    }
    let link = fs::symlink_metadata(server.path("/etc/rc.d")).unwrap();
    assert!(
        link.file_type().is_symlink(),
        "Unraid's link to its rc scripts is left alone"
    );
}

#[test]
fn the_packages_first_steps_never_fail_an_installation_and_stay_in_their_root() {
    let folder = Folder::new("elsewhere");
    run(Command::new("tar")
        .arg("-xJf")
        .arg(package(VERSIONS[0]).0)
        .arg("-C")
        .arg(folder.path()));
    let first_steps = || {
        output_of(
            Command::new("sh")
                .arg("install/doinst.sh")
                .current_dir(folder.path()),
            b"",
        )
    };
    assert!(first_steps().status.success());
    let key = fs::read(folder.join("boot/config/plugins/engram-deployer/key.pem")).unwrap();
    assert!(first_steps().status.success());
    assert_eq!(
        key,
        fs::read(folder.join("boot/config/plugins/engram-deployer/key.pem")).unwrap()
    );
    // A certificate that is gone is made anew, and the pin of the key stays.
    fs::remove_file(folder.join("boot/config/plugins/engram-deployer/cert.pem")).unwrap();
    let again = first_steps();
    assert!(
        folder
            .join("boot/config/plugins/engram-deployer/cert.pem")
            .exists(),
        "{}",
        text(&again.stdout)
    );
    assert_eq!(
        key,
        fs::read(folder.join("boot/config/plugins/engram-deployer/key.pem")).unwrap()
    );
    fs::remove_dir_all(folder.join("boot")).unwrap();
    folder.write("boot", "no folder");
    let failed = first_steps();
    assert!(failed.status.success(), "{failed:?}");
    assert!(text(&failed.stdout).contains("not completed"), "{failed:?}");
}

#[test]
fn an_upgrade_of_the_package_leaves_the_run_alone_and_the_new_daemon_shows_it() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, HELD);
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    let client = server.client();
    let post = |version: &str| {
        client.start_post(
            "/deploy",
            &issuer.mint(AUDIENCE),
            &format!(r#"{{"version":"{version}"}}"#),
        )
    };
    let first = post("1.0.0");
    wait_until("the deploy is at work", SOON, || server.has("/run/at-work"));
    let old = server.pid();

    let upgraded = server.install(VERSIONS[1]);
    assert!(upgraded.status.success(), "{}", text(&upgraded.stdout));
    let new = server.pid();
    assert_ne!(old, new);
    assert_eq!(server.daemons(), [new]);
    server.wait_until_it_answers();
    let shown = client.get("/runs");
    assert!(shown.body().contains("\"running\":{"), "{shown:?}");
    let second = post("1.0.1");
    server.write("/run/go-on", "");
    first.finish().assert_ok();
    assert_eq!(second.finish().assert_ok().outcome()["version"], "1.0.1");
    // The old package and what only it had are gone; the flash holds one.
    assert!(!server.has(&format!("/usr/doc/engram-deployer-{}", VERSIONS[0])));
    assert!(!server.has(&format!("{HOME}/engram-deployer-{}-x86_64-1.txz", VERSIONS[0])));
    assert!(server.has(&format!("{HOME}/engram-deployer-{}-x86_64-1.txz", VERSIONS[1])));
}

#[test]
fn removing_the_package_stops_the_daemon_and_keeps_settings_and_key_alone() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    server.must(&[RC, "start"]);
    let said = server.must(&["plugin", "remove", "/boot/config/plugins/engram-deployer.plg"]);
    assert!(said.contains("still in"), "{said}");
    assert!(server.daemons().is_empty());
    for gone in [
        RC,
        PLUGIN,
        "/usr/local/sbin/engram-deployer",
        "/run/engram-deployer.pid",
    ] {
        assert!(!server.has(gone), "{gone}");
    }
    assert!(!server.has(&format!("/usr/doc/engram-deployer-{}", VERSIONS[0])));
    let left: BTreeSet<String> = fs::read_dir(server.path(HOME))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let kept = [
        ".gitignore",
        "cert.pem",
        "engram-deployer.cfg",
        "key.pem",
        "state",
    ];
    assert_eq!(left.iter().map(String::as_str).collect::<Vec<_>>(), kept);
}

#[test]
fn a_broken_package_fails_the_installation_and_wrong_settings_do_not() {
    let server = Server::start();
    server.write(
        &format!("{HOME}/engram-deployer.cfg"),
        "DEPLOYER_ADDR=\"nowhere\"\n",
    );
    // Docker is up, so the daemon is started, and cannot be.
    server.write("/var/local/emhttp/var.ini", "fsState=\"Started\"\n");
    let socket = "import socket; socket.socket(socket.AF_UNIX).bind('/var/run/docker.sock')";
    server.must(&["python3", "-c", socket]);
    let installed = server.install(VERSIONS[0]);
    assert!(installed.status.success(), "{}", text(&installed.stdout));
    assert!(
        text(&installed.stdout).contains("ended at once"),
        "{}",
        text(&installed.stdout)
    );
    server.must(&["removepkg", &format!("engram-deployer-{}-x86_64-1", VERSIONS[0])]);
    server.script("/sbin/upgradepkg", "exit 0");
    assert!(!server.install(VERSIONS[0]).status.success());
}
