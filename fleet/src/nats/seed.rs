//! The seed of a user's key, read from a file. What else such a file may hold is named, since the server only says no.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nkeys::{KeyPair, KeyPairType};

use crate::os::log;
use crate::wire::Invalid;

/// A user's seed. It is never printed.
#[derive(Clone)]
pub struct Seed(String);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    pub fn of(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        match text {
            "" => return Err("it is empty"),
            _ if text.contains(['\n', '\r']) => {
                return Err("it has more than one line, and should have the seed alone");
            }
            _ if text.starts_with('U') => return Err("it holds a public key, not a seed (which begins with SU)"),
            _ => {}
        }
        let pair = KeyPair::from_seed(text).map_err(|why| match why.kind() {
            nkeys::error::ErrorKind::ChecksumFailure => "its checksum is wrong: a letter is missing or changed",
            _ => "it holds no seed of a user (SU and 56 letters and digits)",
        })?;
        match pair.key_pair_type() {
            KeyPairType::User => Ok(Seed(text.to_owned())),
            KeyPairType::Account => Err("it holds the seed of an account, not of a user (which begins with SU)"),
            KeyPairType::Operator => Err("it holds the seed of an operator, not of a user (which begins with SU)"),
            _ => Err("it holds the seed of another kind, not of a user (which begins with SU)"),
        }
    }

    /// Reads the file; warns in the log where others may do so too.
    pub fn read(path: &Path) -> Result<Self, Invalid> {
        let read = || -> std::io::Result<(String, u32)> {
            let mut file = std::fs::File::open(path)?;
            let mut text = String::new();
            file.by_ref().take(4_096).read_to_string(&mut text)?;
            Ok((text, file.metadata()?.mode()))
        };
        let wrong = |why: &dyn fmt::Display| Invalid(format!("the seed file {}: {why}", path.display()));
        let (text, mode) = read().map_err(|why| wrong(&why))?;
        let seed = Seed::of(&text).map_err(|why| wrong(&why))?;
        if mode & 0o044 != 0 {
            let mode = mode & 0o777;
            log::line(&format!("the seed file {} can be read by others (mode {mode:o}): chmod 600", path.display()));
        }
        Ok(seed)
    }

    pub fn from_random(bytes: [u8; 32]) -> Self {
        let pair = KeyPair::new_from_raw(KeyPairType::User, bytes).expect("any 32 bytes are a key");
        Seed(pair.seed().expect("the pair was made with its seed"))
    }

    pub fn public_key(&self) -> String {
        KeyPair::from_seed(&self.0).expect("it was read before").public_key()
    }

    /// The text itself, for the file and the link.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Whether a text is the public key of a user.
pub fn is_public_key(text: &str) -> bool {
    KeyPair::from_public_key(text).is_ok_and(|pair| pair.key_pair_type() == KeyPairType::User)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_each_kind_of_wrong_seed_is_named() {
        let good = Seed::from_random([7; 32]);
        let text = good.reveal().to_owned();
        assert!(Seed::of(&format!("{text}\n")).is_ok());
        let why = |text: &str| Seed::of(text).unwrap_err();
        assert!(why("").contains("empty"));
        assert!(why(&good.public_key()).contains("public key"));
        assert!(why(&KeyPair::new_account().seed().unwrap()).contains("an account"));
        assert!(why(&KeyPair::new_operator().seed().unwrap()).contains("an operator"));
        assert!(why(&format!("{text}\n{text}\n")).contains("more than one line"));
        let mut spoilt = text.clone().into_bytes();
        spoilt[20] = if spoilt[20] == b'A' { b'B' } else { b'A' };
        assert!(why(&String::from_utf8(spoilt).unwrap()).contains("checksum"), "a changed letter");
        assert!(why("hello").contains("no seed"));
        assert!(!format!("{good:?}").contains("SU"));
    }
}
