//! What must not be read by anybody, wherever a tool may have printed it. Pure.
//!
//! A mask is the second line of defence: no secret is given to anything that has a reason to print it. It covers a run's
//! log and its outcome, in one place each, and so everything that is made of them.

use serde_json::{Map, Value};

use crate::event::CUT;
use crate::os::secret::Secret;

/// What stands in the place of a secret.
const COVER: &str = "***";

/// The secrets of a run, in every spelling that a tool is likely to print.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// The longest first: one may be part of another.
    words: Vec<Secret>,
}

impl Mask {
    /// Hides `secret` from now on, as it is and as JSON would spell it.
    pub fn hide(&mut self, secret: &Secret) {
        let plain = secret.expose();
        let quoted = Value::from(plain).to_string();
        let spelled = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        for word in [plain, spelled] {
            let known = self.words.iter().any(|known| known.expose() == word);
            if !word.is_empty() && !known {
                self.words.push(Secret::new(word.to_owned()));
            }
        }
        self.words
            .sort_by_key(|word| std::cmp::Reverse(word.expose().len()));
    }

    /// `text` without what is hidden.
    pub fn cover(&self, text: &str) -> String {
        let words = self.words.iter();
        let whole = words.fold(text.to_owned(), |text, word| text.replace(word.expose(), COVER));
        if self.words.is_empty() || !whole.contains(CUT) {
            return whole;
        }
        let mut parts: Vec<String> = whole.split(CUT).map(str::to_owned).collect();
        if let Some((_, cut)) = parts.split_last_mut() {
            cut.iter_mut().for_each(|part| self.cover_beginning(part));
        }
        parts.join(CUT)
    }

    /// Covers the beginning of a secret at the end of `text`, which was cut there.
    fn cover_beginning(&self, text: &mut String) {
        // What became of half a character.
        let kept = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let beginning = |word: &str| {
            let ends = word.char_indices().map(|(at, _)| at).skip(1);
            ends.filter(|end| kept.ends_with(&word[..*end])).max()
        };
        let longest = self
            .words
            .iter()
            .filter_map(|word| beginning(word.expose()))
            .max();
        if let Some(length) = longest {
            text.truncate(kept.len() - length);
            text.push_str(COVER);
        }
    }

    /// Every text in `members` without what is hidden.
    pub fn cover_all(&self, members: Map<String, Value>) -> Map<String, Value> {
        let covered = members
            .into_iter()
            .map(|(name, value)| (name, self.cover_value(value)));
        covered.collect()
    }

    fn cover_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.cover(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.cover_value(value)).collect(),
            Value::Object(members) => Value::Object(self.cover_all(members)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mask(words: &[&str]) -> Mask {
        let mut mask = Mask::default();
        words
            .iter()
            .for_each(|word| mask.hide(&Secret::new((*word).to_owned())));
        mask
    }

    #[test]
    fn a_secret_is_covered_wherever_it_stands_and_nothing_else_is() {
        let mask = mask(&["hunter2", "hunter2-longer", "a\"b\\c"]);
        for (text, covered) in [
            ("", ""),
            ("hunter", "hunter"),
            ("hunter2", "***"),
            ("xhunter2y hunter2", "x***y ***"),
            ("hunter2-longer", "***"),
            (r#"{"password":"a\"b\\c"}"#, r#"{"password":"***"}"#),
            (r#"a"b\c"#, "***"),
        ] {
            assert_eq!(mask.cover(text), covered, "{text}");
        }
        assert_eq!(Mask::default().cover("hunter2"), "hunter2");
    }

    #[test]
    fn of_a_secret_that_was_cut_nothing_is_left_to_read() {
        let mask = mask(&["hunter2", "un-hinged", "p\u{e4}sse"]);
        for (text, covered) in [
            ("x hunter ... (cut)", "x *** ... (cut)"),
            ("x h ... (cut)", "x *** ... (cut)"),
            ("x hunter2 ... (cut)", "x *** ... (cut)"),
            (
                "x hun ... (cut) y un- ... (cut) hun",
                "x *** ... (cut) y *** ... (cut) hun",
            ),
            ("x p\u{fffd} ... (cut)", "x *** ... (cut)"),
            ("x ... (cut)", "x ... (cut)"),
            (" ... (cut)", " ... (cut)"),
        ] {
            assert_eq!(mask.cover(text), covered, "{text}");
        }
    }

    #[test]
    fn members_are_covered_at_every_depth() {
        let members = json!({"a": "hunter2", "b": [{"c": "x hunter2"}, 7, null]});
        let Value::Object(members) = members else { panic!() };
        assert_eq!(
            Value::Object(mask(&["hunter2"]).cover_all(members)),
            json!({"a": "***", "b": [{"c": "x ***"}, 7, null]})
        );
    }
}
