//! Certificate and key -> what rustls serves with; looks at no byte of a peer's.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use crate::front::Pem;

/// TLS 1.2 and 1.3 with this certificate chain and key; PEM, the key as PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// A sentence for the operator that names the file.
pub fn configure(certificate: &Pem, key_file: &Pem) -> Result<Arc<ServerConfig>, String> {
    let chain = chain(certificate)?;
    let key = key(key_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            let (cert, key) = (certificate.path.display(), key_file.path.display());
            format!("cannot serve with the certificate {cert} and the key {key}: {error}")
        })?;
    // Who offers none of these is refused in the handshake; who offers nothing is served. `curl --http1.0` says the second.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    // This process serves one connection: there is nobody to resume, and nothing that could be stolen with a ticket.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Everything that would keep a front from serving with these files, a sentence each; none when it would do.
pub fn faults(cert_file: &Path, key_file: &Path) -> Vec<String> {
    let certificate = Pem::read(cert_file, "the certificate").and_then(|file| chain(&file).and(Ok(file)));
    let key = Pem::read(key_file, "the private key").and_then(|file| key(&file).and(Ok(file)));
    match (certificate, key) {
        (Ok(certificate), Ok(key)) => configure(&certificate, &key).err().into_iter().collect(),
        (certificate, key) => certificate.err().into_iter().chain(key.err()).collect(),
    }
}

fn chain(file: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = file.path.display();
    match CertificateDer::pem_slice_iter(&file.bytes).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!(
            "no certificate in {path}: it must hold the chain in PEM, the host's own first"
        )),
        Err(error) => Err(format!("reading the certificate as PEM {path}: {error}")),
    }
}

fn key(file: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    let path = file.path.display();
    PrivateKeyDer::from_pem_slice(&file.bytes).map_err(|error| match error {
        Error::NoItemsFound => format!("no private key in {path}: it must hold one in PEM, not encrypted"),
        error => format!("reading the private key as PEM {path}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_PEM;
    use std::path::PathBuf;
    use std::process::Command;

    /// A folder of its own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let folder = std::env::temp_dir().join(format!("front-tls-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Scratch(folder)
        }

        fn file(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            path
        }

        /// Runs openssl in the folder.
        fn openssl(&self, arguments: &str) {
            let done = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(&self.0)
                .output()
                .unwrap();
            assert!(
                done.status.success(),
                "{arguments}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn configure(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
        super::configure(
            &Pem::read(cert, "the certificate")?,
            &Pem::read(key, "the private key")?,
        )
    }

    fn complaint(cert: &Path, key: &Path) -> String {
        let complaint = configure(cert, key).unwrap_err();
        assert!(faults(cert, key).contains(&complaint));
        complaint
    }

    #[test]
    fn keys_are_taken_as_openssl_writes_them_in_all_three_forms() {
        let scratch = Scratch::new("forms");
        scratch.openssl("req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout rsa.pem -out rsa.crt");
        scratch.openssl("rsa -in rsa.pem -traditional -out pkcs1.pem");
        scratch.openssl("ecparam -name prime256v1 -genkey -noout -out sec1.pem");
        scratch.openssl("req -x509 -new -key sec1.pem -subj /CN=x -out ec.crt");
        for (cert, key, form) in [
            ("rsa.crt", "rsa.pem", "BEGIN PRIVATE KEY"),
            ("rsa.crt", "pkcs1.pem", "BEGIN RSA PRIVATE KEY"),
            ("ec.crt", "sec1.pem", "BEGIN EC PRIVATE KEY"),
        ] {
            assert!(
                std::fs::read_to_string(scratch.path(key)).unwrap().contains(form),
                "{key}"
            );
            configure(&scratch.path(cert), &scratch.path(key)).unwrap();
        }
        let message = complaint(&scratch.path("ec.crt"), &scratch.path("rsa.pem"));
        assert!(
            message.contains("ec.crt") && message.contains("rsa.pem"),
            "{message}"
        );
    }

    #[test]
    fn a_complaint_names_the_file_and_what_is_wrong_with_it() {
        let scratch = Scratch::new("complaints");
        scratch.openssl("req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout k.pem -out c.pem");
        let (cert, key) = (scratch.path("c.pem"), scratch.path("k.pem"));
        let empty = scratch.file("empty.pem", "");
        let torn = scratch.file(
            "torn.pem",
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        );
        let missing = scratch.path("missing.pem");
        for (cert, key, words) in [
            (&empty, &key, "no certificate in"),
            (&key, &key, "no certificate in"),
            (&cert, &empty, "no private key in"),
            (&cert, &cert, "no private key in"),
            (&missing, &key, "missing.pem"),
            (&cert, &missing, "missing.pem"),
            (&torn, &key, "torn.pem"),
        ] {
            let message = complaint(cert, key);
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_pem_is_not_read_to_its_end() {
        let scratch = Scratch::new("large");
        let large = scratch.file("large.pem", &"x".repeat(MAX_PEM as usize + 1));
        assert!(complaint(&large, &large).contains("large.pem"));
    }
}
