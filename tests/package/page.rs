//! The settings page: every setting is on it, nothing of a run acts as part of it, no secret is shown, and what it saves is
//! what the daemon reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use engram_deployer::config::{Preset, is_secret, variables};
use engram_deployer::limits::LEEWAY;
use serde_json::Value;

use super::repository;
use crate::support::deployer::AUDIENCE;
use crate::support::oidc::Issuer;
use crate::support::process::{installed, output_of, run, text};
use crate::support::server::{HOME, PLUGIN, RC, Server};
use crate::support::{free_port, wait_until};

/// Not for a server where the plugin starts the daemon.
const NOT_ON_THE_PAGE: [&str; 1] = ["DEPLOYER_IDLE_EXIT"];

#[test]
fn the_packages_php_is_read_by_php() {
    let plugin = repository("package/root/usr/local/emhttp/plugins/engram-deployer");
    let mut files: Vec<_> = fs::read_dir(plugin.join("include"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(plugin.join("engram-deployer.page"));
    files.push(plugin.join("scripts/rehearse"));
    assert!(files.len() > 4);
    for file in files {
        run(installed("php", "php-cli").arg("-l").arg(file));
    }
}

/// The fields of the page: by the variable's name, label, default, help and kind.
fn fields() -> BTreeMap<String, Vec<String>> {
    let file = repository("package/root/usr/local/emhttp/plugins/engram-deployer/include/fields.php");
    let print = "echo json_encode(array_merge(...array_values(require $argv[1])));";
    let json = run(installed("php", "php-cli").args(["-r", print, "--"]).arg(file));
    let fields: BTreeMap<String, Vec<String>> = serde_json::from_str(&json).expect("a table of fields");
    fields
        .into_iter()
        .map(|(name, field)| (format!("DEPLOYER_{name}"), field))
        .collect()
}

#[test]
fn the_page_of_the_package_has_every_setting_with_its_default_and_knows_the_secrets() {
    let fields = fields();
    let known: BTreeSet<&str> = variables().map(|(name, _)| *name).collect();
    for name in fields.keys() {
        assert!(known.contains(name.as_str()), "{name} is no setting");
    }
    for (name, preset) in variables().filter(|(name, _)| !NOT_ON_THE_PAGE.contains(name)) {
        let field = fields
            .get(*name)
            .unwrap_or_else(|| panic!("{name} is not on the page"));
        let expected: &str = match preset {
            Preset::Text(text) => text,
            Preset::Required => "required",
            Preset::Unset => &field[1],
        };
        assert_eq!(field[1], expected, "{name}");
        let kind = field.get(3).map_or("", String::as_str);
        assert_eq!(kind == "*", is_secret(name), "{name}");
        assert!(
            kind.len() < 2 || kind.split(',').any(|choice| choice == field[1]),
            "{name}"
        );
    }
}

const HOSTILE: &str = "<script>alert(1)</script>'\"&<img src=x onerror=alert(2)>";

/// What the page shows when it is rendered as Unraid renders it.
fn page(server: &Server) -> String {
    for name in ["router.php", "update.php"] {
        let file = repository("tests/support/unraid").join(name);
        server.write(&format!("/tmp/unraid/{name}"), fs::read(file).unwrap());
    }
    server.must(&["php", "/tmp/unraid/router.php"])
}

#[test]
fn nothing_that_a_run_or_the_settings_say_acts_as_part_of_the_packages_page() {
    let server = Server::with_plugin();
    let run = serde_json::json!({
        "status": "fail", "error": HOSTILE, "version": HOSTILE, "sha": HOSTILE, "endpoint": HOSTILE, "module": HOSTILE,
        "run_id": HOSTILE, "started_at": HOSTILE, "accepted_at": HOSTILE, "finished_at": HOSTILE, "duration_ms": 12,
        "origin": {"from": "token", "actor": HOSTILE, "repository": HOSTILE},
    });
    let strange = serde_json::json!({"status": {"a": 1}, "error": ["x"], "origin": "x", "version": null, "duration_ms": HOSTILE});
    let document =
        serde_json::json!({"running": run, "queued": [run, 7, strange], "runs": [run, strange, "x", null]});
    server.write("/run/engram-deployer/public/runs.json", document.to_string());
    let path = format!("{HOME}/engram-deployer.cfg");
    let settings = format!(
        "{}DEPLOYER_IMAGE='{HOSTILE}'\nDEPLOYER_ROLLBACK=\"<b>off</b>\"\nDEPLOYER_TF_AWS_SECRET_ACCESS_KEY=\"hunter2\"\n",
        server.read(&path)
    );
    server.write(
        &path,
        settings.replace(
            &format!("'{HOSTILE}'"),
            "\"<script>alert(1)</script>'&<img src=x>\"",
        ),
    );
    let page = page(&server);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(page.contains("&lt;b&gt;off&lt;/b&gt;"), "{page}");
    for active in [
        "<script>alert",
        "<img src=x",
        "<b>off",
        "hunter2",
        "Warning:",
        "Fatal error",
        "Deprecated:",
        "Notice:",
    ] {
        assert!(!page.contains(active), "{active} is in {page}");
    }
    assert!(
        page.contains("leave this empty to keep it"),
        "that a secret is set is shown"
    );
}

#[test]
fn the_packages_page_shows_both_pins_and_what_check_finds() {
    let server = Server::with_plugin();
    let page = page(&server);
    for line in server
        .must(&["engram-deployer", "pin"])
        .lines()
        .filter(|line| !line.starts_with("the same"))
    {
        let pin = line.split_once(":  ").expect("a name and a pin").1.trim();
        assert!(page.contains(pin), "{pin} is not in {page}");
    }
    let check = server.must(&["php", &format!("{PLUGIN}/include/check.php")]);
    assert!(
        check.contains("ERROR  settings: DEPLOYER_REPOSITORY is not set"),
        "{check}"
    );
}

/// Posts a form to the stand-in for update.php; what Unraid would show.
fn post(server: &Server, fields: &[(&str, &str)]) -> String {
    for name in ["router.php", "update.php"] {
        let file = repository("tests/support/unraid").join(name);
        server.write(&format!("/tmp/unraid/{name}"), fs::read(file).unwrap());
    }
    let form: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let fixed = serde_json::json!({
        "#file": "engram-deployer/engram-deployer.cfg", "#include": "/plugins/engram-deployer/include/save.php",
        "#cleanup": "true", "#command": "/plugins/engram-deployer/scripts/apply",
    });
    let mut form = Value::Object(form);
    for (name, value) in fixed.as_object().unwrap() {
        form[name] = value.clone();
    }
    let output = output_of(
        &mut server.command(&["php", "/tmp/unraid/update.php"]),
        form.to_string().as_bytes(),
    );
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn what_the_packages_page_saves_is_what_the_daemon_reads() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    let path = format!("{HOME}/engram-deployer.cfg");
    let before = server.read(&path);
    server.write(
        &path,
        format!(
            "{before}DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY=a/b+c=\nDEPLOYER_ROLLBACK=off\nSOMETHING=\"else\"\n"
        ),
    );
    let said = post(
        &server,
        &[
            ("DEPLOYER_IMAGE", "ghcr.io/a/b"),
            (
                "DEPLOYER_CLAIMS",
                "  repository_id=1,environment=it's & (that); $HOME | # so ",
            ),
            ("DEPLOYER_KEEP_RUNS", ""),
            ("DEPLOYER_ROLLBACK", "off"),
            ("DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY", ""),
            ("SHELL", "/bin/evil"),
        ],
    );
    assert!(said.contains("saved; it does not run"), "{said}");
    let saved = server.read(&path);
    for line in [
        "DEPLOYER_IMAGE=\"ghcr.io/a/b\"",
        "DEPLOYER_CLAIMS=\"repository_id=1,environment=it's & (that); $HOME | # so\"",
        "DEPLOYER_ROLLBACK=\"off\"",
        "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY=\"a/b+c=\"",
        "SOMETHING=\"else\"",
    ] {
        assert!(
            saved.lines().any(|found| found == line),
            "{line} is not in {saved}"
        );
    }
    assert!(
        !saved.contains("KEEP_RUNS") && !saved.contains("SHELL"),
        "{saved}"
    );
    assert!(server.must(&["stat", "-c", "%a", &path]).starts_with("600"));
    let check = server.run(&["engram-deployer", "check"]);
    let check = text(&check.stdout);
    assert!(check.contains("ok     settings: from"), "{check}");

    // A secret goes when that is asked for, and only then.
    post(
        &server,
        &[
            ("DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY", ""),
            ("#forget", "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY"),
        ],
    );
    assert!(!server.read(&path).contains("SECRET"));
}

#[test]
fn what_the_packages_page_cannot_save_as_it_is_changes_nothing() {
    let server = Server::with_plugin();
    let path = format!("{HOME}/engram-deployer.cfg");
    let before = server.read(&path);
    for value in [
        "a\"\nDEPLOYER_BACKEND=\"command",
        "a\"b",
        "a\\",
        "${PATH}",
        "a\u{1b}[2J",
        "a\u{85}b",
        "a\u{9b}b",
        "a\0b",
    ] {
        let said = post(&server, &[("DEPLOYER_IMAGE", value), ("DEPLOYER_LOG", "debug")]);
        assert!(
            said.contains("nothing was saved") && said.contains("DEPLOYER_IMAGE"),
            "{value:?}: {said}"
        );
        assert!(!said.contains("does not run"), "{value:?}: {said}");
        assert_eq!(server.read(&path), before, "{value:?}");
    }
    // Bytes that are no text, which JSON cannot bring.
    let include = r#"function write_log($text) { echo $text; }
        $_POST = ['#file' => 'x', 'DEPLOYER_IMAGE' => "a\xffb"]; $save = true; include $argv[1]; var_dump($save);"#;
    let said = server.must(&["php", "-r", include, &format!("{PLUGIN}/include/save.php")]);
    assert!(
        said.contains("DEPLOYER_IMAGE is not UTF-8") && said.contains("bool(false)"),
        "{said}"
    );
    // What stands in such a file would be lost.
    server.write(&path, "DEPLOYER_IMAGE=\"a\nthis is (no setting\n");
    let broken = server.read(&path);
    let said = post(&server, &[("DEPLOYER_LOG", "debug")]);
    assert!(said.contains("mend it by hand"), "{said}");
    assert_eq!(server.read(&path), broken);
    assert!(page(&server).contains("cannot be edited here"));
}

#[test]
fn what_the_packages_page_did_is_still_said_when_unraid_has_loaded_it_anew() {
    let server = Server::with_plugin();
    assert!(!page(&server).contains("engram-said"), "nothing was done yet");
    post(&server, &[("DEPLOYER_IMAGE", "a\"b")]);
    let shown = page(&server);
    assert!(
        shown.contains("nothing was saved") && shown.contains("DEPLOYER_IMAGE has a quote"),
        "{shown}"
    );
    post(&server, &[("DEPLOYER_LOG", "debug")]);
    assert!(page(&server).contains("saved; it does not run"));
    server.must(&[&format!("{PLUGIN}/scripts/control"), "start"]);
    assert!(page(&server).contains("ended at once"));
    server.must(&[&format!("{PLUGIN}/scripts/control"), "dance; reboot"]);
    assert!(page(&server).contains("no such button"));
    // Not for ever.
    server.must(&["touch", "-d", "10 minutes ago", "/run/engram-deployer.said"]);
    assert!(!page(&server).contains("engram-said"));
}

#[test]
fn nothing_that_the_packages_buttons_say_ends_the_script_that_unraid_puts_it_in() {
    let server = Server::with_plugin();
    let path = format!("{HOME}/engram-deployer.cfg");
    let hostile = "DEPLOYER_RUNS_DIR=/mnt/</script><img src=x>\\";
    let settings = server.read(&path);
    server.write(
        &path,
        settings.replace("DEPLOYER_RUNS_DIR=\"/var/lib/engram-deployer/runs\"", hostile),
    );
    let said = server.must(&[&format!("{PLUGIN}/scripts/control"), "start"]);
    assert!(
        said.contains("start the array first") && said.contains("img src=x"),
        "{said}"
    );
    assert!(!said.contains(['<', '>', '"', '\\', '&']), "{said}");
}

#[test]
fn the_packages_page_reads_a_file_as_the_daemon_does_and_loses_nothing_of_it() {
    let server = Server::with_plugin();
    let path = format!("{HOME}/engram-deployer.cfg");
    let preset = server.read(&path);
    // From an editor of another system, and from other hands.
    let text = format!(
        "\u{feff}DEPLOYER_IMAGE=\"ghcr.io/a/b\"\r\n# a comment (with a bracket\r\nexport DEPLOYER_KEEP_RUNS=7\r\n\
         DEPLOYER_LOG='warn'\r\n\tDEPLOYER_QUEUE_MAX= 5 \r\nDEPLOYER_REF=\"refs/heads/a #b\"\nDEPLOYER_CLAIMS=a=#\n\
         {preset}"
    );
    server.write(&path, &text);
    let shown = page(&server);
    assert!(shown.contains("comments in"), "what a saving drops is said");
    for value in ["ghcr.io/a/b", "7", "warn", "5"] {
        assert!(
            shown.contains(&format!("value=\"{value}\"")),
            "{value} is not in {shown}"
        );
    }
    post(&server, &[("DEPLOYER_AUDIENCE", "mine")]);
    let saved = server.read(&path);
    for line in [
        "DEPLOYER_IMAGE=\"ghcr.io/a/b\"",
        "DEPLOYER_KEEP_RUNS=\"7\"",
        "DEPLOYER_LOG=\"warn\"",
        "DEPLOYER_QUEUE_MAX=\"5\"",
        "DEPLOYER_REF=\"refs/heads/a #b\"",
        "DEPLOYER_CLAIMS=\"a=#\"",
        "DEPLOYER_AUDIENCE=\"mine\"",
    ] {
        assert!(
            saved.lines().any(|found| found == line),
            "{line} is not in {saved}"
        );
    }
    // What the daemon refuses is refused here too: it would be lost, or would come to mean something.
    for line in [
        "DEPLOYER_IMAGE=\"a\"\nDEPLOYER_IMAGE=\"b\"\n",
        "DEPLOYER_IMAGE=\"a\"b\"\n",
        "DEPLOYER_IMAGE =a\n",
        "DEPLOYER_IMAGE= \"a\"b\"\n",
        "DEPLOYER_REF=refs/heads/main # production\n",
        "DEPLOYER_REF=refs/heads/main\t# production\n",
        "DEPLOYER_REF=refs/heads/main \\\n",
        "DEPLOYER_REF=\\\n",
        "DEPLOYER_REF=refs/heads/\u{85}main\n",
        "DEPLOYER_REF=\"refs/heads/\u{1}main\"\n",
        "export\tDEPLOYER_REF=refs/heads/main\n",
        "[section]\n",
        "a\n",
    ] {
        server.write(&path, format!("{preset}{line}"));
        assert_eq!(
            server.run(&["engram-deployer", "runs"]).status.code(),
            Some(3),
            "{line}"
        );
        let said = post(&server, &[("DEPLOYER_AUDIENCE", "mine")]);
        assert!(said.contains("mend it by hand"), "{line}: {said}");
        assert_eq!(server.read(&path), format!("{preset}{line}"));
    }
}

#[test]
fn what_is_left_empty_on_the_packages_page_is_what_the_plugin_sets_and_not_a_folder_in_memory() {
    let server = Server::with_plugin();
    let places = ["CERT_FILE", "KEY_FILE", "STATE_DIR", "RUNS_DIR"].map(|name| format!("DEPLOYER_{name}"));
    let before = server.read(&format!("{HOME}/engram-deployer.cfg"));
    let mut form: Vec<(&str, &str)> = places.iter().map(|name| (name.as_str(), "")).collect();
    form.push(("DEPLOYER_NOTIFY_COMMAND", ""));
    post(&server, &form);
    let after = server.read(&format!("{HOME}/engram-deployer.cfg"));
    let kept = before
        .lines()
        .filter(|line| !line.starts_with(';') && !line.contains("NOTIFY"));
    let kept: Vec<&str> = kept.collect();
    assert_eq!(after.lines().collect::<Vec<_>>(), kept, "nobody need be told");
    let shown = page(&server);
    assert!(
        shown.contains(&format!("placeholder=\"{HOME}/state\"")),
        "{shown}"
    );
}

#[test]
fn applying_the_packages_page_keeps_the_daemon_in_service_and_restarts_it_for_what_is_read_once_alone() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    let first = server.pid();
    let typo = format!("{HOME}/kye.pem");
    let said = post(&server, &[("DEPLOYER_KEY_FILE", &typo)]);
    assert!(
        said.contains("goes on with the settings from before") && said.contains(&typo),
        "{said}"
    );
    assert!(said.contains("saved") && !said.contains("started"), "{said}");
    assert!(page(&server).contains("goes on with the settings from before"));
    server.wait_until_it_answers();
    server.must(&["mv", &format!("{HOME}/key.pem"), &typo]);
    let said = post(&server, &[("DEPLOYER_QUEUE_MAX", "7")]);
    assert!(said.contains("told to take up its settings"), "{said}");
    server.wait_until_it_answers();
    assert_eq!(server.daemons(), [first], "a reload is enough");
    // The port that it has is not somebody else's.
    let port = server.client().url.rsplit(':').next().unwrap().to_owned();
    for (name, value) in [
        ("DEPLOYER_ADDR", format!("localhost:{port}")),
        ("DEPLOYER_RUNTIME_DIR", "/run/another".into()),
        ("DEPLOYER_ADDR", format!("127.0.0.1:{}", free_port())),
    ] {
        let before = server.pid();
        let said = post(&server, &[(name, &value)]);
        assert!(
            said.contains("stopped") && said.contains("started"),
            "{name}: {said}"
        );
        let now = server.pid();
        assert!(now != before && server.daemons() == [now], "{value}");
        let mut client = server.client();
        if let Some(port) = value.strip_prefix("127.0.0.1:") {
            client.url = format!("https://127.0.0.1:{port}");
        }
        wait_until("it answers", Duration::from_secs(10), || {
            client.get("/healthz").status == 200
        });
    }
}

#[test]
fn the_packages_first_deploy_needs_no_init_after_the_page_and_does_not_mind_one() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.add_settings(&issuer);
    server.script("/usr/local/bin/deploy-it", "true");
    let check = server.must(&["php", &format!("{PLUGIN}/include/check.php")]);
    assert!(check.contains("was not there and is new"), "{check}");
    server.must(&["engram-deployer", "init"]);
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    // CI is set up meanwhile: the memory takes tokens that were issued half a minute after it was made.
    std::thread::sleep(LEEWAY + Duration::from_secs(1));
    let token = issuer.mint(AUDIENCE);
    let deploy = server.client().post("/deploy", &token, r#"{"version":"1.0.0"}"#);
    deploy.assert_ok();
}

#[test]
fn asking_for_a_part_of_the_packages_page_changes_neither_settings_nor_keys() {
    let server = Server::with_plugin();
    let kept = ["engram-deployer.cfg", "key.pem", "cert.pem"].map(|name| format!("{HOME}/{name}"));
    let before = kept.each_ref().map(|path| server.read(path));
    for part in ["save", "fields", "view", "state", "check"] {
        let output = server.run(&["php", &format!("{PLUGIN}/include/{part}.php")]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{part}: {said}");
        let shows = ["state", "check"].contains(&part);
        assert_eq!(said.is_empty(), !shows, "{part}: {said}");
        assert!(
            !said.contains("Warning:") && !said.contains("Fatal"),
            "{part}: {said}"
        );
    }
    assert_eq!(before, kept.each_ref().map(|path| server.read(path)));
    // Settings that it would complain of, if it were asked within update.php.
    server.write(&kept[0], "nonsense\n");
    let output = server.run(&["php", &format!("{PLUGIN}/include/save.php")]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(!server.has("/run/engram-deployer.said"));
}

#[test]
fn neither_the_packages_page_nor_its_events_make_a_folder_in_the_arrays_place() {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, "true");
    let path = format!("{HOME}/engram-deployer.cfg");
    let good = server.read(&path);
    let on_array = "DEPLOYER_RUNS_DIR=\"/mnt/cache/system/engram-deployer\"";
    let preset = "DEPLOYER_RUNS_DIR=\"/var/lib/engram-deployer/runs\"";
    // Not by the page, while the daemon runs and takes up what is saved at once.
    server.must(&["/etc/rc.d/rc.engram-deployer", "start"]);
    for (name, folder) in [
        ("DEPLOYER_RUNS_DIR", "/mnt/cache/system/engram-deployer"),
        ("DEPLOYER_STATE_DIR", "//mnt/cache/system/engram-deployer"),
        ("DEPLOYER_RUNTIME_DIR", "/mnt/../mnt/cache"),
        ("DEPLOYER_TF_PLAN_WORKDIR", "/mnt/cache/plan"),
    ] {
        let said = post(&server, &[(name, folder)]);
        assert!(
            said.contains("nothing was saved") && said.contains(&format!("{name} names a folder")),
            "{folder}: {said}"
        );
        assert_eq!(server.read(&path), good);
    }
    server.must(&["/etc/rc.d/rc.engram-deployer", "stop"]);
    // By hand, or with a pool that has gone.
    server.write(&path, good.replace(preset, on_array));
    let check = server.must(&["php", &format!("{PLUGIN}/include/check.php")]);
    assert!(
        check.starts_with("ERROR  places: DEPLOYER_RUNS_DIR is /mnt/cache/system"),
        "{check}"
    );
    let said = post(&server, &[("DEPLOYER_LOG", "debug")]);
    assert!(said.contains("saved; it does not run"), "{said}");
    page(&server);
    server.must(&[&format!("{PLUGIN}/event/docker_started")]);
    wait_until("the event", Duration::from_secs(10), || {
        server.syslog().matches("start the array first").count() >= 2
    });
    assert!(server.daemons().is_empty());
    assert!(!server.has("/mnt/cache"), "something was made there");
    // Once it is there, all of it works.
    server.must(&["mkdir", "-p", "/mnt/cache"]);
    server.must(&["mount", "-t", "tmpfs", "tmpfs", "/mnt/cache"]);
    post(
        &server,
        &[("DEPLOYER_RUNS_DIR", "/mnt/cache/system/engram-deployer/")],
    );
    server.must(&["/etc/rc.d/rc.engram-deployer", "start"]);
    assert!(server.has("/mnt/cache/system/engram-deployer"));
}
