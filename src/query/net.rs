//! Addresses and networks. An IPv4-mapped IPv6 address is the IPv4 address, everywhere; an IPv4
//! address is in no other IPv6 network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ranges::Ranges;

/// A network as written, for it also equals its own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    text: Box<str>,
    range: AddressRange,
}

/// All addresses from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressRange {
    V4(u32, u32),
    V6(u128, u128),
}

/// Why a text that looks like a network is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadNetwork {
    /// More bits than the address has.
    TooLong {
        /// The most there can be.
        most: u32,
    },
    /// Bits are set beyond the prefix.
    HostBits {
        /// The network that the address lies in.
        network: String,
    },
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { most } => write!(f, "expected a prefix of at most {most} bits"),
            Self::HostBits { network } => {
                write!(f, "bits are set beyond the prefix; the network is `{network}`")
            }
        }
    }
}

impl Network {
    /// Reads `address/bits`; `None` when it is no such thing at all.
    pub fn parse(text: &str) -> Option<Result<Self, BadNetwork>> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let bits: u32 = bits.parse().ok()?;
        let range = match address {
            IpAddr::V4(v4) => range_v4(v4, bits),
            IpAddr::V6(v6) => range_v6(v6, bits),
        };
        Some(range.map(|range| Self { text: text.into(), range }))
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn range(&self) -> AddressRange {
        self.range
    }

    /// Whether it holds an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.range, address.to_canonical()) {
            (AddressRange::V4(first, last), IpAddr::V4(v4)) => {
                (first..=last).contains(&u32::from(v4))
            }
            (AddressRange::V6(first, last), IpAddr::V6(v6)) => {
                (first..=last).contains(&u128::from(v6))
            }
            _ => false,
        }
    }
}

fn range_v4(address: Ipv4Addr, bits: u32) -> Result<AddressRange, BadNetwork> {
    let host = match 32_u32.checked_sub(bits) {
        Some(host) => u32::MAX.checked_shr(32 - host).unwrap_or(0),
        None => return Err(BadNetwork::TooLong { most: 32 }),
    };
    let first = u32::from(address) & !host;
    if first != u32::from(address) {
        let network = format!("{}/{bits}", Ipv4Addr::from(first));
        return Err(BadNetwork::HostBits { network });
    }
    Ok(AddressRange::V4(first, first | host))
}

fn range_v6(address: Ipv6Addr, bits: u32) -> Result<AddressRange, BadNetwork> {
    let host = match 128_u32.checked_sub(bits) {
        Some(host) => u128::MAX.checked_shr(128 - host).unwrap_or(0),
        None => return Err(BadNetwork::TooLong { most: 128 }),
    };
    let first = u128::from(address) & !host;
    if first != u128::from(address) {
        let network = format!("{}/{bits}", Ipv6Addr::from(first));
        return Err(BadNetwork::HostBits { network });
    }
    match (address.to_ipv4_mapped(), bits.checked_sub(96)) {
        (Some(v4), Some(bits)) => range_v4(v4, bits),
        _ => Ok(AddressRange::V6(first, first | host)),
    }
}

/// The address that a text is, mapped ones as IPv4. Cheap for texts that are none.
pub fn address(text: &str) -> Option<IpAddr> {
    let bytes = text.as_bytes();
    if bytes.len() > 45 || !bytes.first().is_some_and(|b| b.is_ascii_hexdigit() || *b == b':') {
        return None;
    }
    // What comes first says which of the two it is, if one.
    match bytes.get(memchr::memchr2(b'.', b':', bytes)?)? {
        b'.' => text.parse().ok().map(IpAddr::V4),
        _ => text.parse::<Ipv6Addr>().ok().map(|address| address.to_canonical()),
    }
}

/// Many networks, for lists.
#[derive(Debug, Clone, Default)]
pub(super) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Networks {
    pub(super) fn new(ranges: impl IntoIterator<Item = AddressRange>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range {
                AddressRange::V4(first, last) => v4.push((first, last.checked_add(1))),
                AddressRange::V6(first, last) => v6.push((first, last.checked_add(1))),
            }
        }
        Self { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.contain(v4.into()),
            IpAddr::V6(v6) => self.v6.contain(v6.into()),
        }
    }
}

impl AddressRange {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.into(), v4.into()),
            IpAddr::V6(v6) => Self::V6(v6.into(), v6.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses_and_mapped_ones_are_ipv4() {
        for (net, address, expected) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.4", false),
            ("2001:db8::/32", "2001:DB8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "::1", true),
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:0:0/96", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
        ] {
            assert_eq!(
                network(net).contains(address.parse().unwrap()),
                expected,
                "{address} in {net}"
            );
            let many = Networks::new([network(net).range()]);
            assert_eq!(many.contains(address.parse().unwrap()), expected, "{address} in [{net}]");
        }
    }

    #[test]
    fn host_bits_and_long_prefixes_are_refused() {
        let bad = |text| Network::parse(text).unwrap().unwrap_err();
        assert_eq!(bad("10.1.2.3/8"), BadNetwork::HostBits { network: "10.0.0.0/8".into() });
        assert_eq!(bad("2001:db8::1/32"), BadNetwork::HostBits { network: "2001:db8::/32".into() });
        assert_eq!(bad("10.0.0.0/33"), BadNetwork::TooLong { most: 32 });
        assert_eq!(bad("::/129"), BadNetwork::TooLong { most: 128 });
        for text in ["10.0.0.0", "10.0.0.0/", "10.0.0.0/x", "x/8", "10.0.0/8", "/8", "1.2.3.4/8/9"]
        {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn overlapping_and_neighbouring_networks_are_merged() {
        let all = ["10.0.0.0/9", "10.128.0.0/9", "10.3.0.0/16", "192.168.0.0/16"];
        let all = Networks::new(all.map(|net| network(net).range()));
        assert!(all.contains("10.200.0.1".parse().unwrap()));
        assert!(!all.contains("11.0.0.0".parse().unwrap()));
        assert!(!all.contains("9.255.255.255".parse().unwrap()));
    }

    proptest! {
        /// Few addresses and short prefixes, so that ranges touch, overlap and reach both ends; as
        /// many as no bucket holds.
        #[test]
        fn many_networks_hold_what_one_of_them_holds(
            blocks in proptest::collection::vec((0_u32..256, 4_u32..=8), 0..400),
            six in proptest::bool::ANY,
        ) {
            let text = |block: u32, bits: u32| {
                let first = (block >> (8 - bits)) << (8 - bits);
                if six { format!("{first:02x}00::/{bits}") } else { format!("{first}.0.0.0/{bits}") }
            };
            // One in forty, so that there are gaps, too.
            let kept = blocks.iter().step_by(if blocks.len() > 200 { 1 } else { 40 });
            let all: Vec<Network> = kept.map(|(block, bits)| network(&text(*block, *bits))).collect();
            let many = Networks::new(all.iter().map(Network::range));
            for block in 0_u32..256 {
                for end in ["0", "f"] {
                    let address: IpAddr = if six {
                        let rest = end.repeat(2);
                        let tail = vec![end.repeat(4); 7].join(":");
                        format!("{block:02x}{rest}:{tail}").parse().unwrap()
                    } else {
                        let rest = if end == "0" { "0.0.0" } else { "255.255.255" };
                        format!("{block}.{rest}").parse().unwrap()
                    };
                    let naive = all.iter().any(|network| network.contains(address));
                    prop_assert_eq!(many.contains(address), naive, "{}", address);
                }
            }
        }
    }

    #[test]
    fn a_hundred_thousand_networks_are_told_from_their_gaps() {
        let text = |n: u32| format!("{}.{}.{}.0/24", 11 + n / 65_536, n / 256 % 256, n % 256);
        let ranges = (0..100_000).map(|n| network(&text(n * 3)).range());
        let networks = Networks::new(ranges);
        let first = |n: u32| u32::from(Ipv4Addr::new(11, 0, 0, 0)) + n * 256;
        for n in (0..300_000).step_by(7) {
            for address in [first(n), first(n) + 255] {
                let held = networks.contains(Ipv4Addr::from(address).into());
                assert_eq!(held, n % 3 == 0, "{}", Ipv4Addr::from(address));
            }
        }
        assert!(!networks.contains("10.255.255.255".parse().unwrap()));
        assert!(!networks.contains("255.255.255.255".parse().unwrap()));
    }

    #[test]
    fn only_whole_addresses_are_addresses() {
        assert_eq!(address("::ffff:1.2.3.4"), address("1.2.3.4"));
        for text in ["", "10", "1.2.3", "01.2.3.4", "1.2.3.4:80", "fe80::1%eth0", "add.cafe", ":"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
