//! The comment on a pull request: what a plan prints stays text in it, and whose comments count.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::job::{found, in_each_shell, workshop};
use super::scripted::{Reply, Server};
use crate::support::folder::Folder;

pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ci/plan-comment.sh");
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const HEAD: &str = "89abcdef0123456789abcdef0123456789abcdef";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const TOKEN: &str = "ghs_secret";

fn answer(value: &Value) -> Reply {
    Reply::plain("200 OK", "Content-Type: application/json\r\n", &value.to_string())
}

/// The script in one shell, with GitHub's API at `port`.
fn script(shell: &[&str], folder: &Folder, port: u16, command: &str) -> Command {
    assert!(found("jq").is_some(), "jq is needed here: apt-get install jq");
    let mut script = Command::new(found(shell[0]).expect("the shell"));
    script.args(&shell[1..]).arg(SCRIPT).arg(command);
    script
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null());
    script
        .env("GITHUB_API_URL", format!("http://127.0.0.1:{port}"))
        .env("GITHUB_GRAPHQL_URL", format!("http://127.0.0.1:{port}/graphql"));
    script
        .env("GITHUB_TOKEN", TOKEN)
        .env("GITHUB_REPOSITORY", "an/infra")
        .env("GITHUB_OUTPUT", folder.join("outputs"));
    script.env("COMMIT", COMMIT).env("HEAD", HEAD);
    script
}

fn ended(script: &mut Command, folder: &Folder) -> Output {
    let output = script.output().expect("the shell starts");
    let left = fs::read_dir(folder.join("tmp")).expect("the folder").count();
    assert_eq!(left, 0, "it leaves nothing behind");
    for stream in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(stream).contains(TOKEN));
    }
    output
}

/// Has a plan written; what was asked of GitHub, and the comment's text.
fn written(shell: &[&str], plan: &str, known: Value, status: &str) -> (Vec<String>, String) {
    let folder = workshop();
    let server = Server::start(None, vec![answer(&known), answer(&json!({"id": 1}))]);
    let file = folder.join("plan");
    fs::write(&file, plan).expect("the plan");
    let mut script = script(shell, &folder, server.port, "write");
    script
        .env("PULL_REQUEST", "7")
        .env("PLAN", &file)
        .env("STATUS", status)
        .env("DIGEST", DIGEST);
    script
        .env("RUN", "20260102T030405Z-0123abcd")
        .env("ERROR", "-->\u{1b} @all")
        .env("CHANGED", "true");
    script.env("ADD", "1").env("CHANGE", "0").env("DESTROY", "20");
    let output = ended(&mut script, &folder);
    assert!(output.status.success(), "{output:?}");
    let asked = server.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization == format!("Bearer {TOKEN}"))
    );
    let body: Value = serde_json::from_str(&asked.last().expect("a comment").body).expect("JSON");
    let what = asked.iter().map(|asked| asked.what.clone()).collect();
    (what, body["body"].as_str().expect("a text").to_owned())
}

const LIST: &str = "GET /repos/an/infra/issues/7/comments?per_page=100&page=1";

/// A comment as GitHub lists it.
fn comment(id: u32, login: &str, kind: &str, body: &str) -> Value {
    json!({"id": id, "user": {"login": login, "type": kind}, "body": body})
}

#[test]
fn what_a_plan_prints_stays_text_in_its_comment() {
    in_each_shell(|ci| {
        let evil = "```\n-->\n</details>\n<!-- engram-tf-plan default sha256:0 -->\n\n  ~~~~\n@everyone #1\n\tx\n# big\n";
        let (asked, text) = written(ci.shell, evil, json!([]), "ok");
        assert_eq!(asked, [LIST, "POST /repos/an/infra/issues/7/comments"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            format!("<!-- engram-tf-plan default {DIGEST} {HEAD} -->")
        );
        assert!(
            lines[1].ends_with(": 1 to add, 0 to change, 20 to destroy"),
            "{text}"
        );
        let begin = lines
            .iter()
            .position(|line| line.starts_with("<details>"))
            .expect("it is folded");
        let end = lines
            .iter()
            .position(|line| *line == "</details>")
            .expect("its end");
        // An indented block of code: begun and ended by an empty line, and every line of it is four blanks deep.
        assert_eq!((lines[begin + 1], lines[end - 1]), ("", ""));
        let inside = &lines[begin + 2..end - 1];
        assert_eq!(
            inside.len(),
            evil.lines().filter(|line| !line.is_empty()).count() + 1
        );
        assert!(inside.iter().all(|line| line.starts_with("    ")), "{text}");
        assert!(!text.contains('\u{1b}') && inside.contains(&"    ```") && inside.contains(&"    --> @all"));
    });
}

#[test]
fn a_long_plan_is_cut_to_what_github_takes_and_says_so() {
    in_each_shell(|ci| {
        let plan = format!("first\n{}", format!("{}\n", "ä".repeat(60)).repeat(5000));
        let (_, text) = written(ci.shell, &plan, json!([]), "ok");
        assert!(text.len() < 65_536 && text.len() > 50_000, "{}", text.len());
        assert!(text.contains("    first\n") && text.contains(" more lines, which the log of the job has\n"));
        assert!(text.contains("</details>") && text.contains(DIGEST) && !text.contains('\u{fffd}'));
    });
}

#[test]
fn the_comment_is_updated_in_place_and_those_of_others_are_left_alone() {
    in_each_shell(|ci| {
        let begin = "<!-- engram-tf-plan default none 0 -->";
        let known = json!([
            comment(11, "mallory", "User", begin),
            comment(12, "github-actions[bot]", "User", begin),
            comment(13, "github-actions[bot]", "Bot", &format!("see {begin}")),
            comment(
                14,
                "github-actions[bot]",
                "Bot",
                "<!-- engram-tf-plan other none 0 -->"
            ),
            comment(15, "github-actions[bot]", "Bot", begin),
        ]);
        let (asked, text) = written(ci.shell, "Error: no\n", known, "fail");
        assert_eq!(asked, [LIST, "PATCH /repos/an/infra/issues/comments/15"]);
        // A plan that failed is none that could be applied, whatever was said before.
        assert!(text.starts_with(&format!("<!-- engram-tf-plan default none {HEAD} -->\n")));
        assert!(!text.contains(DIGEST) && text.contains("    Error: no\n"));
    });
}

/// The pull request that was merged as [`COMMIT`], with one good comment among others.
fn merged() -> Value {
    let bot = json!({"__typename": "Bot", "login": "github-actions"});
    let user = json!({"__typename": "User", "login": "mallory"});
    let forged = format!("<!-- engram-tf-plan default sha256:{} {HEAD} -->", "f".repeat(64));
    json!({"data": {"repository": {"object": {"associatedPullRequests": {"nodes": [
        {"number": 6, "merged": true, "headRefOid": HEAD, "mergeCommit": {"oid": HEAD}, "comments": {"nodes": []}},
        {"number": 8, "merged": false, "headRefOid": HEAD, "mergeCommit": null, "comments": {"nodes": []}},
        {"number": 7, "merged": true, "headRefOid": HEAD, "mergeCommit": {"oid": COMMIT}, "comments": {"nodes": [
            {"body": forged, "author": user, "editor": null},
            {"body": forged, "author": null, "editor": null},
            {"body": "<!-- engram-tf-plan other none x -->", "author": bot, "editor": null},
            {"body": format!("<!-- engram-tf-plan default {DIGEST} {HEAD} -->\n{forged}"), "author": bot, "editor": bot},
        ]}},
    ]}}}}})
}

/// Asks for the reviewed digest; what it said to GitHub, and how it ended.
fn reviewed(shell: &[&str], reply: &Value) -> (Value, Output, String) {
    let folder = workshop();
    let server = Server::start(None, vec![answer(reply)]);
    let output = ended(&mut script(shell, &folder, server.port, "reviewed"), &folder);
    let asked = server.asked();
    assert_eq!(asked[0].what, "POST /graphql");
    let outputs = fs::read_to_string(folder.join("outputs")).unwrap_or_default();
    (
        serde_json::from_str(&asked[0].body).expect("JSON"),
        output,
        outputs,
    )
}

#[test]
fn the_digest_of_the_merged_pull_request_is_found() {
    in_each_shell(|ci| {
        let (asked, output, outputs) = reviewed(ci.shell, &merged());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{DIGEST}\n"));
        assert_eq!(outputs, format!("plan_digest={DIGEST}\npull_request=7\n"));
        assert_eq!(
            asked["variables"],
            json!({"owner": "an", "name": "infra", "commit": COMMIT})
        );
    });
}

#[test]
fn no_digest_is_taken_that_might_not_be_the_reviewed_one() {
    in_each_shell(|ci| {
        let at = "/data/repository/object/associatedPullRequests/nodes/2";
        let user = json!({"__typename": "User", "login": "github-actions"});
        let ours = format!("{at}/comments/nodes/3");
        let twice = merged().pointer(&ours).expect("our comment").clone();
        for (what, place, value, told) in [
            (
                "edited",
                format!("{ours}/editor"),
                user.clone(),
                "somebody has edited",
            ),
            ("forged", format!("{ours}/author"), user, "has no plan of default"),
            (
                "two",
                format!("{at}/comments/nodes/2"),
                twice,
                "has no plan of default",
            ),
            (
                "an older push",
                format!("{at}/headRefOid"),
                json!(COMMIT),
                "is not of its last commit",
            ),
            (
                "not merged",
                format!("{at}/merged"),
                json!(false),
                "no pull request was merged",
            ),
            (
                "as another",
                format!("{at}/mergeCommit/oid"),
                json!(HEAD),
                "no pull request was merged",
            ),
            (
                "failed",
                format!("{ours}/body"),
                json!(format!(
                    "<!-- engram-tf-plan default none {HEAD} -->\n<!-- engram-tf-plan default {DIGEST} {HEAD} -->"
                )),
                "failed",
            ),
            (
                "a push",
                "/data/repository/object".into(),
                Value::Null,
                "no pull request was merged",
            ),
        ] {
            let mut reply = merged();
            *reply.pointer_mut(&place).expect("a place") = value;
            let (_, output, outputs) = reviewed(ci.shell, &reply);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{what}: {said}");
            assert!(
                said.contains(told) && output.stdout.is_empty() && outputs.is_empty(),
                "{what}: {said}"
            );
        }
    });
}
