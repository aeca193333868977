//! As much of XML as a template needs: text in, pieces with their places out.
//!
//! It never changes, unescapes or allocates what it reads, so that an edit can keep every byte it does not mean. It is
//! stricter than XML where strictness is safe: no entities of a document's own, names in ASCII, no elements of a
//! namespace, UTF-8 alone. What libxml (Unraid's reader) would refuse must be refused here as well, or we would edit a
//! file that `update_container` then skips; fuzz/ holds the two against each other.

use std::ops::Range;

use super::lexis::{is_blank, is_character, is_declaration, name_of, quoted, resolve};

/// Deepest nesting. Templates have three levels.
const MAX_DEPTH: usize = 64;

/// One piece of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// An element of this name begins.
    Open(&'a str),
    /// The innermost open element ends.
    Close,
    /// Text as written, its references not resolved.
    Text(&'a str),
    /// The inside of a CDATA section.
    Verbatim(&'a str),
    /// A comment, a processing instruction or a document type.
    Aside,
}

/// Why a text is not XML that we read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads a document piece by piece; its end is `Ok(None)`.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    last: usize,
    open: Vec<&'a str>,
    close_pending: bool,
    seen: Seen,
}

/// How far the document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    DocumentType,
    Root,
}

impl<'a> Reader<'a> {
    /// A reader of `text`, at its beginning.
    ///
    /// # Errors
    /// Control characters that XML does not have, anywhere in it.
    pub fn new(text: &'a str) -> Result<Self, Broken> {
        let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let reader = Self {
            text,
            at: start,
            last: start,
            open: Vec::new(),
            close_pending: false,
            seen: Seen::Nothing,
        };
        match text.find(|c| !is_character(c)) {
            Some(place) => Err(reader.broken(place, "a control character")),
            None => Ok(reader),
        }
    }

    /// How many elements are open. Right after `Open` of the root it is 1.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Where the last piece stands in the text.
    pub fn place(&self) -> Range<usize> {
        self.last..self.at
    }

    /// The next piece.
    ///
    /// # Errors
    /// Anything that is not well-formed, and a document type that defines things.
    pub fn piece(&mut self) -> Result<Option<Piece<'a>>, Broken> {
        self.last = self.at;
        if std::mem::take(&mut self.close_pending) {
            self.open.pop();
            return Ok(Some(Piece::Close));
        }
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return self.end().map(|()| None);
        }
        let piece = match rest.strip_prefix('<') {
            None => self.words(rest),
            Some(inside) if inside.starts_with('?') => self.instruction(rest),
            Some(inside) if inside.starts_with("!--") => self.comment(rest),
            Some(inside) if inside.starts_with("![CDATA[") => self.verbatim(rest),
            Some(inside) if inside.starts_with("!DOCTYPE") => self.document_type(rest),
            Some(inside) if inside.starts_with('/') => self.close(&inside[1..]),
            Some(inside) => self.open(inside),
        };
        piece.map(Some)
    }

    fn end(&self) -> Result<(), Broken> {
        if !self.open.is_empty() {
            return Err(self.broken(self.at, "it ends within an element"));
        }
        if self.seen != Seen::Root {
            return Err(self.broken(self.at, "it has no element"));
        }
        Ok(())
    }

    fn words(&mut self, rest: &'a str) -> Result<Piece<'a>, Broken> {
        let words = &rest[..rest.find('<').unwrap_or(rest.len())];
        if self.open.is_empty() && !words.chars().all(is_blank) {
            return Err(self.broken(self.at, "text outside of the root element"));
        }
        self.check_words(words)?;
        self.at += words.len();
        Ok(Piece::Text(words))
    }

    fn check_words(&self, words: &str) -> Result<(), Broken> {
        if words.contains("]]>") {
            return Err(self.broken(self.at, "`]]>` outside of a CDATA section"));
        }
        match resolve(words) {
            Some(_) => Ok(()),
            None => Err(self.broken(self.at, "a `&` that begins no known reference")),
        }
    }

    fn aside(&mut self, rest: &str, begin: &str, end: &'static str) -> Result<Piece<'a>, Broken> {
        match rest[begin.len()..].find(end) {
            Some(length) => {
                self.at += begin.len() + length + end.len();
                Ok(Piece::Aside)
            }
            None => Err(self.broken(self.at, "something begins here that does not end")),
        }
    }

    fn comment(&mut self, rest: &str) -> Result<Piece<'a>, Broken> {
        let start = self.at;
        self.aside(rest, "<!--", "-->")?;
        // XML forbids `--` within; libxml refuses the document for it.
        let inside = &self.text[start + 4..self.at - 3];
        if inside.contains("--") || inside.ends_with('-') {
            return Err(self.broken(start, "`--` within a comment"));
        }
        Ok(Piece::Aside)
    }

    fn verbatim(&mut self, rest: &'a str) -> Result<Piece<'a>, Broken> {
        const BEGIN: usize = "<![CDATA[".len();
        if self.open.is_empty() {
            return Err(self.broken(self.at, "text outside of the root element"));
        }
        let start = self.at;
        self.aside(rest, "<![CDATA[", "]]>")?;
        Ok(Piece::Verbatim(&self.text[start + BEGIN..self.at - 3]))
    }

    fn instruction(&mut self, rest: &str) -> Result<Piece<'a>, Broken> {
        let start = self.at;
        self.aside(rest, "<?", "?>")?;
        let inside = &self.text[start + 2..self.at - 2];
        let name = name_of(inside);
        let after = &inside[name.len()..];
        if name.eq_ignore_ascii_case("xml") {
            // It is none elsewhere: libxml takes it for an instruction with a forbidden name.
            let is_first = matches!(&self.text[..start], "" | "\u{feff}");
            return match is_first && name == "xml" && is_declaration(after) {
                true => Ok(Piece::Aside),
                false => Err(self.broken(
                    start,
                    "an XML declaration other than version 1.0 in UTF-8, or not at the beginning",
                )),
            };
        }
        if name.is_empty() || !(after.is_empty() || after.starts_with(is_blank)) {
            return Err(self.broken(start, "a processing instruction without a name"));
        }
        Ok(Piece::Aside)
    }

    fn document_type(&mut self, rest: &str) -> Result<Piece<'a>, Broken> {
        const BEGIN: usize = "<!DOCTYPE".len();
        let start = self.at;
        self.aside(rest, "<!DOCTYPE", ">")?;
        let inside = &self.text[start + BEGIN..self.at - 1];
        let name = inside.trim_matches(is_blank);
        let is_name = inside.starts_with(is_blank) && !name.is_empty() && name_of(name) == name;
        if !is_name || self.seen != Seen::Nothing {
            return Err(self.broken(
                start,
                "a document type that is more than a name, or stands in the wrong place",
            ));
        }
        self.seen = Seen::DocumentType;
        Ok(Piece::Aside)
    }

    fn close(&mut self, inside: &str) -> Result<Piece<'a>, Broken> {
        let name = name_of(inside);
        let after = inside[name.len()..].trim_start_matches(is_blank);
        if self.open.last() != Some(&name) || !after.starts_with('>') {
            return Err(self.broken(self.at, "an end tag that does not fit"));
        }
        self.open.pop();
        self.at += 2 + inside.len() - after.len() + 1;
        Ok(Piece::Close)
    }

    fn open(&mut self, inside: &'a str) -> Result<Piece<'a>, Broken> {
        let name = name_of(inside);
        if name.is_empty() {
            return Err(self.broken(self.at, "a `<` that begins nothing"));
        }
        if name.contains(':') {
            return Err(self.broken(self.at, "an element of a namespace"));
        }
        if self.open.is_empty() && std::mem::replace(&mut self.seen, Seen::Root) == Seen::Root {
            return Err(self.broken(self.at, "a second root element"));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.broken(self.at, "elements nested too deeply"));
        }
        let after = self.attributes(&inside[name.len()..])?;
        let (length, empty) = match after.strip_prefix('/') {
            Some(end) => (end.starts_with('>').then_some(2), true),
            None => (after.starts_with('>').then_some(1), false),
        };
        let length = length.ok_or_else(|| self.broken(self.at, "a tag that does not end"))?;
        self.at += 1 + inside.len() - after.len() + length;
        self.open.push(name);
        self.close_pending = empty;
        Ok(Piece::Open(name))
    }

    /// What follows the attributes in `rest`.
    fn attributes(&self, mut rest: &'a str) -> Result<&'a str, Broken> {
        let mut names: Vec<&str> = Vec::new();
        loop {
            let next = rest.trim_start_matches(is_blank);
            if next.starts_with(['>', '/']) || next.is_empty() {
                return Ok(next);
            }
            let name = name_of(next);
            if name.is_empty()
                || next.len() == rest.len()
                || names.contains(&name)
                || names.len() == MAX_DEPTH
            {
                return Err(self.broken(self.at, "an attribute that cannot be read, or stands there twice"));
            }
            names.push(name);
            rest = self.value(&next[name.len()..])?;
        }
    }

    /// What follows `="value"` at the beginning of `rest`.
    fn value(&self, rest: &'a str) -> Result<&'a str, Broken> {
        let (value, after) =
            quoted(rest).ok_or_else(|| self.broken(self.at, "an attribute without a quoted value"))?;
        if value.contains('<') || resolve(value).is_none() {
            return Err(self.broken(self.at, "an attribute's value with a bare `<` or `&`"));
        }
        Ok(after)
    }

    fn broken(&self, place: usize, what: &'static str) -> Broken {
        let before = &self.text.as_bytes()[..place];
        Broken {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            what,
        }
    }
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
