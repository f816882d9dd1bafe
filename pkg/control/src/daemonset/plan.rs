//! Which nodes get a daemon pod, which pods go, and the status. Pure; follows Kubernetes' `daemon_controller.go` and
//! `update.go`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration,
};

use super::roll::Roll;
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
pub(super) fn pod_for(set: &DaemonSet, hash: &str, node: Option<&str>) -> Pod {
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

pub(super) fn current(hash: &str, pod: &Pod) -> bool {
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

/// Pods by node, the oldest first; those meant for none are under "". Ended pods on their way out are gone already.
fn by_node(mine: &[Arc<Pod>]) -> BTreeMap<&str, Vec<&Arc<Pod>>> {
    let mut map: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for pod in mine.iter().filter(|p| !(pods::terminal(p) && pods::terminating(p))) {
        map.entry(target(pod).unwrap_or_default()).or_default().push(pod);
    }
    for pods in map.values_mut() {
        let age = |p: &&Arc<Pod>| p.metadata.creation_timestamp.as_ref().map(|t| t.0);
        pods.sort_by_key(|p| (pods::node(p).is_none(), age(p), p.metadata.name.clone()));
    }
    map
}

/// Surge and unavailability that a rolling update may have, of so many wanted pods.
fn allowance(set: &DaemonSet, wanted: usize) -> (i32, i32) {
    let rolling = set.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.clone()).unwrap_or_default();
    let total = i32::try_from(wanted).unwrap_or(i32::MAX);
    let surge = scaled(rolling.max_surge.as_ref(), 0, total, true);
    let unavailable = scaled(rolling.max_unavailable.as_ref(), 1, total, true);
    (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
}

fn rolls(set: &DaemonSet) -> bool {
    set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("OnDelete")
}

/// Plans one step. `hash` is the label of the present template's revision; on the nodes `held` a pod failed a moment ago,
/// and it has to stay for a while.
pub(super) fn plan(
    set: &DaemonSet,
    hash: &str,
    nodes: &[Arc<Node>],
    mine: &[Arc<Pod>],
    held: &HashSet<String>,
    now: Timestamp,
) -> Plan {
    let template = pod_for(set, hash, None);
    let on = by_node(mine);
    let fit: Vec<(&str, (bool, bool))> =
        nodes.iter().map(|n| (n.metadata.name.as_deref().unwrap_or_default(), fits(&template, n))).collect();
    let wanted = fit.iter().filter(|(_, (start, _))| *start).count();
    let (surge, unavailable) = allowance(set, wanted);
    let surging = rolls(set) && surge > 0;
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let mut plan = Plan::default();
    for (name, (start, stay)) in fit.iter().copied() {
        let there = on.get(name).map(Vec::as_slice).unwrap_or_default();
        let living = || there.iter().filter(|p| !pods::terminating(p));
        if start && there.is_empty() {
            plan.create.push(pod_for(set, hash, Some(name)));
        }
        if !stay {
            plan.delete.extend(living().map(|p| (*p).clone()));
            continue;
        }
        let (ended, running): (Vec<&Arc<Pod>>, Vec<_>) = living().copied().partition(|p| pods::terminal(p));
        let stays = |p: &Pod| pods::phase(p) == "Failed" && held.contains(name);
        plan.delete.extend(ended.into_iter().filter(|p| !stays(p)).cloned());
        if !surging {
            // Of several the oldest stays.
            plan.delete.extend(running.into_iter().skip(1).cloned());
            continue;
        }
        if running.is_empty() && start && !there.is_empty() {
            plan.create.push(pod_for(set, hash, Some(name)));
        }
        // A surge pod may stand beside an old one until it is available.
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|p| current(hash, p));
        for surplus in [&new, &old] {
            plan.delete.extend(surplus.iter().skip(1).map(|p| (*p).clone()));
        }
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (pods::available(new, minimum, now) || !pods::ready(old))
        {
            plan.delete.push((*old).clone());
        }
    }
    for (name, pods) in &on {
        if !nodes.iter().any(|n| n.metadata.name.as_deref() == Some(name)) {
            let strays = pods.iter().filter(|p| !pods::terminating(p) && pods::node(p).is_none());
            plan.delete.extend(strays.map(|p| (*p).clone()));
        }
    }
    if rolls(set) {
        let available = |p: &Pod| pods::available(p, minimum, now);
        let roll = Roll { set, hash, fit: &fit, on: &on, available: &available };
        if surging {
            roll.surge(surge, wanted, &mut plan);
        } else {
            roll.replace(unavailable, &mut plan);
        }
    }
    let mut seen = HashSet::new();
    plan.delete.retain(|p| seen.insert(p.metadata.uid.clone()));
    plan
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
        let there = on.get(name).map(Vec::as_slice).unwrap_or_default();
        if !fits(&template, node).0 {
            status.number_misscheduled += i32::from(!there.is_empty());
            continue;
        }
        status.desired_number_scheduled += 1;
        status.current_number_scheduled += i32::from(!there.is_empty());
        // The oldest stands for its node, also while it goes.
        let Some(oldest) = there.first() else { continue };
        status.number_ready += i32::from(pods::ready(oldest));
        available += i32::from(pods::available(oldest, minimum, now));
        updated += i32::from(current(hash, oldest));
    }
    let some = |n: i32| (n > 0).then_some(n);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status.updated_number_scheduled = some(updated);
    status
}

#[cfg(test)]
mod tests;
