//! Docker's names: the image without tag or digest, and the containers with where their health is asked for.

use super::{Container, pins, url};
use crate::limits::MAX_CONTAINERS;

/// Docker's bound on the name part of a reference.
const LONGEST_REPOSITORY: usize = 255;

/// Longest name of a container. Docker has no bound of its own; ours leaves room for a suffix in a file's name.
const LONGEST_NAME: usize = 128;

/// A repository as the distribution reference grammar has it: `[HOST[:PORT]/]NAME[/NAME...]`, lower case, no tag, no
/// digest. The version of each deploy becomes the tag.
pub(super) fn image(text: &str) -> Result<String, String> {
    const SHOULD: &str = "an image's name such as `ghcr.io/owner/name`, in lower case, without tag or digest";
    let (registry, path) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("localhost", text),
    };
    let good = text.len() <= LONGEST_REPOSITORY
        && !registry.contains('?')
        && url::url(&format!("https://{registry}")).is_some()
        && path.split('/').all(is_component);
    pins::checked(text, good, SHOULD)
}

/// Lower-case letters and digits, parted by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(word) && text.bytes().last().is_some_and(word);
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators
        .filter(|s| !s.is_empty())
        .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// `NAME=PORT`, `NAME=URL` or `NAME`, separated by commas; each name once, the order kept.
pub(super) fn containers(text: &str) -> Result<Vec<Container>, String> {
    let mut found: Vec<Container> = Vec::new();
    for entry in pins::list(text, MAX_CONTAINERS, "containers")? {
        let (name, health) = match entry.split_once('=') {
            Some((name, health)) => (name, Some(health)),
            None => (entry, None),
        };
        if !is_container_name(name) {
            return Err(format!(
                "NAME=PORT, NAME=URL or NAME, separated by commas (`{name}` is no container's name)"
            ));
        }
        if found.iter().any(|other| other.name == name) {
            return Err(format!(
                "a list that names each container once (`{name}` is there twice)"
            ));
        }
        found.push(Container {
            name: name.to_owned(),
            health_url: health.map(|text| health_url(name, text)).transpose()?,
        });
    }
    Ok(found)
}

fn health_url(name: &str, text: &str) -> Result<String, String> {
    match url::port(text) {
        Some(port) => Ok(format!("http://localhost:{port}/api/health")),
        None => url::fetchable(text).map_err(|should| {
            format!(
                "NAME=PORT, NAME=URL or NAME; the health of `{name}` should be a port from 1 to 65535 or {should}"
            )
        }),
    }
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, which is Docker's rule; no `/`, no leading `-`, so that it is safe as an argument and in a path.
fn is_container_name(name: &str) -> bool {
    (2..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && pins::is_word(name, b"_.-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_repository_without_tag_or_digest() {
        for good in [
            "ghcr.io/engram-app/engram",
            "engram",
            "library/engram",
            "localhost/engram",
            "localhost:5000/engram",
            "127.0.0.1:5000/a/b/c",
            "[::1]:5000/engram",
            "registry.example:5000/a__b/c.d/e--f_g",
            "a/b",
        ] {
            assert_eq!(image(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "engram:latest",
            "ghcr.io/engram-app/engram:0.5.61",
            "ghcr.io/engram@sha256:abcd",
            "Engram",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a_-b",
            "a___b",
            "a..b",
            ".a",
            "a b",
            "ghcr.io/",
            "localhost:5000",
            "localhost:5000/",
            "localhost:x/engram",
            "https://ghcr.io/a",
            "--privileged",
            "a/../b",
            "caf\u{e9}",
            "user@host.io/a",
            "a.b?c/d",
        ] {
            assert!(image(bad).is_err(), "{bad:?}");
        }
        assert!(image(&"a".repeat(256)).is_err());
    }

    #[test]
    fn containers_keep_their_order_and_know_where_their_health_is() {
        let text = "bb=8000, aa=https://a.example/up,cc,dd=http://127.0.0.1:81/x?y=z,";
        let found = containers(text).expect("a good list");
        let pairs: Vec<_> = found
            .iter()
            .map(|c| (c.name.as_str(), c.health_url.as_deref()))
            .collect();
        let expected = [
            ("bb", Some("http://localhost:8000/api/health")),
            ("aa", Some("https://a.example/up")),
            ("cc", None),
            ("dd", Some("http://127.0.0.1:81/x?y=z")),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_container_that_cannot_be_meant_is_refused() {
        for bad in [
            "",
            ",",
            "aa=8000,aa=8001",
            "aa,aa=1",
            "aa=0",
            "aa=65536",
            "aa=80x",
            "aa=",
            "=8000",
            "-aa",
            "a/b",
            "aa b",
            "a",
            "aa=http://example.com/health",
            "aa=ftp://localhost/",
            "aa=8000;bb=8001",
            "aa=-1",
            "$(id)",
            "..",
            "caf\u{e9}",
            "aa=http://user:pw@localhost/",
        ] {
            assert!(containers(bad).is_err(), "{bad:?}");
        }
        let many = |n: usize| (0..n).map(|i| format!("c{i:02}")).collect::<Vec<_>>().join(",");
        assert!(containers(&many(MAX_CONTAINERS)).is_ok());
        assert!(containers(&many(MAX_CONTAINERS + 1)).is_err());
        assert!(containers(&"x".repeat(LONGEST_NAME + 1)).is_err());
    }
}
