//! What a token must say for `/tf-apply` and for `/tf-plan`. Both are of one repository; they differ in audience, branch
//! and workflow, so that a token for one opens no other.
//!
//! Only issuers whose tokens name a repository and a workflow as GitHub's do can be pinned here; Forgejo's do.

use super::pins::{can_hold, claims, exact, exact_list, of_this_repository, pin, repository, workflow_refs};
use super::reader::Reader;
use super::{Expected, Pin, tf_value};

const REPOSITORY: &str = "DEPLOYER_TF_APPLY_REPOSITORY";
const WORKFLOW_REF: &str = "DEPLOYER_TF_APPLY_WORKFLOW_REF";
const AUDIENCES: [&str; 2] = ["DEPLOYER_TF_APPLY_AUDIENCE", "DEPLOYER_TF_PLAN_AUDIENCE"];
const PREFIX: &str = "DEPLOYER_TF_PLAN_WORKFLOW_REF_PREFIX";

/// What one endpoint wants of a token.
pub(super) struct Wanted {
    pub audience: String,
    pub pins: Vec<Pin>,
}

/// What both want, and the reference that they share with git.
pub(super) struct Both {
    pub apply: Wanted,
    pub plan: Wanted,
    pub reference: String,
}

/// Reads the pins of both. `deploy` is the audience of `/deploy`. `None` only after a complaint.
pub(super) fn pins(r: &mut Reader, deploy: Option<&str>) -> Option<Both> {
    let repository = r.read(REPOSITORY, repository);
    let workflow = r.read(WORKFLOW_REF, workflow_refs);
    let reference = r.read("DEPLOYER_TF_APPLY_REF", tf_value::reference);
    let audiences = audiences(r, deploy);
    let apply_more = r.optional("DEPLOYER_TF_APPLY_CLAIMS", claims);
    let plan_more = r.optional("DEPLOYER_TF_PLAN_CLAIMS", claims);
    let subject = r.optional("DEPLOYER_TF_PLAN_SUBJECT", exact_list);
    let prefix = r.optional(PREFIX, prefix);
    let (repository, workflow, reference) = (repository?, workflow?, reference?);
    of_this_repository(r, (REPOSITORY, &repository), (WORKFLOW_REF, &workflow))?;
    let subject = subject?.unwrap_or_else(|| vec![format!("repo:{repository}:pull_request")]);
    let prefix = prefix?.unwrap_or_else(|| format!("{repository}/.github/workflows/tf-plan.yml@"));
    of_this_repository(
        r,
        (REPOSITORY, &repository),
        (PREFIX, std::slice::from_ref(&prefix)),
    )?;
    let apply = vec![
        pin("repository", vec![repository.clone()]),
        pin("ref", vec![reference.clone()]),
        pin("workflow_ref", workflow),
    ];
    let plan = vec![
        pin("repository", vec![repository]),
        pin("sub", subject),
        Pin {
            claim: "workflow_ref".into(),
            expected: Expected::PullRequestOf(prefix),
        },
    ];
    let apply = with(r, "DEPLOYER_TF_APPLY_CLAIMS", apply, apply_more?);
    let plan = with(r, "DEPLOYER_TF_PLAN_CLAIMS", plan, plan_more?);
    let [apply_audience, plan_audience] = audiences?;
    Some(Both {
        apply: Wanted {
            audience: apply_audience,
            pins: apply?,
        },
        plan: Wanted {
            audience: plan_audience,
            pins: plan?,
        },
        reference,
    })
}

/// The pins with those of the list in the variable `name`.
fn with(r: &mut Reader, name: &'static str, own: Vec<Pin>, listed: Option<Vec<Pin>>) -> Option<Vec<Pin>> {
    let listed = listed.unwrap_or_default();
    can_hold(r, name, &own, &listed)?;
    Some(own.into_iter().chain(listed).collect())
}

/// The audience is what tells a token for one endpoint from a token for another, so no two may have the same.
fn audiences(r: &mut Reader, deploy: Option<&str>) -> Option<[String; 2]> {
    let [apply, plan] = AUDIENCES.map(|name| r.read(name, exact));
    let mut taken: Vec<&str> = deploy.into_iter().collect();
    let mut all_differ = true;
    for (name, audience) in AUDIENCES.into_iter().zip([&apply, &plan]) {
        let Some(audience) = audience.as_deref() else {
            continue;
        };
        if taken.contains(&audience) {
            all_differ = false;
            r.complain(
                name,
                "an audience that no other endpoint has: a token for one opens no other",
            );
        }
        taken.push(audience);
    }
    match all_differ {
        true => Some([apply?, plan?]),
        false => None,
    }
}

/// A workflow up to its `@`: a pull request's reference varies, and follows.
fn prefix(text: &str) -> Result<String, String> {
    let file = exact(text)?;
    let good = file
        .strip_suffix('@')
        .is_some_and(|file| file.contains('/') && !file.contains('@'));
    match good {
        true => Ok(text.to_owned()),
        false => {
            Err("OWNER/NAME/.github/workflows/FILE@, up to and with the `@`, and nothing after it".into())
        }
    }
}
