//! base64, the two alphabets of RFC 4648: strict reading of the one that tokens use, writing of both.
//!
//! Reading is canonical: of all texts that a lenient reader would take for the same bytes, exactly one is accepted.
//! So a token has one spelling, and what is remembered or compared about it cannot be dodged by another.

const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes of a base64url text without padding (RFC 4648 section 5, RFC 7515 section 2).
///
/// # Errors
/// Any text that [`encode`] would not have written.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    // `held` has `bits` bits that are not written yet; the higher ones have been.
    let (mut held, mut bits) = (0, 0);
    for (offset, character) in text.iter().enumerate() {
        let value = URL.iter().position(|one| one == character);
        held = held << 6 | value.ok_or_else(|| format!("a byte that is not base64url at offset {offset}"))?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    // Bits that belong to no byte, or a character too many.
    match encode(&bytes).as_bytes() == text {
        true => Ok(bytes),
        false => Err("another spelling of its bytes than the canonical one".into()),
    }
}

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    encode_with(URL, bytes)
}

/// base64 with `+`, `/` and padding (RFC 4648 section 4), as curl's `--pinnedpubkey` wants it.
pub fn encode_standard(bytes: &[u8]) -> String {
    let mut text = encode_with(STANDARD, bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Lower-case hex digits, two a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode_with(alphabet: &[u8; 64], bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let padded = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let held = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        // One character more than there are bytes: 8, 16, 24 bits need 2, 3, 4 characters.
        for position in 0..=group.len() {
            let index = held >> (18 - 6 * position) & 63;
            text.push(char::from(alphabet[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose;

    fn samples() -> impl Iterator<Item = Vec<u8>> {
        (0..200usize).map(|length| (0..length).map(|i| (i * 89 + length * 57) as u8).collect())
    }

    #[test]
    fn both_alphabets_are_written_as_a_known_library_writes_them() {
        for bytes in samples() {
            assert_eq!(encode(&bytes), general_purpose::URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(encode_standard(&bytes), general_purpose::STANDARD.encode(&bytes));
            assert_eq!(decode(encode(&bytes).as_bytes()).unwrap(), bytes);
        }
    }

    #[test]
    fn bytes_have_exactly_one_spelling() {
        for (text, fault) in [
            ("QQ==", "offset 2"),
            ("QUI=", "offset 3"),
            ("QU+I", "offset 2"),
            ("QU/I", "offset 2"),
            ("QU I", "offset 2"),
            ("QU\nI", "offset 2"),
            ("QU?I", "offset 2"),
            ("QU\u{e9}", "offset 2"),
            ("QUJDQ", "another spelling"),
            ("QR", "another spelling"),
            ("QUJ", "another spelling"),
        ] {
            assert!(decode(text.as_bytes()).unwrap_err().contains(fault), "{text:?}");
        }
        // Every two- and three-character text either is what `encode` writes or is refused.
        let any = (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| vec![a, b]));
        for text in any.flat_map(|text| [[&text[..], b"A"].concat(), text]) {
            if let Ok(bytes) = decode(&text) {
                assert_eq!(encode(&bytes).as_bytes(), text);
            }
        }
    }
}
