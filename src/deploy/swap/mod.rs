//! Backend `docker`: a container is made beside the old one, and the names are swapped.
//!
//! `NAME-next` is created (docker checks flags and image then, and binds no port), `NAME` becomes `NAME-prev`, `NAME-next`
//! becomes `NAME`, and the one is stopped and the other started. Containers that serve serve on through the renames, and
//! so does the name on the networks that the container is in: it is an alias there. Where it is none yet, because somebody
//! else made the container, the old one is stopped first: a name without an answer is no better than no name.

pub mod creation;
pub mod declaration;

use std::path::Path;

use crate::config;
use crate::deploy::docker::{self, Container, ImageId};
use crate::deploy::keep_previous;
use crate::deploy::undo_record::OldContainer;
use crate::failpoint;
use crate::limits::{MAX_TEMPLATE, UNHURRIED};
use crate::os::{files, trusted};
use crate::run::{Result, RunContext, fail};
use creation::{SPEC_LABEL, VERSION_LABEL, creation, fingerprint};
use declaration::Declaration;

/// What is to be started.
pub struct NewContainer<'a> {
    /// The name that it gets in the end.
    pub name: &'a str,
    /// What it is created from: a name that cannot come to mean another image.
    pub reference: &'a str,
    /// The image it must really be.
    pub image: &'a ImageId,
    /// For the label.
    pub version: &'a str,
}

/// Every mistake in the declarations of `containers`, and in what they name of this host, a sentence each with its file;
/// empty when all are good.
pub fn mistakes(declarations: &Path, containers: &[config::Container]) -> Vec<String> {
    let mistakes = |one: &config::Container| declared(declarations, &one.name).err().unwrap_or_default();
    containers.iter().flat_map(mistakes).collect()
}

/// The declaration of `name`.
///
/// # Errors
/// Every mistake in it. Its file of variables must be there, and nobody else's to write.
pub fn declared(declarations: &Path, name: &str) -> Result<Declaration, Vec<String>> {
    let path = declarations.join(format!("{name}.json"));
    let bytes = files::read_bounded(&path, MAX_TEMPLATE)
        .map_err(|error| vec![files::describe(&error, "read", &path)])?;
    let in_file = |mistake: String| format!("{}: {mistake}", path.display());
    let mistakes = match Declaration::read(&bytes) {
        Err(mistakes) => mistakes,
        Ok(declared) => {
            let file = declared.env_file.as_ref().map(Path::new);
            match file.and_then(|file| trusted::opened(file, trusted::fault).err()) {
                None => return Ok(declared),
                Some(fault) => vec![format!("env_file: {fault}")],
            }
        }
    };
    Err(mistakes.into_iter().map(in_file).collect())
}

/// What a container is called until it takes the place of the one before.
pub fn next(name: &str) -> String {
    format!("{name}-next")
}

/// Removes `NAME-next`, if a deploy of ours made it: nothing ever serves from it.
pub fn remove_next(ctx: &mut RunContext, name: &str) -> Result {
    let left = docker::container(ctx, &next(name))?;
    match left.filter(|left| left.label(SPEC_LABEL).is_some()) {
        Some(left) => docker::remove(ctx, &left),
        None => Ok(()),
    }
}

/// Looks at what runs now, and what is in the way; changes nothing.
pub fn check(ctx: &mut RunContext, name: &str, now: Option<&Container>) -> Result {
    can_be_kept(name, now)?;
    let next = next(name);
    match docker::container(ctx, &next)?.is_some_and(|left| left.label(SPEC_LABEL).is_none()) {
        true => fail(format!(
            "a container {next} that no deploy made is in the way: rename or remove it"
        )),
        false => Ok(()),
    }
}

/// Why a container is not what its declaration would make of `version` now, if it is not.
pub fn made_otherwise(declared: &Declaration, now: &Container, version: &str) -> Option<String> {
    match (now.label(VERSION_LABEL), now.label(SPEC_LABEL)) {
        (Some(made), _) if made != version => Some(format!("was made for version {made}")),
        (Some(_), Some(spec)) if spec == fingerprint(declared) => None,
        (_, Some(_)) => Some("its declaration has changed".into()),
        (_, None) => Some("was made by somebody else".into()),
    }
}

/// Replaces a container. What it leaves when it fails half way is put back by whoever has the journal.
pub fn update(ctx: &mut RunContext, declared: &Declaration, new: &NewContainer) -> Result {
    let name = new.name;
    let old = docker::container(ctx, name)?;
    can_be_kept(name, old.as_ref())?;
    remove_next(ctx, name)?;
    let made = create(ctx, new, declared)?;
    failpoint!("created");
    ctx.in_any_case(UNHURRIED, |ctx| {
        if let Some(old) = &old {
            if old.is_active() && !old.networks_without_alias(name).is_empty() {
                docker::stop(ctx, &old.id)?;
            }
            keep_previous::rename_old(ctx, name, old)?;
        }
        docker::rename(ctx, &made.id, name)?;
        failpoint!("next-renamed");
        keep_previous::stop_old_start_new(ctx, name, old.as_ref(), &made)
    })
}

/// Makes `NAME-next` and makes sure that it is what was pulled.
fn create(ctx: &mut RunContext, new: &NewContainer, declared: &Declaration) -> Result<Container> {
    let name = next(new.name);
    let tool = creation(docker::tool(ctx, &[]), new, declared);
    docker::change_by(ctx, &format!("docker create {name}"), tool)?;
    for network in declared.networks.iter().skip(1) {
        docker::connect(ctx, network, &name, new.name)?;
    }
    let gone = || format!("created {name}, but it is not there");
    let made = docker::container(ctx, &name)?.ok_or_else(gone)?;
    match made.image == *new.image {
        true => Ok(made),
        false => fail(format!(
            "created {name} from {}, and it is {} instead of {}",
            new.reference, made.image, new.image
        )),
    }
}

/// Makes the container `name` as it was, from its declaration, and does not start it. Nothing has the name.
pub fn make_again(ctx: &mut RunContext, declarations: &Path, name: &str, old: &OldContainer) -> Result {
    let new = NewContainer {
        name,
        // The tag may have moved since, the image has not.
        reference: old.image.as_str(),
        image: &old.image,
        version: old.version(),
    };
    let made = create(ctx, &new, &declared(declarations, name)?)?;
    docker::rename(ctx, &made.id, name)
}

fn can_be_kept(name: &str, now: Option<&Container>) -> Result {
    match now.is_some_and(Container::removes_itself) {
        true => fail(format!(
            "{name} was started with --rm: stopping it would remove it; start it without --rm first"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_of_variables_must_be_there_and_nobody_elses_to_write() {
        let folder = std::env::temp_dir().join(format!("swap-env-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("app.env");
        let declared = serde_json::json!({ "env_file": file }).to_string();
        fs::write(folder.join("app.json"), declared).unwrap();
        let container = config::Container {
            name: "app".into(),
            health_url: None,
        };
        let mistakes = || mistakes(&folder, std::slice::from_ref(&container)).join("; ");
        let begin = format!("{}/app.json: env_file: ", folder.display());
        let missing = mistakes();
        assert!(
            missing.starts_with(&begin) && missing.contains("app.env: No such file"),
            "{missing}"
        );
        fs::write(&file, "A=1\n").unwrap();
        for (mode, word) in [(0o644, ""), (0o666, "mode 0666")] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let found = mistakes();
            assert_eq!(
                (found.is_empty(), found.contains(word)),
                (word.is_empty(), true),
                "{found}"
            );
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
