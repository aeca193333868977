//! `list-hosts` and `status`.

use std::io::Write;
use std::time::Duration;

use super::args::{ListArgs, StatusArgs};
use super::{Ended, NOBODY, nobody, usage};
use crate::fleet::ask;
use crate::limits::DISCOVER_MOST_MS;
use crate::rollout::Verdict;
use crate::wire::{Answer, Last, RunId, Status, harmless};

const WAIT: Duration = Duration::from_millis(DISCOVER_MOST_MS);

fn print(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough is no fault.
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).ok();
}

fn table(head: [&str; 6], rows: Vec<[String; 6]>) -> Vec<String> {
    let rows: Vec<[String; 6]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn lines(answers: &[Answer], json: bool, head: [&str; 6], row: impl Fn(&Answer) -> [String; 6]) -> Vec<String> {
    if json {
        return answers.iter().map(|answer| serde_json::to_string(answer).expect("an answer is JSON")).collect();
    }
    table(head, answers.iter().map(row).collect())
}

fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or("-".to_owned(), |text| harmless(&text.to_string()))
}

pub async fn list_hosts(args: ListArgs) -> Ended {
    let access = args.connect.access().map_err(usage)?;
    let answers: Vec<Answer> = ask(&access, args.tier, None, WAIT).await.map_err(nobody)?.into_values().collect();
    if answers.is_empty() {
        return Err((NOBODY, "no host answers".to_owned()));
    }
    let head = ["host", "tier", "role", "version", "now", "subjects"];
    print(&lines(&answers, args.json, head, |answer| {
        let now = match (&answer.running, &answer.held) {
            (Some(running), _) => format!("running {}", running.id),
            (None, Some(reason)) => format!("held: {}", harmless(reason)),
            (None, None) => "idle".to_owned(),
        };
        let subjects: Vec<String> = answer.subjects().iter().map(ToString::to_string).collect();
        let (tier, role) = (or_dash(answer.tier), or_dash(answer.role.as_ref()));
        [answer.hostname.to_string(), tier, role, or_dash(answer.version.as_ref()), now, subjects.join(" ")]
    }));
    Ok(0)
}

fn row(answer: &Answer) -> [String; 6] {
    let running = answer.running.as_ref().map(|running| format!("running since {}", running.since));
    let last = answer.last.as_ref();
    let end = last.map(|last| last.error.clone().unwrap_or_else(|| last.status.as_str().to_owned()));
    [
        answer.hostname.to_string(),
        or_dash(running),
        or_dash(end),
        or_dash(last.map(|last| last.finished_at)),
        or_dash(last.and_then(|last| last.revision.as_ref()).map(|commit| commit[..12.min(commit.len())].to_owned())),
        or_dash(last.map(|last| &last.id)),
    ]
}

/// How a deploy ended, as far as the hosts that are there know of it.
fn verdict(answers: &[Answer], id: &RunId) -> Verdict {
    let running = |answer: &Answer| answer.running.as_ref().is_some_and(|running| running.id == *id);
    let about = |answer: &Answer| answer.last.clone().filter(|last| last.id == *id);
    let ends: Vec<Last> = answers.iter().filter_map(about).collect();
    if ends.iter().any(|last| last.status != Status::Completed) {
        return Verdict::Fail;
    }
    if answers.iter().any(running) || ends.is_empty() { Verdict::Unknown } else { Verdict::Ok }
}

pub async fn status(args: StatusArgs) -> Ended {
    let access = args.connect.access().map_err(usage)?;
    let answers = ask(&access, None, args.id.clone(), WAIT).await.map_err(nobody)?;
    let mut answers: Vec<Answer> = answers.into_values().collect();
    if answers.is_empty() {
        return Err((NOBODY, "no host answers".to_owned()));
    }
    if let Some(id) = &args.id {
        let knows = |answer: &Answer| {
            let running = answer.running.as_ref().is_some_and(|running| running.id == *id);
            running || answer.last.as_ref().is_some_and(|last| last.id == *id)
        };
        answers.retain(knows);
        if answers.is_empty() {
            return Err((Verdict::Unknown.exit_status(), format!("no host that is there knows of {id}")));
        }
    }
    let head = ["host", "now", "last", "when", "commit", "id"];
    print(&lines(&answers, args.json, head, row));
    Ok(args.id.map_or(0, |id| verdict(&answers, &id).exit_status()))
}
