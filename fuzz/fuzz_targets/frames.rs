//! The link between front and session: cut anywhere, the same frames and the same end; a frame written again is the same.
#![no_main]

use std::fmt::Debug;

use engram_deployer::link::{Decoder, FromFront, ToFront, encode};
use engram_deployer_fuzz::pieces;
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fn decoded<'a, F: DeserializeOwned>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<F>, Option<String>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(bad) => return (frames, Some(bad.to_string())),
            }
        }
    }
    (frames, None)
}

fn check<F: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let whole = decoded::<F>(std::iter::once(bytes));
    assert_eq!(decoded::<F>(bytes.chunks(1)), whole);
    assert_eq!(decoded::<F>(pieces(bytes)), whole);
    for frame in whole.0 {
        let again = match encode(&frame) {
            Ok(again) => again,
            // What came as UTF-8 may be longer as we escape it.
            Err(error) => {
                assert!(error.to_string().contains("over the limit"), "{error}");
                continue;
            }
        };
        assert_eq!(decoded(std::iter::once(&again[..])), (vec![frame], None));
    }
}

fuzz_target!(|bytes: &[u8]| {
    check::<FromFront>(bytes);
    check::<ToFront>(bytes);
    // The same as the inside of one frame, so that not every try is spent on lengths.
    let length = u32::try_from(bytes.len()).expect("a short input").to_be_bytes();
    let framed = [&length[..], bytes].concat();
    check::<FromFront>(&framed);
    check::<ToFront>(&framed);
});
