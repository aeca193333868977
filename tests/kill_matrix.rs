//! [kill_matrix] A run that is killed with KILL, before and after everything that it changes, costs nothing: whoever comes
//! next puts back what was half done, or finds it done, and doing that twice changes nothing more.
//!
//! Needs the cargo feature `failpoints`, which `tests/run.sh` turns on: each place where a run can be made to die stands
//! in a list here, which is compared with the source, and a place that no run came by fails the test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use engram_deployer::os::lock;
use serde_json::{Value, json};

use crate::rollback::{Pair, Picture};
use crate::support::process::text;
use crate::support::{long_tests, wait_until};

/// What a place is on the way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the new version: a deploy that would succeed comes by.
    Forward,
    /// Back to the old one: a deploy that fails comes by.
    Back,
}

/// Every place: its name, which backends come by (`unraid`, `docker`, or both), on which way.
const PLACES: &[(&str, &[&str], Way)] = {
    use Way::{Back, Forward};
    const UNRAID: &[&str] = &["unraid"];
    const DOCKER: &[&str] = &["docker"];
    const BOTH: &[&str] = &["unraid", "docker"];
    &[
        ("journal-begun", BOTH, Forward),
        ("tag-noted", BOTH, Forward),
        ("tagged", BOTH, Forward),
        ("container-noted", BOTH, Forward),
        ("template-written", UNRAID, Forward),
        ("created", DOCKER, Forward),
        ("old-renamed", BOTH, Forward),
        ("script-at-work", UNRAID, Forward),
        ("script-ended", UNRAID, Forward),
        ("next-renamed", DOCKER, Forward),
        ("old-policy-cleared", BOTH, Forward),
        ("old-stopped", BOTH, Forward),
        ("new-started", BOTH, Forward),
        ("healthy", BOTH, Forward),
        ("before-commit", BOTH, Forward),
        ("committed", BOTH, Forward),
        ("old-removed", BOTH, Forward),
        ("before-result", BOTH, Forward),
        ("result-written", BOTH, Forward),
        ("published", BOTH, Forward),
        ("journal-ended", BOTH, Forward),
        ("going-back", BOTH, Back),
        ("template-restored", UNRAID, Back),
        ("new-removed", BOTH, Back),
        ("old-renamed-back", BOTH, Back),
        ("old-policy-back", BOTH, Back),
        ("old-started-again", BOTH, Back),
        ("container-back", BOTH, Back),
        ("tag-back", BOTH, Back),
        ("gone-back", BOTH, Back),
    ]
};

/// Who completes the dead run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Recover,
    NextRequest,
}

/// One case.
#[derive(Clone, Copy, Debug)]
struct Case {
    place: &'static str,
    visit: u32,
    way: Way,
    by: By,
}

/// Places that are come by once for each container.
const OF_A_CONTAINER: &[&str] = &[
    "container-noted",
    "template-written",
    "created",
    "old-renamed",
    "script-at-work",
    "script-ended",
    "next-renamed",
    "old-stopped",
    "old-policy-cleared",
    "new-started",
    "healthy",
    "old-removed",
    "template-restored",
    "new-removed",
    "old-renamed-back",
    "old-policy-back",
    "old-started-again",
    "container-back",
];

/// From here on nothing goes back.
const COMMITTED: &[&str] = &[
    "committed",
    "old-removed",
    "before-result",
    "result-written",
    "published",
    "journal-ended",
];

/// The result is written, so it is what it would have been.
const RECORDED: &[&str] = &["result-written", "published", "journal-ended"];

fn cases(backend: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let here = PLACES
        .iter()
        .filter(|(_, backends, _)| backends.contains(&backend));
    for (index, (place, _, way)) in here.enumerate() {
        let visits = if OF_A_CONTAINER.contains(place) { 2 } else { 1 };
        for visit in 1..=visits {
            for by in [By::Recover, By::NextRequest] {
                // By turns, but for the first visit where all is asked for.
                let turn = (index + usize::from(by == By::NextRequest)) % 2 == 0;
                if (turn && (visit == 1 || long_tests())) || (visit == 1 && long_tests()) {
                    let (place, way) = (*place, *way);
                    cases.push(Case {
                        place,
                        visit,
                        way,
                        by,
                    });
                }
            }
        }
    }
    cases
}

struct Matrix {
    pair: Pair,
    versions: [&'static str; 2],
    live: usize,
}

impl Matrix {
    /// Starts a deploy that dies where the case says, and waits until it has; the run's id.
    fn die(&self, case: &Case, version: &str) -> String {
        let place = format!("{}@{}", case.place, case.visit);
        let deployer = &self.pair.host.deployer;
        let mut command = deployer.command(&["deploy", version]);
        command
            .env("DEPLOYER_FAILPOINT", place)
            .env("DEPLOYER_HEALTH_STEADY", "10ms");
        if case.way == Way::Back {
            // Nobody answers at the second one's health URL.
            let all = deployer.setting("DEPLOYER_CONTAINERS");
            let name = self.pair.names()[1];
            let (first, _) = all.split_once(',').expect("two containers");
            command
                .env(
                    "DEPLOYER_CONTAINERS",
                    format!("{first},{name}=http://127.0.0.1:1/"),
                )
                .env("DEPLOYER_HEALTH_MAX_WAIT", "300ms");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting a deploy");
        let mut line = String::new();
        let output = child.stdout.take().expect("standard output is piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its first line");
        // Its follower would have it completed.
        child
            .kill()
            .and_then(|()| child.wait().map(drop))
            .expect("killing a follower");
        let first: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no event: {line}"));
        let id = first["run_id"].as_str().expect("a run id").to_owned();
        let ticket = self.ticket(&id).expect("a ticket");
        wait_until("the run has ended", Duration::from_secs(60), || {
            !lock::is_held(&ticket).expect("a ticket")
        });
        assert!(ticket.exists(), "{case:?}: no run came by");
        id
    }

    fn ticket(&self, id: &str) -> Option<PathBuf> {
        let queue = self.pair.host.deployer.runtime().join("queue");
        let entries = std::fs::read_dir(queue).expect("the queue").flatten();
        let mut paths = entries.map(|entry| entry.path());
        paths.find(|path| path.to_string_lossy().ends_with(id))
    }

    fn complete(&self, case: &Case) {
        match case.by {
            By::Recover => {
                let output = self.pair.host.deployer.run(&["recover"]);
                assert!(output.status.success(), "{case:?}: {}", text(&output.stderr));
            }
            By::NextRequest => {
                let ask = json!({"version": self.versions[self.live], "dry_run": true});
                self.pair.host.start_deploy(ask).finish().assert_ok();
            }
        }
    }

    fn outcome(&self, id: &str) -> Value {
        let path = self.pair.host.deployer.runs().join(id).join("result.json");
        let record = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let record: Value = serde_json::from_slice(&record).expect("a record is JSON");
        record["outcome"].clone()
    }

    /// One case; what everything is like afterwards.
    fn take(&mut self, case: &Case, before: &Picture) -> Picture {
        let version = self.versions[1 - self.live];
        if let Some(unraid) = &self.pair.host.unraid {
            // Longer than it takes to be killed, so that the script lives on.
            unraid.pause(u32::from(case.place == "script-at-work"));
        }
        let id = self.die(case, version);
        self.complete(case);
        let after = self.pair.healthy_picture();
        let outcome = self.outcome(&id);
        assert!(self.ticket(&id).is_none(), "{case:?}: its ticket is left");
        let committed = case.way == Way::Forward && COMMITTED.contains(&case.place);
        if committed {
            assert_eq!(outcome["status"], "ok", "{case:?}: {outcome}");
            let live = [version, version].map(|version| Some(version.to_owned()));
            assert_eq!(after.versions, live, "{case:?}");
            assert_eq!(after.containers.len(), 2, "{case:?}: {after:#?}");
            self.live = 1 - self.live;
        } else {
            assert_eq!(outcome["status"], "fail", "{case:?}: {outcome}");
            let error = outcome["error"].as_str().expect("an error");
            assert!(!error.contains("FAILED"), "{case:?}: {error}");
            assert_eq!(after, *before, "{case:?}: {outcome}");
        }
        let interrupted = !RECORDED.contains(&case.place);
        assert_eq!(
            outcome.get("interrupted"),
            interrupted.then_some(&json!(true)),
            "{case:?}"
        );
        // Again: nothing changes any more.
        let output = self.pair.host.deployer.run(&["recover"]);
        assert_eq!(text(&output.stdout), "no run is dead\n", "{case:?}");
        assert_eq!(self.outcome(&id), outcome);
        assert_eq!(self.pair.picture(), after, "{case:?}");
        after
    }
}

fn promise(backend: &str) {
    let pair = Pair::new(backend, |setup| {
        setup.set("DEPLOYER_KEEP_RUNS", "500");
    });
    crate::support::images::Image::of("2.1.0").push(&pair.host.registry.image());
    let mut before = pair.healthy_picture();
    let mut matrix = Matrix {
        pair,
        versions: ["2.0.0", "2.1.0"],
        live: 1,
    };
    for case in cases(backend) {
        before = matrix.take(&case, &before);
    }
}

#[test]
fn on_unraid_a_run_that_is_killed_anywhere_costs_nothing() {
    promise("unraid");
}

#[test]
fn with_docker_a_run_that_is_killed_anywhere_costs_nothing() {
    promise("docker");
}

#[test]
fn kill_matrix_lists_every_place_in_the_source() {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let source = std::fs::read_to_string(&path).expect("a source file");
                let places = source.split("failpoint!(\"").skip(1);
                found.extend(places.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    found.sort();
    found.dedup();
    let mut listed: Vec<_> = PLACES.iter().map(|(place, _, _)| (*place).to_owned()).collect();
    listed.sort();
    assert_eq!(found, listed);
}
