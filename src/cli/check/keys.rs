//! The issuer: whether its keys can be had now, by the way that a session would get them.

use crate::cli::check::report::Report;
use crate::config::Config;
use crate::gate;
use crate::jwt::KeySet;

/// Fetches the key set and reads it as the gate does; what is kept of an earlier one is left alone.
pub fn check(config: &Config, report: &mut Report) {
    let url = &config.issuer.jwks_url;
    let set = gate::fetch_keys(config).and_then(|text| {
        KeySet::parse(&text).map_err(|fault| format!("what {url} answers cannot be used: {fault}"))
    });
    report.found(
        "issuer's keys",
        set.map(|set| format!("{} usable from {url}", set.names().count())),
    );
}
