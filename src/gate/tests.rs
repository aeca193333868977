use super::support::{AUDIENCE, Folder, ISSUER, NOW, at, good_claims};
use super::*;
#[cfg(feature = "terraform")]
use crate::config::TerraformBody;
use crate::config::{BodyRule, Expected, Pin};
use crate::jwt::mint::Key;
use serde_json::{Value, json};
use std::cell::Cell;

const RUN: &str = "20260102T030405Z-0123abcd";
const OTHER_RUN: &str = "20260102T030406Z-89abcdef";
const WORKFLOW: &str = "engram-app/engram/.github/workflows/deploy.yml@refs/heads/main";

/// A world in which everything is right; a test spoils one thing.
struct World {
    folder: Folder,
    memory: Memory,
    allowed: Sources,
    endpoint: Endpoint,
    peer: IpAddr,
    request: Request,
    now: u64,
    issuer_answers: bool,
    room: bool,
    reserved: Cell<u32>,
    given_back: Cell<u32>,
}

type Spoil = fn(&mut World);

#[derive(Debug)]
struct Place<'w> {
    run_id: &'static str,
    given_back: Option<&'w Cell<u32>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.given_back.inspect(|count| count.set(count.get() + 1));
    }
}

fn pin(claim: &str, values: &[&str]) -> Pin {
    Pin {
        claim: claim.into(),
        expected: Expected::AnyOf(values.iter().map(|value| value.to_string()).collect()),
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        name: "deploy",
        path: "/deploy",
        audience: AUDIENCE.into(),
        pins: vec![
            pin("repository", &["engram-app/engram"]),
            pin("workflow_ref", &["other", WORKFLOW]),
            pin("ref", &["refs/heads/main"]),
        ],
        body: BodyRule::Deploy,
        job: Job::Deploy,
    }
}

impl World {
    fn new() -> World {
        let folder = Folder::new();
        let memory = Memory::of(folder.path());
        memory.create(None).unwrap();
        let request = Request {
            method: "POST".into(),
            path: "/deploy".into(),
            authorization: vec![format!("Bearer {}", Key::shared().sign(&good_claims("id-1")))],
            body: r#"{"version":"1.2.3"}"#.into(),
        };
        World {
            folder,
            memory,
            allowed: Sources::parse("192.0.2.0/24").unwrap(),
            endpoint: endpoint(),
            peer: "192.0.2.7".parse().unwrap(),
            request,
            now: NOW,
            issuer_answers: true,
            room: true,
            reserved: Cell::new(0),
            given_back: Cell::new(0),
        }
    }

    fn with_claim(mut self, name: &str, value: Value) -> World {
        let mut claims = good_claims("id-1");
        claims.insert(name.into(), value);
        self.request.authorization = vec![format!("Bearer {}", Key::shared().sign(&claims))];
        self
    }

    fn token(&self) -> &str {
        self.request.authorization[0].strip_prefix("Bearer ").unwrap()
    }

    /// Another signature of the same length.
    fn forge(&mut self) {
        let header = &mut self.request.authorization[0];
        let first = header.rfind('.').unwrap() + 1;
        let other = if header[first..].starts_with('A') {
            "B"
        } else {
            "A"
        };
        header.replace_range(first..=first, other);
    }

    fn with_gates<T>(&self, act: impl FnOnce(&Gates<'_>) -> T) -> T {
        let fetch = || {
            if self.issuer_answers {
                Ok(Key::shared().jwks())
            } else {
                Err("no route to host".to_owned())
            }
        };
        let keys = Keys::new(
            self.folder.path(),
            self.folder.path(),
            "https://issuer.example/jwks",
            &fetch,
        );
        act(&Gates {
            allowed: &self.allowed,
            issuer: ISSUER,
            keys,
            memory: self.memory.clone(),
            now: at(self.now),
        })
    }

    fn admit(&self) -> Result<(Grant, Place<'_>), Refusal> {
        self.with_gates(|gates| {
            let permitted = permit(self.peer, &self.request, &self.endpoint, gates)?;
            let place = self.reserve()?;
            Ok((admit(permitted, place.run_id, gates)?, place))
        })
    }

    fn reserve(&self) -> Result<Place<'_>, Refusal> {
        self.reserved.set(self.reserved.get() + 1);
        match self.room {
            true => Ok(Place {
                run_id: RUN,
                given_back: Some(&self.given_back),
            }),
            false => Err(Refusal::QUEUE_FULL),
        }
    }

    fn read(&self, run_id: &str) -> Result<Reader, Refusal> {
        self.with_gates(|gates| admit_reader(self.peer, &self.request, &self.endpoint, gates, run_id))
    }

    fn explain(&self) -> Vec<Finding> {
        self.with_gates(|gates| explain(self.token().as_bytes(), &self.endpoint, gates))
    }

    fn refused(&self) -> (u16, String) {
        let refusal = self.admit().map(|_| ()).unwrap_err();
        (refusal.status, refusal.sentence.into_owned())
    }
}

#[test]
fn a_good_request_is_granted_with_what_it_asked_for_and_who_asked() {
    let world = World::new();
    let permitted = world
        .with_gates(|gates| permit(world.peer, &world.request, &world.endpoint, gates))
        .unwrap();
    let (grant, place) = world.admit().unwrap();
    assert_eq!((permitted.endpoint(), permitted.job()), ("deploy", Job::Deploy));
    let version = match permitted.task() {
        Task::Deploy(DeployTask { version, .. }) => version,
        #[cfg(feature = "terraform")]
        other => panic!("{other:?}"),
    };
    assert_eq!(version.to_string(), "1.2.3");
    assert_eq!(permitted.claims()["actor"], "octocat");
    assert_eq!(permitted.token(), TokenId::of_jti(ISSUER, "id-1"));
    assert_eq!(
        world.memory.run_of(&permitted.token()).unwrap().as_deref(),
        Some(place.run_id)
    );
    assert_eq!(grant.reader().run_id(), RUN);
    assert!(
        !format!("{grant:?}{permitted:?}").contains(world.token()),
        "the token is not in what is kept"
    );
    assert_eq!(Authority::from(grant).run_id(), RUN);
}

/// The commit that a good token is for.
#[cfg(feature = "terraform")]
const COMMIT: &str = "abc1234abc1234abc1234abc1234abc1234abc12";

/// A world in which an apply of this commit is asked for.
#[cfg(feature = "terraform")]
fn applying(sha: &str, require_sha: bool) -> World {
    let mut world = World::new();
    world.endpoint.job = Job::TfApply;
    world.endpoint.body = BodyRule::Terraform(TerraformBody {
        what: Job::TfApply,
        modules: vec!["default".into()],
        require_sha,
        require_digest: false,
    });
    world.request.body = format!(r#"{{"sha":"{sha}"}}"#);
    world
}

#[cfg(feature = "terraform")]
#[test]
fn a_commit_that_the_token_is_not_for_is_not_applied() {
    let other = "0".repeat(40);
    let refusal = (403, "sha not permitted: it must be that of the token".to_owned());
    assert!(applying(COMMIT, true).admit().is_ok());
    assert_eq!(applying(&other, true).refused(), refusal);
    assert!(applying(&other, false).admit().is_ok());
    for claim in [
        json!(null),
        json!([COMMIT]),
        json!(""),
        json!(COMMIT.to_uppercase()),
    ] {
        let world = applying(COMMIT, true).with_claim("sha", claim.clone());
        assert_eq!(world.refused(), refusal, "{claim}");
    }
    let mut claims = good_claims("id-1");
    claims.remove("sha");
    let mut without = applying(COMMIT, true);
    without.request.authorization = vec![format!("Bearer {}", Key::shared().sign(&claims))];
    assert_eq!(without.refused(), refusal);
    // Neither spends the token.
    assert_eq!(
        without.memory.run_of(&TokenId::of_jti(ISSUER, "id-1")).unwrap(),
        None
    );
}

#[test]
fn every_gate_refuses_in_its_own_words() {
    let cases: [(&str, Spoil, u16, &str); 9] = [
        (
            "source",
            |w| w.peer = "198.51.100.1".parse().unwrap(),
            403,
            "source IP not permitted",
        ),
        (
            "header",
            |w| w.request.authorization.clear(),
            401,
            "missing or malformed Authorization header",
        ),
        (
            "shape",
            |w| w.request.authorization[0] = "Bearer a.b".into(),
            401,
            "token rejected: three parts",
        ),
        ("signature", World::forge, 401, "token rejected: signature"),
        (
            "keys",
            |w| w.issuer_answers = false,
            503,
            "the issuer's keys cannot be had",
        ),
        ("time", |w| w.now = NOW + 330, 401, "token rejected: expiry (exp)"),
        (
            "audience",
            |w| w.endpoint.audience = "engram-tf-apply".into(),
            401,
            "token rejected: audience (aud)",
        ),
        (
            "body",
            |w| w.request.body = r#"{"version":"latest"}"#.into(),
            400,
            "version must match X.Y.Z semver",
        ),
        ("room", |w| w.room = false, 503, "the queue is full"),
    ];
    for (gate, spoil, status, sentence) in cases {
        let mut world = World::new();
        spoil(&mut world);
        assert_eq!(world.refused(), (status, sentence.to_owned()), "{gate}");
        assert_eq!(world.memory.inspect(), Ok(0), "{gate} burned the token");
    }
}

#[test]
fn a_gate_is_not_asked_before_the_one_in_front_of_it() {
    // Everything is wrong; what is mended first, from the outside in, is what stops complaining.
    let mut world = World::new().with_claim("repository", json!("evil/engram"));
    world.peer = "198.51.100.1".parse().unwrap();
    let token = world.request.authorization.remove(0);
    world.issuer_answers = false;
    world.request.body = "nonsense".into();
    world.room = false;
    let mut told = vec![world.refused().1];
    world.peer = "192.0.2.1".parse().unwrap();
    told.push(world.refused().1);
    world.request.authorization = vec![token];
    told.push(world.refused().1);
    world.issuer_answers = true;
    world.now += 60;
    told.push(world.refused().1);
    let mut world = World {
        request: World::new().request,
        ..world
    };
    world.request.body = "nonsense".into();
    told.push(world.refused().1);
    world.request.body = r#"{"version":"1.2.3"}"#.into();
    told.push(world.refused().1);
    world.room = true;
    drop(world.admit().unwrap());
    told.push(world.refused().1);
    assert_eq!(
        told,
        [
            "source IP not permitted",
            "missing or malformed Authorization header",
            "the issuer's keys cannot be had",
            "token rejected: claim repository",
            "body must be a JSON object with each name once",
            "the queue is full",
            "token replay detected",
        ]
    );
}

#[test]
fn every_pin_is_compared_whole() {
    for (claim, value) in [
        ("repository", json!("Engram-App/engram")),
        ("repository", json!("engram-app/engram2")),
        ("repository", json!(["engram-app/engram"])),
        ("repository", json!(null)),
        (
            "workflow_ref",
            json!("engram-app/engram/.github/workflows/deploy.yml@refs/heads/evil"),
        ),
        ("workflow_ref", json!(format!("{WORKFLOW}2"))),
        ("workflow_ref", json!(format!("x{WORKFLOW}"))),
        ("ref", json!("refs/heads/main\u{0}")),
        ("ref", json!("")),
    ] {
        let world = World::new().with_claim(claim, value.clone());
        assert_eq!(
            world.refused(),
            (401, format!("token rejected: claim {claim}")),
            "{value}"
        );
        let detail = world.admit().unwrap_err().detail;
        assert!(!detail.contains('\0'), "{detail}");
    }
    let mut world = World::new();
    world.endpoint.pins.push(pin("environment", &["production"]));
    assert_eq!(
        world.refused().1,
        "token rejected: claim environment",
        "a claim that is missing refuses"
    );
}

#[test]
fn an_endpoint_without_pins_lets_nobody_in() {
    let mut world = World::new();
    world.endpoint.pins.clear();
    assert_eq!(world.refused().0, 401);
}

#[test]
fn a_caller_never_learns_what_was_expected() {
    for world in [
        World::new().with_claim("repository", json!("evil/engram")),
        World::new().with_claim("iss", json!("https://evil.example")),
        World::new().with_claim("aud", json!("something")),
    ] {
        let refusal = world.admit().unwrap_err();
        for secret in ["engram", "issuer.example", "evil", "something"] {
            assert!(!refusal.sentence.contains(secret), "{}", refusal.sentence);
        }
        assert!(refusal.detail.contains("must be"), "{}", refusal.detail);
        assert!(!refusal.detail.contains(world.token()));
    }
}

#[test]
fn a_used_token_is_refused_before_a_place_is_taken() {
    let world = World::new();
    drop(world.admit().unwrap());
    assert_eq!((world.reserved.get(), world.given_back.get()), (1, 1));
    assert_eq!(world.refused(), (401, "token replay detected".into()));
    assert_eq!(world.reserved.get(), 1);
    assert_eq!(world.admit().unwrap_err(), Refusal::replay(RUN));
}

#[test]
fn a_token_that_was_used_since_it_was_permitted_is_refused() {
    let world = World::new();
    let admit_second = |gates: &Gates<'_>| {
        let permitted = permit(world.peer, &world.request, &world.endpoint, gates)?;
        drop(world.admit().unwrap());
        admit(permitted, OTHER_RUN, gates)
    };
    assert_eq!(world.with_gates(admit_second).unwrap_err(), Refusal::replay(RUN));
}

#[test]
fn one_memory_serves_all_endpoints() {
    let mut world = World::new();
    drop(world.admit().unwrap());
    world.endpoint.name = "other";
    world.endpoint.path = "/other";
    assert_eq!(world.refused().1, "token replay detected");
}

#[test]
fn a_damaged_memory_lets_nobody_in() {
    let world = World::new();
    std::fs::remove_file(world.folder.path().join("jti")).unwrap();
    assert_eq!(world.refused(), (503, "the replay memory cannot be used".into()));
    assert_eq!(world.read(RUN).unwrap_err().status, 503);
}

#[test]
fn a_reader_needs_no_first_use_and_spends_none() {
    let mut world = World::new();
    world.request.body.clear();
    assert_eq!(world.read(OTHER_RUN).unwrap().run_id(), OTHER_RUN);
    assert_eq!(world.memory.inspect(), Ok(0));
    world.request.body = r#"{"version":"1.2.3"}"#.into();
    drop(world.admit().unwrap());
    assert!(world.read(RUN).is_ok(), "the run that it started");
    assert_eq!(
        world.read(OTHER_RUN).unwrap_err().sentence,
        "token replay detected"
    );
}

#[test]
fn a_reader_passes_the_gates_of_the_endpoint() {
    let mut stranger = World::new();
    stranger.peer = "198.51.100.1".parse().unwrap();
    assert_eq!(stranger.read(RUN).unwrap_err().status, 403);
    let fork = World::new().with_claim("repository", json!("evil/engram"));
    assert_eq!(
        fork.read(RUN).unwrap_err().sentence,
        "token rejected: claim repository"
    );
    let late = World {
        now: NOW + 330,
        ..World::new()
    };
    assert_eq!(
        late.read(RUN).unwrap_err().sentence,
        "token rejected: expiry (exp)"
    );
}

fn fault<'f>(findings: &'f [Finding], rule: &str) -> Option<&'f str> {
    let finding = findings.iter().find(|finding| finding.rule == rule);
    let finding = finding.unwrap_or_else(|| panic!("no rule {rule:?} in {findings:#?}"));
    finding.fault.as_deref()
}

#[test]
fn explaining_a_good_token_passes_every_rule_and_spends_nothing() {
    let world = World::new();
    let findings = world.explain();
    assert!(
        findings.iter().all(|finding| finding.fault.is_none()),
        "{findings:#?}"
    );
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(
        rules,
        [
            "signature",
            "claim repository",
            "claim workflow_ref",
            "claim ref",
            "issuer, audience, times",
            "first use",
        ]
    );
    assert_eq!(world.memory.inspect(), Ok(0));
    drop(world.admit().unwrap());
    assert_eq!(
        fault(&world.explain(), "token replay detected"),
        Some(&*format!("it started run {RUN}"))
    );
}

#[test]
fn explaining_goes_on_after_a_claim_that_fails() {
    let mut world = World::new().with_claim("repository", json!("evil/engram\u{1b}"));
    world.now = NOW + 500;
    let findings = world.explain();
    assert!(fault(&findings, "expiry (exp)").is_some());
    let repository = fault(&findings, "claim repository").unwrap();
    assert!(
        repository.contains("must be `engram-app/engram`") && !repository.contains('\u{1b}'),
        "{repository}"
    );
    for rule in ["signature", "claim workflow_ref", "claim ref"] {
        assert_eq!(fault(&findings, rule), None, "{rule}");
    }
    assert_eq!(findings.len(), 5, "the first use is not asked for");
}

#[test]
fn explaining_does_not_read_claims_that_nobody_signed() {
    let mut world = World::new();
    world.forge();
    let findings = world.explain();
    assert!(fault(&findings, "signature").is_some());
    assert_eq!(findings.len(), 1);
    world.request.authorization[0] = "Bearer a.b.c.d".into();
    let findings = world.explain();
    assert!(fault(&findings, "three parts").is_some());
    assert_eq!(findings.len(), 1);
    let mut world = World::new();
    world.issuer_answers = false;
    let findings = world.explain();
    assert!(
        fault(&findings, "the issuer's keys cannot be had")
            .unwrap()
            .contains("no route to host")
    );
}

fn offered(headers: &[&str]) -> Option<String> {
    let headers: Vec<String> = headers.iter().map(|header| header.to_string()).collect();
    bearer_token(&headers).ok().map(String::from)
}

#[test]
fn exactly_one_bearer_token_is_taken() {
    assert_eq!(offered(&["Bearer a.b.c"]), Some("a.b.c".into()));
    for headers in [
        &[][..],
        &["Bearer a.b.c", "Bearer a.b.c"],
        &["Bearer a.b.c", ""],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Bearer  a.b.c"],
        &["Bearer a.b.c "],
        &["Bearer a.b.c d"],
        &["Bearer\ta.b.c"],
        &["bearer a.b.c"],
        &["BEARER a.b.c"],
        &["Basic a.b.c"],
        &["a.b.c"],
        &[" Bearer a.b.c"],
    ] {
        assert_eq!(offered(headers), None, "{headers:?}");
    }
}
