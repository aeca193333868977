//! What is named when an apply is refused because its plan is not the one that was reviewed: whose values differ, and how.
//! No value, and nothing that a value could be guessed by.
//!
//! A plan leaves the hashes of its values in its run's folder, keyed with a key of this host that nobody else has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use crate::config::Places;
use crate::hash::hmac_sha256;
use crate::jwt::base64url::hex;
use crate::limits::{MAX_DIFFERENCES, MAX_PLAN_JSON};
use crate::os::files::{self, optional};
use crate::os::random;
use crate::queue::{RunFolder, RunId};

use super::digest::Part;
use super::summary::Summary;

/// What is kept of a part: its hash, what is done to it, and its name, or else its kind in brackets.
type Line = (String, String, String);

/// Leaves what [`named`] needs to know of a plan.
pub fn leave(places: &Places, run: &RunId, summary: &Summary) -> io::Result<()> {
    let path = RunFolder::of(places, run).path().join(file_name(&summary.digest));
    let lines = serde_json::to_vec(&lines(&key(places)?, &summary.parts))?;
    files::replace_volatile(&path, &lines, 0o600)
}

/// A line for each difference between this plan and the one of the digest `reviewed`, at most [`MAX_DIFFERENCES`] and one
/// more.
pub fn named(places: &Places, reviewed: &str, summary: &Summary) -> io::Result<Vec<String>> {
    let folders = fs::read_dir(&places.runs)?.flatten();
    let name = file_name(reviewed);
    let mut paths = folders.map(|folder| folder.path().join(&name));
    let unknown = || io::Error::other("the reviewed plan is none of this host's last runs");
    let path = paths.find(|path| path.is_file()).ok_or_else(unknown)?;
    let before: Vec<Line> = serde_json::from_slice(&files::read_bounded(&path, MAX_PLAN_JSON)?)?;
    Ok(differences(&before, &lines(&key(places)?, &summary.parts)))
}

fn differences(before: &[Line], now: &[Line]) -> Vec<String> {
    let (before, now) = (table(before), table(now));
    let names: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    let differing = names.into_iter().filter(|name| before.get(name) != now.get(name));
    // Whatever has no name of its own differs with something that has, or alone.
    let (unnamed, named): (Vec<&str>, Vec<&str>) = differing.partition(|name| name.starts_with('('));
    let all = if named.is_empty() { unnamed } else { named };
    let how = |name: &&str| match (before.get(name), now.get(name)) {
        (None, _) => format!("{name}: only in this plan"),
        (_, None) => format!("{name}: only in the reviewed plan"),
        (Some((before, _)), Some((now, _))) if before != now => {
            format!("{name}: {before} was reviewed, this is {now}")
        }
        _ => format!("{name}: other values than in the reviewed plan"),
    };
    let mut lines: Vec<String> = all.iter().take(MAX_DIFFERENCES).map(how).collect();
    if all.len() > MAX_DIFFERENCES {
        lines.push(format!("and {} more", all.len() - MAX_DIFFERENCES));
    }
    lines
}

/// What is done to whatever bears one name, and the hashes of its values.
type Known<'a> = (&'a str, BTreeSet<&'a str>);

fn table(lines: &[Line]) -> BTreeMap<&str, Known<'_>> {
    let mut table = BTreeMap::<&str, Known<'_>>::new();
    for (hash, actions, name) in lines {
        let (known, hashes) = table.entry(name).or_default();
        hashes.insert(hash);
        if !actions.is_empty() {
            *known = actions;
        }
    }
    table
}

fn lines(key: &[u8], parts: &[Part]) -> Vec<Line> {
    let line = |part: &Part| {
        let hash = hex(&hmac_sha256(key, &[part.kind.as_bytes(), &part.hash].concat()));
        let name = match part.name.as_str() {
            "" => format!("({})", part.kind),
            name => name.to_owned(),
        };
        (hash, part.actions.clone(), name)
    };
    parts.iter().map(line).collect()
}

fn file_name(digest: &str) -> String {
    format!("plan-{}", digest.trim_start_matches("sha256:"))
}

/// This host's key, made when it is first needed.
fn key(places: &Places) -> io::Result<Vec<u8>> {
    let path = places.state.join("plan-key");
    if let Some(key) = optional(files::read_bounded(&path, 64))? {
        return Ok(key);
    }
    let key = random::hex::<32>()?.into_bytes();
    files::replace(&path, &key, 0o600)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, actions: &str, value: u8) -> Part {
        Part {
            kind: "resource_changes".into(),
            name: name.into(),
            actions: actions.into(),
            hash: [value; 32],
        }
    }

    fn compare(before: &[Part], now: &[Part]) -> Vec<String> {
        differences(&lines(b"key", before), &lines(b"key", now))
    }

    #[test]
    fn what_differs_is_named_with_how_and_nothing_else_is() {
        let same = part("thing.same", "create", 1);
        let before = [
            same.clone(),
            part("thing.gone", "delete", 2),
            part("thing.a", "no-op", 3),
            part("thing.b", "update", 4),
        ];
        let now = [
            same,
            part("thing.new", "create", 2),
            part("thing.a", "update", 5),
            part("thing.b", "update", 6),
            part("", "", 7),
        ];
        let expected = [
            "thing.a: no-op was reviewed, this is update",
            "thing.b: other values than in the reviewed plan",
            "thing.gone: only in the reviewed plan",
            "thing.new: only in this plan",
        ];
        assert_eq!(compare(&before, &now), expected);
        assert_eq!(compare(&before, &before), Vec::<String>::new());
    }

    #[test]
    fn what_has_no_name_is_named_where_nothing_else_differs() {
        let unnamed = |value| [part("thing.a", "create", 1), part("", "", value)];
        let expected = ["(resource_changes): other values than in the reviewed plan"];
        assert_eq!(compare(&unnamed(1), &unnamed(2)), expected);
    }

    #[test]
    fn a_hundred_differences_are_not_a_hundred_lines() {
        let many: Vec<Part> = (0..100)
            .map(|number| part(&format!("thing.t{number:03}"), "create", 1))
            .collect();
        let lines = compare(&[], &many);
        assert_eq!(lines.len(), MAX_DIFFERENCES + 1);
        assert_eq!(lines.last().unwrap(), "and 80 more");
    }
}
