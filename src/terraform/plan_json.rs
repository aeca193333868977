//! A JSON document in a file, taken apart level by level: where each member and each entry lies, and never more of it in
//! memory than one of them.
//!
//! serde_json reads all of it first: this finds where values begin and end, which that does not tell, in what is JSON.

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::hash::Sha256;
use crate::limits::{MAX_PLAN_JSON, MAX_PLAN_PARTS, MAX_PLAN_VALUE};

/// Where in the file a value is.
pub type Span = Range<u64>;

/// The document.
pub struct PlanJson<'a> {
    file: &'a File,
    length: u64,
}

impl<'a> PlanJson<'a> {
    /// # Errors
    /// When it is larger than [`MAX_PLAN_JSON`], or no JSON.
    pub fn new(file: &'a File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if length > MAX_PLAN_JSON {
            let most = MAX_PLAN_JSON / (1024 * 1024);
            return Err(refused(&format!(
                "is larger than {most} MiB: split the configuration"
            )));
        }
        let _: IgnoredAny = serde_json::from_reader(BufReader::new(file))?;
        Ok(Self { file, length })
    }

    /// All of it.
    pub fn whole(&self) -> Span {
        0..self.length
    }

    /// The name (in a list: the empty one) and the place of every value in the object or list at `span`; nothing in `null`.
    pub fn children(&self, span: Span) -> io::Result<Vec<(String, Span)>> {
        if span.end - span.start == 4 && self.bytes(span.clone())? == b"null" {
            return Ok(Vec::new());
        }
        let mut scan = Scan::default();
        self.chunks(span, &mut |start, chunk| {
            let mut index = 0;
            while index < chunk.len() {
                if scan.in_text && !scan.is_escaped {
                    // Most of a document is text: what cannot end it is passed over at once.
                    let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
                    let passed = chunk[index..].iter().position(ends);
                    index = passed.map_or(chunk.len(), |count| index + count);
                }
                if let Some(byte) = chunk.get(index) {
                    scan.step(self, start + index as u64, *byte)?;
                }
                index += 1;
            }
            Ok(())
        })?;
        Ok(scan.found)
    }

    /// The value at `span`, parsed.
    pub fn parse<T: DeserializeOwned>(&self, span: Span) -> io::Result<T> {
        Ok(serde_json::from_slice(&self.bytes(span)?)?)
    }

    /// The value at `span`, as it stands there.
    pub fn bytes(&self, span: Span) -> io::Result<Vec<u8>> {
        if span.end - span.start > MAX_PLAN_VALUE {
            return Err(refused(&format!(
                "has a value of more than {MAX_PLAN_VALUE} bytes"
            )));
        }
        let mut bytes = vec![0; (span.end - span.start) as usize];
        self.file.read_exact_at(&mut bytes, span.start)?;
        Ok(bytes)
    }

    /// SHA-256 of the value at `span`, as it stands there.
    pub fn hash(&self, span: Span) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        self.chunks(span, &mut |_, chunk| {
            hash.update(chunk);
            Ok(())
        })?;
        Ok(hash.finish())
    }

    fn chunks(&self, span: Span, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let mut at = span.start;
        while at < span.end {
            let count = (buffer.len() as u64).min(span.end - at);
            let chunk = &mut buffer[..count as usize];
            self.file.read_exact_at(chunk, at)?;
            each(at, chunk)?;
            at += count;
        }
        Ok(())
    }
}

/// The way through one object or list.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_text: bool,
    is_escaped: bool,
    name: String,
    /// Where the value begins, or whatever follows the last one.
    begin: u64,
    found: Vec<(String, Span)>,
}

impl Scan {
    fn step(&mut self, json: &PlanJson<'_>, at: u64, byte: u8) -> io::Result<()> {
        match (byte, self.depth) {
            _ if self.is_escaped => self.is_escaped = false,
            (b'\\', _) if self.in_text => self.is_escaped = true,
            (b'"', 1..) => self.in_text = !self.in_text,
            _ if self.in_text => {}
            (b'{' | b'[', depth) => {
                if depth == 0 {
                    self.begin = at + 1;
                }
                self.depth += 1;
            }
            (b':', 1) => self.name = json.parse(self.next(at))?,
            (b',', 1) => self.value(at)?,
            (b'}' | b']', depth) => {
                // An empty one has no value before its end.
                if depth == 1 && (self.begin != at || !self.found.is_empty()) {
                    self.value(at)?;
                }
                self.depth -= 1;
            }
            (byte, 0) if !byte.is_ascii_whitespace() => return Err(refused("is no JSON object or list")),
            _ => {}
        }
        Ok(())
    }

    /// What stands between the last mark and the one at `at`.
    fn next(&mut self, at: u64) -> Span {
        std::mem::replace(&mut self.begin, at + 1)..at
    }

    fn value(&mut self, end: u64) -> io::Result<()> {
        must_be_few(self.found.len())?;
        let span = self.next(end);
        self.found.push((std::mem::take(&mut self.name), span));
        Ok(())
    }
}

/// # Errors
/// When a plan with so many values is not taken apart.
pub fn must_be_few(values: usize) -> io::Result<()> {
    match values >= MAX_PLAN_PARTS {
        true => Err(refused("has more values than allowed")),
        false => Ok(()),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::other(format!("it {why}"))
}
