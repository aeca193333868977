//! Where the pulled image comes from: the commit that it names, and who signed it. Before anything is touched.
//!
//! The label is the builder's word and proves nothing against a builder; it finds a tag that was built from something
//! else than the caller thinks. The signature proves who built it; whatever keeps it from being checked refuses.

use super::{Deploy, Verified};
use crate::config::{Cosign, Revision};
use crate::deploy::docker::last_words;
use crate::event::Phase;
use crate::limits::COSIGN_DEADLINE;
use crate::run::{EndPolicy, Failure, RunContext, Tool, ToolEnd};

const LABEL: &str = "org.opencontainers.image.revision";

/// The commits that an image is held against.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    /// The request's, 7 to 40 digits.
    pub asked: Option<String>,
    /// The token's: what the CI job that asks runs on. Somebody on the host has none.
    pub token: Option<String>,
}

impl Deploy<'_> {
    /// Holds the image's own word for its commit against what was asked for.
    pub(super) fn check_revision(&self, ctx: &mut RunContext, label: Option<&str>) -> Result<(), Failure> {
        match judge(self.config.deploy().checks.revision, label, &self.commits) {
            Judged::Good => Ok(()),
            Judged::Odd(warning) => {
                ctx.say(Phase::Verify, &format!("warning: {warning}"));
                Ok(())
            }
            Judged::Refused(why) => Err(Failure::Failed(format!("{}: {why}", self.reference))),
        }
    }

    /// Has cosign check the signature of the digest that was pulled.
    pub(super) fn check_signature(
        &self,
        ctx: &mut RunContext,
        verified: &Verified,
        cosign: &Cosign,
    ) -> Result<(), Failure> {
        let unsigned = |why: &str| {
            Failure::Failed(format!(
                "the signature of {} was not verified: {why}",
                self.reference
            ))
        };
        let digest = verified
            .digest
            .as_ref()
            .ok_or_else(|| unsigned("the registry named no digest"))?;
        let image = format!("{}@{digest}", self.config.deploy().image);
        let tool = Tool {
            program: cosign.program.clone(),
            arguments: arguments(cosign, &image).map(Into::into).into(),
            environment: self.config.deploy().environment.clone(),
            deadline: COSIGN_DEADLINE,
            ending: EndPolicy::Terminate,
            stdin: None,
            cell: None,
            pipe: None,
        };
        // What it prints on success is the signatures themselves.
        match ctx.tool(&tool, &mut |_| None)? {
            ToolEnd::Ended(ended) if ended.exit.is_success() => {
                let message = format!(
                    "{image} was signed by {}, says {}",
                    cosign.identity, cosign.issuer
                );
                ctx.say(Phase::Verify, &message);
                Ok(())
            }
            ToolEnd::Ended(ended) => Err(unsigned(&last_words(&ended.tail, &ended.exit.to_string()))),
            ToolEnd::AtWork(at_work) => {
                ctx.kill(at_work)?;
                Err(unsigned("cosign did not end"))
            }
        }
    }
}

fn arguments<'a>(cosign: &'a Cosign, image: &'a str) -> [&'a str; 6] {
    [
        "verify",
        "--certificate-identity",
        &cosign.identity,
        "--certificate-oidc-issuer",
        &cosign.issuer,
        image,
    ]
}

/// What is to be thought of an image's label.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Good,
    Odd(String),
    Refused(String),
}

fn judge(rule: Revision, label: Option<&str>, commits: &Commits) -> Judged {
    let asked = [("request", &commits.asked), ("token", &commits.token)];
    let asked = asked
        .into_iter()
        .filter_map(|(who, sha)| Some((who, sha.as_deref()?)));
    let wrong = |(who, sha): (&str, &str)| {
        let label = label.unwrap_or_default();
        format!("the image's label {LABEL} says {label}, the {who} says {sha}")
    };
    match rule {
        Revision::Off => Judged::Good,
        Revision::Warn => {
            let other =
                |sha: &str| label.is_some_and(|label| !label.starts_with(sha) && !sha.starts_with(label));
            let mut asked = asked.filter(|(who, sha)| *who == "request" && other(sha));
            asked.next().map_or(Judged::Good, |odd| Judged::Odd(wrong(odd)))
        }
        Revision::On => {
            let mut asked = asked.peekable();
            match (label, asked.peek()) {
                (_, None) => Judged::Odd("no commit was named to hold the image's label against".into()),
                (None, _) => Judged::Refused(format!(
                    "the image has no label {LABEL}, and DEPLOYER_REQUIRE_REVISION=on wants one"
                )),
                (Some(label), _) => asked
                    .find(|(_, sha)| !label.starts_with(sha))
                    .map_or(Judged::Good, |other| Judged::Refused(wrong(other))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(asked: Option<&str>, token: Option<&str>) -> Commits {
        let owned = |sha: Option<&str>| sha.map(str::to_owned);
        Commits {
            asked: owned(asked),
            token: owned(token),
        }
    }

    const WHOLE: &str = "abc1234def";

    #[test]
    fn by_default_another_commit_is_worth_a_warning_and_no_more() {
        let judge = |label, asked| judge(Revision::Warn, label, &commits(asked, Some("fff")));
        for (label, asked) in [
            (Some(WHOLE), Some("abc1234")),
            (Some("abc1234"), Some(WHOLE)),
            (None, Some(WHOLE)),
            (Some(WHOLE), None),
        ] {
            assert_eq!(judge(label, asked), Judged::Good, "{label:?} {asked:?}");
        }
        let Judged::Odd(warning) = judge(Some("fff"), Some("abc1234")) else {
            panic!()
        };
        assert!(warning.contains("says fff, the request says abc1234"));
    }

    #[test]
    fn where_it_is_required_another_commit_refuses() {
        let judge = |label, asked, token| judge(Revision::On, label, &commits(asked, token));
        assert_eq!(judge(Some(WHOLE), Some("abc1234"), Some(WHOLE)), Judged::Good);
        assert_eq!(judge(Some(WHOLE), Some("abc1234"), None), Judged::Good);
        assert_eq!(judge(Some(WHOLE), None, Some(WHOLE)), Judged::Good);
        assert!(matches!(judge(Some(WHOLE), None, None), Judged::Odd(_)));
        for (label, asked, token, why) in [
            (Some("fff"), Some("abc1234"), None, "the request says abc1234"),
            (Some(WHOLE), Some("abc1234"), Some("fff"), "the token says fff"),
            (Some("abc1234"), Some(WHOLE), None, "the request says"),
            (None, Some("abc1234"), None, "no label"),
            (None, None, Some(WHOLE), "no label"),
        ] {
            let Judged::Refused(said) = judge(label, asked, token) else {
                panic!("{label:?} {asked:?} {token:?}")
            };
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn nothing_is_held_against_anything_when_switched_off() {
        assert_eq!(
            judge(Revision::Off, Some("fff"), &commits(Some("abc1234"), None)),
            Judged::Good
        );
    }
}
