//! The commands of terraform, as data.

use super::commands::{JSON, Opt, Spec, Verb, command, flag, valued};

pub const COMMIT: Opt = valued("--sha", "SHA", "the commit: 40 lower-case hex digits");
pub const MODULE: Opt = valued("--module", "NAME", "one of DEPLOYER_TF_MODULES");
pub const PLAN_DIGEST: Opt = valued(
    "--plan-digest",
    "DIGEST",
    "stop if the plan is another one by now",
);
pub const ALLOW_DESTROY: Opt = flag("--allow-destroy", "even beyond DEPLOYER_TF_DESTROY_LIMIT");

pub(super) const TF_PLAN: Spec = Spec {
    required: &[COMMIT],
    ..command(
        Verb::TfPlan,
        "tf-plan",
        &[MODULE, JSON],
        "plan a commit with terraform from this host",
        "Starts the same run as a request to /tf-plan and shows the same lines. It\n\
         changes nothing; the last line has the digest of the plan.",
    )
};

pub(super) const TF_APPLY: Spec = Spec {
    required: &[COMMIT],
    ..command(
        Verb::TfApply,
        "tf-apply",
        &[MODULE, PLAN_DIGEST, ALLOW_DESTROY, JSON],
        "apply a commit with terraform from this host",
        "Starts the same run as a request to /tf-apply and shows the same lines: a plan,\n\
         and that very plan applied. The commit must be on DEPLOYER_TF_APPLY_REF. When\n\
         this command is ended, the run goes on; `cancel` ends it.",
    )
};

pub(super) const DRIFT: Spec = command(
    Verb::Drift,
    "drift",
    &[
        MODULE,
        valued("--sha", "SHA", "the commit (default: DEPLOYER_TF_APPLY_REF's)"),
        JSON,
    ],
    "ask terraform what has drifted from its state",
    "Compares what is there with terraform's state, and changes nothing; for a timer.\n\
     The exit status is that of the run; whether anything has drifted is in its last\n\
     line.",
);
