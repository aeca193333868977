//! What a model may ask for: checked before anything is sent. No I/O.

use crate::wire::{Hostname, Invalid, Revision, Role, Target, Tier};

/// The target of exactly one of `hostname`, `all` and `role`.
pub fn target(tier: Tier, hostname: Option<&str>, all: bool, role: Option<&str>) -> Result<Target, Invalid> {
    match (hostname, all, role) {
        (Some(hostname), false, None) => format!("deploy.{tier}.{}", hostname.parse::<Hostname>()?).parse(),
        (None, true, None) => format!("deploy.{tier}.all").parse(),
        (None, false, Some(role)) => format!("deploy.{tier}.role.{}", role.parse::<Role>()?).parse(),
        _ => Err(Invalid("give exactly one of `hostname`, `all` (true) and `role`".to_owned())),
    }
}

/// `*` stands for any letters.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        Some((letter, rest)) => text.split_first().is_some_and(|(first, text)| first == letter && matches(rest, text)),
    }
}

pub fn branch(allowed: &[String], revision: &Revision) -> Result<(), Invalid> {
    let matched = |glob: &String| matches(glob.as_bytes(), revision.as_str().as_bytes());
    if allowed.is_empty() || allowed.iter().any(matched) {
        return Ok(());
    }
    Err(Invalid(format!("revision {revision}: this server deploys only {}", allowed.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcp_exactly_one_target_is_taken() {
        assert_eq!(target(Tier::Test, Some("h"), false, None).unwrap().as_str(), "deploy.test.h");
        assert_eq!(target(Tier::Test, None, true, None).unwrap().as_str(), "deploy.test.all");
        assert_eq!(target(Tier::Prod, None, false, Some("dns")).unwrap().as_str(), "deploy.prod.role.dns");
        for (hostname, all, role) in
            [(None, false, None), (Some("h"), true, None), (None, true, Some("r")), (Some("a.b"), false, None)]
        {
            assert!(target(Tier::Test, hostname, all, role).is_err());
        }
    }

    #[test]
    fn mcp_branches_outside_the_globs_are_refused() {
        let allowed = ["main".to_owned(), "feature/*".to_owned()];
        let check = |text: &str| branch(&allowed, &text.parse().unwrap()).is_ok();
        assert!(check("main") && check("feature/x/y"));
        assert!(!check("mainx") && !check("xmain") && !check("feature"));
        assert!(branch(&[], &"anything".parse().unwrap()).is_ok());
    }
}
