use super::*;
use crate::gate::support::{Folder, ISSUER, NOW, at, claimed, claimed_with, claimed_without_jti};

const RUN: &str = "20260102T030405Z-0123abcd";
const OTHER_RUN: &str = "20260102T030406Z-89abcdef";
const LIFE: u64 = 300;

fn memory(folder: &Folder) -> Memory {
    let memory = Memory::of(folder.path());
    assert_eq!(memory.create(None), Ok(true));
    memory
}

fn content(folder: &Folder) -> Vec<u8> {
    std::fs::read(folder.path().join("jti")).unwrap()
}

fn id(jti: &str) -> TokenId {
    TokenId::of_jti(ISSUER, jti)
}

impl Memory {
    fn remember_run(&self, token: &Claimed, run_id: &str, now: SystemTime) -> Result<(), Refusal> {
        self.remember(token, "deploy", run_id, now)
    }
}

/// Uses of so many tokens that expire then, with one write.
fn fill(memory: &Memory, count: usize, expires: u64) {
    let mut file = content_of(memory);
    for number in 0..count {
        let used = Use {
            token: id(&number.to_string()),
            expires,
            latest: NOW,
            run_id: RUN.into(),
            endpoint: "deploy".into(),
        };
        file.extend(used.record(number + 1).unwrap());
    }
    std::fs::write(&memory.file, file).unwrap();
}

fn content_of(memory: &Memory) -> Vec<u8> {
    std::fs::read(&memory.file).unwrap()
}

#[test]
fn a_token_works_once() {
    let folder = Folder::new();
    let memory = memory(&folder);
    assert_eq!(memory.first_use(&claimed("a"), at(NOW)), Ok(None));
    memory.remember_run(&claimed("a"), RUN, at(NOW)).unwrap();
    let again = memory.remember_run(&claimed("a"), OTHER_RUN, at(NOW));
    assert_eq!(again, Err(Refusal::replay(RUN)));
    memory.remember_run(&claimed("b"), OTHER_RUN, at(NOW)).unwrap();
    assert_eq!(memory.first_use(&claimed("a"), at(NOW)), Ok(Some(RUN.into())));
    assert_eq!(memory.run_of(&id("b")), Ok(Some(OTHER_RUN.into())));
    assert_eq!(memory.run_of(&id("c")), Ok(None));
    assert_eq!(memory.inspect(), Ok(2));
}

#[test]
fn a_used_token_is_remembered_by_whoever_opens_the_memory_next() {
    let folder = Folder::new();
    memory(&folder).remember_run(&claimed("a"), RUN, at(NOW)).unwrap();
    let reopened = Memory::of(folder.path());
    assert_eq!(reopened.create(Some(at(NOW))), Ok(false));
    assert_eq!(
        reopened.remember_run(&claimed("a"), RUN, at(NOW)),
        Err(Refusal::replay(RUN))
    );
}

#[test]
fn a_token_without_a_jti_works_once_too() {
    let folder = Folder::new();
    let memory = memory(&folder);
    let [one, same, other] = [1, 1, 2].map(|run| claimed_without_jti(&[("run_id", run.into())]));
    memory.remember_run(&one, RUN, at(NOW)).unwrap();
    assert_eq!(memory.first_use(&same, at(NOW)), Ok(Some(RUN.into())));
    let again = memory.remember_run(&same, OTHER_RUN, at(NOW));
    assert_eq!(again, Err(Refusal::replay(RUN)));
    memory.remember_run(&other, OTHER_RUN, at(NOW)).unwrap();
    assert_eq!(memory.inspect(), Ok(2));
}

#[test]
fn the_id_itself_is_not_in_the_file() {
    let folder = Folder::new();
    let jti = "line\nbreak and a very special text";
    memory(&folder).remember_run(&claimed(jti), RUN, at(NOW)).unwrap();
    let file = content(&folder);
    assert!(!String::from_utf8_lossy(&file).contains("special"));
    assert_eq!(file.len(), 2 * record::SIZE);
}

#[test]
fn a_record_and_a_token_die_in_the_same_second() {
    let dead = dead_from(NOW + LIFE);
    for (now, forgotten) in [(dead - 1, 0), (dead, REPLAY_PRUNE_FROM)] {
        let folder = Folder::new();
        let memory = memory(&folder);
        fill(&memory, REPLAY_PRUNE_FROM, NOW + LIFE);
        memory
            .remember_run(&claimed_with("new", now, now + LIFE), RUN, at(now))
            .unwrap();
        assert_eq!(
            memory.inspect(),
            Ok(REPLAY_PRUNE_FROM - forgotten + 1),
            "at {now}"
        );
    }
}

/// Records that fill the file to its last place.
const FULL: usize = MAX_REPLAY_FILE / record::SIZE - 1;

#[test]
fn a_full_memory_drops_the_dead_and_no_live_one() {
    let folder = Folder::new();
    let memory = memory(&folder);
    fill(&memory, FULL - 1, NOW + LIFE);
    memory.remember_run(&claimed("last"), RUN, at(NOW)).unwrap();
    assert_eq!(content(&folder).len(), MAX_REPLAY_FILE);
    let before = content(&folder);
    let refused = memory.remember_run(&claimed("new"), RUN, at(NOW)).unwrap_err();
    assert_eq!(refused.status, 503);
    assert!(refused.detail.contains("no room"), "{}", refused.detail);
    assert!(content(&folder) == before, "nothing is written in vain");
    assert_eq!(memory.first_use(&claimed("0"), at(NOW)), Ok(Some(RUN.into())));
    let later = dead_from(NOW + LIFE);
    memory
        .remember_run(&claimed_with("new", later, later + LIFE), RUN, at(later))
        .unwrap();
    assert_eq!(memory.inspect(), Ok(1));
}

#[test]
fn a_clock_that_stepped_back_does_not_end_a_search_early() {
    let folder = Folder::new();
    let memory = memory(&folder);
    let ahead = NOW + 3_000;
    let used = claimed_with("used", ahead, ahead + LIFE);
    memory.remember_run(&used, RUN, at(ahead)).unwrap();
    for number in 0..10 {
        let jti = format!("after the clock was set: {number}");
        memory
            .remember_run(&claimed_with(&jti, NOW, NOW + LIFE), OTHER_RUN, at(NOW))
            .unwrap();
    }
    assert_eq!(memory.first_use(&used, at(ahead)), Ok(Some(RUN.into())));
}

#[test]
fn a_clock_that_steps_back_does_not_revive_what_was_forgotten() {
    let folder = Folder::new();
    let memory = memory(&folder);
    fill(&memory, REPLAY_PRUNE_FROM, NOW + LIFE);
    let ahead = dead_from(NOW + LIFE);
    memory
        .remember_run(&claimed_with("new", ahead, ahead + LIFE), RUN, at(ahead))
        .unwrap();
    let refused = memory
        .remember_run(&claimed("0"), RUN, at(NOW))
        .expect_err("a used token came back to life");
    assert_eq!(refused.sentence, "token rejected: expiry (exp)");
    assert!(refused.detail.contains("stepped back"));
    assert!(memory.first_use(&claimed("0"), at(NOW)).is_err());
    // One that outlives the pruning is still told apart.
    memory
        .remember_run(&claimed_with("late", NOW, ahead + 1), RUN, at(NOW))
        .unwrap();
}

#[test]
fn a_memory_made_anew_refuses_what_it_cannot_know() {
    let folder = Folder::new();
    let memory = Memory::of(folder.path());
    assert_eq!(memory.create(Some(at(NOW))), Ok(true));
    let leeway = LEEWAY.as_secs();
    for issued in [NOW - 100, NOW, NOW + leeway] {
        let token = claimed_with("a", issued, issued + LIFE);
        let refused = memory.remember_run(&token, RUN, at(NOW + leeway)).unwrap_err();
        assert_eq!(refused.status, 503);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
        assert_eq!(
            refused.sentence,
            "the replay memory is new: retry with a token issued later"
        );
        assert_eq!(
            memory.first_use(&token, at(NOW + leeway)),
            Err(refused),
            "nor may it read"
        );
    }
    assert_eq!(memory.inspect(), Ok(0));
    let later = NOW + leeway + 1;
    memory
        .remember_run(&claimed_with("a", later, later + LIFE), RUN, at(later))
        .unwrap();
}

#[test]
fn a_first_installation_knows_that_nothing_was_used() {
    let folder = Folder::new();
    memory(&folder)
        .remember_run(&claimed_with("a", NOW - 100, NOW + LIFE), RUN, at(NOW))
        .unwrap();
}

#[test]
fn a_missing_memory_refuses_and_is_not_made_by_a_request() {
    let folder = Folder::new();
    let memory = Memory::of(folder.path());
    let refused = memory.remember_run(&claimed("a"), RUN, at(NOW)).unwrap_err();
    assert_eq!(
        (refused.status, refused.sentence.as_ref()),
        (503, "the replay memory cannot be used")
    );
    assert!(memory.first_use(&claimed("a"), at(NOW)).is_err());
    assert!(!folder.path().join("jti").exists());
}

#[test]
fn after_a_bad_end_nothing_from_before_is_taken_for_unused() {
    for damage in [
        (|file: &mut Vec<u8>| file.truncate(file.len() - 1)) as fn(&mut Vec<u8>),
        |file| file.truncate(2 * record::SIZE + 1),
        |file| file[2 * record::SIZE..].fill(0),
        |file| *file.last_mut().unwrap() ^= 1,
    ] {
        let folder = Folder::new();
        let memory = memory(&folder);
        for jti in ["a", "b"] {
            memory.remember_run(&claimed(jti), RUN, at(NOW)).unwrap();
        }
        let mut file = content(&folder);
        damage(&mut file);
        std::fs::write(&memory.file, &file).unwrap();
        assert_eq!(
            memory.run_of(&id("b")),
            Ok(None),
            "its token was never let through"
        );
        // Whoever looks first cuts it off.
        let now = NOW + 5;
        assert_eq!(memory.first_use(&claimed("a"), at(now)), Ok(Some(RUN.into())));
        assert_eq!(content(&folder).len(), 2 * record::SIZE);
        for jti in ["b", "c"] {
            let refused = memory.remember_run(&claimed(jti), RUN, at(now)).unwrap_err();
            assert_eq!(refused.sentence, Refusal::MEMORY_IS_NEW.sentence);
            assert_eq!(memory.first_use(&claimed(jti), at(now)), Err(refused));
        }
        let later = now + LEEWAY.as_secs() + 1;
        let fresh = claimed_with("c", later, later + LIFE);
        memory.remember_run(&fresh, OTHER_RUN, at(later)).unwrap();
        assert_eq!(memory.inspect(), Ok(2));
    }
}

#[test]
fn damage_refuses_and_is_left_as_it_is() {
    let folder = Folder::new();
    let memory = memory(&folder);
    for jti in ["a", "b", "c"] {
        memory.remember_run(&claimed(jti), RUN, at(NOW)).unwrap();
    }
    let good = content(&folder);
    let mut flipped = good.clone();
    flipped[2 * record::SIZE + 40] ^= 1;
    for damaged in [&good[1..], &flipped, b"", b"nonsense\n"] {
        std::fs::write(&memory.file, damaged).unwrap();
        let refused = memory.remember_run(&claimed("d"), RUN, at(NOW)).unwrap_err();
        assert_eq!(refused.sentence, Refusal::MEMORY.sentence);
        assert!(refused.detail.contains("damaged"), "{}", refused.detail);
        assert!(memory.inspect().is_err());
        assert_eq!(content(&folder), damaged);
    }
}

#[test]
fn a_memory_that_cannot_be_locked_or_is_far_too_large_refuses() {
    let folder = Folder::new();
    let memory = memory(&folder);
    let file = std::fs::File::options().write(true).open(&memory.file).unwrap();
    file.set_len(2 * MAX_REPLAY_FILE as u64 + 1).unwrap();
    assert_eq!(
        memory
            .remember_run(&claimed("a"), RUN, at(NOW))
            .unwrap_err()
            .sentence,
        Refusal::MEMORY.sentence
    );
    std::fs::remove_file(&memory.lock).unwrap();
    std::fs::create_dir(&memory.lock).unwrap();
    assert_eq!(
        memory
            .remember_run(&claimed("a"), RUN, at(NOW))
            .unwrap_err()
            .sentence,
        Refusal::MEMORY.sentence
    );
}

#[test]
fn a_run_id_that_does_not_fit_is_not_written() {
    let folder = Folder::new();
    let memory = memory(&folder);
    assert_eq!(
        memory
            .remember_run(&claimed("a"), "run\n1", at(NOW))
            .unwrap_err()
            .sentence,
        Refusal::MEMORY.sentence
    );
    assert_eq!(memory.inspect(), Ok(0));
}

#[test]
fn an_id_from_a_request_file_is_an_id() {
    let signed = TokenId::of(&claimed_without_jti(&[]));
    for id in [id("a"), signed] {
        let text = String::from(id.clone());
        assert_eq!(TokenId::try_from(text.clone()), Ok(id));
        for wrong in [
            &text[1..],
            &text[..text.len() - 2],
            &text[4..],
            &text.to_uppercase(),
            &format!("{text}00"),
            &format!("A{}", &text[1..]),
            "../../etc/passwd",
        ] {
            assert!(TokenId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
