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

impl Endpoint {
    /// All pins of `claim`; every one of them must hold.
    pub fn pins_of<'a>(&'a self, claim: &'a str) -> impl Iterator<Item = &'a Pin> {
        self.pins.iter().filter(move |pin| pin.claim == claim)
    }
}

/// One claim and what it must be. A missing claim refuses.
#[derive(Clone, Debug)]
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

impl Expected {
    /// Whether a claim that is `value` holds. Whole, byte for byte: no case folding, no patterns.
    pub fn admits(&self, value: &str) -> bool {
        match self {
            Expected::AnyOf(values) => values.iter().any(|one| one == value),
            Expected::PullRequestOf(prefix) => {
                value.strip_prefix(prefix.as_str()).is_some_and(is_pull_request)
            }
        }
    }
}

/// `refs/pull/<number>/merge`; the number as GitHub writes it, so that one pull request has one spelling.
fn is_pull_request(reference: &str) -> bool {
    let number = reference
        .strip_prefix("refs/pull/")
        .and_then(|rest| rest.strip_suffix("/merge"));
    number.is_some_and(|digits| {
        (1..=10).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The shape of a request's body.
#[derive(Clone, Debug)]
pub enum BodyRule {
    /// `{"version":"X.Y.Z","sha":"<7-40 hex, optional>","dry_run":bool,"force":bool}`.
    Deploy,
    /// `{"sha":"<40 hex>","module":"<name>","approved_pr":7}`, and for an apply `"plan_digest":"sha256:<64 hex>"` and
    /// `"allow_destroy":bool`; all but `sha` optional, and none of them silently without effect.
    #[cfg(feature = "terraform")]
    Terraform(TerraformBody),
}

/// The name of the module that a request means when it names none.
pub const DEFAULT_MODULE: &str = "default";

/// What a body for terraform may name.
#[derive(Clone, Debug)]
pub struct TerraformBody {
    /// [`Job::TfPlan`] or [`Job::TfApply`]; what it asks for beyond a plan's is refused in a plan's.
    pub what: Job,
    /// Names of modules; another one is refused with this list.
    pub modules: Vec<String>,
    /// Whether the body's `sha` must be the token's `sha` claim (`DEPLOYER_TF_APPLY_REQUIRE_SHA`).
    pub require_sha: bool,
    /// Whether an apply must name the digest of the plan that was reviewed (`DEPLOYER_TF_APPLY_REQUIRE_DIGEST`).
    pub require_digest: bool,
}

/// What an endpoint starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// The steps of [`crate::deploy`].
    Deploy,
    /// The steps of [`crate::terraform`], up to the plan.
    TfPlan,
    /// All of them.
    TfApply,
    /// A look at what has drifted; from the host alone.
    TfDrift,
}

impl Job {
    /// The name of its endpoint, of its command and of its status document.
    pub fn name(self) -> &'static str {
        match self {
            Job::Deploy => "deploy",
            Job::TfPlan => "tf-plan",
            Job::TfApply => "tf-apply",
            Job::TfDrift => "tf-drift",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_only_whole_and_byte_for_byte() {
        let expected = Expected::AnyOf(vec!["push".into(), "workflow_dispatch".into()]);
        for (value, holds) in [
            ("push", true),
            ("workflow_dispatch", true),
            ("Push", false),
            ("push ", false),
            ("pus", false),
            ("pushx", false),
            ("", false),
            ("push,workflow_dispatch", false),
        ] {
            assert_eq!(expected.admits(value), holds, "{value:?}");
        }
    }

    #[test]
    fn the_one_prefix_pin_ends_in_exactly_a_pull_request() {
        let expected = Expected::PullRequestOf("a/b/.github/workflows/plan.yml@".into());
        for (rest, holds) in [
            ("refs/pull/7/merge", true),
            ("refs/pull/1234567890/merge", true),
            ("refs/pull//merge", false),
            ("refs/pull/07/merge", false),
            ("refs/pull/7/head", false),
            ("refs/pull/7/merge/merge", false),
            ("refs/pull/x/merge", false),
            ("refs/pull/-7/merge", false),
            ("refs/heads/main", false),
            ("", false),
            ("refs/pull/7/merge ", false),
            ("refs/pull/\u{0667}/merge", false),
            ("refs/pull/12345678901/merge", false),
        ] {
            let value = format!("a/b/.github/workflows/plan.yml@{rest}");
            assert_eq!(expected.admits(&value), holds, "{rest:?}");
        }
        assert!(!expected.admits("x/b/.github/workflows/plan.yml@refs/pull/7/merge"));
    }
}
