//! Which images of ours stay on the host after a good deploy.
//!
//! Ours alone, one by one and never by force: what another program keeps on this host is not for us to judge. What was
//! healthy stays before what failed. An image goes only when no container uses it, running or not, and when nothing may go
//! back to it. When what is in use or what was healthy cannot be told, nothing goes.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::docker::{self, ImageId};
use super::healthy::HealthyVersions;
use crate::gate::Version;
use crate::run::{Result, RunContext};

/// An image on this host, under one of its names.
struct LocalImage {
    id: ImageId,
    /// After the `:`; `None` where the image has lost its tag.
    tag: Option<String>,
}

/// Removes the versions beyond `DEPLOYER_KEEP_IMAGES`. What cannot be removed is only said.
pub fn remove_old_images(ctx: &mut RunContext, deployed: &ImageId, ran: &[ImageId]) -> Result {
    let config = ctx.config.deploy();
    let image = &config.image;
    let list = HealthyVersions::read(&ctx.config.places)?;
    let healthy: Vec<&Version> = list.versions.iter().map(|one| &one.release.version).collect();
    let here = local_images(ctx, image)?;
    let mut in_use = images_in_use(ctx)?;
    in_use.insert(deployed.clone());
    in_use.extend(ran.iter().cloned());
    for old in superfluous(&here, &in_use, &healthy, config.keep_images) {
        let name = match &old.tag {
            Some(tag) => format!("{image}:{tag}"),
            None => old.id.as_str().to_owned(),
        };
        match docker::remove_image(ctx, &name) {
            Ok(()) => ctx.tell(format!("removed the image {name}")),
            Err(failure) => ctx.tell(format!("warning: {failure}")),
        }
    }
    Ok(())
}

/// The images of the repository `image` that are on this host, once for each tag.
fn local_images(ctx: &mut RunContext, image: &str) -> Result<Vec<LocalImage>> {
    let arguments = ["images", "--no-trunc", "--format", "{{.ID}} {{.Tag}}", image];
    let said = docker::ask(ctx, &arguments)?;
    Ok(said.lines().map(local_image).collect::<Result<_, _>>()?)
}

/// `ID TAG`.
fn local_image(line: &str) -> Result<LocalImage, String> {
    let (id, tag) = line.split_once(' ').unwrap_or_default();
    let id = ImageId::try_from(id.to_owned()).map_err(|why| format!("docker lists \"{line}\": {why}"))?;
    let tag = (tag != "<none>").then(|| tag.to_owned());
    Ok(LocalImage { id, tag })
}

/// The image of every container, running or not.
fn images_in_use(ctx: &mut RunContext) -> Result<BTreeSet<ImageId>> {
    let said = docker::ask(ctx, &["ps", "--all", "--quiet", "--no-trunc"])?;
    let ids: Vec<&str> = said.lines().collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let containers = docker::containers(ctx, &ids)?;
    Ok(containers.into_iter().map(|one| one.image).collect())
}

/// What may go: all versions but the first `keep`, counting first those that were `healthy`, the newest first, then the
/// others by their numbers; and what has lost its tag. What is in use stays, and so does what has a tag that is no version:
/// that one is not ours.
fn superfluous<'a>(
    here: &'a [LocalImage],
    in_use: &BTreeSet<ImageId>,
    healthy: &[&Version],
    keep: u32,
) -> Vec<&'a LocalImage> {
    let version = |image: &LocalImage| Version::try_from(image.tag.clone()?).ok();
    let mut stay = in_use.clone();
    let foreign = here
        .iter()
        .filter(|image| image.tag.is_some() && version(image).is_none());
    stay.extend(foreign.map(|image| image.id.clone()));
    let mut versions: Vec<_> = here
        .iter()
        .filter_map(|image| Some((version(image)?, image)))
        .collect();
    versions.sort_by_key(|(version, _)| {
        let place = healthy.iter().position(|healthy| *healthy == version);
        (place.unwrap_or(healthy.len()), Reverse(version.numbers()))
    });
    let beyond = versions.split_off(versions.len().min(keep as usize));
    let is_kept = |image: &LocalImage| versions.iter().any(|(_, kept)| kept.id == image.id);
    let untagged = here.iter().filter(|image| image.tag.is_none() && !is_kept(image));
    let mut go: Vec<_> = beyond.iter().map(|(_, image)| *image).chain(untagged).collect();
    go.retain(|old| !stay.contains(&old.id));
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(number: u8) -> ImageId {
        ImageId::try_from(format!("sha256:{}", format!("{number:02x}").repeat(32))).unwrap()
    }

    /// The tags that go, `-` for an image without one; `healthy` has the newest first.
    fn go(tags: &[(u8, &str)], in_use: &[u8], healthy: &str, keep: u32) -> Vec<String> {
        let here: Vec<_> = tags
            .iter()
            .map(|(number, tag)| LocalImage {
                id: image(*number),
                tag: (*tag != "-").then(|| (*tag).into()),
            })
            .collect();
        let in_use = in_use.iter().map(|number| image(*number)).collect();
        let healthy: Vec<_> = healthy
            .split_whitespace()
            .map(|version| Version::try_from(version.to_owned()).unwrap())
            .collect();
        let gone = superfluous(&here, &in_use, &healthy.iter().collect::<Vec<_>>(), keep);
        gone.into_iter()
            .map(|old| old.tag.clone().unwrap_or("-".into()))
            .collect()
    }

    const FIVE: [(u8, &str); 5] = [
        (1, "0.5.1"),
        (2, "0.5.2"),
        (9, "0.5.9"),
        (10, "0.5.10"),
        (11, "0.5.11"),
    ];

    #[test]
    fn the_newest_versions_stay() {
        assert_eq!(go(&FIVE, &[11], "0.5.11", 3), ["0.5.2", "0.5.1"]);
        assert!(go(&FIVE, &[11], "0.5.11", 5).is_empty() && go(&[], &[], "0.5.11", 1).is_empty());
    }

    #[test]
    fn what_runs_or_may_be_gone_back_to_stays_and_is_counted_only_by_its_age() {
        assert_eq!(go(&FIVE, &[11, 1], "0.5.11", 1), ["0.5.10", "0.5.9", "0.5.2"]);
    }

    #[test]
    fn after_a_downgrade_the_live_version_is_the_first_that_stays() {
        assert_eq!(go(&FIVE, &[1], "0.5.1", 2), ["0.5.10", "0.5.9", "0.5.2"]);
    }

    #[test]
    fn an_image_that_has_a_name_of_another_kind_stays() {
        let tags = [&FIVE[..], &[(1, "latest"), (7, "nightly"), (8, "v0.1.0")]].concat();
        assert_eq!(go(&tags, &[11], "0.5.11", 3), ["0.5.2"]);
    }

    #[test]
    fn what_was_healthy_stays_before_what_failed() {
        // 0.5.11 is live, 0.5.2 was before it; 0.5.9 and 0.5.10 never became healthy.
        assert_eq!(go(&FIVE, &[11], "0.5.11 0.5.2", 2), ["0.5.10", "0.5.9", "0.5.1"]);
        assert_eq!(go(&FIVE, &[11], "0.5.11 0.5.2 0.5.1", 4), ["0.5.9"]);
    }

    #[test]
    fn what_has_lost_its_tag_goes_unless_it_is_used() {
        let tags = [&FIVE[..], &[(20, "-"), (21, "-"), (9, "-")]].concat();
        assert_eq!(go(&tags, &[11, 21], "0.5.11", 5), ["-"]);
    }

    #[test]
    fn a_line_of_the_list_is_an_image_or_an_error() {
        let id = format!("sha256:{}", "ab".repeat(32));
        let tag = |tag| local_image(&format!("{id} {tag}")).unwrap().tag;
        assert_eq!((tag("1.2.3"), tag("<none>")), (Some("1.2.3".into()), None));
        assert!(
            local_image("sha256:ab 1.2.3").is_err() && local_image(&id).is_err() && local_image("").is_err()
        );
    }
}
