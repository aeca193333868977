//! [fault_matrix] Whatever fails, and at whichever container: afterwards both run and are healthy, on one version that
//! they had or were to have, and the record names the cause.
//!
//! Each backend has a world of its own, with a dockerd that can be killed and a disk that can be filled. The rows follow
//! each other on one host, so each begins where the one before has left it. `ENGRAM_ROW=WORD` plays only those with this
//! word in their names.

use std::net::{Ipv4Addr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::curl::Answer;
use crate::support::engine::{Engine, in_a_world};
use crate::support::images::Image;
use crate::support::pair::{Backend, Pair, Place};
use crate::support::process::installed;
use crate::support::{PATIENCE, came_true, free_port, long_tests, wait_until};
use Place::{First, Second};

/// What the issuer's tokens name.
const COMMIT: &str = "abc1234abc1234abc1234abc1234abc1234abc12";

const SOON: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Clone, Copy)]
enum Fault {
    /// Nothing: the way back is not taken without need.
    None,
    RegistryDown,
    TagMissing,
    Unauthorised,
    /// Docker's disk fills up in the middle of the pull.
    DiskFull,
    /// It is full before.
    NoRoom,
    WrongRevision,
    /// The version misbehaves in these words of `app.rs`, in one container alone.
    Image(&'static str),
    /// It is well, and says of itself that it is the one before.
    OldVersion,
    /// Another program has the port that the container is to publish.
    PortTaken,
    NetworkMissing,
    /// Somebody else writes the template, or the declaration, while the deploy is at work.
    Edited,
    DockerKilled,
}

/// A fault, and what the record must say of it: one of these.
struct Row {
    name: &'static str,
    fault: Fault,
    at: &'static [Place],
    cause: &'static [&'static str],
}

/// Where it makes no difference, because it fails before a container is touched.
const ANY: &[Place] = &[First];
const BOTH: &[Place] = &[First, Second];

const ROWS: &[Row] = &[
    row("nothing", Fault::None, ANY, &[""]),
    row("registry down", Fault::RegistryDown, ANY, &["connection refused"]),
    row("tag missing", Fault::TagMissing, ANY, &["no such image or tag"]),
    row(
        "unauthorised",
        Fault::Unauthorised,
        ANY,
        &["credentials", "refuses"],
    ),
    row("disk full", Fault::DiskFull, ANY, &["disk", "space"]),
    row("no room to begin with", Fault::NoRoom, ANY, &["make room"]),
    row("wrong revision", Fault::WrongRevision, ANY, &["revision"]),
    row("image exits at once", Fault::Image("exit=3"), BOTH, &["status 3"]),
    row(
        "image crashes after 5 s",
        Fault::Image("crash-after=5000"),
        BOTH,
        &["status 3", "restarted once"],
    ),
    row(
        "reports the old version",
        Fault::OldVersion,
        BOTH,
        &["last version: "],
    ),
    row(
        "health never answers",
        Fault::Image("silent"),
        BOTH,
        &["no answer"],
    ),
    row("port already taken", Fault::PortTaken, BOTH, &["already"]),
    row("network missing", Fault::NetworkMissing, BOTH, &["network"]),
    row(
        "edited by someone else",
        Fault::Edited,
        BOTH,
        &["instead of", "declaration", "json"],
    ),
    row("dockerd killed", Fault::DockerKilled, BOTH, &["docker"]),
];

const fn row(name: &'static str, fault: Fault, at: &'static [Place], cause: &'static [&'static str]) -> Row {
    Row {
        name,
        fault,
        at,
        cause,
    }
}

#[test]
fn with_docker_both_containers_survive_every_fault() {
    if long_tests() {
        let test = "fault_matrix::with_docker_both_containers_survive_every_fault";
        in_a_world(test, |engine| walk(Backend::Docker, engine));
    }
}

#[test]
fn on_unraid_both_containers_survive_every_fault() {
    if long_tests() {
        let test = "fault_matrix::on_unraid_both_containers_survive_every_fault";
        in_a_world(test, |engine| walk(Backend::Unraid, engine));
    }
}

/// One host, and what changes from row to row.
struct Matrix<'a> {
    pair: Pair,
    engine: &'a mut Engine,
    live: String,
    count: u32,
}

fn walk(backend: Backend, engine: &mut Engine) {
    let pair = Pair::start(backend, |setup| {
        setup.set("DEPLOYER_HEALTH_MAX_WAIT", "3s");
        // As an operator has it: a crash after some seconds must be seen.
        setup.unset("DEPLOYER_HEALTH_STEADY");
        setup.set("DEPLOYER_REQUIRE_REVISION", "on");
        // As much as the engine's small disk allows.
        setup.set("DEPLOYER_MIN_FREE", "1MiB");
        // Docker's client, with what somebody else does meanwhile.
        let hook = setup.folder().join("hook");
        let client = installed("docker", "docker.io").get_program().to_owned();
        let client = find(&client.to_string_lossy());
        let script = format!("[ ! -e {0} ] || . {0}\nexec {client} \"$@\"", hook.display());
        std::fs::create_dir(setup.folder().join("bin")).expect("a folder");
        let wrapper = setup.executable("bin/docker", &script);
        setup.set("DEPLOYER_DOCKER_PATH", wrapper);
    });
    let mut matrix = Matrix {
        pair,
        engine,
        live: "1.0.0".to_owned(),
        count: 0,
    };
    println!("| backend | fault | at | seconds | what came of it |");
    println!("|---|---|---|---|---|");
    let only = std::env::var("ENGRAM_ROW").unwrap_or_default();
    let rows = ROWS.iter().filter(|row| row.name.contains(&only));
    let cells = rows.flat_map(|row| row.at.iter().map(move |place| (row, *place)));
    let red: Vec<String> = cells
        .filter_map(|(row, place)| matrix.play(row, place).err())
        .collect();
    assert!(red.is_empty(), "{} cells are red:\n{}", red.len(), red.join("\n"));
}

/// Where a program is.
fn find(program: &str) -> String {
    let path = std::env::var("PATH").expect("a PATH");
    let mut places = path.split(':').map(|folder| format!("{folder}/{program}"));
    places
        .find(|place| std::path::Path::new(place).is_file())
        .expect("it is installed")
}

impl Matrix<'_> {
    /// Plays one cell and shows it; an error says what is wrong.
    fn play(&mut self, row: &Row, place: Place) -> Result<(), String> {
        self.count += 1;
        let version = match row.fault {
            Fault::TagMissing => "9.9.9".to_owned(),
            _ => format!("2.0.{}", self.count),
        };
        let begun = Instant::now();
        let answer = self.bring_about(row.fault, place, &version);
        let took = begun.elapsed().as_secs_f32();
        let came = self.judge(row, &version, &answer);
        let at = match row.at.len() {
            1 => "-",
            _ => place.role(),
        };
        let (mark, what) = match &came {
            Ok(what) => ("", what),
            Err(what) => ("RED ", what),
        };
        let backend = self.pair.backend;
        println!("| {backend:?} | {} | {at} | {took:.1} | {mark}{what} |", row.name);
        came.map(drop).map_err(|what| {
            self.pair.set_up(&self.live);
            let lines: Vec<&str> = answer.lines.iter().map(|(_, line)| line.as_str()).collect();
            format!("{} at {at}: {what}\n{}", row.name, lines.join("\n"))
        })
    }

    fn judge(&mut self, row: &Row, version: &str, answer: &Answer) -> Result<String, String> {
        let outcome = answer.events().pop().unwrap_or_default();
        let error = outcome["error"].as_str().unwrap_or_default().to_owned();
        let (expected, what) = match outcome["status"].as_str() {
            Some("ok") => (version.to_owned(), format!("ok, live {version}")),
            Some("fail") => (self.live.clone(), format!("back at {}: {error}", self.live)),
            _ => return Err("the stream has no last line".to_owned()),
        };
        // What dockerd itself starts again after a crash takes a moment.
        let both = [Some(expected.clone()), Some(expected.clone())];
        let up = || self.pair.versions() == both;
        if !came_true(PATIENCE, up) {
            let versions = self.pair.versions();
            return Err(format!("live are {versions:?} instead of {expected}: {error}"));
        }
        let faults = self.pair.faults(&expected);
        if !faults.is_empty() {
            return Err(format!("{}: {error}", faults.join(", ")));
        }
        let recorded = self.pair.deployer.status().unwrap_or_default();
        if recorded != outcome {
            return Err(format!("the record says {recorded} instead of {outcome}"));
        }
        self.live = expected;
        let named = row.cause.iter().any(|cause| error.to_lowercase().contains(cause));
        match (row.fault, outcome["status"] == "ok") {
            (Fault::None, true) => Ok(what),
            (Fault::None, false) => Err(error),
            // A call that was cut off is asked again once dockerd is back: what is live was looked at above.
            (Fault::DockerKilled, true) => Ok(what),
            (_, true) => Err(format!("it passed for a success: {what}")),
            (_, false) if named => Ok(what),
            (_, false) => Err(format!("the cause is not named: {error}")),
        }
    }

    /// Brings the fault about, deploys, and takes the fault away again.
    fn bring_about(&mut self, fault: Fault, place: Place, version: &str) -> Answer {
        let built_from = |commit| Image::of(version).labelled("org.opencontainers.image.revision", commit);
        let image = || built_from(COMMIT);
        match fault {
            Fault::TagMissing => return self.pair.deploy(version).finish(),
            Fault::Image(words) => {
                let words = format!("{}:{words}", place.role());
                self.pair.push(image().behaving(&words));
            }
            Fault::OldVersion => {
                let words = format!("{}:claim={}", place.role(), self.live);
                self.pair.push(image().behaving(&words));
            }
            Fault::WrongRevision => self.pair.push(built_from("0000000")),
            Fault::DiskFull | Fault::NoRoom => self.pair.push(image().with_noise(16)),
            _ => self.pair.push(image()),
        }
        match fault {
            Fault::RegistryDown => self.without_registry(version),
            Fault::Unauthorised => self.unauthorised(version),
            Fault::DiskFull => self.on_a_full_disk(8, version),
            Fault::NoRoom => self.on_a_full_disk(0, version),
            Fault::PortTaken => self.on_a_taken_port(place, version),
            Fault::NetworkMissing => {
                let port = self.pair.container(place).1;
                self.described(place, port, "engram-no-such-network", version)
            }
            Fault::Edited => self.edited(place, version),
            Fault::DockerKilled => self.killed(place, version),
            _ => self.pair.deploy(version).finish(),
        }
    }

    fn without_registry(&mut self, version: &str) -> Answer {
        self.pair.way.close();
        let answer = self.pair.deploy(version).finish();
        self.pair.way.open();
        answer
    }

    fn unauthorised(&mut self, version: &str) -> Answer {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        self.pair.way.answer(401, body);
        let answer = self.pair.deploy(version).finish();
        self.pair.way.open();
        answer
    }

    fn on_a_full_disk(&mut self, left: usize, version: &str) -> Answer {
        self.engine.fill(left);
        let answer = self.pair.deploy(version).finish();
        self.engine.make_room();
        answer
    }

    fn on_a_taken_port(&mut self, place: Place, version: &str) -> Answer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        self.described(place, port, "bridge", version)
    }

    /// Deploys while a container is described like this; what was written must be there afterwards, as it was.
    fn described(&mut self, place: Place, port: u16, network: &str, version: &str) -> Answer {
        let (name, own) = self.pair.container(place).clone();
        self.pair.describe(place, port, network, &self.live);
        let text = |pair: &Pair| (pair.backend == Backend::Unraid).then(|| pair.unraid.read(&name));
        let before = text(&self.pair);
        let answer = self.pair.deploy(version).finish();
        assert_eq!(
            text(&self.pair),
            before,
            "the template is not back, byte for byte"
        );
        self.pair.describe(place, own, "bridge", &self.live);
        answer
    }

    /// On Unraid: its form is sent with the version that it showed, between our writing and the script's reading. With
    /// declarations: half a file, after the checks.
    fn edited(&mut self, place: Place, version: &str) -> Answer {
        let (name, port) = self.pair.container(place).clone();
        match self.pair.backend {
            Backend::Unraid => {
                let (image, live) = (self.pair.image(), &self.live);
                let edit = format!(
                    "[ \"$1\" != {name} ] || sed -i 's|{image}:{version}|{image}:{live}|' \"$TEMPLATE_DIR/my-{name}.xml\""
                );
                self.pair.unraid.before_each(&edit);
                let answer = self.pair.deploy(version).finish();
                self.pair.unraid.behave("");
                answer
            }
            Backend::Docker => {
                let folder = self.pair.deployer.folder();
                let file = folder.join(&format!("containers/{name}.json"));
                let edit = format!(
                    "case \" $* \" in *' pull '*) printf '{{' >{};; esac\n",
                    file.display()
                );
                let hook = folder.write("hook", edit);
                let answer = self.pair.deploy(version).finish();
                std::fs::remove_file(hook).expect("taking the hook away");
                self.pair.describe(place, port, "bridge", &self.live);
                answer
            }
        }
    }

    /// Dockerd dies while the container is replaced, on Unraid under the script's hands, and is back two seconds later.
    fn killed(&mut self, place: Place, version: &str) -> Answer {
        let name = self.pair.container(place).0.clone();
        let begun = self.pair.deployer.folder().join("begun");
        let script = format!("[ \"$1\" != {name} ] || {{ : >{}; sleep 1; }}", begun.display());
        self.pair.unraid.before_each(&script);
        let mut call = self.pair.deploy(version);
        match self.pair.backend {
            Backend::Unraid => wait_until("the script begins", SOON, || begun.exists()),
            Backend::Docker => drop(call.wait_for(&format!("{name}: stopping "))),
        }
        self.engine.kill();
        sleep(Duration::from_secs(2));
        self.engine.start_again();
        self.pair.unraid.behave("");
        let _ = std::fs::remove_file(begun);
        call.finish()
    }
}
