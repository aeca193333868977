//! The front without privileges: one connection, from the setting up of TLS to the last byte of its answer.
//!
//! It trusts the link, and not one byte of the connection.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::error::{FrontError, Result};
use super::link::Link;
use super::{Prepared, relay, request, serve_open, tls};
use crate::http::{HttpError, Response, Route, Routes};
use crate::limits::REQUEST_DEADLINE;
use crate::link::{Caller, FromFront, Settings};

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
        let (head, rest) = request::head(connection, link)?;
        method.clone_from(&head.method);
        let route = self.routes.find(&head.method, &head.path, &head.query)?;
        let body = request::body(connection, link, &head, rest)?;
        let answer = match route {
            Route::Relayed => return relay::relay(link, connection, caller, head, body),
            _ if !caller.open_paths => return Err(HttpError::SOURCE.into()),
            Route::Health => Response::sentence(200, "ok").not_stored(),
            Route::Document(name) => serve_open::document(&self.public.join(name))?,
        };
        connection.write(&identified(answer, caller).bytes(&head.method))
    }
}

pub fn identified(answer: Response, caller: &Caller) -> Response {
    answer.with("Request-Id", &caller.request_id)
}
