//! The variables of what a deploy asks before it touches anything, of the registry login, and of cleaning up.

use super::table::Preset::{Text, Unset};
use super::table::{Reads, Variable, of_run};

/// See the module's head.
pub(super) const CHECKS: &[Variable] = &[
    of_run(
        "DEPLOYER_MIN_FREE",
        Text("1GiB"),
        "what must be free on docker's disk before an image is pulled: 500MiB, 2GiB; 0 asks for nothing",
    ),
    of_run(
        "DEPLOYER_REQUIRE_REVISION",
        Text("warn"),
        "whether the image's label org.opencontainers.image.revision must begin with the request's sha: off, warn, or \
         on (then with the token's sha as well)",
    ),
    of_run(
        "DEPLOYER_ALLOW_DOWNGRADE",
        Text("yes"),
        "whether a version lower than the live one may be deployed: yes or no",
    ),
    of_run(
        "DEPLOYER_COSIGN_PATH",
        Unset,
        "cosign, an absolute path: the image's signature is checked before anything is touched; set all three or none",
    ),
    of_run(
        "DEPLOYER_COSIGN_IDENTITY",
        Unset,
        "who must have signed the image: the certificate's identity, exactly",
    ),
    of_run(
        "DEPLOYER_COSIGN_ISSUER",
        Unset,
        "who vouches for that identity: the certificate's OIDC issuer, exactly",
    ),
    of_run(
        "DEPLOYER_REGISTRY_USERNAME",
        Unset,
        "the name that docker logs in with for the pull; set both or none",
    ),
    // Read by `serve` too: a file that others may read refuses to start.
    Variable {
        readers: &[Reads::Serve, Reads::Run],
        ..of_run(
            "DEPLOYER_REGISTRY_PASSWORD_FILE",
            Unset,
            "its password or token: an absolute path to a file that only root can read",
        )
    },
    of_run(
        "DEPLOYER_KEEP_IMAGES",
        Text("3"),
        "versions of the image that stay on this host; older ones that no container uses go after a good deploy",
    ),
];
