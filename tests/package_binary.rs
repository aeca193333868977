//! [package_binary] The executable for packages needs nothing of the host: static, stripped, at home in an empty root folder,
//! and able to look names up there.
//!
//! In the long set: a release build takes its time.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::support::deployer::Setup;
use crate::support::folder::{Folder, install};
use crate::support::long_tests;
use crate::support::oidc::Issuer;
use crate::support::process::{installed, run, text};

/// The executable, built as packages build it.
fn built() -> PathBuf {
    let said = run(Command::new("sh").arg(script("build.sh")));
    let path = said.lines().last().expect("the path of the executable");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name)
}

/// Has `setup` start the package's executable in a root folder with nothing in it but that executable, the setup's own
/// folder, `/proc`, `/dev/null`, and these files of `/etc`.
fn in_an_empty_root(setup: &mut Setup, etc: &[(&str, &str)]) {
    let folder = setup.folder().path().display().to_string();
    let root = format!("{folder}/root");
    for inside in [folder.as_str(), "/proc", "/dev", "/etc"] {
        fs::create_dir_all(format!("{root}{inside}")).expect("a folder of the root");
    }
    install(built(), format!("{root}/engram-deployer"));
    fs::write(format!("{root}/dev/null"), "").expect("a place for /dev/null");
    for (name, content) in etc {
        fs::write(format!("{root}/etc/{name}"), content).expect("a file of /etc");
    }
    let line = format!(
        "exec unshare --mount --propagation slave sh -c '\n\
         mount --bind {folder} {root}{folder} && mount --bind /dev/null {root}/dev/null && mount -t proc proc {root}/proc &&\n\
         exec chroot {root} /engram-deployer \"$@\"' sh \"$@\""
    );
    let wrapper = setup.executable("in-a-root", &line);
    setup.use_program(&wrapper);
}

/// What `check` says of the issuer's keys at a name: whether the name is known is seen in why they could not be had.
fn looked_up(setup: &mut Setup, name: &str) -> String {
    setup.set("DEPLOYER_JWKS_URL", format!("https://{name}:9/jwks"));
    let output = setup.run(&["check"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    let line = said
        .lines()
        .find(|line| line.contains(&format!("https://{name}:9/")));
    line.unwrap_or_else(|| panic!("nothing of {name} in {said}"))
        .to_owned()
}

#[test]
fn it_is_one_stripped_file_that_needs_no_other() {
    if !long_tests() {
        return;
    }
    let program = built();
    let headers = run(installed("readelf", "binutils").args(["-lWS"]).arg(&program));
    for part in ["INTERP", ".symtab", ".debug_info"] {
        assert!(!headers.contains(part), "{part} in {headers}");
    }
    let needed = run(installed("readelf", "binutils").arg("-d").arg(&program));
    assert!(!needed.contains("NEEDED"), "{needed}");
    let root = Folder::new("empty-root");
    install(&program, root.join("engram-deployer"));
    let said = run(Command::new("chroot")
        .arg(root.path())
        .args(["/engram-deployer", "version"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    assert_eq!(said, concat!("engram-deployer ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn it_serves_in_an_empty_root() {
    if !long_tests() {
        return;
    }
    let mut setup = Setup::new(&Issuer::start());
    in_an_empty_root(&mut setup, &[]);
    let deployer = setup.start();
    let answer = deployer.client().get("/healthz");
    assert_eq!(answer.body().trim(), "ok");
}

#[test]
fn it_looks_names_up_in_files_and_by_dns() {
    if !long_tests() {
        return;
    }
    let mut setup = Setup::new(&Issuer::start());
    let hosts = "127.0.0.1 localhost\n127.0.0.1 in-hosts.engram.test\n";
    let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
    in_an_empty_root(&mut setup, &[("hosts", hosts), ("resolv.conf", resolver)]);
    assert_eq!(setup.run(&["init"]).status.code(), Some(0));
    // A network of this thread's own, and of what it starts: port 53 is free there, and nothing gets out.
    let said = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network of its own");
        run(installed("ip", "iproute2").args(["link", "set", "lo", "up"]));
        let server = UdpSocket::bind("127.0.0.1:53").expect("port 53 of loopback");
        thread::spawn(move || answer_dns(&server));
        [
            "localhost",
            "in-hosts.engram.test",
            "in-dns.engram.test",
            "nowhere.engram.test",
        ]
        .map(|name| looked_up(&mut setup, name))
    })
    .join()
    .expect("four answers");
    for line in &said[..3] {
        assert!(line.to_lowercase().contains("refused"), "{line}");
    }
    assert!(!said[3].to_lowercase().contains("refused"), "{}", said[3]);
}

/// Knows one name, and says of all others that they do not exist.
fn answer_dns(server: &UdpSocket) {
    let mut packet = [0; 512];
    while let Ok((length, from)) = server.recv_from(&mut packet) {
        let query = &packet[..length];
        let known = b"\x06in-dns\x06engram\x04test\x00";
        let question = &query[12..];
        let is_known = question.starts_with(known);
        // The type follows the name; 1 is an address of IPv4.
        let is_v4 = is_known && question[known.len()..].starts_with(&[0, 1]);
        let mut reply = query[..2].to_vec();
        reply.extend([
            0x81,
            if is_known { 0x80 } else { 0x83 },
            0,
            1,
            0,
            u8::from(is_v4),
            0,
            0,
            0,
            0,
        ]);
        let end = question.iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
        reply.extend(&question[..end]);
        if is_v4 {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = server.send_to(&reply, from);
    }
}
