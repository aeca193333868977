use super::super::commands::{COMMANDS, Need};
use super::*;
use std::os::unix::ffi::OsStringExt;

fn typed(line: &str) -> Result<Invocation, String> {
    parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
}

fn command(line: &str) -> Command {
    typed(line)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .command
}

#[test]
fn every_command_is_understood() {
    let deploy = |sha: Option<&str>, effect, form| {
        Command::Deploy(Deploy {
            version: "0.5.61".into(),
            sha: sha.map(str::to_owned),
            effect,
            already_there: AlreadyThere::Kept,
            form,
        })
    };
    let cancel = |run: &str, urgency| Command::Cancel {
        run: run.into(),
        urgency,
    };
    let terraform = |verb, sha: Option<&str>| {
        Command::Terraform(Terraform {
            verb,
            sha: sha.map(str::to_owned),
            module: None,
            plan_digest: None,
            destroy: Destroy::Limited,
            form: Form::ByTerminal,
        })
    };
    let log = |follow, form| Command::Log {
        run: "R".into(),
        follow,
        form,
    };
    for (line, expected) in [
        ("", Command::Serve),
        ("serve", Command::Serve),
        ("check", Command::Check),
        ("init", Command::Init),
        ("deploy 0.5.61", deploy(None, Effect::Real, Form::ByTerminal)),
        (
            "deploy --sha abc1234 0.5.61 --dry-run --json",
            deploy(Some("abc1234"), Effect::DryRun, Form::Json),
        ),
        (
            "deploy 0.5.61 --sha=abc1234",
            deploy(Some("abc1234"), Effect::Real, Form::ByTerminal),
        ),
        ("deploy -- 0.5.61", deploy(None, Effect::Real, Form::ByTerminal)),
        (
            "rollback",
            Command::Rollback {
                effect: Effect::Real,
                form: Form::ByTerminal,
            },
        ),
        (
            "rollback --json --dry-run",
            Command::Rollback {
                effect: Effect::DryRun,
                form: Form::Json,
            },
        ),
        ("history", Command::History(Form::ByTerminal)),
        ("history --json", Command::History(Form::Json)),
        ("status", Command::Status(Form::ByTerminal)),
        ("status --json", Command::Status(Form::Json)),
        ("runs --json", Command::Runs(Form::Json)),
        ("log R", log(Follow::No, Form::ByTerminal)),
        ("log -f R", log(Follow::ToTheEnd, Form::ByTerminal)),
        ("log R --follow --json", log(Follow::ToTheEnd, Form::Json)),
        ("cancel R", cancel("R", Urgency::Gentle)),
        ("cancel cancel", cancel("cancel", Urgency::Gentle)),
        ("cancel R --force", cancel("R", Urgency::Force)),
        ("tf-plan --sha S", terraform(Verb::TfPlan, Some("S"))),
        ("tf-apply --sha=S", terraform(Verb::TfApply, Some("S"))),
        ("drift", terraform(Verb::Drift, None)),
        (
            "tf-apply --plan-digest D --allow-destroy --sha S --module M --json",
            Command::Terraform(Terraform {
                verb: Verb::TfApply,
                sha: Some("S".into()),
                module: Some("M".into()),
                plan_digest: Some("D".into()),
                destroy: Destroy::Allowed,
                form: Form::Json,
            }),
        ),
        ("pin", Command::Pin),
        ("check-token", Command::CheckToken { endpoint: None }),
        (
            "check-token --endpoint deploy",
            Command::CheckToken {
                endpoint: Some("deploy".into()),
            },
        ),
        ("recover", Command::Recover),
        ("version", Command::Version),
        ("--version", Command::Version),
        ("-V", Command::Version),
        ("help", Command::Help(None)),
        ("help log", Command::Help(Some(Verb::Log))),
        ("help help", Command::Help(Some(Verb::Help))),
        ("--help", Command::Help(None)),
        ("deploy --help", Command::Help(Some(Verb::Deploy))),
        ("-h log", Command::Help(Some(Verb::Log))),
        ("log --nonsense -h", Command::Help(Some(Verb::Log))),
        ("--env-file serve check", Command::Check),
    ] {
        assert_eq!(command(line), expected, "{line:?}");
    }
}

#[test]
fn the_settings_file_may_stand_before_and_after_the_command() {
    for line in [
        "--env-file F check",
        "check --env-file F",
        "check --env-file=F",
        "--env-file=F check",
    ] {
        assert_eq!(
            typed(line).map(|one| one.env_file),
            Ok(Some(PathBuf::from("F"))),
            "{line}"
        );
    }
    assert_eq!(typed("--env-file F").map(|one| one.command), Ok(Command::Serve));
    let odd = OsString::from_vec(b"--env-file=/x/\xff".to_vec());
    let path = parse([OsString::from("check"), odd])
        .expect("a path is bytes")
        .env_file
        .expect("a file");
    assert_eq!(path.as_os_str().as_encoded_bytes(), b"/x/\xff");
}

#[test]
fn what_makes_no_sense_is_said_with_a_hint() {
    for (line, what, hint) in [
        (
            "deploi 1.2.3",
            "no command `deploi` (did you mean `deploy`?)",
            "help`",
        ),
        ("frobnicate", "no command `frobnicate`", "help`"),
        ("front", "no command `front`", "help`"),
        ("help frobnicate", "no command `frobnicate`", "help`"),
        ("deploy", "needs a VERSION", "help deploy`"),
        ("deploy --sha abc1234", "needs a VERSION", "help deploy`"),
        (
            "deploy 1.2.3 --sha",
            "`--sha` needs a value: --sha SHA",
            "help deploy`",
        ),
        (
            "deploy 1.2.3 --sha --json",
            "`--sha` needs a value",
            "help deploy`",
        ),
        ("deploy 1.2.3 --sha=", "`--sha` needs a value", "help deploy`"),
        ("deploy 1.2.3 1.2.4", "takes no `1.2.4`", "help deploy`"),
        (
            "deploy 1.2.3 --dryrun",
            "no option `--dryrun` (did you mean `--dry-run`?)",
            "help deploy`",
        ),
        (
            "deploy 1.2.3 --dry-run=yes",
            "`--dry-run` takes no value",
            "help deploy`",
        ),
        (
            "deploy 1.2.3 --json --json",
            "`--json` is there twice",
            "help deploy`",
        ),
        ("deploy 1.2.3 -f", "no option `-f`", "help deploy`"),
        ("log", "needs a RUN", "help log`"),
        ("cancel", "needs a RUN", "help cancel`"),
        ("serve now", "takes no `now`", "help serve`"),
        ("tf-plan", "`tf-plan` needs --sha SHA", "help tf-plan`"),
        (
            "tf-apply --module m",
            "`tf-apply` needs --sha SHA",
            "help tf-apply`",
        ),
        (
            "tf-plan --sha S --plan-digest D",
            "no option `--plan-digest`",
            "help tf-plan`",
        ),
        ("tf-apply S --sha S", "takes no `S`", "help tf-apply`"),
        ("rollback 1.2.3", "takes no `1.2.3`", "help rollback`"),
        ("status --follow", "no option `--follow`", "help status`"),
        ("--json", "`serve` has no option `--json`", "help serve`"),
        ("check --env-file", "`--env-file` needs a value", "help check`"),
        ("check --env-file a --env-file b", "twice", "help check`"),
        ("help log runs", "takes no `runs`", "help help`"),
    ] {
        let error = typed(line).expect_err(line);
        assert!(error.contains(what) && error.contains(hint), "{line}: {error}");
    }
    let escape = parse([OsString::from("--\u{1b}[2J")])
        .expect_err("no such option")
        .to_string();
    assert!(!escape.contains('\u{1b}'));
    let odd = || OsString::from_vec(vec![b'1', 0xff]);
    assert!(parse(["deploy".into(), odd()]).is_err());
    assert!(parse(["check-token".into(), "--endpoint".into(), odd()]).is_err());
}

/// The words without which the command makes no sense.
fn needed(spec: &Spec) -> String {
    let operand = spec.operand.filter(|operand| operand.need == Need::Required);
    let options = spec.options.iter().filter(|option| option.need == Need::Required);
    let options = options.map(|option| format!(" {} X", option.long));
    operand
        .map(|_| " X".to_owned())
        .into_iter()
        .chain(options)
        .collect()
}

#[test]
fn no_option_of_the_table_is_ignored() {
    for spec in COMMANDS {
        let needed = needed(spec);
        let bare = typed(&format!("{}{needed}", spec.name)).expect("as the table says");
        for option in spec.options {
            let value = option.value.map(|_| " Y").unwrap_or_default();
            let line = format!("{}{needed} {}{value}", spec.name, option.long);
            assert_ne!(typed(&line), Ok(bare.clone()), "{line}");
        }
        assert_eq!(!needed.is_empty(), typed(spec.name).is_err(), "{}", spec.name);
    }
}
