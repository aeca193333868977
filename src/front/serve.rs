//! The front without privileges: one connection, from the setting up of TLS to the last byte of its answer.
//!
//! It trusts the link, and not one byte of the connection.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::error::FrontError;
use super::link::{Arrival, Link};
use super::{Prepared, relay, request, serve_open, tls};
use crate::http::{HttpError, Method, Response, Route, Routes};
use crate::limits::REQUEST_DEADLINE;
use crate::link::{FromFront, Settings};

/// What is set up before a connection comes.
struct Front {
    tls: Arc<rustls::ServerConfig>,
    routes: Routes,
    /// The public folder, as this process now sees it.
    public: PathBuf,
}

/// Says that it is ready, waits for the connection, and sees to its answer.
pub fn serve(link: UnixStream, settings: Settings, prepared: Prepared) -> ExitCode {
    match live(Link::new(link), settings, prepared) {
        Ok(()) | Err(FrontError::SessionEnded) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live(mut link: Link, settings: Settings, prepared: Prepared) -> Result<(), FrontError> {
    let tls = match tls::configure(&prepared.certificate, &prepared.key) {
        Ok(tls) => tls,
        Err(message) => {
            link.say(&FromFront::Broken {
                message: message.clone(),
            })?;
            return Err(FrontError::Link(message));
        }
    };
    let front = Front {
        tls,
        routes: Routes::new(settings.endpoints, settings.modules),
        public: prepared.public,
    };
    link.say(&FromFront::Ready {
        confined: prepared.confined,
    })?;
    let arrival = link.connection()?;
    match front.serve(&mut link, arrival) {
        // A probe of the port, as load balancers make them all day.
        Ok(()) | Err(FrontError::Silent) => Ok(()),
        // Nobody is left to tell but the log; when the session went first, not even that.
        Err(error) => link.log(&error.to_string()),
    }
}

impl Front {
    /// One connection, from its first byte to its last.
    fn serve(&self, link: &mut Link, arrival: Arrival) -> Result<(), FrontError> {
        let deadline = Instant::now() + REQUEST_DEADLINE;
        let mut connection = Connection::adopt(arrival.connection, self.tls.clone(), deadline)?;
        let caller = Caller {
            request_id: &arrival.request_id,
            open_paths: arrival.open_paths,
        };
        if !connection.begins_with_tls(link)? {
            let answer = caller.refusal(HttpError::NOT_TLS);
            connection.write_unencrypted(&answer.bytes(Method::Other));
            connection.linger();
            return Ok(());
        }
        // A fault before the method is known is answered in full, as to a GET.
        let mut method = Method::Other;
        match self.answer(link, &mut connection, &caller, &mut method) {
            Ok(()) => {}
            Err(FrontError::Refused(refusal)) => {
                // That the session has gone too does not matter to the caller.
                let _ = link.log(&FrontError::Refused(refusal).to_string());
                connection.write(&caller.refusal(refusal).bytes(method))?;
            }
            Err(error) => {
                // An alert, or the last lines of a stream that was cut, may still be under way.
                if matches!(
                    error,
                    FrontError::Tls(_) | FrontError::SessionEnded | FrontError::Link(_)
                ) {
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
        caller: &Caller<'_>,
        method: &mut Method,
    ) -> Result<(), FrontError> {
        let (head, rest) = request::head(connection, link)?;
        *method = head.method;
        let route = self.routes.find(head.method, &head.path, &head.query)?;
        let body = request::body(connection, link, &head, rest)?;
        match route {
            Route::Open(_) if !caller.open_paths => Err(HttpError::SOURCE.into()),
            Route::Open(path) => {
                let answer = caller.identify(serve_open::answer(path, &self.public)?);
                connection.write(&answer.bytes(head.method))
            }
            Route::Relayed => relay::relay(link, connection, caller, head, body),
        }
    }
}

/// What the session said about the connection.
pub struct Caller<'a> {
    pub request_id: &'a str,
    /// Whether it may GET the open paths.
    open_paths: bool,
}

impl Caller<'_> {
    pub fn identify(&self, answer: Response) -> Response {
        answer.with("Request-Id", self.request_id)
    }

    fn refusal(&self, refusal: HttpError) -> Response {
        self.identify(refusal.into())
    }
}
