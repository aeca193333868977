//! [package] The Unraid plugin: built twice the same; installed, upgraded in the middle of a run and removed in a scratch
//! root with its flash on FAT; its scripts, its settings page and its XML.

mod events;
mod install;
mod page;
mod rc;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::folder::Folder;
use crate::support::process::{installed, output_of, run, text};
use crate::support::server::{HOME, VERSIONS, build, package};

/// A deploy that says when it is at work, and ends when it may.
const HELD: &str = "echo at work >/run/at-work\nwhile [ ! -e /run/go-on ]; do sleep 0.05; done";
/// What the deploy of [`crate::support::outlive::gated`] waits for.
const GATE: &str = "/run/gate";
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
fn the_scripts_within_the_packages_plg_parse_and_shellcheck_has_nothing_to_say() {
    let plg = package(VERSIONS[0]).1;
    let xpath = |path: &str| {
        run(installed("xmllint", "libxml2-utils")
            .args(["--noent", "--xpath", path])
            .arg(&plg))
    };
    assert_eq!(xpath("count(//INLINE)").trim(), "2");
    for number in 1..=2 {
        let script = xpath(&format!("string((//INLINE)[{number}])"));
        let parsed = output_of(Command::new("bash").arg("-n"), script.as_bytes());
        assert!(parsed.status.success(), "{}", text(&parsed.stderr));
        let checked = output_of(
            installed("shellcheck", "shellcheck").args(["--shell=bash", "-"]),
            script.as_bytes(),
        );
        assert!(checked.status.success(), "{}", text(&checked.stdout));
    }
}
