//! The replay memory's bytes. Whatever is read of any bytes is written again as the same; and no damage to a good memory
//! makes a used token unused: it is found as it was written, or the memory refuses.
#![no_main]

use std::sync::LazyLock;

use engram_deployer::gate::TokenId;
use engram_deployer::gate::replay::record::{Book, Floors, SIZE, Use, empty};
use engram_deployer::hash::sha256;
use libfuzzer_sys::fuzz_target;

const FIELDS: usize = SIZE - 32;

/// A good memory, and what is in it: tokens of both kinds.
static GOOD: LazyLock<(Vec<u8>, Vec<Use>)> = LazyLock::new(|| {
    let floors = Floors {
        created: 0,
        pruned: 50,
    };
    let uses: Vec<Use> = (0..6_u8)
        .map(|number| Use {
            token: match number % 2 {
                0 => TokenId::of_jti("https://issuer.example", &number.to_string()),
                _ => TokenId::from_bytes(&[b"s", &sha256(&[number])[..]].concat()).expect("an id"),
            },
            expires: 400 + u64::from(number),
            latest: 100 + u64::from(number / 2),
            run_id: format!("20260102T030405Z-0123abc{number}"),
            endpoint: "deploy".into(),
        })
        .collect();
    (written(floors, &uses), uses)
});

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The same as what stands in records whose checks hold, so that not every try is spent on a hash.
    let (first, rest) = bytes.split_at(bytes.len().min(16));
    let title = &empty(Floors {
        created: 0,
        pruned: 0,
    })[..33];
    let records = rest
        .chunks(FIELDS)
        .zip(1..)
        .map(|(fields, number)| sealed(number, fields));
    let mut memory = sealed(0, &[title, first].concat());
    memory.extend(records.flatten());
    read(&memory);
    let (good, uses) = &*GOOD;
    let damaged = damaged(good, bytes);
    remembers(&damaged, uses);
    // What is there is as a power cut or a disk left it, and the one after it is written behind it.
    if let Ok(book) = Book::open(&damaged)
        && let Ok(mut cut) = book.rewritten(book.floors, |_| true)
    {
        let next = Use {
            token: TokenId::of_jti("https://issuer.example", "next"),
            ..uses[0].clone()
        };
        cut.extend(next.record(book.count + 1).expect("room"));
        let after = Book::open(&cut).expect("its own writing");
        assert_eq!((after.count, after.end_is_bad), (book.count + 1, false));
        assert_eq!(after.find(&next.token, 0), Ok(Some(next)));
    }
});

/// What is read of any bytes, written again.
fn read(bytes: &[u8]) {
    let Ok(book) = Book::open(bytes) else { return };
    assert!((book.count + 1) * SIZE <= bytes.len());
    let whole = (book.count + 1) * SIZE == bytes.len();
    assert_eq!(book.end_is_bad, !whole);
    assert!(book.use_at(0).is_err() && book.use_at(book.count + 1).is_err());
    let _ = (book.latest(), book.is_half_dead(400));
    let Ok(again) = book.rewritten(book.floors, |_| true) else {
        return;
    };
    let reread = Book::open(&again).expect("its own writing");
    assert_eq!(
        (reread.floors, reread.count, reread.end_is_bad),
        (book.floors, book.count, false)
    );
    let mut uses = Vec::new();
    for number in 1..=book.count {
        let used = book.use_at(number).expect("it was written again");
        assert_eq!(reread.use_at(number).as_ref(), Ok(&used));
        uses.push(used);
    }
    assert_eq!(again, bytes[..again.len()]);
    assert_eq!(again, written(book.floors, &uses));
    for used in &uses {
        // The last one of this token counts.
        let last = uses.iter().rfind(|other| other.token == used.token).cloned();
        assert_eq!(book.find(&used.token, 0), Ok(last));
    }
    let none = book.rewritten(book.floors, |_| false).expect("all were read");
    assert_eq!(none, empty(book.floors));
}

fn remembers(damaged: &[u8], uses: &[Use]) {
    let Ok(book) = Book::open(damaged) else { return };
    if book.end_is_bad {
        return;
    }
    for (used, number) in uses.iter().zip(1..) {
        // Whole records that are lost from the end look like the memory that was there before: a disk that waits when it
        // is asked to loses none.
        if number > book.count {
            break;
        }
        for since in [0, used.latest.saturating_sub(60), used.latest] {
            if let Ok(found) = book.find(&used.token, since) {
                assert_eq!(found.as_ref(), Some(used), "a used token is taken for unused");
            }
        }
    }
}

/// A good memory, damaged as four bytes each say: how, where, how much.
fn damaged(good: &[u8], script: &[u8]) -> Vec<u8> {
    let mut file = good.to_vec();
    for edit in script.chunks_exact(4).take(16) {
        let [how, high, low, much] = *edit else { continue };
        let much = usize::from(much);
        let at = usize::from(u16::from_be_bytes([high, low])) % (file.len() + 1);
        let end = file.len().min(at + much.max(1));
        let record = |number: usize| number % (file.len() / SIZE + 1) * SIZE;
        match how % 8 {
            0 if at < file.len() => file[at] ^= much.max(1) as u8,
            1 => file[at..end].fill(0),
            2 => file.truncate(at),
            3 => drop(file.drain(at..end)),
            4 => file.extend(file[at..end].to_vec()),
            5 => drop(file.splice(at..at, std::iter::repeat_n(high, much))),
            // A whole record in another place, or twice.
            6 => {
                let (from, to) = (record(at / SIZE), record(much));
                if from.max(to) + SIZE <= file.len() {
                    file.copy_within(from..from + SIZE, to);
                }
            }
            // Back to a whole number of records.
            _ => file.truncate(file.len() / SIZE * SIZE),
        }
    }
    file
}

fn written(floors: Floors, uses: &[Use]) -> Vec<u8> {
    let records = uses.iter().zip(1..);
    let records = records.flat_map(|(used, number)| used.record(number).expect("room"));
    empty(floors).into_iter().chain(records).collect()
}

/// A record as the table above the reader describes it.
fn sealed(number: u64, fields: &[u8]) -> Vec<u8> {
    let mut record = fields.to_vec();
    record.resize(FIELDS, 0);
    let check = sha256(&[&number.to_be_bytes(), &record[..]].concat());
    record.extend(check);
    record
}
