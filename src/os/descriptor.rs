//! Descriptors: adopting what was left open for us, passing one over a socket, closing what nobody meant for us.
//!
//! [`adopt`] holds the only `unsafe` of the crate.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

use crate::limits::MAX_SETTINGS;

/// Where a role finds its link, ticket or listener (sd_listen_fds(3) begins at 3 as well).
pub const FIRST: RawFd = 3;

/// Takes ownership of a descriptor that the kernel gave us as a number: one received over a socket, or one
/// that was left open for us. It is made close-on-exec; `Err` when it is not open.
///
/// The caller promises what the type system cannot see: that nothing else in this process owns `raw`. There are two
/// kinds of callers: [`receive`], where the kernel has just made the number, and the roles' first lines, before
/// anything else was opened.
#[allow(unsafe_code)]
pub fn adopt(raw: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: see above; a number below 0 is refused, since OwnedFd must not hold it.
    if raw < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
    match fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Ok(descriptor),
        Err(error) => {
            // Not open: forget the number instead of closing somebody else's future descriptor.
            let _ = std::os::fd::IntoRawFd::into_raw_fd(descriptor);
            Err(error.into())
        }
    }
}

/// Closes everything from descriptor 3 on that is not in `keep`. Launchers leave some open.
///
/// Only for a role's first lines: nothing that is closed here may be owned already.
pub fn close_inherited(keep: &[RawFd]) -> io::Result<()> {
    let mut open: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        open.extend(number.filter(|number| *number >= FIRST && !keep.contains(number)));
    }
    for number in open {
        // That of the listing itself is among them and closed by now.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// `/dev/null`.
pub fn null() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// A file in memory that holds `bytes`, to be read from its start: what a child is to find on a descriptor. Not a pipe, which
/// holds two pages where root has many of them (pipe(7), pipe-user-pages-soft), and would then wait for a reader that does
/// not exist yet.
pub fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"engram", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// All of standard input, at most [`MAX_SETTINGS`] bytes; `/dev/null` takes its place, so that nobody reads it again.
pub fn take_stdin() -> io::Result<Vec<u8>> {
    let (mut bytes, most) = (Vec::new(), MAX_SETTINGS as u64);
    io::stdin().take(most + 1).read_to_end(&mut bytes)?;
    nix::unistd::dup2_stdin(null()?)?;
    match bytes.len() > MAX_SETTINGS {
        true => Err(io::Error::other("too much on standard input")),
        false => Ok(bytes),
    }
}

/// Makes reads and writes on `descriptor` return instead of waiting.
pub fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
    fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// A copy of `descriptor` with a number of at least `lowest`, close-on-exec.
pub fn duplicate_above(descriptor: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    adopt(fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(lowest))?)
}

/// Sends `bytes` and, with the first of them, `passed`. Returns how many bytes went.
pub fn send(socket: impl AsFd, bytes: &[u8], passed: BorrowedFd<'_>) -> io::Result<usize> {
    let numbers = [passed.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&numbers)];
    let parts = [io::IoSlice::new(bytes)];
    Ok(sendmsg::<UnixAddr>(
        socket.as_fd().as_raw_fd(),
        &parts,
        &control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?)
}

/// Receives bytes and at most one descriptor. `0` bytes means that the other end is closed.
///
/// # Errors
/// Those of recvmsg(2); and when more than one descriptor came, which no peer of ours sends (all are closed).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 2]);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<UnixAddr>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            received.extend(numbers.into_iter().map(adopt));
        }
    }
    if received.len() > 1 {
        return Err(io::Error::other("more than one descriptor came over the link"));
    }
    Ok((message.bytes, received.pop().transpose()?))
}
