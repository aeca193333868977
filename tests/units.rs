//! [units] systemd's units: verified and scored by systemd's own tools, and a deploy within what they allow.
//!
//! `booted` has a systemd as process 1 that does all of it. What a filter refuses there may go unnoticed, because the caller
//! copes; so every system call of a real deploy is compared with the unit's filter as well, within the parts of the
//! sandbox that other tools can make (capabilities, read-only folders, `/proc`).

mod booted;
mod sandbox;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use engram_deployer::config::{Preset, preset};

use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::folder::Folder;
use crate::support::host::Host;
use crate::support::oidc::Issuer;
use crate::support::process::{installed, output_of, text};
use crate::support::terraform::site::Site;
use sandbox::{Sandbox, offences};

/// The units that start the daemon or one of its commands.
const SERVICES: [&str; 4] = [
    "engram-deployer.service",
    "engram-deployer@.service",
    "engram-deployer-recover.service",
    "engram-deployer-drift.service",
];

const LISTENER: &str = "engram-deployer.socket";

/// The bar, and what the drop-in for terraform costs.
const WITHOUT_TERRAFORM: f64 = 2.7;
const WITH_TERRAFORM: f64 = 3.5;

/// A file of contrib/systemd.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib/systemd")
        .join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(source(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What unit files set, in order; a later file is a drop-in of the first.
struct Unit(Vec<(String, String)>);

impl Unit {
    fn of(files: &[&str]) -> Unit {
        let text: String = files.iter().map(|file| read(file)).collect();
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='));
        Unit(
            lines
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    fn service(name: &str) -> Unit {
        Unit::of(&[&format!("system/{name}")])
    }

    /// All words that `key` is set to.
    fn words(&self, key: &str) -> Vec<&str> {
        let set = self.0.iter().filter(|(name, _)| name == key);
        set.flat_map(|(_, value)| value.split_whitespace()).collect()
    }

    /// The one value of `key`.
    #[track_caller]
    fn value(&self, key: &str) -> &str {
        let mut set = self.0.iter().filter(|(name, _)| name == key);
        let (_, value) = set.next().unwrap_or_else(|| panic!("{key} is not set"));
        assert!(set.next().is_none(), "{key} is set twice");
        value
    }
}

/// The units in a folder of their own, with the executable that was built in the place of the installed one.
fn in_place(word: &str) -> Folder {
    let folder = Folder::new(word);
    for entry in fs::read_dir(source("system")).expect("the units").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a unit");
        let text = text.replace(
            "/usr/local/sbin/engram-deployer",
            env!("CARGO_BIN_EXE_engram-deployer"),
        );
        folder.write(&entry.file_name().to_string_lossy(), text);
    }
    folder
}

fn analyze(arguments: &[&str], units: &[PathBuf]) -> (bool, String) {
    let output = output_of(
        installed("systemd-analyze", "systemd")
            .args(arguments)
            .args(units),
        b"",
    );
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

/// systemd's own judgement: lower is better.
fn score(unit: PathBuf) -> f64 {
    let (_, said) = analyze(&["security", "--offline=yes", "--no-pager"], &[unit]);
    let line = said.lines().last().unwrap_or_default();
    let number = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no score in {said}"))
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let folder = in_place("verified");
    let drop_in = "engram-deployer.socket.d/accept.conf";
    let units = || {
        let entries = fs::read_dir(folder.path()).expect("the units").flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .collect::<Vec<_>>()
    };
    assert_eq!(units().len(), SERVICES.len() + 2);
    for with_accept in [false, true] {
        if with_accept {
            folder.write(drop_in, read("drop-in/accept.conf"));
        }
        let (good, said) = analyze(&["verify", "--man=no"], &units());
        assert!(good && said.is_empty(), "{said}");
    }
    let broken = folder.write(
        "broken.service",
        "[Service]\nExecStart=/bin/true\nKilMode=process\n",
    );
    let (_, said) = analyze(&["verify", "--man=no"], &[broken]);
    assert!(said.contains("KilMode"), "a mistake would not be seen: {said}");
}

#[test]
fn the_units_are_as_tight_as_promised_and_terraforms_drop_in_costs_what_is_known() {
    let folder = in_place("scored");
    for service in SERVICES {
        let found = score(folder.join(service));
        println!("{service}: {found}");
        assert!(found <= WITHOUT_TERRAFORM, "{service}: {found}");
        folder.write(
            &format!("{service}.d/terraform.conf"),
            read("drop-in/terraform.conf"),
        );
        let found = score(folder.join(service));
        println!("{service} with terraform.conf: {found}");
        assert!(found <= WITH_TERRAFORM, "{service}: {found}");
        assert!(found > WITHOUT_TERRAFORM, "{service}: the drop-in was not read");
    }
}

#[test]
fn all_units_have_the_same_sandbox() {
    let sandbox = |name: &str| {
        let text = read(&format!("system/{name}"));
        let (_, rest) = text.split_once("\n# ---- what it may do").expect("a sandbox");
        rest.split("\n[").next().expect("its end").trim_end().to_owned()
    };
    for service in SERVICES {
        assert_eq!(sandbox(service), sandbox(SERVICES[0]), "{service}");
    }
}

#[test]
fn nothing_that_a_run_needs_goes_away_with_the_unit() {
    for service in SERVICES {
        let unit = Unit::service(service);
        assert_eq!(unit.value("KillMode"), "process", "{service}");
        assert_eq!(unit.value("OOMPolicy"), "continue", "{service}");
        assert_eq!(unit.value("RuntimeDirectoryPreserve"), "yes", "{service}");
        for key in ["PrivateTmp", "DynamicUser", "EnvironmentFile", "RuntimeMaxSec"] {
            assert_eq!(unit.words(key), [""; 0], "{service}: {key}");
        }
    }
    let listener = Unit::service(LISTENER);
    assert_eq!(listener.value("Accept"), "no");
    assert_eq!(Unit::of(&["drop-in/accept.conf"]).value("Accept"), "yes");
}

#[test]
fn every_folder_that_is_written_to_can_be_written_to() {
    for service in SERVICES {
        let unit = Unit::of(&[&format!("system/{service}"), "drop-in/terraform.conf"]);
        let state = unit.words("StateDirectory");
        let state = state.iter().map(|name| format!("/var/lib/{name}"));
        let runtime = unit.words("RuntimeDirectory");
        let runtime = runtime.iter().map(|name| format!("/run/{name}"));
        let others = unit.words("ReadWritePaths");
        let others = others.iter().map(|path| path.trim_start_matches('-').to_owned());
        let writable: Vec<String> = state.chain(runtime).chain(others).collect();
        for name in [
            "DEPLOYER_STATE_DIR",
            "DEPLOYER_RUNTIME_DIR",
            "DEPLOYER_TF_APPLY_WORKDIR",
            "DEPLOYER_TF_PLAN_WORKDIR",
        ] {
            let Some(Preset::Text(default)) = preset(name) else {
                panic!("{name} has no default");
            };
            let within = |folder: &String| Path::new(default).starts_with(folder);
            assert!(
                writable.iter().any(within),
                "{service}: {name}={default}: {writable:?}"
            );
        }
    }
    let made = read("tmpfiles.d/engram-deployer.conf");
    assert!(
        made.contains("d /run/engram-deployer 0755 root root -\n")
            && made.contains("d /var/lib/engram-deployer-plan 0711 root root -\n")
    );
}

#[test]
fn the_users_are_those_that_the_settings_name() {
    let text = read("sysusers.d/engram-deployer.conf");
    let users: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("u "))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?))
        })
        .collect();
    for (user, setting) in [
        ("engram-front", "DEPLOYER_USER"),
        ("engram-fetch", "DEPLOYER_FETCH_USER"),
        ("engram-plan", "DEPLOYER_TF_PLAN_USER"),
    ] {
        let Some(Preset::Text(default)) = preset(setting) else {
            panic!("{setting} has no default");
        };
        assert_eq!(users[user], default, "{setting}");
    }
    assert_eq!(users.len(), 3);
}

#[test]
fn a_deploy_works_within_the_unit_and_makes_no_call_that_it_filters() {
    let unit = Unit::service(SERVICES[0]);
    let mut sandbox = None;
    let host = Host::docker_with(|setup| sandbox = Some(Sandbox::around(setup, &unit)));
    let answer = host.deploy("2.0.0");
    answer.assert_ok();
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
    let trace = sandbox.expect("a sandbox").trace();
    assert!(
        trace.contains("chroot(") && trace.contains("setresuid("),
        "the front is not in the trace"
    );
    assert_eq!(offences(&unit, &trace), [""; 0]);
}

#[test]
fn a_plan_and_an_apply_work_within_the_unit_with_terraforms_drop_in() {
    let unit = Unit::of(&["system/engram-deployer.service", "drop-in/terraform.conf"]);
    let mut sandbox = None;
    let site = Site::with(|setup| sandbox = Some(Sandbox::around(setup, &unit)));
    let sha = site.propose("resource \"terraform_data\" \"one\" {}\n");
    let planned = site.plan(&sha);
    planned.assert_ok();
    let sha = site.commit("resource \"terraform_data\" \"one\" {}\n");
    let applied = site.apply(&sha, None);
    applied.assert_ok();
    let trace = sandbox.expect("a sandbox").trace();
    assert!(trace.contains("pivot_root("), "the walls are not in the trace");
    assert_eq!(offences(&unit, &trace), [""; 0]);
    // Nothing in the drop-in is there for nothing.
    let without = offences(&Unit::service(SERVICES[0]), &trace).join("\n");
    for needed in ["pivot_root", "mount", "umount2", "CLONE_NEWPID", "chown"] {
        assert!(without.contains(needed), "{needed} is not needed: {without}");
    }
}

/// A folder as systemd makes it for a unit: nobody's but root's, in memory.
fn handed_over(setup: &Setup, name: &str, file: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = setup.folder().join("credentials");
    fs::create_dir(&folder).expect("a folder for credentials");
    let place = folder.join(name);
    fs::copy(file, &place).expect("a credential");
    for (path, mode) in [(&place, 0o400), (&folder, 0o500)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    }
    folder
}

#[test]
fn a_key_that_systemd_hands_over_is_served_with() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let folder = handed_over(&setup, "key.pem", &setup.certificate().key.clone());
    fs::remove_file(&setup.certificate().key).expect("the key is nowhere else");
    setup.set("DEPLOYER_KEY_FILE", "cred:key.pem");
    let program = env!("CARGO_BIN_EXE_engram-deployer");
    let line = format!("CREDENTIALS_DIRECTORY={} exec {program} \"$@\"", folder.display());
    let wrapper = setup.executable("with-credentials", &line);
    setup.use_program(&wrapper);
    let deployer = setup.start();
    let token = issuer.mint(AUDIENCE);
    let answer = deployer
        .client()
        .post("/deploy", &token, "{\"version\":\"1.2.3\"}");
    answer.assert_ok();
}

#[test]
fn a_key_that_was_not_handed_over_is_complained_about() {
    let mut setup = Setup::new(&Issuer::start());
    setup.set("DEPLOYER_KEY_FILE", "cred:key.pem");
    let output = setup.run(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let should = "cred:NAME where the unit has LoadCredential=NAME:PATH";
    assert!(
        said.contains("DEPLOYER_KEY_FILE is `cred:key.pem`") && said.contains(should),
        "{said}"
    );
    // A command that is typed does not need the key, and is not kept from its work by one that it was not handed.
    assert_eq!(setup.run(&["init"]).status.code(), Some(0));
    setup.set("DEPLOYER_KEY_FILE", "cred:../key.pem");
    let checked = setup.run(&["check"]);
    let said = text(&checked.stdout) + &text(&checked.stderr);
    assert!(
        said.contains("DEPLOYER_KEY_FILE is `cred:../key.pem`") && said.contains(should),
        "{said}"
    );
}

#[test]
fn a_trace_shows_what_the_filters_would_refuse() {
    let trace = "1 execve(\"/x\", 0x0, 0x0) = 0\n\
                 1 read(3, \"\"..., 5) = 5\n\
                 1 mount(\"a\", \"b\", NULL, MS_BIND, NULL) = 0\n\
                 2 unshare(CLONE_NEWNS|CLONE_NEWUSER) = 0\n\
                 2 <... mount resumed>) = 0\n\
                 2 socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3\n\
                 2 mprotect(0x7f, 4096, PROT_READ|PROT_EXEC) = 0\n\
                 2 fchmodat(AT_FDCWD, \"\"..., 04755) = 0\n\
                 2 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
                 2 mkdir(\"\"..., 0700) = 0\n";
    let base = offences(&Unit::service(SERVICES[0]), trace);
    let expected = [
        "fchmodat of a set-user-id or set-group-id file",
        "mount",
        "mprotect to execute what was written",
        "socket of AF_NETLINK",
        "unshare CLONE_NEWNS",
        "unshare CLONE_NEWUSER",
    ];
    assert_eq!(base, expected);
    let unit = Unit::of(&["system/engram-deployer.service", "drop-in/terraform.conf"]);
    let with_drop_in = offences(&unit, trace);
    assert!(
        !with_drop_in
            .iter()
            .any(|one| one == "mount" || one.ends_with("NEWNS"))
    );
    assert!(with_drop_in.contains(&"unshare CLONE_NEWUSER".to_owned()));
}
