//! The commands of terraform, as data.

use super::commands::{JSON, Opt, Spec, Verb, command, flag, valued};

pub const COMMIT: Opt = valued("--sha", "SHA", "the commit: 40 lower-case hex digits");
const ANY_COMMIT: Opt = valued("--sha", "SHA", "the commit (default: DEPLOYER_TF_APPLY_REF's)");
pub const MODULE: Opt = valued("--module", "NAME", "one of DEPLOYER_TF_MODULES");
pub const PLAN_DIGEST: Opt = valued(
    "--plan-digest",
    "DIGEST",
    "stop if the plan is another one by now",
);
pub const ALLOW_DESTROY: Opt = flag("--allow-destroy", "even beyond DEPLOYER_TF_DESTROY_LIMIT");

pub(super) const TF_PLAN: Spec = Spec {
    required: &[COMMIT],
    ..command(Verb::TfPlan, "tf-plan", &[MODULE, JSON])
};

pub(super) const TF_APPLY: Spec = Spec {
    required: &[COMMIT],
    ..command(
        Verb::TfApply,
        "tf-apply",
        &[MODULE, PLAN_DIGEST, ALLOW_DESTROY, JSON],
    )
};

pub(super) const DRIFT: Spec = command(Verb::Drift, "drift", &[MODULE, ANY_COMMIT, JSON]);
