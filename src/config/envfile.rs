//! The text of an environment file -> names and values.
//!
//! Three readers share such files: ours, systemd's `EnvironmentFile=` and an operator's eye. So a value is taken as it
//! stands, without expansion or escapes, and what those three would read differently is an error, not a guess. No value
//! is ever quoted in an error: any may be a secret.

use std::collections::BTreeMap;

use crate::limits::MAX_SETTINGS;

/// All assignments of `text`, and all that is wrong with it, with line numbers.
pub(super) fn lines(text: &[u8]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut found, mut errors, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
    if text.len() > MAX_SETTINGS {
        errors.push(format!(
            "the environment file is longer than {MAX_SETTINGS} bytes"
        ));
        return (found, errors);
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (number, raw) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match line(raw) {
            Ok(None) => {}
            Ok(Some((name, value))) => match seen.insert(name, number) {
                Some(earlier) => {
                    errors.push(format!("line {number}: {name} is already set in line {earlier}"))
                }
                None => found.push((name.to_owned(), value.to_owned())),
            },
            Err(error) => errors.push(format!("line {number}: {error}")),
        }
    }
    (found, errors)
}

/// Name and value, if there are any.
fn line(raw: &[u8]) -> Result<Option<(&str, &str)>, String> {
    let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8")?;
    let text = text.strip_suffix('\r').unwrap_or(text).trim_matches([' ', '\t']);
    if text.is_empty() || text.starts_with(['#', ';']) {
        return Ok(None);
    }
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a control character (NUL, a bare CR, an escape)".into());
    }
    let text = text.strip_prefix("export ").map_or(text, str::trim_start);
    let (name, value) = text
        .split_once('=')
        .ok_or("no `=`; a line is NAME=value or a comment")?;
    if !is_name(name) {
        return Err("no name of a variable before `=` (letters, digits and `_`, no blanks)".into());
    }
    let value = unquoted(value.trim_start_matches([' ', '\t']));
    Ok(Some((name, value.map_err(|error| format!("{name}: {error}"))?)))
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value without its quotes.
fn unquoted(value: &str) -> Result<&str, &'static str> {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return match value {
            _ if value.contains(" #") || value.contains("\t#") => {
                Err("` #` within the value: put a comment on a line of its own, or the value in quotes")
            }
            _ if value.ends_with('\\') => Err("the value ends in a backslash; lines are not joined"),
            _ => Ok(value),
        };
    };
    match value.get(1..).and_then(|rest| rest.strip_suffix(quote)) {
        Some(inner) if inner.contains(quote) => {
            Err("a quote within the quoted value; there is no escape for it")
        }
        Some(inner) => Ok(inner),
        None => Err("the quoted value does not end with its quote; a comment needs a line of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(text: &str) -> Result<String, String> {
        let (mut lines, mut faults) = lines(text.as_bytes());
        match (lines.pop(), faults.pop()) {
            (Some(line), None) => {
                assert_eq!(line.0, "KEY", "{text:?}");
                Ok(line.1)
            }
            (_, fault) => Err(fault.unwrap_or_default()),
        }
    }

    #[test]
    fn a_value_is_taken_as_it_stands() {
        for (text, value) in [
            ("KEY=value", "value"),
            ("KEY=\"value\"", "value"),
            ("KEY='value'", "value"),
            ("KEY=", ""),
            ("KEY=\"\"", ""),
            ("KEY=a=b", "a=b"),
            ("KEY=a b", "a b"),
            ("KEY=\" a \"", " a "),
            ("  KEY=  value\t ", "value"),
            ("export KEY=value", "value"),
            ("export \t KEY=value", "value"),
            ("KEY=value\r\n", "value"),
            ("\u{feff}KEY=value", "value"),
            ("# KEY=no\n; KEY=no\n\n  \t\nKEY=yes\n", "yes"),
            ("KEY=$HOME`id`$(id)", "$HOME`id`$(id)"),
            ("KEY=\"$HOME\\n\"", "$HOME\\n"),
            ("KEY=a#b", "a#b"),
            ("KEY=\"a # b\"", "a # b"),
            ("KEY=it's", "it's"),
            ("KEY=\"it's\"", "it's"),
            ("KEY=a\tb", "a\tb"),
        ] {
            assert_eq!(value_of(text).as_deref(), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn what_other_readers_would_read_differently_is_a_fault() {
        for (text, fault) in [
            ("KEY", "no `=`"),
            ("[section]", "no `=`"),
            ("source /etc/profile", "no `=`"),
            ("=value", "no name"),
            ("KEY =value", "no name"),
            ("1KEY=value", "no name"),
            ("KEY-A=value", "no name"),
            ("K\u{c9}Y=value", "no name"),
            ("KEY=value # why", "comment"),
            ("KEY=\"value\" # why", "comment"),
            ("KEY=\"value", "does not end"),
            ("KEY=\"", "does not end"),
            ("KEY='value\"", "does not end"),
            ("KEY=\"a\"b\"", "a quote within"),
            ("KEY=one \\", "backslash"),
            ("KEY=a\0b", "control"),
            ("KEY=a\u{1b}[2Jb", "control"),
            ("KEY=a\rKEY=b", "control"),
        ] {
            let found = value_of(text).expect_err(text);
            assert!(
                found.starts_with("line 1: ") && found.contains(fault),
                "{text:?}: {found}"
            );
        }
    }

    #[test]
    fn a_name_set_twice_is_a_fault_that_names_both_lines() {
        let (_, faults) = lines(b"KEY=1\n\nKEY=1\n");
        assert_eq!(faults, ["line 3: KEY is already set in line 1"]);
    }

    #[test]
    fn bytes_that_are_no_text_and_too_many_of_them_are_faults() {
        let (found, faults) = lines(b"A=1\nB=\xff\nC=3\n");
        assert_eq!(found.len(), 2);
        assert_eq!(faults, ["line 2: not UTF-8"]);
        assert_eq!(lines(&vec![b'\n'; MAX_SETTINGS]).1.len(), 0);
        assert_eq!(lines(&vec![b'\n'; MAX_SETTINGS + 1]).1.len(), 1);
    }
}
