//! The raw key set from the configured address, through the role without privileges.

use crate::config::Config;
use crate::fetch::{self, FetchRequest};
use crate::limits::{FETCH_DEADLINE, MAX_JWKS};
use crate::os::privilege;

/// What the issuer's address answers, unread.
///
/// # Errors
/// One sentence: any status but 200 is one, too.
pub fn fetch_keys(config: &Config) -> Result<Vec<u8>, String> {
    let identity = privilege::identity(&config.fetch_user)
        .map_err(|error| format!("become the user of DEPLOYER_FETCH_USER: {error}"))?;
    let order = FetchRequest::new(&config.issuer.jwks_url, identity, FETCH_DEADLINE, MAX_JWKS)
        .trusting(config.issuer.ca_file.as_deref())?;
    let answer = fetch::get(&order)?;
    match answer.status {
        200 => Ok(answer.body),
        other => Err(format!("{} answers with status {other}", config.issuer.jwks_url)),
    }
}
