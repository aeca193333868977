//! The commands typed on the host: what they say, how they end, and that they show what a caller would see.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::certificate::Certificate;
use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::folder::Folder;
use crate::support::oidc::Issuer;
use crate::support::process::{Running, output_of, run, text};
use crate::support::template::Unraid;
use crate::support::{free_port, wait_until};
use engram_deployer::cli::commands::COMMANDS;

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit status")
}

fn said(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Standard output, line by line, as JSON.
fn lines(output: &Output) -> Vec<Value> {
    let text = text(&output.stdout);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(parse).collect()
}

fn phases(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["phase"].as_str()).collect()
}

/// A setup whose command waits until the file `go` is in the folder.
fn waiting(issuer: &Issuer) -> Setup {
    let mut setup = Setup::new(issuer);
    let go = setup.folder().join("go");
    setup.command_script(&format!(
        "echo waits; until [ -e {} ]; do sleep 0.05; done",
        go.display()
    ));
    setup
}

fn let_go(setup: &Setup) {
    setup.folder().write("go", "");
}

/// A deploy in the background, and the id of its run once it has begun.
fn started(setup: &Setup, version: &str, log: &str) -> (Running, String) {
    let log = setup.folder().join(log);
    let deploy = Running::start(&mut setup.command(&["deploy", version]), &log);
    let first = || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let line: Value = serde_json::from_str(said.lines().next()?).ok()?;
        Some(line["run_id"].as_str()?.to_owned())
    };
    wait_until("the first line names the run", Duration::from_secs(10), || {
        first().is_some()
    });
    (deploy, first().expect("a run id"))
}

#[test]
fn the_help_lists_every_command_and_each_explains_itself() {
    let setup = Setup::new(&Issuer::start());
    let general = setup.run(&["help"]);
    assert_eq!(code(&general), 0);
    assert!(general.stderr.is_empty());
    for spec in COMMANDS {
        assert!(
            text(&general.stdout).contains(&format!("\n  {}", spec.name())),
            "{}",
            spec.name()
        );
        let own = setup.run(&[spec.name(), "--help"]);
        assert_eq!(code(&own), 0, "{}", spec.name());
        assert!(text(&own.stdout).starts_with(&format!("Usage: engram-deployer {}", spec.name())));
    }
    let version = text(&setup.run(&["--version"]).stdout);
    assert_eq!(
        version,
        format!("engram-deployer {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn how_a_command_ends_shows_in_its_exit_status() {
    let setup = Setup::new(&Issuer::start());
    let unknown = "20260102T030405Z-0123abcd";
    for (arguments, status, hint) in [
        (&["frobnicate"][..], 2, "no command"),
        (&["deploy"], 2, "needs a VERSION"),
        (&["deploy", "latest"], 2, "X.Y.Z"),
        (&["deploy", "1.2.3", "--sha", "XYZ"], 2, "sha must be"),
        (&["log", "../../etc"], 2, "no run id"),
        (&["log", unknown], 3, "no run"),
        (&["cancel", unknown], 3, "no such run"),
        (&["status"], 3, ""),
        (&["check-token", "--endpoint", "x"], 3, "there is: deploy"),
        (&["check-token"], 3, "no token"),
        (
            &["check", "--env-file", "/nonexistent/file"],
            1,
            "/nonexistent/file",
        ),
        (
            &["status", "--env-file", "/nonexistent/file"],
            3,
            "/nonexistent/file",
        ),
    ] {
        let output = setup.run(arguments);
        assert_eq!(code(&output), status, "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(hint), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn nobody_reading_the_output_is_no_reason_to_panic() {
    let setup = Setup::new(&Issuer::start());
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    drop(reader);
    let output = setup.command(&["help"]).stdout(writer).output().expect("it runs");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(4), "")
    );
}

#[test]
fn output_that_cannot_be_written_is_said_once_and_why() {
    let setup = Setup::new(&Issuer::start());
    for command in ["pin", "check", "help"] {
        let full = fs::File::create("/dev/full").expect("a full disk");
        let output = setup.command(&[command]).stdout(full).output().expect("it runs");
        let said = text(&output.stderr);
        assert_eq!(code(&output), 4, "{command}: {said}");
        assert_eq!(
            said.matches("standard output: No space left on device").count(),
            1,
            "{command}: {said}"
        );
    }
}

#[test]
fn wrong_settings_are_complained_of_all_at_once_wherever_they_are_needed() {
    let mut setup = Setup::new(&Issuer::start());
    setup
        .set("DEPLOYER_ALLOWED_IPS", "10.0.0.0/33")
        .set("DEPLOYER_QUEUE_MAX", "none");
    setup.unset("DEPLOYER_CERT_FILE");
    let names = ["DEPLOYER_ALLOWED_IPS", "DEPLOYER_QUEUE_MAX", "DEPLOYER_CERT_FILE"];
    for (command, status) in [("serve", 3), ("check", 1), ("init", 3), ("runs", 3)] {
        let output = setup.run(&[command]);
        assert_eq!(code(&output), status, "{command}");
        let said = said(&output);
        assert!(names.iter().all(|name| said.contains(name)), "{command}: {said}");
    }
    assert!(
        !setup.state().exists(),
        "nothing is made with settings that are wrong"
    );
}

#[test]
fn a_settings_file_that_others_may_write_is_not_read() {
    let setup = Setup::new(&Issuer::start());
    let file = setup.folder().write("env", "DEPLOYER_LOG=warn\n");
    let with = |mode| {
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("setting a mode");
        setup.run(&["runs", "--env-file", &file.display().to_string()])
    };
    assert_eq!(code(&with(0o600)), 0);
    let output = with(0o666);
    assert_eq!(code(&output), 3);
    assert!(said(&output).contains("chmod go-w"), "{}", said(&output));
}

#[test]
fn check_reports_secrets_in_a_file_that_others_may_read() {
    let mut setup = Setup::new(&Issuer::start());
    let secret = "DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY";
    for (value, mode, level) in [
        ("", 0o644, "ok   "),
        ("hunter2", 0o600, "ok   "),
        ("hunter2", 0o644, "ERROR"),
    ] {
        setup.set(secret, value);
        let file = setup.use_env_file();
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("setting a mode");
        let said = said(&setup.run(&["check"]));
        let line = said
            .lines()
            .find(|line| line.contains(" settings: ") && line.contains("settings.env"));
        assert!(
            line.is_some_and(|line| line.starts_with(level)),
            "{mode:o}: {said}"
        );
        assert_eq!(
            said.contains("holds secrets: others may read it (mode 0644); take that away (chmod 600)"),
            level == "ERROR",
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn check_is_content_with_a_host_that_works() {
    let setup = Setup::new(&Issuer::start());
    let output = setup.run(&["check"]);
    let said = said(&output);
    assert_eq!(code(&output), 0, "{said}");
    for line in [
        "ok     settings: from the environment",
        "warn   advice: /deploy: pin event_name or pipeline_source in DEPLOYER_CLAIMS",
        "ok     certificate: ",
        "warn   certificate: valid until ",
        "ok     key: ",
        "ok     users: DEPLOYER_USER is uid 65521",
        "ok     folders: ",
        "warn   replay memory: was not there and is new",
        "ok     issuer's keys: 1 usable",
        "ok     docker: not needed",
        "ok     command: only root can write to /bin/true",
    ] {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
    let again = setup.run(&["check"]);
    assert!(text(&again.stdout).contains("ok     replay memory: remembers 0 tokens"));
}

#[test]
fn check_asks_the_docker_that_a_deploy_would_ask() {
    let mut setup = Setup::new(&Issuer::start());
    setup.set("DEPLOYER_PULL", "on");
    let said = said(&setup.run(&["check"]));
    assert!(said.contains("answers with version "), "{said}");
}

#[test]
fn check_reads_templates_and_declarations_as_a_deploy_would() {
    let (mut setup, unraid) = (Setup::new(&Issuer::start()), Unraid::new());
    unraid.template("good", "ghcr.io/engram-app/engram:1.0.0", 8000);
    unraid.template("other", "docker.io/somebody/else:1.0.0", 8001);
    setup
        .set("DEPLOYER_BACKEND", "unraid")
        .set("DEPLOYER_CONTAINERS", "good,other,absent")
        .set("DEPLOYER_TEMPLATE_DIR", unraid.templates())
        .set("DEPLOYER_UPDATE_CONTAINER_PATH", unraid.update_container());
    let said = said(&setup.run(&["check"]));
    for (level, word) in [
        ("ok     templates: good: ", "engram:1.0.0"),
        ("ERROR  templates: ", "my-other.xml"),
        ("ERROR  templates: ", "absent"),
    ] {
        let named = |line: &str| line.starts_with(level) && line.contains(word);
        assert!(said.lines().any(named), "{level}{word}:\n{said}");
    }
    // What all of them lack is said once.
    setup.set("DEPLOYER_TEMPLATE_DIR", "/nowhere/templates");
    let said = self::said(&setup.run(&["check"]));
    assert_eq!(said.matches("ERROR  templates: ").count(), 1, "{said}");
    let declared = setup.folder().write("containers/good.json", "{\"portz\":[]}");
    setup
        .set("DEPLOYER_BACKEND", "docker")
        .set("DEPLOYER_CONTAINERS", "good")
        .set("DEPLOYER_CONTAINER_DIR", declared.parent().expect("a folder"));
    let said = self::said(&setup.run(&["check"]));
    let named = |line: &str| line.starts_with("ERROR  deploy: ") && line.contains("portz");
    assert!(said.lines().any(named), "{said}");
    setup
        .folder()
        .write("containers/good.json", "{\"env_file\":\"/nonexistent\"}");
    let said = self::said(&setup.run(&["check"]));
    let named =
        |line: &str| line.starts_with("ERROR  deploy: ") && line.contains("env_file: open /nonexistent: No");
    assert!(said.lines().any(named), "{said}");
}

#[test]
fn check_names_every_error_of_the_host_in_one_go() {
    let mut setup = Setup::new(&Issuer::start());
    let other = Certificate::create(setup.folder(), "other");
    fs::set_permissions(&other.key, Permissions::from_mode(0o644)).expect("setting a mode");
    let command = setup.folder().write("command", "#!/bin/sh\n");
    let theirs = setup.folder().join("theirs");
    let free = free_port();
    setup
        .set("DEPLOYER_KEY_FILE", &other.key)
        .set("DEPLOYER_JWKS_URL", format!("http://127.0.0.1:{free}/jwks"))
        .set("DEPLOYER_PULL", "on")
        .set("DEPLOYER_COMMAND_PATH", &command)
        .set("DEPLOYER_USER", "nobody-of-that-name")
        .set("DEPLOYER_STATE_DIR", theirs);
    fs::create_dir(setup.state()).expect("making a folder");
    fs::set_permissions(setup.state(), Permissions::from_mode(0o777)).expect("setting a mode");
    let mut check = setup.command(&["check"]);
    let output = output_of(check.env("DOCKER_HOST", "unix:///nonexistent/docker.sock"), b"");
    let said = said(&output);
    assert_eq!(code(&output), 1, "{said}");
    for (what, detail) in [
        ("certificate", "other.key"),
        ("key", "everyone can read"),
        ("issuer's keys", "refused"),
        ("docker", "/nonexistent/docker.sock"),
        ("deploy", "execut"),
        ("users", "nobody-of-that-name"),
        ("folders", "0777"),
    ] {
        let named = |line: &str| line.starts_with(&format!("ERROR  {what}: ")) && line.contains(detail);
        assert!(said.lines().any(named), "{what}, {detail}:\n{said}");
    }
}

#[test]
fn check_warns_of_a_state_that_a_power_cut_takes() {
    let mut setup = Setup::new(&Issuer::start());
    let memory = Folder::at(Path::new("/dev/shm"), "state");
    setup.set("DEPLOYER_STATE_DIR", memory.path());
    let said = said(&setup.run(&["check"]));
    let warning = format!("warn   folders: {} is in memory", memory.path().display());
    assert!(said.contains(&warning), "{said}");
}

#[test]
fn check_says_when_a_certificate_has_ended() {
    let mut setup = Setup::new(&Issuer::start());
    let cert = setup.folder().join("old.pem");
    let make = "openssl req -new -key \"$KEY\" -subj /CN=x | openssl x509 -req -signkey \"$KEY\" -days -1 -out \"$CERT\"";
    let key = setup.certificate().key.clone();
    run(Command::new("sh")
        .args(["-c", make])
        .env("KEY", key)
        .env("CERT", &cert));
    setup.set("DEPLOYER_CERT_FILE", &cert);
    let said = said(&setup.run(&["check"]));
    assert!(said.contains("ERROR  certificate: expired on 20"), "{said}");
}

#[test]
fn pin_prints_what_openssl_computes_and_needs_no_other_setting() {
    let setup = Setup::new(&Issuer::start());
    let cert = &setup.certificate().cert;
    let mut command = Command::new(env!("CARGO_BIN_EXE_engram-deployer"));
    let output = output_of(
        command
            .args(["pin", "--env-file"])
            .arg(setup.no_settings())
            .env_clear()
            .env("DEPLOYER_CERT_FILE", cert),
        b"",
    );
    assert_eq!(code(&output), 0, "{}", said(&output));
    let openssl = |script: &str| run(Command::new("sh").args(["-c", script]).env("CERT", cert));
    let fingerprint = openssl("openssl x509 -in \"$CERT\" -noout -fingerprint -sha256 | cut -d= -f2");
    let key = openssl(
        "openssl x509 -in \"$CERT\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary \
         | openssl base64",
    );
    let printed = text(&output.stdout);
    assert!(printed.contains(fingerprint.trim()), "{printed}");
    assert!(
        printed.contains(&format!("sha256//{}\n", key.trim())),
        "{printed}"
    );
}

#[test]
fn init_prepares_a_first_installation_and_no_other() {
    let issuer = Issuer::start();
    let setup = Setup::new(&issuer);
    let first = setup.run(&["init"]);
    assert_eq!(code(&first), 0, "{}", said(&first));
    assert!(text(&first.stdout).contains("made, and knows no token"));
    let mode = |path: &Path| fs::metadata(path).expect("it was made").permissions().mode() & 0o7777;
    assert_eq!((mode(&setup.state()), mode(&setup.public())), (0o700, 0o755));
    assert_eq!(code(&setup.run(&["init"])), 0, "twice is no harm");
    let deployer = setup.start();
    let token = issuer.mint(AUDIENCE);
    let answer = deployer
        .client()
        .post("/deploy", &token, r#"{"version":"1.2.3"}"#);
    assert_eq!(answer.status, 200, "a token from before is good after `init`");
    let again = deployer.run(&["init"]);
    assert_eq!(code(&again), 3);
    assert!(said(&again).contains("remembers 1 tokens"), "{}", said(&again));
}

#[test]
fn a_memory_that_no_operator_vouches_for_refuses_the_tokens_of_before() {
    let issuer = Issuer::start();
    for maker in ["check", "serve"] {
        let setup = Setup::new(&issuer);
        let token = issuer.mint(AUDIENCE);
        let making = Running::start(&mut setup.command(&[maker]), &setup.folder().join("maker"));
        let memory = setup.state().join("jti");
        wait_until("a memory", Duration::from_secs(10), || memory.exists());
        drop(making);
        let output = output_of(&mut setup.command(&["check-token"]), token.as_bytes());
        let table = text(&output.stdout);
        let refuses = |row: &str| row.starts_with("the replay memory is new") && row.contains("fail: ");
        assert!(table.lines().any(refuses), "{maker}: {table}");
    }
}

#[test]
fn a_deploy_from_the_host_shows_its_lines_and_ends_as_its_run() {
    let mut setup = Setup::new(&Issuer::start());
    setup.command_script("echo \"version $DEPLOYER_VERSION for $1\"");
    let output = setup.run(&["deploy", "1.2.3", "--sha", "abc1234"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let shown = lines(&output);
    assert_eq!(phases(&shown)[0], "queued");
    assert!(text(&output.stdout).contains("version 1.2.3 for engram"));
    let outcome = shown.last().expect("an outcome");
    assert_eq!(
        (&outcome["status"], &outcome["sha"]),
        (&"ok".into(), &"abc1234".into())
    );
    let id = outcome["run_id"].as_str().expect("a run id");
    assert_eq!(shown[0]["run_id"], id);

    let log = setup.run(&["log", id]);
    assert_eq!((code(&log), text(&log.stdout)), (0, text(&output.stdout)));
    let followed = setup.run(&["log", "-f", id, "--json"]);
    assert_eq!(followed.stdout, log.stdout);
    let status = setup.run(&["status"]);
    assert_eq!((code(&status), &lines(&status)[0]), (0, outcome));
    let runs = &lines(&setup.run(&["runs"]))[0];
    assert_eq!(runs["runs"][0]["run_id"], id);
    assert_eq!(runs["runs"][0]["origin"]["from"], "local");
    let grant = fs::read_to_string(setup.runs().join(id).join("grant.json")).expect("a grant");
    let grant: Value = serde_json::from_str(&grant).expect("JSON");
    assert_eq!(grant["origin"]["uid"], nix::unistd::getuid().as_raw());
}

#[test]
fn a_deploy_that_fails_fails_its_command_too() {
    let mut setup = Setup::new(&Issuer::start());
    setup.command_script("echo no such luck; exit 7");
    let output = setup.run(&["deploy", "1.2.3"]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert_eq!(lines(&output).last().expect("an outcome")["status"], "fail");
    assert_eq!(code(&setup.run(&["status"])), 1);
    let id = lines(&output)[0]["run_id"].as_str().expect("a run id").to_owned();
    assert_eq!(code(&setup.run(&["log", &id])), 1);
}

#[test]
fn a_dry_run_starts_no_command() {
    let mut setup = Setup::new(&Issuer::start());
    let trace = setup.folder().join("trace");
    setup.command_script(&format!("touch {}", trace.display()));
    let output = setup.run(&["deploy", "1.2.3", "--dry-run"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert_eq!(lines(&output).last().expect("an outcome")["dry_run"], true);
    assert!(!trace.exists());
    assert_eq!(code(&setup.run(&["status"])), 3, "a dry run is no status");
}

#[test]
fn a_person_on_a_terminal_gets_aligned_lines() {
    let setup = Setup::new(&Issuer::start());
    let typed = |line: &str, colour: &[(&str, &str)]| {
        let mut script = setup.on_a_terminal(line);
        script.envs(colour.iter().copied());
        text(&output_of(&mut script, b"").stdout)
    };
    let shown = typed("deploy 1.2.3", &[]);
    let rows: Vec<&str> = shown.lines().collect();
    assert!(rows[0].starts_with("run ") && rows[0].contains("UTC"), "{shown}");
    assert_eq!(&rows[1][8..20], " queued     ", "{shown}");
    let last = rows.last().expect("an outcome");
    assert!(
        last.contains("\u{1b}[32mok") && last.contains("1.2.3"),
        "{shown:?}"
    );
    let plain = typed("status", &[("NO_COLOR", "1")]);
    assert!(
        plain.starts_with("ok         1.2.3 (") && plain.contains("finished   20"),
        "{plain:?}"
    );
    assert!(typed("runs", &[]).contains("deploy    1.2.3"));
}

#[test]
fn a_deploy_that_is_left_goes_on_and_can_be_followed() {
    let setup = waiting(&Issuer::start());
    let (mut deploy, id) = started(&setup, "1.2.3", "left");
    deploy.signal(Signal::SIGINT);
    wait_until("the command ends", Duration::from_secs(5), || deploy.ended());
    let said = fs::read_to_string(setup.folder().join("left")).expect("its output");
    assert!(
        said.contains(&format!("log -f {id}")) && said.contains("cancel"),
        "{said}"
    );
    let so_far = setup.run(&["log", &id]);
    assert_eq!(code(&so_far), 0, "a log without an end is no failure");
    assert!(lines(&so_far).iter().all(|line| line["status"].is_null()));
    let running = &lines(&setup.run(&["runs"]))[0]["running"];
    assert_eq!(running["run_id"], id.as_str());

    let rest = setup.folder().join("rest");
    let mut follower = Running::start(&mut setup.command(&["log", "-f", &id]), &rest);
    let_go(&setup);
    wait_until("following ends with the run", Duration::from_secs(10), || {
        follower.ended()
    });
    let rest = fs::read_to_string(rest).expect("its output");
    let last: Value = serde_json::from_str(rest.lines().last().expect("lines")).expect("JSON");
    assert_eq!(last["status"], "ok");
}

#[test]
fn a_run_is_cancelled_from_the_host() {
    let setup = waiting(&Issuer::start());
    let (mut first, first_id) = started(&setup, "1.0.0", "first");
    let (mut second, second_id) = started(&setup, "2.0.0", "second");
    let cancelled = setup.run(&["cancel", &second_id]);
    assert_eq!(code(&cancelled), 0, "{}", said(&cancelled));
    wait_until("a waiting run ends at once", Duration::from_secs(5), || {
        second.ended()
    });
    let outcome = lines(&setup.run(&["log", &second_id])).pop().expect("an outcome");
    assert_eq!(
        (&outcome["status"], &outcome["cancelled"]),
        (&"fail".into(), &true.into())
    );
    assert_eq!(code(&setup.run(&["cancel", &second_id])), 3);
    assert!(!first.ended());
    let_go(&setup);
    wait_until("the other one ends well", Duration::from_secs(10), || {
        first.ended()
    });
    assert_eq!(code(&setup.run(&["log", &first_id])), 0);
}

#[test]
fn a_dead_run_is_completed_by_hand() {
    let setup = waiting(&Issuer::start());
    assert!(text(&setup.run(&["recover"]).stdout).contains("no run is dead"));
    let (mut deploy, id) = started(&setup, "1.2.3", "dead");
    deploy.signal(Signal::SIGKILL);
    wait_until("the command ends", Duration::from_secs(5), || deploy.ended());
    let queue = fs::read_dir(setup.runtime().join("queue")).expect("the queue folder");
    let ticket = queue.flatten().map(|entry| entry.path());
    let ticket = ticket.filter(|path| path.display().to_string().ends_with(&id));
    let ticket = ticket.last().expect("a ticket");
    let notes = fs::read_to_string(&ticket).expect("its notes");
    let holder: Value = serde_json::from_str(notes.lines().next().expect("a holder")).expect("JSON");
    let pid = holder["holder"]["pid"].as_i64().expect("a process id") as i32;
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    let ticket = fs::File::open(ticket).expect("its ticket");
    wait_until("its ticket is free", Duration::from_secs(5), || {
        fs2::FileExt::try_lock_shared(&ticket).is_ok()
    });
    drop(ticket);
    let_go(&setup);
    // While somebody else is at it, it waits, and says of nothing that it is done.
    let other = fs::File::create(setup.runtime().join("recover.lock")).expect("a lock");
    fs2::FileExt::lock_exclusive(&other).expect("the lock of whoever completes dead runs");
    let mut recover = setup.command(&["recover"]);
    recover.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut recover = recover.spawn().expect("the command");
    std::thread::sleep(Duration::from_millis(500));
    assert!(recover.try_wait().expect("its state").is_none());
    drop(other);
    let output = recover.wait_with_output().expect("its output");
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(
        text(&output.stdout).contains("are completed"),
        "{}",
        said(&output)
    );
    let outcome = lines(&setup.run(&["log", &id])).pop().expect("an outcome");
    assert_eq!(
        (&outcome["status"], &outcome["interrupted"]),
        (&"fail".into(), &true.into())
    );
}

#[test]
fn check_token_says_of_each_rule_whether_it_holds_and_uses_nothing_up() {
    let issuer = Issuer::start();
    let setup = Setup::new(&issuer);
    assert_eq!(code(&setup.run(&["init"])), 0);
    let check = |token: &str| {
        let output = output_of(
            &mut setup.command(&["check-token"]),
            format!("{token}\n").as_bytes(),
        );
        (code(&output), text(&output.stdout))
    };
    let good = issuer.mint(AUDIENCE);
    for _ in 0..2 {
        let (status, table) = check(&good);
        assert_eq!(status, 0, "{table}");
        assert!(table.lines().all(|line| line.ends_with(" pass")), "{table}");
        assert!(
            table.contains("claim repository ") && table.contains("first use "),
            "{table}"
        );
    }
    let spoiled = issuer.mint_with(AUDIENCE, |claims| {
        claims.insert("ref".into(), "refs/heads/next".into());
    });
    let (status, table) = check(&spoiled);
    assert_eq!(status, 1, "{table}");
    let row = |rule: &str| {
        table
            .lines()
            .find(|line| line.starts_with(rule))
            .unwrap_or_default()
    };
    assert!(
        row("claim ref").contains("fail: ") && row("claim ref").contains("refs/heads/main"),
        "{table}"
    );
    assert!(
        row("claim repository").ends_with(" pass") && row("signature").ends_with(" pass"),
        "{table}"
    );
    let forged = format!("{}A", &good[..good.len() - 2]);
    assert_eq!(check(&forged).0, 1);
    assert_eq!(check("no token at all").0, 1);
    assert_eq!(issuer.fetches(), 1, "the keys are kept");
}
