use super::*;
use crate::gate::Task;
use crate::run::testing::least;

/// As `main` joins them.
fn plan<'a>(order: &'a RunRequest, config: &'a Config) -> Plan<'a> {
    match &order.task {
        Task::Deploy(task) => super::plan(order, task, config),
        other => panic!("{other:?}"),
    }
}

fn config(more: &[(&str, &str)]) -> Config {
    let least = least().with("DEPLOYER_IMAGE", "ghcr.io/x/y");
    let settings = more
        .iter()
        .fold(least, |all, (name, value)| all.with(name, value));
    Config::from_settings(&settings).unwrap()
}

fn order(more: serde_json::Value) -> RunRequest {
    let mut task = serde_json::json!({"task": "deploy", "version": "0.5.61"});
    task.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let id = RunId::parse("20260102T030405Z-01234567").unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH;
    RunRequest::local(serde_json::from_value(task).unwrap(), &id, 0, "root", now)
}

fn phases(more: &[(&str, &str)], dry_run: bool) -> Vec<Phase> {
    let config = config(more);
    plan(&order(serde_json::json!({"dry_run": dry_run})), &config)
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
            Preflight, Pull, Verify, Tag, Verify, Template, Update, Health, Template, Update, Health, Health,
            Cleanup
        ]
    );
}

#[test]
fn with_docker_no_template_is_written() {
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
            Preflight, Pull, Verify, Tag, Verify, Update, Health, Update, Health, Health, Cleanup
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
        [Preflight, Pull, Verify, Tag, Update, Update, Health, Cleanup]
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
    let order = order(serde_json::json!({"dry_run": true}));
    let plan = plan(&order, &config);
    let phases: Vec<_> = plan.steps.iter().map(|step| (step.phase, step.effect)).collect();
    assert_eq!(phases, [(Phase::Preflight, crate::run::Effect::Looks)]);
    assert_eq!(plan.more["dry_run"], Value::Bool(true));
}

#[test]
fn nothing_changes_before_the_tag_and_cleaning_up_fails_nothing() {
    use crate::run::Effect::*;
    let config = config(&[("DEPLOYER_CONTAINERS", "aa")]);
    let order = order(serde_json::json!({}));
    let plan = plan(&order, &config);
    let effects: Vec<_> = plan.steps.iter().map(|step| step.effect).collect();
    assert_eq!(
        effects,
        [
            // What could be gone back to is taken away only when nothing goes back any more.
            Looks, Looks, Looks, Changes, Looks, Changes, Changes, Changes, Changes, Tidies
        ]
    );
}

#[test]
fn a_signature_is_checked_before_anything_is_touched() {
    use crate::run::Effect::*;
    let config = config(&[
        ("DEPLOYER_COSIGN_PATH", "/usr/bin/cosign"),
        ("DEPLOYER_COSIGN_IDENTITY", "https://example.org/x"),
        ("DEPLOYER_COSIGN_ISSUER", "https://example.org"),
    ]);
    let order = order(serde_json::json!({}));
    let plan = plan(&order, &config);
    let first: Vec<_> = plan.steps.iter().take(5).map(|step| step.effect).collect();
    assert_eq!(first, [Looks, Looks, Looks, Looks, Changes]);
    assert_eq!(plan.steps[3].phase, Phase::Verify);
}

#[test]
fn force_asks_not_whether_the_version_is_there_already() {
    let config = config(&[]);
    let [plain, forced] = [false, true].map(|force| {
        let order = order(serde_json::json!({"force": force}));
        plan(&order, &config).steps.len()
    });
    assert_eq!(plain, forced + 1);
}
