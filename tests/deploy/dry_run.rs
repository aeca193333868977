//! A dry run goes through all gates and all checks, and changes nothing.

use serde_json::{Value, json};

use crate::support::curl::Answer;
use crate::support::docker::docker;
use crate::support::host::Host;

fn dry_run(host: &Host) -> Answer {
    host.start_deploy(json!({"version": "2.0.0", "dry_run": true}))
        .finish()
}

/// Everything on the host that a deploy could change.
fn everything(host: &Host) -> Vec<String> {
    let name = format!("name=^/{}", host.name);
    let image = format!("reference={}", host.registry.image());
    let mut all = vec![
        docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            &name,
            "--format",
            "{{.ID}} {{.Names}} {{.Image}} {{.State}}",
        ]),
        docker(&[
            "images",
            "--no-trunc",
            "--filter",
            &image,
            "--format",
            "{{.ID}} {{.Repository}}:{{.Tag}}",
        ]),
        docker(&[
            "inspect",
            "--format",
            "{{.State.StartedAt}} {{.HostConfig.RestartPolicy}}",
            &host.name,
        ]),
    ];
    if let Some(unraid) = &host.unraid {
        all.push(unraid.read(&host.name));
        all.push(format!("{:?}", unraid.calls()));
        let files = std::fs::read_dir(unraid.templates()).expect("the templates");
        all.push(format!("{} files", files.count()));
    }
    all
}

#[test]
fn a_dry_run_changes_nothing_says_what_it_saw_and_is_in_runs_alone() {
    let promise = |host: Host| {
        let before = everything(&host);
        let answer = dry_run(&host);
        answer.assert_ok();
        assert_eq!(everything(&host), before);
        assert_eq!(answer.phases(), ["queued", "preflight"]);
        let outcome = answer.outcome();
        assert_eq!(outcome["dry_run"], true);
        let said = answer.body();
        assert!(
            said.contains("answers") && said.contains(&format!("{}: is running, image sha256:", host.name)),
            "{said}"
        );
        if host.unraid.is_some() {
            assert!(
                said.contains(&format!("names {}:1.0.0", host.registry.image())),
                "{said}"
            );
        }
        assert_eq!(host.deployer.status(), None);
        let runs = host.deployer.runs_document();
        let listed = &runs["runs"][0];
        assert_eq!(
            (&listed["run_id"], &listed["dry_run"]),
            (&outcome["run_id"], &json!(true)),
            "{runs}"
        );
        assert_eq!(runs["running"], Value::Null);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| promise(Host::docker()));
        scope.spawn(|| promise(Host::unraid()));
    });
}

#[test]
fn a_dry_run_reports_every_fault_and_fails() {
    let mut second = None;
    let host = Host::unraid_with(|setup| second = Some(super::Second::add(setup)));
    let second = second.expect("a second container");
    let unraid = host.unraid.as_ref().expect("Unraid's part");
    unraid.template(&host.name, "redis:7", host.port);
    let second_template = unraid.templates().join(format!("my-{}.xml", second.name));
    std::fs::remove_file(second_template).expect("removing a template");
    let before = everything(&host);
    let answer = dry_run(&host);
    let error = answer.assert_failed();
    assert!(error.contains("its image is \"redis:7\""), "{error}");
    let said = answer.body();
    assert!(
        said.contains(&format!("has <Name>{}</Name>", second.name)),
        "the second fault as well: {said}"
    );
    assert_eq!(everything(&host), before);
    assert_eq!(host.deployer.status(), None);
}
