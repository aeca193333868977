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
use super::{Prepared, relay, tls};
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
    match live(&mut link, settings, prepared.public, tls) {
        Ok(()) => ExitCode::SUCCESS,
        // No connection came.
        Err(FrontError::Link(error)) if error.kind() == io::ErrorKind::UnexpectedEof => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live(link: &mut Link, settings: Settings, public: PathBuf, tls: Arc<rustls::ServerConfig>) -> Result {
    let Settings {
        endpoints, modules, ..
    } = settings;
    let routes = Routes { endpoints, modules };
    let front = Front { tls, routes, public };
    link.say(&FromFront::Ready)?;
    let (connection, caller) = link.connection()?;
    match front.serve(link, connection, &caller) {
        // A probe of the port, as load balancers make them all day.
        Ok(()) | Err(FrontError::Silent) => {}
        // Nobody is left to tell but the log; when the session went first, not even that.
        Err(error) => drop(link.log(error.to_string())),
    }
    Ok(())
}

impl Front {
    /// One connection, from its first byte to its last.
    fn serve(&self, link: &mut Link, connection: OwnedFd, caller: &Caller) -> Result {
        let deadline = Instant::now() + REQUEST_DEADLINE;
        let mut connection = Connection::adopt(connection, self.tls.clone(), deadline)?;
        if !connection.begins_with_tls(link)? {
            let answer = identified(HttpError::NOT_TLS.into(), caller);
            connection.write_unencrypted(&answer.bytes(""));
            connection.linger();
            return Ok(());
        }
        // A fault before the method is known is answered in full, as to a GET.
        let mut method = String::new();
        match self.answer(link, &mut connection, caller, &mut method) {
            Ok(()) => {}
            Err(FrontError::Refused(refusal)) => {
                // That the session has gone too does not matter to the caller.
                let _ = link.log(FrontError::Refused(refusal).to_string());
                connection.write(&identified(refusal.into(), caller).bytes(&method))?;
            }
            Err(error) => {
                // An alert, or the last lines of a stream that was cut, may still be under way.
                if matches!(error, FrontError::Tls(_) | FrontError::Link(_)) {
                    connection.give_up();
                }
                return Err(error);
            }
        }
        connection.close();
        Ok(())
    }

    /// Reads the request and sees to its answer.
    fn answer(
        &self,
        link: &mut Link,
        connection: &mut Connection,
        caller: &Caller,
        method: &mut String,
    ) -> Result {
        let (head, rest) = read_head(connection, link)?;
        method.clone_from(&head.method);
        let route = self.routes.find(&head.method, &head.path, &head.query)?;
        let body = read_body(connection, link, &head, rest)?;
        let answer = match route {
            Route::Relayed => return relay::relay(link, connection, caller, head, body),
            _ if !caller.open_paths => return Err(HttpError::SOURCE.into()),
            Route::Health => Response::sentence(200, "ok").not_stored(),
            Route::Document(name) => document(&self.public.join(name))?,
        };
        connection.write(&identified(answer, caller).bytes(&head.method))
    }
}

pub fn identified(answer: Response, caller: &Caller) -> Response {
    answer.with("Request-Id", &caller.request_id)
}

/// Reads the head; and returns the bytes that came behind it.
fn read_head(connection: &mut Connection, link: &Link) -> Result<(Head, Vec<u8>)> {
    let mut reader = HeadReader::default();
    loop {
        let input = match read_some(connection, link) {
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
fn read_body(connection: &mut Connection, link: &Link, head: &Head, mut input: Vec<u8>) -> Result<String> {
    if head.expects_continue && head.framing != Framing::Length(0) && input.is_empty() {
        connection.write(CONTINUE)?;
    }
    let mut reader = BodyReader::new(head.framing);
    let (used, body) = loop {
        match reader.feed(&input)? {
            (used, Some(body)) => break (used, body),
            _ => input = read_some(connection, link)?,
        }
    };
    if used < input.len() || connection.has_more() {
        return Err(HttpError::BYTES_BEYOND.into());
    }
    String::from_utf8(body).map_err(|_| HttpError::BODY_NOT_TEXT.into())
}

/// Some bytes of the request. A deadline that passes after the handshake can be said.
fn read_some(connection: &mut Connection, link: &Link) -> Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    match connection.read(link, &mut buffer) {
        Ok(0) => Err(HttpError::ENDS_EARLY.into()),
        Ok(length) => Ok(buffer[..length].to_vec()),
        Err(FrontError::TooSlow) if connection.is_secure() => Err(HttpError::TOO_SLOW.into()),
        Err(error) => Err(error),
    }
}

/// The answer to a GET of the document in the file `path`.
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
