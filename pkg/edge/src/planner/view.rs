//! What the planner reads from Kubernetes objects, once. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use k8s_openapi::api::{
    core::v1::{Node, Service, ServiceSpec},
    discovery::v1::EndpointSlice,
};
use minisvc_kernel::nft::Protocol;

use super::CLASS;
use crate::health::Probe;

/// Nodes with this label serve no load balancer (core/v1, `LabelNodeExcludeBalancers`).
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The finalizer that keeps a service until its load balancer is gone (cloud-provider `LoadBalancerCleanupFinalizer`).
pub(crate) const CLEANUP: &str = "service.kubernetes.io/load-balancer-cleanup";
/// The older way to write source ranges (core/v1, `AnnotationLoadBalancerSourceRangesKey`).
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Namespace and name of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A node as a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its InternalIP.
    pub address: Ipv4Addr,
    /// Whether its condition Ready is true.
    pub ready: bool,
    /// Whether it asks to be left out of load balancers.
    pub excluded: bool,
}

impl NodeView {
    /// The view; nothing for a node without an IPv4 address.
    pub fn new(node: &Node) -> Option<Self> {
        let status = node.status.as_ref()?;
        let internal = status.addresses.iter().flatten().filter(|one| one.type_ == "InternalIP");
        let address = internal.into_iter().find_map(|one| one.address.parse().ok())?;
        let ready = status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
        let label = node.metadata.labels.as_ref().and_then(|labels| labels.get(EXCLUDED));
        // Whatever Go does not read as false excludes, an empty value too.
        let excluded = label.is_some_and(|value| !["0", "f", "F", "false", "FALSE", "False"].contains(&value.as_str()));
        Some(Self { address, ready: ready && node.metadata.deletion_timestamp.is_none(), excluded })
    }
}

/// Where a port's connections go on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// To this port of every node.
    NodePort(u16),
    /// Straight to the endpoints' port of this name.
    Endpoints(Option<String>),
}

/// One port of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortView {
    pub port: u16,
    pub protocol: Protocol,
    pub via: Via,
}

/// A service as a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its uid.
    pub uid: String,
    /// Whether it is a load balancer of our class, and not being deleted.
    pub ours: bool,
    /// Whether it is no load balancer any more and still carries one of our addresses.
    pub leftover: bool,
    /// Whether it carries the finalizer of load balancers.
    pub guarded: bool,
    /// Whether nothing keeps it any more: it is being deleted, or no load balancer any more. Services of another class are
    /// not ours to let go.
    pub released: bool,
    /// The address in its status, if it is one of our range.
    pub address: Option<Ipv4Addr>,
    /// `spec.loadBalancerIP`, or that it is no IPv4 address.
    pub requested: Option<Result<Ipv4Addr, ()>>,
    /// Whether only nodes with an endpoint may be asked.
    pub local: bool,
    /// Whether a client is to meet the same endpoint each time.
    pub sticky: bool,
    /// The port for health questions with policy Local.
    pub health_port: Option<u16>,
    /// Its ports.
    pub ports: Vec<PortView>,
    /// Who may use it; nothing: everyone.
    pub sources: Option<Vec<Ipv4Net>>,
}

impl ServiceView {
    /// The view, with `range` telling which addresses are ours.
    pub fn new(service: &Service, range: Ipv4Net) -> Self {
        let nothing = ServiceSpec::default();
        let spec = service.spec.as_ref().unwrap_or(&nothing);
        let balancer = spec.type_.as_deref() == Some("LoadBalancer");
        let class = spec.load_balancer_class.as_deref().is_none_or(|class| class == CLASS);
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = status.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
        let address = ingress.iter().filter_map(|one| one.ip.as_ref()?.parse().ok()).find(|ip| range.contains(ip));
        let deleting = service.metadata.deletion_timestamp.is_some();
        let requested = spec.load_balancer_ip.as_deref().filter(|text| !text.is_empty());
        Self {
            uid: service.metadata.uid.clone().unwrap_or_default(),
            ours: balancer && class && !deleting,
            guarded: service.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == CLEANUP),
            released: class && (deleting || !balancer),
            leftover: !balancer && address.is_some(),
            address,
            requested: requested.map(|text| text.parse().map_err(drop)),
            sticky: spec.session_affinity.as_deref() == Some("ClientIP"),
            local: spec.external_traffic_policy.as_deref() == Some("Local"),
            health_port: spec.health_check_node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
            ports: ports(spec),
            sources: sources(service, spec),
        }
    }

    /// How to ask whether the node at `address` serves `port`; nothing where nobody can tell (UDP alone).
    pub fn probe(&self, address: Ipv4Addr, port: &PortView) -> Option<Probe> {
        if let Some(health) = self.health_port.filter(|_| self.local) {
            return Some(Probe::Healthz { address, port: health });
        }
        let tcp = |port: &PortView| match port.via {
            Via::NodePort(number) if port.protocol == Protocol::TCP => Some(Probe::NodePort { address, port: number }),
            _ => None,
        };
        tcp(port).or_else(|| self.ports.iter().find_map(tcp))
    }
}

fn ports(spec: &ServiceSpec) -> Vec<PortView> {
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let direct = spec.allocate_load_balancer_node_ports == Some(false);
    let view = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let via = match port.node_port.and_then(number) {
            Some(node_port) => Via::NodePort(node_port),
            None if direct => Via::Endpoints(port.name.clone()),
            None => return None,
        };
        Some(PortView { port: number(port.port)?, protocol: protocol(port.protocol.as_deref()), via })
    };
    spec.ports.iter().flatten().filter_map(view).collect()
}

fn protocol(name: Option<&str>) -> Protocol {
    match name {
        Some("UDP") => Protocol::UDP,
        Some("SCTP") => Protocol::SCTP,
        _ => Protocol::TCP,
    }
}

/// The ranges of the spec or the annotation; nothing when everyone is allowed. Ranges that are no IPv4 network admit
/// nobody.
fn sources(service: &Service, spec: &ServiceSpec) -> Option<Vec<Ipv4Net>> {
    let spec = spec.load_balancer_source_ranges.clone().filter(|ranges| !ranges.is_empty());
    let annotation = || {
        let text = service.metadata.annotations.as_ref()?.get(SOURCE_RANGES)?;
        Some(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
    };
    let ranges: Vec<String> = spec.or_else(annotation).filter(|ranges: &Vec<String>| !ranges.is_empty())?;
    let ranges: Vec<Ipv4Net> = ranges.iter().filter_map(|text| text.trim().parse().ok()).collect();
    if ranges.iter().any(|range| range.prefix_len() == 0) { None } else { Some(ranges) }
}

/// The ready endpoints' addresses with the port of that name and protocol.
pub(super) fn direct_targets(
    slices: &[EndpointSlice],
    name: Option<&str>,
    wanted: Protocol,
) -> BTreeSet<(Ipv4Addr, u16)> {
    let mut targets = BTreeSet::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let port = slice.ports.iter().flatten().find(|port| {
            port.name.as_deref().unwrap_or_default() == name.unwrap_or_default()
                && protocol(port.protocol.as_deref()) == wanted
        });
        let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let address = endpoint.addresses.first().and_then(|address| address.parse().ok());
            targets.extend(address.filter(|_| ready).map(|address| (address, port)));
        }
    }
    targets
}

/// Slices by the service that they belong to (label `kubernetes.io/service-name`).
pub(crate) fn by_service(slices: impl Iterator<Item = EndpointSlice>) -> BTreeMap<ServiceKey, Vec<EndpointSlice>> {
    let mut all: BTreeMap<ServiceKey, Vec<EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let label = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        if let (Some(name), Some(namespace)) = (label.cloned(), slice.metadata.namespace.clone()) {
            all.entry(ServiceKey { namespace, name }).or_default().push(slice);
        }
    }
    all
}
