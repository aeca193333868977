//! The variables of the terraform endpoints: known by name and default, so that an environment that has them is
//! accepted as it is and its secrets are known as such. This build reads none of them.

use super::table::Preset::{self, Follows, Text, Unset};
use super::table::{Reads, Variable, Visibility};

const fn tf(name: &'static str, preset: Preset, meaning: &'static str) -> Variable {
    Variable {
        name,
        preset,
        readers: &[Reads::Run],
        meaning,
        visibility: Visibility::Plain,
    }
}

const fn pin(name: &'static str, preset: Preset, meaning: &'static str) -> Variable {
    Variable {
        name,
        preset,
        readers: &[Reads::Session],
        meaning,
        visibility: Visibility::Plain,
    }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        preset: Preset::Unset,
        readers: &[Reads::Run],
        meaning,
        visibility: Visibility::Secret,
    }
}

/// See the module's head.
pub(super) const TERRAFORM: &[Variable] = &[
    pin(
        "DEPLOYER_TF_APPLY_REPOSITORY",
        Unset,
        "the repository whose workflow may apply and plan, OWNER/NAME",
    ),
    pin(
        "DEPLOYER_TF_APPLY_WORKFLOW_REF",
        Unset,
        "the workflow that may apply, exactly",
    ),
    tf(
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
    pin(
        "DEPLOYER_TF_APPLY_REF",
        Text("refs/heads/main"),
        "the git reference that may apply, exactly",
    ),
    pin(
        "DEPLOYER_TF_APPLY_AUDIENCE",
        Text("engram-tf-apply"),
        "the `aud` of a token for /tf-apply, exactly",
    ),
    pin(
        "DEPLOYER_TF_APPLY_CLAIMS",
        Unset,
        "further claims that must hold for /tf-apply, NAME=VALUE,NAME=VALUE",
    ),
    tf(
        "DEPLOYER_TF_APPLY_REPO_URL",
        Text("https://github.com/engram-app/engram-infra.git"),
        "where the configuration is fetched from",
    ),
    tf(
        "DEPLOYER_TF_APPLY_WORKDIR",
        Text("/var/lib/engram-deployer/tf"),
        "where terraform works",
    ),
    pin(
        "DEPLOYER_TF_PLAN_AUDIENCE",
        Text("engram-tf-plan"),
        "the `aud` of a token for /tf-plan, exactly",
    ),
    pin(
        "DEPLOYER_TF_PLAN_SUBJECT",
        Follows("`repo:REPOSITORY:pull_request` of DEPLOYER_TF_APPLY_REPOSITORY"),
        "the `sub` of a token for /tf-plan, or a comma-separated list of such",
    ),
    pin(
        "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX",
        Follows("`REPOSITORY/.github/workflows/tf-plan.yml@` of DEPLOYER_TF_APPLY_REPOSITORY"),
        "the workflow that may plan, up to and with the `@`",
    ),
    pin(
        "DEPLOYER_TF_PLAN_CLAIMS",
        Unset,
        "further claims that must hold for /tf-plan, NAME=VALUE,NAME=VALUE",
    ),
    tf(
        "DEPLOYER_TF_APPLY_GH_APP_ID",
        Unset,
        "the GitHub App that may read the repository",
    ),
    tf(
        "DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
        Unset,
        "its installation",
    ),
    tf(
        "DEPLOYER_TF_APPLY_GH_APP_PEM_PATH",
        Unset,
        "its private key, PEM: an absolute path",
    ),
    tf(
        "DEPLOYER_TF_BINARY_PATH",
        Text("terraform"),
        "the terraform program",
    ),
    tf("DEPLOYER_TF_GIT_BINARY_PATH", Text("git"), "the git program"),
    tf(
        "DEPLOYER_TF_AWS_REGION",
        Text("us-east-1"),
        "the region of terraform's state",
    ),
    tf(
        "DEPLOYER_TF_DOCKER_HOST",
        Text("unix:///var/run/docker.sock"),
        "the docker that terraform speaks to",
    ),
];
