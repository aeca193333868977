//! [module] The NixOS module: parsed by nix, and evaluated with a small lib of our own, and with the real one where
//! FLEET_NIXPKGS_LIB names it.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{run, text};

fn path(below: &str) -> String {
    format!("{}/{below}", env!("CARGO_MANIFEST_DIR"))
}

fn nix_instantiate(arguments: &[&str]) -> Output {
    let output = Command::new("nix-instantiate")
        .args(["--store", "dummy://"])
        .args(arguments)
        .env("NIX_CONFIG", "build-users-group =")
        .output();
    output.unwrap_or_else(|why| panic!("nix-instantiate: {why}: run fleet/tests/run.sh, which installs it"))
}

pub fn evaluate(settings: &Value) -> Result<Value, String> {
    let (file, module, settings) = (path("tests/support/evaluate.nix"), path("nixos/module.nix"), settings.to_string());
    let arguments =
        ["--eval", "--strict", "--json", &file, "--argstr", "settings", &settings, "--arg", "module", &module];
    let output = nix_instantiate(&arguments);
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(text(&output.stderr)),
    }
}

/// The example of the Go tool's README.
fn example() -> Value {
    json!({
        "enable": true,
        "tier": "prod",
        "role": "dns",
        "natsUrl": "nats://nats.example.com:4222",
        "nkeyFile": "/run/secrets/homelab-deploy-nkey",
        "flakeUrl": "git+https://git.example.com/user/nixos-configs.git"
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut settings = example();
    settings[name] = value;
    settings
}

#[test]
fn module_and_flake_are_parsed_by_nix() {
    for file in ["flake.nix", "nixos/module.nix", "tests/support/lib.nix", "tests/support/real.nix"] {
        let output = nix_instantiate(&["--parse", &path(file)]);
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
    }
    let flake = std::fs::read_to_string(path("flake.nix")).unwrap();
    for output in ["packages = ", "apps = ", "nixosModules.default", "default = homelab-deploy"] {
        assert!(flake.contains(output), "{output}");
    }
}

#[test]
fn module_has_each_option_with_its_type_and_default() {
    let options = evaluate(&example()).unwrap()["options"].clone();
    let subjects = json!(["deploy.<tier>.<hostname>", "deploy.<tier>.all", "deploy.<tier>.role.<role>"]);
    let expected = json!({
        "enable": { "type": "bool", "default": false },
        "package": { "type": "package", "default": "/pkgs/homelab-deploy" },
        "hostname": { "type": "str", "default": "from-networking" },
        "tier": { "type": "enum" },
        "role": { "type": "nullOr str", "default": null },
        "natsUrl": { "type": "str" },
        "nkeyFile": { "type": "path" },
        "flakeUrl": { "type": "str" },
        "timeout": { "type": "int", "default": 600 },
        "deploySubjects": { "type": "listOf str", "default": subjects },
        "discoverSubject": { "type": "str", "default": "deploy.discover" },
        "environment": { "type": "attrs", "default": {} },
        "metrics": {
            "enable": { "type": "bool", "default": false },
            "address": { "type": "str", "default": ":9972" },
            "openFirewall": { "type": "bool", "default": false }
        },
        "extraArgs": { "type": "listOf str", "default": [] }
    });
    assert_eq!(options, expected);
}

#[test]
fn module_refuses_wrong_types_unknown_options_and_missing_ones() {
    for (name, value) in [
        ("enable", json!("yes")),
        ("package", json!(7)),
        ("hostname", json!(7)),
        ("tier", json!("staging")),
        ("role", json!(7)),
        ("natsUrl", json!([])),
        ("nkeyFile", json!("relative")),
        ("flakeUrl", json!(7)),
        ("timeout", json!("600")),
        ("deploySubjects", json!("deploy.x")),
        ("discoverSubject", json!(7)),
        ("environment", json!([])),
        ("metrics", json!({ "enable": "yes" })),
        ("metrics", json!({ "address": 9972 })),
        ("metrics", json!({ "openFirewall": 1 })),
        ("extraArgs", json!("--debug")),
        ("unknown", json!(1)),
    ] {
        let why = evaluate(&with(name, value.clone())).expect_err(&format!("{name} = {value}"));
        assert!(why.contains("is not of type") || why.contains("unknown option"), "{name}: {why}");
    }
    for required in ["tier", "natsUrl", "nkeyFile", "flakeUrl"] {
        let mut settings = example();
        settings.as_object_mut().unwrap().remove(required);
        assert!(evaluate(&settings).unwrap_err().contains(&format!("{required} is required")), "{required}");
    }
    assert_eq!(
        evaluate(&json!({ "tier": "test", "natsUrl": "", "nkeyFile": "/x", "flakeUrl": "" })).unwrap()["config"],
        json!({})
    );
}

fn service(settings: &Value) -> Value {
    evaluate(settings).unwrap()["config"]["systemd"]["services"]["homelab-deploy-listener"].clone()
}

#[test]
fn module_makes_the_unit_of_the_example() {
    let unit = service(&example());
    assert_eq!((&unit["restartIfChanged"], &unit["stopIfChanged"]), (&json!(false), &json!(false)));
    let exec = unit["serviceConfig"]["ExecStart"].as_str().unwrap();
    assert_eq!(
        exec,
        "/pkgs/homelab-deploy/bin/homelab-deploy listener --hostname from-networking --tier prod \
         --nats-url nats://nats.example.com:4222 --nkey-file /run/secrets/homelab-deploy-nkey \
         --flake-url git+https://git.example.com/user/nixos-configs.git --timeout 600 --discover-subject deploy.discover \
         --role dns --deploy-subject deploy.<tier>.<hostname> --deploy-subject deploy.<tier>.all \
         --deploy-subject deploy.<tier>.role.<role>"
    );
    assert_eq!(unit["environment"]["HOMELAB_DEPLOY_UNIT_FILE"], "/etc/systemd/system/homelab-deploy-listener.service");
    assert_eq!(unit["serviceConfig"]["StateDirectory"], "homelab-deploy");
    // Our own command line takes what the module writes: it ends at the seed, which is not there.
    let arguments: Vec<&str> = exec.split(' ').skip(1).collect();
    let state = crate::support::Folder::new();
    let ran = run(&[&arguments, &["--state-dir", state.path().to_str().unwrap()][..]].concat());
    assert!(ran.status == 2 && ran.err.contains("the seed file /run/secrets/homelab-deploy-nkey"), "{}", ran.err);
}

#[test]
fn module_passes_each_option_on_once() {
    for (name, value, words) in [
        ("hostname", json!("h"), "--hostname h"),
        ("timeout", json!(7), "--timeout 7"),
        ("deploySubjects", json!(["a.<tier>", "b"]), "--deploy-subject a.<tier> --deploy-subject b"),
        ("discoverSubject", json!("x.y"), "--discover-subject x.y"),
        ("environment", json!({ "A": "1" }), "--pass-env A"),
        ("metrics", json!({ "enable": true }), "--metrics-enabled --metrics-addr :9972"),
        ("extraArgs", json!(["--debug"]), "--debug"),
        ("package", json!("/other"), "/other/bin/homelab-deploy listener"),
    ] {
        let exec = service(&with(name, value))["serviceConfig"]["ExecStart"].as_str().unwrap().to_owned();
        assert_eq!(exec.matches(words).count(), 1, "{name}: {exec}");
    }
    assert_eq!(service(&with("environment", json!({ "A": "1" })))["environment"]["A"], "1");
    let ports =
        |settings: &Value| evaluate(settings).unwrap()["config"]["networking"]["firewall"]["allowedTCPPorts"].clone();
    assert_eq!(
        ports(&with("metrics", json!({ "enable": true, "openFirewall": true, "address": "127.0.0.1:99" }))),
        json!([99])
    );
    assert_eq!(ports(&with("metrics", json!({ "enable": false, "openFirewall": true }))), json!([]));
    assert_eq!(ports(&example()), json!([]));
}

#[test]
fn module_evaluates_with_the_real_lib_where_its_path_is_given() {
    let Ok(lib) = std::env::var("FLEET_NIXPKGS_LIB") else {
        // Only the own small lib then: this is the documented way, and every other test here has used it.
        assert!(evaluate(&example()).is_ok());
        return;
    };
    let (file, module) = (path("tests/support/real.nix"), path("nixos/module.nix"));
    let real = |settings: &Value| {
        let settings = settings.to_string();
        let arguments = [
            "--eval", "--strict", "--json", &file, "--argstr", "settings", &settings, "--arg", "module", &module,
            "--arg", "lib", &lib,
        ];
        nix_instantiate(&arguments)
    };
    assert!(real(&example()).status.success());
    assert!(!real(&with("tier", json!("staging"))).status.success());
}
