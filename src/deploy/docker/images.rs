//! What docker knows of images as a whole: where they lie, which names ours has, which are in use.

use std::collections::BTreeSet;

use super::{Docker, succeeded};
use crate::deploy::docker::seen::ImageId;
use crate::deploy::retain::Tagged;
use crate::limits::{DOCKER_QUICK, MAX_INSPECT, TAIL_LINES};
use crate::run::{Failure, RunContext};

impl Docker<'_> {
    /// The folder in which dockerd keeps images, as dockerd names it.
    pub fn root(&self, ctx: &mut RunContext) -> Result<String, Failure> {
        let arguments = ["info", "--format", "{{.DockerRootDir}}"];
        self.quiet(ctx, "ask docker where it keeps images", &arguments)
    }

    /// Every tag that `image` has on this host.
    pub fn tags(&self, ctx: &mut RunContext, image: &str) -> Result<Vec<Tagged>, Failure> {
        let doing = format!("list the tags of {image}");
        let arguments = ["images", "--no-trunc", "--format", "{{.ID}} {{.Tag}}", image];
        let said = self.quiet(ctx, &doing, &arguments)?;
        let tags = said.lines().map(tagged).collect::<Result<Vec<_>, _>>();
        let tags = tags.map_err(|why| Failure::Failed(format!("{doing}: {why}")))?;
        Ok(tags.into_iter().flatten().collect())
    }

    /// The image of every container, running or not.
    pub fn images_in_use(&self, ctx: &mut RunContext) -> Result<BTreeSet<ImageId>, Failure> {
        let doing = "list the images in use";
        let said = self.quiet(ctx, doing, &["ps", "--all", "--quiet", "--no-trunc"])?;
        let containers: Vec<&str> = said.lines().collect();
        if containers.is_empty() {
            return Ok(BTreeSet::new());
        }
        let arguments = [
            &["container", "inspect", "--format", "{{.Image}}"],
            &containers[..],
        ]
        .concat();
        let captured = ctx.capture(&self.tool(&arguments, DOCKER_QUICK), MAX_INSPECT)?;
        // A container that went meanwhile uses nothing; any other fault leaves it unknown what is in use.
        let said = match only_went(&captured.stderr_tail) {
            true => String::from_utf8_lossy(&captured.stdout).into_owned(),
            false => succeeded(&captured, doing)?,
        };
        let lines = said.lines().filter(|line| !line.trim().is_empty());
        let images = lines.map(|line| ImageId::try_from(line.trim().to_owned()));
        images
            .collect::<Result<_, _>>()
            .map_err(|why| Failure::Failed(format!("{doing}: {why}")))
    }

    /// Takes a name off an image; the image goes with its last one. Docker refuses where a container uses it.
    pub fn remove_image(&self, ctx: &mut RunContext, reference: &str) -> Result<(), Failure> {
        self.change(
            ctx,
            &format!("remove the image {reference}"),
            &["image", "rm", reference],
        )
    }
}

/// Whether all that docker complains of is containers that are no more. A longer list than is kept is not understood.
fn only_went(complaints: &[String]) -> bool {
    let went = |line: &String| line.to_ascii_lowercase().contains("no such container");
    !complaints.is_empty() && complaints.len() < TAIL_LINES && complaints.iter().all(went)
}

/// `ID TAG`; `None` for an image that has lost its tag.
fn tagged(line: &str) -> Result<Option<Tagged>, String> {
    let (id, tag) = line
        .split_once(' ')
        .ok_or_else(|| format!("{line:?} is no image"))?;
    let image = ImageId::try_from(id.to_owned())?;
    Ok((tag != "<none>").then(|| Tagged {
        image,
        tag: tag.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_went_is_no_fault_and_everything_else_is_one() {
        let only_went =
            |lines: &[&str]| only_went(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        assert!(only_went(&[
            "Error: No such container: a",
            "Error response from daemon: No such container: b"
        ]));
        assert!(!only_went(&[]) && !only_went(&["No such container: a", "Cannot connect"]));
        assert!(!only_went(&["no such container"; TAIL_LINES]));
    }

    #[test]
    fn a_line_of_the_list_is_an_image_or_an_error() {
        let id = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(tagged(&format!("{id} 1.2.3")).unwrap().unwrap().tag, "1.2.3");
        assert_eq!(tagged(&format!("{id} <none>")), Ok(None));
        assert!(tagged("sha256:ab 1.2.3").is_err() && tagged(&id).is_err() && tagged("").is_err());
    }
}
