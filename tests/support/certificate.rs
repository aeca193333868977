//! A certificate for localhost, made by openssl.

use super::folder::Folder;
use super::process::{installed, run};
use std::path::PathBuf;

/// A key on P-256 and its self-signed certificate, as files.
pub struct Certificate {
    /// The certificate, PEM; also what a client trusts.
    pub cert: PathBuf,
    /// The private key, PEM, mode 0600.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes them in `folder` for `localhost`, `127.0.0.1` and `::1`, under this name: `NAME.pem`, `NAME.key`.
    pub fn create(folder: &Folder, name: &str) -> Certificate {
        let made = Certificate {
            cert: folder.join(&format!("{name}.pem")),
            key: folder.join(&format!("{name}.key")),
        };
        run(installed("openssl", "openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&made.cert)
            .arg("-keyout")
            .arg(&made.key));
        made
    }
}
