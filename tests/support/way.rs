//! The way to a server, which a test can close, or put somebody in who answers instead.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

/// A port of loopback, and what stands behind it.
pub struct Way {
    port: u16,
    server: String,
    at_work: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// What becomes of a connection.
#[derive(Clone)]
enum Then {
    /// The server gets it.
    Pass(String),
    /// It is answered with this.
    Answer(String),
}

impl Way {
    /// An open way to `server`, an address with a port.
    pub fn to(server: &str) -> Way {
        let mut way = Way {
            port: super::free_port(),
            server: server.to_owned(),
            at_work: None,
        };
        way.open();
        way
    }

    /// Where it begins.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets everything through from now on.
    pub fn open(&mut self) {
        self.begin(Then::Pass(self.server.clone()));
    }

    /// Answers every request with this status and body from now on.
    pub fn answer(&mut self, status: u16, body: &str) {
        let length = body.len();
        self.begin(Then::Answer(format!(
            "HTTP/1.1 {status} as told\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )));
    }

    /// Nobody listens from now on.
    pub fn close(&mut self) {
        if let Some((stop, thread)) = self.at_work.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }

    fn begin(&mut self, then: Then) {
        self.close();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).expect("the port of a way");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not wait");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => serve(client, then.clone()),
                    Err(_) => sleep(Duration::from_millis(5)),
                }
            }
        });
        self.at_work = Some((stop, thread));
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(client: TcpStream, then: Then) {
    let _ = client.set_nonblocking(false);
    match then {
        Then::Pass(server) => {
            let Ok(server) = TcpStream::connect(server) else {
                return;
            };
            if let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) {
                thread::spawn(move || copy(client, server));
                thread::spawn(move || copy(from, to));
            }
        }
        Then::Answer(answer) => {
            thread::spawn(move || reply(client, &answer));
        }
    }
}

/// Answers once the head is there: closing with unread bytes would reset the connection under the answer.
fn reply(mut client: TcpStream, answer: &str) {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        match client.read(&mut piece) {
            Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let _ = client.write_all(answer.as_bytes());
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut part = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut part) {
        if to.write_all(&part[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
