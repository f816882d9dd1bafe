//! Whether a pod may run on a node, apart from what already runs there: names, labels, taints. Pure.

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, Taint, Toleration};

use crate::labels::{map_matches, requirement};

/// Whether a toleration covers a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => {
                toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
            }
            Some(_) => false,
        }
}

/// The first taint of the node with one of `effects` that the pod does not tolerate.
pub(crate) fn untolerated<'a>(pod: &Pod, taints: &'a [Taint], effects: &[&str]) -> Option<&'a Taint> {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    taints
        .iter()
        .filter(|t| effects.contains(&t.effect.as_str()))
        .find(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
}

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

/// Whether one term of a node selector matches; a term without requirements matches nothing.
pub(crate) fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let labels = node.metadata.labels.as_ref();
    let empty = Vec::new();
    !(expressions.is_empty() && fields.is_empty())
        && expressions
            .iter()
            .all(|e| requirement(&e.operator, labels.and_then(|l| l.get(&e.key)), e.values.as_ref().unwrap_or(&empty)))
        && fields.iter().all(|f| {
            f.key == "metadata.name"
                && requirement(&f.operator, node.metadata.name.as_ref(), f.values.as_ref().unwrap_or(&empty))
        })
}

/// nodeSelector and required node affinity.
pub(crate) fn affinity_matches(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let selector = spec.node_selector.as_ref().is_none_or(|s| map_matches(s, node.metadata.labels.as_ref()));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref());
    selector && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term_matches(t, node)))
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
    (!affinity_matches(pod, node)).then(|| "node(s) didn't match Pod's node affinity/selector".into())
}
