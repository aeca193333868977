//! An endpoint is data: path, pins, body rule, what it starts.

/// What can be asked for with a token.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name of its status file and in records: `deploy`.
    pub name: &'static str,
    /// The request's path, exactly. The method is POST.
    pub path: &'static str,
    /// Equal to a token's `aud`, which must be one string. Different for each endpoint, so that no token opens two.
    pub audience: String,
    /// Every one must hold; the list is never empty.
    pub pins: Vec<Pin>,
    /// What the body must be.
    pub body: BodyRule,
    /// What it starts.
    pub job: Job,
}

/// One claim and what it must be. A missing claim refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The claim's name, byte for byte.
    pub claim: String,
    /// What it must be.
    pub expected: Expected,
}

/// What a pinned claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One of these, whole, byte for byte. Never empty.
    AnyOf(Vec<String>),
    /// This text (which ends in `@`), followed by exactly `refs/pull/<number>/merge`.
    PullRequestOf(String),
}

/// The shape of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// `{"version":"X.Y.Z","sha":"<7-40 hex, optional>","dry_run":bool}`.
    Deploy,
}

/// What an endpoint starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// The steps of [`crate::deploy`].
    Deploy,
}
