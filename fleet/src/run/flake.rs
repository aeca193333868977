//! Flake references. A commit becomes `rev=`, a name becomes `ref=`: nix takes neither for the other on remote URLs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::names::checked_string;
use crate::wire::{Hostname, Invalid, Revision};

checked_string!(
    /// A configured flake URL, without `ref`, `rev` and fragment: these are the deploy's.
    FlakeUrl,
    "flake URL",
    |text| {
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let names_revision = |pair: &str| ["ref", "rev"].contains(&pair.split('=').next().unwrap_or_default());
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '#';
        let is_path = text.starts_with("path:") || text.starts_with(['/', '.', '-']);
        !(text.is_empty() || text.contains(bad) || is_path || query.split('&').any(names_revision))
    },
    "without `ref`, `rev` and `#`, which are the deploy's; no path (use git+file://), no white space, no quotes"
);

/// Every byte that could mean something in a query is escaped; what [`Revision`] allows is harmless except `+`.
fn escaped(text: &str) -> String {
    text.replace('+', "%2B")
}

/// The reference without the host, and whether nix must look the name up again: it keeps names for an hour.
pub fn reference(url: &FlakeUrl, revision: &Revision, branch: Option<&Revision>) -> (String, bool) {
    let join = if url.0.contains('?') { '&' } else { '?' };
    let text = escaped(revision.as_str());
    if !revision.is_commit() {
        return (format!("{}{join}ref={text}", url.0), true);
    }
    match branch {
        Some(branch) => (format!("{}{join}ref={}&rev={text}", url.0, escaped(branch.as_str())), false),
        None => (format!("{}{join}rev={text}", url.0), false),
    }
}

/// What follows the action on nixos-rebuild's command line.
pub fn arguments(reference: &str, host: &Hostname, refresh: bool) -> Vec<String> {
    let mut arguments = vec!["--flake".to_owned(), format!("{reference}#{host}")];
    if refresh {
        arguments.push("--refresh".to_owned());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nixos_backend_a_commit_is_rev_and_a_name_is_ref() {
        let commit = "a".repeat(40);
        let case = |url: &str, revision: &str, branch: Option<&str>| {
            let branch = branch.map(|branch| branch.parse().unwrap());
            reference(&url.parse().unwrap(), &revision.parse().unwrap(), branch.as_ref())
        };
        let git = "git+https://git.example.com/u/c.git";
        assert_eq!(case(git, "main", None), (format!("{git}?ref=main"), true));
        assert_eq!(case(git, "refs/tags/v1.0", None), (format!("{git}?ref=refs/tags/v1.0"), true));
        assert_eq!(case(git, "a+b", None), (format!("{git}?ref=a%2Bb"), true));
        assert_eq!(case(git, &commit, None), (format!("{git}?rev={commit}"), false));
        assert_eq!(case(git, &commit, Some("main")), (format!("{git}?ref=main&rev={commit}"), false));
        let dir = format!("{git}?dir=hosts&submodules=1");
        assert_eq!(case(&dir, "main", None), (format!("{dir}&ref=main"), true));
    }

    #[test]
    fn nixos_backend_a_url_that_names_a_revision_is_refused() {
        for bad in [
            "",
            "-x",
            "git+https://a?ref=x",
            "git+https://a?dir=x&rev=y",
            "git+https://a#h",
            "path:/a",
            "/a",
            "./a",
            "a b",
            "a\"b",
        ] {
            assert!(bad.parse::<FlakeUrl>().is_err(), "{bad}");
        }
        for good in ["git+https://a", "github:o/r", "git+file:///a?dir=ref", "git+ssh://git@h/a?submodules=1"] {
            assert!(good.parse::<FlakeUrl>().is_ok(), "{good}");
        }
    }
}
