//! References of images: which part of one names the image, and which the version.
//!
//! Pure. A `:` may belong to a registry's port, and one image has several names at Docker Hub; whoever compares
//! references as text gets one of these wrong.

use crate::checked_text::is_hex;

/// `reference` without its digest, split into name and tag.
fn split(reference: &str) -> (&str, Option<&str>) {
    let tagged = reference.split('@').next().unwrap_or(reference);
    match tagged.rsplit_once(':') {
        // A `/` after the last `:` says that the `:` was a registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (tagged, None),
    }
}

/// The tag of `reference`, if it has one.
pub fn tag(reference: &str) -> Option<&str> {
    split(reference).1
}

/// The registry of an image, as docker's `config.json` names it: `host:port`, and a URL for Docker Hub.
pub fn registry(image: &str) -> &str {
    match parts(image) {
        (HUB, _) => "https://index.docker.io/v1/",
        (registry, _) => registry,
    }
}

/// Whether both name the same image, whatever their tags and digests: `redis` is `docker.io/library/redis`.
pub fn same_image(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

const HUB: &str = "docker.io";

fn canonical(reference: &str) -> String {
    match parts(reference) {
        (HUB, path) if !path.contains('/') => format!("{HUB}/library/{path}"),
        (registry, path) => format!("{registry}/{path}"),
    }
}

/// Registry and path of what `reference` names.
fn parts(reference: &str) -> (&str, &str) {
    let (name, _) = split(reference);
    match name.split_once('/') {
        Some(("index.docker.io", rest)) => (HUB, rest),
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (HUB, name),
    }
}

/// An id as Docker gives it (64 digits, perhaps after `sha256:`), short enough for a person; any other word as it is.
pub fn short_id(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    match digits.len() == 64 && is_hex(digits) {
        true => &id[..id.len() - 64 + 12],
        false => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        for (reference, name) in [
            ("redis", "redis"),
            ("redis:7", "redis"),
            ("host:5000/redis", "host:5000/redis"),
            ("host:5000/redis:7", "host:5000/redis"),
            ("host:5000/a/redis:7@sha256:ab", "host:5000/a/redis"),
            ("ghcr.io/x/y@sha256:ab", "ghcr.io/x/y"),
            ("", ""),
        ] {
            assert_eq!(split(reference).0, name, "{reference}");
        }
        for (reference, found) in [
            ("redis", None),
            ("redis:7", Some("7")),
            ("host:5000/redis", None),
            ("host:5000/redis:7@sha256:ab", Some("7")),
            ("host:5000/redis@sha256:ab", None),
            ("", None),
        ] {
            assert_eq!(tag(reference), found, "{reference}");
        }
    }

    #[test]
    fn the_tag_and_the_registry_are_what_docker_takes_them_for() {
        for (reference, its_tag, its_registry) in [
            ("redis", None, "https://index.docker.io/v1/"),
            ("docker.io/a/b:7", Some("7"), "https://index.docker.io/v1/"),
            ("host:5000/redis", None, "host:5000"),
            ("host:5000/redis:7@sha256:ab", Some("7"), "host:5000"),
            ("ghcr.io/x/y@sha256:ab", None, "ghcr.io"),
            ("sha256:ab", Some("ab"), "https://index.docker.io/v1/"),
        ] {
            assert_eq!(
                (tag(reference), registry(reference)),
                (its_tag, its_registry),
                "{reference}"
            );
        }
    }

    #[test]
    fn one_image_is_known_under_all_its_names() {
        for (one, other, same) in [
            ("redis:7", "docker.io/library/redis", true),
            ("engram/app:1", "index.docker.io/engram/app:2", true),
            ("ghcr.io/x/y:1", "ghcr.io/x/y@sha256:ab", true),
            ("host:5000/x:1", "host:5000/x:2", true),
            ("host:5000/x", "host:5001/x", false),
            ("ghcr.io/x/y", "x/y", false),
            ("ghcr.io/x/y", "ghcr.io/x/yy", false),
            ("ghcr.io/x/y", "ghcr.io/x/Y", false),
            ("localhost/x", "x", false),
        ] {
            assert_eq!(same_image(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn ids_are_cut_for_people() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(short_id(&format!("sha256:{id}")), "sha256:0123456789ab");
        assert_eq!(short_id(&id), "0123456789ab");
        assert_eq!((short_id("app"), short_id("sha256:01")), ("app", "sha256:01"));
    }
}
