//! Why a command ends early.

use crate::wire::Invalid;

/// The exit status, and a sentence for standard error.
#[derive(Debug)]
pub struct Exit(pub u8, pub String);

impl From<std::io::Error> for Exit {
    fn from(why: std::io::Error) -> Self {
        Exit(1, why.to_string())
    }
}

impl From<Exit> for std::io::Error {
    fn from(Exit(_, why): Exit) -> Self {
        std::io::Error::other(why)
    }
}

impl From<Exit> for String {
    fn from(Exit(_, why): Exit) -> Self {
        why
    }
}

/// Usage.
impl From<Invalid> for Exit {
    fn from(why: Invalid) -> Self {
        Exit(2, why.0)
    }
}
