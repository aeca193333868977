use super::*;
use crate::config::Settings;

fn config(more: &[(&str, &str)]) -> Config {
    let mut settings = vec![
        ("DEPLOYER_CERT_FILE", "/c.pem"),
        ("DEPLOYER_KEY_FILE", "/k.pem"),
        ("DEPLOYER_REPOSITORY", "x/y"),
        (
            "DEPLOYER_WORKFLOW_REF",
            "x/y/.github/workflows/d.yml@refs/heads/main",
        ),
        ("DEPLOYER_ALLOWED_IPS", "127.0.0.1"),
        ("DEPLOYER_IMAGE", "ghcr.io/x/y"),
    ];
    settings.extend(more);
    let settings = settings
        .iter()
        .fold(Settings::default(), |all, (name, value)| all.with(name, value));
    Config::from_settings(&settings).unwrap()
}

fn ask(dry_run: bool) -> Ask {
    serde_json::from_value(serde_json::json!({"ask": "deploy", "version": "0.5.61", "dry_run": dry_run}))
        .unwrap()
}

fn phases(more: &[(&str, &str)], dry_run: bool) -> Vec<Phase> {
    let config = config(more);
    plan(&ask(dry_run), &config)
        .steps
        .iter()
        .map(|step| step.phase)
        .collect()
}

#[test]
fn on_unraid_each_container_gets_its_template_then_itself_then_health() {
    use Phase::*;
    assert_eq!(
        phases(&[("DEPLOYER_CONTAINERS", "aa=8000,bb")], false),
        [
            Preflight, Pull, Verify, Tag, Template, Update, Health, Template, Update, Health, Health, Cleanup
        ]
    );
}

#[test]
fn with_docker_cleaning_up_comes_last() {
    use Phase::*;
    assert_eq!(
        phases(
            &[
                ("DEPLOYER_BACKEND", "docker"),
                ("DEPLOYER_CONTAINERS", "aa=8000,bb=8001")
            ],
            false
        ),
        [
            Preflight, Pull, Verify, Tag, Update, Health, Update, Health, Health, Cleanup
        ]
    );
}

#[test]
fn a_command_pulls_only_when_told_and_is_taken_at_its_word() {
    use Phase::*;
    let command = [
        ("DEPLOYER_BACKEND", "command"),
        ("DEPLOYER_COMMAND_PATH", "/bin/true"),
        ("DEPLOYER_CONTAINERS", "aa,bb=8001"),
    ];
    assert_eq!(phases(&command, false), [Preflight, Update, Update, Health]);
    let pull = [&command[..], &[("DEPLOYER_PULL", "on")]].concat();
    assert_eq!(
        phases(&pull, false),
        [Preflight, Pull, Verify, Tag, Update, Update, Health]
    );
    let expecting = [&command[..], &[("DEPLOYER_HEALTH_EXPECT", "container")]].concat();
    assert_eq!(
        phases(&expecting, false),
        [Preflight, Update, Health, Update, Health]
    );
}

#[test]
fn a_dry_run_only_looks_and_says_that_it_was_one() {
    let config = config(&[]);
    let plan = plan(&ask(true), &config);
    let phases: Vec<_> = plan.steps.iter().map(|step| (step.phase, step.effect)).collect();
    assert_eq!(phases, [(Phase::Preflight, crate::run::Effect::Looks)]);
    assert_eq!(plan.more["dry_run"], Value::Bool(true));
}

#[test]
fn nothing_changes_before_the_tag() {
    let config = config(&[]);
    let plan = plan(&ask(false), &config);
    let effects: Vec<_> = plan.steps.iter().map(|step| step.effect).collect();
    assert_eq!(effects[..3], [crate::run::Effect::Looks; 3]);
    let (tidies, changes) = effects[3..].split_last().unwrap();
    assert!(
        changes
            .iter()
            .all(|effect| *effect == crate::run::Effect::Changes)
    );
    // What could be gone back to is taken away only when nothing goes back any more.
    assert_eq!(*tidies, crate::run::Effect::Tidies);
}

#[test]
fn another_commit_in_the_image_is_worth_a_warning() {
    assert!(revision_warning(Some("abc1234def"), Some("abc1234")).is_none());
    assert!(revision_warning(Some("abc1234"), Some("abc1234def")).is_none());
    assert!(revision_warning(None, Some("abc1234")).is_none() && revision_warning(Some("x"), None).is_none());
    assert!(
        revision_warning(Some("fff"), Some("abc1234"))
            .unwrap()
            .contains("says fff")
    );
}
