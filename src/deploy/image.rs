//! The image of a deploy: bringing it here, and from then on knowing it by what it is, whatever its tag comes to mean.
//!
//! It comes from the registry. Where that does not answer, an image that was healthy here before and is still here will
//! do; where a deploy goes back, it is the recorded one or none.

use std::path::Path;

use super::Deploy;
use super::docker::images::image_folder;
use super::docker::inspect::ImageId;
use super::docker::login::LoggedIn;
use super::docker::pull::{self, PullFailure, PullFault};
use super::healthy::{HealthyVersions, Release};
use super::undo_record::{TagRecord, UndoRecord};
use crate::event::Phase;
use crate::failpoint;
use crate::os::disk;
use crate::run::{Failure, Result, RunContext};

/// What was brought here.
pub(super) struct Pulled {
    /// The recorded image, where the registry was not asked or did not answer.
    recorded: Option<Release>,
    /// What the registry named, if it named one.
    digest: Option<String>,
}

/// The image that was verified: only its id counts.
#[derive(Clone, Debug)]
pub(super) struct VerifiedImage {
    pub id: ImageId,
    pub digest: Option<String>,
    /// A name of it that nobody can move; with the version, where there is a digest to fix it: Docker looks at the digest
    /// alone, people see the version.
    pub fixed_reference: String,
    /// Who signed it, where that was checked.
    pub signed_by: Option<String>,
}

pub(super) fn pull(deploy: &Deploy<'_>, ctx: &mut RunContext) -> Result<Pulled> {
    let recorded = recorded(deploy, ctx)?;
    let here = match recorded.as_ref().and_then(|release| release.image.as_ref()) {
        Some(id) => deploy.docker.image(ctx, id.as_str())?.is_some(),
        None => false,
    };
    if let (Some(release), true, true) = (&recorded, here, deploy.task.rollback) {
        let message = format!(
            "{} is here as it was healthy; nothing is pulled",
            deploy.reference
        );
        ctx.say(Phase::Pull, &message);
        return Ok(Pulled::from_record(release.clone()));
    }
    let login = log_in(deploy, ctx)?;
    let pulled = match (recorded, deploy.task.rollback) {
        (Some(release), true) => pull_recorded(deploy, ctx, &release, login.as_ref()),
        (recorded, _) => match pull::pull(deploy.docker, ctx, &deploy.reference, login.as_ref()) {
            Ok(digest) => Ok(Pulled::from_registry(digest)),
            Err(PullFailure { fault, failure }) => match recorded {
                Some(release) if here && fault == PullFault::Unreachable && release.digest.is_some() => {
                    let why = "it was healthy and is still here, so it is deployed without its registry";
                    ctx.say(Phase::Pull, &format!("warning: {failure}; {why}"));
                    Ok(Pulled::from_record(release))
                }
                _ => Err(failure),
            },
        },
    };
    if let Some(Err(error)) = login.as_ref().map(LoggedIn::end) {
        let message = format!("the registry login could not be removed: {error}; the next run tries again");
        ctx.say(Phase::Pull, &message);
    }
    pulled
}

/// This version as it was healthy here, if it ever was.
fn recorded(deploy: &Deploy<'_>, ctx: &mut RunContext) -> Result<Option<Release>> {
    match HealthyVersions::read(&deploy.config.places) {
        Ok(list) => Ok(list.find(&deploy.task.version).map(|one| one.release.clone())),
        Err(why) if deploy.task.rollback => Err(Failure::Failed(why)),
        Err(why) => {
            ctx.say(Phase::Pull, &format!("warning: {why}"));
            Ok(None)
        }
    }
}

/// Going back to an image that is not here any more: by its digest, whatever its tag names now.
fn pull_recorded(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    release: &Release,
    login: Option<&LoggedIn>,
) -> Result<Pulled> {
    let Some(digest) = &release.digest else {
        let pulled = pull::pull(deploy.docker, ctx, &deploy.reference, login);
        return pulled.map(Pulled::from_registry).map_err(|failed| failed.failure);
    };
    let by_digest = format!("{}@{digest}", deploy.settings.image);
    let failed = match pull::pull(deploy.docker, ctx, &by_digest, login) {
        Ok(_) => return Ok(Pulled::from_registry(Some(digest.clone()))),
        Err(PullFailure {
            fault: PullFault::Unreachable,
            failure,
        }) => return Err(failure),
        Err(failed) => failed.failure,
    };
    let Ok(Some(now)) = pull::pull(deploy.docker, ctx, &deploy.reference, login) else {
        return Err(failed);
    };
    match deploy.task.force {
        true => Ok(Pulled::from_registry(Some(now))),
        false => Err(Failure::Failed(format!(
            "{} was healthy as {digest}, which is neither here nor in the registry ({failed}); it is {now} there now, and \
             --force deploys that one",
            deploy.reference
        ))),
    }
}

fn log_in(deploy: &Deploy<'_>, ctx: &mut RunContext) -> Result<Option<LoggedIn>> {
    let reference = &deploy.reference;
    let Some(login) = &deploy.settings.login else {
        ctx.say(Phase::Pull, &format!("pull {reference}"));
        return Ok(None);
    };
    let folder = (&*deploy.config.places.logins(), ctx.run_id().as_str());
    let environment = &deploy.settings.environment;
    let made = LoggedIn::new(login, &deploy.settings.image, folder, environment)?;
    made.secrets.iter().for_each(|secret| ctx.hide(secret));
    ctx.say(Phase::Pull, &format!("pull {reference} as {}", login.username));
    Ok(Some(made))
}

/// The image is looked up by the digest that the registry just named, or by its recorded id: another pull may have moved
/// the tag meanwhile.
pub(super) fn verify(deploy: &Deploy<'_>, ctx: &mut RunContext, pulled: Pulled) -> Result<VerifiedImage> {
    let reference = &deploy.reference;
    let recorded = &pulled.recorded;
    let recorded = recorded.as_ref().and_then(|release| release.image.as_ref());
    let fixed = match (recorded, &pulled.digest) {
        (Some(id), _) => id.as_str().to_owned(),
        (None, Some(digest)) => format!("{reference}@{digest}"),
        (None, None) => reference.clone(),
    };
    let gone = || format!("{fixed} was pulled and is not on this host: was it removed just now?");
    let image = deploy.docker.image(ctx, &fixed)?.ok_or_else(gone)?;
    let digest = pulled.digest.as_ref().filter(|digest| image.has_digest(digest));
    if let (None, Some(pulled), None) = (recorded, &pulled.digest, digest) {
        return Err(format!("{reference} is another image than the pulled {pulled}").into());
    }
    ctx.say(Phase::Verify, &format!("{reference} is image {}", image.id));
    super::provenance::check_revision(deploy, ctx, image.revision())?;
    ctx.outcome_member("image", image.id.as_str().into());
    if let Some(digest) = &pulled.digest {
        ctx.outcome_member("digest", digest.as_str().into());
    }
    let by_id = || image.id.as_str().to_owned();
    Ok(VerifiedImage {
        fixed_reference: digest.map_or_else(by_id, |digest| format!("{reference}@{digest}")),
        id: image.id,
        digest: pulled.digest,
        signed_by: pulled.recorded.and_then(|release| release.signed_by),
    })
}

/// Moves `IMAGE:latest` to it.
pub(super) fn tag(deploy: &Deploy<'_>, ctx: &mut RunContext, image: &VerifiedImage) -> Result {
    let latest = format!("{}:latest", deploy.settings.image);
    let old_image = deploy.docker.image(ctx, &latest)?.map(|image| image.id);
    if old_image.as_ref() != Some(&image.id) {
        let record = UndoRecord::Tag(TagRecord {
            reference: latest.clone(),
            old_image,
            new_image: image.id.clone(),
        });
        record.write(ctx)?;
        failpoint!("tag-noted");
        deploy.docker.tag(ctx, &image.id, &latest)?;
        failpoint!("tagged");
    }
    ctx.say(Phase::Tag, &format!("{latest} is image {} now", image.id));
    match deploy.task.rollback {
        true => keep_tag(deploy, ctx, Phase::Tag, &image.id),
        false => Ok(()),
    }
}

/// The tag must be the image that was verified: Unraid's script knows images by their tags alone.
pub(super) fn keep_tag(deploy: &Deploy<'_>, ctx: &mut RunContext, phase: Phase, image: &ImageId) -> Result {
    let reference = &deploy.reference;
    let now = deploy.docker.image(ctx, reference)?;
    if now.as_ref().is_some_and(|now| now.id == *image) {
        return Ok(());
    }
    if now.is_some() {
        let message = format!("{reference} was moved by somebody else; it is image {image} again");
        ctx.say(phase, &message);
    }
    deploy.docker.tag(ctx, image, reference)
}

/// Refuses when less is free than `DEPLOYER_MIN_FREE`, unless the image is here already: a disk that fills up half way
/// costs more than the deploy, since every container on the host writes to it.
pub(super) fn check_free_space(deploy: &Deploy<'_>, ctx: &mut RunContext) -> Result {
    let floor = deploy.settings.min_free;
    if floor == 0 || deploy.docker.image(ctx, &deploy.reference)?.is_some() {
        return Ok(());
    }
    let Some(folder) = image_folder(deploy.docker, ctx)? else {
        return Ok(());
    };
    match disk::free(Path::new(&folder)) {
        Ok(free) if free < floor => Err(Failure::Failed(format!(
            "{} are free in {}, and DEPLOYER_MIN_FREE asks for {}: make room, then try again",
            Size(free),
            folder.display(),
            Size(floor)
        ))),
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("how much is free in {} cannot be told: {error}", folder.display());
            ctx.say(Phase::Preflight, &message);
            Ok(())
        }
    }
}

impl Pulled {
    fn from_registry(digest: Option<String>) -> Self {
        let recorded = None;
        Self { recorded, digest }
    }

    fn from_record(release: Release) -> Self {
        Self {
            digest: release.digest.clone(),
            recorded: Some(release),
        }
    }
}

/// Bytes for a person: `1.5 GiB`.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 30 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{:.1} GiB", (bytes >> 20) as f64 / 1024.0),
        }
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
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
