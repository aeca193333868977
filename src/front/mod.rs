//! The unprivileged role: how it becomes that.
//!
//! It is started before its connection arrives: reads the certificate and the key while it is still root, gives everything
//! up, and only then looks at what it has read; what follows is one call into `serve`. It decides nothing about tokens,
//! logs nothing by itself, holds no secret but the TLS key, and writes to nothing but its link and its connection.

mod connection;
mod error;
mod link;
mod relay;
mod serve;
mod tls;

pub use tls::faults as certificate_faults;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::limits::{FRONT_MEMORY, FRONT_OPEN_FILES, FRONT_PROCESSOR_SECONDS, MAX_PEM};
use crate::link::{FromFront, Settings, encode};
use crate::os::privilege::{Confinement, Identity};
use crate::os::{descriptor, files, process};

/// A PEM file, read and not looked at.
struct Pem {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// What was read as root, by a process that is root no more.
struct Prepared {
    certificate: Pem,
    key: Pem,
    /// The public folder, as this process now sees it.
    public: PathBuf,
}

/// The whole life of a front. Its settings are on standard input, the link to its session is descriptor 3. Success means
/// that its connection got an answer, or never came.
///
/// # Errors
/// Those of the link, before a connection came.
pub fn role() -> io::Result<ExitCode> {
    process::be_called("front");
    descriptor::close_inherited(&[descriptor::FIRST])?;
    let settings: Settings = serde_json::from_slice(&descriptor::take_stdin()?)?;
    let mut link = UnixStream::from(descriptor::adopt(descriptor::FIRST)?);
    match prepare(&settings) {
        Ok(prepared) => Ok(serve::serve(link, settings, prepared)),
        Err(message) => {
            link.write_all(&encode(&FromFront::Broken(message))?)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Reads what only root may read, then becomes nobody. An error is a sentence for the operator.
fn prepare(settings: &Settings) -> Result<Prepared, String> {
    let certificate = Pem::read(Path::new(&settings.cert_file), "the certificate")?;
    let key = Pem::read(Path::new(&settings.key_file), "the private key")?;
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
    // Where we are not root nothing can be given up, the root folder neither.
    let public = Path::new(if process::is_root() {
        "/"
    } else {
        &settings.public_dir
    });
    confinement
        .enter()
        .map_err(|error| format!("cannot give up privileges for {}: {error}", root.display()))?;
    Ok(Prepared {
        certificate,
        key,
        public: public.into(),
    })
}

impl Pem {
    fn read(path: &Path, what: &str) -> Result<Self, String> {
        let bytes = files::read_bounded(path, MAX_PEM)
            .map_err(|error| files::describe(&error, &format!("reading {what}"), path))?;
        let path = path.into();
        Ok(Self { path, bytes })
    }
}
