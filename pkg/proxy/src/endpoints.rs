//! Which endpoints a service port uses on this node: readiness, policies, topology. Semantics of kube-proxy's
//! `pkg/proxy/topology.go` (`CategorizeEndpoints`) and `endpointslicecache.go`. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::config::NodeView;

/// Where a connection can be led: a pod's address and port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Backend {
    /// The pod's (or other endpoint's) address.
    pub address: Ipv4Addr,
    /// The port there.
    pub port: u16,
    /// Whether it is on this node.
    pub local: bool,
}

/// What is known of an endpoint's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    pub(crate) local: bool,
    for_zones: BTreeSet<String>,
    for_nodes: BTreeSet<String>,
}

impl State {
    fn new(endpoint: &Endpoint, node: &NodeView) -> Self {
        let conditions = endpoint.conditions.as_ref();
        let hints = endpoint.hints.as_ref();
        Self {
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            serving: conditions.and_then(|c| c.serving.or(c.ready)).unwrap_or(true),
            terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
            local: endpoint.node_name.as_deref() == Some(&node.name),
            for_zones: hints
                .and_then(|h| h.for_zones.as_ref())
                .into_iter()
                .flatten()
                .map(|zone| zone.name.clone())
                .collect(),
            for_nodes: hints
                .and_then(|h| h.for_nodes.as_ref())
                .into_iter()
                .flatten()
                .map(|node| node.name.clone())
                .collect(),
        }
    }

    /// Still answers, though on its way out.
    fn lingering(&self) -> bool {
        self.serving && self.terminating
    }
}

/// The endpoints of one service port, by address and port.
pub(crate) type Endpoints = BTreeMap<(Ipv4Addr, u16), State>;

/// Collects the endpoints of the port called `port` with this protocol from a service's slices. Slices that carry the
/// headless label are not for proxies.
pub(crate) fn of_port<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    port: &str,
    protocol: &str,
    node: &NodeView,
) -> Endpoints {
    let mut found = Endpoints::new();
    for slice in slices {
        if slice.address_type != "IPv4" || is_headless(slice.metadata.labels.as_ref()) {
            continue;
        }
        let ports = slice.ports.iter().flatten().filter(|each| {
            each.name.as_deref().unwrap_or_default() == port && each.protocol.as_deref().unwrap_or("TCP") == protocol
        });
        for number in ports.filter_map(|each| u16::try_from(each.port?).ok()) {
            for endpoint in slice.endpoints.iter().flatten() {
                let state = State::new(endpoint, node);
                for address in endpoint.addresses.iter().filter_map(|text| text.parse().ok()) {
                    // The same endpoint in two slices: the readier one is the newer one.
                    let known = found.entry((address, number)).or_insert_with(|| state.clone());
                    if state.ready && !known.ready {
                        *known = state.clone();
                    }
                }
            }
        }
    }
    found
}

/// Whether the object asks proxies to leave it alone.
pub(crate) fn is_headless(labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|labels| {
        labels.contains_key("service.kubernetes.io/headless")
            || labels.contains_key("service.kubernetes.io/service-proxy-name")
    })
}

/// The endpoints for each policy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Chosen {
    /// For policy Cluster.
    pub(crate) cluster: Vec<Backend>,
    /// For policy Local.
    pub(crate) local: Vec<Backend>,
    /// Whether anyone anywhere answers.
    pub(crate) any: bool,
}

/// Picks the endpoints that each policy may use: ready ones, else those that still serve while they end.
pub(crate) fn choose(endpoints: &Endpoints, uses_cluster: bool, uses_local: bool, node: &NodeView) -> Chosen {
    let pick = |keep: &dyn Fn(&State) -> bool| -> Vec<Backend> {
        endpoints
            .iter()
            .filter(|(_, state)| keep(state))
            .map(|(&(address, port), state)| Backend { address, port, local: state.local })
            .collect()
    };
    let mut chosen = Chosen::default();
    if uses_cluster {
        let topology = topology(endpoints, node);
        chosen.cluster = pick(&|state| state.ready && topology.allows(state, node));
        if chosen.cluster.is_empty() {
            chosen.cluster = pick(&State::lingering);
        }
        chosen.any = !chosen.cluster.is_empty();
    }
    if uses_local {
        chosen.local = pick(&|state| state.ready && state.local);
        if chosen.local.is_empty() {
            chosen.local = pick(&|state| state.lingering() && state.local);
        }
        chosen.any |= endpoints.values().any(|state| state.ready || state.lingering());
    }
    chosen
}

/// How many different local addresses are ready: what a health check node port reports.
pub(crate) fn ready_local(endpoints: &Endpoints) -> BTreeSet<Ipv4Addr> {
    endpoints.iter().filter(|(_, state)| state.ready && state.local).map(|((address, _), _)| *address).collect()
}

/// Endpoints that answer what already flows to them, those on their way out too.
pub(crate) fn serving(endpoints: &Endpoints) -> Vec<(Ipv4Addr, u16)> {
    endpoints.iter().filter(|(_, state)| state.ready || state.serving).map(|(at, _)| *at).collect()
}

enum Topology {
    Anywhere,
    SameNode,
    SameZone,
}

impl Topology {
    fn allows(&self, state: &State, node: &NodeView) -> bool {
        match self {
            Self::Anywhere => true,
            Self::SameNode => state.for_nodes.contains(&node.name),
            Self::SameZone => node.zone.as_ref().is_some_and(|zone| state.for_zones.contains(zone)),
        }
    }
}

/// Hints count only when every ready endpoint has them and one is for us (`topologyModeFromHints`).
fn topology(endpoints: &Endpoints, node: &NodeView) -> Topology {
    let ready = || endpoints.values().filter(|state| state.ready);
    let all = |hints: fn(&State) -> &BTreeSet<String>| ready().all(|state| !hints(state).is_empty());
    if all(|state| &state.for_nodes) && ready().any(|state| state.for_nodes.contains(&node.name)) {
        return Topology::SameNode;
    }
    let ours = |state: &State| node.zone.as_ref().is_some_and(|zone| state.for_zones.contains(zone));
    if all(|state| &state.for_zones) && ready().any(ours) {
        return Topology::SameZone;
    }
    Topology::Anywhere
}
