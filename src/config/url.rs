//! URLs of settings: where keys and health documents are. Checked here once, so that the fetcher, which is told a URL,
//! need not ask whether it may.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a URL is made of, as far as anyone here asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub scheme: Scheme,
    pub host: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Longest URL; all of ours are far below, and some servers stop at 2,000.
const LONGEST: usize = 1024;

/// Reads `https://HOST[:PORT][/PATH][?QUERY]`, or `http://` where `HOST` is this machine: keys or health documents
/// that travelled in the clear could be anybody's.
pub(super) fn fetchable(text: &str) -> Result<String, String> {
    match split(text) {
        Some(Url {
            scheme: Scheme::Https,
            ..
        }) => Ok(text.to_owned()),
        Some(Url {
            scheme: Scheme::Http,
            host,
        }) if is_loopback(host) => Ok(text.to_owned()),
        _ => Err(
            "an https:// URL, or an http:// one to localhost, 127.0.0.1 or [::1] (no user, no fragment)"
                .into(),
        ),
    }
}

/// The rule for every outbound request: https anywhere, http to this machine alone.
pub fn may_be_fetched(url: &str) -> bool {
    fetchable(url).is_ok()
}

/// Reads the name of an issuer: a URL without query. It is only compared, so plain http to anywhere is a name too.
pub(super) fn issuer(text: &str) -> Result<String, String> {
    match split(text) {
        Some(_) if !text.contains('?') => Ok(text.to_owned()),
        _ => Err("the URL that stands as `iss` in its tokens, exactly (no user, query or fragment)".into()),
    }
}

/// The parts of `text`, when it is a URL without user and fragment, in plain ASCII.
pub(super) fn split(text: &str) -> Option<Url<'_>> {
    if text.len() > LONGEST
        || !text.bytes().all(|b| b.is_ascii_graphic())
        || text.contains(['#', '\\', '"', '<', '>'])
    {
        return None;
    }
    let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest),
        (_, Some(rest)) => (Scheme::Http, rest),
        _ => return None,
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => v6
            .split_once(']')
            .filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok())?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let host_ok = authority.starts_with('[') || is_host_name(host);
    (host_ok && is_port(port)).then_some(Url { scheme, host })
}

/// Whether `host` is this machine, by its literal address or by the one name that always is.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_host_name(host: &str) -> bool {
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (!numeric || host.parse::<Ipv4Addr>().is_ok())
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// Nothing, or `:` and a number from 1 to 65535.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').and_then(port).is_some()
}

/// A port, in plain digits.
pub(super) fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_machine_is_fetched_from() {
        for good in [
            "https://token.actions.githubusercontent.com/.well-known/jwks",
            "https://forgejo.example:3000/api/actions/.well-known/keys",
            "https://gitlab.example/oauth/discovery/keys?x=1",
            "https://192.0.2.1/keys",
            "https://[2001:db8::1]:8443/keys",
            "https://host",
            "http://127.0.0.1:18080/jwks",
            "http://127.9.9.9/jwks",
            "http://[::1]:80/jwks",
            "http://localhost:8000/api/health",
        ] {
            assert_eq!(fetchable(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "http://192.0.2.1/keys",
            "http://example.com/keys",
            "http://localhost.example.com/",
            "http://127.0.0.1.x/",
            "http://localhost@example.com/",
            "http://127.0.0.1:80@example.com/",
            "https://user:pw@host/",
            "ftp://host/",
            "HTTPS://host/",
            "https:/host",
            "https://",
            "https:///path",
            "https://host:0/",
            "https://host:65536/",
            "https://host:/",
            "https://host:8x/",
            "https://ho st/",
            "https://host/a b",
            "https://host/#frag",
            "https://host/\u{e9}",
            "https://h\u{f6}st/",
            "https://[::1/",
            "https://[nonsense]/",
            "https://[::1]x/",
            "https://host\\@example.com/",
            "https://-x.example/",
            "https://a..b/",
            "file:///etc/passwd",
            "host/path",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://127.1/",
            "https://999.1.1.1/",
            "http://[::ffff:192.0.2.1]/",
        ] {
            assert!(fetchable(bad).is_err(), "{bad:?}");
        }
        assert!(fetchable(&format!("https://host/{}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn an_issuer_is_a_url_that_is_only_compared() {
        for good in [
            "https://token.actions.githubusercontent.com",
            "https://gitlab.example",
            "http://forge.lan/api/actions",
        ] {
            assert_eq!(issuer(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "github",
            "https://host/?a=b",
            "https://host/#x",
            "https://user@host",
        ] {
            assert!(issuer(bad).is_err(), "{bad:?}");
        }
    }
}
