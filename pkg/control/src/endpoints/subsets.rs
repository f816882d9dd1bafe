//! From backends to the Endpoints object: addresses grouped by the ports they offer. Pure; follows Kubernetes'
//! `endpoints_controller.go` and `RepackSubsets`.

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1;

use super::backends::{Backend, families, headless};
use super::{ENDPOINTS_MANAGED_BY, HEADLESS};
use crate::labels::Labels;

/// Addresses in one Endpoints object; beyond that it is truncated and says so.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// Whether we made these Endpoints.
pub(super) fn ours(endpoints: &Endpoints) -> bool {
    let (label, value) = ENDPOINTS_MANAGED_BY;
    endpoints.metadata.labels.as_ref().and_then(|l| l.get(label)).is_some_and(|v| v == value)
}

/// The Endpoints as they should be, or `None` when `old` is so already.
pub(super) fn plan(service: &Service, backends: &[Backend], old: Option<&Endpoints>) -> Option<Endpoints> {
    let mut wanted = old.cloned().unwrap_or_default();
    wanted.metadata.namespace = service.metadata.namespace.clone();
    wanted.metadata.name = service.metadata.name.clone();
    let mut labels: Labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(ENDPOINTS_MANAGED_BY.0.into(), ENDPOINTS_MANAGED_BY.1.into());
    if headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    wanted.metadata.labels = Some(labels);
    let (subsets, truncated) = subsets(service, backends);
    wanted.subsets = (!subsets.is_empty()).then_some(subsets);
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.into(), "truncated".into());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        wanted.metadata.annotations = None;
    }
    (old != Some(&wanted)).then_some(wanted)
}

fn subsets(service: &Service, backends: &[Backend]) -> (Vec<EndpointSubset>, bool) {
    // Endpoints know one family only: the service's first.
    let family = families(service)[0];
    let portless =
        headless(service) && service.spec.as_ref().is_none_or(|s| s.ports.as_ref().is_none_or(Vec::is_empty));
    let mut groups: Vec<(Vec<v1::EndpointPort>, EndpointSubset)> = Vec::new();
    let mut mine: Vec<_> =
        backends.iter().filter(|b| b.family == family && !b.leaving && (portless || !b.ports.is_empty())).collect();
    // Ready ones are the last to fall to the capacity.
    mine.sort_by(|a, b| (!a.ready, &a.ip, &a.target.uid).cmp(&(!b.ready, &b.ip, &b.target.uid)));
    let truncated = mine.len() > CAPACITY;
    for backend in mine.into_iter().take(CAPACITY) {
        let address = EndpointAddress {
            ip: backend.ip.clone(),
            hostname: backend.hostname.clone(),
            node_name: backend.node.clone(),
            target_ref: Some(backend.target.clone()),
        };
        let place = groups.iter().position(|(ports, _)| *ports == backend.ports).unwrap_or_else(|| {
            let ports: Vec<_> = backend.ports.iter().map(port).collect();
            let subset = EndpointSubset { ports: (!ports.is_empty()).then_some(ports), ..EndpointSubset::default() };
            groups.push((backend.ports.clone(), subset));
            groups.len() - 1
        });
        let subset = &mut groups[place].1;
        let list = if backend.ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    groups.sort_by(|(a, _), (b, _)| {
        let key = |ports: &[v1::EndpointPort]| ports.iter().map(|p| (p.port, p.name.clone())).collect::<Vec<_>>();
        key(a).cmp(&key(b))
    });
    (groups.into_iter().map(|(_, subset)| subset).collect(), truncated)
}

fn port(port: &v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: port.name.clone().filter(|n| !n.is_empty()),
        port: port.port.unwrap_or(0),
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    }
}
