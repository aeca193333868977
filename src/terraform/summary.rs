//! What a saved plan would do, from `terraform show -json`: how much it adds, changes and destroys, and its digest.
//!
//! The document is read once, in pieces, and never kept: a plan may be larger than our memory, and there are secrets in it.

use std::fmt;
use std::io::{self, BufReader, Read};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use crate::terraform::digest::Digest;

/// How much a plan would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub add: u64,
    /// In place.
    pub change: u64,
    /// Gone, replaced ones included.
    pub destroy: u64,
}

/// A saved plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Resources.
    pub counts: Counts,
    /// Resources that are not as they were left.
    pub drifted: u64,
    /// Outputs that would be others.
    pub outputs: u64,
    /// Whether it is whole: an interrupted plan is saved as well, and must not be applied.
    pub complete: bool,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
}

impl Counts {
    /// As the outcome names them.
    pub fn value(self) -> Value {
        json!({"add": self.add, "change": self.change, "destroy": self.destroy})
    }
}

/// As a person reads it.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to add, {} to change, {} to destroy",
            self.add, self.change, self.destroy
        )
    }
}

/// Reads what `terraform show -json` printed.
///
/// # Errors
/// When it is not the JSON of a plan.
pub fn read(document: impl Read) -> io::Result<Summary> {
    let mut hashed = Hashed {
        inner: document,
        digest: Digest::default(),
    };
    let shown: Shown = {
        let mut reader =
            serde_json::Deserializer::from_reader(BufReader::with_capacity(64 * 1024, &mut hashed));
        let shown = Shown::deserialize(&mut reader)?;
        reader.end()?;
        shown
    };
    Ok(Summary {
        counts: shown.resource_changes.counts,
        drifted: shown.resource_drift.count,
        outputs: shown.output_changes.count,
        complete: shown.errored == Some(false),
        digest: hashed.digest.finish(),
    })
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    digest: Digest,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        if !self.digest.is_sane() {
            return Err(io::Error::other(
                "a text or a list in it is longer than anybody writes",
            ));
        }
        Ok(count)
    }
}

/// The members that count; all others are passed over.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    resource_changes: Changes,
    #[serde(default)]
    resource_drift: Drift,
    #[serde(default)]
    output_changes: Outputs,
    errored: Option<bool>,
}

/// `resource_changes`, counted while it is read.
#[derive(Default)]
struct Changes {
    counts: Counts,
}

/// `resource_drift`, likewise.
#[derive(Default)]
struct Drift {
    count: u64,
}

/// `output_changes`, likewise.
#[derive(Default)]
struct Outputs {
    count: u64,
}

#[derive(Deserialize)]
struct Resource {
    change: Change,
}

/// `before` and `after`, which hold everything, are passed over.
#[derive(Deserialize)]
struct Change {
    actions: Actions,
}

/// What a change does, counted while it is read.
#[derive(Default)]
struct Actions {
    counts: Counts,
    /// Those that do something, or look something up.
    some: u64,
}

impl Change {
    /// A thing that only has another name by now stands among those that have changed.
    fn is_none(&self) -> bool {
        self.actions.some == 0
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Acting)
    }
}

struct Acting;

impl<'de> Visitor<'de> for Acting {
    type Value = Actions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of actions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Actions, A::Error> {
        let mut actions = Actions::default();
        while let Some(action) = list.next_element::<String>()? {
            actions.some += u64::from(action != "no-op");
            match action.as_str() {
                "create" => actions.counts.add += 1,
                "update" => actions.counts.change += 1,
                "delete" => actions.counts.destroy += 1,
                _ => {}
            }
        }
        Ok(actions)
    }
}

impl<'de> Deserialize<'de> for Changes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_seq(Counting(Counts::default()))
            .map(|counts| Changes { counts })
    }
}

impl<'de> Deserialize<'de> for Drift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = deserializer.deserialize_seq(Tallying)?;
        Ok(Drift { count })
    }
}

impl<'de> Deserialize<'de> for Outputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = deserializer.deserialize_map(Tallying)?;
        Ok(Outputs { count })
    }
}

struct Counting(Counts);

impl<'de> Visitor<'de> for Counting {
    type Value = Counts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of resource changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Counts, A::Error> {
        while let Some(resource) = list.next_element::<Resource>()? {
            let Counts { add, change, destroy } = resource.change.actions.counts;
            self.0.add += add;
            self.0.change += change;
            self.0.destroy += destroy;
        }
        Ok(self.0)
    }
}

/// Counts what is no change in name alone.
struct Tallying;

impl<'de> Visitor<'de> for Tallying {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("resources or outputs with their changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while let Some(resource) = list.next_element::<Resource>()? {
            count += u64::from(!resource.change.is_none());
        }
        Ok(count)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while let Some((_, change)) = map.next_entry::<IgnoredAny, Change>()? {
            count += u64::from(!change.is_none());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(actions: &[&[&str]], errored: &str) -> String {
        let change = |actions: &&[&str]| json!({"address": "a", "change": {"before": {"x": [1]}, "actions": actions, "after": null}});
        let changes: Vec<Value> = actions.iter().map(change).collect();
        format!(
            "{{\"format_version\":\"1.2\",\"resource_drift\":[{{\"change\":{{\"actions\":[\"update\"]}}}},\
             {{\"change\":{{\"actions\":[\"no-op\"]}}}}],\"output_changes\":{{\"a\":{{\"actions\":[\"no-op\"]}},\
             \"b\":{{\"before\":1,\"actions\":[\"update\"]}}}},\"resource_changes\":{},\"timestamp\":\"t\",\"errored\":{errored}}}\n",
            Value::Array(changes)
        )
    }

    #[test]
    fn changes_are_counted_as_terraform_counts_them() {
        let all: [&[&str]; 7] = [
            &["create"],
            &["update"],
            &["delete"],
            &["delete", "create"],
            &["create", "delete"],
            &["no-op"],
            &["read"],
        ];
        let summary = read(plan(&all, "false").as_bytes()).unwrap();
        let counts = Counts {
            add: 3,
            change: 1,
            destroy: 3,
        };
        assert_eq!(
            (summary.counts, summary.drifted, summary.outputs, summary.complete),
            (counts, 1, 1, true)
        );
        assert_eq!(summary.counts.to_string(), "3 to add, 1 to change, 3 to destroy");
    }

    #[test]
    fn a_document_without_end_takes_no_memory_without_end() {
        let endless =
            |begin: &'static str, byte| Read::chain(begin.as_bytes(), io::repeat(byte).take(1 << 32));
        for (begin, byte) in [
            ("{\"a\":\"", b'x'),
            ("{\"a\":\"", b'\\'),
            ("{\"", b'x'),
            ("{", b' '),
            ("{\"a\":", b'['),
            ("{\"relevant_attributes\":[", b'1'),
        ] {
            let fault = read(endless(begin, byte)).unwrap_err().to_string();
            assert!(
                fault.contains("longer than anybody writes"),
                "{begin}{byte}: {fault}"
            );
        }
    }

    #[test]
    fn a_plan_counts_as_whole_only_where_it_says_so() {
        assert!(!read(plan(&[], "true").as_bytes()).unwrap().complete);
        assert!(!read(&b"{}"[..]).unwrap().complete);
    }

    #[test]
    fn the_digest_knows_the_changes_and_not_the_time() {
        let of = |text: String| read(text.as_bytes()).unwrap().digest;
        let one = of(plan(&[&["create"]], "false"));
        assert_eq!(
            one,
            of(plan(&[&["create"]], "false").replace("\"t\"", "\"later\""))
        );
        assert_ne!(one, of(plan(&[&["delete"]], "false")));
    }

    #[test]
    fn what_is_no_plan_is_an_error_and_no_panic() {
        for bad in [
            "",
            "null",
            "[]",
            "{",
            "{\"resource_changes\":7}",
            "{}{}",
            "{\"resource_changes\":[{}]}",
            "{\"resource_drift\":[{}]}",
            "{\"output_changes\":[]}",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
