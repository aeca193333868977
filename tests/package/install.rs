//! The package put in place, upgraded in the middle of a run, and removed.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::GATE;
use crate::support::folder::Folder;
use crate::support::oidc::Issuer;
use crate::support::outlive::{Caller, gated};
use crate::support::process::{output_of, run, text};
use crate::support::server::{HOME, PLG, PLUGIN, RC, Server, VERSIONS, package};

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
    assert!(ignored.lines().any(|line| line == "*"), "{ignored}");
    // There is no Docker yet, so nothing was started; that is its event's affair.
    assert!(server.daemons().is_empty());

    let kept = ["key.pem", "cert.pem", "engram-deployer.cfg"].map(|name| format!("{HOME}/{name}"));
    let before = kept.each_ref().map(|path| server.read(path));
    server.reboot();
    assert!(!server.has(RC), "what is in memory is gone");
    // Unraid installs what is on the flash, before there is a network or an array.
    let again = server.boot();
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
    server.configure(&issuer, &gated(GATE));
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    let replace = || {
        let old = server.pid();
        let upgraded = server.install(VERSIONS[1]);
        assert!(upgraded.status.success(), "{}", text(&upgraded.stdout));
        let new = server.pid();
        assert_ne!(old, new);
        assert_eq!(server.daemons(), [new]);
        server.wait_until_it_answers();
    };
    let caller = Caller {
        client: server.client(),
        issuer: &issuer,
    };
    let (first, followed) = caller.a_run_outlives(replace, || server.write(GATE, ""));
    assert_eq!(first.body(), followed.body());
    // What only the old package had is gone.
    assert!(!server.has(&format!("/usr/doc/engram-deployer-{}", VERSIONS[0])));
    assert!(server.has(&on_flash(VERSIONS[1])));
}

#[test]
fn removing_the_package_stops_the_daemon_and_keeps_settings_and_key_alone() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    server.must(&[RC, "start"]);
    let said = server.must(&["plugin", "remove", "engram-deployer.plg"]);
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
    server.docker_is_up();
    let installed = server.install(VERSIONS[0]);
    assert!(installed.status.success(), "{}", text(&installed.stdout));
    assert!(
        text(&installed.stdout).contains("ended at once"),
        "{}",
        text(&installed.stdout)
    );
    server.must(&["removepkg", &format!("engram-deployer-{}-x86_64-1", VERSIONS[0])]);
    server.script("/sbin/upgradepkg", "exit 0");
    assert!(!server.install_again(VERSIONS[0]).status.success());
}

fn on_flash(version: &str) -> String {
    format!("{HOME}/engram-deployer-{version}-x86_64-1.txz")
}

#[test]
fn an_upgrade_of_the_package_that_had_no_room_is_a_failure_and_the_daemon_goes_on() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    server.must(&[RC, "start"]);
    let before = server.pid();
    // upgradepkg does not say so, and the program of the version before runs as well as ever.
    server.script("/sbin/upgradepkg", "echo 'tar: No space left on device'");
    let upgraded = server.install(VERSIONS[1]);
    assert!(!upgraded.status.success(), "{}", text(&upgraded.stdout));
    assert_eq!(server.daemons(), [before]);
    assert!(server.has(&on_flash(VERSIONS[0])), "what the next boot wants");
    // All other files are there, and the program is another one.
    let server = Server::start();
    let unpack = "tar -C / -xJf \"$2\" --exclude=usr/local/sbin\necho exit 0 >/usr/local/sbin/engram-deployer\n\
                  chmod 755 /usr/local/sbin/engram-deployer";
    server.script("/sbin/upgradepkg", unpack);
    assert!(!server.install(VERSIONS[0]).status.success());
}

#[test]
fn a_power_cut_within_an_upgrade_of_the_package_leaves_one_that_the_next_boot_can_install() {
    let mut server = Server::with_plugin();
    let plg = server.read(PLG);
    assert!(server.install(VERSIONS[1]).status.success());
    let new_plg = server.read(PLG);
    assert_ne!(plg, new_plg);
    // The power failed before Unraid put the new .plg in the place of the old one; and there is no network at boot.
    server.write(PLG, plg);
    server.reboot();
    let booted = server.boot();
    assert!(booted.status.success(), "{}", text(&booted.stdout));
    assert!(server.has(&format!("/usr/doc/engram-deployer-{}", VERSIONS[0])));
    // When it did not fail, the next boot has no use for the old package.
    assert!(server.install(VERSIONS[1]).status.success());
    assert_eq!(server.read(PLG), new_plg);
    server.reboot();
    assert!(server.boot().status.success());
    assert!(server.has(&on_flash(VERSIONS[1])) && !server.has(&on_flash(VERSIONS[0])));
}

#[test]
fn an_upgrade_of_the_package_starts_what_died_and_not_what_was_stopped_by_hand() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    server.docker_is_up();
    server.must(&[RC, "start"]);
    server.must(&[RC, "stop"]);
    assert!(server.install(VERSIONS[1]).status.success());
    assert!(server.daemons().is_empty(), "it was stopped by hand");
    // Down again, which has to be forced, and twice.
    server.write("/run/engram-deployer.pid", "4194300 1\n");
    assert!(!server.install(VERSIONS[0]).status.success());
    assert!(server.install_again(VERSIONS[0]).status.success());
    let started = server.pid();
    assert_eq!(server.daemons(), [started], "it had died");
    assert!(server.install_again(VERSIONS[0]).status.success());
    assert!(server.pid() != started && server.daemons() == [server.pid()]);
}

#[test]
fn the_packages_first_installation_starts_the_daemon_when_docker_is_up() {
    let (server, issuer) = (Server::start(), Issuer::start());
    server.docker_is_up();
    // The settings of an earlier one.
    let preset = "package/root/usr/local/emhttp/plugins/engram-deployer/default.cfg";
    server.write(
        &format!("{HOME}/engram-deployer.cfg"),
        fs::read(super::repository(preset)).unwrap(),
    );
    server.add_settings(&issuer);
    server.script("/usr/local/bin/deploy-it", "true");
    let installed = server.install(VERSIONS[0]);
    assert!(installed.status.success(), "{}", text(&installed.stdout));
    assert_eq!(server.daemons(), [server.pid()], "{}", text(&installed.stdout));
}

/// Has the first steps done again, as doinst.sh does them; what they said.
fn first_steps(server: &Server) -> String {
    let steps =
        "cd / && sh \"${0#/}/scripts/first-steps\" \"${0#/}\" \"${1#/}\" usr/local/sbin/engram-deployer";
    let output = server.run(&["sh", "-c", steps, PLUGIN, HOME]);
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn the_packages_certificate_names_what_the_host_is_reached_by_and_nothing_odd() {
    let server = Server::with_plugin();
    let addresses = "\
2: eth0    inet 192.0.2.5/24 brd 192.0.2.255 scope global dynamic eth0
2: eth0    inet6 2001:db8::5/64 scope global
3: br0    inet 198.51.100.7/24 scope global br0
4: docker0    inet 172.17.0.1/16 scope global docker0
5: br-0123456789ab    inet 172.18.0.1/16 scope global br-0123456789ab
6: veth1a2b3c4    inet 203.0.113.1/24 scope global veth1a2b3c4
7: virbr0    inet 192.168.122.1/24 scope global virbr0
8: wg0    inet 10.253.0.1/32 scope global wg0";
    let lines =
        format!("[ \"$*\" = '-o address show scope global' ] || exit 1\ncat <<'END'\n{addresses}\nEND");
    server.script("/usr/local/sbin/ip", &lines);
    let path = format!("{HOME}/cert.pem");
    for (host, expected) in [
        ("Tower", "DNS:Tower, DNS:Tower.local, DNS:localhost, "),
        ("nas.example.org", "DNS:localhost, DNS:nas.example.org, "),
        ("a,DNS:evil.example", "DNS:localhost, "),
        ("my_server\\n[who]", "DNS:localhost, "),
        ("", "DNS:localhost, "),
    ] {
        server.script("/usr/local/sbin/hostname", &format!("printf '%b' '{host}'"));
        fs::remove_file(server.path(&path)).unwrap();
        first_steps(&server);
        let named = server.must(&[
            "openssl",
            "x509",
            "-noout",
            "-ext",
            "subjectAltName",
            "-in",
            &path,
        ]);
        let mut named: Vec<&str> = named.lines().nth(1).unwrap().trim().split(", ").collect();
        let mut wanted: Vec<&str> = expected.trim_end_matches(", ").split(", ").collect();
        wanted.extend([
            "IP Address:10.253.0.1",
            "IP Address:127.0.0.1",
            "IP Address:192.0.2.5",
            "IP Address:198.51.100.7",
            "IP Address:2001:DB8:0:0:0:0:0:5",
            "IP Address:0:0:0:0:0:0:0:1",
        ]);
        named.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(named, wanted, "{host:?}");
    }
}

#[test]
fn the_packages_first_steps_mend_what_is_torn_and_keep_what_is_there() {
    let server = Server::with_plugin();
    let [key, certificate, settings, ignored] =
        ["key.pem", "cert.pem", "engram-deployer.cfg", ".gitignore"].map(|name| format!("{HOME}/{name}"));
    let remove = |path: &str| fs::remove_file(server.path(path)).unwrap();
    // What a power cut leaves of a file that was just written.
    for path in [&key, &certificate, &settings, &ignored] {
        server.write(path, "");
    }
    first_steps(&server);
    assert!(server.read(&settings).contains("DEPLOYER_STATE_DIR"));
    assert!(server.read(&ignored).contains("*\n"));
    server.must(&["openssl", "pkey", "-noout", "-in", &key]);
    let pin = server.must(&["engram-deployer", "pin"]);

    // A key that is somebody's own, of another kind.
    remove(&certificate);
    server.must(&["openssl", "genrsa", "-out", &key, "2048"]);
    let said = first_steps(&server);
    assert!(said.contains("sha256//"), "{said}");
    assert_ne!(server.must(&["engram-deployer", "pin"]), pin);
    // One that wants a password: nobody is asked.
    remove(&certificate);
    let password = ["-aes128", "-passout", "pass:word"];
    server.must(&[&["openssl", "genrsa"], &password[..], &["-out", &key, "2048"]].concat());
    let own = server.read(&key);
    let said = first_steps(&server);
    assert!(
        said.contains("could not make") && !server.has(&certificate),
        "{said}"
    );
    assert_eq!(server.read(&key), own);
    // A certificate whose key is gone gets no other one.
    server.write(&certificate, "somebody's");
    remove(&key);
    let said = first_steps(&server);
    assert!(said.contains("key.pem is not") && !server.has(&key), "{said}");

    remove(&certificate);
    server.must(&["rm", "/usr/bin/openssl"]);
    let said = first_steps(&server);
    assert!(said.contains("there is no openssl"), "{said}");
    let left = fs::read_dir(server.path(HOME)).unwrap();
    let mut left = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    assert_eq!(
        left.find(|name| name.ends_with(".new")),
        None,
        "half of something stays"
    );
}

#[test]
fn a_boot_with_a_flash_that_cannot_be_written_installs_the_package_as_it_is() {
    let mut server = Server::with_plugin();
    server.reboot();
    server.must(&["mount", "-o", "remount,bind,ro", "/boot"]);
    let booted = server.boot();
    let said = text(&booted.stdout);
    assert!(booted.status.success() && said.contains("sha256//"), "{said}");
    assert!(
        !said.contains("not completed") && !said.contains("Read-only"),
        "{said}"
    );
}

#[test]
fn the_flash_backup_takes_nothing_of_the_packages_folder() {
    let server = Server::with_plugin();
    // Settings while Unraid writes them, keys with names of their own, and what the daemon keeps.
    for name in [
        "engram-deployer.cfg1804289383",
        "id_rsa",
        "app.private-key.PEM",
        "secrets/registry",
        "state/jti",
    ] {
        server.write(&format!("{HOME}/{name}"), "secret");
    }
    let folder = Folder::new("backup");
    let copy = folder.join("config");
    run(Command::new("cp").arg("-R").arg(server.path(HOME)).arg(&copy));
    let git = |words: &[&str]| run(Command::new("git").arg("-C").arg(folder.path()).args(words));
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    assert_eq!(git(&["ls-files"]), "config/.gitignore\n");
}
