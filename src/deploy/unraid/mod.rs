//! Backend `unraid`: the template is edited, Unraid's own script makes the container, inspection proves it.
//!
//! `update_container` removes the container first, says nothing, and exits with 0 whatever happened (it was measured); so
//! its exit status and its output are not looked at, and it never gets to see the container that serves: that is renamed,
//! the script makes a new one and does not start it (as it does where there is none), and only then is the old one
//! stopped. The image is on the host before it runs, so that its own pull may fail without harm. That pull takes as long as
//! the registry does, and in that time other containers find the old one by its name only where the name is an alias on
//! their network; so the new container gets that alias before it is started, for the next deploy.
//!
//! Unraid's own page may rewrite a template at any moment, so what is there is read right before each write. An edit of
//! somebody else's is never undone.

pub mod folder;
pub mod template;

use std::io::ErrorKind;
use std::path::Path;

use crate::deploy::docker::{self, Container, ImageId};
use crate::deploy::undo_record::{ContainerRecord, OldContainer, TemplateBackup};
use crate::deploy::{command, keep_previous};
use crate::failpoint;
use crate::limits::UNHURRIED;
use crate::os::files;
use crate::run::{Failure, Result, RunContext, fail};
use template::Template;

/// On every container that Unraid's page or script has made.
pub const MADE_BY_UNRAID: &str = "net.unraid.docker.managed";

/// The template of `name`, and the image that it names, which must be ours.
pub fn find(ctx: &mut RunContext, templates: &Path, name: &str) -> Result<(folder::Found, String)> {
    let found = folder::find(templates, name)?;
    found.warnings.iter().for_each(|warning| ctx.tell(warning));
    let named = named(&found.text, &ctx.config.deploy().image);
    let named = named.map_err(|why| format!("the template {}: {why}", found.path.display()))?;
    Ok((found, named))
}

/// What a template names, which must be `image` in some version.
fn named(text: &str, image: &str) -> Result<String, String> {
    Ok(Template::read(text)?.reference(image)?.to_owned())
}

/// Writes the new version into a template, which must be as `backup` has it.
pub fn write_template(ctx: &mut RunContext, name: &str, backup: &TemplateBackup) -> Result {
    let text = written(backup)?;
    let is_new = text != backup.text;
    if is_new {
        folder::write(&backup.path, &backup.text, &text)?;
    }
    failpoint!("template-written");
    let (path, reference) = (backup.path.display(), &backup.new_reference);
    let now = if is_new { "now" } else { "already" };
    ctx.tell(format!("{name}: {path} names {reference} {now}"));
    Ok(())
}

/// Has the script make a container of the new image, and starts it in the place of the one before. The script must read
/// the template that we wrote.
pub fn update(ctx: &mut RunContext, script: &Path, record: &ContainerRecord) -> Result {
    let name = &record.name;
    let old = docker::container(ctx, name)?;
    if old.as_ref().map(|old| &old.id) != record.old.as_ref().map(|old| &old.id) {
        return fail(format!("{name} was replaced by somebody else; try again"));
    }
    record.template.as_ref().map_or(Ok(()), still_ours)?;
    if let Some(old) = &old {
        keep_previous::rename_old(ctx, name, old)?;
    }
    let killed = run_script(ctx, script, name)?;
    failpoint!("script-ended");
    ctx.in_any_case(UNHURRIED, |ctx| {
        let made = made(ctx, name, &record.new_image, killed)?;
        set_up_networks(ctx, name, old.as_ref(), &made)?;
        keep_previous::stop_old_start_new(ctx, name, old.as_ref(), &made)
    })
}

/// Runs the script; why it was killed, where it was past its deadline: what it has made is looked at all the same.
fn run_script(ctx: &mut RunContext, script: &Path, name: &str) -> Result<Option<Failure>> {
    // Not cut by the end of the run, only by its own.
    match ctx.in_any_case(UNHURRIED, |ctx| command::run(ctx, script, name, &[])) {
        Ok(_) => Ok(None),
        Err(late @ Failure::Deadline { .. }) => {
            ctx.tell(format!("{name}: {late}; it was killed"));
            Ok(Some(late))
        }
        Err(failure) => Err(failure),
    }
}

/// The container that the script has made, which must be one of `image`.
fn made(ctx: &mut RunContext, name: &str, image: &ImageId, killed: Option<Failure>) -> Result<Container> {
    let script = match killed {
        None => "update_container".to_owned(),
        Some(why) => format!("update_container was killed, because {why}; it"),
    };
    match docker::container(ctx, name)? {
        Some(made) if made.image == *image => Ok(made),
        Some(made) => {
            let other = format!("{} ({})", made.image, made.reference());
            fail(format!("{name}: {script} made {other} instead of {image}"))
        }
        None => fail(format!(
            "{name}: {script} made no container: does docker refuse its template's settings? see Unraid's Docker page"
        )),
    }
}

/// The script does not connect a container to all the networks that Unraid's page gave it, and puts it into none
/// at all when its network is missing. And the new one gets its name as an alias, so that the next deploy can rename
/// it without a gap, where that costs nothing: it has not started, and no address of its own could be lost.
fn set_up_networks(ctx: &mut RunContext, name: &str, old: Option<&Container>, new: &Container) -> Result {
    let mut without = new.networks_without_alias(name);
    without.retain(|network| !new.has_own_address(network));
    for network in without {
        docker::change(ctx, &["network", "disconnect", network, name])?;
        docker::connect(ctx, network, name, name)?;
    }
    let Some(old) = old else { return Ok(()) };
    let (was, is) = (old.network_mode(), new.network_mode());
    if was != is {
        let why = format!("{name}: its network was {was} and is {is} now: see <Network> in its template");
        return fail(why);
    }
    for network in old.networks().difference(&new.networks()) {
        docker::connect(ctx, network, name, name)?;
        ctx.tell(format!("{name}: connected to the network {network} again"));
    }
    Ok(())
}

/// Has the script make the container `name` as it was, from its restored template; it does not start it.
pub fn make_again(ctx: &mut RunContext, script: &Path, name: &str, old: &OldContainer) -> Result {
    let killed = run_script(ctx, script, name)?;
    made(ctx, name, &old.image, killed).map(drop)
}

/// Puts a template back. Where it holds exactly what we wrote, all of before comes back; where somebody else has edited it
/// since, only the image it names; where it cannot be read at all, or is gone, all of it.
pub fn restore(ctx: &mut RunContext, name: &str, backup: &TemplateBackup) -> Result {
    let path = backup.path.display();
    let there = match folder::read(&backup.path) {
        Ok(text) => Some(text),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => None,
        Err(error) => return Err(files::describe(&error, "read", &backup.path).into()),
    };
    let (image, ours) = (&backup.new_reference, written(backup)?);
    let edited = there.as_deref().filter(|there| *there != ours);
    let (text, said) = match edited.and_then(|there| Template::read(there).ok()) {
        None => (backup.text.clone(), "is as it was"),
        Some(now) => {
            let before = Template::read(&backup.text)?.reference(image)?;
            let back = now.with_repository(before, before).map_err(|why| {
                format!("{name}: {path} was edited by somebody else, and is left alone: {why}")
            })?;
            (back, "was edited by somebody else: only its image is as it was")
        }
    };
    match there {
        Some(there) if there == text || there == backup.text => return Ok(()),
        Some(there) => folder::write(&backup.path, &there, &text)?,
        None => files::replace(&backup.path, text.as_bytes(), 0o600)
            .map_err(|error| files::describe(&error, "write", &backup.path))?,
    }
    ctx.tell(format!("{name}: {path} {said}"));
    Ok(())
}

/// What we write into a template.
fn written(backup: &TemplateBackup) -> Result<String, String> {
    let reference = &backup.new_reference;
    Template::read(&backup.text)?.with_repository(reference, reference)
}

/// The script reads the template by itself: what it reads must name what was pulled.
fn still_ours(backup: &TemplateBackup) -> Result {
    let (path, expected) = (backup.path.display(), &backup.new_reference);
    let now = folder::read(&backup.path).map_err(|error| error.to_string());
    let why = match now.and_then(|now| named(&now, expected)) {
        Ok(named) if named == *expected => return Ok(()),
        Ok(other) => format!("it names {other}"),
        Err(why) => why,
    };
    fail(format!(
        "the template {path} was changed by somebody else: {why}; try again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing::Scratch;
    use std::fs;

    const OLD: &str = "<Container>\r\n <Name>app</Name><Repository> x/y:1 </Repository>\n</Container>\n";

    /// What a file that holds `now` is after going back; an error is the sentence.
    fn restored(word: &str, now: Option<&[u8]>) -> Result<String, String> {
        let scratch = Scratch::new(&format!("backup-{word}"));
        let path = scratch.0.state.join("my-app.xml");
        if let Some(now) = now {
            fs::write(&path, now).unwrap();
        }
        let backup = TemplateBackup {
            path: path.clone(),
            text: OLD.into(),
            new_reference: "x/y:2".into(),
        };
        let mut ctx = RunContext::scratch(&scratch.0);
        for _ in 0..2 {
            restore(&mut ctx, "app", &backup).map_err(|failure| failure.to_string())?;
        }
        Ok(fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn what_we_wrote_goes_back_byte_for_byte() {
        let backup = TemplateBackup {
            path: "/".into(),
            text: OLD.into(),
            new_reference: "x/y:2".into(),
        };
        let ours = written(&backup).unwrap();
        assert_ne!(ours, OLD);
        assert_eq!(restored("ours", Some(ours.as_bytes())).unwrap(), OLD);
        assert_eq!(restored("same", Some(OLD.as_bytes())).unwrap(), OLD);
    }

    #[test]
    fn what_is_torn_or_gone_is_made_whole() {
        for (word, now) in [
            ("gone", None),
            ("empty", Some(&b""[..])),
            ("torn", Some(b"<Container><Na")),
            ("garbage", Some(b"<Container>\xff\xfe")),
        ] {
            assert_eq!(restored(word, now).unwrap(), OLD, "{word}");
        }
    }

    #[test]
    fn an_edit_of_somebody_else_stays_and_only_the_image_goes_back() {
        let edited = "<Container><Name>app</Name><Repository>x/y:2</Repository><Shell>sh</Shell></Container>";
        let expected = edited.replace("x/y:2", "x/y:1");
        assert_eq!(restored("edited", Some(edited.as_bytes())).unwrap(), expected);
        let theirs = edited.replace("x/y:2", "other:7");
        let error = restored("theirs", Some(theirs.as_bytes())).unwrap_err();
        assert!(
            error.contains("is left alone: its image is \"other:7\""),
            "{error}"
        );
    }
}
