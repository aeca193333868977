use super::*;
use crate::cli::commands::{BUILT_FROM, DRY_RUN, ENDPOINT, FOLLOW, FORCE, JSON, REPLACE};
#[cfg(feature = "terraform")]
use crate::cli::terraform::{ALLOW_DESTROY, COMMIT, MODULE, PLAN_DIGEST};
use std::os::unix::ffi::OsStringExt;

fn typed(line: &str) -> Result<Args, String> {
    parse(line.split_whitespace().map(OsString::from)).map_err(said)
}

fn said(CommandError(exit, lines): CommandError) -> String {
    assert_eq!(exit, ExitStatus::Usage);
    lines.join("\n")
}

/// A command's name, its operand, and its options with their values.
type Parts = (&'static str, String, Vec<(&'static str, OsString)>);

fn parts(line: &str) -> Parts {
    let typed = typed(line).expect(line);
    let operand = typed.operand.clone();
    (typed.spec.name(), operand, typed.options)
}

/// A command with its operand and these options, and no others.
fn arguments(name: &'static str, operand: &str, options: &[(Opt, &str)]) -> Parts {
    let option = |(option, value): &(Opt, &str)| (option.long(), OsString::from(value));
    (name, operand.to_owned(), options.iter().map(option).collect())
}

#[test]
fn every_command_is_understood() {
    let (sha, dry_run, json) = ((BUILT_FROM, "abc1234"), (DRY_RUN, ""), (JSON, ""));
    for (line, name, operand, options) in [
        ("", "serve", "", &[][..]),
        ("serve", "serve", "", &[]),
        ("check", "check", "", &[]),
        ("init", "init", "", &[]),
        ("deploy 0.5.61", "deploy", "0.5.61", &[]),
        (
            "deploy --sha abc1234 0.5.61 --dry-run --json",
            "deploy",
            "0.5.61",
            &[sha, dry_run, json],
        ),
        ("deploy 0.5.61 --sha=abc1234", "deploy", "0.5.61", &[sha]),
        ("deploy 0.5.61 --force", "deploy", "0.5.61", &[(REPLACE, "")]),
        ("deploy -- 0.5.61", "deploy", "0.5.61", &[]),
        ("rollback", "rollback", "", &[]),
        ("rollback --json --dry-run", "rollback", "", &[json, dry_run]),
        ("history", "history", "", &[]),
        ("history --json", "history", "", &[json]),
        ("status", "status", "", &[]),
        ("status --json", "status", "", &[json]),
        ("runs --json", "runs", "", &[json]),
        ("log R", "log", "R", &[]),
        ("log -f R", "log", "R", &[(FOLLOW, "")]),
        ("log R --follow --json", "log", "R", &[(FOLLOW, ""), json]),
        ("cancel R", "cancel", "R", &[]),
        ("cancel cancel", "cancel", "cancel", &[]),
        ("cancel R --force", "cancel", "R", &[(FORCE, "")]),
        ("pin", "pin", "", &[]),
        ("check-token", "check-token", "", &[]),
        (
            "check-token --endpoint deploy",
            "check-token",
            "",
            &[(ENDPOINT, "deploy")],
        ),
        ("recover", "recover", "", &[]),
        ("version", "version", "", &[]),
        ("--version", "version", "", &[]),
        ("-V", "version", "", &[]),
        ("help", "help", "", &[]),
        ("help log", "help", "log", &[]),
        ("help help", "help", "help", &[]),
        ("--help", "help", "", &[]),
        ("deploy --help", "help", "deploy", &[]),
        ("-h log", "help", "log", &[]),
        ("log --nonsense -h", "help", "log", &[]),
    ] {
        assert_eq!(parts(line), arguments(name, operand, options), "{line:?}");
    }
    let named = typed("--env-file serve check").expect("a file of that name");
    assert_eq!(
        (named.spec.name(), named.env_file()),
        ("check", Some(Path::new("serve")))
    );
}

#[cfg(feature = "terraform")]
#[test]
fn every_command_of_terraform_is_understood() {
    let json = (JSON, "");
    for (line, name, operand, options) in [
        ("tf-plan --sha S", "tf-plan", "", &[(COMMIT, "S")][..]),
        ("tf-apply --sha=S", "tf-apply", "", &[(COMMIT, "S")]),
        ("drift", "drift", "", &[]),
        (
            "tf-apply --plan-digest D --allow-destroy --sha S --module M --json",
            "tf-apply",
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
        assert_eq!(parts(line), arguments(name, operand, options), "{line:?}");
    }
    let named = typed("--env-file serve check").expect("a file of that name");
    assert_eq!(
        (named.spec.name(), named.env_file()),
        ("check", Some(Path::new("serve")))
    );
}

#[test]
fn options_are_found_by_what_they_are_called() {
    let deploy = typed("deploy 1.2.3 --sha abc1234 --json").expect("a deploy");
    assert_eq!(deploy.operand, "1.2.3");
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
            typed(line).expect(line).env_file(),
            Some(Path::new("F")),
            "{line}"
        );
    }
    assert_eq!(typed("--env-file F").expect("a command").spec.name(), "serve");
    let odd = OsString::from_vec(b"--env-file=/x/\xff".to_vec());
    let odd = parse([OsString::from("check"), odd]).expect("a path is bytes");
    let path = odd.env_file().expect("a file");
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
    let unknown = said(command_named("frobnicate").expect_err("no such command"));
    assert!(
        unknown.starts_with("there is no command `frobnicate`;"),
        "{unknown}"
    );
    let escape = said(parse([OsString::from("--\u{1b}[2J")]).expect_err("no such option"));
    assert!(!escape.contains('\u{1b}'));
    let odd = || OsString::from_vec(vec![b'1', 0xff]);
    assert!(parse(["deploy".into(), odd()]).is_err());
    assert!(parse(["check-token".into(), "--endpoint".into(), odd()]).is_err());
}

/// The words without which the command makes no sense.
fn needed(spec: &Spec) -> String {
    let operand = spec.operand().filter(|operand| !operand.starts_with('['));
    let options = spec
        .options
        .iter()
        .filter(|option| spec.usage.contains(option.usage));
    let options = options.map(|option| format!(" {} X", option.long()));
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
        let bare = parts(&format!("{}{needed}", spec.name()));
        let others = |option: &&Opt| !spec.usage.contains(option.usage);
        for option in spec.options.iter().filter(others) {
            let value = option.value().map(|_| " Y").unwrap_or_default();
            let line = format!("{}{needed} {}{value}", spec.name(), option.long());
            assert_ne!(parts(&line), bare, "{line}");
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
