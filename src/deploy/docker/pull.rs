//! What kind of failure a failed pull is. Pure.
//!
//! The client exits with 1 whatever happened; only its words tell a wrong password from a full disk. The words are
//! those of dockerd 20.10 to 29, of GHCR and of Debian's registry. What is not known is told as it came.

/// Whether trying again soon may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The same would come back.
    Never,
    /// It may pass by itself.
    Soon,
}

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// For a person.
    pub says: &'static str,
    /// Whether to try again.
    pub again: Again,
}

const UNKNOWN: Kind = never("docker said");

const fn never(says: &'static str) -> Kind {
    let again = Again::Never;
    Kind { says, again }
}

const fn soon(says: &'static str) -> Kind {
    let again = Again::Soon;
    Kind { says, again }
}

/// What is said of an attempt that was given up.
pub const HUNG: &str = "docker pull did not end in its time";

/// In order, because one text may hold several of these: a rate limit speaks of being unauthenticated, a socket that
/// may not be opened of being denied. Lower case.
const KINDS: &[(&[&str], Kind)] = &[
    (
        &["toomanyrequests", "too many requests"],
        soon("the registry's rate limit is reached, try again later"),
    ),
    (
        &[
            "cannot connect to the docker daemon",
            "docker daemon socket",
            "error during connect",
        ],
        never("docker does not answer (is it running?)"),
    ),
    (
        &["no space left on device"],
        never("the disk is full, make room and try again"),
    ),
    (
        &["invalid reference format", "invalid repository name"],
        never("this is no name of an image, check DEPLOYER_IMAGE"),
    ),
    (
        &["no matching manifest for"],
        never("the image does not exist for this machine's architecture"),
    ),
    (
        &[
            "manifest unknown",
            "name unknown",
            "repository name not known",
            "manifest for ",
        ],
        never("the registry has no such image or tag (was it pushed?)"),
    ),
    (
        &["no basic auth credentials"],
        never("the registry wants credentials and docker has none, set DEPLOYER_REGISTRY_USERNAME"),
    ),
    (
        &["error getting credentials", "docker-credential-"],
        never("docker's credential helper failed, check docker's config.json on this host"),
    ),
    (&["permission denied"], UNKNOWN),
    (
        &[
            "unauthorized",
            "access denied",
            "denied",
            "403 forbidden",
            "failed to authorize",
        ],
        never("the registry refused the credentials"),
    ),
    (
        &[
            "received unexpected http status: 5",
            "500 internal",
            "502 bad",
            "503 service",
            "504 gateway",
        ],
        soon("the registry is in trouble"),
    ),
    (
        &["no such host", "server misbehaving", "name resolution"],
        soon("the registry's name could not be resolved"),
    ),
    (
        &["x509: ", "certificate"],
        never("the registry's certificate is not trusted here"),
    ),
    (
        &[
            "connection refused",
            "connection reset",
            "no route to host",
            "network is unreachable",
            "timeout",
            "deadline exceeded",
        ],
        soon("the registry could not be reached"),
    ),
    (&["unexpected eof"], soon("the pull was cut off")),
    (&["docker pull did not end"], soon("the pull hangs")),
    (
        &["not found"],
        never("the registry has no such image or tag (was it pushed?)"),
    ),
];

/// The kind of failure that `said`, the client's last words, tells of.
pub fn kind(said: &str) -> Kind {
    let said = said.to_ascii_lowercase();
    KINDS
        .iter()
        .find(|(words, _)| words.iter().any(|word| said.contains(word)))
        .map_or(UNKNOWN, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measured_failure_is_told_by_its_kind() {
        use Again::{Never, Soon};
        for (said, says, again) in [
            (
                r#"Error response from daemon: Head "http://R/v2/N/manifests/T": no basic auth credentials"#,
                "wants credentials",
                Never,
            ),
            (
                "Error response from daemon: unauthorized: authentication required",
                "refused the credentials",
                Never,
            ),
            ("unauthorized", "refused the credentials", Never),
            (
                r#"Error response from daemon: Head "https://ghcr.io/v2/x/manifests/1": denied: denied"#,
                "refused the credentials",
                Never,
            ),
            (
                "Error response from daemon: denied",
                "refused the credentials",
                Never,
            ),
            (
                "Error response from daemon: manifest for r/n:t not found: manifest unknown: manifest unknown",
                "no such image or tag",
                Never,
            ),
            (
                "Error response from daemon: name unknown: repository name not known to registry",
                "no such image or tag",
                Never,
            ),
            (
                "invalid reference format: repository name (Eng/app) must be lowercase",
                "no name of an image",
                Never,
            ),
            (
                "Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit.",
                "rate limit",
                Soon,
            ),
            (
                "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
                "in trouble",
                Soon,
            ),
            (
                "Error response from daemon: dial tcp 127.0.0.1:5999: connect: connection refused",
                "not be reached",
                Soon,
            ),
            (
                "Error response from daemon: dial tcp: lookup x on 1.1.1.1:53: no such host",
                "not be resolved",
                Soon,
            ),
            (
                "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
                "does not answer",
                Never,
            ),
            (
                "permission denied while trying to connect to the Docker daemon socket at unix:///x",
                "does not answer",
                Never,
            ),
            ("unexpected EOF", "cut off", Soon),
            (HUNG, "hangs", Soon),
            (
                "write /var/lib/docker/tmp/GetImageBlob820200805: no space left on device",
                "disk is full",
                Never,
            ),
            (
                "failed to register layer: Error processing tar file(exit status 1): write /blob: no space left on device",
                "disk is full",
                Never,
            ),
            (
                r#"failed to resolve reference "R": unexpected status from HEAD request: 401 Unauthorized"#,
                "refused the credentials",
                Never,
            ),
            (
                r#"failed to resolve reference "R": unexpected status: 403 Forbidden"#,
                "refused the credentials",
                Never,
            ),
            (
                r#"failed to resolve reference "R": R: not found"#,
                "no such image or tag",
                Never,
            ),
            ("net/http: TLS handshake timeout", "not be reached", Soon),
            (
                "x509: certificate signed by unknown authority",
                "certificate",
                Never,
            ),
            (
                "no matching manifest for linux/arm64/v8 in the manifest list entries",
                "architecture",
                Never,
            ),
            (
                r#"error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH"#,
                "credential helper",
                Never,
            ),
            (
                "failed to register layer: chmod /x: permission denied",
                "docker said",
                Never,
            ),
            ("something quite new", "docker said", Never),
        ] {
            let kind = kind(said);
            assert!(kind.says.contains(says), "{said}: {}", kind.says);
            assert_eq!(kind.again, again, "{said}");
        }
    }

    #[test]
    fn the_table_is_in_lower_case() {
        for word in KINDS.iter().flat_map(|(words, _)| *words) {
            assert_eq!(*word, word.to_ascii_lowercase());
        }
    }
}
