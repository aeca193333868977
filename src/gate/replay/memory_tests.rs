use super::*;
use crate::gate::support::{Folder, NOW, at, claimed, claimed_with};

const RUN: &str = "20260102T030405Z-0123abcd";
const OTHER_RUN: &str = "20260102T030406Z-89abcdef";
const LIFE: u64 = 300;

fn memory(folder: &Folder) -> Memory {
    let memory = Memory::of(folder.path());
    assert_eq!(memory.create(Past::Unused, at(NOW)).unwrap(), Creation::New);
    memory
}

fn content(folder: &Folder) -> Vec<u8> {
    std::fs::read(folder.path().join("jti")).unwrap()
}

/// A record written as if a token had been used then.
fn record(memory: &Memory, jti: &str, expires: u64) {
    let line = Record {
        hash: &TokenHash::of(jti).0,
        expires,
        run_id: RUN,
    }
    .line()
    .unwrap();
    let length = std::fs::metadata(&memory.file).unwrap().len();
    files::append_durably(&memory.file, length, &line).unwrap();
}

#[test]
fn a_token_works_once() {
    let folder = Folder::new();
    let memory = memory(&folder);
    assert_eq!(memory.first_use(&claimed("a"), at(NOW)), Ok(None));
    memory.remember(&claimed("a"), RUN, at(NOW)).unwrap();
    let again = memory.remember(&claimed("a"), OTHER_RUN, at(NOW));
    assert_eq!(again, Err(Refusal::Replay { run_id: RUN.into() }));
    memory.remember(&claimed("b"), OTHER_RUN, at(NOW)).unwrap();
    assert_eq!(memory.first_use(&claimed("a"), at(NOW)), Ok(Some(RUN.into())));
    assert_eq!(memory.run_of(&TokenHash::of("b")), Ok(Some(OTHER_RUN.into())));
    assert_eq!(memory.run_of(&TokenHash::of("c")), Ok(None));
    assert_eq!(memory.inspect(), Ok(2));
}

#[test]
fn a_used_token_is_remembered_by_whoever_opens_the_memory_next() {
    let folder = Folder::new();
    memory(&folder).remember(&claimed("a"), RUN, at(NOW)).unwrap();
    let reopened = Memory::of(folder.path());
    assert_eq!(reopened.create(Past::Unknown, at(NOW)).unwrap(), Creation::Exists);
    assert!(matches!(
        reopened.remember(&claimed("a"), RUN, at(NOW)),
        Err(Refusal::Replay { .. })
    ));
}

#[test]
fn the_id_itself_is_not_in_the_file() {
    let folder = Folder::new();
    let jti = "line\nbreak and a very special text";
    memory(&folder).remember(&claimed(jti), RUN, at(NOW)).unwrap();
    let text = String::from_utf8(content(&folder)).unwrap();
    assert!(!text.contains("special") && text.lines().count() == 2, "{text}");
}

#[test]
fn a_record_and_a_token_die_in_the_same_second() {
    let dead = dead_from(NOW + LIFE);
    for (now, forgotten) in [(dead - 1, 0), (dead, REPLAY_PRUNE_FROM)] {
        let folder = Folder::new();
        let memory = memory(&folder);
        let text: Vec<u8> = (0..REPLAY_PRUNE_FROM)
            .flat_map(|i| {
                Record {
                    hash: &TokenHash::of(&i.to_string()).0,
                    expires: NOW + LIFE,
                    run_id: RUN,
                }
                .line()
                .unwrap()
            })
            .collect();
        files::append_durably(&memory.file, content(&folder).len() as u64, &text).unwrap();
        memory
            .remember(&claimed_with("new", now, now + LIFE), RUN, at(now))
            .unwrap();
        assert_eq!(
            memory.inspect(),
            Ok(REPLAY_PRUNE_FROM - forgotten + 1),
            "at {now}"
        );
    }
}

#[test]
fn a_clock_that_steps_back_does_not_revive_what_was_forgotten() {
    let folder = Folder::new();
    let memory = memory(&folder);
    for i in 0..REPLAY_PRUNE_FROM {
        record(&memory, &i.to_string(), NOW + LIFE);
    }
    let ahead = dead_from(NOW + LIFE);
    memory
        .remember(&claimed_with("new", ahead, ahead + LIFE), RUN, at(ahead))
        .unwrap();
    let Err(Refusal::Token(rejected)) = memory.remember(&claimed("0"), RUN, at(NOW)) else {
        panic!("a used token came back to life");
    };
    assert_eq!(rejected.check, Check::Expiry);
    assert!(rejected.detail.contains("stepped back"));
    assert!(memory.first_use(&claimed("0"), at(NOW)).is_err());
    // One that outlives the pruning is still told apart.
    memory
        .remember(&claimed_with("late", NOW, ahead + 1), RUN, at(NOW))
        .unwrap();
}

#[test]
fn a_memory_made_anew_refuses_what_it_cannot_know() {
    let folder = Folder::new();
    let memory = Memory::of(folder.path());
    assert_eq!(memory.create(Past::Unknown, at(NOW)).unwrap(), Creation::New);
    let leeway = LEEWAY.as_secs();
    for issued in [NOW - 100, NOW, NOW + leeway] {
        let token = claimed_with("a", issued, issued + LIFE);
        let refused = memory.remember(&token, RUN, at(NOW + leeway)).unwrap_err();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.retry_after(), Some(1));
        assert_eq!(
            refused.sentence(),
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
        .remember(&claimed_with("a", later, later + LIFE), RUN, at(later))
        .unwrap();
}

#[test]
fn a_first_installation_knows_that_nothing_was_used() {
    let folder = Folder::new();
    memory(&folder)
        .remember(&claimed_with("a", NOW - 100, NOW + LIFE), RUN, at(NOW))
        .unwrap();
}

#[test]
fn a_missing_memory_refuses_and_is_not_made_by_a_request() {
    let folder = Folder::new();
    let memory = Memory::of(folder.path());
    let refused = memory.remember(&claimed("a"), RUN, at(NOW)).unwrap_err();
    assert_eq!(
        (refused.status(), refused.sentence().as_ref()),
        (503, "the replay memory cannot be used")
    );
    assert!(memory.first_use(&claimed("a"), at(NOW)).is_err());
    assert!(!folder.path().join("jti").exists());
}

#[test]
fn a_torn_last_line_is_cut_off_and_never_glued_to() {
    let folder = Folder::new();
    let memory = memory(&folder);
    memory.remember(&claimed("a"), RUN, at(NOW)).unwrap();
    let whole = content(&folder).len();
    memory.remember(&claimed("b"), RUN, at(NOW)).unwrap();
    for torn in [whole + 1, whole + 60, whole + lines::WIDTH - 1] {
        let text = content(&folder);
        std::fs::write(&memory.file, &text[..torn]).unwrap();
        assert_eq!(
            memory.first_use(&claimed("b"), at(NOW)),
            Ok(None),
            "its token was never let through"
        );
        memory.remember(&claimed("c"), OTHER_RUN, at(NOW)).unwrap();
        assert_eq!(content(&folder).len(), whole + lines::WIDTH);
        assert_eq!(memory.run_of(&TokenHash::of("a")), Ok(Some(RUN.into())));
        assert_eq!(memory.run_of(&TokenHash::of("c")), Ok(Some(OTHER_RUN.into())));
        std::fs::write(&memory.file, &text).unwrap();
    }
}

#[test]
fn damage_refuses_and_is_left_as_it_is() {
    let folder = Folder::new();
    let memory = memory(&folder);
    for jti in ["a", "b", "c"] {
        memory.remember(&claimed(jti), RUN, at(NOW)).unwrap();
    }
    let good = content(&folder);
    let line_end = 2 * lines::WIDTH - 1;
    for damaged in [
        &good[1..],
        &[&good[..line_end], b" ", &good[line_end + 1..]].concat(),
        b"",
        b"nonsense\n",
    ] {
        std::fs::write(&memory.file, damaged).unwrap();
        let refused = memory.remember(&claimed("d"), RUN, at(NOW)).unwrap_err();
        assert!(matches!(refused, Refusal::Memory { .. }), "{refused:?}");
        assert!(refused.detail().contains("damaged"), "{}", refused.detail());
        assert!(memory.inspect().is_err());
        assert_eq!(content(&folder), damaged);
    }
}

#[test]
fn a_memory_that_cannot_be_locked_or_is_too_large_refuses() {
    let folder = Folder::new();
    let memory = memory(&folder);
    let file = std::fs::File::options().write(true).open(&memory.file).unwrap();
    file.set_len(MAX_REPLAY_FILE + 1).unwrap();
    assert!(matches!(
        memory.remember(&claimed("a"), RUN, at(NOW)),
        Err(Refusal::Memory { .. })
    ));
    std::fs::remove_file(&memory.lock).unwrap();
    std::fs::create_dir(&memory.lock).unwrap();
    assert!(matches!(
        memory.remember(&claimed("a"), RUN, at(NOW)),
        Err(Refusal::Memory { .. })
    ));
}

#[test]
fn a_run_id_that_does_not_fit_is_not_written() {
    let folder = Folder::new();
    let memory = memory(&folder);
    assert!(matches!(
        memory.remember(&claimed("a"), "run\n1", at(NOW)),
        Err(Refusal::Memory { .. })
    ));
    assert_eq!(memory.inspect(), Ok(0));
}

#[test]
fn a_hash_from_a_record_is_a_hash() {
    let hash = TokenHash::of("a");
    let text = serde_json::to_string(&hash).unwrap();
    assert_eq!(serde_json::from_str::<TokenHash>(&text).unwrap(), hash);
    assert!(serde_json::from_str::<TokenHash>("\"../../etc/passwd\"").is_err());
}
