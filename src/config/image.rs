//! Docker's names: the image without tag or digest, and the containers with where their health is asked for.

use std::collections::BTreeSet;

use super::pins::{is_word, list};
use super::{Container, url};
use crate::limits::MAX_CONTAINERS;

/// Docker's bound on the name part of a reference.
const LONGEST_REPOSITORY: usize = 255;

/// Longest name of a container. Docker has no bound of its own; ours leaves room for a suffix in a file's name.
const LONGEST_NAME: usize = 128;

/// `[HOST[:PORT]/]NAME[/NAME...]`, lower case, no tag, no digest: the version of each deploy becomes the tag. Nothing in it
/// is taken for an option; what else is no name to docker fails in the pull.
pub fn image(text: &str) -> Option<String> {
    let (registry, path) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("localhost", text),
    };
    let good = text.len() <= LONGEST_REPOSITORY
        && !registry.contains('?')
        && url::url(&format!("https://{registry}")).is_some()
        && path.split('/').all(is_component);
    good.then(|| text.to_owned())
}

fn is_component(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower = !text.contains(|c: char| c.is_ascii_uppercase());
    lower && is_word(text, b"._-") && text.starts_with(is_end) && text.ends_with(is_end)
}

/// `NAME=PORT`, `NAME=URL` or `NAME`, separated by commas; each name once, the order kept.
pub fn containers(text: &str) -> Option<Vec<Container>> {
    let found = list(text, MAX_CONTAINERS, container)?;
    let names: BTreeSet<&str> = found.iter().map(|one| one.name.as_str()).collect();
    (names.len() == found.len()).then_some(found)
}

fn container(entry: &str) -> Option<Container> {
    let (name, health_url) = match entry.split_once('=') {
        None => (entry, None),
        Some((name, text)) => match url::port(text) {
            Some(port) => (name, Some(format!("http://localhost:{port}/api/health"))),
            None => (name, Some(url::fetchable(text)?)),
        },
    };
    let name = name.to_owned();
    is_container_name(&name).then_some(Container { name, health_url })
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, which is Docker's rule; no `/`, no leading `-`, so that it is safe as an argument and in a path.
fn is_container_name(name: &str) -> bool {
    (2..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && is_word(name, b"_.-")
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
            assert_eq!(image(good).as_deref(), Some(good));
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
            assert!(image(bad).is_none(), "{bad:?}");
        }
        assert!(image(&"a".repeat(256)).is_none());
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
            assert!(containers(bad).is_none(), "{bad:?}");
        }
        let many = |n: usize| (0..n).map(|i| format!("c{i:02}")).collect::<Vec<_>>().join(",");
        assert!(containers(&many(MAX_CONTAINERS)).is_some());
        assert!(containers(&many(MAX_CONTAINERS + 1)).is_none());
        assert!(containers(&"x".repeat(LONGEST_NAME + 1)).is_none());
    }
}
