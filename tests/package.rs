//! [package] The Unraid plugin: built twice the same; installed, upgraded in the middle of a run and removed in a scratch
//! root with its flash on FAT; its scripts, its settings page and its XML.

mod events;
mod page;
mod rc;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::deployer::AUDIENCE;
use crate::support::folder::Folder;
use crate::support::oidc::Issuer;
use crate::support::process::{installed, output_of, run, text};
use crate::support::server::{HOME, PLUGIN, RC, Server, VERSIONS, build, package};
use crate::support::wait_until;

/// A deploy that says when it is at work, and ends when it may.
const HELD: &str = "echo at work >/run/at-work\nwhile [ ! -e /run/go-on ]; do sleep 0.05; done";
const SOON: Duration = Duration::from_secs(10);

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What is in a package: mode, owner and name of each entry.
fn entries(package: &Path) -> Vec<String> {
    let list = run(installed("tar", "tar")
        .args(["--numeric-owner", "-tvJf"])
        .arg(package));
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    };
    list.lines().map(of_line).collect()
}

#[test]
fn the_package_is_the_same_to_the_byte_when_it_is_built_twice() {
    let folder = Folder::new("twice");
    let program = folder.write("program", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.join(name));
    build("2026.11.22a", &program, &one);
    // From another copy of the sources, with other times and modes, another umask, and settings of tar and xz.
    let copy = folder.join("copy");
    fs::create_dir_all(&copy).unwrap();
    for part in [
        "package",
        "contrib",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
    ] {
        run(Command::new("cp").arg("-R").arg(repository(part)).arg(&copy));
    }
    run(Command::new("chmod").args(["-R", "g+w,o-rwx"]).arg(&copy));
    let build = "umask 077; XZ_OPT=-0 TZ=Asia/Tokyo exec \"$0\" 2026.11.22a --binary \"$1\" --output \"$2\"";
    run(Command::new("sh")
        .args(["-c", build])
        .arg(copy.join("package/build.sh"))
        .arg(&program)
        .arg(&other));
    for name in ["engram-deployer-2026.11.22a-x86_64-1.txz", "engram-deployer.plg"] {
        assert!(
            fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn the_package_holds_what_it_should_with_roots_modes() {
    let found = entries(&package(VERSIONS[0]).0);
    for entry in &found {
        let (mode, name) = (
            entry.split(' ').next().unwrap(),
            entry.split(' ').next_back().unwrap(),
        );
        assert!(entry.contains(" 0/0 "), "{entry}");
        let program = ["/event/", "/scripts/", "/rc.d/", "/sbin/", "doinst.sh"]
            .iter()
            .any(|part| name.contains(part));
        let expected = match name.ends_with('/') {
            true => "drwxr-xr-x",
            false if program => "-rwxr-xr-x",
            false => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{entry}");
    }
    let names: BTreeSet<&str> = found
        .iter()
        .filter_map(|entry| entry.split(' ').next_back())
        .collect();
    for name in [
        "etc/rc.d/rc.engram-deployer",
        "install/doinst.sh",
        "install/slack-desc",
        "usr/local/sbin/engram-deployer",
        "usr/local/emhttp/plugins/engram-deployer/engram-deployer.page",
        "usr/local/emhttp/plugins/engram-deployer/event/docker_started",
        "usr/local/emhttp/plugins/engram-deployer/event/stopping_docker",
        "usr/local/emhttp/plugins/engram-deployer/scripts/notify",
    ] {
        assert!(names.contains(name), "{name} is not in {names:#?}");
    }
    // Nothing on the flash: FAT has neither modes nor links, and what is the user's must not be overwritten.
    assert!(!names.iter().any(|name| name.starts_with("boot")), "{names:#?}");
}

#[test]
fn the_description_in_the_package_is_eleven_lines_of_the_width_that_is_shown() {
    let text = fs::read_to_string(repository("package/install/slack-desc")).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("engram-deployer:"))
        .collect();
    assert!(lines.len() <= 11 && lines.len() > 5, "{}", lines.len());
    assert!(
        lines
            .iter()
            .all(|line| line.is_empty() || line.starts_with(' ') && line.len() <= 71),
        "{lines:#?}"
    );
}

#[test]
fn the_package_has_a_version_that_unraid_can_compare_or_is_not_built() {
    let folder = Folder::new("versions");
    for version in [
        "0.10.0",
        "1.2",
        "2026.1.2",
        "2026.13.01",
        "2026.02.30",
        "2026.11.22b2",
        "2026-11-22",
        "v2026.11.22",
        "",
    ] {
        let mut command = Command::new(repository("package/build.sh"));
        let refused = output_of(
            command
                .arg(version)
                .args(["--binary", "/bin/true", "--output"])
                .arg(folder.path()),
            b"",
        );
        assert!(!refused.status.success(), "{version}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{version}");
    }
    let mut command = Command::new(repository("package/build.sh"));
    let refused = output_of(command.args(["0.10.0", "--binary", "/bin/true"]), b"");
    assert!(
        text(&refused.stderr).contains("compares versions as texts"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn the_plg_and_the_store_entry_of_the_package_are_well_formed_and_agree() {
    let (package, plg) = package(VERSIONS[0]);
    let entry = repository("package/community-applications/engram-deployer.xml");
    let profile = repository("package/community-applications/ca_profile.xml");
    run(installed("xmllint", "libxml2-utils")
        .args(["--noout", "--noent"])
        .args([&plg, &entry, &profile]));
    let of = |file: &Path, path: &str| {
        let value = run(installed("xmllint", "libxml2-utils")
            .args(["--noent", "--xpath", &format!("string({path})")])
            .arg(file));
        value.trim().to_owned()
    };
    assert_eq!(of(&plg, "/PLUGIN/@version"), VERSIONS[0]);
    assert_eq!(of(&plg, "/PLUGIN/@pluginURL"), of(&entry, "//PluginURL"));
    assert_eq!(of(&plg, "/PLUGIN/@min"), of(&entry, "//MinVer"));
    assert!(!of(&profile, "//Profile").is_empty());
    let sum = run(installed("sha256sum", "coreutils").arg(&package));
    assert_eq!(of(&plg, "/PLUGIN/FILE/SHA256"), sum.split(' ').next().unwrap());
    let name = package.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(of(&plg, "/PLUGIN/FILE/@Name"), format!("{HOME}/{name}"));
    assert!(of(&plg, "/PLUGIN/FILE/URL").ends_with(&format!("/{}/{name}", VERSIONS[0])));
    assert_eq!(of(&plg, "/PLUGIN/@launch"), "Settings/engram-deployer");
}

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
