//! The client and the daemon itself, with a bad line between them: a relay that breaks connections where it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::job::{Ci, count, in_each_shell};
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::{Issuer, REQUEST_TOKEN};

/// How many bytes of an answer come through, before the connection breaks.
type Through = Option<usize>;

/// More than a client says before its request, less than a request with a token in it.
const REQUEST_SENT: usize = 1400;

/// Relays to `port`; where it listens. The last of `plan` holds for all further connections.
fn relay(port: u16, plan: &'static [Through]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for (turn, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let through = *plan.get(turn).or(plan.last()).expect("a plan");
            thread::spawn(move || relay_one(client, port, through));
        }
    });
    own
}

fn relay_one(mut client: TcpStream, port: u16, through: Through) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut client_in, mut server_out) = (client.try_clone()?, server.try_clone()?);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = client_in.read(&mut buffer) {
            counted.fetch_add(n, Ordering::SeqCst);
            if server_out.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        server_out.shutdown(Shutdown::Write)
    });
    let (mut buffer, mut answered) = ([0; 4096], 0);
    while let n @ 1.. = server.read(&mut buffer)? {
        answered += if sent.load(Ordering::SeqCst) > REQUEST_SENT {
            n
        } else {
            0
        };
        if through.is_some_and(|bytes| answered > bytes) {
            break;
        }
        client.write_all(&buffer[..n])?;
    }
    client.shutdown(Shutdown::Both)
}

/// A daemon whose deploy takes a while and has much to say.
fn daemon() -> (Issuer, Deployer) {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.command_script("for step in 1 2 3 4 5 6; do echo \"step $step of it\"; sleep 0.3; done");
    let deployer = setup.start();
    (issuer, deployer)
}

fn job(ci: &Ci, deployer: &Deployer, port: u16) -> Command {
    let mut job = ci.job(port);
    job.env_remove("DEPLOYER_PIN")
        .env("DEPLOYER_CACERT", &deployer.certificate().cert);
    job.env("DEPLOYER_PATIENCE", "60");
    job
}

/// How many runs there were.
fn runs(deployer: &Deployer) -> usize {
    std::fs::read_dir(deployer.runs())
        .expect("the folder of runs")
        .count()
}

#[test]
fn a_line_that_breaks_again_and_again_costs_no_line_of_the_log_and_no_second_run() {
    in_each_shell(|ci| {
        let (issuer, deployer) = daemon();
        let port = relay(deployer.port(), &[Some(900), Some(1500), Some(0), None]);
        let mut job = job(ci, &deployer, port);
        job.env_remove("DEPLOYER_TOKEN")
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", issuer.token_url());
        let done = ci.run(job.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN));
        assert_eq!(done.status, 0);
        for step in 1..=6 {
            assert_eq!(count(&done.out, &format!("step {step} of it")), 1, "step {step}");
        }
        assert!(done.err.contains("the stream was cut"));
        assert_eq!(runs(&deployer), 1);
    });
}

#[test]
fn a_run_whose_answer_was_lost_is_found_at_the_daemon_and_is_the_only_one() {
    in_each_shell(|ci| {
        let (issuer, deployer) = daemon();
        let mut other = job(ci, &deployer, deployer.port());
        other
            .args(["--version", "0.5.60"])
            .env("DEPLOYER_TOKEN", issuer.mint(AUDIENCE));
        assert_eq!(ci.run(&mut other).status, 0);
        let port = relay(deployer.port(), &[Some(0), None]);
        let done = ci.run(job(ci, &deployer, port).env("DEPLOYER_TOKEN", issuer.mint(AUDIENCE)));
        assert_eq!(done.status, 0);
        assert!(done.err.contains("trying again"), "the first answer was lost");
        let status = deployer.status().expect("a finished deploy");
        let ours = status["run_id"].as_str().expect("its id");
        assert!(done.outputs.starts_with(&format!("run_id={ours}\nstatus=ok\n")));
        assert_eq!(runs(&deployer), 2);
    });
}
