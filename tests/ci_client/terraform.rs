//! Plan and apply: what the client asks for, and when it is green.

use std::fs;
use std::time::Duration;

use super::job::*;
use super::scripted::{Reply, Server};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const INIT: &str = r#"{"phase":"tf_init","message":"Initializing","time":"t"}"#;
const CHANGE: &str = r#"{"phase":"tf_plan","message":"  + input = \"a \\ b\"","time":"t"}"#;
const COUNT: &str =
    r#"{"phase":"tf_plan","message":"Plan: 1 to add, 0 to change, 20 to destroy.","time":"t"}"#;

/// The last line of a run that went well.
fn planned(changed: bool) -> String {
    let add = u8::from(changed);
    format!(
        r#"{{"status":"ok","sha":"{SHA}","started_at":"s","finished_at":"f","duration_ms":9,"run_id":"{RUN}","changed":{changed},"changes":{{"add":{add},"change":0,"destroy":20}},"plan_digest":"{DIGEST}"}}"#
    )
}

fn stream(lines: &[&str]) -> Reply {
    lines
        .iter()
        .fold(Reply::stream(RUN).line(FIRST), |reply, line| reply.line(line))
}

fn outputs(status: &str) -> String {
    format!(
        "run_id={RUN}\nstatus={status}\nerror=\nplan_digest={DIGEST}\nchanged=true\nadd=1\nchange=0\ndestroy=20\n"
    )
}

#[test]
fn a_plan_is_green_when_the_last_line_says_ok_and_hands_on_its_digest_and_counts() {
    in_each_shell(|ci| {
        let (server, issuer) = (
            ci.server(vec![stream(&[INIT, CHANGE, COUNT, &planned(true)]).end()]),
            Server::start(None, vec![minted("a.a.1")]),
        );
        let words = ["plan", "--sha", SHA, "--module", "dashboard"];
        let done = ci.run(&mut ci.minting(ci.client(server.port, &words), &issuer));
        assert_eq!(done.status, 0);
        assert!(
            done.out.contains("tf_plan      + input = \"a \\ b\"\n"),
            "{}",
            done.out
        );
        assert!(
            done.err
                .contains("ok: planned, 1 to add, 0 to change, 20 to destroy")
        );
        assert_eq!(done.outputs, outputs("ok"));
        assert!(issuer.asked()[0].what.ends_with("&audience=engram-tf-plan"));
        let asked = server.asked();
        assert_eq!(paths(&asked), ["POST /tf-plan"]);
        assert_eq!(
            asked[0].body,
            format!(r#"{{"sha":"{SHA}","module":"dashboard"}}"#)
        );
    });
}

#[test]
fn an_apply_names_what_was_reviewed_and_approved() {
    in_each_shell(|ci| {
        let (server, issuer) = (
            ci.server(vec![stream(&[&planned(true)]).end()]),
            Server::start(None, vec![minted("a.a.1")]),
        );
        let words = [
            "apply",
            "--sha",
            SHA,
            "--plan-digest",
            DIGEST,
            "--allow-destroy",
            "--approved-pr",
            "7",
        ];
        let done = ci.run(&mut ci.minting(ci.client(server.port, &words), &issuer));
        assert_eq!(done.status, 0);
        assert_eq!(done.outputs, outputs("ok"));
        assert!(issuer.asked()[0].what.ends_with("&audience=engram-tf-apply"));
        let asked = server.asked();
        assert_eq!(paths(&asked), ["POST /tf-apply"]);
        assert_eq!(
            asked[0].body,
            format!(r#"{{"sha":"{SHA}","plan_digest":"{DIGEST}","allow_destroy":true,"approved_pr":7}}"#)
        );
    });
}

#[test]
fn what_terraform_says_about_the_plan_is_saved_once_whatever_is_cut() {
    in_each_shell(|ci| {
        let evil = "{\"phase\":\"tf_plan\",\"message\":\"a\\u001b \x07##[group]b\",\"time\":\"t\"}";
        let whole = stream(&[INIT, CHANGE, evil, COUNT, &planned(true)]).end();
        let cut = stream(&[INIT, CHANGE, BEAT]).torn(r#"{"phase":"tf_p"#).cut();
        let saved = ci.folder.join("plan");
        for way in ["--json", "--allow-destroy"] {
            let server = ci.server(vec![cut.clone(), whole.clone()]);
            let words = [
                "apply",
                "--sha",
                SHA,
                "--save",
                saved.to_str().expect("a path"),
                way,
            ];
            let done = ci.run(ci.client(server.port, &words).env("DEPLOYER_PATIENCE", "20"));
            assert_eq!(done.status, 0);
            assert_eq!(
                fs::read_to_string(&saved).expect("it was saved"),
                "  + input = \"a \\ b\"\na\\u001b ## [group]b\nPlan: 1 to add, 0 to change, 20 to destroy.\n"
            );
            let log = format!("GET /runs/{RUN}/log");
            assert_eq!(paths(&server.asked()), ["POST /tf-apply", &log]);
        }
    });
}

#[test]
fn a_plan_that_failed_is_red_and_has_no_digest_of_its_error() {
    in_each_shell(|ci| {
        let fail = format!(
            r#"{{"status":"fail","error":"say \"plan_digest\":\"{DIGEST}\",\"changed\":true,\"changes\":{{\"add\":9}}","sha":"{SHA}","run_id":"{RUN}"}}"#
        );
        let server = ci.server(vec![stream(&[INIT, &fail]).end()]);
        let done = ci.run(&mut ci.client(server.port, &["plan", "--sha", SHA]));
        assert_eq!(done.status, 1);
        assert!(done.outputs.contains("\nstatus=fail\n"));
        assert!(
            done.outputs
                .ends_with("\nplan_digest=\nchanged=\nadd=\nchange=\ndestroy=\n"),
            "{}",
            done.outputs
        );
    });
}

#[test]
fn a_plan_that_changes_nothing_says_so() {
    in_each_shell(|ci| {
        for (command, told) in [
            ("plan", "ok: nothing to change"),
            ("apply", "ok: there was nothing to change"),
        ] {
            let server = ci.server(vec![stream(&[&planned(false)]).end()]);
            let done = ci.run(&mut ci.client(server.port, &[command, "--sha", SHA]));
            assert!(done.status == 0 && done.err.contains(told), "{}", done.err);
            assert!(done.outputs.contains("\nchanged=false\n"));
        }
    });
}

#[test]
fn an_ok_about_another_commit_or_another_plan_is_not_ours() {
    in_each_shell(|ci| {
        for (ours, other) in [(&SHA[..8], "ffffffff"), (&DIGEST[..12], "sha256:fffff")] {
            let line = planned(true).replace(ours, other);
            assert_ne!(line, planned(true));
            let server = ci.server(vec![stream(&[&line]).end()]);
            let done = ci.run(&mut ci.client(server.port, &["apply", "--sha", SHA, "--plan-digest", DIGEST]));
            assert_eq!(done.status, 5, "{ours}");
        }
    });
}

#[test]
fn words_that_mean_nothing_are_refused_before_anything_is_sent() {
    in_each_shell(|ci| {
        let server = ci.server(vec![whole()]);
        let short = &SHA[1..];
        for words in [
            &["plan"][..],
            &["plan", "--sha", short],
            &["plan", "--sha", "ABCDEF6789abcdef0123456789abcdef01234567"],
            &["plan", "--sha", SHA, "--module", "../x"],
            &["plan", "--sha", SHA, "--module"],
            &["plan", "--sha", SHA, "--plan-digest", DIGEST],
            &["plan", "--sha", SHA, "--allow-destroy"],
            &["plan", "--sha", SHA, "--version", "1.2.3"],
            &["plan", "--sha", SHA, "--dry-run"],
            &["plan", "--sha", SHA, "--save", "/nonexistent/plan"],
            &["apply", "--sha", SHA, "--plan-digest", &DIGEST[..70]],
            &["apply", "--sha", SHA, "--plan-digest", ""],
            &["apply", "--sha", SHA, "--approved-pr", "07"],
            &["apply", "--sha", SHA, "--approved-pr", "7}"],
            &["deploy", "--version", "1.2.3", "--module", "x"],
            &["deploy", "--version", "1.2.3", "--plan-digest", DIGEST],
            &["destroy", "--sha", SHA],
            &["--sha", SHA],
        ] {
            assert_eq!(ci.run(&mut ci.client(server.port, words)).status, 2, "{words:?}");
        }
        assert!(server.asked().is_empty());
    });
}

#[test]
fn a_plan_of_thousands_of_lines_is_shown_as_fast_as_it_comes() {
    in_each_shell(|ci| {
        let lines: String = (0..5000)
            .map(|n| {
                format!("{{\"phase\":\"tf_plan\",\"message\":\"  + \\\"item {n}\\\",\",\"time\":\"t\"}}\n")
            })
            .collect();
        let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
        let server = ci.server(vec![
            Reply::stream(RUN)
                .line(FIRST)
                .raw(&chunk)
                .line(&planned(true))
                .end(),
        ]);
        let done = ci.run(&mut ci.client(server.port, &["plan", "--sha", SHA]));
        assert_eq!((done.status, done.out.lines().count()), (0, 5001));
        // With a process a line it would take half a minute.
        assert!(done.took < Duration::from_secs(25), "{:?}", done.took);
    });
}
