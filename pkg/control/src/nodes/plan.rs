//! What a node's condition means: unknown conditions, taints, evictions, ranges. Pure; texts and reasons are those of
//! Kubernetes' `node_lifecycle_controller.go`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::scheduler::tolerates;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away when True, and their taints.
const TROUBLES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];
/// Seconds of the tolerations that Kubernetes' admission gives every pod; they count as "no wish of its own".
const ADMITTED: i64 = 300;

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

/// The status of Ready: `True`, `False`, `Unknown`.
pub(super) fn ready_status(node: &Node) -> Option<&str> {
    condition(node, "Ready").map(|c| c.status.as_str())
}

/// The conditions that make taints, and their status.
pub(super) fn states(node: &Node) -> Vec<(String, String)> {
    let all = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let known = all.filter(|c| c.type_ == "Ready" || TROUBLES.iter().any(|(kind, _)| c.type_ == *kind));
    known.map(|c| (c.type_.clone(), c.status.clone())).collect()
}

/// What pods may have, when it does not follow from the node's capacity: of extended resources, which people may set, all.
/// (The kubelet does so whenever it writes its status: `MachineInfo` of `pkg/kubelet/nodestatus/setters.go`.)
pub(super) fn allocatable(node: &Node) -> Option<BTreeMap<String, Quantity>> {
    let status = node.status.as_ref()?;
    let extended = |name: &str| name.contains('/');
    let empty = BTreeMap::new();
    let (capacity, had) = (status.capacity.as_ref().unwrap_or(&empty), status.allocatable.as_ref().unwrap_or(&empty));
    let mut has = had.clone();
    has.retain(|name, _| !extended(name) || capacity.contains_key(name));
    has.extend(capacity.iter().filter(|(name, _)| extended(name)).map(|(name, all)| (name.clone(), all.clone())));
    (has != *had).then_some(has)
}

/// When the node last wrote its status, by its own clock. What we wrote for it does not count.
pub(super) fn heartbeat(node: &Node) -> Option<Timestamp> {
    condition(node, "Ready").filter(|c| c.status != "Unknown")?.last_heartbeat_time.as_ref().map(|t| t.0)
}

/// The node with all conditions Unknown, after it was silent too long; `None` when they are so already.
pub(super) fn silenced(node: &Node, now: Timestamp) -> Option<Node> {
    if ready_status(node) == Some("Unknown") {
        return None;
    }
    let mut node = node.clone();
    let created = node.metadata.creation_timestamp.clone();
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: created.clone(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    Some(node)
}

/// The taints that the node should have for its conditions and for being cordoned; `None` when it has them.
pub(super) fn taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let wanted: &[(&str, &str)] = match ready_status(node) {
        Some("True") => &[],
        Some("Unknown") => &[(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
        Some(_) => &[(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
        // Not heard of yet: no pods, but no alarm either.
        None => &[(NOT_READY, "NoSchedule")],
    };
    let mut wanted = wanted.to_vec();
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let troubled = |kind: &str| condition(node, kind).is_some_and(|c| c.status == "True");
    wanted.extend(TROUBLES.iter().filter(|(kind, _)| troubled(kind)).map(|(_, key)| (*key, "NoSchedule")));
    let old = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    let ours = |t: &Taint| {
        t.key == NOT_READY
            || t.key == UNREACHABLE
            || t.effect == "NoSchedule" && (t.key == UNSCHEDULABLE || TROUBLES.iter().any(|(_, key)| t.key == *key))
    };
    let is = |t: &Taint, (key, effect): &(&str, &str)| t.key == *key && t.effect == *effect;
    let mut new: Vec<_> = old.iter().filter(|t| !ours(t) || wanted.iter().any(|w| is(t, w))).cloned().collect();
    for w in &wanted {
        if !new.iter().any(|t| is(t, w)) {
            new.push(Taint { key: w.0.into(), effect: w.1.into(), time_added: Some(Time(now)), value: None });
        }
    }
    (new != old).then_some(new)
}

/// The node's NoExecute taints.
pub(super) fn no_execute(node: &Node) -> Vec<Taint> {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|t| t.effect == "NoExecute").cloned().collect()
}

/// When NoExecute taints were first seen, by key, value and effect.
pub(super) type Seen = HashMap<(String, Option<String>, String), Timestamp>;

/// Notes which NoExecute taints are there, and dates those that bring no time of their own (`kubectl taint` gives none)
/// by when they were first seen.
pub(super) fn dated(mut taints: Vec<Taint>, seen: &mut Seen, now: Timestamp) -> Vec<Taint> {
    let key = |t: &Taint| (t.key.clone(), t.value.clone(), t.effect.clone());
    seen.retain(|k, _| taints.iter().any(|t| key(t) == *k));
    for taint in &mut taints {
        let first = *seen.entry(key(taint)).or_insert(now);
        taint.time_added.get_or_insert(Time(first));
    }
    taints
}

/// Whether a pod must leave.
#[derive(Debug, PartialEq)]
pub(super) enum Eviction {
    Never,
    After(Duration),
    Now,
}

/// When a pod must leave a node with these NoExecute taints. `patience` is what a pod without a wish of its own
/// tolerates of an unreachable or unready node, in seconds. A taint that does not say since when it is there counts from
/// `now`: see [`dated`].
pub(super) fn eviction(pod: &Pod, taints: &[Taint], patience: u32, now: Timestamp) -> Eviction {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    let mut soonest: Option<i64> = None;
    for taint in taints {
        let from_node = taint.key == NOT_READY || taint.key == UNREACHABLE;
        // A pod that came later has its patience from then on.
        let born = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |t| t.0);
        let since = taint.time_added.as_ref().map_or(now, |t| t.0.max(born)).as_second();
        let wishes: Vec<_> = tolerations.iter().filter(|t| tolerates(t, taint) && !admitted(t)).collect();
        let seconds = if wishes.is_empty() {
            if !from_node {
                return Eviction::Now;
            }
            Some(i64::from(patience))
        } else {
            // One toleration without a limit does not help against another with one (`getMinTolerationTime`).
            wishes.iter().filter_map(|t| t.toleration_seconds).min()
        };
        if let Some(seconds) = seconds {
            let end = since + seconds.max(0);
            soonest = Some(soonest.map_or(end, |s| s.min(end)));
        }
    }
    match soonest.map(|end| end - now.as_second()) {
        None => Eviction::Never,
        Some(left) if left <= 0 => Eviction::Now,
        Some(left) => Eviction::After(Duration::from_secs(left.unsigned_abs())),
    }
}

fn admitted(toleration: &Toleration) -> bool {
    matches!(toleration.key.as_deref(), Some(NOT_READY | UNREACHABLE))
        && toleration.effect.as_deref() == Some("NoExecute")
        && toleration.operator.as_deref() == Some("Exists")
        && toleration.toleration_seconds == Some(ADMITTED)
}

/// A free range for a node: the one of the number at the end of its name if that is free, else the lowest free one but
/// the first, which nobody gets by order.
pub(super) fn range(all: Ipv4Net, prefix: u8, name: &str, taken: &HashMap<Ipv4Net, String>) -> Option<Ipv4Net> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number: Option<usize> = name[name.len() - digits..].parse().ok();
    let own = number.filter(|n| *n > 0).and_then(|n| all.subnets(prefix).ok()?.nth(n));
    let free = |range: &Ipv4Net| !taken.contains_key(range);
    own.filter(free).or_else(|| all.subnets(prefix).ok()?.skip(1).find(free))
}

#[cfg(test)]
mod tests;
