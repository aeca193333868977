use super::*;

use std::io::Write;
use std::time::SystemTime;

use crate::event::Phase;
use crate::gate::Reader;
use crate::queue::folder::testing::{Scratch, good_record, order};
use crate::queue::notes::HeldTicket;
use crate::queue::notes::testing::die;
use crate::run::log::Log;

/// A live run with an open log.
fn run(scratch: &Scratch) -> (HeldTicket, Log, RunId) {
    let id = RunId::new(SystemTime::now()).unwrap();
    let ticket = crate::queue::notes::testing::hold(&scratch.0, &id);
    let folder = RunFolder::of(&scratch.0, &id);
    folder.create(&order(&id)).unwrap();
    let log = Log::open(&folder.log(), &id);
    (ticket, log, id)
}

fn follow(scratch: &Scratch, id: &RunId) -> Follower {
    Follower::open(&scratch.0, Reader::of_operator(id.as_str()), &Settings::default()).unwrap()
}

fn say(log: &mut Log, message: &str) {
    log.say(Phase::Pull, message);
}

/// The messages of all lines that are there now; an outcome is `outcome`.
fn all(follower: &mut Follower) -> (Vec<String>, Followed) {
    let mut messages = Vec::new();
    loop {
        match follower.next_line().unwrap() {
            Followed::Line(line) => {
                let value: serde_json::Value = serde_json::from_str(&line).unwrap();
                messages.push(value["message"].as_str().unwrap_or("outcome").to_owned());
            }
            other => return (messages, other),
        }
    }
}

#[test]
fn a_follower_sees_every_line_from_the_start_to_the_outcome() {
    let scratch = Scratch::new("follow-all");
    let (_ticket, mut log, id) = run(&scratch);
    say(&mut log, "one");
    let mut follower = follow(&scratch, &id);
    assert_eq!(all(&mut follower), (vec!["one".into()], Followed::NothingYet));
    say(&mut log, "two");
    assert_eq!(all(&mut follower), (vec!["two".into()], Followed::NothingYet));
    log.end_once(&good_record(&order(&id)).outcome);
    assert_eq!(all(&mut follower), (vec!["outcome".into()], Followed::Ended));
    assert_eq!(all(&mut follow(&scratch, &id)).0, ["one", "two", "outcome"]);
}

#[test]
fn a_line_wakes_the_follower() {
    let scratch = Scratch::new("follow-wake");
    let (_ticket, mut log, id) = run(&scratch);
    let mut follower = follow(&scratch, &id);
    assert_eq!(all(&mut follower).1, Followed::NothingYet);
    say(&mut log, "one");
    let descriptor = follower.descriptor().unwrap();
    let ready = crate::os::poll::wait(
        [(descriptor, crate::os::poll::For::Reading)],
        Some(Instant::now()),
    )
    .unwrap();
    assert!(ready[0].any());
}

#[test]
fn a_line_that_is_being_written_is_not_given_out_in_parts() {
    let scratch = Scratch::new("follow-torn");
    let (_ticket, mut log, id) = run(&scratch);
    say(&mut log, "one");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(RunFolder::of(&scratch.0, &id).log())
        .unwrap();
    file.write_all(b"{\"phase\":\"pull\",\"message\":\"tw").unwrap();
    let mut follower = follow(&scratch, &id);
    assert_eq!(all(&mut follower).0, ["one"]);
    file.write_all(b"o\"}\n").unwrap();
    assert_eq!(all(&mut follower).0, ["two"]);
}

#[test]
fn a_long_log_is_followed_without_holding_it() {
    let scratch = Scratch::new("follow-long");
    let (_ticket, mut log, id) = run(&scratch);
    let text = "x".repeat(1000);
    for _ in 0..1000 {
        say(&mut log, &text);
    }
    let mut follower = follow(&scratch, &id);
    let mut count = 0;
    while let Followed::Line(_) = follower.next_line().unwrap() {
        count += 1;
        assert!(follower.lines.len() <= BLOCK / 1000);
    }
    assert_eq!(count, 1000);
}

#[test]
fn a_line_of_nobody_that_never_ends_is_passed_over() {
    let scratch = Scratch::new("follow-endless");
    let (_ticket, _log, id) = run(&scratch);
    let path = RunFolder::of(&scratch.0, &id).log();
    std::fs::write(
        &path,
        [vec![b'x'; 3 * BLOCK], b"\n{\"message\":\"next\"}\n".to_vec()].concat(),
    )
    .unwrap();
    let mut follower = follow(&scratch, &id);
    let lines: Vec<Followed> = (0..6).map(|_| follower.next_line().unwrap()).collect();
    assert!(
        lines.contains(&Followed::Line("{\"message\":\"next\"}".into())),
        "{lines:?}"
    );
}

#[test]
fn a_run_that_was_recorded_but_lost_its_last_line_ends_with_its_record() {
    let scratch = Scratch::new("follow-record");
    let (ticket, mut log, id) = run(&scratch);
    say(&mut log, "one");
    RunFolder::of(&scratch.0, &id)
        .write_record(&good_record(&order(&id)))
        .unwrap();
    let mut follower = follow(&scratch, &id);
    assert_eq!(all(&mut follower), (vec!["one".into()], Followed::NothingYet));
    die(ticket);
    follower.looked = None;
    assert_eq!(all(&mut follower), (vec!["outcome".into()], Followed::Ended));
}

#[test]
fn a_reservation_that_was_given_back_ends_its_follower() {
    let scratch = Scratch::new("follow-gone");
    let (ticket, _log, id) = run(&scratch);
    let mut follower = follow(&scratch, &id);
    RunFolder::of(&scratch.0, &id).remove().unwrap();
    die(ticket);
    assert_eq!(all(&mut follower), (vec![], Followed::Ended));
    let reader = Reader::of_operator(id.as_str());
    assert!(Follower::open(&scratch.0, reader, &Settings::default()).is_none());
}
