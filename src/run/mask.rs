//! What must not be read by anybody, wherever a tool may have printed it. Pure.
//!
//! A mask is the second line of defence: no secret is given to anything that has a reason to print it. It covers a run's
//! log and its outcome, in one place each, and so everything that is made of them.

use serde_json::{Map, Value};

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
        words.fold(text.to_owned(), |text, word| text.replace(word.expose(), COVER))
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
    fn members_are_covered_at_every_depth() {
        let members = json!({"a": "hunter2", "b": [{"c": "x hunter2"}, 7, null]});
        let Value::Object(members) = members else { panic!() };
        assert_eq!(
            Value::Object(mask(&["hunter2"]).cover_all(members)),
            json!({"a": "***", "b": [{"c": "x ***"}, 7, null]})
        );
    }
}
