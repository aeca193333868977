//! The unprivileged role: TLS, one HTTP request, public files.
//!
//! It is started before its connection arrives: reads the certificate and the key while it is still root, gives everything
//! up, says so, and waits. Then it answers one request: itself from the public folder, or with what the session says over the
//! link. It decides nothing about tokens, logs nothing by itself, holds no secret but the TLS key, and writes to nothing but
//! its link and its connection. It trusts the link, and not one byte of the connection.

mod connection;
mod error;
mod link;
mod relay;
mod request;
mod serve_open;
mod tls;

pub use tls::faults as certificate_faults;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use crate::front::connection::Connection;
use crate::front::error::FrontError;
use crate::front::link::{Arrival, Link};
use crate::http::{HttpError, Method, Response, Route, Routes};
use crate::limits::{FRONT_MEMORY, FRONT_OPEN_FILES, FRONT_PROCESSOR_SECONDS, REQUEST_DEADLINE};
use crate::link::{FromFront, Settings};
use crate::os::privilege::{Confined, Confinement, Identity};

/// What is set up before a connection comes.
struct Front {
    tls: Arc<rustls::ServerConfig>,
    routes: Routes,
    /// The public folder, as this process now sees it.
    public: PathBuf,
}

/// The whole life of a front on its `link`. Success means that its connection got an answer, or never came.
pub fn main(link: OwnedFd) -> ExitCode {
    match live(Link::new(link)) {
        Ok(()) | Err(FrontError::SessionEnded) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live(mut link: Link) -> Result<(), FrontError> {
    let settings = link.settings()?;
    let (front, confined) = match prepare(settings) {
        Ok(prepared) => prepared,
        Err(message) => {
            link.say(&FromFront::Broken {
                message: message.clone(),
            })?;
            return Err(FrontError::Link(message));
        }
    };
    link.say(&FromFront::Ready {
        confined: confined == Confined::Yes,
    })?;
    let arrival = link.connection()?;
    match front.serve(&mut link, arrival) {
        // A probe of the port, as load balancers make them all day.
        Ok(()) | Err(FrontError::Silent) => Ok(()),
        // Nobody is left to tell but the log; when the session went first, not even that.
        Err(lost) => link.log(&lost.to_string()),
    }
}

/// Reads what only root may read, then becomes nobody. An error is a sentence for the operator.
fn prepare(settings: Settings) -> Result<(Front, Confined), String> {
    let tls = tls::configure(Path::new(&settings.cert_file), Path::new(&settings.key_file))?;
    let root = Path::new(&settings.public_dir);
    let confinement = Confinement {
        root: Some(root),
        identity: Identity {
            uid: settings.uid,
            gid: settings.gid,
        },
        descriptors: FRONT_OPEN_FILES,
        address_space: FRONT_MEMORY,
        processor_seconds: FRONT_PROCESSOR_SECONDS,
    };
    let confined = confinement
        .enter()
        .map_err(|error| format!("cannot give up privileges for {}: {error}", root.display()))?;
    let public = match confined {
        Confined::Yes => PathBuf::from("/"),
        Confined::NotRoot => root.to_path_buf(),
    };
    Ok((
        Front {
            tls,
            routes: Routes::new(settings.endpoints, settings.modules),
            public,
        },
        confined,
    ))
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
            let answer = caller.refusal(HttpError::NotTls);
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
            Route::Open(_) if caller.open_paths == OpenPaths::Denied => Err(HttpError::Source.into()),
            Route::Open(path) => {
                let answer = caller.identify(serve_open::answer(path, &self.public)?);
                connection.write(&answer.bytes(head.method))
            }
            Route::Relayed => relay::relay(link, connection, caller, head, body),
        }
    }
}

/// Whether a source may GET the open paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenPaths {
    Allowed,
    Denied,
}

/// What the session said about the connection.
struct Caller<'a> {
    request_id: &'a str,
    open_paths: OpenPaths,
}

impl Caller<'_> {
    fn identify(&self, answer: Response) -> Response {
        answer.with("Request-Id", self.request_id)
    }

    fn refusal(&self, refusal: HttpError) -> Response {
        self.identify(refusal.into())
    }
}
