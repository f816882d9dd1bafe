//! From hand-made Endpoints to mirrored slices, for services without a selector. Pure; follows Kubernetes'
//! `endpointslicemirroring` (KEP-1713).

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, Endpoints};
use k8s_openapi::api::discovery::v1;

use super::backends::family;
use super::slices::{Wanted, add};
use super::{MANAGED_BY, MIRRORING, SERVICE_NAME};
use crate::owners;

/// Addresses of one subset that are mirrored.
const CAPACITY: usize = 1000;
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What the mirrored slices of Endpoints should say; `None` when they are not to be mirrored.
pub(super) fn wanted(endpoints: &Endpoints) -> Option<Wanted> {
    let meta = &endpoints.metadata;
    let mut labels = meta.labels.clone().unwrap_or_default();
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    if labels.get(SKIP).is_some_and(|v| v == "true") || annotations.contains_key(LEADER) {
        return None;
    }
    let name = meta.name.clone().unwrap_or_default();
    labels.remove(SKIP);
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.into(), MIRRORING.into());
    annotations.remove(LAST_APPLIED);
    annotations.remove(TRIGGER);
    let mut groups = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<_> = subset.ports.iter().flatten().map(port).collect();
        let ready = subset.addresses.iter().flatten().map(|a| (a, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|a| (a, false));
        for (address, ready) in ready.chain(unready).take(CAPACITY) {
            add(&mut groups, family(&address.ip), &ports, endpoint(address, ready));
        }
    }
    Some(Wanted {
        namespace: meta.namespace.clone(),
        prefix: format!("{name}-"),
        labels,
        annotations: Some(annotations),
        owner: owners::reference(endpoints),
        groups,
        placeholders: Vec::new(),
    })
}

fn port(port: &EndpointPort) -> v1::EndpointPort {
    v1::EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "TCP".into())),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(address: &EndpointAddress, ready: bool) -> v1::Endpoint {
    v1::Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(v1::EndpointConditions { ready: Some(ready), ..v1::EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|h| !h.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..v1::Endpoint::default()
    }
}
