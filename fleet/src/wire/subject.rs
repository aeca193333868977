//! Subjects: where a message goes. async-nats lets empty tokens and wildcards pass in a publish; these types do not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::names::checked_string;
use super::{Hostname, Invalid, Role, RunId, Tier};

/// Where statuses go: `deploy.responses.` and one or two tokens. Anything else would make the listener publish for others.
pub const RESPONSES: &str = "deploy.responses";
/// The subject of discovery, unless it is set.
pub const DISCOVER: &str = "deploy.discover";

fn tokens_are_well_formed(text: &str) -> bool {
    text.len() <= 255
        && text.split('.').all(|token| !token.is_empty() && !token.chars().any(|c| c.is_control() || c.is_whitespace()))
}

/// Whether one subject, wildcards in it allowed, covers something that the other covers.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

checked_string!(
    /// A subject to subscribe to; wildcards are allowed.
    Subject
);

impl FromStr for Subject {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wild = text.split('.').enumerate().all(|(index, token)| {
            let last = index + 1 == text.split('.').count();
            match token {
                "*" => true,
                ">" => last,
                token => !token.contains(['*', '>']),
            }
        });
        if !tokens_are_well_formed(text) || !wild {
            return Err(Invalid(format!(
                "subject {text:?}: tokens joined by dots, none empty, no white space; `*` and a last `>` alone are wildcards"
            )));
        }
        Ok(Subject(text.to_owned()))
    }
}

impl Subject {
    pub fn overlaps(&self, other: &str) -> bool {
        overlap(&self.0, other)
    }
}

checked_string!(
    /// A subject to publish a deploy to: no wildcards.
    Target
);

impl FromStr for Target {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !tokens_are_well_formed(text) || text.contains(['*', '>']) {
            return Err(Invalid(format!(
                "target {text:?}: tokens joined by dots, none empty, no wildcards, no white space, no control characters"
            )));
        }
        Ok(Target(text.to_owned()))
    }
}

impl Target {
    pub fn host(tier: Tier, host: &Hostname) -> Self {
        Target(format!("deploy.{tier}.{host}"))
    }

    pub fn all(tier: Tier) -> Self {
        Target(format!("deploy.{tier}.all"))
    }

    pub fn role(tier: Tier, role: &Role) -> Self {
        Target(format!("deploy.{tier}.role.{role}"))
    }

    /// A subject beside this one that no host listens on, since no hostname begins with `_`.
    pub fn beside(&self) -> Target {
        let parent = self.0.rsplit_once('.').map_or("deploy", |(parent, _)| parent);
        Target(format!("{parent}._check"))
    }

    /// Whether a host that subscribed to these subjects gets what is published here.
    pub fn reaches(&self, subjects: &[Subject]) -> bool {
        subjects.iter().any(|subject| subject.overlaps(&self.0))
    }
}

checked_string!(
    /// Where the statuses of one deploy go.
    ReplyTo
);

impl FromStr for ReplyTo {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let token = |token: &str| {
            (1..=64).contains(&token.len())
                && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let rest = text.strip_prefix(RESPONSES).and_then(|rest| rest.strip_prefix('.'));
        match rest {
            Some(rest) if rest.split('.').count() <= 2 && rest.split('.').all(token) => Ok(ReplyTo(text.to_owned())),
            _ => Err(Invalid(format!("reply_to {text:?}: `{RESPONSES}.` and one or two tokens of A-Z a-z 0-9 _ -"))),
        }
    }
}

impl ReplyTo {
    /// A fresh one, below the deployer's own token where it has one.
    pub fn of(id: &RunId, deployer: Option<&Role>) -> Self {
        match deployer {
            Some(deployer) => ReplyTo(format!("{RESPONSES}.{deployer}.{id}")),
            None => ReplyTo(format!("{RESPONSES}.{id}")),
        }
    }

    /// The id of a request that names none: the Go tool makes a fresh reply subject for each.
    pub fn id(&self) -> RunId {
        let tokens = self.0[RESPONSES.len() + 1..].replace('.', "-");
        tokens.parse().expect("the tokens of a reply subject are fit for an id")
    }
}

/// A subject with `<hostname>`, `<tier>`, `<role>` in it, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// The subjects of a host that says nothing else.
pub const TEMPLATES: [&str; 3] = ["deploy.<tier>.<hostname>", "deploy.<tier>.all", "deploy.<tier>.role.<role>"];

impl FromStr for Template {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = text.replace("<hostname>", "h").replace("<tier>", "t").replace("<role>", "r");
        if plain.contains('<') {
            return Err(Invalid(format!("deploy subject {text:?}: the variables are <hostname>, <tier> and <role>")));
        }
        plain.parse::<Subject>().map_err(|why| Invalid(format!("deploy subject {text:?}: {why}")))?;
        Ok(Template(text.to_owned()))
    }
}

impl Template {
    /// The subject of this host; `None` where the template has a role and the host has none.
    pub fn expand(&self, host: &Hostname, tier: Tier, role: Option<&Role>) -> Option<Subject> {
        let mut text = self.0.replace("<hostname>", host.as_str()).replace("<tier>", tier.as_str());
        if text.contains("<role>") {
            text = text.replace("<role>", role?.as_str());
        }
        Some(text.parse().expect("names are tokens, so that an expanded template is a subject"))
    }
}

/// What a host subscribes to. Refused where a deploy subject covers responses or discovery: the listener would hear itself.
pub fn expand(
    templates: &[Template],
    host: &Hostname,
    tier: Tier,
    role: Option<&Role>,
    discover: &Subject,
) -> Result<Vec<Subject>, Invalid> {
    let mut subjects: Vec<Subject> = Vec::new();
    for subject in templates.iter().filter_map(|template| template.expand(host, tier, role)) {
        for (other, name) in [("deploy.responses.>", "responses"), (discover.as_str(), "discovery")] {
            if subject.overlaps(other) {
                return Err(Invalid(format!(
                    "deploy subject {:?} overlaps {other:?}, the subject of {name}",
                    subject.as_str()
                )));
            }
        }
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    if subjects.is_empty() {
        return Err(Invalid("no deploy subject is left: each has <role>, and no role is set".to_owned()));
    }
    Ok(subjects)
}

/// The three subjects that are assumed of a host which announces none.
pub fn defaults(host: &Hostname, tier: Option<Tier>, role: Option<&Role>) -> Vec<Subject> {
    let tiers = tier.map_or(vec![Tier::Test, Tier::Prod], |tier| vec![tier]);
    let templates = TEMPLATES.map(|text| Template(text.to_owned()));
    tiers
        .into_iter()
        .flat_map(|tier| templates.iter().filter_map(move |template| template.expand(host, tier, role)))
        .collect()
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_reply_subjects_are_one_or_two_plain_tokens() {
        for good in ["deploy.responses.abc123", "deploy.responses.u1.abc_-9"] {
            assert!(good.parse::<ReplyTo>().is_ok(), "{good}");
        }
        for bad in [
            "deploy.prod.evil",
            "_INBOX.x",
            "deploy.responses",
            "deploy.responses.",
            "deploy.responses.>",
            "deploy.responses.*",
            "deploy.responses.a.b.c",
            "deploy.responses.a..b",
            "deploy.responses.a b",
            "deploy.responsesx.a",
        ] {
            assert!(bad.parse::<ReplyTo>().is_err(), "{bad}");
        }
        assert_eq!("deploy.responses.u1.x".parse::<ReplyTo>().unwrap().id().as_str(), "u1-x");
    }

    #[test]
    fn bad_input_targets_have_no_wildcards_and_no_empty_tokens() {
        for bad in ["deploy..x", "deploy.prod.*", "deploy.prod.>", ".x", "x.", "a b.c", "a.\u{7}b", ""] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        assert_eq!("deploy.prod.all".parse::<Target>().unwrap().beside().as_str(), "deploy.prod._check");
    }

    #[test]
    fn contract_subjects_match_with_wildcards_as_the_server_matches_them() {
        let reached =
            |target: &str, subject: &str| target.parse::<Target>().unwrap().reaches(&[subject.parse().unwrap()]);
        assert!(reached("deploy.test.all", "deploy.test.all"));
        assert!(reached("deploy.test.all", "deploy.*.all"));
        assert!(reached("a.b.c", "a.>"));
        assert!(!reached("a", "a.>"));
        assert!(!reached("a.b.c", "a.*"));
        assert!(!reached("deploy.test.all", "deploy.prod.all"));
    }

    #[test]
    fn contract_templates_expand_and_skip_a_missing_role() {
        let host = "dns1".parse().unwrap();
        let templates: Vec<Template> = TEMPLATES.iter().map(|text| text.parse().unwrap()).collect();
        let discover = DISCOVER.parse().unwrap();
        let names = |role: Option<&Role>| -> Vec<String> {
            let subjects = expand(&templates, &host, Tier::Prod, role, &discover).unwrap();
            subjects.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(None), ["deploy.prod.dns1", "deploy.prod.all"]);
        let role = "dns".parse().unwrap();
        assert_eq!(names(Some(&role)), ["deploy.prod.dns1", "deploy.prod.all", "deploy.prod.role.dns"]);
        for bad in ["deploy.<zone>.x", "deploy..<tier>", "a b", "x.<tier", "a.>.b"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
        for bad in ["deploy.>", "deploy.responses.<hostname>", "deploy.discover", "deploy.*"] {
            let template = [bad.parse().unwrap()];
            assert!(expand(&template, &host, Tier::Prod, None, &discover).is_err(), "{bad}");
        }
    }
}
