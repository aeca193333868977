//! The same with terraform itself: what a repository's expressions, its own programs and its providers can find out.

use std::path::{Path, PathBuf};

use engram_deployer::jail::JailRequest;
use serde_json::json;

use crate::plan_isolation::sandbox::{Ended, Scene, USER, run};
use crate::support::deployer::Setup;
use crate::support::oidc::Issuer;

/// A repository, and how it is planned.
struct Repository {
    scene: Scene,
    mirror: PathBuf,
}

impl Repository {
    fn new(configuration: &str) -> Repository {
        let scene = Scene::new();
        let repository = Repository {
            mirror: scene.among_programs.join("mirror"),
            scene,
        };
        repository.add("main.tf", configuration);
        let settings = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            repository.mirror.display()
        );
        repository
            .scene
            .file(&repository.mirror.with_file_name("terraform.rc"), &settings);
        std::fs::create_dir_all(&repository.mirror).unwrap();
        repository
    }

    /// A file of the repository.
    fn add(&self, name: &str, content: &str) {
        self.scene
            .file(&self.scene.real.join("checkout").join(name), content);
    }

    /// Runs init and plan in one go, by a shell: sandbox and settings are those of a plan unless `change` says otherwise.
    fn plan(&self, change: impl FnOnce(&mut JailRequest)) -> Ended {
        let program = crate::support::process::installed("terraform", "terraform (HashiCorp's repository)");
        let terraform = program.get_program().to_string_lossy().into_owned();
        let script = format!(
            "{terraform} init -input=false -no-color && {terraform} plan -input=false -no-color -lock=false; echo done"
        );
        let mut order = self.scene.plan(&script);
        let seen = self.scene.seen.display();
        order.sandbox.directory = self.scene.seen.join("checkout");
        for (name, value) in [
            ("TF_DATA_DIR", format!("{seen}/data")),
            ("HOME", format!("{seen}/home")),
            ("TF_IN_AUTOMATION", "1".into()),
            (
                "TF_CLI_CONFIG_FILE",
                self.mirror.with_file_name("terraform.rc").display().to_string(),
            ),
            ("OWN", "something of the plan's own".into()),
        ] {
            order.environment.push((name.into(), value));
        }
        change(&mut order);
        let work = self.scene.real.as_os_str();
        crate::support::process::run(
            std::process::Command::new("chown")
                .args(["-R", &USER.to_string()])
                .arg(work),
        );
        run(&order)
    }

    /// Changes an order to one without a sandbox.
    fn without_sandbox(&self, order: &mut JailRequest) {
        order.sandbox.mounts = None;
        order.sandbox.directory = self.scene.real.join("checkout");
        let (seen, real) = (
            self.scene.seen.display().to_string(),
            self.scene.real.display().to_string(),
        );
        for (_, value) in &mut order.environment {
            *value = value.replace(&seen, &real);
        }
    }
}

/// A script that poses as the provider `address` in the folder `root` of providers.
fn provider(scene: &Scene, root: &Path, address: &str, script: &str) {
    let name = address.rsplit('/').next().unwrap();
    let file = format!("{address}/1.0.0/linux_amd64/terraform-provider-{name}_v1.0.0");
    scene.file(&root.join(file), &format!("#!/bin/sh\n{script}\n"));
}

fn requiring(address: &str) -> String {
    format!(
        "terraform {{\n  required_providers {{\n    it = {{ source = \"{address}\" }}\n  }}\n}}\ndata \"it_thing\" \"x\" {{\n  provider = it\n}}\n"
    )
}

#[test]
fn an_expression_in_a_pull_request_reads_nothing_of_ours() {
    let deployer = Setup::new(&Issuer::start()).start();
    let repository = Repository::new("");
    let scene = &repository.scene;
    let daemon = format!("/proc/{}/environ", deployer.pid());
    let others = ["/proc/1/environ", "/proc/self/environ", &daemon].map(PathBuf::from);
    let paths: Vec<_> = scene.secrets.iter().chain(&others).collect();
    repository.add(
        "main.tf.json",
        &json!({
            "locals": {"paths": paths},
            "output": {"read": {"value": "${[for path in local.paths : try(file(path), \"unreadable\")]}"}},
        })
        .to_string(),
    );
    let without = repository.plan(|order| repository.without_sandbox(order));
    assert_eq!(
        without.said.matches(&scene.canary).count(),
        scene.secrets.len(),
        "{without:?}"
    );
    let within = repository.plan(|_| {});
    assert!(
        !within.said.contains(&scene.canary) && !within.said.contains("DEPLOYER_"),
        "{within:?}"
    );
    assert_eq!(
        within.said.matches("\"unreadable\"").count(),
        scene.secrets.len() + 2,
        "{within:?}"
    );
    assert!(within.said.contains("something of the plan's own"), "{within:?}");
}

#[test]
fn a_program_in_a_pull_request_is_not_taken_for_a_provider() {
    let repository = Repository::new(&requiring("example.com/evil/it"));
    let scene = &repository.scene;
    let committed = scene.real.join("checkout/terraform.d/plugins");
    provider(
        scene,
        &committed,
        "example.com/evil/it",
        "echo ran > \"$HOME.ran\"",
    );
    let ran = scene.real.join("home.ran");
    let within = repository.plan(|_| {});
    assert!(
        within.said.contains("example.com/evil/it") && !ran.exists(),
        "{within:?}"
    );
    // Terraform's own settings would have run it.
    let settings =
        |order: &mut JailRequest| order.environment.retain(|(name, _)| name != "TF_CLI_CONFIG_FILE");
    let careless = repository.plan(settings);
    assert!(ran.exists(), "{careless:?}");
}

#[test]
fn a_provider_that_runs_in_a_plan_finds_nothing_of_ours() {
    let repository = Repository::new(&requiring("example.com/spies/it"));
    let scene = &repository.scene;
    let search = format!("({}; echo searched) > \"$HOME.found\" 2>&1", scene.search());
    provider(scene, &repository.mirror, "example.com/spies/it", &search);
    let found = scene.real.join("home.found");
    let without = repository.plan(|order| repository.without_sandbox(order));
    let text = std::fs::read_to_string(&found).unwrap_or_else(|_| panic!("{without:?}"));
    assert!(
        text.matches(&scene.canary).count() >= scene.secrets.len(),
        "{text}"
    );
    std::fs::remove_file(&found).unwrap();
    std::fs::remove_dir_all(scene.real.join("data")).unwrap();
    let within = repository.plan(|_| {});
    let text = std::fs::read_to_string(&found).unwrap_or_else(|_| panic!("{within:?}"));
    assert!(
        text.ends_with("searched\n") && !text.contains(&scene.canary),
        "{text}"
    );
}
