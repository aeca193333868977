//! The caller's socket with TLS on it: bytes in and out, each wait with an end.
//!
//! Reading ends at the request's deadline; writing ends when the caller takes no byte for [`STALLED_CALLER`]. It knows
//! nothing of HTTP. The peer is trusted in nothing; what rustls refuses ends the connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection};

use crate::front::error::{FrontError, Result};
use crate::limits::{LINGER, LINGER_BYTES, MAX_LATE_INPUT, STALLED_CALLER};
use crate::os::poll::{self, For};

/// One caller.
pub struct Connection {
    socket: TcpStream,
    tls: ServerConnection,
    deadline: Instant,
    /// Bytes that came after the request, which nobody asked for. `None` when nothing more is read: the caller said in TLS
    /// that it sends no more, or it sent too much. It may still be reading.
    late: Option<usize>,
}

impl Connection {
    /// Takes the socket over; the request must be complete at `deadline`.
    pub fn adopt(socket: OwnedFd, config: Arc<ServerConfig>, deadline: Instant) -> Result<Connection> {
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        // A line of the stream is a small segment; it must not wait for the acknowledgement of the one before.
        socket.set_nodelay(true)?;
        Ok(Connection {
            socket,
            tls: ServerConnection::new(config)?,
            deadline,
            late: Some(0),
        })
    }

    /// Whether the first byte is that of a TLS handshake (RFC 8446, 5.1). A person who typed `http://` gets a sentence.
    pub fn begins_with_tls(&mut self, link: &impl AsFd) -> Result<bool> {
        let mut first = [0];
        loop {
            match self.socket.peek(&mut first) {
                Ok(0) => return Err(FrontError::Silent),
                Ok(_) => return Ok(first == [0x16]),
                Err(error) if is_passing(&error) => self.wait_for_input(link, For::Reading)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what the caller says into `buffer`; does the handshake first when it has not been done. No bytes mean that the
    /// caller has said its last one.
    pub fn read(&mut self, link: &impl AsFd, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if self.tls.is_handshaking() => return Err(error.into()),
                Err(_) => return Ok(0),
            }
            let writes = self.tls.wants_write();
            self.wait_for_input(link, if writes { For::Both } else { For::Reading })?;
            self.send_some()?;
            self.receive_some()?;
        }
    }

    /// Whether the caller has said more than was read, as far as that is known without waiting.
    pub fn has_more(&mut self) -> bool {
        matches!(self.tls.reader().read(&mut [0]), Ok(1..))
    }

    /// Whether a handshake was completed: then a refusal can be said.
    pub fn is_secure(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Writes `bytes` and sees them off to the kernel.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        let mut rest = bytes;
        while !rest.is_empty() {
            // rustls takes a bounded amount before it must be sent.
            let taken = self.tls.writer().write(rest)?;
            rest = &rest[taken..];
            self.flush()?;
        }
        Ok(())
    }

    /// Says in clear text to one who spoke no TLS; best effort, because it has all been said when it does not fit.
    pub fn write_unencrypted(&mut self, bytes: &[u8]) {
        let _ = self.socket.write(bytes);
    }

    /// What to wait for while the answer is not complete; for [`Connection::still_there`].
    pub fn watch(&self) -> For {
        self.late.map_or(For::HangUp, |_| For::Reading)
    }

    /// Takes what came after the request, and finds out whether the caller still reads.
    ///
    /// A caller that says its end in TLS may have closed one direction alone, and goes on reading. An end without it is a
    /// process that died or a line that was cut: no client sends half of a close that way.
    ///
    /// # Errors
    /// [`FrontError::Gone`] and [`FrontError::Tls`].
    pub fn still_there(&mut self) -> Result {
        let Some(mut late) = self.late.take() else {
            return Err(gone());
        };
        self.receive_some()?;
        let mut buffer = [0; 1024];
        loop {
            match self.tls.reader().read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => late += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.late = Some(late).filter(|late| *late <= MAX_LATE_INPUT);
        Ok(())
    }

    /// Ends the answer so that the caller can tell it from one that was cut, and closes.
    pub fn close(mut self) {
        self.tls.send_close_notify();
        // A caller that has read the whole answer may be gone by now, and has missed nothing.
        let _ = self.flush();
        self.linger();
    }

    /// Closes without a proper end, so that the caller can tell; an alert that rustls has for it goes first.
    pub fn give_up(mut self) {
        let _ = self.send_some();
        self.linger();
    }

    /// Closes our direction and takes what is still under way, a bounded amount for a bounded time. Closing with
    /// unread bytes would make the kernel send a reset, and a reset can destroy an answer that has not been read yet.
    pub fn linger(mut self) {
        let until = Instant::now() + LINGER;
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let (mut buffer, mut left) = ([0; 4096], LINGER_BYTES);
        while left > 0 && Instant::now() < until {
            match self.socket.read(&mut buffer) {
                Ok(length @ 1..) => left = left.saturating_sub(length),
                Err(error) if is_passing(&error) => {
                    let _ = poll::wait([(self.socket.as_fd(), For::Reading)], Some(until));
                }
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Waits until the socket is ready for `what`; at most to the deadline, and only as long as there is a session.
    fn wait_for_input(&self, link: &impl AsFd, what: For) -> Result {
        let sources = [(self.socket.as_fd(), what), (link.as_fd(), For::HangUp)];
        // Asked before the wait too: a peer that always has a byte ready must not outlive it.
        if Instant::now() >= self.deadline {
            return Err(FrontError::TooSlow);
        }
        let [socket, link] = poll::wait(sources, Some(self.deadline))?;
        match (socket.any(), link.hung_up()) {
            (_, true) => Err(FrontError::Link(ErrorKind::UnexpectedEof.into())),
            (true, false) => Ok(()),
            (false, false) => Err(FrontError::TooSlow),
        }
    }

    fn flush(&mut self) -> Result {
        while self.tls.wants_write() {
            if self.send_some()? > 0 {
                continue;
            }
            let until = Instant::now() + STALLED_CALLER;
            let [ready] = poll::wait([(self.socket.as_fd(), For::Writing)], Some(until))?;
            match (ready.writing(), ready.hung_up()) {
                (true, _) => {}
                (false, true) => return Err(gone()),
                (false, false) => return Err(FrontError::Gone(ErrorKind::TimedOut.into())),
            }
        }
        Ok(())
    }

    /// Sends records as far as the kernel takes them now; how many bytes went.
    fn send_some(&mut self) -> Result<usize> {
        let mut sent = 0;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(length) => sent += length,
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// Takes records as far as they are here.
    fn receive_some(&mut self) -> Result {
        match self.tls.read_tls(&mut self.socket) {
            Ok(_) => self.tls.process_new_packets()?,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn gone() -> FrontError {
    FrontError::Gone(ErrorKind::ConnectionReset.into())
}

fn is_passing(error: &io::Error) -> bool {
    [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind())
}
