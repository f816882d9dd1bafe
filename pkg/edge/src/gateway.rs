//! Which node the edge hands packets to ClusterIPs to. Any node's service proxy can answer, so one that lives is enough.
//! Pure.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crate::planner::NodeView;

/// Stays with `current` while it is Ready and not known dead; else takes the first Ready one that is not, else the first
/// that is not known dead, else stays.
pub(crate) fn choose(
    current: Option<Ipv4Addr>,
    nodes: &BTreeMap<String, NodeView>,
    dead: impl Fn(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let living = || nodes.values().filter(|node| !dead(node.address));
    let ready = || living().filter(|node| node.ready);
    ready()
        .find(|node| Some(node.address) == current)
        .or_else(|| ready().next())
        .or_else(|| living().find(|node| Some(node.address) == current))
        .or_else(|| living().next())
        .map(|node| node.address)
        .or(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ready: [bool; 3]) -> BTreeMap<String, NodeView> {
        (1..)
            .zip(ready)
            .map(|(number, ready)| {
                (format!("node{number}"), NodeView { address: address(number), ready, excluded: false })
            })
            .collect()
    }

    fn address(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, 0, 10 + number)
    }

    #[test]
    fn it_stays_until_it_must_move() {
        let choose = |current: Option<u8>, ready, dead: &[u8]| {
            let dead = |one| dead.iter().any(|number| address(*number) == one);
            choose(current.map(address), &nodes(ready), dead).map(|one| one.octets()[3] - 10)
        };
        let all = [true; 3];
        assert_eq!(choose(None, all, &[]), Some(1));
        assert_eq!(choose(Some(3), all, &[]), Some(3));
        assert_eq!(choose(Some(1), all, &[1]), Some(2));
        assert_eq!(choose(Some(2), all, &[1, 2]), Some(3));
        assert_eq!(choose(Some(3), [true, true, false], &[]), Some(1));
        assert_eq!(
            choose(Some(3), [true, false, false], &[1]),
            Some(3),
            "one that is not Ready is better than a dead one"
        );
        assert_eq!(choose(Some(2), all, &[1, 2, 3]), Some(2));
        assert_eq!(super::choose(None, &BTreeMap::new(), |_| false), None);
    }
}
