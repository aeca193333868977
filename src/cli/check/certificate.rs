//! Certificate and key: whether front could serve with them, for how long, and who else can read the key.

use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Report;
use crate::cli::settings_source::UNIT_CREDENTIALS;
use crate::cli::x509::{self, Certificate};
use crate::config::Config;
use crate::front;
use crate::limits::{CERTIFICATE_NOTICE, MAX_PEM};
use crate::os::{clock, files, secret};

const WHAT: &str = "certificate";

/// Looks at both files.
pub fn check(config: &Config, report: &mut Report) {
    let (cert, key) = (&config.cert_file, &config.key_file);
    // systemd makes a credential available when it starts the daemon, which it has not done yet.
    let is_absent = |path: &&Path| path.starts_with(UNIT_CREDENTIALS) && !path.exists();
    let absent: Vec<&Path> = [cert.as_path(), key].into_iter().filter(is_absent).collect();
    for path in &absent {
        let advice = "is there while the service runs; check then";
        report.warning(WHAT, format!("{} {advice}", path.display()));
    }
    if absent.is_empty() {
        let errors = front::certificate_faults(cert, key);
        let (cert, shown) = (cert.display(), key.display());
        match errors.is_empty() {
            true => report.ok(WHAT, format!("{cert} and its key {shown} fit together")),
            false => report.errors(WHAT, errors),
        }
        let private = format!("only its owner and group can read {shown}");
        report.result("key", secret::known_to_all(key).map_or(Ok(private), Err));
    }
    validity(cert, report);
}

/// A file that cannot be read was reported already.
fn validity(path: &Path, report: &mut Report) {
    let pem = files::read_bounded(path, MAX_PEM).ok();
    let der = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
    let Some(Certificate { from, until, .. }) = der.as_deref().and_then(x509::read) else {
        return;
    };
    // `2026-01-02` of `20260102T030405Z`.
    let date = |time: &str| format!("{}-{}-{}", &time[..4], &time[4..6], &time[6..8]);
    let (first, last, now) = (date(&from), date(&until), SystemTime::now());
    let is_soon = clock::compact(now + CERTIFICATE_NOTICE) > until;
    let now = clock::compact(now);
    if now > until {
        report.error(WHAT, format!("expired on {last}: renew it"));
    } else if now < from {
        report.error(WHAT, format!("not valid before {first}: is the clock right?"));
    } else if is_soon {
        report.warning(WHAT, format!("valid until {last} only: renew it"));
    } else {
        report.ok(WHAT, format!("valid until {last}"));
    }
}
