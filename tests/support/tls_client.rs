//! A TLS client that says exactly the bytes it is told to, and tells an answer that ended from one that was cut.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With TLS's own end: all of it is here.
    Complete,
    /// By the connection alone.
    Cut,
}

/// One connection.
pub struct TlsClient {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// Connects; the handshake is done with the first bytes. A read that brings nothing for 30 s fails.
    pub fn connect(address: SocketAddr, ca: &Path) -> TlsClient {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(ca).expect("reading the test's certificate");
        roots.add(certificate).expect("trusting the test's certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a host name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a TLS client");
        let socket = TcpStream::connect(address).expect("connecting");
        socket.set_nodelay(true).expect("no delay");
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a read timeout");
        TlsClient {
            stream: StreamOwned::new(tls, socket),
        }
    }

    /// Says these bytes, in a record of their own.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// What has come next, at least one byte; empty at the end.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    }

    /// Everything up to and including `part`; fails when the answer ends before.
    #[track_caller]
    pub fn read_until(&mut self, part: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(part) {
            let more = self
                .read_some()
                .unwrap_or_else(|error| panic!("{error} after {seen:?}"));
            assert!(!more.is_empty(), "the answer ended without {part:?}: {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&more));
        }
        seen
    }

    /// Everything that is left, and how it ended.
    pub fn read_to_end(&mut self) -> (String, End) {
        let mut bytes = Vec::new();
        let end = match self.stream.read_to_end(&mut bytes) {
            Ok(_) => End::Complete,
            Err(_) => End::Cut,
        };
        (String::from_utf8_lossy(&bytes).into_owned(), end)
    }

    /// Says TLS's end and closes this direction of the socket; reading goes on.
    pub fn finish_sending(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("saying the end");
        self.stream
            .sock
            .shutdown(Shutdown::Write)
            .expect("closing one direction");
    }

    /// The socket below, for what goes past TLS.
    pub fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }
}
