//! Pulling an image, and what a failed pull means.
//!
//! The client exits with 1 whatever happened; only its words tell a wrong password from a full disk. The words are
//! those of dockerd 20.10 to 29, of GHCR and of Debian's registry.

use std::path::Path;

use super::login::LoggedIn;
use super::{image_folder, last_words, tool};
use crate::limits::{LONGEST_SETTING, PULL_AGAIN, PULL_STALL};
use crate::os::disk;
use crate::run::messages::{Row, classify};
use crate::run::{Failure, Result, RunContext, Tool};

/// What a failed pull says of the registry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PullFault {
    /// It did not answer, or not to the end, or not now: the same may work soon.
    Unreachable,
    /// It answered, or the fault is on this host: the same would come back.
    Final,
}
use PullFault::{Final, Unreachable};

/// A rate limit speaks of being unauthenticated, a socket that may not be opened of being denied: in this order.
const FAULTS: &[Row<PullFault>] = &[
    fault(
        &["toomanyrequests", "too many requests"],
        Unreachable,
        "the registry's rate limit is reached, try again later",
    ),
    fault(
        &["docker daemon", "error during connect"],
        Final,
        "docker does not answer (is it running?)",
    ),
    fault(
        &["no space left on device"],
        Final,
        "the disk is full, make room and try again",
    ),
    fault(
        &["permission denied", "matching manifest", "getting credentials"],
        Final,
        "docker said",
    ),
    fault(
        &["manifest unknown", "name unknown", "manifest for ", "not found"],
        Final,
        "the registry has no such image or tag (was it pushed?)",
    ),
    fault(
        &["no basic auth credentials"],
        Final,
        "the registry wants credentials and docker has none, set DEPLOYER_REGISTRY_USERNAME",
    ),
    fault(
        &["unauthorized", "denied", "403 forbidden", "failed to authorize"],
        Final,
        "the registry refused the credentials",
    ),
    fault(
        &["http status: 5", ": 500 ", ": 502 ", ": 503 ", ": 504 "],
        Unreachable,
        "the registry is in trouble",
    ),
    fault(
        &[
            "no such host",
            "server misbehaving",
            "name resolution",
            "connection refused",
            "connection reset",
            "no route to host",
            "unreachable",
            "timeout",
            "deadline exceeded",
        ],
        Unreachable,
        "the registry could not be reached",
    ),
    fault(
        &["unexpected eof", "made no progress"],
        Unreachable,
        "the pull was cut off",
    ),
];

const fn fault(words: &'static [&'static str], class: PullFault, hint: &'static str) -> Row<PullFault> {
    Row { words, class, hint }
}

/// The digest that the registry named, if it named one; or what kept the pull from its end: a hint, then the client's last
/// words.
pub type Pulled = Result<Option<String>, (PullFault, String)>;

/// Pulls `reference`; its progress is said line by line. It takes as long as it goes on, within the run's own time. What may
/// pass by itself is tried again.
pub fn pull(ctx: &mut RunContext, reference: &str, login: Option<&LoggedIn>) -> Result<Pulled> {
    let mut tool = tool(ctx, &["pull", reference]);
    tool.deadline = LONGEST_SETTING;
    if let Some(login) = login {
        tool.environment = login.environment(&tool.environment);
    }
    let images = image_folder(ctx)?;
    let mut waits = PULL_AGAIN.iter();
    loop {
        let said = match pull_once(ctx, &tool, reference, images.as_deref())? {
            Ok(digest) => return Ok(Ok(digest)),
            Err(said) => said,
        };
        let (fault, hint) = meaning(&said);
        let failure = format!("pull failed: {hint}: {said}");
        let Some(wait) = waits.next().filter(|_| fault == Unreachable) else {
            return Ok(Err((fault, failure)));
        };
        ctx.tell(format!("{failure}; trying again in {} s", wait.as_secs()));
        ctx.pause(*wait)?;
    }
}

/// One attempt: the digest, or the client's last words. Without a terminal the client says nothing while it downloads a
/// layer, so that the pull counts as going on as long as something is written to the disk of `images`.
fn pull_once(
    ctx: &mut RunContext,
    tool: &Tool,
    reference: &str,
    images: Option<&Path>,
) -> Result<Result<Option<String>, String>> {
    let (mut digest, mut hangs, mut free) = (None, false, None);
    let mut hear = |line: &str| {
        digest = line.strip_prefix("Digest: ").map(str::to_owned).or(digest.take());
        // Its last line only repeats the reference.
        (line != reference).then(|| line.to_owned())
    };
    let mut gets_on = |_: &mut _| {
        let now = images.and_then(|images| disk::free(images).ok());
        hangs = images.is_some() && free == now;
        free = now;
        !hangs
    };
    match ctx.tool_while(tool, &mut hear, PULL_STALL, &mut gets_on) {
        Ok(ended) if ended.exit.is_success() => Ok(Ok(digest)),
        Ok(ended) => Ok(Err(last_words(&ended.tail, ended.exit))),
        Err(Failure::Failed(_)) if hangs => Ok(Err("docker pull made no progress".into())),
        Err(failure) => Err(failure),
    }
}

/// What `said`, the client's last words, means, and a hint for a person. What is not known is told as it came.
pub fn meaning(said: &str) -> (PullFault, &'static str) {
    classify(FAULTS, said).map_or((Final, "docker said"), |row| (row.class, row.hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measured_failure_is_told_by_its_cause() {
        for (said, hint, fault) in [
            (
                r#"Error response from daemon: Head "http://R/v2/N/manifests/T": no basic auth credentials"#,
                "wants credentials",
                Final,
            ),
            (
                "Error response from daemon: unauthorized: authentication required",
                "refused the credentials",
                Final,
            ),
            ("unauthorized", "refused the credentials", Final),
            (
                r#"Error response from daemon: Head "https://ghcr.io/v2/x/manifests/1": denied: denied"#,
                "refused the credentials",
                Final,
            ),
            (
                "Error response from daemon: denied",
                "refused the credentials",
                Final,
            ),
            (
                "Error response from daemon: manifest for r/n:t not found: manifest unknown: manifest unknown",
                "no such image or tag",
                Final,
            ),
            (
                "Error response from daemon: name unknown: repository name not known to registry",
                "no such image or tag",
                Final,
            ),
            (
                "invalid reference format: repository name (Eng/app) must be lowercase",
                "docker said",
                Final,
            ),
            (
                "Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit.",
                "rate limit",
                Unreachable,
            ),
            (
                "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
                "in trouble",
                Unreachable,
            ),
            (
                "Error response from daemon: dial tcp 127.0.0.1:5999: connect: connection refused",
                "not be reached",
                Unreachable,
            ),
            (
                "Error response from daemon: dial tcp: lookup x on 1.1.1.1:53: no such host",
                "not be reached",
                Unreachable,
            ),
            (
                "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
                "does not answer",
                Final,
            ),
            (
                "permission denied while trying to connect to the Docker daemon socket at unix:///x",
                "does not answer",
                Final,
            ),
            ("unexpected EOF", "cut off", Unreachable),
            ("docker pull made no progress", "cut off", Unreachable),
            (
                "write /var/lib/docker/tmp/GetImageBlob820200805: no space left on device",
                "disk is full",
                Final,
            ),
            (
                "failed to register layer: Error processing tar file(exit status 1): write /blob: no space left on device",
                "disk is full",
                Final,
            ),
            (
                r#"failed to resolve reference "R": unexpected status from HEAD request: 401 Unauthorized"#,
                "refused the credentials",
                Final,
            ),
            (
                r#"failed to resolve reference "R": unexpected status: 403 Forbidden"#,
                "refused the credentials",
                Final,
            ),
            (
                r#"failed to resolve reference "R": R: not found"#,
                "no such image or tag",
                Final,
            ),
            ("net/http: TLS handshake timeout", "not be reached", Unreachable),
            (
                "x509: certificate signed by unknown authority",
                "docker said",
                Final,
            ),
            (
                "no matching manifest for linux/arm64/v8 in the manifest list entries",
                "docker said",
                Final,
            ),
            (
                r#"error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH"#,
                "docker said",
                Final,
            ),
            (
                "failed to register layer: chmod /x: permission denied",
                "docker said",
                Final,
            ),
            ("something quite new", "docker said", Final),
        ] {
            let (is, told) = meaning(said);
            assert!(told.contains(hint), "{said}: {told}");
            assert_eq!(is, fault, "{said}");
        }
    }

    #[test]
    fn the_table_is_in_lower_case() {
        for word in FAULTS.iter().flat_map(|row| row.words) {
            assert_eq!(*word, word.to_ascii_lowercase());
        }
    }
}
