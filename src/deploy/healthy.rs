//! The versions that were healthy on this host, the live one first: `<state>/healthy.json`.
//!
//! Going back, pruning, and a deploy whose registry is down go by it: it has the id and the digest of what really ran,
//! whatever its tag has come to mean since. It is written when a deploy has become healthy, before anything is pruned.
//! One that cannot be read is never written over: whoever needs it refuses, and nothing is pruned.

use std::io;
use std::iter::successors;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::docker::ImageId;
use crate::config::Places;
use crate::gate::{Sha, Version};
use crate::limits::MAX_RUN_FILE;
use crate::os::clock;
use crate::os::files;
use crate::queue::RunId;

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthyVersions {
    /// The last one that became healthy first; no version twice.
    pub versions: Vec<HealthyVersion>,
    /// A version whose deploy failed and was not put back: what runs since then is neither this one nor the first.
    pub half_deployed: Option<Version>,
}

/// A version as it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthyVersion {
    #[serde(flatten)]
    pub release: Release,
    /// The run that made it live last, and when it had.
    pub run_id: RunId,
    pub healthy_at: String,
    /// What was live before it: what `rollback` goes back to. It is kept where the version is gone back to, so that two
    /// rollbacks in a row never lead forward again.
    pub previous: Option<Version>,
}

/// What a deploy brings. The image is not known where backend `command` pulls it by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub version: Version,
    pub sha: Option<Sha>,
    pub image: Option<ImageId>,
    /// What the registry named, if it named one.
    pub digest: Option<String>,
    /// The identity that cosign found for this very digest.
    pub signed_by: Option<String>,
}

impl HealthyVersions {
    /// Reads the list. Where there is none yet, nothing was healthy.
    ///
    /// # Errors
    /// When it cannot be read; the file is named.
    pub fn read(places: &Places) -> Result<Self, String> {
        let path = path(places);
        let described = |error: io::Error| files::describe(&error, "read", &path);
        let bytes = files::optional(files::read_bounded(&path, MAX_RUN_FILE)).map_err(described)?;
        let list = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        Ok(list.map_err(|error| described(error.into()))?.unwrap_or_default())
    }

    /// Writes down that `release` is live and healthy; on disk when this returns. `keep` is how many are kept.
    ///
    /// # Errors
    /// When it could not be read or written.
    pub fn record(places: &Places, release: Release, run_id: &RunId, keep: u32) -> Result<(), String> {
        let mut list = Self::read(places)?;
        if list.is_live(&release) && list.half_deployed.is_none() {
            return Ok(());
        }
        list.push(release, run_id, clock::rfc3339(SystemTime::now()), keep);
        list.write(places)
    }

    /// Writes down that what runs may be neither `release` nor what was live before. Where the two are the same, nothing is
    /// written.
    ///
    /// # Errors
    /// When it could not be read or written.
    pub fn record_half_deployed(places: &Places, release: &Release) -> Result<(), String> {
        let mut list = Self::read(places)?;
        if list.is_live(release) {
            return Ok(());
        }
        list.half_deployed = Some(release.version.clone());
        list.write(places)
    }

    fn write(&self, places: &Places) -> Result<(), String> {
        let path = path(places);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        files::replace(&path, &bytes, 0o600).map_err(|error| files::describe(&error, "write", &path))
    }

    fn push(&mut self, release: Release, run_id: &RunId, healthy_at: String, keep: u32) {
        // The live version, what was live before it, and so on.
        let way_back = successors(self.live(), |one| self.find(one.previous.as_ref()?));
        let mut way_back = way_back.take(self.versions.len());
        let previous = match way_back.find(|one| one.release.version == release.version) {
            Some(one) => one.previous.clone(),
            None => self.live().map(|live| live.release.version.clone()),
        };
        self.versions.retain(|one| one.release.version != release.version);
        let newest = HealthyVersion {
            release,
            run_id: run_id.clone(),
            healthy_at,
            previous,
        };
        self.versions.insert(0, newest);
        self.versions.truncate(keep as usize);
        self.half_deployed = None;
    }

    fn is_live(&self, release: &Release) -> bool {
        self.live().is_some_and(|live| live.release == *release)
    }

    /// The last one that became healthy.
    pub fn live(&self) -> Option<&HealthyVersion> {
        self.versions.first()
    }

    pub fn find(&self, version: &Version) -> Option<&HealthyVersion> {
        self.versions.iter().find(|one| one.release.version == *version)
    }

    /// What `rollback` goes back to: what was live before the live one, and the live one itself where a later deploy has
    /// left something else.
    pub fn rollback_target(&self) -> Option<&HealthyVersion> {
        match self.half_deployed {
            Some(_) => self.live(),
            None => self.find(self.live()?.previous.as_ref()?),
        }
    }
}

fn path(places: &Places) -> PathBuf {
    places.state.join("healthy.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str) -> Release {
        Release {
            version: format!("{version}.0.0").try_into().unwrap(),
            sha: None,
            image: None,
            digest: None,
            signed_by: None,
        }
    }

    /// The list after a deploy for each word: a version that became healthy, or with `half` behind it one that did not and
    /// was not put back.
    fn after(words: &str) -> HealthyVersions {
        let mut list = HealthyVersions::default();
        let id = RunId::parse("20260102T030405Z-01234567").unwrap();
        for word in words.split_whitespace() {
            match word.strip_suffix("half") {
                Some(version) => list.half_deployed = Some(release(version).version),
                None => list.push(release(word), &id, String::new(), 50),
            }
        }
        list
    }

    fn target(words: &str) -> Option<String> {
        let list = after(words);
        let target = list.rollback_target()?;
        Some(target.release.version.to_string()[..1].to_owned())
    }

    #[test]
    fn the_version_before_the_live_one_is_gone_back_to() {
        for (words, expected) in [
            ("1 2", "1"),
            ("1 2 3", "2"),
            ("1 2 2 2", "1"),
            ("1 2 1 2", "1"),
            // What is live is neither old nor new.
            ("1 2 3half", "2"),
            ("1 2 3half 2", "1"),
            ("1 2 3half 3", "2"),
            // Never forward again.
            ("1 2 3 2", "1"),
            ("1 2 3 2 4", "2"),
            ("1 2 3 1 3", "1"),
        ] {
            assert_eq!(target(words).as_deref(), Some(expected), "{words}");
        }
        for words in ["", "1", "1half", "1 1", "1 2 1"] {
            assert_eq!(target(words), None, "{words}");
        }
    }

    #[test]
    fn the_newest_come_first_once_each_and_are_bounded() {
        let list = after("1 2 3 1");
        let order: Vec<_> = list
            .versions
            .iter()
            .map(|one| one.release.version.as_str())
            .collect();
        assert_eq!(order, ["1.0.0", "3.0.0", "2.0.0"]);
        let mut list = after("1 2 3");
        let id = RunId::parse("20260102T030405Z-01234567").unwrap();
        list.push(release("4"), &id, String::new(), 2);
        assert_eq!(list.versions.len(), 2);
        assert_eq!(list.rollback_target().unwrap().release.version.as_str(), "3.0.0");
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_never_written_over() {
        let scratch = crate::queue::testing::Scratch::new("healthy");
        let id = RunId::parse("20260102T030405Z-01234567").unwrap();
        assert_eq!(
            HealthyVersions::read(&scratch.0).unwrap(),
            HealthyVersions::default()
        );
        HealthyVersions::record(&scratch.0, release("1"), &id, 50).unwrap();
        HealthyVersions::record_half_deployed(&scratch.0, &release("2")).unwrap();
        let list = HealthyVersions::read(&scratch.0).unwrap();
        assert_eq!(list.live().unwrap().release, release("1"));
        assert_eq!(list.half_deployed, Some(release("2").version));
        std::fs::write(path(&scratch.0), "{\"versions\": [").unwrap();
        let error = HealthyVersions::record(&scratch.0, release("3"), &id, 50).unwrap_err();
        assert!(error.contains("healthy.json"), "{error}");
        assert_eq!(std::fs::read(path(&scratch.0)).unwrap(), b"{\"versions\": [");
    }
}
