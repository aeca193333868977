//! [plan_isolation] What the code of a pull request can do to the host that plans it.
//!
//! The secrets of these tests can be read by everyone, so that nothing but the sandbox keeps them; each test that finds
//! nothing has a twin without a sandbox that finds it.

mod ends;
mod sandbox;
mod terraform;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use engram_deployer::jail::{COMPLAINT, FAILED, MountSpec};

use crate::plan_isolation::sandbox::{Scene, USER, role, run, shell, start_by};
use crate::support::deployer::Setup;
use crate::support::folder::install;
use crate::support::oidc::Issuer;

/// A process of the plan's own user outside, with the canary in its environment.
struct Neighbour(std::process::Child);

impl Neighbour {
    fn start(canary: &str) -> Neighbour {
        let mut command = Command::new("/bin/sleep");
        let command = command.arg("600").env_clear().env("SECRET", canary);
        Neighbour(command.uid(USER).gid(USER).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_plan_reads_nothing_of_ours_whatever_the_modes_say() {
    let scene = Scene::new();
    let _neighbour = Neighbour::start(&scene.canary);
    let without = run(&shell(&scene.search()));
    let count = without.said.matches(&scene.canary).count();
    assert!(
        count > 2 * scene.secrets.len(),
        "the search finds too little by itself: {count}"
    );
    let within = run(&scene.plan(&format!("{}; echo searched", scene.search())));
    assert!(within.said.ends_with("searched\n"), "{within:?}");
    assert!(!within.said.contains("canary"), "{within:?}");
}

#[test]
fn a_plan_sees_its_programs_its_work_and_nothing_else_of_the_host() {
    let scene = Scene::new();
    let seen = run(&scene.plan("ls -A / /run /var /dev 2>/dev/null | sort -u; ls -d /proc/[0-9]*; pwd"));
    let listed: Vec<&str> = seen.said.lines().collect();
    for gone in [
        "boot",
        "mnt",
        "home",
        "root",
        "sys",
        "run",
        "srv",
        "docker.sock",
        "kmsg",
        "sda",
        "tty",
    ] {
        assert!(!listed.contains(&gone), "{gone}: {listed:?}");
    }
    for there in [
        "bin",
        "etc",
        "usr",
        "null",
        "urandom",
        "/proc/1",
        "/proc/2",
        &scene.seen.display().to_string(),
    ] {
        assert!(listed.contains(&there), "{there}: {listed:?}");
    }
    assert!(
        listed.iter().filter(|line| line.starts_with("/proc/")).count() < 6,
        "{listed:?}"
    );
    let probe = format!(
        "for p in /boot /mnt /root /home /run/docker.sock /var/run/docker.sock /var/lib /sys {} {}; do test -e $p && echo $p; done; true",
        scene.seen.parent().unwrap().with_file_name("jti").display(),
        scene.real.display()
    );
    assert_eq!(run(&scene.plan(&probe)).said, "");
}

#[test]
fn a_plan_sees_neither_the_daemon_nor_its_other_processes_and_signals_none() {
    let scene = Scene::new();
    let deployer = Setup::new(&Issuer::start()).start();
    let mut neighbour = Neighbour::start(&scene.canary);
    let (daemon, other) = (deployer.pid(), neighbour.0.id());
    let script = format!(
        "for p in {daemon} {other}; do ls /proc/$p; cat /proc/$p/environ; kill -9 $p; done 2>&1; \
         kill -9 1; kill -9 -1 2>/dev/null; cat /proc/1/environ /proc/1/maps /proc/1/mem; ls /proc/1/fd /proc/1/root/ 2>&1"
    );
    let within = run(&scene.plan(&script));
    assert!(
        !within.said.contains(&scene.canary) && !within.said.contains("DEPLOYER_"),
        "{within:?}"
    );
    assert_eq!(within.said.matches("o such process").count(), 2, "{within:?}");
    assert!(
        neighbour.0.try_wait().unwrap().is_none(),
        "a neighbour was killed"
    );
    assert_eq!(deployer.client().get("/healthz").status, 200);
}

#[test]
fn a_plan_writes_to_its_own_folder_and_to_memory_alone() {
    let scene = Scene::new();
    let somebodys = scene.among_programs.join("checkout");
    scene.file(&somebodys.join("main.tf"), "theirs");
    for path in [somebodys.clone(), somebodys.join("main.tf")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let script = format!(
        "for p in /x /etc/x /usr/x /dev/x /var/x {0}/x {0}/main.tf {1}; do echo hers > $p; done 2>/dev/null; \
         rm -rf {0}; echo mine > own; echo mine > /tmp/own; cat /tmp/own; true",
        somebodys.display(),
        scene.seen.with_file_name("beside").display(),
    );
    let within = run(&scene.plan(&script));
    assert!(within.said.ends_with("mine\n"), "{within:?}");
    assert_eq!(fs::read_to_string(somebodys.join("main.tf")).unwrap(), "theirs");
    assert!(!somebodys.join("x").exists() && !Path::new("/tmp/own").exists());
    let own = fs::metadata(scene.real.join("own")).unwrap();
    assert_eq!((own.uid(), own.mode() & 0o777), (USER, 0o600));
}

#[test]
fn a_plan_makes_no_file_that_takes_hours_to_read_and_is_the_first_to_go_when_memory_is_short() {
    let scene = Scene::new();
    let script = "cat /proc/self/oom_score_adj; truncate -s 1G large && echo large; \
                  truncate -s 8G larger; echo $?; stat -c %s larger";
    let within = run(&scene.plan(script));
    assert!(within.said.starts_with("1000\nlarge\n"), "{within:?}");
    // 153: 128 and SIGXFSZ.
    assert!(within.said.ends_with("153\n0\n"), "{within:?}");
}

#[test]
fn a_plan_gets_no_privileges_by_any_way_out() {
    let scene = Scene::new();
    let id = scene.among_programs.join("id");
    install("/usr/bin/id", &id);
    fs::set_permissions(&id, fs::Permissions::from_mode(0o4755)).unwrap();
    let script = format!(
        "{} -u; mount -o remount,rw / && echo out; mount -o remount,bind,rw /etc && echo out; umount /etc && echo out; \
         mknod n b 8 0 && echo out; unshare -U true && echo out; unshare -m true && echo out; chroot / true && echo out; \
         nsenter -t 1 -m true && echo out; grep -h -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs):' /proc/self/status; \
         ulimit -c; umask",
        id.display()
    );
    let within = run(&scene.plan(&script));
    assert!(!within.said.contains("out\n"), "{within:?}");
    let ids = format!("\t{USER}").repeat(4);
    let none = ["Inh", "Prm", "Eff", "Amb"]
        .map(|set| format!("Cap{set}:\t0000000000000000\n"))
        .concat();
    for line in [
        &format!("{USER}\n"),
        &format!("Uid:{ids}\nGid:{ids}\nGroups:\t \n"),
        &none,
        "NoNewPrivs:\t1\n0\n0077\n",
    ] {
        assert!(within.said.contains(line), "{line}: {within:?}");
    }
}

#[test]
fn what_is_shown_besides_is_read_and_not_written() {
    let scene = Scene::new();
    let (cache, beneath) = (
        scene.real.with_file_name("cache"),
        scene.among_programs.join("ours/cache"),
    );
    for folder in [&cache, &beneath] {
        scene.file(&folder.join("provider"), "a provider\n");
    }
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "cat {0}/* {1}/*; echo x > {0}/x; ls {2}",
        cache.display(),
        beneath.display(),
        scene.among_programs.join("ours").display()
    );
    let mut order = scene.plan(&script);
    let mounts = order.sandbox.mounts.as_mut().unwrap();
    mounts
        .shown
        .extend([&cache, &beneath].map(|folder| MountSpec::read_only(folder)));
    let within = run(&order);
    assert!(within.said.starts_with("a provider\na provider\n"), "{within:?}");
    assert!(within.said.ends_with("\ncache\n"), "{within:?}");
    assert!(!cache.join("x").exists());
}

#[test]
fn one_descriptor_is_handed_on_and_no_other() {
    let scene = Scene::new();
    let pipe = scene.real.with_file_name("token");
    scene.file(&pipe, "a token\n");
    for mut order in [shell(""), scene.plan("")] {
        order.arguments[1] = "cat <&3; ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0".into();
        order.keeps = vec![3];
        let mut launcher = Command::new("/bin/sh");
        let exec = format!(
            "exec '{}' jail 3<{} 4<&3 9<&3",
            role().get_program().display(),
            pipe.display()
        );
        let said = start_by(
            {
                launcher.args(["-c", &exec]).env_clear();
                launcher
            },
            &order,
        )
        .end()
        .said;
        // 4 is that of `ls` itself, which reads the list.
        assert_eq!(said, "a token\n0 1 2 3 4 /dev/null\n");
    }
}

#[test]
fn a_jail_that_cannot_be_built_says_why_and_starts_nothing() {
    let scene = Scene::new();
    let mut missing = scene.plan("echo started");
    missing
        .sandbox
        .mounts
        .as_mut()
        .unwrap()
        .shown
        .push(MountSpec::read_only(Path::new("/mnt/no-such-thing")));
    let mut root = scene.plan("echo started");
    root.sandbox.account = None;
    let mut nowhere = scene.plan("echo started");
    nowhere.sandbox.directory = "/mnt".into();
    let mut nothing = scene.plan("");
    nothing.program = "/usr/bin/no-such-thing".into();
    for (order, word) in [
        (missing, "/mnt/no-such-thing"),
        (root, "root"),
        (nowhere, "/mnt"),
        (nothing, "no-such-thing"),
    ] {
        let ended = run(&order);
        assert_eq!(ended.code, i32::from(FAILED), "{ended:?}");
        assert!(
            ended.said.starts_with(COMPLAINT) && ended.said.contains(word),
            "{ended:?}"
        );
    }
}
