//! Which nodes get a daemon pod, which pods go, and the status. Pure; follows Kubernetes' `daemon_controller.go` and
//! `update.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration,
};

use crate::intstr::scaled;
use crate::revisions::HASH;
use crate::scheduler::{affinity_matches, untolerated};
use crate::{owners, pods};

const GENERATION: &str = "pod-template-generation";

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<Pod>,
    pub(super) delete: Vec<Arc<Pod>>,
}

/// Tolerations that daemon pods get (`AddOrUpdateDaemonPodTolerations`).
fn tolerations(host_network: bool) -> Vec<Toleration> {
    let mut all = vec![
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ];
    if host_network {
        all.push(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    }
    let toleration = |(key, effect): (&str, &str)| Toleration {
        key: Some(key.into()),
        operator: Some("Exists".into()),
        effect: Some(effect.into()),
        ..Toleration::default()
    };
    all.into_iter().map(toleration).collect()
}

/// The pod for a node, pinned there by affinity so that the scheduler binds it.
fn pod_for(set: &DaemonSet, hash: &str, node: Option<&str>) -> Pod {
    let spec = set.spec.clone();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = pods::from_template(&spec.template, namespace, set.metadata.name.as_deref().unwrap_or_default());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(HASH.into(), hash.to_owned());
    labels.insert(GENERATION.into(), set.metadata.generation.unwrap_or(1).to_string());
    pod.metadata.owner_references = Some(vec![owners::reference(set)]);
    let spec = pod.spec.get_or_insert_default();
    let mine = tolerations(spec.host_network == Some(true));
    let have = spec.tolerations.get_or_insert_default();
    have.retain(|t| !mine.iter().any(|m| m.key == t.key && m.effect == t.effect));
    have.extend(mine);
    let Some(node) = node else { return pod };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(|| NodeSelector { node_selector_terms: vec![NodeSelectorTerm::default()] });
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![NodeSelectorRequirement {
            key: "metadata.name".into(),
            operator: "In".into(),
            values: Some(vec![node.to_owned()]),
        }]);
    }
    pod
}

fn current(hash: &str, pod: &Pod) -> bool {
    pod.metadata.labels.as_ref().and_then(|l| l.get(HASH)).is_some_and(|h| h == hash)
}

/// The node that a daemon pod is on or meant for.
fn target(pod: &Pod) -> Option<&str> {
    if let Some(node) = pods::node(pod) {
        return Some(node);
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    fields.into_iter().find(|f| f.key == "metadata.name")?.values.as_ref()?.first().map(String::as_str)
}

/// Whether a pod should be started on a node, and whether one that is there may stay (`NodeShouldRunDaemonPod`).
fn fits(pod: &Pod, node: &Node) -> (bool, bool) {
    if !affinity_matches(pod, node) {
        return (false, false);
    }
    let named = pods::node(pod).is_none_or(|n| node.metadata.name.as_deref() == Some(n));
    let mut taints: Vec<Taint> = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        let key = "node.kubernetes.io/unschedulable".to_owned();
        taints.push(Taint { key, effect: "NoSchedule".into(), ..Taint::default() });
    }
    let start = untolerated(pod, &taints, &["NoSchedule", "NoExecute"]).is_none();
    let stay = untolerated(pod, &taints, &["NoExecute"]).is_none();
    (named && start, named && stay)
}

/// Pods by node; those meant for none are under "".
fn by_node(mine: &[Arc<Pod>]) -> BTreeMap<&str, Vec<&Arc<Pod>>> {
    let mut map: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for pod in mine {
        map.entry(target(pod).unwrap_or_default()).or_default().push(pod);
    }
    for pods in map.values_mut() {
        pods.sort_by_key(|p| (pods::node(p).is_none(), p.metadata.creation_timestamp.as_ref().map(|t| t.0)));
    }
    map
}

/// Plans one step. `hash` is the label of the present template's revision.
pub(super) fn plan(set: &DaemonSet, hash: &str, nodes: &[Arc<Node>], mine: &[Arc<Pod>], now: Timestamp) -> Plan {
    let template = pod_for(set, hash, None);
    let on = by_node(mine);
    let mut plan = Plan::default();
    for node in nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let (start, stay) = fits(&template, node);
        let there = on.get(name).map(Vec::as_slice).unwrap_or_default();
        let living = || there.iter().filter(|p| !pods::terminating(p));
        if !stay {
            plan.delete.extend(living().map(|p| (*p).clone()));
            continue;
        }
        let (ended, running): (Vec<&Arc<Pod>>, Vec<_>) = living().copied().partition(|p| pods::terminal(p));
        plan.delete.extend(ended.into_iter().cloned());
        // A successor waits until its predecessor is gone; a surge pod may stand beside an old one.
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|p| current(hash, p));
        for surplus in [&new, &old] {
            plan.delete.extend(surplus.iter().skip(1).map(|p| (*p).clone()));
        }
        if let (Some(new), Some(old)) = (new.first(), old.first()) {
            let minimum = set.spec.min_ready_seconds.unwrap_or(0);
            if pods::available(new, minimum, now) || !pods::ready(old) {
                plan.delete.push((*old).clone());
            }
        }
        if start && there.is_empty() {
            plan.create.push(pod_for(set, hash, Some(name)));
        }
    }
    for (name, pods) in &on {
        if !nodes.iter().any(|n| n.metadata.name.as_deref() == Some(name)) {
            let strays = pods.iter().filter(|p| !pods::terminating(p) && pods::node(p).is_none());
            plan.delete.extend(strays.map(|p| (*p).clone()));
        }
    }
    roll(set, hash, nodes, &on, &template, now, &mut plan);
    plan
}

/// A rolling update: replaces old pods as far as maxUnavailable or maxSurge allows.
fn roll(
    set: &DaemonSet,
    hash: &str,
    nodes: &[Arc<Node>],
    on: &BTreeMap<&str, Vec<&Arc<Pod>>>,
    template: &Pod,
    now: Timestamp,
    plan: &mut Plan,
) {
    let spec = set.spec.clone();
    let strategy = spec.update_strategy.unwrap_or_default();
    if strategy.type_.as_deref() == Some("OnDelete") {
        return;
    }
    let rolling = strategy.rolling_update.unwrap_or_default();
    let wanted: Vec<_> = nodes.iter().filter(|n| fits(template, n).0).collect();
    let total = i32::try_from(wanted.len()).unwrap_or(i32::MAX);
    let surge = scaled(rolling.max_surge.as_ref(), 0, total, true);
    let mut unavailable = scaled(rolling.max_unavailable.as_ref(), 1, total, true);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    let minimum = spec.min_ready_seconds.unwrap_or(0);
    let (mut missing, mut surging) = (0, 0);
    let (mut healthy, mut broken) = (Vec::new(), Vec::new());
    for node in wanted {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let there = on.get(name).map(Vec::as_slice).unwrap_or_default();
        let living: Vec<_> = there.iter().filter(|p| pods::active(p)).collect();
        let new = living.iter().find(|p| current(hash, p));
        let old = living.iter().find(|p| !current(hash, p));
        let available = living.iter().any(|p| pods::available(p, minimum, now));
        if !available {
            missing += 1;
        }
        match (new, old) {
            (Some(_), Some(_)) => surging += 1,
            (None, Some(old)) if available => healthy.push((name, (**old).clone())),
            (None, Some(old)) => broken.push((**old).clone()),
            _ => {}
        }
    }
    plan.delete.extend(broken);
    let room = |n: i32| usize::try_from(n).unwrap_or(0);
    if surge > 0 {
        let next = healthy.iter().take(room(surge - surging));
        plan.create.extend(next.map(|(name, _)| pod_for(set, hash, Some(name))));
    } else {
        let next = healthy.into_iter().take(room(unavailable - missing));
        plan.delete.extend(next.map(|(_, pod)| pod));
    }
    let mut seen = std::collections::HashSet::new();
    plan.delete.retain(|p| seen.insert(p.metadata.uid.clone()));
}

/// The status for the pods there are.
pub(super) fn status(
    set: &DaemonSet,
    hash: &str,
    nodes: &[Arc<Node>],
    mine: &[Arc<Pod>],
    now: Timestamp,
) -> DaemonSetStatus {
    let template = pod_for(set, hash, None);
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let on = by_node(mine);
    let old = set.status.clone().unwrap_or_default();
    let mut status = DaemonSetStatus {
        observed_generation: set.metadata.generation,
        collision_count: old.collision_count,
        conditions: old.conditions,
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    for node in nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let there: Vec<_> = on.get(name).into_iter().flatten().filter(|p| !pods::terminating(p)).collect();
        if !fits(&template, node).0 {
            status.number_misscheduled += i32::from(!there.is_empty());
            continue;
        }
        status.desired_number_scheduled += 1;
        status.current_number_scheduled += i32::from(!there.is_empty());
        status.number_ready += i32::from(there.iter().any(|p| pods::ready(p)));
        available += i32::from(there.iter().any(|p| pods::available(p, minimum, now)));
        updated += i32::from(there.iter().any(|p| current(hash, p)));
    }
    let some = |n: i32| (n > 0).then_some(n);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status.updated_number_scheduled = some(updated);
    status
}

#[cfg(test)]
mod tests;
