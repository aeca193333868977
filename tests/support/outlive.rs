//! The scene of a run that outlives what started it, whatever that was.

use super::curl::{Answer, Call, Client};
use super::deployer::AUDIENCE;
use super::oidc::Issuer;
use serde_json::Value;

/// What a deploy says when it has come to the gate.
pub const AT_THE_GATE: &str = "before the gate";

/// A deploy as shell text: it says something, waits until `gate` exists, and says something more.
pub fn gated(gate: &str) -> String {
    format!("echo {AT_THE_GATE}; env; while [ ! -e {gate} ]; do sleep 0.05; done; echo after the gate")
}

/// Who asks the daemon, and for what.
pub struct Caller<'a> {
    /// For the daemon, whoever is it at the time.
    pub client: Client,
    /// Who signs.
    pub issuer: &'a Issuer,
}

impl Caller<'_> {
    /// Asks for a deploy.
    pub fn post(&self) -> Call {
        let token = self.issuer.mint(AUDIENCE);
        self.client
            .start_post("/deploy", &token, r#"{"version":"1.2.3"}"#)
    }

    /// A run that has come to the gate; its id.
    #[track_caller]
    pub fn run(&self) -> (Call, String) {
        let mut call = self.post();
        let first: Value = serde_json::from_str(&call.wait_for("run_id")).unwrap();
        call.wait_for(AT_THE_GATE);
        (call, first["run_id"].as_str().unwrap().to_owned())
    }

    /// What runs, what waits, and what ran.
    #[track_caller]
    pub fn runs(&self) -> Value {
        let answer = self.client.get("/runs");
        serde_json::from_str(&answer.body()).unwrap_or_else(|error| panic!("/runs: {error}: {answer:?}"))
    }

    /// The promise: a run at the gate outlives what `replace` does to the daemon. The one that is there afterwards shows
    /// the run, follows it, and has the next one wait for it. What the first caller was told, and what a follower was.
    #[track_caller]
    pub fn a_run_outlives(&self, replace: impl FnOnce(), open_gate: impl FnOnce()) -> (Answer, Answer) {
        let (call, id) = self.run();
        assert_eq!(self.client.get("/healthz").status, 200, "while it runs");
        replace();
        assert_eq!(self.runs()["running"]["run_id"], id.as_str());
        let mut second = self.post();
        let queued: Value = serde_json::from_str(&second.wait_for("queued")).unwrap();
        assert!(queued["message"].as_str().unwrap().contains(&id), "{queued}");
        let path = format!("/runs/{id}/log");
        let follower = self.client.start_get(&path, &self.issuer.mint(AUDIENCE));
        open_gate();
        let (first, followed, second) = (call.finish(), follower.finish(), second.finish());
        followed.assert_ok();
        second.assert_ok();
        let runs = self.runs();
        let listed: Vec<&Value> = runs["runs"]
            .as_array()
            .unwrap()
            .iter()
            .take(2)
            .map(|run| &run["run_id"])
            .collect();
        assert_eq!(listed, [&second.outcome()["run_id"], &Value::from(id)]);
        assert_eq!(runs["running"], Value::Null);
        (first, followed)
    }
}
