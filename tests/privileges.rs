//! [privileges] What the roles that touch the network are, as the kernel sees them while they are at work.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::roles::{Role, roles_below};
use crate::support::wait_until;

fn wait_for_roles(deployer: &Deployer, role: &str, count: usize) -> Vec<Role> {
    let mut found = Vec::new();
    wait_until(
        &format!("{count} processes of the role {role}"),
        Duration::from_secs(10),
        || {
            found = roles_below(deployer.pid(), role);
            // Confined is the last thing that a role becomes before its work.
            found.len() == count && found.iter().all(|role| role.field("NoNewPrivs") == "1")
        },
    );
    found
}

fn assert_without_privileges(role: &Role, id: &str) {
    let four = [id; 4].join("\t");
    assert_eq!(
        (role.field("Uid"), role.field("Gid")),
        (four.as_str(), four.as_str())
    );
    assert_eq!(role.field("Groups"), "");
    assert_eq!(role.field("NoNewPrivs"), "1");
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(role.field(set), "0000000000000000", "{set}");
    }
    assert_eq!(role.limit("Max processes"), "0");
    assert_eq!(role.limit("Max file size"), "0");
    assert_eq!(role.limit("Max core file size"), "0");
    assert_eq!(role.field("Threads"), "1");
    // Not dumpable: its files in /proc are root's, so another process of its uid cannot look in or attach.
    assert_eq!(fs::metadata(role.place("environ")).unwrap().uid(), 0);
    assert_eq!(fs::read(role.place("environ")).unwrap(), b"");
}

#[test]
fn a_live_front_holds_nothing_but_its_link_and_its_connection() {
    let deployer = Setup::new(&Issuer::start()).start();
    let _half_open = TcpStream::connect(("127.0.0.1", deployer.port())).unwrap();
    // One has the connection, one is warm.
    let fronts = wait_for_roles(&deployer, "front", 2);
    wait_until("a front with the connection", Duration::from_secs(10), || {
        fronts.iter().any(|front| front.descriptors().len() == 5)
    });
    for front in &fronts {
        assert_without_privileges(front, "65521");
        assert_eq!(fs::read_link(front.place("root")).unwrap(), deployer.public());
        assert_eq!(fs::read_link(front.place("cwd")).unwrap(), deployer.public());
        assert_eq!(front.limit("Max open files"), "16");
        for (number, target) in front.descriptors() {
            match number {
                0..=2 => assert_eq!(target, "/dev/null"),
                _ => assert!(target.starts_with("socket:"), "{number}: {target}"),
            }
        }
        assert!(front.descriptors().len() <= 5, "{:?}", front.descriptors());
    }
}

#[test]
fn a_live_fetch_holds_nothing_but_its_pipe_and_its_connection() {
    let issuer = Issuer::start();
    issuer.hang(1);
    let deployer = Setup::new(&issuer).start();
    let _call = deployer
        .client()
        .start_post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.2.3"}"#);
    let fetches = wait_for_roles(&deployer, "fetch", 1);
    let fetch = &fetches[0];
    wait_until("its connection", Duration::from_secs(10), || {
        fetch.descriptors().len() == 4
    });
    assert_without_privileges(fetch, "65522");
    let descriptors: Vec<String> = fetch.descriptors().into_values().collect();
    let kinds: Vec<&str> = descriptors
        .iter()
        .map(|target| target.split(':').next().unwrap())
        .collect();
    // Its answer and its complaints go into one pipe.
    assert_eq!(kinds, ["/dev/null", "pipe", "pipe", "socket"]);
    assert_eq!(descriptors[1], descriptors[2]);
}

#[test]
fn sessions_and_fronts_end_with_serve_unless_they_have_a_connection() {
    let mut deployer = Setup::new(&Issuer::start()).start();
    wait_for_roles(&deployer, "front", 1);
    let sessions = roles_below(deployer.pid(), "session");
    assert_eq!(sessions.len(), 1);
    deployer.kill();
    wait_until("the warm session ends by itself", Duration::from_secs(5), || {
        fs::read(sessions[0].place("cmdline")).map_or(true, |line| line.is_empty())
    });
    // And so nobody keeps the port.
    deployer.start_again();
    assert_eq!(deployer.client().get("/healthz").status, 200);
}
