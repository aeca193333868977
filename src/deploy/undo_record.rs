//! What the journal says of each thing that a deploy is about to change: what it was before. Data; no I/O.
//!
//! A record holds all that going back needs, because whoever goes back may be another process, after a crash, with other
//! settings. It is on disk before the thing is touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::docker::ImageId;
use super::healthy::Release;
use super::reference;
use crate::gate::Version;
use crate::run::{Result, RunContext};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum UndoRecord {
    /// A tag that is about to be moved.
    Tag {
        /// `image:latest`.
        reference: String,
        /// What it named; `None` when there was no such tag.
        old: Option<ImageId>,
        /// What it is to name.
        new: ImageId,
    },
    /// On Unraid with its template.
    Container(ContainerRecord),
}

/// A container that is about to be replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub name: String,
    /// `None` when there was none.
    pub old: Option<OldContainer>,
    /// The image that it is to run.
    pub new_image: ImageId,
    /// What is deployed: whoever finds that the deploy was done writes it down as healthy.
    pub release: Release,
    /// On Unraid.
    pub template: Option<TemplateBackup>,
}

/// A container as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldContainer {
    /// 64 hex digits. It keeps this id whatever it is called.
    pub id: String,
    pub image: ImageId,
    /// The image as it was named when the container was made.
    pub reference: String,
    /// Docker's word for how it was, and whether it answered as a healthy one does: whoever goes back to it must not expect
    /// more.
    pub status: String,
    pub was_healthy: bool,
    /// As `docker update --restart` takes it.
    pub restart: String,
    pub networks: BTreeSet<String>,
}

/// A template of Unraid's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateBackup {
    pub path: PathBuf,
    /// All of its content: a template is UTF-8, or it is refused.
    pub text: String,
    /// The image that is about to be written into it, with its version.
    pub new_reference: String,
}

impl UndoRecord {
    /// Writes it into the journal; on disk when this returns.
    pub fn write(&self, ctx: &mut RunContext) -> Result {
        let entry = serde_json::to_value(self);
        ctx.write_undo_record(entry.map_err(|error| format!("write down what is there: {error}"))?)
    }
}

impl OldContainer {
    /// What it ran, for a person: the version where its tag is one, else the whole reference.
    pub fn version(&self) -> &str {
        let tag = reference::tag(&self.reference);
        let version = tag.filter(|tag| Version::try_from((*tag).to_owned()).is_ok());
        version.unwrap_or(&self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(two: &str) -> ImageId {
        ImageId::try_from(format!("sha256:{}", two.repeat(32))).unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let text = "\u{feff}<Container>\r\n\t\"\u{e9}\"</Container>\n\n".to_owned();
        let old = OldContainer {
            id: "3f".repeat(32),
            image: id("ab"),
            reference: "host:5000/x/y:0.5.60".into(),
            status: "running".into(),
            was_healthy: true,
            restart: "on-failure:3".into(),
            networks: ["a".to_owned(), "b".to_owned()].into(),
        };
        let container = ContainerRecord {
            name: "app".into(),
            old: Some(old),
            new_image: id("cd"),
            release: Release {
                version: "0.5.61".to_owned().try_into().unwrap(),
                sha: None,
                image: Some(id("cd")),
                digest: None,
                signed_by: None,
            },
            template: Some(TemplateBackup {
                path: "/t/my-app.xml".into(),
                text,
                new_reference: "host:5000/x/y:0.5.61".into(),
            }),
        };
        let tag = UndoRecord::Tag {
            reference: "x/y:latest".into(),
            old: None,
            new: id("cd"),
        };
        for record in [UndoRecord::Container(container), tag] {
            let line = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<UndoRecord>(&line).unwrap(), record);
        }
    }

    #[test]
    fn a_version_is_told_where_the_tag_is_one() {
        for (reference, to) in [
            ("host:5000/x/y:0.5.60", "0.5.60"),
            ("host:5000/x/y:latest", "host:5000/x/y:latest"),
            ("host:5000/x/y", "host:5000/x/y"),
            ("x/y:0.5.60@sha256:ab", "0.5.60"),
        ] {
            let old = OldContainer {
                id: String::new(),
                image: id("ab"),
                reference: reference.into(),
                status: "exited".into(),
                was_healthy: false,
                restart: "no".into(),
                networks: BTreeSet::new(),
            };
            assert_eq!(old.version(), to);
        }
    }
}
