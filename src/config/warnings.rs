//! What the operator should know though nothing refuses to start: names that nobody reads.

use std::mem::replace;

use super::table::{self, variables};
use super::{FOR_CHILDREN, Settings};
use crate::event::harmless;

/// Names further apart are no slip of each other.
const SLIP: usize = 4;

/// A line for each name that nobody reads, with the known name it may be a slip of, and one for terraform's where it is not
/// configured.
pub fn warnings(settings: &Settings) -> Vec<String> {
    let is_unknown = |name: &&str| table::preset(name).is_none() && !FOR_CHILDREN.contains(name);
    let found = settings.names().filter(is_unknown).map(|name| {
        let slip = nearest(name, variables().map(|(known, _)| *known), SLIP);
        let meant = slip.map_or_else(String::new, |known| format!("; did you mean {known}?"));
        format!("{} is not known and not read{meant}", harmless(name))
    });
    #[cfg(feature = "terraform")]
    let found = found.chain(super::terraform::unread(settings));
    found.collect()
}

/// The one of `known` that `name` is most likely a slip of: at most `slip` letters away.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, slip: usize) -> Option<&'a str> {
    let (steps, nearest) = known.map(|one| (distance(name, one), one)).min()?;
    (steps <= slip).then_some(nearest)
}

/// How many letters to add, drop or change on the way from one name to the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let best = (diagonal + usize::from(a != b))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = replace(&mut row[j + 1], best);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::parse::tests::drop_in;
    use super::*;

    fn with(changes: &[(&str, &str)]) -> Settings {
        changes
            .iter()
            .fold(drop_in(), |settings, (name, value)| settings.with(name, value))
    }

    #[test]
    fn a_slip_in_a_name_is_pointed_out_and_does_not_refuse() {
        let settings = with(&[
            ("DEPLOYER_ALOWED_IPS", "x"),
            ("DEPLOYER_COMPLETELY_ELSE_WHERE", "y"),
            ("PATH", "/bin"),
        ]);
        assert!(Config::from_settings(&settings).is_ok());
        assert_eq!(
            warnings(&settings),
            [
                "DEPLOYER_ALOWED_IPS is not known and not read; did you mean DEPLOYER_ALLOWED_IPS?",
                "DEPLOYER_COMPLETELY_ELSE_WHERE is not known and not read",
            ]
        );
        let file = Settings::from_env_file(b"DEPLOY_IMAGE=x\n").expect("a good file");
        assert_eq!(
            warnings(&file),
            ["DEPLOY_IMAGE is not known and not read; did you mean DEPLOYER_IMAGE?"]
        );
        let long = with(&[(&format!("DEPLOYER_{}", "\u{e9}".repeat(5000)), "x")]);
        assert_eq!(warnings(&long).len(), 1);
    }

    #[cfg(feature = "terraform")]
    #[test]
    fn terraform_settings_that_ask_for_nothing_are_said_to_be_unread() {
        let settings = with(&[
            ("DEPLOYER_TF_MODULES", "a=b"),
            ("DEPLOYER_TF_PLAN_AWS_SECRET_ACCESS_KEY", "hunter2"),
        ]);
        let config = Config::from_settings(&settings).expect("a good configuration");
        assert!(config.terraform.is_none() && config.endpoints().count() == 1);
        let found = warnings(&settings);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("DEPLOYER_TF_MODULES") && found[0].contains("DEPLOYER_TF_APPLY_ROOT_DIR"),
            "{found:?}"
        );
        assert!(!found[0].contains("hunter2"));
        let asked = warnings(&settings.with("DEPLOYER_TF_APPLY_ROOT_DIR", "infra"));
        assert_eq!(asked, [""; 0], "complaints say the rest");
    }

    #[test]
    fn names_differ_by_the_letters_to_change() {
        for (one, other, steps) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "ab", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), steps, "{one} {other}");
            assert_eq!(distance(other, one), steps, "{other} {one}");
        }
    }
}
