//! Subjects: where a message goes. async-nats lets empty tokens and wildcards pass in a publish; these types do not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::names::{checked_string, is_token};
use super::{Hostname, Invalid, Role, RunId, Tier};

/// Where statuses go: `deploy.responses.` and one or two tokens. Anything else would make the listener publish for others.
pub const RESPONSES: &str = "deploy.responses";
/// The subject of discovery, unless it is set.
pub const DISCOVER: &str = "deploy.discover";

/// Tokens joined by dots, none empty, without white space and control characters; wildcards where they may be.
fn is_subject(text: &str) -> bool {
    let wildcard = |token: &str| token == "*" || (token == ">" && text.ends_with(".>"));
    let bad = |c: char| c.is_control() || c.is_whitespace() || c == '*' || c == '>';
    text.len() <= 255
        && !text.contains(">.")
        && text.split('.').all(|token| wildcard(token) || !(token.is_empty() || token.contains(bad)))
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
    Subject,
    "subject",
    is_subject,
    "tokens joined by dots, none empty, no white space; `*` and a last `>` alone are wildcards"
);

impl Subject {
    pub fn overlaps(&self, other: &str) -> bool {
        overlap(&self.0, other)
    }
}

checked_string!(
    /// A subject to publish a deploy to: no wildcards.
    Target,
    "target",
    |text| is_subject(text) && !text.contains(['*', '>']),
    "tokens joined by dots, none empty, no wildcards, no white space, no control characters"
);

impl Target {
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
    ReplyTo,
    "reply_to",
    |text| {
        let rest = text.strip_prefix(RESPONSES).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| rest.split('.').count() <= 2 && rest.split('.').all(|token| is_token(token, 64)))
    },
    "`deploy.responses.` and one or two tokens of A-Z a-z 0-9 _ -"
);

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

fn filled(template: &str, host: &str, tier: &str, role: &str) -> String {
    template.replace("<hostname>", host).replace("<tier>", tier).replace("<role>", role)
}

checked_string!(
    /// A subject with `<hostname>`, `<tier>`, `<role>` in it, as it is configured.
    Template,
    "deploy subject",
    |text| {
        let subject = filled(text, "h", "t", "r");
        is_subject(&subject) && !subject.contains('<')
    },
    "tokens joined by dots, none empty, no white space; the variables are <hostname>, <tier> and <role>"
);

/// The subjects of a host that says nothing else.
pub const TEMPLATES: [&str; 3] = ["deploy.<tier>.<hostname>", "deploy.<tier>.all", "deploy.<tier>.role.<role>"];

/// The subject of this host; `None` where the template has a role and the host has none.
fn expand(template: &str, host: &Hostname, tier: Tier, role: Option<&Role>) -> Option<Subject> {
    if role.is_none() && template.contains("<role>") {
        return None;
    }
    let text = filled(template, host.as_str(), &tier.to_string(), role.map_or("", Role::as_str));
    Some(text.parse().expect("names are tokens, so that an expanded template is a subject"))
}

/// What a host subscribes to. Refused where a deploy subject covers responses or discovery: the listener would hear itself.
pub fn subjects(
    templates: &[Template],
    host: &Hostname,
    tier: Tier,
    role: Option<&Role>,
    discover: &Subject,
) -> Result<Vec<Subject>, Invalid> {
    let mut subjects: Vec<Subject> = Vec::new();
    for subject in templates.iter().filter_map(|template| expand(&template.0, host, tier, role)) {
        for (other, name) in [("deploy.responses.>", "responses"), (discover.as_str(), "discovery")] {
            if subject.overlaps(other) {
                return Err(Invalid(format!("deploy subject \"{subject}\" overlaps {other:?}, the subject of {name}")));
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
    let of = |tier| TEMPLATES.iter().filter_map(move |template| expand(template, host, tier, role));
    tiers.into_iter().flat_map(of).collect()
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
            let subjects = super::subjects(&templates, &host, Tier::Prod, role, &discover).unwrap();
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
            assert!(subjects(&template, &host, Tier::Prod, None, &discover).is_err(), "{bad}");
        }
    }
}
