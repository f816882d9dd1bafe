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
