use super::*;
use crate::gate::support::{Folder, NOW, at};
use crate::jwt::mint::Key;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::time::Duration;

const URL: &str = "https://issuer.example/jwks";
const COOLDOWN: u64 = JWKS_COOLDOWN.as_secs();

/// An issuer that counts, and answers as it was told last.
struct Issuer {
    answer: RefCell<Result<Vec<u8>, String>>,
    asked: Cell<u32>,
}

impl Issuer {
    fn with(names: &[&str]) -> Issuer {
        Issuer {
            answer: RefCell::new(Ok(set(names))),
            asked: Cell::new(0),
        }
    }

    fn now_has(&self, names: &[&str]) {
        *self.answer.borrow_mut() = Ok(set(names));
    }

    fn now_says(&self, answer: Result<&str, &str>) {
        *self.answer.borrow_mut() = answer.map(|text| text.as_bytes().to_vec()).map_err(String::from);
    }

    fn answer(&self) -> Result<Vec<u8>, String> {
        self.asked.set(self.asked.get() + 1);
        self.answer.borrow().clone()
    }
}

fn set(names: &[&str]) -> Vec<u8> {
    let key = |name: &&str| {
        let mut jwk = Key::shared().jwk();
        jwk["kid"] = (*name).into();
        jwk
    };
    json!({ "keys": names.iter().map(key).collect::<Vec<_>>() })
        .to_string()
        .into_bytes()
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Key,
    Unknown,
    Unavailable,
}
use Found::{Key as Good, Unavailable, Unknown};

fn find(folder: &Folder, issuer: &Issuer, kid: &str, now: u64) -> Found {
    find_at(URL, folder, issuer, kid, now)
}

fn find_at(url: &str, folder: &Folder, issuer: &Issuer, kid: &str, now: u64) -> Found {
    let found = find_meanwhile(url, folder, issuer, kid, now);
    let lock = folder.path().join("jwks.lock");
    lock::testing::let_go((), || !lock::is_held(&lock).unwrap());
    found
}

/// Like [`find_at`], while somebody fetches.
fn find_meanwhile(url: &str, folder: &Folder, issuer: &Issuer, kid: &str, now: u64) -> Found {
    let fetch = || issuer.answer();
    // Every look-up is another process, as it is in life: nothing is shared but the folders.
    match Keys::new(folder.path(), folder.path(), url, &fetch).find(kid, at(now)) {
        Ok(_) => Good,
        Err(refusal) if refusal.status == 401 => Unknown,
        Err(refusal) => {
            assert_eq!(refusal.status, 503);
            Unavailable
        }
    }
}

#[test]
fn the_first_token_fetches_and_the_next_ones_do_not() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a", "b"]));
    for (kid, later) in [
        ("a", 0),
        ("a", 1),
        ("b", 1000),
        ("a", JWKS_SOFT_AGE.as_secs() - 1),
    ] {
        assert_eq!(find(&folder, &issuer, kid, NOW + later), Good);
    }
    assert_eq!(issuer.asked.get(), 1);
}

#[test]
fn an_unknown_name_asks_at_most_once_in_a_cooldown() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    for i in 0..COOLDOWN {
        assert_eq!(find(&folder, &issuer, &format!("made-up-{i}"), NOW + i), Unknown);
    }
    assert_eq!(issuer.asked.get(), 1, "the cooldown holds after a success");
    issuer.now_has(&["a", "new"]);
    assert_eq!(
        find(&folder, &issuer, "new", NOW + COOLDOWN),
        Good,
        "a rotation needs no restart"
    );
    assert_eq!(issuer.asked.get(), 2);
}

#[test]
fn the_cooldown_holds_after_a_failure_too() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&[]));
    issuer.now_says(Err("connection refused"));
    for i in 0..COOLDOWN {
        assert_eq!(find(&folder, &issuer, "a", NOW + i), Unavailable);
    }
    assert_eq!(issuer.asked.get(), 1);
    issuer.now_has(&["a"]);
    assert_eq!(find(&folder, &issuer, "a", NOW + COOLDOWN), Good);
}

#[test]
fn an_unknown_name_is_no_verdict_while_the_issuer_fails() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    issuer.now_says(Err("timed out"));
    assert_eq!(find(&folder, &issuer, "new", NOW + COOLDOWN), Unavailable);
    assert_eq!(find(&folder, &issuer, "new", NOW + COOLDOWN + 1), Unavailable);
    assert_eq!(
        find(&folder, &issuer, "a", NOW + COOLDOWN + 1),
        Good,
        "known keys serve meanwhile"
    );
    assert_eq!(issuer.asked.get(), 2);
}

#[test]
fn an_empty_or_broken_set_replaces_nothing() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    let whole = String::from_utf8(set(&["b"])).unwrap();
    for (i, broken) in (1..).zip([r#"{"keys":[]}"#, "", "<html>", &whole[..whole.len() - 2], "[]"]) {
        issuer.now_says(Ok(broken));
        assert_eq!(
            find(&folder, &issuer, "b", NOW + i * COOLDOWN),
            Unavailable,
            "{broken}"
        );
        assert_eq!(find(&folder, &issuer, "a", NOW + i * COOLDOWN), Good, "{broken}");
        assert_eq!(issuer.asked.get() as u64, i + 1);
    }
}

#[test]
fn a_key_that_left_the_set_is_dead_at_the_swap() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    issuer.now_has(&["b"]);
    assert_eq!(find(&folder, &issuer, "b", NOW + COOLDOWN), Good);
    assert_eq!(find(&folder, &issuer, "a", NOW + COOLDOWN), Unknown);
}

#[test]
fn an_ageing_set_is_refreshed_and_serves_when_that_fails() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    let soft = NOW + JWKS_SOFT_AGE.as_secs();
    issuer.now_says(Err("no route to host"));
    assert_eq!(find(&folder, &issuer, "a", soft), Good);
    assert_eq!(find(&folder, &issuer, "a", soft + 1), Good);
    assert_eq!(issuer.asked.get(), 2, "and once a minute at most");
    issuer.now_has(&["b"]);
    assert_eq!(
        find(&folder, &issuer, "a", soft + COOLDOWN),
        Unknown,
        "the issuer has withdrawn it"
    );
}

#[test]
fn a_set_has_a_hard_end() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    issuer.now_says(Err("no route to host"));
    let end = NOW + JWKS_MAX_AGE.as_secs();
    assert_eq!(find(&folder, &issuer, "a", end), Good);
    assert_eq!(find(&folder, &issuer, "a", end + 1), Unavailable);
}

#[test]
fn a_set_from_the_future_is_stale() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    let ahead = NOW + 10 * 365 * 86_400;
    assert_eq!(find(&folder, &issuer, "a", ahead), Good);
    // The clock has stepped back: neither the set nor the mark of the attempt counts.
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    assert_eq!(issuer.asked.get(), 2);
    issuer.now_says(Err("no route to host"));
    assert_eq!(
        find(&folder, &issuer, "a", NOW - LEEWAY.as_secs() - 1),
        Unavailable
    );
    assert_eq!(issuer.asked.get(), 3);
}

#[test]
fn a_process_that_waited_takes_what_the_other_fetched() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW + 10), Good);
    // Its idea of now is from before the wait.
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    assert_eq!(issuer.asked.get(), 1);
}

#[test]
fn keys_of_another_address_are_not_ours() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    issuer.now_has(&["b"]);
    let other = "https://other.example/jwks";
    assert_eq!(
        find_at(other, &folder, &issuer, "a", NOW),
        Unknown,
        "and it is asked at once"
    );
    assert_eq!(find_at(other, &folder, &issuer, "b", NOW), Good);
    assert_eq!(issuer.asked.get(), 2);
}

#[test]
fn a_damaged_file_is_as_good_as_none() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    let file = folder.path().join("jwks.json");
    let good = std::fs::read(&file).unwrap();
    for damaged in [&good[..good.len() / 2], b"", b"{}", &vec![b' '; 4 * MAX_JWKS + 1]] {
        std::fs::write(&file, damaged).unwrap();
        std::fs::remove_file(folder.path().join("jwks.attempt")).unwrap();
        assert_eq!(find(&folder, &issuer, "a", NOW), Good);
        assert_eq!(std::fs::read(&file).unwrap(), good);
    }
    assert_eq!(issuer.asked.get(), 5);
}

#[test]
fn no_mark_of_the_attempt_no_attempt() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    std::fs::create_dir(folder.path().join("jwks.attempt")).unwrap();
    assert_eq!(find(&folder, &issuer, "a", NOW), Unavailable);
    assert_eq!(issuer.asked.get(), 0);
}

#[test]
fn keys_that_cannot_be_kept_serve_their_own_token() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    std::fs::create_dir(folder.path().join("jwks.json")).unwrap();
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    assert_eq!(find(&folder, &issuer, "a", NOW), Unavailable);
}

#[test]
fn a_known_key_waits_for_nobody() {
    let (folder, issuer) = (Folder::new(), Issuer::with(&["a"]));
    assert_eq!(find(&folder, &issuer, "a", NOW), Good);
    let fetching = lock::try_exclusive(&folder.path().join("jwks.lock"))
        .unwrap()
        .unwrap();
    let started = std::time::Instant::now();
    for later in [1, JWKS_SOFT_AGE.as_secs()] {
        assert_eq!(find_meanwhile(URL, &folder, &issuer, "a", NOW + later), Good);
    }
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(issuer.asked.get(), 1);
    drop(fetching);
}

#[test]
fn twenty_at_once_ask_once() {
    let folder = Folder::new();
    let asked = std::sync::atomic::AtomicU32::new(0);
    let fetch = || {
        asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        Ok(set(&["a"]))
    };
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let keys = Keys::new(folder.path(), folder.path(), URL, &fetch);
                assert!(keys.find("a", at(NOW)).is_ok());
            });
        }
    });
    assert_eq!(asked.into_inner(), 1);
}
