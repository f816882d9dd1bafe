//! From services, nodes, endpoints and health to what the cloud should do: who gets an address, who loses it, who waits,
//! who is refused, which frontends lead where, and whose health to ask. Pure; plans cannot fail, they carry reasons.

mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};

use view::direct_targets;
pub(crate) use view::{CLEANUP, by_service};
pub use view::{NodeView, ServiceKey, ServiceView, Via};

use crate::{
    allocation::allocate,
    balancer::{Balancers, Frontend, Pool},
    health::Probe,
};

/// The load balancer class that is ours; services without a class are ours too.
pub const CLASS: &str = "minisvc/edge";

/// What the plan is made from.
#[derive(Debug)]
pub struct Input<'a> {
    /// Every service that is of type LoadBalancer or carries an address of one.
    pub services: &'a BTreeMap<ServiceKey, Service>,
    /// The nodes by name.
    pub nodes: &'a BTreeMap<String, NodeView>,
    /// Endpoint slices by the service that they belong to; only needed for services without node ports.
    pub slices: &'a BTreeMap<ServiceKey, Vec<EndpointSlice>>,
    /// The load balancers' range.
    pub range: Ipv4Net,
    /// Whether the cloud is on: off, nobody gets or loses an address.
    pub enabled: bool,
    /// Addresses given out by uid whose status is not yet seen.
    pub held: &'a BTreeMap<String, Ipv4Addr>,
    /// Uids whose pending time has passed.
    pub due: &'a BTreeSet<String>,
    /// Probes that succeed.
    pub healthy: &'a BTreeSet<Probe>,
}

/// What the cloud should do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudPlan {
    /// What the edge's table holds.
    pub balancers: Balancers,
    /// Services whose status gets this address now.
    pub assign: BTreeMap<ServiceKey, Ipv4Addr>,
    /// Services whose status loses its address: they are no load balancers any more.
    pub clear: BTreeSet<ServiceKey>,
    /// Services that get the finalizer before they get an address.
    pub guard: BTreeSet<ServiceKey>,
    /// Services that lose it: their load balancer is gone.
    pub release: BTreeSet<ServiceKey>,
    /// Services that wait for their moment.
    pub waiting: BTreeSet<ServiceKey>,
    /// Services that wait because the cloud is off, each with how it can be reached meanwhile.
    pub idle: BTreeMap<ServiceKey, String>,
    /// Services that cannot be served, with the reason.
    pub refused: BTreeMap<ServiceKey, String>,
    /// Whose health is to be asked.
    pub probes: BTreeSet<Probe>,
    /// Whether endpoint slices are needed.
    pub wants_slices: bool,
}

/// Makes the plan.
pub fn plan(input: &Input<'_>) -> CloudPlan {
    let mut plan = CloudPlan::default();
    let views: Vec<(&ServiceKey, ServiceView)> =
        input.services.iter().map(|(key, service)| (key, ServiceView::new(service, input.range))).collect();
    let mut used: BTreeSet<Ipv4Addr> = views.iter().filter_map(|(_, view)| view.address).collect();
    used.extend(views.iter().filter_map(|(_, view)| input.held.get(&view.uid)));

    for (key, view) in views {
        if view.guarded && view.released {
            plan.release.insert(key.clone());
        }
        if view.leftover {
            if input.enabled {
                plan.clear.insert(key.clone());
            }
            continue;
        }
        if !view.ours {
            continue;
        }
        if input.enabled && !view.guarded {
            plan.guard.insert(key.clone());
        }
        let address = match current(&view, input) {
            Some(address) => Some(address),
            None => decide(key, &view, input, &used, &mut plan),
        };
        // A service that asked for another address keeps the old one until it has the new one.
        let Some(address) = address.or(view.address) else { continue };
        used.insert(address);
        plan.balancers.addresses.insert(address);
        serve(key, &view, address, input, &mut plan);
    }
    plan
}

/// The address that the service has or is being given, unless it asks for another one.
fn current(view: &ServiceView, input: &Input<'_>) -> Option<Ipv4Addr> {
    let given = view.address.or_else(|| input.held.get(&view.uid).copied())?;
    let wanted = view.requested.is_none_or(|wanted| wanted == Ok(given));
    wanted.then_some(given)
}

/// A pending service gets an address, or a reason why not.
fn decide(
    key: &ServiceKey,
    view: &ServiceView,
    input: &Input<'_>,
    used: &BTreeSet<Ipv4Addr>,
    plan: &mut CloudPlan,
) -> Option<Ipv4Addr> {
    if !input.enabled {
        plan.idle.insert(key.clone(), reachable_meanwhile(view, input.nodes));
        return None;
    }
    if !input.due.contains(&view.uid) {
        plan.waiting.insert(key.clone());
        return None;
    }
    // It could go away, and nobody would take back what it was given.
    if !view.guarded {
        return None;
    }
    let requested = match view.requested.transpose() {
        Ok(requested) => requested,
        Err(()) => {
            plan.refused.insert(key.clone(), "spec.loadBalancerIP is no IPv4 address".into());
            return None;
        }
    };
    match allocate(input.range, used, requested) {
        Ok(address) => {
            plan.assign.insert(key.clone(), address);
            Some(address)
        }
        Err(reason) => {
            plan.refused.insert(key.clone(), reason.to_string());
            None
        }
    }
}

fn reachable_meanwhile(view: &ServiceView, nodes: &BTreeMap<String, NodeView>) -> String {
    let node = nodes.values().find(|node| node.ready).or_else(|| nodes.values().next());
    let port = view.ports.iter().find_map(|port| match port.via {
        Via::NodePort(number) => Some(number),
        Via::Endpoints(_) => None,
    });
    match (node, port) {
        (Some(node), Some(port)) => format!("; meanwhile it is reachable on its node port: {}:{port}", node.address),
        _ => String::new(),
    }
}

/// The service's frontends, pools and probes.
fn serve(key: &ServiceKey, view: &ServiceView, address: Ipv4Addr, input: &Input<'_>, plan: &mut CloudPlan) {
    let nodes: Vec<&NodeView> = input.nodes.values().filter(|node| node.ready && !node.excluded).collect();
    for port in &view.ports {
        let targets = match &port.via {
            Via::NodePort(number) => {
                let probe = |node: &NodeView| view.probe(node.address, port);
                let healthy = |node: &&&NodeView| probe(node).is_none_or(|probe| input.healthy.contains(&probe));
                plan.probes.extend(nodes.iter().filter_map(|node| probe(node)));
                let mut chosen: Vec<&NodeView> = nodes.iter().filter(healthy).copied().collect();
                // With policy Cluster any Ready node can answer, so if all probes fail the service has no endpoint, and
                // a node refuses such connections better than we do. With Local nobody could answer.
                if chosen.is_empty() && !view.local {
                    chosen.clone_from(&nodes);
                }
                chosen.into_iter().map(|node| (node.address, *number)).collect()
            }
            Via::Endpoints(name) => {
                plan.wants_slices = true;
                direct_targets(input.slices.get(key).map_or(&[], Vec::as_slice), name.as_deref(), port.protocol)
            }
        };
        let at = Frontend { address, protocol: port.protocol, port: port.port };
        let pool = Pool { service: key.to_string(), targets, sources: view.sources.clone(), sticky: view.sticky };
        // Two services on one address and port: the first keeps it.
        plan.balancers.pools.entry(at).or_insert(pool);
    }
}

#[cfg(test)]
mod tests;
