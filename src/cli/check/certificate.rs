//! Certificate and key: whether front could serve with them, for how long, and who else can read the key.

use std::fs;
use std::os::unix::fs::MetadataExt;
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

/// Looks at both files.
pub fn check(config: &Config, now: SystemTime, report: &mut Report) {
    let (cert, key) = (&config.cert_file, &config.key_file);
    let later: Vec<_> = [cert, key].into_iter().filter(|path| comes_later(path)).collect();
    later.iter().for_each(|path| {
        report.warn(
            "certificate",
            format_args!(
                "{} is there while the service runs: check again then",
                path.display()
            ),
        );
    });
    // Without one of the two there is no pair to look at.
    let faults = match later.is_empty() {
        true => front::certificate_faults(cert, key),
        false => return validity(cert, now, report),
    };
    if faults.is_empty() {
        report.ok(
            "certificate",
            format_args!("{} and its key {} fit together", cert.display(), key.display()),
        );
    }
    faults.iter().for_each(|fault| report.fault("certificate", fault));
    validity(cert, now, report);
    key_is_private(key, report);
}

/// Whether systemd hands it over when it starts the daemon, which it has not done yet.
fn comes_later(path: &Path) -> bool {
    path.starts_with(UNIT_CREDENTIALS) && !path.exists()
}

/// A file that cannot be read was reported already.
fn validity(path: &Path, now: SystemTime, report: &mut Report) {
    let Some(certificate) = files::read_bounded(path, MAX_PEM)
        .ok()
        .and_then(|pem| CertificateDer::from_pem_slice(&pem).ok())
    else {
        return;
    };
    let Some(validity) = x509::validity(&certificate) else {
        return report.warn(
            "certificate",
            format_args!("{}: no validity was found", path.display()),
        );
    };
    let (first, last) = (validity.from, validity.until);
    // `2026-01-02` of `20260102T030405Z`.
    let date = |time: &str| format!("{}-{}-{}", &time[..4], &time[4..6], &time[6..8]);
    let (from, until) = (date(&first), date(&last));
    if clock::compact(now) > last {
        report.fault("certificate", format_args!("expired on {until}: renew it"));
    } else if clock::compact(now) < first {
        report.fault(
            "certificate",
            format_args!("not valid before {from}: see to the clock, or renew it"),
        );
    } else if clock::compact(now + CERTIFICATE_NOTICE) > last {
        report.warn("certificate", format_args!("valid until {until} only: renew it"));
    } else {
        report.ok("certificate", format_args!("valid until {until}"));
    }
}

fn key_is_private(path: &Path, report: &mut Report) {
    let Ok(facts) = fs::metadata(path) else {
        return;
    };
    if let Some(fault) = secret::known_to_all(path) {
        report.fault("key", fault);
    } else if facts.mode() & 0o040 != 0 {
        report.warn(
            "key",
            format_args!("{} can be read by group {}", path.display(), facts.gid()),
        );
    } else {
        report.ok("key", format_args!("{} is its owner's alone", path.display()));
    }
}
