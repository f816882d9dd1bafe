//! Objects → rules, one service at a time. Keeps the plan of each service and works out anew only what changed.
//! Pure but for its memory: the same objects in any order lead to the same rules.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use minisvc_kernel::nft::{Protocol, Transaction};

use crate::{
    config::{Config, NodeView},
    endpoints::Backend,
    ruleset::Ruleset,
    service::{Frontend, FrontendPlan, HealthCheck, ServicePlan, Way, plan_service, protocol},
};

/// The label that ties a slice to its service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A namespace and a name.
pub type Name = (String, String);

/// The rules of one node and the plans they came from.
pub struct Planner {
    node: NodeView,
    ruleset: Ruleset,
    plans: BTreeMap<Name, ServicePlan>,
    host_ports: BTreeMap<Name, ServicePlan>,
}

impl Planner {
    /// A planner without services for a node.
    pub fn new(config: &Config, node: NodeView) -> Self {
        let ruleset = Ruleset::new(config, &node);
        Self { node, ruleset, plans: BTreeMap::new(), host_ports: BTreeMap::new() }
    }

    /// The node that is planned for.
    pub fn node(&self) -> &NodeView {
        &self.node
    }

    /// The rules of now.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Plans one service anew; `None` when it is gone. Whether anything changed.
    pub fn set_service<'a>(
        &mut self,
        name: &Name,
        service: Option<&Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice> + Clone,
    ) -> bool {
        let new = service.map(|service| plan_service(service, slices, &self.node)).unwrap_or_default();
        let claimant = format!("{}/{}", name.0, name.1);
        replace(&mut self.plans, &mut self.ruleset, name, &claimant, new)
    }

    /// Plans one pod's host ports anew; `None` when it is gone or not on this node. Whether anything changed.
    pub fn set_pod(&mut self, name: &Name, pod: Option<&Pod>) -> bool {
        let new = pod.map(|pod| plan_host_ports(pod, &self.node)).unwrap_or_default();
        // The space sorts before every service: a host port wins over a service's claim, as the pod is placed by it.
        let claimant = format!(" hostport {}/{}", name.0, name.1);
        replace(&mut self.host_ports, &mut self.ruleset, name, &claimant, new)
    }

    /// The services that have a plan.
    pub fn services(&self) -> impl Iterator<Item = (&Name, &ServicePlan)> {
        self.plans.iter()
    }

    /// One service's plan.
    pub fn plan_of(&self, name: &Name) -> Option<&ServicePlan> {
        self.plans.get(name)
    }

    /// The plan of one pod's host ports.
    pub fn plan_of_pod(&self, name: &Name) -> Option<&ServicePlan> {
        self.host_ports.get(name)
    }

    /// The health checks to serve, by service.
    pub fn health_checks(&self) -> BTreeMap<Name, HealthCheck> {
        let checks = self.plans.iter();
        checks.filter_map(|(name, plan)| Some((name.clone(), plan.health.clone()?))).collect()
    }

    /// What leads the kernel from the rules at the last call to those of now.
    pub fn take_change(&mut self) -> Transaction {
        self.ruleset.take_change()
    }
}

fn replace(
    plans: &mut BTreeMap<Name, ServicePlan>,
    ruleset: &mut Ruleset,
    name: &Name,
    claimant: &str,
    new: ServicePlan,
) -> bool {
    let old = plans.get(name).cloned().unwrap_or_default();
    if old == new {
        return false;
    }
    ruleset.replace(claimant, &old, &new);
    if new == ServicePlan::default() {
        plans.remove(name);
    } else {
        plans.insert(name.clone(), new);
    }
    true
}

/// The host ports of a pod on this node (CNI's portmap): to its host IP if it names one, else to the node's addresses.
fn plan_host_ports(pod: &Pod, node: &NodeView) -> ServicePlan {
    let mut plan = ServicePlan::default();
    let (Some(spec), Some(status)) = (pod.spec.as_ref(), pod.status.as_ref()) else { return plan };
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let address = status.pod_ip.as_deref().and_then(|text| text.parse().ok());
    if spec.node_name.as_deref() != Some(&node.name) || spec.host_network == Some(true) || over {
        return plan;
    }
    let Some(address) = address else { return plan };
    let owner = format!(
        "{}/{}",
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default()
    );
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for port in containers.flat_map(|container| container.ports.iter().flatten()) {
        let number = |each: Option<i32>| each.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0);
        let (Some(host_port), Some(pod_port)) = (number(port.host_port), number(Some(port.container_port))) else {
            continue;
        };
        let Some(protocol) = protocol(port.protocol.as_deref()) else { continue };
        let wanted = port.host_ip.as_deref().and_then(|text| text.parse().ok());
        let addresses = match wanted {
            Some(one) if one != std::net::Ipv4Addr::UNSPECIFIED => vec![one],
            _ => node.addresses.clone(),
        };
        for each in addresses {
            let body = FrontendPlan {
                owner: format!("hostport {owner}"),
                way: Way::HostPort,
                cluster: Vec::new(),
                local: vec![Backend { address, port: pod_port, local: true }],
                affinity: None,
                refusal: None,
                source_ranges: None,
                serving: if protocol == Protocol::TCP { Vec::new() } else { vec![(address, pod_port)] },
            };
            plan.frontends.push((Frontend { address: each, protocol, port: host_port }, body));
        }
    }
    plan
}

/// Plans everything at once: the rules of `node` for these services and slices.
pub fn plan<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    node: &NodeView,
    config: &Config,
) -> Ruleset {
    let mut by_service: BTreeMap<Name, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        if let Some(name) = service_of(slice) {
            by_service.entry(name).or_default().push(slice);
        }
    }
    let mut planner = Planner::new(config, node.clone());
    for service in services {
        let name = name_of(&service.metadata);
        let own = by_service.get(&name).map(Vec::as_slice).unwrap_or_default();
        planner.set_service(&name, Some(service), own.iter().copied());
    }
    planner.take_change();
    planner.ruleset
}

/// An object's namespace and name.
pub(crate) fn name_of(metadata: &kube::api::ObjectMeta) -> Name {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// The service that a slice belongs to.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<Name> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?.clone();
    Some((slice.metadata.namespace.clone().unwrap_or_default(), service))
}
