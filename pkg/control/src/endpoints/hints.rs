//! Whom endpoints are meant for (`Endpoint.hints`): clients of the same zone, of the same node, or a zone's share by its
//! CPUs. Pure; follows Kubernetes' `endpointslice/trafficdist` (KEP-4444, KEP-3015) and `endpointslice/topologycache`
//! (KEP-2433). Must not decide who is an endpoint.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, ForNode, ForZone};

use super::slices::Group;
use crate::mirror::Key;

/// Label with a node's zone (core/v1, `LabelTopologyZone`).
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
/// The annotation that asks for shares, and its older name, which wins (core/v1, `AnnotationTopologyMode`).
const MODES: [&str; 2] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
/// Nodes with one of these labels do not count.
const CONTROL_PLANES: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
/// By how much more than its part an endpoint may get.
const OVERLOAD: f64 = 0.2;

/// What a Service asks of hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// None: every endpoint is for everyone.
    Anywhere,
    /// Each endpoint is for its zone.
    SameZone,
    /// Each endpoint is for its node, else for its zone.
    SameNode,
    /// Each zone gets as many endpoints as its part of all CPUs.
    Shares,
}

/// Each zone's part of the CPUs of all nodes.
pub(super) type Shares = BTreeMap<String, f64>;

/// What the Service asks for; its annotation before its field.
pub(super) fn wish(service: &Service) -> Wish {
    let annotations = service.metadata.annotations.as_ref();
    let mode = annotations.and_then(|all| MODES.iter().find_map(|mode| all.get(*mode)));
    if mode.is_some_and(|mode| mode == "Auto" || mode == "auto") {
        return Wish::Shares;
    }
    match service.spec.as_ref().and_then(|spec| spec.traffic_distribution.as_deref()) {
        Some("PreferClose" | "PreferSameZone") => Wish::SameZone,
        Some("PreferSameNode") => Wish::SameNode,
        _ => Wish::Anywhere,
    }
}

/// What of a node the shares depend on: zone and CPUs; `None` while it does not count.
pub(super) fn capacity(node: &Node) -> Option<(Option<String>, f64)> {
    let labels = node.metadata.labels.as_ref();
    let control_plane = labels.is_some_and(|all| CONTROL_PLANES.iter().any(|label| all.contains_key(*label)));
    let status = node.status.as_ref();
    let ready = status.into_iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "Ready");
    if control_plane || ready.is_none_or(|condition| condition.status != "True") {
        return None;
    }
    let zone = labels.and_then(|all| all.get(ZONE)).filter(|zone| !zone.is_empty()).cloned();
    let cpu = status.and_then(|s| s.allocatable.as_ref()?.get("cpu"));
    Some((zone, cpu.and_then(|cpu| minisvc_api::quantity::parse(&cpu.0).ok()).unwrap_or(0.0)))
}

/// The zones' shares; `None` where a node that counts has no zone or no CPUs, or there are fewer than two zones.
pub(super) fn shares<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Option<Shares> {
    let mut zones = Shares::new();
    for (zone, cpu) in nodes.into_iter().filter_map(capacity) {
        *zones.entry(zone.filter(|_| cpu > 0.0)?).or_default() += cpu;
    }
    let all: f64 = zones.values().sum();
    zones.values_mut().for_each(|cpu| *cpu /= all);
    (zones.len() > 1).then_some(zones)
}

/// Whether shares could be given to the endpoints of a family, and if not, why.
pub(super) type Outcome = (&'static str, Result<(), String>);

/// Writes hints on endpoints that are ready. For shares it tells the outcome for each family.
pub(super) fn give(
    wish: Wish,
    groups: &mut [Group],
    families: &[&'static str],
    shares: impl FnOnce() -> Option<Shares>,
) -> Vec<Outcome> {
    let near = |endpoint: &mut Endpoint, node: bool| {
        let for_zones = endpoint.zone.clone().map(|name| vec![ForZone { name }]);
        let for_nodes = endpoint.node_name.clone().filter(|_| node).map(|name| vec![ForNode { name }]);
        endpoint.hints = (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_zones, for_nodes });
    };
    let ready = |endpoint: &&mut Endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready) == Some(true);
    match wish {
        Wish::Anywhere => Vec::new(),
        Wish::SameZone | Wish::SameNode => {
            let all = groups.iter_mut().flat_map(|group| &mut group.endpoints).filter(ready);
            all.for_each(|endpoint| near(endpoint, wish == Wish::SameNode));
            Vec::new()
        }
        Wish::Shares => {
            let shares = shares();
            let share = |&family: &&'static str| {
                let own = groups.iter_mut().filter(|group| group.family == family);
                let mut all: Vec<_> = own.flat_map(|group| &mut group.endpoints).filter(ready).collect();
                all.sort_by(|a, b| a.addresses.cmp(&b.addresses));
                (family, share_out(&mut all, shares.as_ref()))
            };
            families.iter().map(share).collect()
        }
    }
}

/// Gives every endpoint to one zone: its own, unless another one has too few for its part.
fn share_out(endpoints: &mut [&mut Endpoint], shares: Option<&Shares>) -> Result<(), String> {
    let Some(shares) = shares else {
        return Err("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes".into());
    };
    let count = endpoints.len();
    let figures = format!("({count} endpoints, {} zones)", shares.len());
    if shares.len() > count {
        return Err(format!("Insufficient number of endpoints {figures}"));
    }
    let desired = |share: &f64| share * count as f64;
    let least = |share: &f64| (desired(share) / (1.0 + OVERLOAD)).ceil();
    if shares.values().map(least).sum::<f64>() > count as f64 {
        return Err(format!(
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold {figures}"
        ));
    }
    let mut has: BTreeMap<String, f64> = BTreeMap::new();
    for endpoint in endpoints.iter() {
        let zone = endpoint.zone.clone().filter(|zone| !zone.is_empty());
        *has.entry(zone.ok_or("One or more endpoints do not have a zone specified")?).or_default() += 1.0;
    }
    let (mut over, mut under) = (BTreeMap::new(), BTreeMap::new());
    for (zone, share) in shares {
        let more = has.get(zone).copied().unwrap_or_default() - desired(share).max(least(share));
        (if more > 0.0 { &mut over } else { &mut under }).insert(zone.as_str(), more.abs());
    }
    let mut moves: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    while let (Some((from, give)), Some((to, take))) = (most(&over), most(&under)) {
        if give < 1.0 && take < 1.0 || give < 0.5 || take < 0.5 {
            break;
        }
        moves.entry(from).or_default().push(to);
        *over.entry(from).or_default() -= 1.0;
        *under.entry(to).or_default() -= 1.0;
    }
    for endpoint in endpoints.iter_mut() {
        let Some(own) = endpoint.zone.clone() else { continue };
        let name = moves.get_mut(own.as_str()).and_then(Vec::pop).map_or(own, str::to_owned);
        endpoint.hints = Some(EndpointHints { for_zones: Some(vec![ForZone { name }]), for_nodes: None });
    }
    Ok(())
}

/// The zone with the highest figure above 0; of equals the first by name.
fn most<'a>(zones: &BTreeMap<&'a str, f64>) -> Option<(&'a str, f64)> {
    let positive = zones.iter().map(|(zone, n)| (*zone, *n)).filter(|(_, n)| *n > 0.0);
    positive.rev().max_by(|a, b| a.1.total_cmp(&b.1))
}

/// What Services were last told of their shares, by family.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<(Key, &'static str), Result<(), String>>);

impl Told {
    /// Notes the outcome for a family of a Service (`None`: it asks for no shares). Gives the Event that is due: whether it
    /// is a warning, its reason and its message.
    pub(super) fn note(
        &mut self,
        key: &Key,
        family: &'static str,
        outcome: Option<Result<(), String>>,
    ) -> Option<(bool, &'static str, String)> {
        let before = match &outcome {
            Some(outcome) => self.0.insert((key.clone(), family), outcome.clone()),
            None => self.0.remove(&(key.clone(), family)),
        };
        let words = match outcome {
            same if same == before => return None,
            Some(Ok(())) => "Topology Aware Hints has been enabled".into(),
            Some(Err(reason)) => reason,
            None if before == Some(Ok(())) => "Topology Aware Hints has been disabled".into(),
            None => return None,
        };
        let on = self.0.get(&(key.clone(), family)) == Some(&Ok(()));
        let reason = if on { "TopologyAwareHintsEnabled" } else { "TopologyAwareHintsDisabled" };
        Some((!on, reason, format!("{words}, addressType: {family}")))
    }

    /// The Service is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.retain(|(of, _), _| of != key);
    }
}

#[cfg(test)]
mod tests;
