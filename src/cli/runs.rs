//! `runs`: the list that everyone may read, as a table.

use std::path::Path;

use serde_json::Value;

use crate::cli::args::Form;
use crate::cli::given;
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::show::{Show, date_and_clock_of, took};
use crate::config::Config;
use crate::event::harmless;
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{describe, read_bounded};
use crate::os::places;
use crate::queue::ensure_published;

/// Prints it; with [`Form::Json`] the document of `GET /runs`.
///
/// # Errors
/// When it cannot be read.
pub fn runs(env_file: Option<&Path>, form: Form) -> Result<Exit, Trouble> {
    let given = given::config(env_file)?;
    let document = document(&given.config)?;
    match Show::on_stdout(form) {
        Show::Json => out::print(&format!("{document}\n")),
        Show::Readable(_) => out::print(&table(&document)),
    }
}

/// The document of `GET /runs`, made anew where it is missing.
pub fn document(config: &Config) -> Result<Value, String> {
    places::prepare(&config.places)?;
    let path = config.places.public().join("runs.json");
    ensure_published(&config.places, config.runs.keep)
        .and_then(|()| read_bounded(&path, MAX_PUBLIC_FILE))
        .map_err(|error| describe(&error, "read", &path))
        .and_then(|text| {
            serde_json::from_slice(&text).map_err(|_| {
                format!(
                    "{} is not what we wrote; remove it, and it is made anew",
                    path.display()
                )
            })
        })
}

/// The run whose turn it is and those that wait, a line each.
pub fn at_work(document: &Value) -> String {
    let running = [&document["running"]].into_iter().filter(|run| run.is_object());
    let running = running.map(|run| line_of(run, "running", "started_at"));
    let queued = entries(document, "queued").map(|run| line_of(run, "queued", "accepted_at"));
    running.chain(queued).collect()
}

fn line_of(run: &Value, state: &str, since: &str) -> String {
    let line = format!(
        "{state:<10} {}  since {} UTC  {}  {}  {}",
        text(run, "run_id"),
        date_and_clock_of(text(run, since)),
        text(run, "endpoint"),
        what(run),
        origin(&run["origin"])
    );
    format!("{}\n", harmless(&line))
}

fn table(document: &Value) -> String {
    let mut table = at_work(document);
    for run in entries(document, "runs") {
        let line = format!(
            "{:<10} {}  ended {} UTC  {}  {}  {}  {}",
            text(run, "status"),
            text(run, "run_id"),
            date_and_clock_of(text(run, "finished_at")),
            text(run, "endpoint"),
            what(run),
            took(run["duration_ms"].as_u64().unwrap_or_default()),
            origin(&run["origin"]),
        );
        table.push_str(&harmless(&line));
        table.push('\n');
    }
    if table.is_empty() {
        table.push_str("no run yet\n");
    }
    table
}

fn entries<'a>(document: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    document[list].as_array().into_iter().flatten()
}

fn what(run: &Value) -> String {
    let what = run["version"].as_str().unwrap_or_else(|| text(run, "sha"));
    let module = run["module"].as_str().map(|module| format!(" {module}"));
    let dry = if run["dry_run"] == true { " (dry run)" } else { "" };
    format!("{what}{}{dry}", module.unwrap_or_default())
}

/// Who ordered it: a user of this host, or whoever the token says.
pub fn origin(origin: &Value) -> String {
    if origin["from"] == "local" {
        return format!("{} on this host", text(origin, "user"));
    }
    let one_of = |names: [&str; 2]| names.into_iter().find_map(|name| origin[name].as_str());
    let who = one_of(["actor", "user_login"]).unwrap_or("a token");
    match one_of(["repository", "project_path"]) {
        Some(place) => format!("{who} of {place}"),
        None => who.to_owned(),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_at_work_stands_above_what_has_ended() {
        let id = |last| format!("20260102T030405Z-0123abc{last}");
        let time = "2026-01-02T03:04:05.678Z";
        let document = json!({
            "running": {"run_id": id(3), "endpoint": "deploy", "started_at": time, "version": "1.2.4", "origin": {"from": "local", "user": "root"}},
            "queued": [{"run_id": id(4), "endpoint": "deploy", "accepted_at": time, "origin": {"from": "token", "actor": "x\u{1b}[2J"}}],
            "runs": [{"run_id": id(2), "endpoint": "deploy", "status": "ok", "version": "1.2.3", "finished_at": time,
                "duration_ms": 1234, "dry_run": true, "origin": {"from": "token", "actor": "octocat", "repository": "a/b"}}],
        });
        let table = table(&document);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(
            lines[0].starts_with("running    ") && lines[0].ends_with("deploy  1.2.4  root on this host"),
            "{table}"
        );
        assert!(
            lines[1].starts_with("queued     ") && !table.contains('\u{1b}'),
            "{table}"
        );
        assert!(
            lines[2].ends_with("deploy  1.2.3 (dry run)  1.2 s  octocat of a/b"),
            "{table}"
        );
        assert_eq!(super::table(&json!({"running": null})), "no run yet\n");
    }
}
