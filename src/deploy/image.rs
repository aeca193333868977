//! The image of a deploy: bringing it here, and from then on knowing it by what it is, whatever its tag comes to mean.
//!
//! It comes from the registry. Where that does not answer, an image that was healthy here before and is still here will
//! do; where a deploy goes back, it is the recorded one or none.

use super::docker::ImageId;
use super::docker::login::LoggedIn;
use super::docker::pull::{PullFailure, PullFault, pull as pull_image};
use super::healthy::{HealthyVersions, Release};
use super::undo_record::UndoRecord;
use super::{Deploy, docker, provenance};
use crate::failpoint;
use crate::os::disk;
use crate::run::{Result, RunContext, fail};

/// The image that was verified: only its id counts.
#[derive(Clone, Debug)]
pub(super) struct VerifiedImage {
    pub id: ImageId,
    /// A name of it that nobody can move; with the version, where there is a digest to fix it: Docker looks at the digest
    /// alone, people see the version.
    pub fixed_reference: String,
    pub release: Release,
}

/// Brings it here. What comes from the registry has the digest that this named, if it named one, and no image yet.
pub(super) fn pull(deploy: &Deploy, ctx: &mut RunContext) -> Result<Release> {
    let (reference, rollback) = (&deploy.reference, deploy.task.rollback);
    let recorded = recorded(deploy, ctx)?;
    let here = match recorded.as_ref().and_then(|one| one.image.as_ref()) {
        Some(id) => docker::image(ctx, id.as_str())?.is_some(),
        None => false,
    };
    if let Some(release) = recorded.as_ref().filter(|_| here && rollback) {
        ctx.tell(&format!(
            "{reference} is here as it was healthy; nothing is pulled"
        ));
        return Ok(release.clone());
    }
    let login = log_in(deploy, ctx)?;
    let digest = recorded.as_ref().and_then(|one| one.digest.as_deref());
    if let Some(digest) = digest.filter(|_| rollback) {
        return pull_recorded(deploy, ctx, digest, login.as_ref());
    }
    match pull_image(ctx, reference, login.as_ref()) {
        Ok(digest) => Ok(deploy.release(digest)),
        Err(PullFailure { fault, failure }) => {
            let will_do = here && fault == PullFault::Unreachable;
            let Some(release) = recorded.filter(|one| will_do && one.digest.is_some()) else {
                return Err(failure);
            };
            let why = "it was healthy and is still here, so it is deployed without its registry";
            ctx.tell(&format!("warning: {failure}; {why}"));
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
            ctx.tell(&format!("warning: {why}"));
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
    let failed = match pull_image(ctx, &format!("{image}@{digest}"), login) {
        Ok(_) => return Ok(deploy.release(Some(digest.to_owned()))),
        Err(failed) if failed.fault == PullFault::Unreachable => return Err(failed.failure),
        Err(failed) => failed.failure,
    };
    let Ok(Some(now)) = pull_image(ctx, reference, login) else {
        return Err(failed);
    };
    match deploy.task.force {
        true => Ok(deploy.release(Some(now))),
        false => fail(format!(
            "{reference} was healthy as {digest}, which is neither here nor in the registry ({failed}); it is {now} there \
             now, and --force deploys that one"
        )),
    }
}

fn log_in(deploy: &Deploy, ctx: &mut RunContext) -> Result<Option<LoggedIn>> {
    let (reference, config) = (&deploy.reference, ctx.config.deploy());
    let Some(login) = &config.login else {
        ctx.tell(&format!("pull {reference}"));
        return Ok(None);
    };
    let folder = ctx.config.places.logins().join(ctx.run_id().as_str());
    let made = LoggedIn::new(login, &config.image, folder, &config.environment)?;
    made.secrets.iter().for_each(|secret| ctx.hide(secret));
    ctx.tell(&format!("pull {reference} as {}", login.username));
    Ok(Some(made))
}

/// The image is looked up by the digest that the registry just named, or by its recorded id: another pull may have moved
/// the tag meanwhile.
pub(super) fn verify(deploy: &Deploy, ctx: &mut RunContext, release: Release) -> Result<VerifiedImage> {
    let reference = &deploy.reference;
    let by_digest = release
        .digest
        .as_ref()
        .map(|digest| format!("{reference}@{digest}"));
    let name = match (&release.image, &by_digest) {
        (Some(id), _) => id.as_str(),
        (None, by_digest) => by_digest.as_ref().unwrap_or(reference),
    };
    let gone = || format!("{name} was pulled and is not on this host: was it removed just now?");
    let image = docker::image(ctx, name)?.ok_or_else(gone)?;
    let has_digest = release
        .digest
        .as_ref()
        .is_some_and(|digest| image.has_digest(digest));
    if release.image.is_none() && by_digest.is_some() && !has_digest {
        return fail(format!("{reference} is another image than the pulled {name}"));
    }
    ctx.tell(&format!("{reference} is image {}", image.id));
    provenance::check_revision(deploy, ctx, image.revision())?;
    ctx.outcome_member("image", image.id.as_str().into());
    if let Some(digest) = &release.digest {
        ctx.outcome_member("digest", digest.as_str().into());
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
pub(super) fn tag(deploy: &Deploy, ctx: &mut RunContext, image: &ImageId) -> Result {
    let latest = format!("{}:latest", ctx.config.deploy().image);
    let old_image = docker::image(ctx, &latest)?.map(|image| image.id);
    if old_image.as_ref() != Some(image) {
        let record = UndoRecord::Tag {
            reference: latest.clone(),
            old_image,
            new_image: image.clone(),
        };
        record.write(ctx)?;
        failpoint!("tag-noted");
        docker::tag(ctx, image, &latest)?;
        failpoint!("tagged");
    }
    ctx.tell(&format!("{latest} is image {image} now"));
    match deploy.task.rollback {
        true => keep_tag(deploy, ctx, image),
        false => Ok(()),
    }
}

/// The tag must be the image that was verified: Unraid's script knows images by their tags alone.
pub(super) fn keep_tag(deploy: &Deploy, ctx: &mut RunContext, image: &ImageId) -> Result {
    let reference = &deploy.reference;
    if let Some(now) = docker::image(ctx, reference)? {
        if now.id == *image {
            return Ok(());
        }
        ctx.tell(&format!(
            "{reference} was moved by somebody else; it is image {image} again"
        ));
    }
    docker::tag(ctx, image, reference)
}

/// Refuses when less is free than `DEPLOYER_MIN_FREE`, unless the image is here already: a disk that fills up half way
/// costs more than the deploy, since every container on the host writes to it.
pub(super) fn check_free_space(deploy: &Deploy, ctx: &mut RunContext) -> Result {
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
            "{} are free in {path}, and DEPLOYER_MIN_FREE asks for {}: make room, then try again",
            size(free),
            size(floor)
        )),
        Ok(_) => Ok(()),
        Err(error) => {
            ctx.tell(&format!("how much is free in {path} cannot be told: {error}"));
            Ok(())
        }
    }
}

/// Bytes for a person: `1.5 GiB`.
fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mebibytes if mebibytes < 1024 => format!("{mebibytes} MiB"),
        mebibytes => format!("{:.1} GiB", mebibytes as f64 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_can_be_read() {
        for (bytes, text) in [
            (0, "0 MiB"),
            (500 << 20, "500 MiB"),
            (1 << 30, "1.0 GiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
