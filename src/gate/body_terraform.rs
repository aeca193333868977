//! What a body for terraform must be. Whatever would have no effect is refused rather than ignored: who sends `dry_run`
//! to an apply, or a digest to a plan, believes something that is not so.

use serde_json::Value;

use super::body::{Task, TerraformTask, required, switch, text};
use super::{Refusal, Result};
use crate::config::{Job, TerraformBody};
use crate::jwt::json::Members;

const DRY_RUN: &str = "dry_run is not for terraform: /tf-plan shows what would change, and changes nothing";
const NO_DIGEST: &str = "plan_digest is required: that of the plan that was reviewed";

/// Reads it by the endpoint's rule.
pub fn read(members: &Members, rule: &TerraformBody) -> Result<Task> {
    let sha = required(members, "sha")?;
    if switch(members, "dry_run")? {
        return Err(Refusal::body(DRY_RUN, "dry_run is true"));
    }
    for name in ["plan_digest", "allow_destroy"] {
        if let Some(value) = members.get(name).filter(|_| rule.what != Job::TfApply) {
            return Err(Refusal::body(format!("{name} is for /tf-apply alone"), value));
        }
    }
    let plan_digest = text(members, "plan_digest")?;
    if rule.require_digest && plan_digest.is_none() {
        return Err(Refusal::body(NO_DIGEST, "no plan_digest"));
    }
    Ok(Task::Terraform(TerraformTask {
        what: rule.what,
        sha: Some(sha),
        plan_digest,
        allow_destroy: switch(members, "allow_destroy")?,
        approved_pr: approved_pr(members)?,
        module: module(members, &rule.modules)?,
    }))
}

fn approved_pr(members: &Members) -> Result<Option<u64>> {
    let number = |value: &Value| {
        let number = value.as_u64().filter(|number| *number > 0);
        number.ok_or_else(|| Refusal::body("approved_pr must be a whole number above 0", value))
    };
    members.get("approved_pr").map(number).transpose()
}

/// One of the modules, byte for byte: a path, or anything else that a request could make up, is none.
fn module(members: &Members, modules: &[String]) -> Result<Option<String>> {
    match members.get("module") {
        None => Ok(None),
        Some(Value::String(name)) if modules.contains(name) => Ok(Some(name.clone())),
        Some(Value::String(name)) => Err(Refusal::module(modules, name)),
        Some(other) => Err(Refusal::body("module must be the name of a module", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BodyRule;
    use crate::gate::body;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn rule(what: Job) -> TerraformBody {
        TerraformBody {
            what,
            modules: vec!["default".into(), "dashboard".into()],
            require_sha: true,
            require_digest: false,
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
        assert_eq!(refusal.status, 400, "{more}");
        refusal.sentence.into_owned()
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
                (refusal.status, &*refusal.sentence),
                (400, "sha must be a 40-character lowercase hex string"),
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
                (refusal.status, &*refusal.sentence),
                (403, "module not permitted; there are: default, dashboard"),
                "{bad}"
            );
        }
        for bad in ["7", "null", "[\"default\"]"] {
            assert_eq!(
                refused(Job::TfPlan, &format!(r#","module":{bad}"#)),
                "module must be the name of a module"
            );
        }
    }

    #[test]
    fn a_dry_run_is_refused_and_not_applied() {
        for what in [Job::TfPlan, Job::TfApply] {
            assert!(refused(what, r#","dry_run":true"#).contains("/tf-plan"));
            assert_eq!(
                refused(what, r#","dry_run":"true""#),
                "dry_run must be true or false"
            );
        }
    }

    #[test]
    fn what_only_an_apply_can_do_is_refused_in_a_plan() {
        let digest = format!(r#","plan_digest":"{}""#, digest());
        assert_eq!(
            refused(Job::TfPlan, &digest),
            "plan_digest is for /tf-apply alone"
        );
        assert_eq!(
            refused(Job::TfPlan, r#","allow_destroy":true"#),
            "allow_destroy is for /tf-apply alone"
        );
        assert_eq!(
            refused(Job::TfPlan, r#","allow_destroy":false"#),
            "allow_destroy is for /tf-apply alone"
        );
    }

    #[test]
    fn a_digest_may_be_asked_for() {
        let strict = || TerraformBody {
            require_digest: true,
            ..rule(Job::TfApply)
        };
        let refusal = ask(strict(), "").expect_err("no digest");
        assert_eq!((refusal.status, &*refusal.sentence), (400, NO_DIGEST));
        assert!(ask(strict(), &format!(r#","plan_digest":"{}""#, digest())).is_ok());
    }

    #[test]
    fn a_mistyped_member_does_not_count_as_absent() {
        for bad in ["\"\"", "null", "7", "\"sha256:0\"", "\"sha512:\"", "[]"] {
            let more = format!(r#","plan_digest":{bad}"#);
            assert_eq!(
                refused(Job::TfApply, &more),
                "plan_digest must be sha256: and 64 lowercase hex characters",
                "{bad}"
            );
        }
        for bad in ["\"true\"", "1", "null"] {
            let more = format!(r#","allow_destroy":{bad}"#);
            assert_eq!(
                refused(Job::TfApply, &more),
                "allow_destroy must be true or false",
                "{bad}"
            );
        }
        for bad in ["0", "-1", "1.5", "1e3", "\"7\"", "null", "99999999999999999999"] {
            let more = format!(r#","approved_pr":{bad}"#);
            assert_eq!(
                refused(Job::TfPlan, &more),
                "approved_pr must be a whole number above 0",
                "{bad}"
            );
        }
    }
}
