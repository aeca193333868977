//! The commands of terraform, as data.

use super::commands::{JSON, Need, Opt, Spec, Verb, flag, valued};

const COMMIT: Opt = Opt {
    need: Need::Required,
    ..valued("--sha", "SHA", "the commit: 40 lower-case hex digits")
};
const MODULE: Opt = valued("--module", "NAME", "one of DEPLOYER_TF_MODULES");

pub(super) const TF_PLAN: Spec = Spec {
    verb: Verb::TfPlan,
    name: "tf-plan",
    operand: None,
    options: &[COMMIT, MODULE, JSON],
    summary: "plan a commit with terraform from this host",
    about: "Starts the same run as a request to /tf-plan and shows the same lines. It\n\
            changes nothing; the last line has the digest of the plan.",
};

pub(super) const TF_APPLY: Spec = Spec {
    verb: Verb::TfApply,
    name: "tf-apply",
    operand: None,
    options: &[
        COMMIT,
        MODULE,
        valued(
            "--plan-digest",
            "DIGEST",
            "stop if the plan is another one by now",
        ),
        flag("--allow-destroy", None, "even beyond DEPLOYER_TF_DESTROY_LIMIT"),
        JSON,
    ],
    summary: "apply a commit with terraform from this host",
    about: "Starts the same run as a request to /tf-apply and shows the same lines: a plan,\n\
            and that very plan applied. The commit must be on DEPLOYER_TF_APPLY_REF. When\n\
            this command is ended, the run goes on; `cancel` ends it.",
};

pub(super) const DRIFT: Spec = Spec {
    verb: Verb::Drift,
    name: "drift",
    operand: None,
    options: &[
        MODULE,
        valued("--sha", "SHA", "the commit (default: DEPLOYER_TF_APPLY_REF's)"),
        JSON,
    ],
    summary: "ask terraform what has drifted from its state",
    about: "Compares what is there with terraform's state, and changes nothing; for a timer.\n\
            The exit status is that of the run; whether anything has drifted is in its last\n\
            line.",
};
