use super::*;
use crate::cli::commands::{BUILT_FROM, DRY_RUN, ENDPOINT, FOLLOW, FORCE, JSON, REPLACE};
#[cfg(feature = "terraform")]
use crate::cli::commands_terraform::{ALLOW_DESTROY, COMMIT, MODULE, PLAN_DIGEST};
use std::os::unix::ffi::OsStringExt;

fn typed(line: &str) -> Result<Arguments, String> {
    parse(line.split_whitespace().map(OsString::from))
}

/// A command with its operand and these options, and no others.
fn arguments(verb: Verb, operand: &str, options: &[(Opt, &str)]) -> Arguments {
    let option = |(option, value): &(Opt, &str)| (option.long, (*value).to_owned());
    Arguments {
        verb,
        operand: Some(operand.to_owned()).filter(|operand| !operand.is_empty()),
        options: options.iter().map(option).collect(),
        env_file: None,
    }
}

#[test]
fn every_command_is_understood() {
    let (sha, dry_run, json) = ((BUILT_FROM, "abc1234"), (DRY_RUN, ""), (JSON, ""));
    for (line, verb, operand, options) in [
        ("", Verb::Serve, "", &[][..]),
        ("serve", Verb::Serve, "", &[]),
        ("check", Verb::Check, "", &[]),
        ("init", Verb::Init, "", &[]),
        ("deploy 0.5.61", Verb::Deploy, "0.5.61", &[]),
        (
            "deploy --sha abc1234 0.5.61 --dry-run --json",
            Verb::Deploy,
            "0.5.61",
            &[sha, dry_run, json],
        ),
        ("deploy 0.5.61 --sha=abc1234", Verb::Deploy, "0.5.61", &[sha]),
        ("deploy 0.5.61 --force", Verb::Deploy, "0.5.61", &[(REPLACE, "")]),
        ("deploy -- 0.5.61", Verb::Deploy, "0.5.61", &[]),
        ("rollback", Verb::Rollback, "", &[]),
        ("rollback --json --dry-run", Verb::Rollback, "", &[json, dry_run]),
        ("history", Verb::History, "", &[]),
        ("history --json", Verb::History, "", &[json]),
        ("status", Verb::Status, "", &[]),
        ("status --json", Verb::Status, "", &[json]),
        ("runs --json", Verb::Runs, "", &[json]),
        ("log R", Verb::Log, "R", &[]),
        ("log -f R", Verb::Log, "R", &[(FOLLOW, "")]),
        ("log R --follow --json", Verb::Log, "R", &[(FOLLOW, ""), json]),
        ("cancel R", Verb::Cancel, "R", &[]),
        ("cancel cancel", Verb::Cancel, "cancel", &[]),
        ("cancel R --force", Verb::Cancel, "R", &[(FORCE, "")]),
        ("pin", Verb::Pin, "", &[]),
        ("check-token", Verb::CheckToken, "", &[]),
        (
            "check-token --endpoint deploy",
            Verb::CheckToken,
            "",
            &[(ENDPOINT, "deploy")],
        ),
        ("recover", Verb::Recover, "", &[]),
        ("version", Verb::Version, "", &[]),
        ("--version", Verb::Version, "", &[]),
        ("-V", Verb::Version, "", &[]),
        ("help", Verb::Help, "", &[]),
        ("help log", Verb::Help, "log", &[]),
        ("help help", Verb::Help, "help", &[]),
        ("--help", Verb::Help, "", &[]),
        ("deploy --help", Verb::Help, "deploy", &[]),
        ("-h log", Verb::Help, "log", &[]),
        ("log --nonsense -h", Verb::Help, "log", &[]),
    ] {
        assert_eq!(typed(line), Ok(arguments(verb, operand, options)), "{line:?}");
    }
    let named = typed("--env-file serve check").expect("a file of that name");
    assert_eq!(
        (named.verb, named.env_file()),
        (Verb::Check, Some(Path::new("serve")))
    );
}

#[cfg(feature = "terraform")]
#[test]
fn every_command_of_terraform_is_understood() {
    let json = (JSON, "");
    for (line, verb, operand, options) in [
        ("tf-plan --sha S", Verb::TfPlan, "", &[(COMMIT, "S")][..]),
        ("tf-apply --sha=S", Verb::TfApply, "", &[(COMMIT, "S")]),
        ("drift", Verb::Drift, "", &[]),
        (
            "tf-apply --plan-digest D --allow-destroy --sha S --module M --json",
            Verb::TfApply,
            "",
            &[
                (PLAN_DIGEST, "D"),
                (ALLOW_DESTROY, ""),
                (COMMIT, "S"),
                (MODULE, "M"),
                json,
            ],
        ),
    ] {
        assert_eq!(typed(line), Ok(arguments(verb, operand, options)), "{line:?}");
    }
    let named = typed("--env-file serve check").expect("a file of that name");
    assert_eq!(
        (named.verb, named.env_file()),
        (Verb::Check, Some(Path::new("serve")))
    );
}

#[test]
fn options_are_found_by_what_they_are_called() {
    let deploy = typed("deploy 1.2.3 --sha abc1234 --json").expect("a deploy");
    assert_eq!(deploy.operand(), "1.2.3");
    assert_eq!(deploy.value(&BUILT_FROM), Some("abc1234"));
    assert!(deploy.has(&JSON) && !deploy.has(&DRY_RUN) && deploy.value(&DRY_RUN).is_none());
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
    assert_eq!(typed("--env-file F").map(|one| one.verb), Ok(Verb::Serve));
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
    let unknown = command_named("frobnicate").expect_err("no such command");
    assert!(
        unknown.starts_with("there is no command `frobnicate`;"),
        "{unknown}"
    );
    let escape = parse([OsString::from("--\u{1b}[2J")]).expect_err("no such option");
    assert!(!escape.contains('\u{1b}'));
    let odd = || OsString::from_vec(vec![b'1', 0xff]);
    assert!(parse(["deploy".into(), odd()]).is_err());
    assert!(parse(["check-token".into(), "--endpoint".into(), odd()]).is_err());
}

/// The words without which the command makes no sense.
fn needed(spec: &Spec) -> String {
    let operand = spec.operand().filter(|operand| !operand.starts_with('['));
    let options = spec.required.iter().map(|option| format!(" {} X", option.long));
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
        let bare = typed(&format!("{}{needed}", spec.name())).expect("as the table says");
        for option in spec.options {
            let value = option.value.map(|_| " Y").unwrap_or_default();
            let line = format!("{}{needed} {}{value}", spec.name(), option.long);
            assert_ne!(typed(&line), Ok(bare.clone()), "{line}");
        }
        assert_eq!(!needed.is_empty(), typed(spec.name()).is_err(), "{}", spec.name());
    }
}

#[cfg(feature = "terraform")]
#[test]
fn what_makes_no_sense_of_terraform_is_said_with_a_hint() {
    for (line, what, hint) in [
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
    ] {
        let error = typed(line).expect_err(line);
        assert!(error.contains(what) && error.contains(hint), "{line}: {error}");
    }
}
