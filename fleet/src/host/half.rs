//! The start of the network half: what it gives up before it touches the network. Its standard input is the link.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};

use super::link::{self, Decoder, Down, Task, Up};
use super::network;

/// More descriptors than a connection, the link, the metrics and a name look-up need are not to be had.
const DESCRIPTORS: u64 = 64;

fn harden() -> nix::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    nix::sys::prctl::set_dumpable(false)?;
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // Files cannot grow, and so cannot be written.
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS)
}

/// The first frame.
fn settings(link: &mut UnixStream, decoder: &mut Decoder) -> io::Result<Task> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match decoder.next()? {
            Some(Down::Settings(task)) => return Ok(task),
            Some(_) => return Err(io::Error::other("the first frame is not the settings")),
            None => {}
        }
        match link.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => decoder.push(&buffer[..count]),
        }
    }
}

pub fn half() -> io::Result<()> {
    harden()?;
    let mut link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let words = link.try_clone()?;
    std::panic::set_hook(Box::new(move |info| {
        (&words).write_all(&link::encode(&Up::Log(info.to_string()))).ok();
    }));
    let mut decoder = Decoder::default();
    let task = settings(&mut link, &mut decoder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(u32::MAX.into()))
        .build()?;
    // Names are looked up on a thread. Once that one runs no other thread and no process is needed, and none can be started.
    runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await }).map_err(io::Error::other)?;
    setrlimit(Resource::RLIMIT_NPROC, 0, 0)?;
    crate::os::failpoint::hit("half-begins");
    link.set_nonblocking(true)?;
    let mut last_words = link.try_clone()?;
    let local = tokio::task::LocalSet::new();
    let served = local.block_on(&runtime, async move {
        network::serve(tokio::net::UnixStream::from_std(link)?, decoder, task).await
    });
    if let Err(why) = served {
        last_words.set_nonblocking(false)?;
        last_words.write_all(&link::encode(&Up::Fatal(why.to_string())))?;
    }
    Ok(())
}
