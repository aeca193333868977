//! The digest of a plan: SHA-256 over `terraform show -json` as printed, less its top-level member `timestamp`, and with the
//! entries of `relevant_attributes` in the order of their bytes.
//!
//! Two plans of the same changes differ in nothing else, so that who has reviewed one can say which: terraform prints that
//! list in another order each time (seen with 1.11.4). Bytes are taken as they come; nothing is trusted about them: what
//! is no JSON has some digest.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

use crate::limits::{MAX_SHOWN_DEPTH, MAX_SHOWN_TEXT, MAX_SORTED};

/// The member that says when it was planned.
const TIMESTAMP: &[u8] = b"\"timestamp\"";

/// The list without an order.
const UNORDERED: &[u8] = b"\"relevant_attributes\"";

/// Hashes the JSON document of a plan.
pub struct Digest {
    hash: Context,
    scan: Scan,
}

/// Where in the document we are.
#[derive(Default)]
struct Scan {
    depth: usize,
    text: Text,
    place: Place,
    /// A top-level name before its colon is seen, with what is around it.
    held: Vec<u8>,
    /// The comma before it, which goes with it.
    comma: bool,
    /// Whether a member has been let through: the next one needs its comma.
    any: bool,
    /// The entries of the list without an order, the last one perhaps not whole.
    entries: Vec<Vec<u8>>,
    /// Bytes in them.
    kept: usize,
    /// Bytes of the text that we are in.
    letters: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Outside the top-level object, or within a member that counts.
    #[default]
    Counts,
    /// Before the colon of a member.
    Name,
    /// Within the member that does not count.
    Skipped,
    /// Within the list without an order.
    Sorted,
}

/// Whether a byte stands within a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoted {
    Yes,
    No,
}

impl Quoted {
    fn of(quoted: bool) -> Self {
        if quoted { Quoted::Yes } else { Quoted::No }
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            hash: Context::new(&SHA256),
            scan: Scan::default(),
        }
    }
}

impl Digest {
    /// Takes more of the document.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut counted = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.scan.step(*byte, &mut counted);
        }
        self.hash.update(&counted);
    }

    /// Whether the document, as far as it came, is one that terraform may have printed. A plan that runs hostile code may
    /// print anything, and whoever reads on must keep some of it: a text, a name with blanks around it, an entry of a list,
    /// a bracket for each level.
    pub fn is_sane(&self) -> bool {
        let Scan {
            letters,
            held,
            kept,
            depth,
            ..
        } = &self.scan;
        *letters <= MAX_SHOWN_TEXT
            && held.len() <= MAX_SHOWN_TEXT
            && *kept <= MAX_SORTED + MAX_SHOWN_TEXT
            && *depth <= MAX_SHOWN_DEPTH
    }

    /// The digest, as a request names it.
    pub fn finish(self) -> String {
        let mut text = "sha256:".to_owned();
        for byte in self.hash.finish().as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Scan {
    fn step(&mut self, byte: u8, counted: &mut Vec<u8>) {
        let quoted = self.text != Text::Outside;
        self.letters = if quoted { self.letters + 1 } else { 0 };
        self.text = match (self.text, byte) {
            (Text::Outside, b'"') | (Text::Escaped, _) => Text::Inside,
            (Text::Inside, b'"') => Text::Outside,
            (Text::Inside, b'\\') => Text::Escaped,
            (text, _) => text,
        };
        match (self.depth, byte) {
            (0, b'{') => {
                counted.push(byte);
                self.place = Place::Name;
            }
            (1, b',') if !quoted => {
                self.comma = self.any;
                self.place = Place::Name;
            }
            (1, b':') if !quoted && self.place == Place::Name => self.name_ends(counted),
            (1, b'}') if !quoted => {
                counted.append(&mut self.held);
                counted.push(byte);
                self.place = Place::Counts;
            }
            _ => match self.place {
                Place::Counts => counted.push(byte),
                Place::Name => self.held.push(byte),
                Place::Skipped => {}
                Place::Sorted => self.sort(byte, Quoted::of(quoted), counted),
            },
        }
        match byte {
            b'{' | b'[' if !quoted => self.depth += 1,
            b'}' | b']' if !quoted => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn name_ends(&mut self, counted: &mut Vec<u8>) {
        if self.held.trim_ascii() == TIMESTAMP {
            self.held.clear();
            self.place = Place::Skipped;
            return;
        }
        self.place = match self.held.trim_ascii() == UNORDERED {
            true => Place::Sorted,
            false => Place::Counts,
        };
        if self.comma {
            counted.push(b',');
        }
        counted.append(&mut self.held);
        counted.push(b':');
        self.any = true;
    }

    /// A byte of the list without an order, its brackets among them.
    fn sort(&mut self, byte: u8, quoted: Quoted, counted: &mut Vec<u8>) {
        match (self.depth, byte, quoted) {
            (1, ..) => counted.push(byte),
            (2, b',', Quoted::No) if self.kept > MAX_SORTED => {
                // More than anybody should keep: the rest counts as it is printed.
                self.flush(counted);
                counted.push(byte);
                self.place = Place::Counts;
            }
            (2, b',', Quoted::No) => self.entries.push(Vec::new()),
            (2, b']', Quoted::No) => {
                self.flush(counted);
                counted.push(byte);
            }
            _ => {
                if self.entries.is_empty() {
                    self.entries.push(Vec::new());
                }
                if let Some(entry) = self.entries.last_mut() {
                    entry.push(byte);
                    self.kept += 1;
                }
            }
        }
    }

    fn flush(&mut self, counted: &mut Vec<u8>) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable();
        counted.extend(entries.join(&b','));
        self.kept = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(document: &str) -> String {
        let mut digest = Digest::default();
        digest.update(document.as_bytes());
        digest.finish()
    }

    fn plain(document: &str) -> String {
        let hash = ring::digest::digest(&SHA256, document.as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    #[test]
    fn the_timestamp_is_left_out_and_the_list_without_an_order_is_sorted_and_nothing_else_is_touched() {
        for (document, counted) in [
            ("{\"a\":1}\n", "{\"a\":1}\n"),
            (
                r#"{"a":1,"timestamp":"2026-01-02T03:04:05Z","b":[2,3]}"#,
                r#"{"a":1,"b":[2,3]}"#,
            ),
            (r#"{"timestamp":"x","b":2}"#, r#"{"b":2}"#),
            (r#"{"a":1,"timestamp":"x"}"#, r#"{"a":1}"#),
            (r#"{"timestamp":"x"}"#, "{}"),
            ("{}", "{}"),
            (
                r#"{"a":{"timestamp":"x","b":1},"c":[{"timestamp":2}]}"#,
                r#"{"a":{"timestamp":"x","b":1},"c":[{"timestamp":2}]}"#,
            ),
            (
                r#"{"a":"\",\"timestamp\":\"x","b":"}{"}"#,
                r#"{"a":"\",\"timestamp\":\"x","b":"}{"}"#,
            ),
            (r#"{"timestamp":{"deep":[1,{"x":"}"}]},"b":1}"#, r#"{"b":1}"#),
            (
                r#"{ "a" : 1 , "timestamp" : "x" , "b" : 2 }"#,
                r#"{ "a" : 1 , "b" : 2 }"#,
            ),
            (
                r#"{"timestamps":1,"xtimestamp":2}"#,
                r#"{"timestamps":1,"xtimestamp":2}"#,
            ),
            (
                r#"{"a":1,"relevant_attributes":[{"x":2},{"x":1,"y":[3,"],"]}],"b":2}"#,
                r#"{"a":1,"relevant_attributes":[{"x":1,"y":[3,"],"]},{"x":2}],"b":2}"#,
            ),
            (
                r#"{"relevant_attributes":[{"x":2}]}"#,
                r#"{"relevant_attributes":[{"x":2}]}"#,
            ),
            (
                r#"{"relevant_attributes":[],"b":[2,1]}"#,
                r#"{"relevant_attributes":[],"b":[2,1]}"#,
            ),
            (
                r#"{"relevant_attributes":null,"timestamp":"x"}"#,
                r#"{"relevant_attributes":null}"#,
            ),
            (
                r#"{"b":{"relevant_attributes":[2,1]}}"#,
                r#"{"b":{"relevant_attributes":[2,1]}}"#,
            ),
        ] {
            assert_eq!(of(document), plain(counted), "{document}");
        }
    }

    #[test]
    fn however_the_bytes_come_the_digest_is_the_same() {
        let document = r#"{"a":"\\","timestamp":"2026\"","b":{"timestamp":1}}"#;
        let mut single = Digest::default();
        document.bytes().for_each(|byte| single.update(&[byte]));
        assert_eq!(single.finish(), of(document));
        assert_ne!(of(document), plain(document));
    }
}
