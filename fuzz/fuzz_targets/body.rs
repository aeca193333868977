//! A chunked body without its head: cut anywhere, the same verdict as at once, and the one a simple reader comes to.
#![no_main]

use engram_deployer::http::{BodyReader, Framing, HttpError};
use engram_deployer::limits::{MAX_BODY, MAX_BODY_WIRE};
use engram_deployer_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fn verdict<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let mut reader = BodyReader::new(Framing::Chunked);
    let mut used = 0;
    for piece in pieces {
        let (taken, progress) = reader.feed(piece)?;
        used += taken;
        match progress {
            Some(body) => return Ok(Some((body, used))),
            None => assert_eq!(taken, piece.len()),
        }
    }
    Ok(None)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = verdict(std::iter::once(bytes));
    assert_eq!(verdict(bytes.chunks(1)), whole);
    assert_eq!(verdict(pieces(bytes)), whole);
    match whole {
        Err(_) => {}
        Ok(None) => assert!(bytes.len() <= MAX_BODY_WIRE),
        Ok(Some((body, used))) => {
            assert!(body.len() <= MAX_BODY && used <= MAX_BODY_WIRE);
            assert_eq!(simply(bytes), Some((body, used)));
        }
    }
});

/// RFC 9112, 7.1, of bytes that are all there and known to be good.
fn simply(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let text = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(text.split(';').next()?, 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}
