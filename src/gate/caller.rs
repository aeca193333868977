//! The first two gates: who may knock at all, and one token, offered in the one way.
//!
//! With two headers, two readers could pick two tokens; so there is one header, or none.

use std::net::IpAddr;

use crate::config::Sources;
use crate::gate::{Refusal, Result};

/// Lets listed addresses through. A v4 peer of a dual-stack socket counts as the v4 address it is.
pub fn check_source(peer: IpAddr, allowed: &Sources) -> Result {
    match allowed.contains(peer) {
        true => Ok(()),
        false => Err(Refusal::SOURCE.because(format_args!("{peer} is on no list"))),
    }
}

/// Case-sensitive, as the daemon before us had it.
const SCHEME: &str = "Bearer ";

/// The token in exactly one `Authorization: Bearer <token>`.
pub fn token(authorization: &[String]) -> Result<&str> {
    let detail = match authorization {
        [value] => match value.strip_prefix(SCHEME) {
            Some(token) if !token.is_empty() && !token.contains(char::is_whitespace) => return Ok(token),
            Some(_) => "no token, or blanks in it",
            None => "another scheme than Bearer",
        },
        _ => "none, or more than one",
    };
    Err(Refusal::AUTHORIZATION.because(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(headers: &[&str]) -> Option<String> {
        let headers: Vec<String> = headers.iter().map(|header| header.to_string()).collect();
        token(&headers).ok().map(String::from)
    }

    #[test]
    fn exactly_one_bearer_token_is_taken() {
        assert_eq!(offered(&["Bearer a.b.c"]), Some("a.b.c".into()));
        for headers in [
            &[][..],
            &["Bearer a.b.c", "Bearer a.b.c"],
            &["Bearer a.b.c", ""],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer  a.b.c"],
            &["Bearer a.b.c "],
            &["Bearer a.b.c d"],
            &["Bearer\ta.b.c"],
            &["bearer a.b.c"],
            &["BEARER a.b.c"],
            &["Basic a.b.c"],
            &["a.b.c"],
            &[" Bearer a.b.c"],
        ] {
            assert_eq!(offered(headers), None, "{headers:?}");
        }
    }
}
