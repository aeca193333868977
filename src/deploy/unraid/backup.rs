//! A template as the journal has it: writing the new version into it, and putting it back.
//!
//! Unraid's own page may rewrite the file at any moment, so what is there is read right before each write. An edit of
//! somebody else's is never undone.

use std::io::ErrorKind;

use super::folder;
use super::template::Template;
use crate::deploy::undo_record::TemplateBackup;
use crate::os::files;
use crate::run::{Failure, Result, RunContext};

/// Puts a template back. Where it holds exactly what we wrote, all of before comes back; where somebody else has edited it
/// since, only the image it names; where it cannot be read at all, or is gone, all of it.
pub fn restore(ctx: &mut RunContext, name: &str, backup: &TemplateBackup) -> Result {
    let path = backup.path.display();
    let there = match folder::read(&backup.path) {
        Ok(text) => Some(text),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => None,
        Err(error) => return Err(files::describe(&error, "read the template", &backup.path).into()),
    };
    let ours = written(backup)?;
    let edited = there.as_deref().filter(|there| *there != ours);
    let (text, said) = match edited.and_then(|there| Template::read(there).ok()) {
        None => (backup.text.clone(), "is as it was"),
        Some(now) => {
            let image = &backup.new_reference;
            let back = Template::read(&backup.text)
                .and_then(|before| now.with_repository(image, before.reference(image)?));
            let left_alone =
                |why| format!("{name}: {path} was edited by somebody else since, and is left alone: {why}");
            let said = "was edited by somebody else since: only its image is as it was";
            (back.map_err(left_alone)?, said)
        }
    };
    match there {
        Some(there) if there == text || there == backup.text => return Ok(()),
        Some(there) => folder::write(&backup.path, &there, &text)?,
        None => files::replace(&backup.path, text.as_bytes(), 0o600)
            .map_err(|error| files::describe(&error, "write the template", &backup.path))?,
    }
    ctx.tell(&format!("{name}: {path} {said}"));
    Ok(())
}

/// What we write into a template.
pub(super) fn written(backup: &TemplateBackup) -> Result<String, String> {
    let reference = &backup.new_reference;
    Template::read(&backup.text)?.with_repository(reference, reference)
}

/// The script reads the template by itself: what it reads must name what was pulled.
pub(super) fn still_ours(backup: &TemplateBackup) -> Result {
    let (path, expected) = (backup.path.display(), &backup.new_reference);
    let changed = |why: String| {
        Failure::Failed(format!(
            "the template {path} was changed by somebody else just now: {why}; try again"
        ))
    };
    let now = folder::read(&backup.path).map_err(|error| changed(error.to_string()))?;
    let template = Template::read(&now).map_err(changed)?;
    match template.reference(expected).map_err(changed)? {
        now if now == expected => Ok(()),
        other => Err(changed(format!("it names {other}"))),
    }
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
