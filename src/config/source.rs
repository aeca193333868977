//! Source addresses: who may come in, and who counts as one caller for the caps.
//!
//! Pure arithmetic on addresses that the kernel gave; never looks at a header, a name or a resolver. An IPv4 address
//! that arrives as `::ffff:a.b.c.d` (a dual-stack socket does that) is that IPv4 address, in the lists and in the peer.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::pins;
use crate::limits::MAX_LIST;

/// Of one family: a range that is not within [`ALL_V4`] holds IPv6 alone.
type Range = RangeInclusive<u128>;

/// `::ffff:0:0/96`.
const ALL_V4: Range = 0xffff_0000_0000..=0xffff_ffff_ffff;
const ALL_V6: Range = 0..=u128::MAX;

/// A list of ranges; the empty one lets nobody in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Range>);

/// Reads `ADDRESS` or `ADDRESS/PREFIX`.
///
/// Bits beyond the prefix are refused: in `10.0.0.5/8` either the address or the prefix is not what was meant.
fn range(text: &str) -> Option<Range> {
    let (address, digits) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    // As it is usually written: `parse` alone would take `+8` and `08`.
    let usual = |prefix: &u32| *prefix <= width && prefix.to_string() == digits;
    let prefix = match text.contains('/') {
        true => digits.parse().ok().filter(usual)?,
        false => width,
    };
    let beyond = u128::MAX.checked_shr(128 - width + prefix).unwrap_or(0);
    let first = bits(address);
    (first & beyond == 0).then_some(first..=first | beyond)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Sources {
    /// Every address of both families.
    pub fn everyone() -> Sources {
        Sources(vec![ALL_V4, ALL_V6])
    }

    /// Reads a comma-separated list of 1 to [`MAX_LIST`] entries.
    pub fn parse(text: &str) -> Option<Sources> {
        pins::list(text, MAX_LIST, range).map(Sources)
    }

    /// Whether `peer` may come.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = bits(peer);
        let of_its_family = |range: &&Range| ALL_V4.contains(range.start()) == ALL_V4.contains(&peer);
        self.0
            .iter()
            .filter(of_its_family)
            .any(|range| range.contains(&peer))
    }

    /// Whether the list lets in all of a family, so that it is no gate.
    pub fn is_open(&self) -> bool {
        self.0.contains(&ALL_V4) || self.0.contains(&ALL_V6)
    }
}

/// The one caller that `peer` counts as, for the caps: an IPv4 address or an IPv6 /64, which is the least that one
/// customer is given (RFC 6177). Safe as a file name.
pub fn slot_key(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:016x}", address.to_bits() >> 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        Sources::parse(text).expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn a_source_is_let_in_only_by_a_range_that_holds_it() {
        for (list, peer, held) in [
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.128/25", "192.0.2.128", true),
            ("192.0.2.0/31,198.51.100.7", "198.51.100.7", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("::/0", "::ffff:203.0.113.9", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1/128", "2001:db8::2", false),
            (" 10.0.0.1 , ::1, ", "::1", true),
        ] {
            assert_eq!(sources(list).contains(ip(peer)), held, "{list} {peer}");
        }
    }

    #[test]
    fn a_mapped_address_is_its_v4_address_on_both_sides() {
        assert!(sources("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
        assert!(sources("::ffff:10.1.2.3").contains(ip("10.1.2.3")));
        assert!(sources("::ffff:10.0.0.0/104").contains(ip("10.1.2.3")));
        assert!(!sources("::ffff:10.0.0.0/104").contains(ip("11.1.2.3")));
        assert!(sources("::ffff:0:0/96").contains(ip("203.0.113.1")));
        assert!(
            !sources("10.0.0.0/8").contains(ip("::10.1.2.3")),
            "compatible is not mapped"
        );
    }

    #[test]
    fn a_range_that_cannot_be_meant_is_refused() {
        for bad in [
            "10.0.0.5/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "10.0.0.0/256",
            "::1/129",
            "2001:db8::1/64",
            "::ffff:10.0.0.0/8",
            "::ffff:0:0/95",
            "010.0.0.1",
            "10.0.0",
            "10.0.0.1:443",
            "[::1]",
            "fe80::1%eth0",
            "localhost",
            "10.0.0.1 10.0.0.2",
            "10.0.0.0/8/8",
            "*",
        ] {
            assert!(range(bad).is_none(), "{bad}");
            assert!(Sources::parse(&format!("192.0.2.1,{bad}")).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_empty_list_and_a_long_one_are_refused() {
        for empty in ["", ",", " , "] {
            assert!(Sources::parse(empty).is_none(), "{empty:?}");
        }
        assert!(Sources::parse(&"192.0.2.1,".repeat(MAX_LIST)).is_some());
        assert!(Sources::parse(&"192.0.2.1,".repeat(MAX_LIST + 1)).is_none());
    }

    #[test]
    fn everyone_is_everyone_and_an_open_list_is_known_as_such() {
        assert!(
            Sources::everyone().contains(ip("203.0.113.9"))
                && Sources::everyone().contains(ip("2001:db8::1"))
        );
        assert!(Sources::everyone().is_open() && sources("192.0.2.1,0.0.0.0/0").is_open());
        assert!(!sources("10.0.0.0/8,::1").is_open());
    }

    #[test]
    fn one_caller_is_a_v4_address_or_a_v6_slash_64() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", true),
            ("2001:db8:1:2::", "2001:db8:1:3::", false),
        ] {
            assert_eq!(slot_key(ip(one)) == slot_key(ip(other)), same, "{one} {other}");
        }
        assert_eq!(slot_key(ip("::ffff:192.0.2.1")), "192.0.2.1");
        assert_eq!(slot_key(ip("2001:db8:1:2:3:4:5:6")), "20010db800010002");
    }
}
