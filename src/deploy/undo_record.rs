//! What the journal says of each thing that a deploy is about to change: what it was before. Data; no I/O.
//!
//! An entry holds all that going back needs, because whoever goes back may be another process, after a crash, with other
//! settings. It is on disk before the thing is touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deploy::docker::inspect::{Container, ImageId};
use crate::deploy::reference;
use crate::gate::Version;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "before", rename_all = "snake_case")]
pub enum Before {
    /// A tag that is about to be moved.
    Tag(Tag),
    /// A container that is about to be replaced, and on Unraid its template.
    Container(Was),
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// `image:latest`.
    pub reference: String,
    /// What it named; `None` when there was no such tag.
    pub was: Option<ImageId>,
    /// What it is to name.
    pub becomes: ImageId,
}

/// A container, with what it is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Was {
    /// Its name.
    pub name: String,
    /// `None` when there was none.
    pub stood: Option<Stood>,
    /// The image that it is to run.
    pub becomes: ImageId,
    /// On Unraid.
    pub template: Option<Sheet>,
}

/// A container as it stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stood {
    /// 64 hex digits. It keeps this id whatever it is called.
    pub id: String,
    /// What it ran.
    pub image: ImageId,
    /// The image as it was named when the container was made.
    pub reference: String,
    /// Whether it ran.
    pub life: Life,
    /// As `docker update --restart` takes it.
    pub restart: String,
    /// The networks it was in.
    pub networks: BTreeSet<String>,
}

/// Whether a container ran, and how well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It ran and answered as a healthy one does.
    Healthy,
    /// It ran. Whoever goes back to it must not expect more.
    Running,
    /// It did not run.
    Stopped,
}

/// A template of Unraid's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// The file.
    pub path: PathBuf,
    /// All of its content: a template is UTF-8, or it is refused.
    pub text: String,
    /// The image, without its version.
    pub image: String,
    /// The version that is about to be written into it.
    pub version: String,
}

impl Before {
    /// As the journal takes it.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn entry(&self) -> Result<Value, String> {
        serde_json::to_value(self).map_err(|error| format!("write down what is there now: {error}"))
    }
}

impl Stood {
    /// As it stands now; `life` as it was seen.
    pub fn of(now: &Container, life: Life) -> Self {
        Self {
            id: now.id.clone(),
            image: now.image.clone(),
            reference: now.reference().to_owned(),
            life,
            restart: now.restart_policy(),
            networks: now.networks().into_iter().map(str::to_owned).collect(),
        }
    }

    /// What it ran, for a person: the version where its tag is one, else the whole reference.
    pub fn to(&self) -> &str {
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
    fn an_entry_is_read_back_as_it_was_written() {
        let text = "\u{feff}<Container>\r\n\t\"\u{e9}\"</Container>\n\n".to_owned();
        let stood = Stood {
            id: "3f".repeat(32),
            image: id("ab"),
            reference: "host:5000/x/y:0.5.60".into(),
            life: Life::Healthy,
            restart: "on-failure:3".into(),
            networks: ["a".to_owned(), "b".to_owned()].into(),
        };
        let was = Was {
            name: "app".into(),
            stood: Some(stood.clone()),
            becomes: id("cd"),
            template: Some(Sheet {
                path: "/t/my-app.xml".into(),
                text,
                image: "host:5000/x/y".into(),
                version: "0.5.61".into(),
            }),
        };
        let tag = Tag {
            reference: "x/y:latest".into(),
            was: None,
            becomes: id("cd"),
        };
        for before in [Before::Container(was), Before::Tag(tag)] {
            let line = before.entry().unwrap().to_string();
            assert_eq!(serde_json::from_str::<Before>(&line).unwrap(), before);
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
            let stood = Stood {
                id: String::new(),
                image: id("ab"),
                reference: reference.into(),
                life: Life::Stopped,
                restart: "no".into(),
                networks: BTreeSet::new(),
            };
            assert_eq!(stood.to(), to);
        }
    }
}
