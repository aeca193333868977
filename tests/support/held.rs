//! A way to a registry that lets what a pull begins with through, and holds back the content until it is told.

use super::docker::try_docker;
use super::web;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// The way. Its threads end with the process.
pub struct Held {
    image: String,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Held {
    /// A way to the registry that `image` names.
    pub fn before(image: &str) -> Held {
        let (registry, repository) = image.split_once('/').expect("an image with a registry");
        let (listener, url) = web::listen(0);
        let gate = Arc::new(Gate::default());
        serve(listener, registry.to_owned(), Arc::clone(&gate));
        let image = format!("{}/{repository}", url.trim_start_matches("http://"));
        Held { image, gate }
    }

    /// The same image by this way.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Lets everything through from now on.
    pub fn release(&self) {
        *self.gate.open.lock().expect("a gate") = true;
        self.gate.opened.notify_all();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
        for tag in ["2.0.0", "latest"] {
            try_docker(&["image", "rm", "-f", &format!("{}:{tag}", self.image)]);
        }
    }
}

impl Gate {
    fn wait(&self) {
        let open = self.open.lock().expect("a gate");
        drop(self.opened.wait_while(open, |open| !*open).expect("a gate"));
    }
}

fn serve(listener: TcpListener, registry: String, gate: Arc<Gate>) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&registry) else {
                break;
            };
            let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) else {
                break;
            };
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                copy(client, server, |part| {
                    if part.windows(7).any(|window| window == b"/blobs/") {
                        gate.wait();
                    }
                });
            });
            thread::spawn(move || copy(from, to, |_| ()));
        }
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, before: impl Fn(&[u8])) {
    let mut part = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut part) {
        before(&part[..read]);
        if to.write_all(&part[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
