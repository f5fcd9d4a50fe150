//! Sets of networks: does one of them hold this address?

use std::net::IpAddr;

use ipnet::IpNet;
use tidegate_dsl::plan::{NetworkSet, Plan};

/// Networks as sorted ranges that neither touch nor overlap, so that one binary search answers.
///
/// An IPv4 address that is mapped into IPv6 (RFC 4291, 2.5.5.2) counts as IPv4, here and in the networks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The lists and networks of `set` together. A list that the plan does not have adds nothing.
    pub(crate) fn of(set: &NetworkSet, plan: &Plan) -> Self {
        let lists = set.lists.iter().filter_map(|list| plan.lists.get(list.0));
        Self::new(lists.flat_map(|list| &list.networks).chain(&set.networks))
    }

    pub(crate) fn new<'a>(networks: impl Iterator<Item = &'a IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match (network.network().to_canonical(), network.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                // A network wider than the mapped block (such as `::/0`) holds IPv6 addresses alone.
                _ => {
                    if let IpNet::V6(network) = network {
                        v6.push((network.network().to_bits(), network.broadcast().to_bits()));
                    }
                }
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// Whether the networks hold every IPv4 address.
    pub(crate) fn all_v4(&self) -> bool {
        *self.v4 == [(0, u32::MAX)]
    }
}

/// Sorts ranges and joins those that overlap.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out.into()
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= value);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|range| value <= range.1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let networks: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Networks::new(networks.iter())
    }

    #[test]
    fn both_families_are_told_apart() {
        let set = networks(&["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "192.0.2.1/32"]);
        for (address, inside) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
            ("::ffff:10.0.0.1", true),
            ("::10.0.0.1", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn mapped_networks_are_ipv4_networks() {
        let set = networks(&["::ffff:10.0.0.0/104"]);
        assert!(set.contains("10.9.9.9".parse().unwrap()));
        assert!(set.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!set.contains("11.0.0.0".parse().unwrap()));
    }

    #[test]
    fn everything_and_nothing() {
        assert!(networks(&["0.0.0.0/0"]).all_v4());
        assert!(networks(&["0.0.0.0/1", "10.0.0.0/8"]).contains("127.0.0.1".parse().unwrap()));
        let v6 = networks(&["::/0"]);
        assert!(v6.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert!(!v6.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!networks(&[]).contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    proptest! {
        /// The tree agrees with the plain scan. Few distinct bits, so that addresses fall into networks often.
        #[test]
        fn it_agrees_with_a_scan(
            nets in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..12),
            near in any::<u32>(),
            flip in 0_u32..32,
        ) {
            let nets: Vec<IpNet> = nets
                .iter()
                .map(|(bits, len)| Ipv4Net::new(Ipv4Addr::from_bits(*bits), *len).unwrap().trunc().into())
                .collect();
            let set = Networks::new(nets.iter());
            let mut addresses = vec![near];
            addresses.extend(nets.iter().filter_map(|net| match net.network() {
                IpAddr::V4(first) => Some(first.to_bits() ^ (1 << flip)),
                IpAddr::V6(_) => None,
            }));
            for bits in addresses {
                let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
                prop_assert_eq!(set.contains(address), nets.iter().any(|net| net.contains(&address)));
            }
        }
    }
}
