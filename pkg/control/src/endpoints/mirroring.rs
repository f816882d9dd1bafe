//! From hand-made Endpoints to mirrored slices, for services without a selector. Pure; follows Kubernetes'
//! `endpointslicemirroring` (KEP-1713).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1;

use super::backends::family;
use super::slices::{Wanted, add};
use super::{MANAGED_BY, MIRRORING, SERVICE_NAME, triggers};
use crate::owners;

/// Addresses of one subset that are mirrored, all into one slice.
const CAPACITY: usize = 1000;
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What the mirrored slices of Endpoints should say, and how many addresses found no place; `None` when they are not to be
/// mirrored.
pub(super) fn wanted(endpoints: &Endpoints) -> Option<(Wanted, usize)> {
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
    annotations.remove(triggers::ANNOTATION);
    let mut groups = Vec::new();
    let mut skipped = 0;
    for (ports, addresses) in repacked(endpoints.subsets.as_deref().unwrap_or_default()) {
        let ports: Vec<_> = ports.into_iter().map(port).collect();
        skipped += addresses.len().saturating_sub(CAPACITY);
        let (ready, unready): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|(_, ready)| *ready);
        for (address, ready) in ready.into_iter().chain(unready).take(CAPACITY) {
            add(&mut groups, family(&address.ip), &ports, endpoint(address, ready));
        }
    }
    let wanted = Wanted {
        namespace: meta.namespace.clone(),
        prefix: format!("{name}-"),
        labels,
        annotations: Some(annotations),
        owner: owners::reference(endpoints),
        groups,
        placeholders: Vec::new(),
        capacity: CAPACITY,
    };
    Some((wanted, skipped))
}

/// What to tell of addresses that found no place.
pub(super) fn complaint(skipped: usize) -> Option<String> {
    let most = format!("A max of {CAPACITY} addresses can be mirrored to EndpointSlices per Endpoints subset.");
    (skipped > 0).then(|| format!("{most} {skipped} addresses were skipped"))
}

/// Ports, and the addresses that offer them: whether each is ready.
type Packed<'a> = (Vec<&'a EndpointPort>, Vec<(&'a EndpointAddress, bool)>);

/// Subsets in their shortest form: each set of addresses once, with all ports that it offers (`RepackSubsets`). An address
/// that is not ready somewhere for a port is not ready for it at all.
fn repacked(subsets: &[EndpointSubset]) -> Vec<Packed<'_>> {
    let mut known: Vec<&EndpointAddress> = Vec::new();
    let mut by_port: Vec<(Option<&EndpointPort>, BTreeMap<usize, bool>)> = Vec::new();
    for subset in subsets {
        let ready = subset.addresses.iter().flatten().map(|a| (a, true));
        let all: Vec<_> = ready.chain(subset.not_ready_addresses.iter().flatten().map(|a| (a, false))).collect();
        let ports = subset.ports.as_deref().unwrap_or_default();
        let ports = if ports.is_empty() { vec![None] } else { ports.iter().map(Some).collect() };
        for port in ports {
            let at = by_port.iter().position(|(p, _)| *p == port).unwrap_or_else(|| {
                by_port.push((port, BTreeMap::new()));
                by_port.len() - 1
            });
            for (address, ready) in &all {
                let uid = |a: &EndpointAddress| a.target_ref.as_ref().and_then(|t| t.uid.clone());
                let same = |a: &&EndpointAddress| a.ip == address.ip && uid(a) == uid(address);
                let number = known.iter().position(same).unwrap_or_else(|| {
                    known.push(address);
                    known.len() - 1
                });
                by_port[at].1.entry(number).and_modify(|r| *r &= ready).or_insert(*ready);
            }
        }
    }
    let mut groups: Vec<(Vec<&EndpointPort>, BTreeMap<usize, bool>)> = Vec::new();
    for (port, addresses) in by_port {
        match groups.iter_mut().find(|(_, there)| *there == addresses) {
            Some((ports, _)) => ports.extend(port),
            None => groups.push((port.into_iter().collect(), addresses)),
        }
    }
    let told = |addresses: BTreeMap<usize, bool>| addresses.into_iter().map(|(n, ready)| (known[n], ready)).collect();
    groups.into_iter().map(|(ports, addresses)| (ports, told(addresses))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::object;
    use serde_json::{Value, json};

    fn made(subsets: Value) -> Endpoints {
        object(json!({ "metadata": { "name": "db", "namespace": "default", "uid": "u" }, "subsets": subsets }))
    }

    /// `80,443: 10.0.0.1 10.0.0.2-` of each group; the minus says not ready.
    fn told(subsets: Value) -> Vec<String> {
        let (wanted, _) = wanted(&made(subsets)).unwrap();
        let endpoint = |e: &v1::Endpoint| {
            let ready = e.conditions.as_ref().and_then(|c| c.ready) == Some(true);
            format!("{}{}", e.addresses[0], if ready { "" } else { "-" })
        };
        let group = |g: &crate::endpoints::slices::Group| {
            let ports: Vec<_> = g.ports.iter().map(|p| p.port.unwrap().to_string()).collect();
            let endpoints: Vec<_> = g.endpoints.iter().map(endpoint).collect();
            format!("{}: {}", ports.join(","), endpoints.join(" "))
        };
        wanted.groups.iter().map(group).collect()
    }

    #[test]
    fn subsets_are_packed_anew() {
        let (a, b) = (json!({ "ip": "10.0.0.1" }), json!({ "ip": "10.0.0.2" }));
        let (http, https) = (json!({ "name": "http", "port": 80 }), json!({ "name": "https", "port": 443 }));
        for (subsets, groups) in [
            (json!([]), vec![]),
            (json!([{ "addresses": [a] }]), vec![": 10.0.0.1"]),
            (
                json!([{ "addresses": [a], "ports": [http] }, { "addresses": [a], "ports": [https] }]),
                vec!["80,443: 10.0.0.1"],
            ),
            (
                json!([{ "addresses": [a, a], "ports": [http] }, { "addresses": [b], "ports": [http] }]),
                vec!["80: 10.0.0.1 10.0.0.2"],
            ),
            (
                json!([{ "addresses": [a], "notReadyAddresses": [a, b], "ports": [http] }]),
                vec!["80: 10.0.0.1- 10.0.0.2-"],
            ),
            (
                json!([{ "addresses": [a], "ports": [http] }, { "notReadyAddresses": [a], "ports": [https] }]),
                vec!["80: 10.0.0.1", "443: 10.0.0.1-"],
            ),
        ] {
            assert_eq!(told(subsets.clone()), groups, "{subsets}");
        }
    }

    #[test]
    fn a_thousand_addresses_fit_into_one_slice() {
        let many: Vec<_> = (0..1002).map(|n| json!({ "ip": format!("10.0.{}.{}", n / 250, n % 250) })).collect();
        let (wanted, skipped) = wanted(&made(json!([{ "addresses": many, "ports": [{ "port": 80 }] }]))).unwrap();
        assert_eq!(skipped, 2);
        assert!(complaint(skipped).unwrap().ends_with("subset. 2 addresses were skipped"));
        assert_eq!(complaint(0), None);
        let plan = crate::endpoints::slices::reconcile(&wanted, &[]);
        assert_eq!((plan.create.len(), plan.create[0].endpoints.as_ref().unwrap().len()), (1, 1000));
    }
}
