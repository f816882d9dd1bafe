//! From ranges and a number of nodes to names and addresses. Pure.

use std::{fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// The lab's address ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// The fabric: the edge at host 1, the API server at 2, node N at 10 + N.
    pub nodes: Ipv4Net,
    /// Node N has the Nth /24 of it, counting from 0.
    pub pods: Ipv4Net,
    /// ClusterIPs.
    pub services: Ipv4Net,
    /// Addresses of load balancers.
    pub load_balancers: Ipv4Net,
    /// The network outside: the edge at host 1, the person at 10.
    pub outside: Ipv4Net,
    /// The link between the edge (host 1) and the VM (host 2).
    pub link: Ipv4Net,
}

impl Default for Ranges {
    fn default() -> Self {
        let net = |a, b, c, d, length| Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length);
        Self {
            nodes: net(172, 30, 0, 0, 24),
            pods: net(10, 244, 0, 0, 16),
            services: net(10, 96, 0, 0, 12),
            load_balancers: net(203, 0, 113, 0, 24),
            outside: net(198, 51, 100, 0, 24),
            link: net(172, 30, 255, 0, 30),
        }
    }
}

/// Which of the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RangeName {
    /// [`Ranges::nodes`]
    Nodes,
    /// [`Ranges::pods`]
    Pods,
    /// [`Ranges::services`]
    Services,
    /// [`Ranges::load_balancers`]
    LoadBalancers,
    /// [`Ranges::outside`]
    Outside,
    /// [`Ranges::link`]
    Link,
}

impl RangeName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Services, Self::Pods, Self::LoadBalancers, Self::Nodes, Self::Link, Self::Outside];

    /// The command-line flag that sets it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Nodes => "--node-cidr",
            Self::Pods => "--pod-cidr",
            Self::Services => "--service-cidr",
            Self::LoadBalancers => "--lb-cidr",
            Self::Outside => "--outside-cidr",
            Self::Link => "--link-cidr",
        }
    }

    /// The range in `ranges`.
    pub fn of(self, ranges: &Ranges) -> Ipv4Net {
        match self {
            Self::Nodes => ranges.nodes,
            Self::Pods => ranges.pods,
            Self::Services => ranges.services,
            Self::LoadBalancers => ranges.load_balancers,
            Self::Outside => ranges.outside,
            Self::Link => ranges.link,
        }
    }

    /// Sets the range in `ranges`.
    pub fn set(self, ranges: &mut Ranges, to: Ipv4Net) {
        *match self {
            Self::Nodes => &mut ranges.nodes,
            Self::Pods => &mut ranges.pods,
            Self::Services => &mut ranges.services,
            Self::LoadBalancers => &mut ranges.load_balancers,
            Self::Outside => &mut ranges.outside,
            Self::Link => &mut ranges.link,
        } = to;
    }
}

impl fmt::Display for RangeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::LoadBalancers => "load balancers",
            Self::Outside => "the network outside",
            Self::Link => "the VM's link",
        })
    }
}

/// A range that cannot hold what it is for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{range} is too small for {name}: {needs} ({})", name.flag())]
pub struct BadRange {
    /// Which range.
    pub name: RangeName,
    /// What it is.
    pub range: Ipv4Net,
    /// What it needs.
    pub needs: String,
}

/// One node's place on the fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeWire {
    /// Its number, from 1.
    pub number: u8,
    /// The edge's end of its wire; the node's end is `eth0`.
    pub link: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its pods' range.
    pub pods: Ipv4Net,
}

/// Every name and address of the wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The ranges that it was computed from.
    pub ranges: Ranges,
    /// The VM's end of its link to the edge.
    pub vm_link: String,
    /// The VM's address on that link.
    pub vm_address: Ipv4Addr,
    /// The edge's address on that link.
    pub edge_on_link: Ipv4Addr,
    /// The edge's address on the fabric, every node's gateway.
    pub edge_on_fabric: Ipv4Addr,
    /// The API server's address, which the edge carries.
    pub api_server: Ipv4Addr,
    /// The edge's address outside.
    pub edge_outside: Ipv4Addr,
    /// The address of the person outside.
    pub outside: Ipv4Addr,
    /// The nodes, from number 1.
    pub nodes: Vec<NodeWire>,
}

impl Plan {
    /// The edge's bridge.
    pub const FABRIC: &'static str = "fabric";
    /// The edge's end of the VM's link.
    pub const HOST: &'static str = "host0";
    /// The edge's link to outside.
    pub const OUT: &'static str = "out0";
    /// A node's link, and the one of the place outside.
    pub const ETH: &'static str = "eth0";

    /// The plan for `nodes` nodes (1 to 200), with the VM's link called `vm_link` (at most 15 bytes).
    ///
    /// # Errors
    /// Names a range that is too small.
    pub fn new(ranges: Ranges, nodes: u8, vm_link: &str) -> Result<Self, BadRange> {
        let fits = |name: RangeName, longest: u8, needs: String| {
            let range = name.of(&ranges);
            if range.prefix_len() <= longest { Ok(()) } else { Err(BadRange { name, range, needs }) }
        };
        fits(RangeName::Nodes, 24, "needs a /24 or larger".into())?;
        fits(RangeName::Outside, 27, "needs a /27 or larger".into())?;
        fits(RangeName::Link, 30, "needs a /30 or larger".into())?;
        fits(RangeName::LoadBalancers, 30, "needs a /30 or larger".into())?;
        let pods = ranges.pods;
        let room = 1u32.checked_shl(24u32.saturating_sub(pods.prefix_len().into())).unwrap_or(u32::MAX);
        if pods.prefix_len() > 24 || room <= u32::from(nodes) {
            let needs = format!("needs a /24 for each of {nodes} nodes, beside the first");
            return Err(BadRange { name: RangeName::Pods, range: pods, needs });
        }
        let wires = (1..=nodes).map(|number| NodeWire {
            number,
            link: format!("n{number}"),
            address: host(ranges.nodes, 10 + u32::from(number)),
            pods: Ipv4Net::new_assert(host(pods, u32::from(number) << 8), 24),
        });
        Ok(Self {
            vm_link: vm_link.to_owned(),
            vm_address: host(ranges.link, 2),
            edge_on_link: host(ranges.link, 1),
            edge_on_fabric: host(ranges.nodes, 1),
            api_server: host(ranges.nodes, 2),
            edge_outside: host(ranges.outside, 1),
            outside: host(ranges.outside, 10),
            nodes: wires.collect(),
            ranges,
        })
    }

    /// The ranges that the VM reaches through the edge.
    pub fn vm_routes(&self) -> [Ipv4Net; 4] {
        let ranges = &self.ranges;
        [ranges.nodes, ranges.pods, ranges.services, ranges.load_balancers].map(|range| range.trunc())
    }
}

/// The address `number` past the network's own.
fn host(range: Ipv4Net, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).wrapping_add(number))
}
