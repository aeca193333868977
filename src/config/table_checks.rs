//! The variables of what a deploy asks before it touches anything, of the registry login, and of cleaning up.

use super::table::Preset::{self, Text, Unset};
use super::table::{Reads, Variable, Visibility};

const fn check(name: &'static str, preset: Preset, meaning: &'static str) -> Variable {
    Variable {
        name,
        preset,
        readers: &[Reads::Run],
        meaning,
        visibility: Visibility::Plain,
    }
}

/// See the module's head.
pub(super) const CHECKS: &[Variable] = &[
    check(
        "DEPLOYER_MIN_FREE",
        Text("1GiB"),
        "what must be free on docker's disk before an image is pulled: 500MiB, 2GiB; 0 asks for nothing",
    ),
    check(
        "DEPLOYER_REQUIRE_REVISION",
        Text("warn"),
        "whether the image's label org.opencontainers.image.revision must begin with the request's sha: off, warn, or \
         on (then with the token's sha as well)",
    ),
    check(
        "DEPLOYER_ALLOW_DOWNGRADE",
        Text("yes"),
        "whether a version lower than the live one may be deployed: yes or no",
    ),
    check(
        "DEPLOYER_COSIGN_PATH",
        Unset,
        "cosign, an absolute path: the image's signature is checked before anything is touched; set all three or none",
    ),
    check(
        "DEPLOYER_COSIGN_IDENTITY",
        Unset,
        "who must have signed the image: the certificate's identity, exactly",
    ),
    check(
        "DEPLOYER_COSIGN_ISSUER",
        Unset,
        "who vouches for that identity: the certificate's OIDC issuer, exactly",
    ),
    check(
        "DEPLOYER_REGISTRY_USERNAME",
        Unset,
        "the name that docker logs in with for the pull; set both or none",
    ),
    // Read by `serve` too: a file that others may read refuses to start.
    Variable {
        readers: &[Reads::Serve, Reads::Run],
        ..check(
            "DEPLOYER_REGISTRY_PASSWORD_FILE",
            Unset,
            "its password or token: an absolute path to a file that only root can read",
        )
    },
    check(
        "DEPLOYER_KEEP_IMAGES",
        Text("3"),
        "versions of the image that stay on this host; older ones that no container uses go after a good deploy",
    ),
];
