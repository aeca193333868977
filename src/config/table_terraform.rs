//! The variables of the terraform endpoints. They are read where one of the five first ones is set, and else not at all.

use super::table::Preset::{Follows, Text, Unset};
use super::table::{Reads, Variable, of_run, of_session, secret};

/// See the module's head.
pub(super) const TERRAFORM: &[Variable] = &[
    of_session(
        "DEPLOYER_TF_APPLY_REPOSITORY",
        Unset,
        "the repository whose workflow may apply and plan, OWNER/NAME",
    ),
    of_session(
        "DEPLOYER_TF_APPLY_WORKFLOW_REF",
        Unset,
        "the workflow that may apply, exactly",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_ROOT_DIR",
        Unset,
        "the folder in the repository where terraform runs",
    ),
    secret(
        "DEPLOYER_TF_AWS_ACCESS_KEY_ID",
        "the id of the key to terraform's state",
    ),
    secret(
        "DEPLOYER_TF_AWS_SECRET_ACCESS_KEY",
        "the key to terraform's state",
    ),
    of_session(
        "DEPLOYER_TF_APPLY_REF",
        Text("refs/heads/main"),
        "the git reference that may apply, exactly",
    ),
    of_session(
        "DEPLOYER_TF_APPLY_AUDIENCE",
        Text("engram-tf-apply"),
        "the `aud` of a token for /tf-apply, exactly",
    ),
    of_session(
        "DEPLOYER_TF_APPLY_CLAIMS",
        Unset,
        "further claims that must hold for /tf-apply, NAME=VALUE,NAME=VALUE",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_REPO_URL",
        Text("https://github.com/engram-app/engram-infra.git"),
        "where the configuration is fetched from",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_WORKDIR",
        Text("/var/lib/engram-deployer/tf"),
        "where terraform works",
    ),
    of_session(
        "DEPLOYER_TF_PLAN_AUDIENCE",
        Text("engram-tf-plan"),
        "the `aud` of a token for /tf-plan, exactly",
    ),
    of_session(
        "DEPLOYER_TF_PLAN_SUBJECT",
        Follows("`repo:REPOSITORY:pull_request` of DEPLOYER_TF_APPLY_REPOSITORY"),
        "the `sub` of a token for /tf-plan, or a comma-separated list of such",
    ),
    of_session(
        "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX",
        Follows("`REPOSITORY/.github/workflows/tf-plan.yml@` of DEPLOYER_TF_APPLY_REPOSITORY"),
        "the workflow that may plan, up to and with the `@`",
    ),
    of_session(
        "DEPLOYER_TF_PLAN_CLAIMS",
        Unset,
        "further claims that must hold for /tf-plan, NAME=VALUE,NAME=VALUE",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_GH_APP_ID",
        Unset,
        "the GitHub App that may read the repository",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
        Unset,
        "its installation",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
        Unset,
        "its private key, PEM: an absolute path",
    ),
    of_run(
        "DEPLOYER_TF_BINARY_PATH",
        Text("terraform"),
        "the terraform program",
    ),
    of_run("DEPLOYER_TF_GIT_BINARY_PATH", Text("git"), "the git program"),
    of_run(
        "DEPLOYER_TF_AWS_REGION",
        Text("us-east-1"),
        "the region of terraform's state",
    ),
    of_run(
        "DEPLOYER_TF_DOCKER_HOST",
        Text("unix:///var/run/docker.sock"),
        "the docker that an apply speaks to",
    ),
    of_run(
        "DEPLOYER_TF_PLAN_WORKDIR",
        Text("/var/lib/engram-deployer-plan"),
        "where the files of a plan lie: an absolute path outside all other folders of ours",
    ),
    of_run(
        "DEPLOYER_TF_PLAN_USER",
        Text("65523"),
        "whom a plan runs as: a user of its own, or a number that is uid and gid",
    ),
    of_run(
        "DEPLOYER_TF_APPLY_USER",
        Text("root"),
        "whom an apply runs as: `root`, a user, or a number that is uid and gid",
    ),
    secret(
        "DEPLOYER_TF_PLAN_AWS_ACCESS_KEY_ID",
        "the id of the key that a plan reads terraform's state with; set both or none",
    ),
    secret(
        "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY",
        "the key that a plan reads terraform's state with: one that can only read",
    ),
    of_run(
        "DEPLOYER_TF_PLAN_SHARE_CREDENTIALS",
        Text("no"),
        "whether a plan, which runs what a pull request brings, gets the key of an apply: yes or no",
    ),
    of_run(
        "DEPLOYER_TF_PLAN_DOCKER_HOST",
        Unset,
        "the docker that a plan may speak to: whoever can is root on that host",
    ),
    of_session(
        "DEPLOYER_TF_APPLY_REQUIRE_SHA",
        Text("on"),
        "whether an apply's sha must be the token's: on or off",
    ),
    of_session(
        "DEPLOYER_TF_APPLY_REQUIRE_DIGEST",
        Text("off"),
        "whether an apply must name the digest of the plan that was reviewed: on or off",
    ),
    of_run(
        "DEPLOYER_TF_DESTROY_LIMIT",
        Unset,
        "how much a plan may destroy without `allow_destroy`: a number",
    ),
    Variable {
        readers: &[Reads::Session, Reads::Front, Reads::Run],
        ..of_run(
            "DEPLOYER_TF_MODULES",
            Unset,
            "further folders where terraform can run, by name: NAME=PATH,NAME=PATH",
        )
    },
    of_run(
        "DEPLOYER_TF_HEALTH_URLS",
        Unset,
        "what must answer 200 after an apply, by module: NAME=URL,NAME=URL",
    ),
    of_run(
        "DEPLOYER_TF_RUN_MAX",
        Text("60m"),
        "how long a run of terraform may take from its turn on",
    ),
    of_run(
        "DEPLOYER_TF_LOCK_TIMEOUT",
        Text("5m"),
        "how long terraform waits for a state that is locked",
    ),
    of_run(
        "DEPLOYER_TF_LOCKFILE",
        Text("readonly"),
        "what becomes of .terraform.lock.hcl: readonly, or update",
    ),
    of_run(
        "DEPLOYER_TF_CLI_CONFIG_FILE",
        Unset,
        "terraform's own settings in the place of ours: an absolute path",
    ),
    of_run(
        "DEPLOYER_TF_PLUGIN_CACHE_DIR",
        Unset,
        "a folder with providers that were fetched before: an absolute path",
    ),
    of_run(
        "DEPLOYER_GITHUB_API_URL",
        Text("https://api.github.com"),
        "GitHub's API, or that of an Enterprise: https, or http to loopback",
    ),
];
