//! Where the pulled image comes from: the commit that it names, and who signed it. Before anything is touched.
//!
//! The label is the builder's word and proves nothing against a builder; it finds a tag that was built from something
//! else than the caller thinks. The signature proves who built it; whatever keeps it from being checked refuses.

use super::Deploy;
use super::docker::last_words;
use super::image::VerifiedImage;
use crate::config::{Cosign, Revision};
use crate::limits::COSIGN_DEADLINE;
use crate::run::{Failure, Result, RunContext, Tool};

const LABEL: &str = "org.opencontainers.image.revision";

/// Compares the commit that the image itself names with what was asked for.
pub(super) fn check_revision(deploy: &Deploy, ctx: &mut RunContext, label: Option<&str>) -> Result {
    let rule = ctx.config.deploy().revision;
    let asked = deploy.task.sha.as_ref().map(|sha| sha.as_str());
    let judged = judge(rule, label, asked, deploy.token_sha);
    if let Some(warning) = judged.map_err(|why| format!("{}: {why}", deploy.reference))? {
        ctx.tell(&format!("warning: {warning}"));
    }
    Ok(())
}

/// Has cosign check the signature of the digest; who signed it. Where the image comes from the record and not from its
/// registry, an earlier yes for this very image counts.
pub(super) fn check_signature(
    deploy: &Deploy,
    ctx: &mut RunContext,
    image: &VerifiedImage,
    cosign: &Cosign,
) -> Result<String> {
    let config = ctx.config.deploy();
    let signer = format!("{}, says {}", cosign.identity, cosign.issuer);
    if image.release.signed_by.as_ref() == Some(&signer) {
        ctx.tell(&format!(
            "{} was signed by {signer}: so it was found before",
            image.id
        ));
        return Ok(signer);
    }
    let reference = &deploy.reference;
    let unsigned =
        |why: &str| Failure::failed(format!("the signature of {reference} was not verified: {why}"));
    let digest = image.release.digest.as_ref();
    let digest = digest.ok_or_else(|| unsigned("the registry named no digest"))?;
    let image = format!("{}@{digest}", config.image);
    let arguments = [
        "verify",
        "--certificate-identity",
        &cosign.identity,
        "--certificate-oidc-issuer",
        &cosign.issuer,
        &image,
    ];
    let tool = Tool {
        arguments: arguments.map(Into::into).into(),
        environment: config.environment.clone(),
        ..Tool::new(&cosign.program, COSIGN_DEADLINE)
    };
    // What it prints on success is the signatures themselves.
    let ended = ctx.tool(&tool, &mut |_| None)?;
    if !ended.exit.is_success() {
        return Err(unsigned(&last_words(&ended.tail, ended.exit)));
    }
    ctx.tell(&format!("{image} was signed by {signer}"));
    Ok(signer)
}

/// A warning, if one is due; an error refuses. `asked` is the request's commit, 7 to 40 digits; `token` is what the CI job
/// that asks runs on.
fn judge(
    rule: Revision,
    label: Option<&str>,
    asked: Option<&str>,
    token: Option<&str>,
) -> Result<Option<String>, String> {
    let wrong =
        |label: &str, who, sha| format!("the image's label {LABEL} says {label}, the {who} says {sha}");
    match (rule, label) {
        (Revision::Off, _) | (Revision::Warn, None) => Ok(None),
        (Revision::Warn, Some(label)) => {
            let other = asked.filter(|sha| !label.starts_with(sha) && !sha.starts_with(label));
            Ok(other.map(|sha| wrong(label, "request", sha)))
        }
        (Revision::On, _) if asked.or(token).is_none() => Ok(Some(
            "no commit was named to compare the image's label with".into(),
        )),
        (Revision::On, None) => Err(format!(
            "the image has no label {LABEL}, and DEPLOYER_REQUIRE_REVISION=on wants one"
        )),
        (Revision::On, Some(label)) => {
            for (who, sha) in [("request", asked), ("token", token)] {
                if let Some(sha) = sha.filter(|sha| !label.starts_with(sha)) {
                    return Err(wrong(label, who, sha));
                }
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "abc1234def";

    #[test]
    fn by_default_another_commit_is_worth_a_warning_and_no_more() {
        let judge = |label, asked| judge(Revision::Warn, label, asked, Some("fff"));
        for (label, asked) in [
            (Some(WHOLE), Some("abc1234")),
            (Some("abc1234"), Some(WHOLE)),
            (None, Some(WHOLE)),
            (Some(WHOLE), None),
        ] {
            assert_eq!(judge(label, asked), Ok(None), "{label:?} {asked:?}");
        }
        let warning = judge(Some("fff"), Some("abc1234")).unwrap().unwrap();
        assert!(warning.contains("says fff, the request says abc1234"));
    }

    #[test]
    fn where_it_is_required_another_commit_refuses() {
        let judge = |label, asked, token| judge(Revision::On, label, asked, token);
        assert_eq!(judge(Some(WHOLE), Some("abc1234"), Some(WHOLE)), Ok(None));
        assert_eq!(judge(Some(WHOLE), Some("abc1234"), None), Ok(None));
        assert_eq!(judge(Some(WHOLE), None, Some(WHOLE)), Ok(None));
        assert!(judge(Some(WHOLE), None, None).unwrap().is_some());
        for (label, asked, token, why) in [
            (Some("fff"), Some("abc1234"), None, "the request says abc1234"),
            (Some(WHOLE), Some("abc1234"), Some("fff"), "the token says fff"),
            (Some("abc1234"), Some(WHOLE), None, "the request says"),
            (None, Some("abc1234"), None, "no label"),
            (None, None, Some(WHOLE), "no label"),
        ] {
            let said = judge(label, asked, token).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn nothing_is_held_against_anything_when_switched_off() {
        assert_eq!(judge(Revision::Off, Some("fff"), Some("abc1234"), None), Ok(None));
    }
}
