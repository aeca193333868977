//! [ci_client] Promises of the client for CI jobs, `contrib/ci/engram-deploy.sh`, in every POSIX shell of this machine.
//!
//! The server side is a scripted one, so that it can misbehave; that the client gets on with the daemon is shown by the
//! tests that deploy.

mod comment;
mod daemon;
mod job;
mod safety;
mod scripted;
#[cfg(feature = "terraform")]
mod terraform;

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use job::*;
use scripted::{Reply, Server};

#[test]
fn a_job_is_green_when_the_last_line_says_ok() {
    in_each_shell(|ci| {
        let server = ci.server(vec![whole()]);
        let done = ci.run(ci.job(server.port).args(["--sha", "abc1234", "--dry-run"]));
        assert_eq!(done.status, 0);
        assert!(
            done.out
                .contains("pull       pulling ghcr.io/x/y:0.5.61\nhealth     app: healthy\n")
        );
        assert_eq!(done.outputs, format!("run_id={RUN}\nstatus=ok\nerror=\n"));
        let asked = server.asked();
        assert_eq!(paths(&asked), ["POST /deploy"]);
        assert_eq!(bearers(&asked), [TOKEN]);
        assert_eq!(
            asked[0].body,
            r#"{"version":"0.5.61","sha":"abc1234","dry_run":true}"#
        );
    });
}

#[test]
fn a_last_line_without_a_newline_counts_when_the_stream_ended_properly() {
    in_each_shell(|ci| {
        let server = ci.server(vec![Reply::stream(RUN).line(FIRST).torn(OK).end()]);
        assert_eq!(ci.run(&mut ci.job(server.port)).status, 0);
    });
}

#[test]
fn a_job_is_red_when_the_run_failed_and_says_why() {
    in_each_shell(|ci| {
        let server = ci.server(vec![Reply::stream(RUN).line(FIRST).line(FAIL).end()]);
        let done = ci.run(&mut ci.job(server.port));
        assert_eq!(done.status, 1, "an ok within the last line is not the run's");
        assert!(done.err.contains(r#"fail: app: last answer: "502""#));
        assert_eq!(
            done.outputs,
            format!("run_id={RUN}\nstatus=fail\nerror=app: last answer: \"502\"\n")
        );
    });
}

#[test]
fn an_event_that_quotes_an_ok_line_is_not_the_last_line() {
    in_each_shell(|ci| {
        let quoting = r#"{"phase":"pull","message":"{\"status\":\"ok\",\"version\":\"0.5.61\"}","time":"t"}"#;
        let after = r#"{"phase":"pull","message":"more","time":"t"}"#;
        for lines in [[FIRST, quoting], [OK, after]] {
            let server = ci.server(vec![
                Reply::stream("").line(lines[0]).line(lines[1]).end(),
                refusal("404 Not Found", "not found"),
            ]);
            assert_eq!(ci.run(&mut ci.job(server.port)).status, 5);
        }
    });
}

#[test]
fn each_line_is_shown_when_it_comes() {
    in_each_shell(|ci| {
        let server = ci.server(vec![
            Reply::stream(RUN)
                .line(FIRST)
                .line(PULL)
                .pause(Duration::from_secs(60))
                .line(OK)
                .end(),
        ]);
        let mut child = ci
            .job(server.port)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the shell starts");
        let begun = Instant::now();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
        assert!(
            lines
                .nth(1)
                .expect("a second line")
                .expect("UTF-8")
                .starts_with("pull")
        );
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "after {:?}",
            begun.elapsed()
        );
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it waits for the rest");
        assert_eq!(child.wait().expect("it ends").code(), Some(143));
    });
}

#[test]
fn json_lines_come_as_they_are_and_alone_on_standard_output() {
    in_each_shell(|ci| {
        let server = ci.server(vec![Reply::stream(RUN).line(FIRST).line(BEAT).line(OK).end()]);
        let done = ci.run(ci.job(server.port).arg("--json"));
        assert_eq!(done.out, format!("{FIRST}\n{BEAT}\n{OK}\n"));
    });
}

#[test]
fn a_cut_stream_is_followed_to_its_end_and_no_line_is_shown_twice() {
    in_each_shell(|ci| {
        let whole_log = Reply::stream(RUN)
            .line(FIRST)
            .line(PULL)
            .line(HEALTH)
            .line(OK)
            .end();
        let silent = Reply::close_delimited(RUN).raw(&format!("{FIRST}\n{PULL}\n"));
        for broken in [cut(), silent] {
            let server = ci.server(vec![broken.clone(), Reply::none(), broken, whole_log.clone()]);
            let done = ci.run(ci.job(server.port).env("DEPLOYER_PATIENCE", "30"));
            assert_eq!(done.status, 0);
            for shown in ["its turn", "pulling", "app: healthy"] {
                assert_eq!(count(&done.out, shown), 1, "{shown}");
            }
            let log = format!("GET /runs/{RUN}/log");
            assert_eq!(paths(&server.asked()), ["POST /deploy", &log, &log, &log]);
            assert_eq!(bearers(&server.asked()), [TOKEN; 4]);
        }
    });
}

#[test]
fn a_run_without_the_header_is_followed_by_the_id_of_its_first_line() {
    in_each_shell(|ci| {
        let server = ci.server(vec![Reply::stream("").line(FIRST).cut(), whole()]);
        assert_eq!(ci.run(&mut ci.job(server.port)).status, 0);
        assert_eq!(server.asked()[1].what, format!("GET /runs/{RUN}/log"));
    });
}

#[test]
fn a_silent_stream_counts_as_cut() {
    in_each_shell(|ci| {
        let silent = Reply::stream(RUN).line(FIRST).pause(Duration::from_secs(60));
        let server = ci.server(vec![silent, whole()]);
        let mut job = ci.job(server.port);
        let done = ci.run(job.env("DEPLOYER_STALL", "2").env("DEPLOYER_PATIENCE", "15"));
        assert_eq!(done.status, 0);
        assert!(done.took < Duration::from_secs(50), "{:?}", done.took);
        assert_eq!(server.asked().len(), 2);
    });
}

#[test]
fn a_run_whose_end_cannot_be_learned_is_unknown() {
    in_each_shell(|ci| {
        let gone = refusal("404 Not Found", "no such run");
        let nameless = Reply::stream("").line(PULL).cut();
        let half = Reply::stream(RUN)
            .line(FIRST)
            .torn(r#"{"status":"ok","more":{}"#)
            .cut();
        for script in [
            vec![cut(), gone.clone()],
            vec![nameless],
            vec![half, gone],
            vec![cut(), Reply::none()],
        ] {
            let done = ci.run(&mut ci.job(ci.server(script).port));
            assert_eq!(done.status, 5);
            assert!(done.outputs.contains("status=unknown\n"));
        }
    });
}

#[test]
fn an_ok_about_another_version_is_not_ours() {
    in_each_shell(|ci| {
        let server = ci.server(vec![
            Reply::stream(RUN)
                .line(FIRST)
                .line(&OK.replace("0.5.61", "0.5.60"))
                .end(),
        ]);
        assert_eq!(ci.run(&mut ci.job(server.port)).status, 5);
    });
}

#[test]
fn a_refusal_is_shown_and_not_tried_again() {
    in_each_shell(|ci| {
        let sentences = [
            ("401 Unauthorized", "token rejected: aud"),
            ("401 Unauthorized", "token replay detected"),
            ("403 Forbidden", "source IP not permitted"),
            ("400 Bad Request", "version must match X.Y.Z semver"),
        ];
        for (status, sentence) in sentences {
            let server = ci.server(vec![refusal(status, sentence)]);
            let done = ci.run(&mut ci.job(server.port));
            assert_eq!(done.status, 4);
            assert!(
                done.err
                    .contains(&format!("refused: {} {sentence} (request 4f2a)", &status[..3]))
            );
            assert_eq!(server.asked().len(), 1);
        }
    });
}

#[test]
fn an_unreachable_host_is_tried_for_as_long_as_there_is_patience() {
    in_each_shell(|ci| {
        let port = ci.server(vec![whole()]).port;
        let done = ci.run(&mut ci.job(port));
        assert_eq!(done.status, 3);
        assert!(
            done.err.contains("trying again") && done.took < Duration::from_secs(60),
            "{:?}",
            done.took
        );
    });
}

#[test]
fn a_busy_host_is_asked_again_after_the_time_it_names_with_a_fresh_token() {
    in_each_shell(|ci| {
        let (server, issuer) = (
            ci.server(vec![busy(1), whole()]),
            Server::start(None, vec![minted("a.a.1"), minted("a.a.2")]),
        );
        assert_eq!(ci.run(&mut ci.minting_job(&server, &issuer)).status, 0);
        assert_eq!(bearers(&server.asked()), ["a.a.1", "a.a.2"]);
        let asked = issuer.asked();
        assert_eq!(
            asked[0].what,
            "GET /idtoken?api-version=2.0&audience=engram-deploy"
        );
        assert_eq!(asked[0].authorization, "bearer runner\"secret");
    });
}

#[test]
fn a_host_that_stays_busy_is_busy_and_not_failed() {
    in_each_shell(|ci| {
        let server = ci.server(vec![busy(1)]);
        let done = ci.run(&mut ci.job(server.port));
        assert_eq!(done.status, 6);
        assert!(done.err.contains("busy: the queue is full") && server.asked().len() >= 2);
    });
}

#[test]
fn a_cut_stream_is_followed_with_a_fresh_token_where_one_can_be_minted() {
    in_each_shell(|ci| {
        let (server, issuer) = (
            ci.server(vec![cut(), whole()]),
            Server::start(None, vec![minted("a.a.1"), minted("a.a.2")]),
        );
        let done = ci.run(ci.minting_job(&server, &issuer).env("DEPLOYER_AUDIENCE", "a b&c"));
        assert_eq!(done.status, 0);
        assert_eq!(bearers(&server.asked()), ["a.a.1", "a.a.2"]);
        assert!(matches!(
            issuer.asked()[0].what.split_once("&audience="),
            Some((_, "a+b%26c" | "a%20b%26c"))
        ));
    });
}

#[test]
fn a_request_without_an_answer_is_repeated_with_the_same_token_only() {
    in_each_shell(|ci| {
        let (server, issuer) = (
            ci.server(vec![Reply::none(), busy(1), whole()]),
            Server::start(None, vec![minted("a.a.1"), minted("a.a.2")]),
        );
        assert_eq!(
            ci.run(ci.minting_job(&server, &issuer).env("DEPLOYER_PATIENCE", "10"))
                .status,
            0
        );
        assert_eq!(bearers(&server.asked()), ["a.a.1"; 3]);
    });
}

#[test]
fn the_run_of_a_lost_answer_is_found_by_its_token() {
    in_each_shell(|ci| {
        let runs =
            format!(r#"{{"running":{{"id":"{OTHER_RUN}"}},"runs":[{{"id":"{RUN}"}},{{"id":"{RUN}"}}]}}"#);
        let replay = refusal("401 Unauthorized", "token replay detected");
        let listed = Reply::plain("200 OK", "Content-Type: application/json\r\n", &runs);
        let foreign = refusal("401 Unauthorized", "token replay detected");
        let server = ci.server(vec![Reply::none(), replay, listed, foreign, cut(), whole()]);
        let done = ci.run(ci.job(server.port).env("DEPLOYER_PATIENCE", "20"));
        assert_eq!(done.status, 0);
        assert_eq!(done.outputs, format!("run_id={RUN}\nstatus=ok\nerror=\n"));
        let (other, ours) = (
            format!("GET /runs/{OTHER_RUN}/log"),
            format!("GET /runs/{RUN}/log"),
        );
        assert_eq!(
            paths(&server.asked()),
            ["POST /deploy", "POST /deploy", "GET /runs", &other, &ours, &ours]
        );
        assert_eq!(count(&done.out, "pulling"), 1);
    });
}

#[test]
fn a_lost_answer_whose_run_is_not_found_is_unknown_and_never_refused() {
    in_each_shell(|ci| {
        let replay = refusal("401 Unauthorized", "token replay detected");
        let expired = refusal("401 Unauthorized", "token rejected: expired");
        for script in [
            vec![Reply::none(), replay],
            vec![Reply::none(), expired],
            vec![Reply::none()],
        ] {
            let done = ci.run(&mut ci.job(ci.server(script).port));
            assert_eq!(done.status, 5);
        }
    });
}
