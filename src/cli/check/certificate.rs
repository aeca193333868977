//! Certificate and key: whether front could serve with them, for how long, and who else can read the key.

use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::cli::check::report::Report;
use crate::cli::settings_source::UNIT_CREDENTIALS;
use crate::cli::x509;
use crate::config::Config;
use crate::front;
use crate::limits::{CERTIFICATE_NOTICE, MAX_PEM};
use crate::os::{clock, files, secret};

const WHAT: &str = "certificate";

/// Looks at both files.
pub fn check(config: &Config, now: SystemTime, report: &mut Report) {
    let (cert, key) = (&config.cert_file, &config.key_file);
    let mut is_whole = true;
    for path in [cert, key] {
        // systemd makes a credential available when it starts the daemon, which it has not done yet.
        if path.starts_with(UNIT_CREDENTIALS) && !path.exists() {
            let path = path.display();
            report.warning(
                WHAT,
                format!("{path} is there while the service runs: check again then"),
            );
            is_whole = false;
        }
    }
    if is_whole {
        let errors = front::certificate_faults(cert, key);
        errors.iter().for_each(|error| report.error(WHAT, error));
        if errors.is_empty() {
            let (cert, key) = (cert.display(), key.display());
            report.ok(WHAT, format!("{cert} and its key {key} fit together"));
        }
        let private = format!("only its owner and group can read {}", key.display());
        report.result("key", secret::known_to_all(key).map_or(Ok(private), Err));
    }
    validity(cert, now, report);
}

/// A file that cannot be read was reported already.
fn validity(path: &Path, now: SystemTime, report: &mut Report) {
    let pem = files::read_bounded(path, MAX_PEM).ok();
    let Some(certificate) = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok()) else {
        return;
    };
    let Some(validity) = x509::validity(&certificate) else {
        return report.warning(WHAT, format!("{}: no validity was found", path.display()));
    };
    let (first, last) = (validity.from, validity.until);
    // `2026-01-02` of `20260102T030405Z`.
    let date = |time: &str| format!("{}-{}-{}", &time[..4], &time[4..6], &time[6..8]);
    let (from, until) = (date(&first), date(&last));
    if clock::compact(now) > last {
        report.error(WHAT, format!("expired on {until}: renew it"));
    } else if clock::compact(now) < first {
        let what = format!("not valid before {from}: correct the clock, or renew it");
        report.error(WHAT, what);
    } else if clock::compact(now + CERTIFICATE_NOTICE) > last {
        report.warning(WHAT, format!("valid until {until} only: renew it"));
    } else {
        report.ok(WHAT, format!("valid until {until}"));
    }
}
