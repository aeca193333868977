//! `--hosts FILE`: who must be there. A line is `hostname tier role|- [public key]`; `#` begins a comment.

use crate::nats::seed::is_public_key;
use crate::wire::{Hostname, Invalid, Role, Target, Tier, subject};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub hostname: Hostname,
    pub tier: Tier,
    pub role: Option<Role>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory(pub Vec<Member>);

impl Inventory {
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let mut members: Vec<Member> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let wrong = |why: String| Invalid(format!("line {}: {why}", number + 1));
            let (hostname, tier, role) = match words[..] {
                [] => continue,
                [hostname, tier, role] => (hostname, tier, role),
                [hostname, tier, role, key] if is_public_key(key) => (hostname, tier, role),
                _ => return Err(wrong("it should be `hostname tier role|- [public key]`".to_owned())),
            };
            let hostname: Hostname = hostname.parse().map_err(|why: Invalid| wrong(why.0))?;
            if members.iter().any(|member| member.hostname == hostname) {
                return Err(wrong(format!("{hostname} is there twice")));
            }
            members.push(Member {
                hostname,
                tier: tier.parse().map_err(|why: Invalid| wrong(why.0))?,
                role: (role != "-").then(|| role.parse()).transpose().map_err(|why: Invalid| wrong(why.0))?,
            });
        }
        Ok(Inventory(members))
    }

    /// Those that a target reaches, by the subjects that a host has unless it says otherwise.
    pub fn reached_by(&self, target: &Target) -> Vec<Hostname> {
        let reached = |member: &&Member| {
            target.reaches(&subject::defaults(&member.hostname, Some(member.tier), member.role.as_ref()))
        };
        self.0.iter().filter(reached).map(|member| member.hostname.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_an_inventory_is_read_strictly() {
        let text = "# all\ndns1 prod dns\nweb prod -  # comment\n\nlab test - \n";
        let inventory = Inventory::read(text).unwrap();
        let names = |target: &str| inventory.reached_by(&target.parse().unwrap()).len();
        assert_eq!((names("deploy.prod.all"), names("deploy.prod.role.dns"), names("deploy.test.lab")), (2, 1, 1));
        for bad in ["a", "a prod", "a staging -", "a prod - nokey", "a prod -\na test -", "a.b prod -"] {
            assert!(Inventory::read(bad).is_err(), "{bad}");
        }
    }
}
