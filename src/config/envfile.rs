//! The text of an environment file -> names and values.
//!
//! Three readers share such files: ours, systemd's `EnvironmentFile=` and an operator's eye. So a value is taken as it
//! stands, without expansion or escapes, and what those three would read differently is an error, not a guess. No value
//! is ever quoted in an error: any may be a secret.

use std::collections::BTreeMap;

use super::pins::is_word;

/// All assignments of `text`, or all that is wrong with it, with line numbers.
pub fn values(text: &[u8]) -> Result<BTreeMap<String, String>, Vec<String>> {
    let (mut values, mut errors) = (BTreeMap::new(), Vec::new());
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (number, raw) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match line(raw) {
            Ok(None) => {}
            Ok(Some((name, value))) => {
                if values.insert(name.to_owned(), value.to_owned()).is_some() {
                    errors.push(format!("line {number}: {name} is set already"));
                }
            }
            Err(error) => errors.push(format!("line {number}: {error}")),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}

/// Name and value, if there are any.
fn line(raw: &[u8]) -> Result<Option<(&str, &str)>, String> {
    let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8")?;
    let text = text.strip_suffix('\r').unwrap_or(text).trim_matches([' ', '\t']);
    if text.is_empty() || text.starts_with(['#', ';']) {
        return Ok(None);
    }
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a control character".into());
    }
    let text = text.strip_prefix("export ").map_or(text, str::trim_start);
    let (name, value) = text
        .split_once('=')
        .ok_or("no `=`; a line is NAME=value or a comment")?;
    if !is_word(name, b"_") || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("no name before `=` (letters, digits and `_`)".into());
    }
    let value = unquoted(value.trim_start_matches([' ', '\t']));
    Ok(Some((name, value.map_err(|error| format!("{name}: {error}"))?)))
}

/// The value without its quotes.
fn unquoted(value: &str) -> Result<&str, &'static str> {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return match value {
            _ if value.contains(" #") || value.contains("\t#") => {
                Err("` #` in the value: quote it, or put the comment on a line of its own")
            }
            _ if value.ends_with('\\') => Err("a backslash at the end; lines are not joined"),
            _ => Ok(value),
        };
    };
    match value[1..].strip_suffix(quote) {
        Some(inner) if inner.contains(quote) => Err("a quote within the quoted value"),
        Some(inner) => Ok(inner),
        None => Err("the value does not end with its quote; a comment needs a line of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(text: &str) -> Result<String, String> {
        let mut values = values(text.as_bytes()).map_err(|errors| errors.join("\n"))?;
        let value = values.remove("KEY").unwrap_or_else(|| panic!("{text:?}"));
        assert!(values.is_empty(), "{text:?}");
        Ok(value)
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
    fn a_name_set_twice_is_a_fault() {
        assert_eq!(
            values(b"KEY=1\n\nKEY=1\n"),
            Err(vec!["line 3: KEY is set already".into()])
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_a_fault() {
        assert_eq!(
            values(b"A=1\nB=\xff\nC=3\n"),
            Err(vec!["line 2: not UTF-8".into()])
        );
    }
}
