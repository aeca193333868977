//! The front without privileges: one connection, from the setting up of TLS to the last byte of its answer.
//!
//! It trusts the link, and not one byte of the connection.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::error::{FrontError, Result};
use super::link::Link;
use super::{Prepared, tls};
use crate::http::{BodyReader, CONTINUE, Framing, Head, HeadReader, HttpError, Response, Route, Routes};
use crate::limits::{MAX_PUBLIC_FILE, REQUEST_DEADLINE};
use crate::link::{Caller, FromFront, Settings};
use crate::os::files::{optional, read_bounded};

/// What is set up before a connection comes.
struct Front {
    tls: Arc<rustls::ServerConfig>,
    routes: Routes,
    /// The public folder, as this process now sees it.
    public: PathBuf,
}

/// Says that it is ready, waits for the connection, and sees to its answer.
pub fn serve(link: UnixStream, settings: Settings, prepared: Prepared) -> ExitCode {
    let mut link = Link::new(link);
    let tls = match tls::configure(&prepared.certificate, &prepared.key) {
        Ok(tls) => tls,
        Err(message) => {
            let _ = link.say(&FromFront::Broken(message));
            return ExitCode::FAILURE;
        }
    };
    let (endpoints, modules) = (settings.endpoints, settings.modules);
    let front = Front {
        tls,
        routes: Routes { endpoints, modules },
        public: prepared.public,
    };
    match front.live(&mut link) {
        Ok(()) => ExitCode::SUCCESS,
        // No connection came.
        Err(FrontError::Link(error)) if error.kind() == io::ErrorKind::UnexpectedEof => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

impl Front {
    fn live(&self, link: &mut Link) -> Result {
        link.say(&FromFront::Ready)?;
        let (connection, caller) = link.connection()?;
        match self.serve(link, connection, caller) {
            // A probe of the port, as load balancers make them all day.
            Ok(()) | Err(FrontError::Silent) => {}
            // Nobody is left to tell but the log; when the session went first, not even that.
            Err(error) => drop(link.log(error.to_string())),
        }
        Ok(())
    }

    /// One connection, from its first byte to its last.
    fn serve(&self, link: &mut Link, connection: OwnedFd, caller: Caller) -> Result {
        let deadline = Instant::now() + REQUEST_DEADLINE;
        let mut visit = Visit {
            link,
            connection: Connection::adopt(connection, self.tls.clone(), deadline)?,
            caller,
            method: String::new(),
        };
        if !visit.connection.begins_with_tls(visit.link)? {
            let answer = visit.bytes(HttpError::NOT_TLS.into());
            visit.connection.write_unencrypted(&answer);
            visit.connection.linger();
            return Ok(());
        }
        match visit.answer(self) {
            Ok(()) => {}
            Err(FrontError::Refused(refusal)) => {
                // That the session has gone too does not matter to the caller.
                let _ = visit.link.log(FrontError::Refused(refusal).to_string());
                visit.say(refusal.into())?;
            }
            Err(error) => {
                // An alert, or the last lines of a stream that was cut, may still be under way.
                if matches!(error, FrontError::Tls(_) | FrontError::Link(_)) {
                    visit.connection.give_up();
                }
                return Err(error);
            }
        }
        visit.connection.close();
        Ok(())
    }
}

/// A connection that is being served.
pub struct Visit<'a> {
    pub link: &'a mut Link,
    pub connection: Connection,
    caller: Caller,
    /// Empty until it is known: a fault before that is answered in full, as to a GET.
    method: String,
}

impl Visit<'_> {
    /// Sends an answer, or the head of one whose lines are still to come.
    pub fn say(&mut self, answer: Response) -> Result {
        let bytes = self.bytes(answer);
        self.connection.write(&bytes)
    }

    fn bytes(&self, answer: Response) -> Vec<u8> {
        answer
            .with("Request-Id", &self.caller.request_id)
            .bytes(&self.method)
    }

    /// Reads the request and sees to its answer.
    fn answer(&mut self, front: &Front) -> Result {
        let (head, rest) = self.read_head()?;
        self.method.clone_from(&head.method);
        let route = front.routes.find(&head.method, &head.path, &head.query)?;
        let body = self.read_body(&head, rest)?;
        match route {
            Route::Relayed => self.relay(head, body),
            _ if !self.caller.open_paths => Err(HttpError::SOURCE.into()),
            Route::Health => self.say(Response::sentence(200, "ok").not_stored()),
            Route::Document(name) => self.say(document(&front.public.join(name))?),
        }
    }

    /// Reads the head; and returns the bytes that came behind it.
    fn read_head(&mut self) -> Result<(Head, Vec<u8>)> {
        let mut reader = HeadReader::default();
        loop {
            let input = match self.read() {
                Err(FrontError::Refused(HttpError::ENDS_EARLY)) if reader.is_untouched() => {
                    return Err(FrontError::Silent);
                }
                input => input?,
            };
            if let (used, Some(head)) = reader.feed(&input)? {
                return Ok((head, input[used..].to_vec()));
            }
        }
    }

    /// Reads the body, of which `input` came with the head. Nothing may follow it.
    fn read_body(&mut self, head: &Head, mut input: Vec<u8>) -> Result<String> {
        if head.expects_continue && head.framing != Framing::Length(0) && input.is_empty() {
            self.connection.write(CONTINUE)?;
        }
        let mut reader = BodyReader::new(head.framing);
        let (used, body) = loop {
            match reader.feed(&input)? {
                (used, Some(body)) => break (used, body),
                _ => input = self.read()?,
            }
        };
        if used < input.len() || self.connection.has_more() {
            return Err(HttpError::BYTES_BEYOND.into());
        }
        String::from_utf8(body).map_err(|_| HttpError::BODY_NOT_TEXT.into())
    }

    /// Some bytes of the request. A deadline that passes after the handshake can be said.
    fn read(&mut self) -> Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        match self.connection.read(self.link, &mut buffer) {
            Ok(0) => Err(HttpError::ENDS_EARLY.into()),
            Ok(length) => Ok(buffer[..length].to_vec()),
            Err(FrontError::TooSlow) if self.connection.is_secure() => Err(HttpError::TOO_SLOW.into()),
            Err(error) => Err(error),
        }
    }
}

/// The answer to a GET of the document in the file `path`, whose name is never of what a peer sent.
///
/// # Errors
/// [`HttpError::UNREADABLE`] when it is there and cannot be read.
fn document(path: &Path) -> Result<Response, HttpError> {
    match optional(read_bounded(path, MAX_PUBLIC_FILE)) {
        Ok(Some(document)) => Ok(Response::json(document)),
        Ok(None) => Ok(Response::no_content()),
        Err(_) => Err(HttpError::UNREADABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("front-open-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_document_is_sent_as_it_lies_there() {
        let folder = folder("document");
        std::fs::write(folder.join("deploy.json"), "{\"status\":\"ok\"}\n").unwrap();
        let answer = document(&folder.join("deploy.json")).unwrap();
        let text = String::from_utf8(answer.bytes("GET")).unwrap();
        assert!(
            text.ends_with("\r\n\r\n{\"status\":\"ok\"}\n") && text.contains("application/json"),
            "{text}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_document_that_is_not_there_yet_is_the_204() {
        let folder = folder("missing");
        assert_eq!(document(&folder.join("deploy.json")).unwrap().status, 204);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_document_that_cannot_be_read_is_not_taken_for_a_missing_one() {
        let folder = folder("folder");
        std::fs::create_dir_all(folder.join("deploy.json")).unwrap();
        assert_eq!(document(&folder.join("deploy.json")), Err(HttpError::UNREADABLE));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
