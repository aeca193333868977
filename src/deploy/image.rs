//! The image of a deploy: bringing it here, and from then on knowing it by what it is, whatever its tag comes to mean.
//!
//! It comes from the registry. Where that does not answer, an image that was healthy here before and is still here will
//! do; where a deploy goes back, it is the recorded one or none.
//!
//! Its label is the builder's word and proves nothing against a builder; it finds a tag that was built from something else
//! than the caller thinks. The signature proves who built it; whatever keeps it from being checked refuses.

use super::docker::login::LoggedIn;
use super::docker::pull::{PullFault, pull as pull_image};
use super::docker::{self, ImageId, last_words};
use super::{Deploy, HealthyVersions, Release, UndoRecord};
use crate::config::{Cosign, Revision};
use crate::failpoint;
use crate::limits::COSIGN_DEADLINE;
use crate::os::disk;
use crate::run::{Result, RunContext, Tool, fail};

/// The image that was verified: only its id counts.
pub struct VerifiedImage {
    pub id: ImageId,
    /// A name of it that nobody can move; with the version, where there is a digest to fix it: Docker looks at the digest
    /// alone, people see the version.
    pub fixed_reference: String,
    pub release: Release,
}

/// Brings it here. What comes from the registry has the digest that this named, if it named one, and no image yet.
pub fn pull(deploy: &Deploy, ctx: &mut RunContext) -> Result<Release> {
    let (reference, rollback) = (&deploy.reference, deploy.task.rollback);
    let recorded = recorded(deploy, ctx)?;
    let here = match recorded.as_ref().and_then(|one| one.image.as_ref()) {
        Some(id) => docker::image(ctx, id.as_str())?.is_some(),
        None => false,
    };
    if let Some(release) = recorded.as_ref().filter(|_| here && rollback) {
        ctx.tell(format!("{reference} is here as it was healthy: no pull"));
        return Ok(release.clone());
    }
    let login = log_in(deploy, ctx)?;
    let digest = recorded.as_ref().and_then(|one| one.digest.as_deref());
    if let Some(digest) = digest.filter(|_| rollback) {
        return pull_recorded(deploy, ctx, digest, login.as_ref());
    }
    match pull_image(ctx, reference, login.as_ref())? {
        Ok(digest) => Ok(deploy.release(digest)),
        Err((fault, why)) => {
            let will_do = here && fault == PullFault::Unreachable;
            let Some(release) = recorded.filter(|one| will_do && one.digest.is_some()) else {
                return fail(why);
            };
            let so = "it was healthy and is still here, so it is deployed without its registry";
            ctx.tell(format!("warning: {why}; {so}"));
            Ok(release)
        }
    }
}

/// This version as it was healthy here, if it ever was.
fn recorded(deploy: &Deploy, ctx: &mut RunContext) -> Result<Option<Release>> {
    match HealthyVersions::read(&ctx.config.places) {
        Ok(list) => Ok(list.find(&deploy.task.version).map(|one| one.release.clone())),
        Err(why) if deploy.task.rollback => Err(why.into()),
        Err(why) => {
            ctx.tell(format!("warning: {why}"));
            Ok(None)
        }
    }
}

/// Going back to an image that is not here any more: by its digest, whatever its tag names now.
fn pull_recorded(
    deploy: &Deploy,
    ctx: &mut RunContext,
    digest: &str,
    login: Option<&LoggedIn>,
) -> Result<Release> {
    let (reference, image) = (&deploy.reference, &ctx.config.deploy().image);
    let failed = match pull_image(ctx, &format!("{image}@{digest}"), login)? {
        Ok(_) => return Ok(deploy.release(Some(digest.to_owned()))),
        Err((PullFault::Unreachable, why)) => return fail(why),
        Err((_, why)) => why,
    };
    let Ok(Some(now)) = pull_image(ctx, reference, login)? else {
        return fail(failed);
    };
    match deploy.task.force {
        true => Ok(deploy.release(Some(now))),
        false => fail(format!(
            "{reference} was healthy as {digest}, which is neither here nor in the registry ({failed}); --force deploys \
             what it is there now, {now}"
        )),
    }
}

fn log_in(deploy: &Deploy, ctx: &mut RunContext) -> Result<Option<LoggedIn>> {
    let (reference, config) = (&deploy.reference, ctx.config.deploy());
    let Some(login) = &config.login else {
        ctx.tell(format!("pull {reference}"));
        return Ok(None);
    };
    let folder = ctx.config.places.logins().join(ctx.run_id().as_str());
    let made = LoggedIn::new(login, &config.image, folder, &config.environment)?;
    made.secrets.iter().for_each(|secret| ctx.hide(secret));
    ctx.tell(format!("pull {reference} as {}", login.username));
    Ok(Some(made))
}

/// The image is looked up by the digest that the registry just named, or by its recorded id: another pull may have moved
/// the tag meanwhile.
pub fn verify(deploy: &Deploy, ctx: &mut RunContext, release: Release) -> Result<VerifiedImage> {
    let reference = &deploy.reference;
    let digest = release.digest.as_deref();
    let by_digest = digest.map(|digest| format!("{reference}@{digest}"));
    let id = release.image.as_ref().map(|id| id.as_str());
    let name = id.or(by_digest.as_deref()).unwrap_or(reference);
    let gone = || format!("{name} was pulled and is not here: was it removed just now?");
    let image = docker::image(ctx, name)?.ok_or_else(gone)?;
    let has_digest = digest.is_some_and(|digest| image.has_digest(digest));
    if id.is_none() && by_digest.is_some() && !has_digest {
        return fail(format!("{reference} is another image than the pulled {name}"));
    }
    ctx.tell(format!("{reference} is image {}", image.id));
    check_revision(deploy, ctx, image.revision())?;
    ctx.outcome_member("image", image.id.as_str().into());
    if let Some(digest) = digest {
        ctx.outcome_member("digest", digest.into());
    }
    let fixed = by_digest.filter(|_| has_digest);
    Ok(VerifiedImage {
        fixed_reference: fixed.unwrap_or_else(|| image.id.as_str().to_owned()),
        release: Release {
            image: Some(image.id.clone()),
            ..release
        },
        id: image.id,
    })
}

/// Moves `IMAGE:latest` to it.
pub fn tag(deploy: &Deploy, ctx: &mut RunContext, image: &ImageId) -> Result {
    let latest = format!("{}:latest", ctx.config.deploy().image);
    let old = docker::image(ctx, &latest)?.map(|image| image.id);
    if old.as_ref() != Some(image) {
        let (reference, new) = (latest.clone(), image.clone());
        UndoRecord::Tag { reference, old, new }.write(ctx)?;
        failpoint!("tag-noted");
        docker::tag(ctx, image, &latest)?;
        failpoint!("tagged");
    }
    ctx.tell(format!("{latest} is image {image} now"));
    match deploy.task.rollback {
        true => keep_tag(deploy, ctx, image),
        false => Ok(()),
    }
}

/// The tag must be the image that was verified: Unraid's script knows images by their tags alone.
pub fn keep_tag(deploy: &Deploy, ctx: &mut RunContext, image: &ImageId) -> Result {
    let reference = &deploy.reference;
    if let Some(now) = docker::image(ctx, reference)? {
        if now.id == *image {
            return Ok(());
        }
        ctx.tell(format!("{reference} was moved by somebody else: now moved back"));
    }
    docker::tag(ctx, image, reference)
}

/// Refuses when less is free than `DEPLOYER_MIN_FREE`, unless the image is here already: a disk that fills up half way
/// costs more than the deploy, since every container on the host writes to it.
pub fn check_free_space(deploy: &Deploy, ctx: &mut RunContext) -> Result {
    let floor = ctx.config.deploy().min_free;
    if floor == 0 || docker::image(ctx, &deploy.reference)?.is_some() {
        return Ok(());
    }
    let Some(folder) = docker::image_folder(ctx)? else {
        return Ok(());
    };
    let path = folder.display();
    match disk::free(&folder) {
        Ok(free) if free < floor => fail(format!(
            "{} MiB are free in {path}, and DEPLOYER_MIN_FREE asks for {}: make room",
            free >> 20,
            floor >> 20
        )),
        Ok(_) => Ok(()),
        Err(error) => {
            ctx.tell(format!("what is free in {path} cannot be told: {error}"));
            Ok(())
        }
    }
}

const LABEL: &str = "org.opencontainers.image.revision";

/// Compares the commit that the image itself names with what was asked for.
fn check_revision(deploy: &Deploy, ctx: &mut RunContext, label: Option<&str>) -> Result {
    let rule = ctx.config.deploy().revision;
    let asked = deploy.task.sha.as_ref().map(|sha| sha.as_str());
    let judged = judge(rule, label, asked, deploy.token_sha);
    if let Some(warning) = judged.map_err(|why| format!("{}: {why}", deploy.reference))? {
        ctx.tell(format!("warning: {warning}"));
    }
    Ok(())
}

/// Has cosign check the signature of the digest; who signed it. Where the image comes from the record and not from its
/// registry, an earlier yes for this very image counts.
pub fn check_signature(
    deploy: &Deploy,
    ctx: &mut RunContext,
    image: &VerifiedImage,
    cosign: &Cosign,
) -> Result<String> {
    let config = ctx.config.deploy();
    let signer = format!("{}, says {}", cosign.identity, cosign.issuer);
    if image.release.signed_by.as_ref() == Some(&signer) {
        ctx.tell(format!("{} was found to be signed by {signer}", image.id));
        return Ok(signer);
    }
    let reference = &deploy.reference;
    let unsigned = |why: &str| fail(format!("the signature of {reference} was not verified: {why}"));
    let Some(digest) = &image.release.digest else {
        return unsigned("the registry named no digest");
    };
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
        return unsigned(&last_words(&ended.tail, ended.exit));
    }
    ctx.tell(format!("{image} was signed by {signer}"));
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
