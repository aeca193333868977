//! `list-hosts` and `status`.

use std::io::Write;

use super::Ended;
use super::args::{ListArgs, StatusArgs};
use super::print::table;
use crate::fleet::{Access, ask};
use crate::nats::ConnectArgs;
use crate::os::Exit;
use crate::rollout::Verdict;
use crate::wire::{Answer, RunId, Status, Tier, harmless};

async fn answers(connect: &ConnectArgs, tier: Option<Tier>, id: Option<RunId>) -> Result<Vec<Answer>, Exit> {
    let answers: Vec<Answer> = ask(&Access::of(connect, &connect.nkey_file)?, tier, id).await?.into_values().collect();
    match answers.is_empty() {
        true => Err(Exit(3, "no host answers".to_owned())),
        false => Ok(answers),
    }
}

fn print(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough is no fault.
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).ok();
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
    let answers = answers(&args.connect, args.tier, None).await?;
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
    let end = last.map(|last| last.error.clone().unwrap_or_else(|| last.status.to_string()));
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
    let ended = |answer: &Answer| answer.last.as_ref().filter(|last| last.id == *id).map(|last| last.status);
    let ends: Vec<Option<Status>> = answers.iter().map(ended).collect();
    if ends.iter().flatten().any(|status| *status != Status::Completed) {
        return Verdict::Fail;
    }
    if ends.contains(&None) { Verdict::Unknown } else { Verdict::Ok }
}

pub async fn status(args: StatusArgs) -> Ended {
    let mut answers = answers(&args.connect, None, args.id.clone()).await?;
    if let Some(id) = &args.id {
        answers.retain(|answer| answer.knows(id));
        if answers.is_empty() {
            return Err(Exit(Verdict::Unknown.exit_status(), format!("no host that is there knows of {id}")));
        }
    }
    let head = ["host", "now", "last", "when", "commit", "id"];
    print(&lines(&answers, args.json, head, row));
    Ok(args.id.map_or(0, |id| verdict(&answers, &id).exit_status()))
}
