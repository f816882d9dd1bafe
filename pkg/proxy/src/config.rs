//! What a node's proxy must be told: the ranges of the lab and the node it runs on. Plain data.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;

/// What is the same for the whole life of a proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The node's name, as in `Node.metadata.name` and in the slices' `nodeName`.
    pub node: String,
    /// The node's own addresses, used until its `Node` object names some; the first one is the source of translated
    /// traffic.
    pub addresses: Vec<Ipv4Addr>,
    /// All pods of the cluster: who comes from here keeps its address on the way to a ClusterIP.
    pub cluster_cidr: Ipv4Net,
    /// All ClusterIPs: unallocated ones are dropped in silence.
    pub service_cidr: Ipv4Net,
}

/// What the planner knows of its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeView {
    /// The node's name.
    pub name: String,
    /// The addresses that answer node ports for everyone. For the node itself 127.0.0.1 does too, as in kube-proxy's
    /// iptables mode.
    pub addresses: Vec<Ipv4Addr>,
    /// The zone from the label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
}

impl NodeView {
    /// The node as its object says, or as configured where there is none yet or it has no address.
    pub fn new(config: &Config, node: Option<&Node>) -> Self {
        let listed = node.and_then(|node| node.status.as_ref()?.addresses.as_ref());
        let mut addresses: Vec<Ipv4Addr> = listed
            .into_iter()
            .flatten()
            .filter(|address| matches!(address.type_.as_str(), "InternalIP" | "ExternalIP"))
            .filter_map(|address| address.address.parse().ok())
            .collect();
        if addresses.is_empty() {
            addresses.clone_from(&config.addresses);
        }
        let labels = node.and_then(|node| node.metadata.labels.as_ref());
        let zone = labels.and_then(|labels| labels.get("topology.kubernetes.io/zone")).cloned();
        Self { name: config.node.clone(), addresses, zone }
    }

    /// The source of traffic that has to come back through this node.
    pub fn source(&self) -> Ipv4Addr {
        self.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}
