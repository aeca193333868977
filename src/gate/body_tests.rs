use super::*;

fn sentence(body: &str) -> Option<String> {
    read(&BodyRule::Deploy, body.as_bytes()).err().map(|refusal| {
        assert_eq!(refusal.status, 400);
        refusal.sentence.into_owned()
    })
}

#[test]
fn a_good_body_is_what_it_says() {
    let body = br#"{"version":"0.5.61","sha":"abc1234","dry_run":true,"force":true,"unknown":{"x":[1]}}"#;
    let ask = |body: &[u8]| match read(&BodyRule::Deploy, body).unwrap() {
        Task::Deploy(ask) => ask,
        #[cfg(feature = "terraform")]
        other => panic!("{other:?}"),
    };
    let all = ask(body);
    assert_eq!(
        (
            all.version.to_string(),
            all.sha.unwrap().to_string(),
            all.dry_run,
            all.force
        ),
        ("0.5.61".into(), "abc1234".into(), true, true)
    );
    let least = ask(br#"{"version":"1.0.0"}"#);
    assert_eq!((least.sha, least.dry_run, least.force), (None, false, false));
}

#[test]
fn a_version_is_three_plain_numbers() {
    for good in ["0.0.0", "0.5.61", "10.20.30", "20260102.1.18446744073709551615"] {
        assert_eq!(sentence(&format!(r#"{{"version":"{good}"}}"#)), None, "{good}");
    }
    for bad in [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "1.2.",
        ".1.2",
        "1..2",
        "v1.2.3",
        "1.2.3-rc1",
        "1.2.3+b",
        "01.2.3",
        "1.02.3",
        "1.2.00",
        " 1.2.3",
        "1.2.3 ",
        "1.2.3\\n",
        "1.2.x",
        "-1.2.3",
        "+1.2.3",
        "1.2.3/../x",
        "1.2.18446744073709551616",
        "\u{661}.2.3",
        "latest",
    ] {
        assert_eq!(
            sentence(&format!(r#"{{"version":"{bad}"}}"#)),
            Some(VersionRule::SENTENCE.into()),
            "{bad:?}"
        );
    }
    for bad in [
        "{}",
        r#"{"version":1}"#,
        r#"{"version":null}"#,
        r#"{"version":["1.2.3"]}"#,
        r#"{"versions":"1.2.3"}"#,
    ] {
        assert_eq!(sentence(bad), Some(VersionRule::SENTENCE.into()), "{bad}");
    }
}

#[test]
fn versions_compare_by_their_numbers_and_not_as_text() {
    let numbers = |text: &str| Version::try_from(text.to_owned()).unwrap().numbers();
    assert_eq!(numbers("0.5.61"), [0, 5, 61]);
    assert!(numbers("0.5.9") < numbers("0.5.10") && numbers("0.9.9") < numbers("1.0.0"));
}

#[test]
fn a_commit_is_lower_case_hex() {
    for good in ["abc1234", &"0123456789abcdef".repeat(3)[..40]] {
        assert_eq!(
            sentence(&format!(r#"{{"version":"1.2.3","sha":"{good}"}}"#)),
            None,
            "{good}"
        );
    }
    for bad in [
        "\"\"",
        "\"abc123\"",
        "\"ABC1234\"",
        "\"abc123g\"",
        "\"abc1234 \"",
        "null",
        "7",
        "[]",
    ] {
        assert_eq!(
            sentence(&format!(r#"{{"version":"1.2.3","sha":{bad}}}"#)),
            Some(ShaRule::SENTENCE.into()),
            "{bad}"
        );
    }
    assert_eq!(
        sentence(&format!(r#"{{"version":"1.2.3","sha":"{}"}}"#, "a".repeat(41))),
        Some(ShaRule::SENTENCE.into())
    );
}

#[test]
fn a_mistyped_member_does_not_count_as_absent() {
    for bad in ["\"true\"", "1", "0", "null", "[]"] {
        let body = format!(r#"{{"version":"1.2.3","dry_run":{bad}}}"#);
        assert_eq!(
            sentence(&body),
            Some("dry_run must be true or false".into()),
            "{bad}"
        );
        let body = format!(r#"{{"version":"1.2.3","force":{bad}}}"#);
        assert_eq!(
            sentence(&body),
            Some("force must be true or false".into()),
            "{bad}"
        );
    }
}

#[test]
fn a_body_is_one_object_with_each_name_once() {
    for bad in [
        "",
        "version=1.2.3",
        "\"1.2.3\"",
        r#"["1.2.3"]"#,
        r#"{"version":"1.2.3","version":"1.2.4"}"#,
        r#"{"version":"1.2.3","\u0076ersion":"1.2.4"}"#,
        r#"{"version":"1.2.3","dry_run":true,"dry_run":false}"#,
        r#"{"version":"1.2.3"} {"version":"1.2.3"}"#,
    ] {
        assert_eq!(
            sentence(bad),
            Some("body must be a JSON object with each name once".into()),
            "{bad}"
        );
    }
}

#[test]
fn a_record_cannot_bring_back_what_no_body_could_hold() {
    assert!(serde_json::from_str::<Version>("\"1.2.3/../x\"").is_err());
    assert!(serde_json::from_str::<Sha>("\"$(id)\"").is_err());
    let ask = read(&BodyRule::Deploy, br#"{"version":"1.2.3","sha":"abc1234"}"#).unwrap();
    let text = serde_json::to_string(&ask).unwrap();
    assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), ask);
}

#[test]
fn a_known_member_in_another_spelling_is_refused_and_an_unknown_one_is_not() {
    let asked = |name: &str| sentence(&format!(r#"{{"version":"1.2.3","{name}":true}}"#));
    for (name, known) in [
        ("dryrun", "dry_run"),
        ("dry-run", "dry_run"),
        ("dryRun", "dry_run"),
        ("_dry__run-", "dry_run"),
        ("\\u0064ryrun", "dry_run"),
        ("Force", "force"),
        ("VERSION", "version"),
        ("plan-digest", "plan_digest"),
        ("approvedPR", "approved_pr"),
    ] {
        let refused = format!("{known} must be spelled just so");
        assert_eq!(asked(name), Some(refused), "{name}");
    }
    for name in [
        "dry_run",
        "force",
        "",
        "-_",
        "dry run",
        "dry_runs",
        "dr\u{443}run",
    ] {
        assert_eq!(asked(name), None, "{name}");
    }
}
