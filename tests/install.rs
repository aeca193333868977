//! [install] contrib/install.sh in a scratch folder: what it puts where, twice, upgraded, removed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use engram_deployer::cli::pin::Pins;

use crate::support::folder::Folder;
use crate::support::process::{installed, output_of, run, text};

const PROGRAM: &str = env!("CARGO_BIN_EXE_engram-deployer");

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/install.sh")
}

fn installer(root: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg(script()).args(arguments).env("DESTDIR", root.path());
    command
}

fn install(root: &Folder, arguments: &[&str]) -> Output {
    output_of(&mut installer(root, arguments), b"")
}

#[track_caller]
fn installs(root: &Folder, arguments: &[&str]) -> String {
    let arguments = [&["--binary", PROGRAM], arguments].concat();
    let output = install(root, &arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// Every file below a folder: its mode, when it was written, and what is in it.
fn files(root: &Folder) -> BTreeMap<String, (u32, i64, Vec<u8>)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let (path, facts) = (entry.path(), entry.metadata().expect("its facts"));
            if facts.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(root.path())
                .expect("below")
                .display()
                .to_string();
            let content = fs::read(&path).expect("a file");
            found.insert(name, (facts.mode() & 0o7777, facts.mtime_nsec(), content));
        }
    }
    found
}

fn modes(root: &Folder) -> Vec<(String, u32)> {
    files(root)
        .into_iter()
        .map(|(name, (mode, ..))| (name, mode))
        .collect()
}

/// What is installed and belongs to the package, without the configuration.
const PACKAGE: [(&str, u32); 12] = [
    ("etc/systemd/system/engram-deployer-drift.service", 0o644),
    ("etc/systemd/system/engram-deployer-drift.timer", 0o644),
    ("etc/systemd/system/engram-deployer-recover.service", 0o644),
    ("etc/systemd/system/engram-deployer.service", 0o644),
    ("etc/systemd/system/engram-deployer.socket", 0o644),
    ("etc/systemd/system/engram-deployer@.service", 0o644),
    ("etc/sysusers.d/engram-deployer.conf", 0o644),
    ("etc/tmpfiles.d/engram-deployer.conf", 0o644),
    ("usr/local/sbin/engram-deployer", 0o755),
    ("usr/local/share/doc/engram-deployer/engram-deployer.env", 0o644),
    ("usr/local/share/man/man5/engram-deployer.env.5", 0o644),
    ("usr/local/share/man/man8/engram-deployer.8", 0o644),
];

const CONFIGURATION: [(&str, u32); 3] = [
    ("etc/engram-deployer/cert.pem", 0o644),
    ("etc/engram-deployer/env", 0o600),
    ("etc/engram-deployer/key.pem", 0o600),
];

fn listed(lists: &[&[(&str, u32)]]) -> Vec<(String, u32)> {
    let all = lists.iter().copied().flatten();
    let mut all: Vec<_> = all.map(|(name, mode)| (name.to_string(), *mode)).collect();
    all.sort();
    all
}

#[test]
fn it_installs_what_it_says_and_a_second_time_writes_nothing() {
    let root = Folder::new("installed");
    let said = installs(
        &root,
        &["deploy.example.org", "192.0.2.10", "2001:db8::1", "*.example.org"],
    );
    assert_eq!(modes(&root), listed(&[&PACKAGE, &CONFIGURATION]));
    let private = fs::metadata(root.join("etc/engram-deployer")).expect("the folder");
    assert_eq!(private.mode() & 0o7777, 0o700);
    let pem = fs::read(root.join("etc/engram-deployer/cert.pem")).expect("the certificate");
    let pins = Pins::of_pem(&pem).expect("pins");
    assert!(
        said.contains(&pins.public_key()) && said.contains(&pins.fingerprint()),
        "{said}"
    );
    let shown = run(installed("openssl", "openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(root.join("etc/engram-deployer/cert.pem")));
    for part in [
        "DNS:deploy.example.org, IP Address:192.0.2.10, IP Address:2001:DB8:0:0:0:0:0:1, DNS:*.example.org",
        "prime256v1",
        "CA:FALSE",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let before = files(&root);
    let said = installs(&root, &["other.example.org"]);
    assert!(files(&root) == before, "a second time changed something: {said}");
    assert!(!said.contains("made ") && !said.contains("installed /"), "{said}");
}

#[test]
fn an_upgrade_replaces_what_is_its_own_and_keeps_what_is_yours() {
    let root = Folder::new("upgraded");
    installs(&root, &["--terraform", "deploy.example.org"]);
    let env = root.join("etc/engram-deployer/env");
    fs::write(&env, "DEPLOYER_ADDR=:9443\n").expect("settings of the operator's");
    let kept: Vec<_> = CONFIGURATION
        .iter()
        .map(|(name, _)| (root.join(name), fs::read(root.join(name)).expect("a file")))
        .collect();
    let newer = root.program("newer", "#!/bin/sh\necho 9.9.9\n");
    fs::write(
        root.join("etc/systemd/system/engram-deployer.service"),
        "[Unit]\n",
    )
    .expect("an old unit");
    let output = install(&root, &["--binary", &newer.display().to_string()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let new = fs::read(root.join("usr/local/sbin/engram-deployer")).expect("the executable");
    assert_eq!(new, fs::read(&newer).expect("it"));
    let unit = fs::read_to_string(root.join("etc/systemd/system/engram-deployer.service")).expect("a unit");
    assert!(unit.contains("KillMode=process"));
    for (path, content) in kept {
        assert!(fs::read(&path).expect("a file") == content, "{}", path.display());
    }
    // Given once, it stays.
    assert!(
        root.join("etc/systemd/system/engram-deployer@.service.d/terraform.conf")
            .exists()
    );
}

#[test]
fn links_to_a_volume_that_is_not_mounted_are_kept_and_named() {
    let root = Folder::new("unmounted");
    let volume = root.join("volume");
    let links = CONFIGURATION.map(|(name, _)| {
        let link = root.join(name);
        fs::create_dir_all(link.parent().expect("a folder")).expect("making it");
        let target = volume.join(link.file_name().expect("a name"));
        symlink(&target, &link).expect("a link");
        (name, link, target)
    });
    let said = installs(&root, &["deploy.example.org"]);
    for (name, link, target) in links {
        assert_eq!(fs::read_link(link).ok().as_ref(), Some(&target), "{name}");
        let kept = format!("kept /{name}: it is a link to {}", target.display());
        assert!(said.contains(&kept), "{kept}: {said}");
    }
    assert!(
        said.contains("the pins cannot be read: nothing is where"),
        "{said}"
    );
    assert!(!volume.exists() && !said.contains("made "), "{said}");
}

#[test]
fn removing_it_leaves_settings_and_key_and_says_so() {
    let root = Folder::new("removed");
    installs(&root, &["--terraform", "deploy.example.org"]);
    let state = root.write("var/lib/engram-deployer/jti", "");
    let output = install(&root, &["--uninstall"]);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.contains("kept: /etc/engram-deployer"),
        "{said}"
    );
    let expected = listed(&[&CONFIGURATION, &[("var/lib/engram-deployer/jti", 0o644)]]);
    assert_eq!(modes(&root), expected);
    assert!(state.exists());
    assert!(!root.join("etc/systemd/system/engram-deployer.service.d").exists());
    let again = install(&root, &["--uninstall"]);
    assert!(again.status.success() && !text(&again.stdout).contains("removed "));
}

#[test]
fn a_prefix_is_in_the_units_too() {
    let root = Folder::new("prefix");
    let said = installs(&root, &["--prefix", "/opt/deployer"]);
    assert!(root.join("opt/deployer/sbin/engram-deployer").exists());
    assert!(
        root.join("opt/deployer/share/man/man8/engram-deployer.8")
            .exists()
    );
    for name in [
        "engram-deployer.service",
        "engram-deployer@.service",
        "engram-deployer-recover.service",
    ] {
        let unit = fs::read_to_string(
            root.join("etc/systemd/system")
                .join(name)
                .to_str()
                .expect("a path"),
        );
        let unit = unit.expect("a unit");
        assert!(
            unit.contains("ExecStart=/opt/deployer/sbin/engram-deployer "),
            "{name}"
        );
        assert!(!unit.contains("/usr/local"), "{name}");
    }
    // Without names a package gets no key: each host needs one of its own.
    assert!(
        said.contains("no key") && !root.join("etc/engram-deployer/key.pem").exists(),
        "{said}"
    );
}

#[test]
fn a_package_of_a_distribution_leaves_etc_to_the_operator() {
    let root = Folder::new("distribution");
    installs(&root, &["--prefix=/usr", "--terraform"]);
    let in_etc = |root: &Folder| {
        let names = modes(root).into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("etc/")).collect::<Vec<_>>()
    };
    assert_eq!(in_etc(&root), ["etc/engram-deployer/env"]);
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/engram-deployer.service"));
    assert!(
        unit.expect("a unit")
            .contains("ExecStart=/usr/sbin/engram-deployer ")
    );
    for name in [
        "usr/lib/systemd/system/engram-deployer.service.d/terraform.conf",
        "usr/lib/sysusers.d/engram-deployer.conf",
        "usr/lib/tmpfiles.d/engram-deployer.conf",
        "usr/share/man/man8/engram-deployer.8",
    ] {
        assert!(root.join(name).exists(), "{name}");
    }
    assert!(
        install(&root, &["--prefix", "/usr", "--uninstall"])
            .status
            .success()
    );
    assert_eq!(modes(&root), [("etc/engram-deployer/env".to_owned(), 0o600)]);
}

#[test]
fn an_executable_given_by_its_name_alone_is_the_one_in_this_folder_not_the_one_in_the_path() {
    let root = Folder::new("named");
    let [given, other] = ["given", "other"].map(|folder| {
        let name = format!("{folder}/deployer");
        let program = root.program(&name, format!("#!/bin/sh\necho pins by the {folder} one\n"));
        program.parent().expect("its folder").to_owned()
    });
    let path = format!("{}:{}", other.display(), std::env::var("PATH").expect("a path"));
    let mut command = installer(&root, &["--binary", "deployer", "deploy.example.org"]);
    let said = run(command.current_dir(given).env("PATH", path));
    assert!(said.contains("pins by the given one"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let root = Folder::new("refused");
    for arguments in [
        &["--prefix", "relative"][..],
        &["--prefix", "/opt/a b"],
        &["--unknown"],
        &["--binary"],
        &["a,DNS:evil"],
        &["--binary", "/nonexistent/engram-deployer"],
    ] {
        let output = install(&root, arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("install.sh: "), "{arguments:?}");
    }
    assert_eq!(modes(&root), []);
    // Half of a pair is somebody's mistake, and not made whole by a guess.
    root.write("etc/engram-deployer/key.pem", "mine");
    let output = install(&root, &["--binary", PROGRAM, "deploy.example.org"]);
    assert!(!output.status.success() && text(&output.stderr).contains("cert.pem"));
    assert_eq!(
        fs::read(root.join("etc/engram-deployer/key.pem")).expect("it"),
        b"mine"
    );
}

/// All of this host, with what is written to it going elsewhere: an installation as an operator would make it.
const ON_A_HOST: &str = r#"
set -e
mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
mkdir -p "$1/root/contrib" && mount --bind "$2" "$1/root/contrib"
cp "$3" "$1/root/new-binary"
rm -rf "$1/root/etc/engram-deployer" "$1/root/var/lib/engram-deployer"
chroot "$1/root" sh -ec "install() { sh /contrib/install.sh --binary /new-binary; }; $4" 2>&1
"#;

/// What these lines said on such a host, cut at `----`; `install` in them is the installer.
#[track_caller]
fn on_a_host(lines: &str) -> Vec<String> {
    let folder = Folder::new("host");
    let contrib = script().parent().expect("contrib").to_owned();
    let output = output_of(
        installed("unshare", "util-linux")
            .args(["--mount", "--propagation", "slave", "sh", "-c", ON_A_HOST, "sh"])
            .arg(folder.path())
            .arg(contrib)
            .args([PROGRAM, lines]),
        b"",
    );
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    said.split("----\n").map(str::to_owned).collect()
}

#[test]
fn on_a_host_without_systemd_it_prepares_the_state_once_and_says_what_to_do() {
    let parts =
        on_a_host("install; echo ----; install; echo ----; ls /etc/engram-deployer /var/lib/engram-deployer");
    let said = parts.join("----\n");
    assert!(parts[0].contains("made, and knows no token"), "{said}");
    assert!(
        parts[0].contains("there is no systemd here") && parts[0].contains("recover --env-file"),
        "{said}"
    );
    assert!(parts[0].contains("sha256//"), "{said}");
    assert!(
        !parts[1].contains("made ") && !parts[1].contains("knows no token"),
        "{said}"
    );
    for name in ["cert.pem", "env", "key.pem", "jti"] {
        assert!(parts[2].lines().any(|line| line == name), "{name}: {said}");
    }
    assert!(!parts[2].contains("env.first"), "{said}");
}

/// systemctl is the real one: offline it turns units on and off, and starts none.
const WITH_SYSTEMD: &str = "
export SYSTEMD_OFFLINE=1
mkdir /run/systemd /run/systemd/system
rm -f /etc/systemd/system/*/engram-deployer* /etc/systemd/system/engram-deployer*
ask() { systemctl is-enabled engram-deployer.socket engram-deployer-recover.service || true; }
";

#[test]
fn an_upgrade_turns_on_the_unit_that_is_new_and_not_the_one_that_you_turned_off() {
    let upgrade = "install; echo ----; ask; echo ----
        systemctl disable engram-deployer.socket engram-deployer-recover.service
        rm /etc/systemd/system/engram-deployer-recover.service
        echo ----; install; echo ----; ask";
    let parts = on_a_host(&format!("{WITH_SYSTEMD}{upgrade}"));
    assert_eq!(
        (&*parts[1], &*parts[4]),
        ("enabled\nenabled\n", "disabled\nenabled\n"),
        "{parts:?}"
    );
    let left = "left as it was: engram-deployer.socket is not enabled\n";
    assert!(
        !parts[0].contains("left as it was") && parts[3].contains(left),
        "{parts:?}"
    );
}

#[test]
fn an_installation_that_was_refused_once_turns_on_what_it_installs_the_next_time() {
    let mended = "echo half >/etc/engram-deployer/key.pem
        install && exit 1
        rm /etc/engram-deployer/key.pem
        echo ----; install; echo ----; ask";
    let parts = on_a_host(&format!("{WITH_SYSTEMD}mkdir /etc/engram-deployer\n{mended}"));
    assert!(parts[0].contains("one is missing"), "{parts:?}");
    assert_eq!(parts[2], "enabled\nenabled\n", "{parts:?}");
}

#[test]
fn a_daemon_whose_key_is_not_mounted_is_not_stopped_by_an_upgrade() {
    let unmounted = "ln -sf /volume/key.pem /etc/engram-deployer/key.pem";
    let parts = on_a_host(&format!("{WITH_SYSTEMD}install; echo ----; {unmounted}; install"));
    let restarts = parts.iter().map(|part| part.contains("command 'try-restart'"));
    assert_eq!(restarts.collect::<Vec<_>>(), [true, false], "{parts:?}");
    assert!(
        parts[1].contains("left running") && parts[1].contains("sha256//"),
        "{parts:?}"
    );
}
