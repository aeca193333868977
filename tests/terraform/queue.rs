//! [queue] Terraform and deploys take turns: never two at once, and in the order in which they came.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::curl::{Answer, Call};
use crate::support::deployer::AUDIENCE;
use crate::support::terraform::site::{Site, run_id};
use crate::support::terraform::text as hcl;

/// A site whose deploys and applies write down when they begin and end, all in one book.
struct Shop {
    site: Site,
    book: PathBuf,
}

impl Shop {
    fn open() -> Shop {
        let mut book = PathBuf::new();
        let site = Site::with(|setup| {
            book = setup.folder().write("book", "");
            let book = book.display();
            setup.command_script(&format!(
                "echo begin deploy >> {book}\nsleep 0.4\necho end deploy >> {book}"
            ));
        });
        Shop { site, book }
    }

    /// A commit whose apply writes down that it is `name`.
    fn commit(&self, name: &str) -> String {
        let book = self.book.display();
        let command = format!("echo begin {name} >> {book}; sleep 0.4; echo end {name} >> {book}");
        self.site.commit(&hcl::making(name, &command, ""))
    }

    fn start_deploy(&self) -> Call {
        let token = self.site.issuer.mint(AUDIENCE);
        let client = self.site.deployer.client();
        client.start_post("/deploy", &token, r#"{"version":"1.0.0","force":true}"#)
    }

    fn entries(&self) -> Vec<String> {
        let book = fs::read_to_string(&self.book).expect("the book");
        book.lines().map(str::to_owned).collect()
    }
}

/// Fails unless every begin is followed by its own end.
#[track_caller]
fn assert_one_at_a_time(entries: &[String]) {
    for pair in entries.chunks(2) {
        let alone = match pair {
            [begin, end] => begin.strip_prefix("begin ") == end.strip_prefix("end "),
            _ => false,
        };
        assert!(alone, "two at once, or one without an end: {entries:#?}");
    }
}

/// Fails unless each run began after the one before had ended.
#[track_caller]
fn assert_in_turn(answers: &[Answer]) {
    let time = |outcome: &Value, name: &str| outcome[name].as_str().expect("a time").to_owned();
    let outcomes: Vec<Value> = answers
        .iter()
        .map(|answer| answer.assert_ok().outcome())
        .collect();
    for pair in outcomes.windows(2) {
        let (before, after) = (time(&pair[0], "finished_at"), time(&pair[1], "started_at"));
        assert!(before <= after, "{before} is after {after}: {outcomes:#?}");
    }
}

#[test]
fn an_apply_and_a_deploy_sent_together_never_overlap() {
    let shop = Shop::open();
    for round in 0..4 {
        let name = format!("round_{round}");
        let sha = shop.commit(&name);
        // By turns the one or the other is sent first.
        let apply = || shop.site.start_apply(json!({"sha": sha}));
        let calls = match round % 2 {
            0 => [shop.start_deploy(), apply()],
            _ => [apply(), shop.start_deploy()],
        };
        for call in calls {
            call.finish().assert_ok();
        }
        let entries = shop.entries();
        let of_round = &entries[entries.len() - 4..];
        for word in [&format!("begin {name}"), "begin deploy"] {
            assert!(of_round.iter().any(|line| line == word), "{word}: {entries:#?}");
        }
        assert_one_at_a_time(&entries);
    }
}

#[test]
fn ten_mixed_requests_run_in_order() {
    let shop = Shop::open();
    let mut calls = Vec::new();
    let mut expected = Vec::new();
    for number in 0..10 {
        let name = format!("number_{number}");
        let sha = shop.commit(&name);
        let mut call = match number % 3 {
            0 => shop.start_deploy(),
            1 => shop.site.start_plan(json!({"sha": sha})),
            _ => shop.site.start_apply(json!({"sha": sha})),
        };
        match number % 3 {
            0 => expected.push("begin deploy".to_owned()),
            1 => {}
            _ => expected.push(format!("begin {name}")),
        }
        // It has its place in the queue before the next one is sent.
        run_id(&mut call);
        calls.push(call);
    }
    let answers: Vec<Answer> = calls.into_iter().map(Call::finish).collect();
    assert_in_turn(&answers);
    assert_one_at_a_time(&shop.entries());
    let begins = shop
        .entries()
        .into_iter()
        .filter(|line| line.starts_with("begin"));
    assert_eq!(begins.collect::<Vec<_>>(), expected);
}
