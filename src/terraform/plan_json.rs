//! A JSON document taken apart level by level, each value as it stands there, byte for byte.
//!
//! serde_json reads all of it: this keeps where values begin and end, which it does not tell.

use std::io;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::limits::MAX_PLAN_PARTS;

/// The name (in a list: the empty one) and the text of every value in an object or a list; nothing in `null`.
pub fn children(text: &str) -> io::Result<Vec<(String, &str)>> {
    let mut found = Vec::new();
    let (mut rest, end) = match text.split_at_checked(1) {
        _ if text == "null" => return Ok(found),
        Some(("{", rest)) => (rest, "}"),
        Some(("[", rest)) => (rest, "]"),
        _ => return Err(io::Error::other("it is no JSON object or list")),
    };
    while rest != end {
        let mut name = String::new();
        if end == "}" {
            let (quoted, after) = next_value(rest)?;
            name = parse(quoted)?;
            rest = after.strip_prefix(':').ok_or(io::ErrorKind::InvalidData)?;
        }
        let (value, after) = next_value(rest)?;
        found.push((name, value));
        must_be_few(found.len())?;
        rest = match after.strip_prefix(',') {
            Some(next) if next != end => next,
            _ if after == end => after,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
    }
    Ok(found)
}

/// The first value in `text`, and what follows it.
fn next_value(text: &str) -> io::Result<(&str, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    Ok(text.split_at(values.byte_offset()))
}

pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> io::Result<T> {
    Ok(serde_json::from_str(text)?)
}

/// # Errors
/// When a plan with so many values is not taken apart.
pub fn must_be_few(values: usize) -> io::Result<()> {
    match values > MAX_PLAN_PARTS {
        true => Err(io::Error::other("it has more values than allowed")),
        false => Ok(()),
    }
}
