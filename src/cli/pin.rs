//! `pin`: the certificate's SHA-256, and that of its public key, in the forms that clients take.
//!
//! Reads what the operator's own certificate file holds; checks no signature, no date and no name.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Args, Result, print, settings_source, x509};
use crate::hash::sha256;
use crate::jwt::base64url::{encode_standard, hex};
use crate::limits::MAX_PEM;
use crate::os::files::{describe, read_bounded};

/// Prints the pins of the certificate that is served. Needs that one setting, so that a CI job can be prepared before
/// the rest is known.
pub(super) fn pin(args: &Args) -> Result {
    let found = settings_source::read(args)?;
    let unset = || format!("DEPLOYER_CERT_FILE is not set in {}", found.sources());
    let path = found.settings.get("DEPLOYER_CERT_FILE").ok_or_else(unset)?;
    let pem = read_bounded(path.as_ref(), MAX_PEM);
    let pem = pem.map_err(|error| describe(&error, "read the certificate", path.as_ref()))?;
    let pins = Pins::of_pem(&pem).map_err(|error| format!("{path} {error}"))?;
    print(&pins.to_string())
}

/// Why there are no pins, to be shown behind the file's name.
const NO_CERTIFICATE: &str = "holds no readable PEM certificate";
const NOT_X509: &str = "holds a certificate block that is no X.509 certificate";

/// What a client can pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    certificate: [u8; 32],
    key: [u8; 32],
}

impl Pins {
    /// The pins of the first certificate in `pem`: the server's own, as TLS has it.
    pub fn of_pem(pem: &[u8]) -> Result<Pins, &'static str> {
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| NO_CERTIFICATE)?;
        Pins::of_der(&certificate)
    }

    fn of_der(certificate: &[u8]) -> Result<Pins, &'static str> {
        let key = x509::read(certificate).ok_or(NOT_X509)?.key;
        Ok(Pins {
            certificate: sha256(certificate),
            key: sha256(key),
        })
    }

    /// `AB:CD:...`, as `openssl x509 -fingerprint -sha256` prints it.
    pub fn fingerprint(&self) -> String {
        self.certificate.map(|byte| format!("{byte:02X}")).join(":")
    }

    /// `sha256//...`, as curl takes it for `--pinnedpubkey`. It outlives the certificate when the key is kept.
    pub fn public_key(&self) -> String {
        format!("sha256//{}", encode_standard(&self.key))
    }
}

/// What the command prints.
impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "certificate, SHA-256:  {}", self.fingerprint())?;
        writeln!(f, "the same, plain:       {}", hex(&self.certificate))?;
        writeln!(f, "public key, for curl:  {}", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::base64::Engine;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What `openssl` with `arguments` makes of `input`.
    fn openssl(arguments: &str, input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(arguments.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input)
            .expect("openssl reads");
        let output = child.wait_with_output().expect("openssl ends");
        assert!(output.status.success(), "openssl {arguments}");
        output.stdout
    }

    /// A key of its own and a certificate for it, both in one PEM.
    fn certificate(kind: &str) -> Vec<u8> {
        openssl(
            &format!(
                "req -x509 -newkey {kind} -nodes -keyout /dev/null -out - -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
            ),
            b"",
        )
    }

    #[test]
    fn the_pins_are_those_that_openssl_computes_for_every_kind_of_key() {
        for kind in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ed25519"] {
            let pem = certificate(kind);
            let pins = Pins::of_pem(&pem).expect(kind);
            let printed = String::from_utf8(openssl("x509 -noout -fingerprint -sha256", &pem)).expect("text");
            assert_eq!(
                printed.trim().split_once('=').expect("NAME=HEX").1,
                pins.fingerprint(),
                "{kind}"
            );
            let key = openssl("pkey -pubin -outform der", &openssl("x509 -noout -pubkey", &pem));
            let sum = openssl("dgst -sha256 -binary", &key);
            let expected = ::base64::engine::general_purpose::STANDARD.encode(sum);
            assert_eq!(pins.public_key(), format!("sha256//{expected}"), "{kind}");
            let shown = pins.to_string();
            assert!(
                shown.contains(&pins.fingerprint())
                    && shown.contains(&pins.fingerprint().replace(':', "").to_lowercase())
                    && shown.contains(&pins.public_key()),
                "{shown}"
            );
        }
    }

    #[test]
    fn the_first_certificate_of_a_chain_is_the_one_that_is_pinned() {
        let (own, other) = (certificate("ed25519"), certificate("ed25519"));
        let chain = [&b"# our own first\n"[..], &own, &other].concat();
        assert_eq!(Pins::of_pem(&chain), Pins::of_pem(&own));
        assert_ne!(Pins::of_pem(&own), Pins::of_pem(&other));
    }

    #[test]
    fn what_is_no_certificate_is_refused_wherever_it_breaks() {
        assert_eq!(Pins::of_pem(b""), Err(NO_CERTIFICATE));
        assert_eq!(
            Pins::of_pem(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            Err(NO_CERTIFICATE)
        );
        let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(Pins::of_pem(key), Err(NO_CERTIFICATE));
        let der = openssl("x509 -outform der", &certificate("ed25519"));
        assert!(Pins::of_der(&der).is_ok());
        for cut in 0..der.len() {
            assert_eq!(Pins::of_der(&der[..cut]), Err(NOT_X509), "cut at {cut}");
        }
        assert_eq!(Pins::of_der(&[&der[..], &[0]].concat()), Err(NOT_X509));
        for at in 0..der.len() {
            let mut broken = der.clone();
            broken[at] ^= 0xff;
            let _ = Pins::of_der(&broken);
        }
    }
}
