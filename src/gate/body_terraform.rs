//! What a body for terraform must be. Whatever would have no effect is refused rather than ignored: who sends `dry_run`
//! to an apply, or a digest to a plan, believes something that is not so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Refusal;
use super::body::{BAD_DRY_RUN, Task, TerraformTask, refuse, switch, text};
use crate::config::{Job, RequireDigest, TerraformBody};

const BAD_COMMIT: &str = "sha must be a 40-character lowercase hex string";
const BAD_MODULE: &str = "module must be the name of a module";
const BAD_PLAN_DIGEST: &str = "plan_digest must be sha256: and 64 lowercase hex characters";
const BAD_ALLOW_DESTROY: &str = "allow_destroy must be true or false";
const BAD_APPROVED_PR: &str = "approved_pr must be a whole number above 0";
const DRY_RUN: &str = "dry_run is not for terraform: /tf-plan shows what would change, and changes nothing";
const DIGEST_OF_A_PLAN: &str = "plan_digest is for /tf-apply alone";
const DESTROY_BY_A_PLAN: &str = "allow_destroy is for /tf-apply alone";
const NO_DIGEST: &str = "plan_digest is required: that of the plan that was reviewed";

type Members = BTreeMap<String, Value>;

/// Reads it by the endpoint's rule.
pub fn read(members: &Members, rule: &TerraformBody) -> Result<Task, Refusal> {
    let sha = text(members, "sha", BAD_COMMIT)?.ok_or_else(|| refuse(BAD_COMMIT, "no sha"))?;
    if switch(members, "dry_run", BAD_DRY_RUN)? {
        return Err(refuse(DRY_RUN, "dry_run is true"));
    }
    if rule.what != Job::TfApply {
        without_effect(members)?;
    }
    let plan_digest = text(members, "plan_digest", BAD_PLAN_DIGEST)?;
    if rule.digest == RequireDigest::On && plan_digest.is_none() {
        return Err(refuse(NO_DIGEST, "no plan_digest"));
    }
    Ok(Task::Terraform(TerraformTask {
        what: rule.what,
        sha: Some(sha),
        plan_digest,
        allow_destroy: switch(members, "allow_destroy", BAD_ALLOW_DESTROY)?,
        approved_pr: approved_pr(members)?,
        module: module(members, &rule.modules)?,
    }))
}

/// What only an apply can be told.
fn without_effect(members: &Members) -> Result<(), Refusal> {
    for (name, sentence) in [
        ("plan_digest", DIGEST_OF_A_PLAN),
        ("allow_destroy", DESTROY_BY_A_PLAN),
    ] {
        if let Some(value) = members.get(name) {
            return Err(refuse(sentence, value));
        }
    }
    Ok(())
}

fn approved_pr(members: &Members) -> Result<Option<u64>, Refusal> {
    let number = |value: &Value| {
        let number = value.as_u64().filter(|number| *number > 0);
        number.ok_or_else(|| refuse(BAD_APPROVED_PR, value))
    };
    members.get("approved_pr").map(number).transpose()
}

/// One of the modules, byte for byte: a path, or anything else that a request could make up, is none.
fn module(members: &Members, modules: &[String]) -> Result<Option<String>, Refusal> {
    match members.get("module") {
        None => Ok(None),
        Some(Value::String(name)) if modules.contains(name) => Ok(Some(name.clone())),
        Some(Value::String(name)) => Err(Refusal::Module {
            allowed: modules.to_vec(),
            detail: format!("module is {name:?}"),
        }),
        Some(other) => Err(refuse(BAD_MODULE, other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BodyRule, RequireSha};
    use crate::gate::body;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn rule(what: Job) -> TerraformBody {
        TerraformBody {
            what,
            modules: vec!["default".into(), "dashboard".into()],
            sha: RequireSha::On,
            digest: RequireDigest::Off,
        }
    }

    fn ask(rule: TerraformBody, more: &str) -> Result<TerraformTask, Refusal> {
        let text = format!(r#"{{"sha":"{SHA}"{more}}}"#);
        match body::read(&BodyRule::Terraform(rule), text.as_bytes())? {
            Task::Terraform(ask) => Ok(ask),
            Task::Deploy(ask) => panic!("{ask:?}"),
        }
    }

    fn refused(what: Job, more: &str) -> String {
        let refusal = ask(rule(what), more).expect_err(more);
        assert_eq!(refusal.status(), 400, "{more}");
        refusal.sentence().into_owned()
    }

    fn digest() -> String {
        format!("sha256:{}", "0".repeat(64))
    }

    #[test]
    fn a_good_body_is_what_it_says() {
        for what in [Job::TfPlan, Job::TfApply] {
            let least = ask(rule(what), "").expect("a good body");
            assert_eq!((least.what, least.module.as_deref()), (what, None));
            assert_eq!(least.sha.expect("a commit").to_string(), SHA);
            let more = r#","module":"dashboard","approved_pr":7,"dry_run":false,"unknown":[1]"#;
            let more = ask(rule(what), more).expect("a good body");
            assert_eq!(
                (more.module.as_deref(), more.approved_pr),
                (Some("dashboard"), Some(7))
            );
        }
        let all = format!(r#","plan_digest":"{}","allow_destroy":true"#, digest());
        let all = ask(rule(Job::TfApply), &all).expect("a good body");
        assert_eq!(
            (all.plan_digest.map(String::from), all.allow_destroy),
            (Some(digest()), true)
        );
    }

    #[test]
    fn a_commit_is_forty_lower_case_hex_digits() {
        let short = &SHA[1..];
        let upper = SHA.to_uppercase();
        for bad in [
            "{}".to_owned(),
            format!(r#"{{"sha":"{short}"}}"#),
            format!(r#"{{"sha":"{SHA}0"}}"#),
            format!(r#"{{"sha":"{upper}"}}"#),
            format!(r#"{{"sha":"{SHA} "}}"#),
            format!(r#"{{"sha":["{SHA}"]}}"#),
            r#"{"sha":"refs/heads/main"}"#.to_owned(),
            r#"{"sha":null}"#.to_owned(),
        ] {
            let rule = BodyRule::Terraform(rule(Job::TfApply));
            let refusal = body::read(&rule, bad.as_bytes()).expect_err(&bad);
            assert_eq!(
                (refusal.status(), &*refusal.sentence()),
                (400, BAD_COMMIT),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_module_that_is_not_listed_is_refused_with_the_list_and_without_its_name() {
        for bad in [
            "",
            "Dashboard",
            "dashboard ",
            "../dashboard",
            "infra",
            "default,dashboard",
        ] {
            let more = format!(r#","module":"{bad}""#);
            let refusal = ask(rule(Job::TfPlan), &more).expect_err(bad);
            assert_eq!(
                (refusal.status(), &*refusal.sentence()),
                (403, "module not permitted; there are: default, dashboard"),
                "{bad}"
            );
        }
        for bad in ["7", "null", "[\"default\"]"] {
            assert_eq!(refused(Job::TfPlan, &format!(r#","module":{bad}"#)), BAD_MODULE);
        }
    }

    #[test]
    fn a_dry_run_is_refused_and_not_applied() {
        for what in [Job::TfPlan, Job::TfApply] {
            assert!(refused(what, r#","dry_run":true"#).contains("/tf-plan"));
            assert_eq!(refused(what, r#","dry_run":"true""#), BAD_DRY_RUN);
        }
    }

    #[test]
    fn what_only_an_apply_can_do_is_refused_in_a_plan() {
        let digest = format!(r#","plan_digest":"{}""#, digest());
        assert_eq!(refused(Job::TfPlan, &digest), DIGEST_OF_A_PLAN);
        assert_eq!(
            refused(Job::TfPlan, r#","allow_destroy":true"#),
            DESTROY_BY_A_PLAN
        );
        assert_eq!(
            refused(Job::TfPlan, r#","allow_destroy":false"#),
            DESTROY_BY_A_PLAN
        );
    }

    #[test]
    fn a_digest_may_be_asked_for() {
        let strict = || TerraformBody {
            digest: RequireDigest::On,
            ..rule(Job::TfApply)
        };
        let refusal = ask(strict(), "").expect_err("no digest");
        assert_eq!((refusal.status(), &*refusal.sentence()), (400, NO_DIGEST));
        assert!(ask(strict(), &format!(r#","plan_digest":"{}""#, digest())).is_ok());
    }

    #[test]
    fn a_mistyped_member_does_not_count_as_absent() {
        for bad in ["\"\"", "null", "7", "\"sha256:0\"", "\"sha512:\"", "[]"] {
            let more = format!(r#","plan_digest":{bad}"#);
            assert_eq!(refused(Job::TfApply, &more), BAD_PLAN_DIGEST, "{bad}");
        }
        for bad in ["\"true\"", "1", "null"] {
            let more = format!(r#","allow_destroy":{bad}"#);
            assert_eq!(refused(Job::TfApply, &more), BAD_ALLOW_DESTROY, "{bad}");
        }
        for bad in ["0", "-1", "1.5", "1e3", "\"7\"", "null", "99999999999999999999"] {
            let more = format!(r#","approved_pr":{bad}"#);
            assert_eq!(refused(Job::TfPlan, &more), BAD_APPROVED_PR, "{bad}");
        }
    }
}
