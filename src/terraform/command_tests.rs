use super::*;
use std::time::Duration;

use crate::config::{GithubApp, Settings};
use crate::secret::Secret;

fn config() -> Config {
    let settings = [
        ("DEPLOYER_CERT_FILE", "/etc/ssl/own.pem"),
        ("DEPLOYER_KEY_FILE", "/etc/ssl/own.key"),
        ("DEPLOYER_REPOSITORY", "x/y"),
        (
            "DEPLOYER_WORKFLOW_REF",
            "x/y/.github/workflows/d.yml@refs/heads/main",
        ),
        ("DEPLOYER_ALLOWED_IPS", "127.0.0.1"),
        ("DEPLOYER_STATE_DIR", "/var/lib/d"),
        ("DEPLOYER_RUNS_DIR", "/opt/runs"),
        ("DEPLOYER_RUNTIME_DIR", "/run/d"),
    ];
    let settings = settings
        .iter()
        .fold(Settings::default(), |all, (name, value)| all.with(name, value));
    Config::from_settings(&settings).unwrap()
}

fn side(account: Option<u32>, docker: &str) -> Side {
    Side {
        account: account.map(|id| id.to_string()),
        access_key_id: Secret::new("id".into()),
        secret_access_key: Secret::new("key".into()),
        docker_host: Some(docker.into()),
    }
}

fn terraform() -> TerraformConfig {
    TerraformConfig {
        endpoints: Vec::new(),
        repo_url: "file:///srv/x".into(),
        reference: "refs/heads/main".into(),
        modules: Vec::new(),
        workdir: "/var/lib/d/tf".into(),
        plan_workdir: "/var/lib/d-plan".into(),
        git: "git".into(),
        terraform: "/bin/sh".into(),
        region: "us-east-1".into(),
        apply: side(None, "unix:///dev/null"),
        plan: Err(String::new()),

        lockfile_readonly: true,
        lock_timeout: Duration::from_secs(1),
        run_max: Duration::from_secs(1),
        require_digest: false,
        destroy_limit: None,
        health_urls: Vec::new(),
        app: Some(GithubApp {
            id: "1".into(),
            installation: "2".into(),
            pem: "/etc/app.pem".into(),
            api_url: "https://api.github.com".into(),
        }),
        cli_config: Some("/etc/hostname".into()),
        plugin_cache: Some("/no/such/cache".into()),
    }
}

fn sandbox(job: Job, side: &Side) -> SandboxSpec {
    let (config, terraform) = (config(), terraform());
    let work = Work::of(&terraform, job);
    let commands = Commands {
        config: &config,
        terraform: &terraform,
        side,
        job,
        work: work.clone(),
    };
    let environment = vec![("PATH", "/nowhere:/usr/bin:/bin".into())];
    let directory = work.seen.join(CHECKOUT);
    let tool = commands.tool(Path::new("sleep"), vec!["1".into()], environment, directory);
    assert_eq!(
        tool.name(),
        "`sleep 1`",
        "the ticket names the tool and not the role"
    );
    tool.sandbox.unwrap()
}

#[test]
fn an_apply_has_no_mounts_of_its_own_and_its_own_user() {
    let own = sandbox(Job::TfApply, &side(Some(65530), "tcp://127.0.0.1:1"));
    assert_eq!((own.mounts, own.groups), (None, vec![]));
    assert_eq!(own.account, Some("65530".to_owned()));
    assert_eq!(own.directory, Path::new("/var/lib/d/tf/work/checkout"));
    assert_eq!(
        sandbox(Job::TfApply, &side(None, "unix:///dev/null")).account,
        None
    );
}

#[test]
fn a_plan_sees_its_work_where_an_apply_has_it_and_only_what_is_there_besides() {
    let mounts = sandbox(Job::TfPlan, &side(Some(65523), "tcp://127.0.0.1:1"))
        .mounts
        .unwrap();
    let (work, read) = mounts.shown.split_last().unwrap();
    assert_eq!(work.real, Path::new("/var/lib/d-plan/work"));
    assert_eq!(work.at, Path::new("/var/lib/d/tf/work"));
    assert!(work.writable);
    assert!(read.iter().all(|show| !show.writable && show.real == show.at));
    let names: Vec<_> = read.iter().map(|show| show.at.file_name().unwrap()).collect();
    assert_eq!(
        names,
        ["sleep", "sh", "git", "hostname"],
        "no cache, no settings of ours, no docker"
    );
}

#[test]
fn a_plan_may_speak_to_the_docker_it_was_given_and_never_as_roots_group() {
    let scratch = std::env::temp_dir().join(format!("commands-{}", std::process::id()));
    std::fs::write(&scratch, "").unwrap();
    let host = format!("unix://{}", scratch.display());
    for (group, groups) in [(65540, vec![65540]), (0, vec![])] {
        std::os::unix::fs::chown(&scratch, None, Some(group)).unwrap();
        let sandbox = sandbox(Job::TfPlan, &side(Some(65523), &host));
        assert_eq!(sandbox.groups, groups);
        assert!(
            sandbox
                .mounts
                .unwrap()
                .shown
                .contains(&MountSpec::read_only(&scratch))
        );
    }
    std::fs::remove_file(&scratch).unwrap();
}

#[test]
fn what_is_ours_is_hidden_wherever_it_was_put() {
    let hides = sandbox(Job::TfPlan, &side(Some(65523), "x"))
        .mounts
        .unwrap()
        .hidden;
    for path in [
        "/etc/ssl/own.key",
        "/etc/ssl/own.pem",
        "/etc/app.pem",
        "/var/lib/d",
        "/opt/runs",
        "/run/d",
        "/var/lib/d/tf",
        "/var/lib/d-plan",
        "/etc/engram-deployer",
    ] {
        assert!(hides.contains(&PathBuf::from(path)), "{path}");
    }
}
