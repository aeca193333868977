//! PEM (RFC 7468): certificates and private keys out of the bytes of a file.
//!
//! The only file that uses rustls-pemfile. It knows no file and no purpose: whether a key is one that can be used for
//! something is for whoever asked. What stands between the sections is ignored, and so is every other kind of section.

use std::io;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates, in their order; there may be none.
///
/// # Errors
/// A section that is no base64, or has no end.
pub fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    rustls_pemfile::certs(&mut &*pem).collect()
}

/// The first private key that is not encrypted: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// A section that is no base64, or has no end.
pub fn private_key(pem: &[u8]) -> io::Result<Option<PrivateKeyDer<'static>>> {
    rustls_pemfile::private_key(&mut &*pem)
}

/// Whether there is a key that opens with a password alone: RFC 5958's own section, or the header of RFC 1421.
pub fn is_encrypted(pem: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
        b"Proc-Type: 4,ENCRYPTED",
    ];
    marks
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|part| part == *mark))
}
