//! What docker knows of images as a whole: where they lie, which of ours are here, which are in use.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::inspect::ImageId;
use super::{ask, containers};
use crate::run::{Result, RunContext};

/// An image on this host, under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalImage {
    pub id: ImageId,
    /// After the `:`; `None` where the image has lost its tag.
    pub tag: Option<String>,
}

/// The folder in which dockerd keeps images; `None` where dockerd is on another machine.
pub fn image_folder(ctx: &mut RunContext) -> Result<Option<PathBuf>> {
    if !is_local(&ctx.config.deploy().environment) {
        return Ok(None);
    }
    let folder = ask(ctx, &["info", "--format", "{{.DockerRootDir}}"])?;
    Ok(Some(folder.into()))
}

/// The images of the repository `image` that are on this host, once for each tag.
pub fn local_images(ctx: &mut RunContext, image: &str) -> Result<Vec<LocalImage>> {
    let arguments = ["images", "--no-trunc", "--format", "{{.ID}} {{.Tag}}", image];
    let said = ask(ctx, &arguments)?;
    Ok(said.lines().map(local_image).collect::<Result<_, _>>()?)
}

/// The image of every container, running or not.
pub fn images_in_use(ctx: &mut RunContext) -> Result<BTreeSet<ImageId>> {
    let said = ask(ctx, &["ps", "--all", "--quiet", "--no-trunc"])?;
    let ids: Vec<&str> = said.lines().collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    Ok(containers(ctx, &ids)?.into_iter().map(|one| one.image).collect())
}

/// With its own idea of a default the client talks to a socket here.
fn is_local(environment: &[(String, String)]) -> bool {
    environment.iter().all(|(name, value)| match name.as_str() {
        "DOCKER_HOST" => value.starts_with("unix://"),
        "DOCKER_CONTEXT" => value == "default",
        _ => true,
    })
}

/// `ID TAG`.
fn local_image(line: &str) -> Result<LocalImage, String> {
    let (id, tag) = line.split_once(' ').unwrap_or_default();
    let id = ImageId::try_from(id.to_owned()).map_err(|why| format!("docker lists \"{line}\": {why}"))?;
    let tag = (tag != "<none>").then(|| tag.to_owned());
    Ok(LocalImage { id, tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_an_image_or_an_error() {
        let id = format!("sha256:{}", "ab".repeat(32));
        let tag = |tag| local_image(&format!("{id} {tag}")).unwrap().tag;
        assert_eq!((tag("1.2.3"), tag("<none>")), (Some("1.2.3".into()), None));
        assert!(
            local_image("sha256:ab 1.2.3").is_err() && local_image(&id).is_err() && local_image("").is_err()
        );
    }

    #[test]
    fn a_docker_of_this_machine_is_told_from_another() {
        let is_local = |name: &str, value: &str| is_local(&[(name.into(), value.into())]);
        assert!(is_local("PATH", "/bin") && is_local("DOCKER_HOST", "unix:///run/docker.sock"));
        assert!(is_local("DOCKER_CONTEXT", "default") && !is_local("DOCKER_CONTEXT", "far"));
        assert!(!is_local("DOCKER_HOST", "tcp://far:2376") && !is_local("DOCKER_HOST", "ssh://far"));
    }
}
