//! A JSON document in a file, taken apart level by level: where each member and each entry lies, and never more of it in
//! memory than one of them.
//!
//! It only finds where values begin and end; whoever uses a value parses it with serde_json. Of what is no JSON it makes
//! pieces that are no JSON either, or an error.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use serde::de::DeserializeOwned;

use crate::hash::Sha256;
use crate::limits::{MAX_PLAN_JSON, MAX_PLAN_PARTS, MAX_PLAN_VALUE};

/// Where in the file a value is.
pub(super) type Span = Range<u64>;

/// The document.
pub(super) struct JsonFile<'a> {
    file: &'a File,
    length: u64,
}

impl<'a> JsonFile<'a> {
    /// # Errors
    /// When it is larger than [`MAX_PLAN_JSON`].
    pub(super) fn new(file: &'a File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if length > MAX_PLAN_JSON {
            let most = MAX_PLAN_JSON / (1024 * 1024);
            let sentence =
                format!("it is larger than {most} MiB: split the configuration into several modules");
            return Err(io::Error::other(sentence));
        }
        Ok(Self { file, length })
    }

    /// All of it.
    pub(super) fn whole(&self) -> Span {
        0..self.length
    }

    /// The name (in a list: the empty one) and the place of every value in the object or list at `span`; nothing in `null`.
    pub(super) fn children(&self, span: Span) -> io::Result<Vec<(String, Span)>> {
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
        match (scan.depth, scan.begin) {
            (0, Some(_)) => Ok(scan.found),
            _ => Err(io::Error::other("it is no JSON object or list, or is not whole")),
        }
    }

    /// The value at `span`, parsed.
    pub(super) fn parse<T: DeserializeOwned>(&self, span: Span) -> io::Result<T> {
        Ok(serde_json::from_slice(&self.bytes(span)?)?)
    }

    /// The value at `span`, as it stands there.
    pub(super) fn bytes(&self, span: Span) -> io::Result<Vec<u8>> {
        if span.end - span.start > MAX_PLAN_VALUE {
            let sentence = format!("a value in it is larger than {MAX_PLAN_VALUE} bytes");
            return Err(io::Error::other(sentence));
        }
        let mut bytes = vec![0; (span.end - span.start) as usize];
        self.file.read_exact_at(&mut bytes, span.start)?;
        Ok(bytes)
    }

    /// SHA-256 of the value at `span`, as it stands there.
    pub(super) fn hash(&self, span: Span) -> io::Result<[u8; 32]> {
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
    begin: Option<u64>,
    found: Vec<(String, Span)>,
}

impl Scan {
    fn step(&mut self, json: &JsonFile<'_>, at: u64, byte: u8) -> io::Result<()> {
        match (byte, self.depth) {
            _ if self.is_escaped => self.is_escaped = false,
            (b'{' | b'[', 0) if self.begin.is_none() => (self.depth, self.begin) = (1, Some(at + 1)),
            (byte, 0) if !byte.is_ascii_whitespace() => {
                return Err(io::Error::other("it is no JSON object or list"));
            }
            (b'\\', _) if self.in_text => self.is_escaped = true,
            (b'"', _) => self.in_text = !self.in_text,
            _ if self.in_text => {}
            (b'{' | b'[', 1..) => self.depth += 1,
            (b':', 1) => self.name = json.parse(self.next(at)?)?,
            (b',', 1) => self.value(at)?,
            (b'}' | b']', 1..) => {
                // An empty one has no value before its end.
                if self.depth == 1 && (self.begin != Some(at) || !self.found.is_empty()) {
                    self.value(at)?;
                }
                self.depth -= 1;
            }
            _ => {}
        }
        Ok(())
    }

    /// What stands between the last mark and the one at `at`.
    fn next(&mut self, at: u64) -> io::Result<Span> {
        let begin = self.begin.replace(at + 1);
        begin
            .map(|begin| begin..at)
            .ok_or_else(|| io::Error::other("it is no JSON object or list"))
    }

    fn value(&mut self, end: u64) -> io::Result<()> {
        if self.found.len() >= MAX_PLAN_PARTS {
            return Err(io::Error::other("it has more values than anybody writes"));
        }
        let span = self.next(end)?;
        self.found.push((std::mem::take(&mut self.name), span));
        Ok(())
    }
}
