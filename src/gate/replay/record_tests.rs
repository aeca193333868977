use super::*;
use crate::limits::LEEWAY;

const RUN: &str = "20260102T030405Z-0123abcd";
const FLOORS: Floors = Floors {
    created: 7,
    pruned: 0,
};

fn token(number: u64) -> TokenId {
    TokenId::of_jti("https://issuer.example", &number.to_string())
}

/// One that has no `jti`.
fn nameless(number: u64) -> TokenId {
    let hash = sha256(&number.to_be_bytes());
    TokenId::from_bytes(&[b"s", &hash[..]].concat()).unwrap()
}

fn used(token: TokenId, latest: u64) -> Use {
    Use {
        token,
        expires: latest + 300,
        latest,
        run_id: RUN.into(),
        endpoint: "deploy".into(),
    }
}

fn file(uses: &[Use]) -> Vec<u8> {
    let mut file = empty(FLOORS);
    for (index, used) in uses.iter().enumerate() {
        file.extend(used.record(index + 1).unwrap());
    }
    file
}

/// A memory with every kind of record: the first one, and uses with and without a `jti`.
fn of_every_kind() -> (Vec<u8>, [TokenId; 4]) {
    let tokens = [token(1), nameless(2), token(3), nameless(4)];
    let uses: Vec<Use> = (100..)
        .zip(&tokens)
        .map(|(at, token)| used(token.clone(), at))
        .collect();
    (file(&uses), tokens)
}

/// What is told of a token of which a whole memory says that it was used.
fn is_seen_or_refused(file: &[u8], token: &TokenId) -> bool {
    // A memory whose end is bad knows nothing of tokens from before, and says so for all of them.
    match Book::open(file) {
        Err(_) => true,
        Ok(book) => book.end_is_bad || !matches!(book.find(token, 100), Ok(None)),
    }
}

#[test]
fn a_use_is_found_by_its_token_and_says_all_of_it() {
    let (file, tokens) = of_every_kind();
    let book = Book::open(&file).unwrap();
    assert_eq!((book.floors, book.end_is_bad, book.count), (FLOORS, false, 4));
    for (at, token) in (100..).zip(&tokens) {
        assert_eq!(book.find(token, 0), Ok(Some(used(token.clone(), at))));
    }
    assert_eq!(book.find(&token(2), 0), Ok(None));
    assert_eq!(book.latest(), Ok(103));
}

#[test]
fn the_two_kinds_of_token_are_kept_apart() {
    let hash = sha256(b"x");
    let [jti, signed] = [b"j", b"s"].map(|kind| TokenId::from_bytes(&[kind, &hash[..]].concat()).unwrap());
    let file = file(&[used(jti.clone(), 100)]);
    let book = Book::open(&file).unwrap();
    assert!(book.find(&jti, 0).unwrap().is_some());
    assert_eq!(book.find(&signed, 0), Ok(None));
    assert_eq!(TokenId::from_bytes(&[b"x", &hash[..]].concat()), None);
}

#[test]
fn every_record_has_the_same_size() {
    assert_eq!(empty(FLOORS).len(), SIZE);
    let fitting = |run_id: &str, endpoint: &str| Use {
        run_id: run_id.into(),
        endpoint: endpoint.into(),
        ..used(token(1), u64::MAX - 300)
    };
    for endpoint in ["", "deploy", "an-endpoint-of-22-byte"] {
        assert_eq!(fitting(RUN, endpoint).record(1).unwrap().len(), SIZE);
    }
    let long = format!("{RUN}e");
    for (run_id, endpoint) in [
        ("", "deploy"),
        (&long, "deploy"),
        (RUN, "an-endpoint-of-23-bytes"),
    ] {
        assert!(
            fitting(run_id, endpoint).record(1).is_err(),
            "{run_id} {endpoint}"
        );
    }
}

#[test]
fn a_changed_byte_anywhere_is_never_taken_for_unused() {
    let (good, tokens) = of_every_kind();
    for at in 0..good.len() {
        for change in [1, 0x20, 0x80, 0xff] {
            let mut damaged = good.clone();
            damaged[at] ^= change;
            for token in &tokens {
                assert!(
                    is_seen_or_refused(&damaged, token),
                    "byte {at} changed by {change}"
                );
            }
        }
    }
}

#[test]
fn zeros_in_blocks_are_never_taken_for_unused() {
    let (good, tokens) = of_every_kind();
    for size in [1, 8, 16, 64, 128, 256, 512] {
        for start in (0..good.len()).step_by(size.min(16)) {
            let mut damaged = good.clone();
            let end = (start + size).min(good.len());
            damaged[start..end].fill(0);
            if damaged == good {
                continue;
            }
            for token in &tokens {
                assert!(
                    is_seen_or_refused(&damaged, token),
                    "{size} zeros from {start} on"
                );
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_is_never_taken_for_unused() {
    let (good, tokens) = of_every_kind();
    for end in 0..good.len() {
        let (records, part) = (end / SIZE, end % SIZE);
        for (index, token) in tokens.iter().enumerate() {
            // Where a whole record ends, a cut looks like the file that was there before; a disk that waits when it is
            // asked to does not lose a whole one.
            let may_be_lost = part == 0 && index + 1 >= records && records > 0;
            assert!(
                may_be_lost || is_seen_or_refused(&good[..end], token),
                "cut at {end}"
            );
        }
    }
    // Bytes taken out of the middle.
    for start in (0..good.len()).step_by(8) {
        for count in [1, 8, SIZE] {
            let mut lost = good.clone();
            lost.drain(start..(start + count).min(good.len()));
            if start + count < good.len() {
                assert!(
                    is_seen_or_refused(&lost, &tokens[3]),
                    "{count} bytes lost at {start}"
                );
                assert!(
                    is_seen_or_refused(&lost, &tokens[0]),
                    "{count} bytes lost at {start}"
                );
            }
        }
    }
}

#[test]
fn a_record_in_the_wrong_place_is_damage() {
    let (mut file, tokens) = of_every_kind();
    let first = file[SIZE..2 * SIZE].to_vec();
    file[2 * SIZE..3 * SIZE].copy_from_slice(&first);
    let book = Book::open(&file).unwrap();
    assert_eq!(book.find(&tokens[1], 0), Err("record 2 is bad".into()));
}

#[test]
fn a_bad_end_is_known_and_not_read() {
    let (good, tokens) = of_every_kind();
    let mut zeros = good.clone();
    zeros[4 * SIZE..].fill(0);
    for file in [&zeros, &good[..good.len() - 1], &good[..4 * SIZE + 1]] {
        let book = Book::open(file).unwrap();
        assert_eq!((book.end_is_bad, book.count), (true, 3));
        assert!(book.find(&tokens[2], 0).unwrap().is_some());
    }
    // Of one record alone: a power cut does not change what was on disk before.
    zeros[3 * SIZE..].fill(0);
    for file in [&zeros[..], &zeros[..4 * SIZE + 1]] {
        assert!(Book::open(file).unwrap().find(&tokens[0], 0).is_err());
    }
}

#[test]
fn a_first_record_that_is_not_ours_is_damage() {
    let (good, _) = of_every_kind();
    assert!(Book::open(b"").is_err());
    assert!(Book::open(&good[..SIZE - 1]).is_err());
    assert!(
        Book::open(&sealed(0, &[b"another title"])).is_err(),
        "its check holds"
    );
    let mut other = good.clone();
    other[..SIZE].copy_from_slice(&good[SIZE..2 * SIZE]);
    assert!(Book::open(&other).is_err());
}

#[test]
fn a_search_ends_where_no_use_can_be_as_late() {
    let uses: Vec<Use> = (1..=50).map(|at| used(token(at), at)).collect();
    let mut file = file(&uses);
    // Nobody reads this one.
    file[10 * SIZE..11 * SIZE].fill(0);
    let book = Book::open(&file).unwrap();
    assert_eq!(book.find(&token(99), 12), Ok(None));
    assert!(book.find(&token(99), 10).is_err());
    assert!(book.find(&token(12), 12).unwrap().is_some());
}

#[test]
fn what_is_dropped_is_dropped_and_the_rest_moves_up() {
    let leeway = LEEWAY.as_secs();
    let uses: Vec<Use> = [(1, 100), (2, 200), (3, 101), (4, 300)]
        .map(|(number, expires)| Use {
            expires,
            ..used(token(number), 100 + number)
        })
        .into();
    let file = file(&uses);
    let book = Book::open(&file).unwrap();
    assert_eq!(book.is_half_dead(100 + leeway), Ok(false));
    assert_eq!(book.is_half_dead(200 + leeway), Ok(true));
    let now = 100 + leeway;
    let floors = Floors {
        pruned: now,
        ..FLOORS
    };
    let rewritten = book
        .rewritten(floors, |used| dead_from(used.expires) > now)
        .unwrap();
    let after = Book::open(&rewritten).unwrap();
    assert_eq!((after.floors, after.count), (floors, 3));
    assert_eq!(after.find(&token(1), 0), Ok(None));
    for used in &uses[1..] {
        assert_eq!(after.find(&used.token, 0), Ok(Some(used.clone())));
    }
    let mut damaged = file.clone();
    damaged[2 * SIZE + 5] ^= 1;
    assert!(Book::open(&damaged).unwrap().rewritten(FLOORS, |_| true).is_err());
}
