//! The folder of templates: which file is a container's, and writing it.
//!
//! The search is `update_container`'s own, because that script is what reads the file next: recursive, the extension
//! exactly `xml`, no name that begins with a dot, the container's name in the first `<Name>`. Where the script takes the
//! first of several, we refuse: the one we edit must be the one it reads. Nothing else in the folder is touched, and a
//! temporary file's name never ends in `.xml`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::template::Template;
use crate::limits::{MAX_TEMPLATE, MAX_TEMPLATE_ENTRIES};
use crate::os::files;

/// A container's template, and what was noticed on the way to it.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Its content, moments ago.
    pub text: String,
    /// Other files that could not be read, a sentence each.
    pub warnings: Vec<String>,
}

/// Finds the one template of `container` below `folder`.
///
/// # Errors
/// When there is none or more than one, or the folder cannot be read.
pub fn find(folder: &Path, container: &str) -> Result<Found, String> {
    let (mut warnings, mut matching) = (Vec::new(), Vec::new());
    for path in templates(folder)? {
        match read_named(&path) {
            Ok((text, Some(name))) if name == container => matching.push((path, text)),
            Ok(_) => {}
            Err(why) => warnings.push(format!("ignored the template {}: {why}", path.display())),
        }
    }
    let all: Vec<_> = matching
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    if all.len() > 1 {
        return Err(format!(
            "several templates are named {container}: {}; update_container would take the first: rename all but one",
            all.join(", ")
        ));
    }
    let Some((path, text)) = matching.pop() else {
        let folder = folder.display();
        warnings.insert(
            0,
            format!("no template below {folder} has <Name>{container}</Name>"),
        );
        return Err(warnings.join("; "));
    };
    Ok(Found { path, text, warnings })
}

/// Puts `text` in the place of a template, on disk when this returns. Its mode stays.
///
/// # Errors
/// When the content is no longer `expected`: somebody else writes it at this moment.
pub fn write(path: &Path, expected: &str, text: &str) -> Result<(), String> {
    let described = |error: io::Error| files::describe(&error, "write", path);
    // A link stays a link.
    let path = fs::canonicalize(path).map_err(described)?;
    if read(&path).map_err(described)? != expected {
        let path = path.display();
        return Err(format!("{path} was changed by somebody else; try again"));
    }
    files::sweep(path.parent().unwrap_or(&path)).map_err(described)?;
    let mode = fs::metadata(&path).map_err(described)?.permissions().mode() & 0o7777;
    files::replace(&path, text.as_bytes(), mode).map_err(described)
}

/// The content of a template. One that is too long, or no text, is none.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = files::read_bounded(path, MAX_TEMPLATE)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The content of a template, and which container it is for.
fn read_named(path: &Path) -> Result<(String, Option<String>), String> {
    let text = read(path).map_err(|error| error.to_string())?;
    let name = Template::read(&text)?.first_text("Name").map(str::to_owned);
    match &name {
        Some(name) if name.contains(['<', '&']) => Err("its <Name> holds more than plain text".into()),
        _ => Ok((text, name)),
    }
}

/// Every template below `folder`, in the order of their paths. Linked folders are not entered, linked files count.
fn templates(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut found, mut folders, mut entries) = (Vec::new(), vec![folder.to_owned()], 0);
    while let Some(next) = folders.pop() {
        let described = |error: io::Error| files::describe(&error, "read", &next);
        for entry in fs::read_dir(&next).map_err(described)? {
            let entry = entry.map_err(described)?;
            entries += 1;
            if entries > MAX_TEMPLATE_ENTRIES {
                let most = format!("more than {MAX_TEMPLATE_ENTRIES} entries");
                return Err(format!(
                    "{} holds {most}: is DEPLOYER_TEMPLATE_DIR right?",
                    folder.display()
                ));
            }
            match entry.file_type().map_err(described)?.is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.retain(|path| is_template(path));
    found.sort();
    Ok(found)
}

fn is_template(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let hidden = name.as_encoded_bytes().starts_with(b".");
    !hidden && path.extension().is_some_and(|extension| extension == "xml") && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(word: &str) -> Self {
            let path = std::env::temp_dir().join(format!("engram-templates-{}-{word}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn named(name: &str) -> String {
        format!("<Container><Name>{name}</Name><Repository>x/y:1</Repository></Container>")
    }

    #[test]
    fn the_name_inside_counts_and_not_the_files() {
        let scratch = Scratch::new("inside");
        scratch.write("my-app.xml", &named("other"));
        let path = scratch.write("deeper/still/whatever.xml", &named("app"));
        scratch.write("my-App.xml", &named("App"));
        assert_eq!(find(&scratch.0, "app").unwrap().path, path);
    }

    #[test]
    fn what_the_script_does_not_read_is_not_read() {
        let scratch = Scratch::new("unread");
        for name in [
            ".my-app.xml",
            "my-app.xml.bak",
            "my-app.XML",
            "xml",
            ".my-app.xml.engram.12.tmp",
        ] {
            scratch.write(name, &named("app"));
        }
        fs::create_dir(scratch.0.join("folder.xml")).unwrap();
        assert!(find(&scratch.0, "app").unwrap_err().contains("no template below"));
        let path = scratch.write(".hidden/my-app.xml", &named("app"));
        assert_eq!(find(&scratch.0, "app").unwrap().path, path);
    }

    #[test]
    fn two_templates_of_one_name_are_refused_by_their_paths() {
        let scratch = Scratch::new("two");
        scratch.write("my-app.xml", &named("app"));
        scratch.write("bk/a.xml", &named("app"));
        let error = find(&scratch.0, "app").unwrap_err();
        assert!(
            error.contains("/bk/a.xml, ") && error.contains("/my-app.xml; "),
            "{error}"
        );
    }

    #[test]
    fn other_broken_files_are_ignored_and_named() {
        let scratch = Scratch::new("broken");
        scratch.write("a.xml", "<Container>");
        scratch.write("b.xml", &" ".repeat(MAX_TEMPLATE as usize + 1));
        assert!(
            find(&scratch.0, "app")
                .unwrap_err()
                .contains("a.xml: it ends within")
        );
        scratch.write("c.xml", &named("app"));
        let warnings = find(&scratch.0, "app").unwrap().warnings;
        assert!(
            warnings.len() == 2 && warnings[1].contains("b.xml"),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = find(Path::new("/nowhere/templates"), "app").unwrap_err();
        assert!(error.starts_with("read /nowhere/templates: "), "{error}");
    }

    #[test]
    fn writing_keeps_the_mode_and_leaves_nothing_behind() {
        let scratch = Scratch::new("write");
        let path = scratch.write("my-app.xml", "old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = scratch.0.join("link.xml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let left = scratch.write(".my-app.xml.engram.4194305.tmp", "half");
        write(&link, "old", "new").unwrap();
        assert!(!left.exists(), "what a power cut left of another write");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
    }

    #[test]
    fn a_template_that_changes_under_us_is_not_written() {
        let scratch = Scratch::new("race");
        let path = scratch.write("my-app.xml", "theirs");
        assert!(write(&path, "old", "new").unwrap_err().contains("somebody else"));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }
}
