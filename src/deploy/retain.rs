//! Which versions of the image stay on the host after a good deploy.
//!
//! Ours alone, by their tags, one by one and never by force: what another program keeps on this host is not for us to
//! judge. A version goes only when no container uses its image, running or not, and when nothing may go back to it. When
//! what is in use cannot be told, nothing goes.

use std::collections::BTreeSet;

use super::docker::seen::ImageId;
use super::{Deploy, Verified};
use crate::event::Phase;
use crate::gate::Version;
use crate::run::{Failure, RunContext};

/// One name that an image of ours has on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// What it names.
    pub image: ImageId,
    /// After the `:`.
    pub tag: String,
}

impl Deploy<'_> {
    /// Removes the versions beyond `DEPLOYER_KEEP_IMAGES`. What cannot be removed is only said.
    pub(super) fn remove_old_images(
        &self,
        ctx: &mut RunContext,
        verified: &Verified,
        ran: &[ImageId],
    ) -> Result<(), Failure> {
        let image = &self.config.deploy().image;
        let tags = self.docker.tags(ctx, image)?;
        let mut in_use = self.docker.images_in_use(ctx)?;
        in_use.insert(verified.id.clone());
        in_use.extend(ran.iter().cloned());
        for old in superfluous(&tags, &in_use, &self.version, self.config.deploy().keep_images) {
            let reference = format!("{image}:{}", old.tag);
            let message = match self.docker.remove_image(ctx, &reference) {
                Ok(()) => format!("removed the image {reference}"),
                Err(failure) => format!("warning: {failure}"),
            };
            ctx.say(Phase::Cleanup, &message);
        }
        Ok(())
    }
}

/// The versions that may go, the oldest last: all but the `keep` that come first, of which `current` is one, and those
/// in use. A tag that is no version is not ours, and what it names stays.
fn superfluous<'a>(
    tags: &'a [Tagged],
    in_use: &BTreeSet<ImageId>,
    current: &Version,
    keep: u32,
) -> Vec<&'a Tagged> {
    let version = |tagged: &Tagged| Version::try_from(tagged.tag.clone()).ok();
    let is_named_otherwise = |image: &ImageId| {
        tags.iter()
            .any(|other| other.image == *image && version(other).is_none())
    };
    let mut versions: Vec<_> = tags
        .iter()
        .filter_map(|tagged| Some((version(tagged)?, tagged)))
        .collect();
    versions.sort_by_key(|(version, _)| (version != current, std::cmp::Reverse(version.numbers())));
    let beyond = versions.into_iter().skip(keep as usize).map(|(_, tagged)| tagged);
    beyond
        .filter(|tagged| !in_use.contains(&tagged.image) && !is_named_otherwise(&tagged.image))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(number: u8) -> ImageId {
        ImageId::try_from(format!("sha256:{}", format!("{number:02x}").repeat(32))).unwrap()
    }

    fn go(tags: &[(u8, &str)], in_use: &[u8], current: &str, keep: u32) -> Vec<String> {
        let tags: Vec<_> = tags
            .iter()
            .map(|(number, tag)| Tagged {
                image: image(*number),
                tag: (*tag).into(),
            })
            .collect();
        let in_use = in_use.iter().map(|number| image(*number)).collect();
        let current = Version::try_from(current.to_owned()).unwrap();
        let gone = superfluous(&tags, &in_use, &current, keep);
        gone.into_iter().map(|tagged| tagged.tag.clone()).collect()
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
}
