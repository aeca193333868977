//! A template as the journal has it: writing the new version into it, and putting it back.
//!
//! Unraid's own page may rewrite the file at any moment, so what is there is read right before each write. An edit of
//! somebody else's is never undone.

use super::folder;
use super::template::Template;
use crate::deploy::before::Sheet;
use crate::event::Phase;
use crate::failpoint;
use crate::limits::MAX_TEMPLATE;
use crate::os::files::{self, Durability};
use crate::run::{Failure, RunContext};

/// Puts a template back. Where it holds exactly what we wrote, every byte of before comes back; where somebody else has
/// edited it since, only the image it names; where it cannot be read at all, or is gone, all of it.
pub fn restore(ctx: &mut RunContext, name: &str, sheet: &Sheet) -> Result<(), Failure> {
    let path = sheet.path.display();
    let there = files::optional(files::read_bounded(&sheet.path, MAX_TEMPLATE));
    let there =
        there.map_err(|error| Failure::Failed(files::describe(&error, "read the template", &sheet.path)))?;
    let ours = written(sheet).map_err(Failure::Failed)?;
    let before = sheet.text.as_bytes();
    let (bytes, said) = match &there {
        Some(there) if there == before => return Ok(()),
        Some(there) if *there == ours => (before.to_vec(), "is as it was"),
        Some(there) => match renamed_back(there, sheet) {
            Some(Ok(bytes)) if bytes == *there => return Ok(()),
            Some(Ok(bytes)) => (
                bytes,
                "was edited by somebody else since: only its image is as it was",
            ),
            Some(Err(why)) => {
                let sentence =
                    format!("{name}: {path} was edited by somebody else since, and is left alone: {why}");
                return Err(Failure::Failed(sentence));
            }
            None => (before.to_vec(), "could not be read any more: it is as it was"),
        },
        None => (before.to_vec(), "was gone: it is as it was"),
    };
    match there {
        Some(there) => folder::write(&sheet.path, &there, &bytes).map_err(Failure::Failed)?,
        None => files::replace(&sheet.path, &bytes, 0o600, Durability::Durable)
            .map_err(|error| Failure::Failed(files::describe(&error, "write the template", &sheet.path)))?,
    }
    failpoint!("template-restored");
    ctx.say(Phase::Rollback, &format!("{name}: {path} {said}"));
    Ok(())
}

/// What somebody else has made of a template, with the image that it named before; `None` where it is no template.
fn renamed_back(there: &[u8], sheet: &Sheet) -> Option<Result<Vec<u8>, String>> {
    let now = Template::read(there).ok()?;
    let before = Template::read(sheet.text.as_bytes()).ok()?;
    Some(now.with_repository_of(&before, &sheet.image))
}

/// The bytes that we write into a template.
pub(super) fn written(sheet: &Sheet) -> Result<Vec<u8>, String> {
    let template = Template::read(sheet.text.as_bytes()).map_err(|broken| broken.to_string())?;
    template.with_version(&sheet.image, &sheet.version)
}

/// The script reads the template by itself: what it reads must name what was pulled.
pub(super) fn still_ours(sheet: &Sheet) -> Result<(), Failure> {
    let described = |why: String| {
        let path = sheet.path.display();
        Failure::Failed(format!(
            "the template {path} was changed by somebody else just now: {why}; try again"
        ))
    };
    let now = files::read_bounded(&sheet.path, MAX_TEMPLATE).map_err(|error| described(error.to_string()))?;
    let template = Template::read(&now).map_err(|broken| described(broken.to_string()))?;
    let expected = format!("{}:{}", sheet.image, sheet.version);
    match template.reference(&sheet.image).map_err(described)? {
        now if now == expected => Ok(()),
        other => Err(described(format!("it names {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing::Scratch;
    use std::fs;

    const OLD: &str = "<Container>\r\n <Name>app</Name><Repository> x/y:1 </Repository>\n</Container>\n";

    /// What a file that holds `now` is after going back; an error is the sentence.
    fn restored(word: &str, now: Option<&str>) -> Result<String, String> {
        let scratch = Scratch::new(&format!("sheet-{word}"));
        let path = scratch.0.state.join("my-app.xml");
        if let Some(now) = now {
            fs::write(&path, now).unwrap();
        }
        let sheet = Sheet {
            path: path.clone(),
            text: OLD.into(),
            image: "x/y".into(),
            version: "2".into(),
        };
        let mut ctx = RunContext::scratch(&scratch.0);
        for _ in 0..2 {
            restore(&mut ctx, "app", &sheet).map_err(|failure| failure.to_string())?;
        }
        Ok(fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn what_we_wrote_goes_back_byte_for_byte() {
        let sheet = Sheet {
            path: "/".into(),
            text: OLD.into(),
            image: "x/y".into(),
            version: "2".into(),
        };
        let ours = String::from_utf8(written(&sheet).unwrap()).unwrap();
        assert_ne!(ours, OLD);
        assert_eq!(restored("ours", Some(&ours)).unwrap(), OLD);
        assert_eq!(restored("same", Some(OLD)).unwrap(), OLD);
    }

    #[test]
    fn what_is_torn_or_gone_is_made_whole() {
        for (word, now) in [
            ("gone", None),
            ("empty", Some("")),
            ("torn", Some("<Container><Na")),
        ] {
            assert_eq!(restored(word, now).unwrap(), OLD, "{word}");
        }
    }

    #[test]
    fn an_edit_of_somebody_else_stays_and_only_the_image_goes_back() {
        let edited = "<Container><Name>app</Name><Repository>x/y:2</Repository><Shell>sh</Shell></Container>";
        let expected = edited.replace("x/y:2", " x/y:1 ");
        assert_eq!(restored("edited", Some(edited)).unwrap(), expected);
        let theirs = edited.replace("x/y:2", "other:7");
        let error = restored("theirs", Some(&theirs)).unwrap_err();
        assert!(
            error.contains("is left alone: its image is \"other:7\""),
            "{error}"
        );
    }
}
