//! [slow_docker] Dockerd behind a socket that delays calls beyond every bound of ours, and cuts some off after dockerd has
//! heard them: no run gives up what dockerd still does, and nothing is lost.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::support::docker::inspect;
use crate::support::folder::Folder;
use crate::support::host::Host;

/// What has been cut off so far, by the last part of a call's path.
static CUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Longer than a call usually may take here (30 s).
const SLOW: Duration = Duration::from_secs(33);

/// Serves one client: `start` is slow; the first `stop` and the first `rename` of each container are cut off.
fn serve(mut client: UnixStream) {
    let Ok(mut docker) = UnixStream::connect("/var/run/docker.sock") else {
        return;
    };
    let (mut answers, mut to_client) = (
        docker.try_clone().expect("a socket"),
        client.try_clone().expect("a socket"),
    );
    thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    let mut bytes = [0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
        let path = head
            .strip_prefix("POST ")
            .and_then(|rest| rest.split([' ', '?']).next());
        let call = path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        if call == "start" {
            thread::sleep(SLOW);
        }
        let cut = matches!(call, "stop" | "rename") && {
            let key = path.unwrap_or_default().to_owned();
            let mut known = CUT.lock().expect("a list");
            let first = !known.contains(&key);
            known.push(key);
            first
        };
        if cut {
            let _ = client.shutdown(std::net::Shutdown::Write);
        }
        if docker.write_all(&bytes[..count]).is_err() {
            return;
        }
        if cut {
            thread::sleep(Duration::from_millis(300));
            let _ = client.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn proxy(path: &Path) {
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || serve(client));
        }
    });
}

#[test]
fn what_dockerd_takes_long_for_is_waited_for_and_what_it_cut_off_is_asked_again() {
    let folder = Folder::new("slow-docker");
    let socket = folder.join("docker.sock");
    crate::support::docker::ensure_running();
    proxy(&socket);
    let host = Host::docker_with(|setup| {
        setup.set("DOCKER_HOST", format!("unix://{}", socket.display()));
    });
    let answer = host.deploy("2.0.0");
    answer.assert_ok();
    assert!(answer.body().contains("; asking again"), "{}", answer.body());
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
    assert_eq!(host.containers.names(), [host.name.as_str()]);

    let before = inspect(&host.name).expect("a container")["Id"].clone();
    host.push("2.0.1", "exit=1");
    let error = host.deploy("2.0.1").assert_failed();
    assert!(error.ends_with("what was changed is back as it was"), "{error}");
    assert_eq!(inspect(&host.name).expect("a container")["Id"], before);
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
    assert_eq!(host.containers.names(), [host.name.as_str()]);
}
