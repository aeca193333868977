use super::*;
use crate::limits::LEEWAY;

const RUN: &str = "20260102T030405Z-0123abcd";
const FLOORS: Floors = Floors {
    created: 7,
    pruned: 0,
};

fn hash(number: u64) -> String {
    format!("{number:064x}")
}

fn book(records: &[(u64, u64)]) -> Vec<u8> {
    let mut text = empty(FLOORS);
    for (number, expires) in records {
        text.extend(
            Record {
                hash: &hash(*number),
                expires: *expires,
                run_id: RUN,
            }
            .line()
            .unwrap(),
        );
    }
    text
}

#[test]
fn a_record_is_found_by_its_whole_hash() {
    let text = book(&[(1, 10), (2, 20), (3, 30)]);
    let book = Book::open(&text).unwrap();
    assert_eq!(book.floors(), FLOORS);
    assert_eq!(book.length() as usize, text.len());
    assert_eq!(book.count(), Ok(3));
    for number in 1..=3 {
        assert_eq!(book.find(&hash(number)), Ok(Some(RUN)));
    }
    assert_eq!(book.find(&hash(4)), Ok(None));
    assert_eq!(book.find(&hash(0)), Ok(None));
}

#[test]
fn every_line_has_the_same_width() {
    assert_eq!(
        empty(Floors {
            created: u64::from(u32::MAX),
            pruned: 1 << 53
        })
        .len(),
        WIDTH
    );
    assert_eq!(book(&[(1, 1 << 53)]).len(), 2 * WIDTH);
    for run_id in [
        "",
        "short",
        "20260102T030405Z-0123abcde",
        "20260102T030405Z 0123abcd",
        "20260102T030405Z-0123abc\n",
    ] {
        assert!(
            Record {
                hash: &hash(1),
                expires: 1,
                run_id
            }
            .line()
            .is_err(),
            "{run_id:?}"
        );
    }
}

#[test]
fn what_a_power_cut_left_of_the_last_line_is_not_read() {
    let whole = book(&[(1, 10), (2, 20)]);
    for cut in 2 * WIDTH..3 * WIDTH {
        let book = Book::open(&whole[..cut]).unwrap();
        assert_eq!(book.length() as usize, 2 * WIDTH, "cut at {cut}");
        assert_eq!(book.find(&hash(2)), Ok(None));
        assert_eq!(book.find(&hash(1)), Ok(Some(RUN)));
    }
    // The length reached the disk and the bytes did not.
    for damaged_at in [
        2 * WIDTH,
        2 * WIDTH + HASH,
        2 * WIDTH + 70,
        3 * WIDTH - 2,
        3 * WIDTH - 1,
    ] {
        let mut zeros = whole.clone();
        zeros[damaged_at] = 0;
        assert_eq!(
            Book::open(&zeros).unwrap().length() as usize,
            2 * WIDTH,
            "byte {damaged_at}"
        );
    }
}

#[test]
fn a_bad_line_before_the_last_is_damage() {
    let whole = book(&[(1, 10), (2, 20), (3, 30)]);
    for (offset, byte) in [(HASH, b'x'), (WIDTH - 1, b' '), (WIDTH - 1, 0)] {
        let mut damaged = whole.clone();
        damaged[2 * WIDTH + offset] = byte;
        let book = Book::open(&damaged).unwrap();
        assert_eq!(book.find(&hash(1)), Err("line 3 is not a record".into()));
    }
    for offset in 0..WIDTH {
        let mut damaged = whole.clone();
        damaged[2 * WIDTH + offset] = b'~';
        let book = Book::open(&damaged).unwrap();
        assert!(
            book.count().is_err() && book.without_the_dead(0).is_err(),
            "byte {offset}"
        );
    }
    // A byte too few or too many moves every line after it.
    let mut shifted = whole.clone();
    shifted.remove(WIDTH + 3);
    assert!(Book::open(&shifted).unwrap().find(&hash(3)).is_err());
    let mut lost = whole;
    lost.drain(WIDTH + 10..WIDTH + 10 + 64);
    assert!(Book::open(&lost).unwrap().find(&hash(3)).is_err());
}

#[test]
fn a_first_line_that_is_not_ours_is_damage() {
    let good = empty(FLOORS);
    assert!(Book::open(&good).is_ok());
    assert!(Book::open(b"").is_err());
    assert!(Book::open(&good[..WIDTH - 1]).is_err());
    for offset in 0..WIDTH {
        let mut damaged = good.clone();
        damaged[offset] = b'~';
        assert!(Book::open(&damaged).is_err(), "byte {offset}");
    }
}

#[test]
fn pruning_drops_the_dead_and_notes_the_time() {
    let leeway = LEEWAY.as_secs();
    let text = book(&[(1, 100), (2, 200), (3, 101), (4, 300)]);
    let book = Book::open(&text).unwrap();
    let pruned = book.without_the_dead(100 + leeway).unwrap();
    let after = Book::open(&pruned).unwrap();
    assert_eq!(
        after.floors(),
        Floors {
            created: 7,
            pruned: 100 + leeway
        }
    );
    assert_eq!(after.find(&hash(1)), Ok(None));
    for number in 2..=4 {
        assert_eq!(after.find(&hash(number)), Ok(Some(RUN)), "{number}");
    }
    // An earlier time does not take the note back.
    let again = after.without_the_dead(50).unwrap();
    assert_eq!(Book::open(&again).unwrap().floors().pruned, 100 + leeway);
}

#[test]
fn pruning_waits_until_half_of_many_are_dead() {
    let leeway = LEEWAY.as_secs();
    let text = book(&[(1, 100), (2, 100), (3, 200), (4, 300)]);
    let book = Book::open(&text).unwrap();
    assert!(
        !book.is_worth_pruning(100 + leeway, 4),
        "the one in the middle lives"
    );
    assert!(book.is_worth_pruning(200 + leeway, 4));
    assert!(!book.is_worth_pruning(200 + leeway, 5), "there are too few");
    assert!(!Book::open(&empty(FLOORS)).unwrap().is_worth_pruning(u64::MAX, 0));
}
