//! `--hosts FILE`: who must be there. A line is `hostname tier role|- [public key]`; `#` begins a comment.

use std::collections::{BTreeMap, BTreeSet};

use crate::nats::seed::is_public_key;
use crate::wire::{Hostname, Invalid, Role, Subject, Target, Tier, subject, word};

/// The hosts, each with the subjects that it has unless it says otherwise.
pub struct Inventory(BTreeMap<Hostname, Vec<Subject>>);

impl Inventory {
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let mut hosts = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let wrong = |why: Invalid| Invalid(format!("line {}: {why}", number + 1));
            let (host, subjects) = member(&words).map_err(wrong)?;
            if hosts.insert(host.clone(), subjects).is_some() {
                return Err(wrong(Invalid(format!("{host} is there twice"))));
            }
        }
        Ok(Inventory(hosts))
    }

    /// Those that a target reaches.
    pub fn reached_by(self, target: &Target) -> BTreeSet<Hostname> {
        let reached = self.0.into_iter().filter(|(_, subjects)| target.reaches(subjects));
        reached.map(|(host, _)| host).collect()
    }
}

fn member(words: &[&str]) -> Result<(Hostname, Vec<Subject>), Invalid> {
    let (host, tier, role) = match *words {
        [host, tier, role] => (host, tier, role),
        [host, tier, role, key] if is_public_key(key) => (host, tier, role),
        _ => return Err(Invalid("it should be `hostname tier role|- [public key]`".to_owned())),
    };
    let (host, tier): (Hostname, Tier) = (host.parse()?, word("tier", tier)?);
    let role: Option<Role> = (role != "-").then(|| role.parse()).transpose()?;
    let subjects = subject::defaults(&host, Some(tier), role.as_ref());
    Ok((host, subjects))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_an_inventory_is_read_strictly() {
        let text = "# all\ndns1 prod dns\nweb prod -  # comment\n\nlab test - \n";
        let names = |target: &str| Inventory::read(text).unwrap().reached_by(&target.parse().unwrap()).len();
        assert_eq!((names("deploy.prod.all"), names("deploy.prod.role.dns"), names("deploy.test.lab")), (2, 1, 1));
        for bad in ["a", "a prod", "a staging -", "a prod - nokey", "a prod -\na test -", "a.b prod -"] {
            assert!(Inventory::read(bad).is_err(), "{bad}");
        }
    }
}
