//! Whether the lab's ranges meet what the VM already uses, and where they go instead. Pure.

use std::{fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::plan::{RangeName, Ranges};

/// A range that the VM uses, and how it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// The range.
    pub range: Ipv4Net,
    /// For people: "address 172.30.0.5/16 on docker0", "route via tun0".
    pub by: String,
}

/// A range that was moved out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which range.
    pub name: RangeName,
    /// Where it was.
    pub from: Ipv4Net,
    /// Where it is now.
    pub to: Ipv4Net,
    /// What was in the way.
    pub because: Occupied,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, to, because } = self;
        write!(
            f,
            "{from} for {name} meets {} ({}); taking {to} ({} chooses another)",
            because.range,
            because.by,
            name.flag()
        )
    }
}

/// A range that meets something and stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{range} for {name} meets {} ({}); choose another with {}", with.range, with.by, name.flag())]
pub struct Clash {
    /// Which range.
    pub name: RangeName,
    /// What it is.
    pub range: Ipv4Net,
    /// What it meets.
    pub with: Occupied,
}

/// Moves nodes, VM link and outside out of the way of what the VM uses, unless the user fixed them, and says so. The
/// ranges that the lesson quotes (services, pods, load balancers) never move: a clash there is an error, and so is one
/// with a range that the user fixed. A default route is not in the way.
///
/// # Errors
/// The first clash, with both sides and the flag to use.
pub fn avoid_clashes(
    ranges: Ranges,
    fixed: &[RangeName],
    occupied: &[Occupied],
) -> Result<(Ranges, Vec<Remark>), Clash> {
    let (mut moved, mut remarks) = (ranges, Vec::new());
    for name in RangeName::ALL {
        let range = name.of(&ranges);
        let others = RangeName::ALL.into_iter().filter(|other| *other != name).map(|other| (other, other.of(&moved)));
        let others: Vec<(RangeName, Ipv4Net)> = others.collect();
        let in_the_way = |candidate: Ipv4Net| {
            let vm = occupied.iter().find(|one| one.range.prefix_len() > 0 && meet(one.range, candidate)).cloned();
            vm.or_else(|| {
                let (other, range) = others.iter().find(|(_, other)| meet(*other, candidate))?;
                Some(Occupied { range: *range, by: format!("the lab's range for {other}") })
            })
        };
        let Some(because) = in_the_way(range) else { continue };
        let movable = matches!(name, RangeName::Nodes | RangeName::Link | RangeName::Outside) && !fixed.contains(&name);
        let free = candidates(name, range).find(|candidate| in_the_way(*candidate).is_none());
        match free.filter(|_| movable) {
            Some(to) => {
                name.set(&mut moved, to);
                remarks.push(Remark { name, from: range, to, because });
            }
            None => return Err(Clash { name, range, with: because }),
        }
    }
    Ok((moved, remarks))
}

fn meet(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The next ranges of the same size: outside within the documentation and benchmarking networks (RFC 5737, RFC 2544),
/// the others within the private networks (RFC 1918), the same place in
/// the next /16 first.
fn candidates(name: RangeName, range: Ipv4Net) -> impl Iterator<Item = Ipv4Net> {
    let net = |a, b, c, length| Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length);
    let pools = match name {
        RangeName::Outside => vec![net(198, 51, 100, 24), net(192, 0, 2, 24), net(198, 18, 0, 15)],
        _ => vec![net(172, 16, 0, 12), net(192, 168, 0, 16), net(10, 0, 0, 8)],
    };
    let length = range.prefix_len();
    let pools = pools.into_iter().flat_map(move |pool| pool.subnets(length).into_iter().flatten());
    let after = (1..16u32).map(move |count| u32::from(range.network()).wrapping_add(count << 16));
    let private = move |base: &u32| name != RangeName::Outside && Ipv4Addr::from(*base).is_private();
    after.filter(private).map(move |base| Ipv4Net::new_assert(Ipv4Addr::from(base), length)).chain(pools)
}
