//! What the client never does, whatever the server or the settings say.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::job::*;
use super::scripted::{Identity, Reply, Server};

#[test]
fn another_server_than_the_pinned_one_is_sent_nothing() {
    in_each_shell(|ci| {
        let other = Identity::new(&ci.folder.join("tmp").parent().expect("a folder").join("bin"));
        let server = ci.server(vec![whole()]);
        let mut wrong_pin = ci.job(server.port);
        wrong_pin.env("DEPLOYER_PIN", &other.pin);
        let mut wrong_certificate = ci.job(server.port);
        wrong_certificate
            .env_remove("DEPLOYER_PIN")
            .env("DEPLOYER_CACERT", &other.certificate);
        let mut one_of_both = ci.job(server.port);
        one_of_both
            .env("DEPLOYER_PIN", &other.pin)
            .env("DEPLOYER_CACERT", &ci.identity.certificate);
        for job in [&mut wrong_pin, &mut wrong_certificate, &mut one_of_both] {
            let done = ci.run(job);
            assert_eq!(done.status, 3);
            assert!(done.err.contains("is not the pinned server") && server.asked().is_empty());
        }
    });
}

#[test]
fn the_certificate_may_be_a_file_or_its_text_and_a_backup_pin_is_taken() {
    in_each_shell(|ci| {
        let server = ci.server(vec![whole()]);
        let pins = format!(
            "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;{}",
            ci.identity.pin
        );
        let file = ci.folder.join("cert.pem");
        for certificate in [file.to_str().expect("a path"), &ci.identity.certificate] {
            assert_eq!(
                ci.run(
                    ci.job(server.port)
                        .env_remove("DEPLOYER_PIN")
                        .env("DEPLOYER_CACERT", certificate)
                )
                .status,
                0
            );
        }
        assert_eq!(ci.run(ci.job(server.port).env("DEPLOYER_PIN", pins)).status, 0);
    });
}

#[test]
fn what_a_deploy_prints_is_no_command_to_the_ci() {
    in_each_shell(|ci| {
        let evil = [
            r#"{"phase":"pull","message":"::set-output name=x::y","time":"t"}"#,
            r#"{"phase":"::error::","message":"::stop-commands::x","time":"t"}"#,
            r#"{"phase":"pull","message":"a ##[add-path]/evil ###[x]","time":"t"}"#,
            "{\"phase\":\"pull\",\"message\":\"a\r::add-path::/evil\",\"time\":\"t\"}",
            "::add-path::/evil",
            "  ::add-path::/evil ##[group]",
            r#"{"status":"fail","error":"::error::%0A::x ##[x]","run_id":"::x"}"#,
        ];
        let lines = evil
            .iter()
            .fold(Reply::stream("::evil::"), |reply, line| reply.line(line))
            .end();
        let sentence = refusal(
            "403 Forbidden",
            "::add-path::/evil\n::add-path::/evil ##[x]\nstatus=ok",
        );
        for (script, way) in [
            (lines.clone(), "--json"),
            (lines, "--dry-run"),
            (sentence, "--dry-run"),
        ] {
            let done = ci.run(
                ci.job(ci.server(vec![script]).port)
                    .arg(way)
                    .env("GITHUB_ACTIONS", "true"),
            );
            let commands: Vec<_> = done
                .out
                .split(['\n', '\r'])
                .chain(done.err.split(['\n', '\r']))
                .collect();
            let ours = |line: &&&str| {
                line.starts_with("::add-mask::eyJ") || line.starts_with("::error title=engram-deploy::")
            };
            let all: Vec<_> = commands
                .iter()
                .filter(|line| line.trim_start().starts_with("::"))
                .collect();
            assert_eq!(all.iter().copied().filter(ours).count(), all.len(), "{all:?}");
            assert!(!commands.iter().any(|line| line.contains("##[")));
            assert!(
                commands
                    .iter()
                    .all(|line| !line.starts_with("::error ") || !line.contains("%0A"))
            );
            assert_eq!(count(&done.outputs, "\n"), 3, "{}", done.outputs);
        }
    });
}

#[test]
fn escaped_marks_keep_their_meaning_for_a_reader_of_the_lines() {
    in_each_shell(|ci| {
        let line = r###"{"phase":"pull","message":"a ##[b] \\ \"c\"","time":"t"}"###;
        let done = ci.run(
            ci.job(ci.server(vec![Reply::stream(RUN).line(line).line(OK).end()]).port)
                .arg("--json"),
        );
        let shown: serde_json::Value =
            serde_json::from_str(done.out.lines().next().expect("a line")).expect("JSON");
        assert_eq!(shown["message"], r###"a ##[b] \ "c""###);
    });
}

#[test]
fn the_token_is_masked_and_on_no_command_line_in_no_environment_and_no_output() {
    in_each_shell(|ci| {
        let (server, issuer) = (
            ci.server(vec![cut(), whole()]),
            Server::start(None, vec![minted("a.a.secret1"), minted("a.a.secret2")]),
        );
        let done = ci.run(ci.minting_job(&server, &issuer).env("GITHUB_ACTIONS", "true"));
        assert_eq!(done.status, 0);
        assert_eq!(
            count(&done.err, "secret"),
            count(&done.err, "::add-mask::a.a.secret")
        );
        assert_eq!(count(&done.err, "::add-mask::a.a.secret"), 2);
        let given = ci.run(&mut ci.job(server.port));
        assert_eq!(given.status, 0);
        let traced = ci.run(&mut traced(ci, &server));
        for text in [
            &done.out,
            &given.out,
            &given.err,
            &traced.out,
            &traced.err,
            &ci.seen(),
        ] {
            assert!(!text.contains("secret") && !text.contains(TOKEN));
        }
        assert!(
            ci.seen().contains("--config\n-\n"),
            "the wrapper was there to see"
        );
    });
}

/// The job as somebody would run it who wants to see what the shell does.
fn traced(ci: &Ci, server: &Server) -> Command {
    let job = ci.job(server.port);
    let mut traced = Command::new(job.get_program());
    traced
        .args(&ci.shell[1..])
        .arg("-x")
        .args(job.get_args().skip(ci.shell.len() - 1))
        .env_clear();
    for (name, value) in job.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    traced
}

#[test]
fn a_ci_that_gives_no_token_is_named() {
    in_each_shell(|ci| {
        let server = ci.server(vec![whole()]);
        for answer in [
            refusal("403 Forbidden", "no"),
            minted("evil\\nheader"),
            minted(""),
        ] {
            let done = ci.run(&mut ci.minting_job(&server, &Server::start(None, vec![answer])));
            assert_eq!(done.status, 7);
        }
        assert!(server.asked().is_empty());
    });
}

#[test]
fn wrong_settings_are_refused_before_anything_is_sent() {
    in_each_shell(|ci| {
        let server = ci.server(vec![whole()]);
        let settings = [
            ("DEPLOYER_URL", format!("http://127.0.0.1:{}", server.port)),
            (
                "DEPLOYER_URL",
                format!("https://127.0.0.1:{}/\"\ninsecure", server.port),
            ),
            ("DEPLOYER_PIN", String::new()),
            ("DEPLOYER_PIN", "sha256:AAAA".to_owned()),
            ("DEPLOYER_PIN", format!("{}\ninsecure", ci.identity.pin)),
            ("DEPLOYER_CACERT", "/nonexistent".to_owned()),
            ("DEPLOYER_TOKEN", "a\"b".to_owned()),
            ("DEPLOYER_TOKEN", String::new()),
            ("DEPLOYER_PATIENCE", "soon".to_owned()),
        ];
        for (name, value) in settings {
            let done = ci.run(ci.job(server.port).env(name, &value));
            assert!(
                done.status == 2 && done.err.contains(name),
                "{name}={value}: {} {}",
                done.status,
                done.err
            );
        }
        for words in [
            &["--version", "1.2"][..],
            &["--version", "1.2.3\n4.5.6"],
            &["--version"],
            &["--sha", "abc"],
            &["--what"],
        ] {
            assert_eq!(ci.run(ci.job(server.port).args(words)).status, 2, "{words:?}");
        }
        assert!(server.asked().is_empty());
    });
}

#[test]
fn a_cancelled_job_leaves_no_client_behind() {
    in_each_shell(|ci| {
        let server = ci.server(vec![
            Reply::stream(RUN)
                .line(FIRST)
                .pause(Duration::from_secs(60))
                .line(OK)
                .end(),
        ]);
        let mut child = ci
            .job(server.port)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shell starts");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
        lines.next().expect("a line").expect("UTF-8");
        let begun = Instant::now();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .expect("kill");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(143));
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "after {:?}",
            begun.elapsed()
        );
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(&format!("a run that began goes on: {RUN}"))
        );
        assert!(
            fs::read_dir(ci.folder.join("tmp"))
                .expect("the folder")
                .next()
                .is_none()
        );
    });
}

#[test]
fn the_help_names_every_setting_and_every_exit_status() {
    let script = fs::read_to_string(SCRIPT).expect("the client");
    let help = Command::new(SCRIPT).arg("--help").output().expect("it starts");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let words = |text: &str| {
        text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let settings = words(&script)
        .into_iter()
        .filter(|word| word.starts_with("DEPLOYER_") && word.len() > 9);
    for name in settings {
        assert!(words(&help).contains(&name), "{name}");
    }
    for status in [
        "0  ok",
        "1  fail",
        "3  unreachable",
        "4  refused",
        "5  unknown",
        "6  busy",
        "7  no-token",
    ] {
        assert!(help.contains(status), "{status}");
    }
    assert!(script.lines().count() < 420, "{} lines", script.lines().count());
}

#[test]
fn shellcheck_finds_nothing_in_the_clients() {
    if found("shellcheck").is_none() {
        println!("skipped: no shellcheck here");
        return;
    }
    let output = Command::new("shellcheck")
        .args(["--shell=sh", SCRIPT, super::comment::SCRIPT])
        .output()
        .expect("shellcheck");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
