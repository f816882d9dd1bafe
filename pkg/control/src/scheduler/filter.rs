//! Whether a pod may run on a node, apart from what already runs there: names, labels, taints. Pure.

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
pub(crate) use minisvc_api::node_fit::{UNMATCHED, affinity_matches, term_matches, tolerates, untolerated};

/// How many taints with effect PreferNoSchedule the pod does not tolerate.
pub(super) fn soft_taints(pod: &Pod, taints: &[Taint]) -> i64 {
    let each = taints.iter().filter(|t| untolerated(pod, std::slice::from_ref(*t), &["PreferNoSchedule"]).is_some());
    i64::try_from(each.count()).unwrap_or(i64::MAX)
}

/// Whether the Ready condition is True.
pub(crate) fn node_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Weight of the preferred node affinity terms that match.
pub(super) fn preference(pod: &Pod, node: &Node) -> i64 {
    let preferred = pod
        .spec
        .as_ref()
        .and_then(|s| s.affinity.as_ref()?.node_affinity.as_ref())
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let matching = preferred.into_iter().flatten().filter(|t| term_matches(&t.preference, node));
    matching.map(|t| i64::from(t.weight)).sum()
}

/// Why the pod must not run on the node, in Kubernetes' words and order of plugins.
pub(super) fn refuses(pod: &Pod, node: &Node) -> Option<String> {
    let spec = node.spec.as_ref();
    let unschedulable =
        Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
    if spec.and_then(|s| s.unschedulable) == Some(true)
        && untolerated(pod, std::slice::from_ref(&unschedulable), &["NoSchedule"]).is_some()
    {
        return Some("node(s) were unschedulable".into());
    }
    let taints = spec.and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let hard = ["NoSchedule", "NoExecute"];
    let tainted = "node(s) had untolerated taint(s)";
    if untolerated(pod, taints, &hard).is_some() {
        return Some(tainted.into());
    }
    if !node_ready(node) {
        // The taint follows within milliseconds; no pod may slip in before.
        let taint =
            Taint { key: "node.kubernetes.io/not-ready".into(), effect: "NoSchedule".into(), ..Taint::default() };
        if untolerated(pod, std::slice::from_ref(&taint), &hard).is_some() {
            return Some(tainted.into());
        }
    }
    (!affinity_matches(pod, node)).then(|| UNMATCHED.into())
}
