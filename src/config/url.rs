//! URLs of settings and of outbound requests: https anywhere, http to this machine alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;

use super::pins::is_word;

/// Longest URL; all of ours are far below, and some servers stop at 2,000.
const LONGEST_URL: usize = 1024;

/// A port, in plain digits.
pub fn port(digits: &str) -> Option<u16> {
    let port = digits.parse().ok().filter(|port| *port != 0);
    port.filter(|_| !digits.starts_with('+'))
}

/// `https://HOST[:PORT][/PATH][?QUERY]`, or `http://` where `HOST` is this machine: keys or health documents that
/// travelled in the clear could be anybody's.
pub fn fetchable(text: &str) -> Option<String> {
    may_be_fetched(text).then(|| text.to_owned())
}

/// The rule for every outbound request: https anywhere, http to this machine alone.
pub fn may_be_fetched(text: &str) -> bool {
    let good = |uri: Uri| uri.scheme_str() == Some("https") || uri.host().is_some_and(is_loopback);
    url(text).is_some_and(good)
}

/// The name of an issuer: a URL without query. It is only compared, so plain http to anywhere is a name too.
pub fn issuer(text: &str) -> Option<String> {
    url(text)
        .filter(|uri| uri.query().is_none())
        .map(|_| text.to_owned())
}

/// The parts of `text`, when it is a URL of http or https, without user and fragment, in plain ASCII.
pub fn url(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?;
    let authority = match uri.port_u16() {
        Some(port) => format!("{host}:{}", self::port(&port.to_string())?),
        None => host.to_owned(),
    };
    // A user, an empty port or one that is no number stands in the authority alone.
    let whole = uri.authority().is_some_and(|whole| *whole == authority);
    let plain = text.len() <= LONGEST_URL
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.contains(['#', '\\', '"', '<', '>'])
        && (text.starts_with("https://") || text.starts_with("http://"));
    (whole && plain && is_host(host)).then_some(uri)
}

/// Whether `host` is this machine, by its literal address or by the one name that always is.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// An address, or a name; what looks like an address is one.
fn is_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[') {
        return v6.trim_end_matches(']').parse::<Ipv6Addr>().is_ok();
    }
    let label = |label: &str| is_word(label, b"-_") && !label.starts_with('-');
    match host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        true => host.parse::<Ipv4Addr>().is_ok(),
        false => host.len() <= 253 && host.split('.').all(label),
    }
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
            assert_eq!(fetchable(good).as_deref(), Some(good));
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
            assert!(fetchable(bad).is_none(), "{bad:?}");
        }
        assert!(fetchable(&format!("https://host/{}", "x".repeat(LONGEST_URL))).is_none());
    }

    #[test]
    fn an_issuer_is_a_url_that_is_only_compared() {
        for good in [
            "https://token.actions.githubusercontent.com",
            "https://gitlab.example",
            "http://forge.lan/api/actions",
        ] {
            assert_eq!(issuer(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "github",
            "https://host/?a=b",
            "https://host/#x",
            "https://user@host",
        ] {
            assert!(issuer(bad).is_none(), "{bad:?}");
        }
    }
}
