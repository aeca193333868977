//! Flake references. A commit becomes `rev=`, a name becomes `ref=`: nix takes neither for the other on remote URLs.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::wire::{Hostname, Invalid, Revision};

/// A configured flake URL, without `ref`, `rev` and fragment: these are the deploy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlakeUrl(String);

impl FromStr for FlakeUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Err(Invalid(format!("flake URL {text:?}: {why}")));
        if text.is_empty() || text.starts_with('-') {
            return wrong("it is empty or begins with `-`");
        }
        if text.contains('#') {
            return wrong("it has a `#`: the hostname is appended");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"') {
            return wrong("it has white space, control characters or quotes");
        }
        if text.starts_with("path:") || text.starts_with('/') || text.starts_with('.') {
            return wrong("a path has no revisions: use git+file://");
        }
        let query = text.split_once('?').map_or("", |(_, query)| query);
        if let Some(name) =
            query.split('&').filter_map(|pair| pair.split('=').next()).find(|name| ["ref", "rev"].contains(name))
        {
            return wrong(&format!("it has `{name}`, which is the deploy's to say"));
        }
        Ok(FlakeUrl(text.to_owned()))
    }
}

impl FlakeUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
