//! One Service and its slices → what its addresses do on this node. Semantics of kube-proxy's nftables mode
//! (`pkg/proxy/serviceport.go`, `pkg/proxy/nftables/proxier.go` `syncProxyRules`). Pure.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;
use k8s_openapi::api::{
    core::v1::{Service, ServicePort, ServiceSpec},
    discovery::v1::EndpointSlice,
};
use minisvc_kernel::nft::Protocol;

use crate::{
    config::NodeView,
    endpoints::{self, Backend, Chosen},
};

/// What clients connect to: an address, a protocol and a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frontend {
    /// A ClusterIP, external address, load balancer's or node's address.
    pub address: Ipv4Addr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port there.
    pub port: u16,
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.address, self.port, self.protocol)
    }
}

/// How a frontend treats those who connect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// A ClusterIP: pods keep their address, all others get the node's.
    Internal,
    /// From outside with policy Cluster: everyone gets the node's address.
    External,
    /// From outside with policy Local: only endpoints of this node, the client's address stays. Pods and the node
    /// itself are not bound by the policy.
    ExternalLocal,
    /// A pod's host port: the client's address stays.
    HostPort,
}

/// What becomes of connections that find no endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// Refused at once: nobody anywhere answers.
    Reject,
    /// Silence: there are endpoints, but the policy does not let this node use them.
    Drop,
}

/// What one frontend does on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrontendPlan {
    /// `namespace/name:port`, for readers.
    pub owner: String,
    /// How clients are treated.
    pub way: Way,
    /// Endpoints for everyone whom no policy binds, sorted.
    pub cluster: Vec<Backend>,
    /// Endpoints of this node for clients bound by policy Local, sorted.
    pub local: Vec<Backend>,
    /// For how many seconds a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// What those meet who find no endpoint.
    pub refusal: Option<Refusal>,
    /// Who may connect at all; everyone if `None`.
    pub source_ranges: Option<Vec<Ipv4Net>>,
    /// Who may keep the datagrams that already flow to them, sorted: every endpoint that serves, whatever policies and
    /// topology say of new ones. Empty for TCP, whose connections end by themselves.
    pub serving: Vec<(Ipv4Addr, u16)>,
}

/// The health check that load balancers ask for policy Local.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// The port on every node.
    pub port: u16,
    /// How many ready endpoints are on this node.
    pub local_endpoints: usize,
}

/// What one Service does on this node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServicePlan {
    /// The allocated addresses, whose other ports are refused.
    pub cluster_ips: Vec<Ipv4Addr>,
    /// What clients can connect to.
    pub frontends: Vec<(Frontend, FrontendPlan)>,
    /// The health check, if the service has one.
    pub health: Option<HealthCheck>,
}

/// A protocol by Kubernetes' name; TCP where none is given.
pub(crate) fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::TCP),
        Some("UDP") => Some(Protocol::UDP),
        Some("SCTP") => Some(Protocol::SCTP),
        Some(_) => None,
    }
}

/// Plans one service. Headless services, ExternalName services and those that name another proxy have no plan.
pub fn plan_service<'a>(
    service: &Service,
    slices: impl IntoIterator<Item = &'a EndpointSlice> + Clone,
    node: &NodeView,
) -> ServicePlan {
    let mut plan = ServicePlan::default();
    let Some(spec) = service.spec.as_ref() else { return plan };
    if spec.type_.as_deref() == Some("ExternalName") || endpoints::is_headless(service.metadata.labels.as_ref()) {
        return plan;
    }
    let listed = spec.cluster_ips.as_deref().unwrap_or_default().iter().chain(&spec.cluster_ip);
    let addresses: BTreeSet<Ipv4Addr> = listed.filter_map(|text| text.parse().ok()).collect();
    if addresses.is_empty() {
        return plan;
    }
    plan.cluster_ips = addresses.into_iter().collect();
    let name = format!(
        "{}/{}",
        service.metadata.namespace.as_deref().unwrap_or_default(),
        service.metadata.name.as_deref().unwrap_or_default()
    );
    let outside = Outside::new(service, spec);
    let mut ready = BTreeSet::new();
    for port in spec.ports.iter().flatten() {
        let found = endpoints::of_port(
            slices.clone(),
            port.name.as_deref().unwrap_or_default(),
            port.protocol.as_deref().unwrap_or("TCP"),
            node,
        );
        ready.append(&mut endpoints::ready_local(&found));
        plan_port(&mut plan, &name, spec, port, &outside, &found, node);
    }
    let health = spec.health_check_node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    if let (Some(port), true) = (health, outside.policy_local) {
        plan.health = Some(HealthCheck { port, local_endpoints: ready.len() });
    }
    plan
}

/// What is the same for all ports of a service that is reachable from outside.
struct Outside {
    policy_local: bool,
    external_ips: Vec<Ipv4Addr>,
    balancers: Vec<Ipv4Addr>,
    source_ranges: Option<Vec<Ipv4Net>>,
}

impl Outside {
    fn new(service: &Service, spec: &ServiceSpec) -> Self {
        let parse = |list: &[String]| list.iter().filter_map(|text| text.parse().ok()).collect::<Vec<Ipv4Addr>>();
        let external_ips = parse(spec.external_ips.as_deref().unwrap_or_default());
        let typed = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"));
        let balanced = spec.type_.as_deref() == Some("LoadBalancer");
        let ingress = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()?.ingress.as_ref());
        let balancers = ingress
            .into_iter()
            .flatten()
            .filter(|each| balanced && each.ip_mode.as_deref().unwrap_or("VIP") == "VIP")
            .filter_map(|each| each.ip.as_deref()?.parse().ok())
            .collect();
        let from_spec = spec.load_balancer_source_ranges.clone().unwrap_or_default();
        let annotation = service
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get("service.beta.kubernetes.io/load-balancer-source-ranges"));
        let texts: Vec<String> = if from_spec.is_empty() {
            annotation.map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default()
        } else {
            from_spec
        };
        let given = texts.iter().any(|text| !text.trim().is_empty());
        let ranges: Vec<Ipv4Net> = texts.iter().filter_map(|text| text.trim().parse().ok()).collect();
        Self {
            policy_local: spec.external_traffic_policy.as_deref() == Some("Local")
                && (typed || !external_ips.is_empty()),
            external_ips,
            balancers,
            source_ranges: (balanced && given).then(|| Ipv4Net::aggregate(&ranges)),
        }
    }
}

fn plan_port(
    plan: &mut ServicePlan,
    name: &str,
    spec: &ServiceSpec,
    port: &ServicePort,
    outside: &Outside,
    found: &endpoints::Endpoints,
    node: &NodeView,
) {
    let (Some(protocol), Ok(number)) = (protocol(port.protocol.as_deref()), u16::try_from(port.port)) else { return };
    let node_port = port.node_port.and_then(|each| u16::try_from(each).ok()).filter(|each| *each != 0);
    let reachable = node_port.is_some() || !outside.external_ips.is_empty() || !outside.balancers.is_empty();
    let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let uses_cluster = !internal_local || reachable;
    let uses_local = internal_local || (outside.policy_local && reachable);
    let chosen = endpoints::choose(found, uses_cluster, uses_local, node);
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
        config.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(10_800)
    });
    let owner = match port.name.as_deref() {
        Some(port) if !port.is_empty() => format!("{name}:{port}"),
        _ => name.to_owned(),
    };
    let mut add = |address: Ipv4Addr, port: u16, body: FrontendPlan| {
        let frontend = Frontend { address, protocol, port };
        if plan.frontends.iter().all(|(known, _)| *known != frontend) {
            plan.frontends.push((frontend, body));
        }
    };
    let serving = match protocol {
        Protocol::TCP => Vec::new(),
        _ => endpoints::serving(found),
    };
    let internal = FrontendPlan { serving: serving.clone(), ..internal(&owner, &chosen, internal_local, affinity) };
    let cluster_ips = spec.cluster_ips.as_deref().unwrap_or_default().iter().chain(&spec.cluster_ip);
    for address in cluster_ips.filter_map(|text| text.parse().ok()) {
        add(address, number, internal.clone());
    }
    let external = FrontendPlan { serving, ..external(&owner, chosen, outside.policy_local, affinity) };
    for &address in &outside.external_ips {
        add(address, number, external.clone());
    }
    for &address in &outside.balancers {
        let source_ranges = outside.source_ranges.clone();
        add(address, number, FrontendPlan { source_ranges, ..external.clone() });
    }
    if let Some(node_port) = node_port {
        for &address in node.addresses.iter().chain([&Ipv4Addr::LOCALHOST]) {
            add(address, node_port, external.clone());
        }
    }
}

fn internal(owner: &str, chosen: &Chosen, policy_local: bool, affinity: Option<u32>) -> FrontendPlan {
    let cluster = if policy_local { chosen.local.clone() } else { chosen.cluster.clone() };
    let refusal = if !chosen.any {
        Some(Refusal::Reject)
    } else if cluster.is_empty() {
        Some(Refusal::Drop)
    } else {
        None
    };
    FrontendPlan {
        owner: owner.to_owned(),
        way: Way::Internal,
        cluster,
        local: Vec::new(),
        affinity,
        refusal,
        source_ranges: None,
        serving: Vec::new(),
    }
}

fn external(owner: &str, chosen: Chosen, policy_local: bool, affinity: Option<u32>) -> FrontendPlan {
    let local = if policy_local { chosen.local } else { Vec::new() };
    let used = if policy_local { &local } else { &chosen.cluster };
    let refusal = if !chosen.any {
        Some(Refusal::Reject)
    } else if used.is_empty() {
        Some(Refusal::Drop)
    } else {
        None
    };
    FrontendPlan {
        owner: owner.to_owned(),
        way: if policy_local { Way::ExternalLocal } else { Way::External },
        cluster: chosen.cluster,
        local,
        affinity,
        refusal,
        source_ranges: None,
        serving: Vec::new(),
    }
}
