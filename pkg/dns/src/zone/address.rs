//! Addresses inside names: reverse names, `a-b-c-d` pods, nip.io.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `10-244-1-7`, `fd00--1`: the label of an address without a host name.
pub(super) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// The address of such a label.
pub(super) fn from_dashes(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    v4.ok().or_else(|| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6).ok())
}

/// The address of a whole reverse name (`7.1.244.10.in-addr.arpa`, 32 nibbles and `ip6.arpa`), in lower case.
pub(super) fn from_arpa(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = digits.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [d, c, b, a] = parts[..] else { return None };
        return Some(Ipv4Addr::new(a, b, c, d).into());
    }
    let nibbles: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    if nibbles.len() != 32 || nibbles.iter().any(|nibble| nibble.len() != 1) {
        return None;
    }
    let digits: String = nibbles.into_iter().rev().collect();
    u128::from_str_radix(&digits, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
}

/// The address in what stands before `nip.io`: the last four labels, or the last four parts between dashes.
pub(super) fn from_nip(prefix: &str) -> Option<Ipv4Addr> {
    let labels: Vec<&str> = prefix.split('.').collect();
    let dotted = labels.len().checked_sub(4).map(|start| labels[start..].join("."));
    let parts: Vec<&str> = labels.last()?.split('-').collect();
    let with_dashes = parts.len().checked_sub(4).map(|start| parts[start..].join("."));
    [dotted, with_dashes].into_iter().flatten().find_map(|text| text.parse().ok())
}
