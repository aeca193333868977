//! A secret text: kept in a type that cannot be printed.
//!
//! It leaves that type by [`Secret::expose`] alone, so that whoever audits where secrets go looks for one word.

use std::fmt;

/// A secret text. It has no `Display`, and its `Debug` says only that it is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret, as it was read or made.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for the one place that hands it over, and for the mask.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a secret)")
    }
}
