//! Whether a pod may run on a node, apart from how much room there is: labels, taints, ports of the node. The scheduler asks
//! before it binds and the node once more before it runs (kube-scheduler's `AdmissionCheck`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, Taint, Toleration};

/// What is said of a node whose labels or name the pod's selectors rule out.
pub const UNMATCHED: &str = "node(s) didn't match Pod's node affinity/selector";
/// What is said of a node whose ports are taken.
pub const NO_PORTS: &str = "node(s) didn't have free ports for the requested pod ports";

/// Address, protocol, port on a node.
pub type Port = (String, String, i32);

/// Whether a map selector (Service, nodeSelector) matches.
pub fn map_matches(selector: &BTreeMap<String, String>, labels: Option<&BTreeMap<String, String>>) -> bool {
    selector.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
}

/// One requirement of a label or node selector on the value of its key; unknown operators match nothing.
pub fn requirement(operator: &str, value: Option<&String>, values: &[String]) -> bool {
    match operator {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" | "Lt" => {
            let number = |s: &String| s.parse::<i64>().ok();
            match (value.and_then(number), values.first().and_then(number)) {
                (Some(a), Some(b)) if operator == "Gt" => a > b,
                (Some(a), Some(b)) => a < b,
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether a toleration covers a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
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
pub fn untolerated<'a>(pod: &Pod, taints: &'a [Taint], effects: &[&str]) -> Option<&'a Taint> {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    taints
        .iter()
        .filter(|t| effects.contains(&t.effect.as_str()))
        .find(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
}

/// Whether one term of a node selector matches; a term without requirements matches nothing.
pub fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
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
pub fn affinity_matches(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let selector = spec.node_selector.as_ref().is_none_or(|s| map_matches(s, node.metadata.labels.as_ref()));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref());
    selector && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term_matches(t, node)))
}

/// The ports of the node that a pod takes.
pub fn host_ports(pod: &Pod) -> Vec<Port> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let host = spec.host_network == Some(true);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0).or(host.then_some(p.container_port))?;
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((p.host_ip.clone().unwrap_or_default(), protocol, port))
        })
        .collect()
}

/// Whether two pods cannot both have their ports: the same port of the same address, or of all.
pub fn clash(a: &Port, b: &Port) -> bool {
    let any = |address: &str| address.is_empty() || address == "0.0.0.0" || address == "::";
    (&a.1, a.2) == (&b.1, b.2) && (a.0 == b.0 || any(&a.0) || any(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_clash_on_one_address() {
        let port = |address: &str, protocol: &str| (address.to_owned(), protocol.to_owned(), 80);
        assert!(clash(&port("", "TCP"), &port("10.0.0.1", "TCP")) && clash(&port("::", "TCP"), &port("", "TCP")));
        assert!(
            !clash(&port("10.0.0.2", "TCP"), &port("10.0.0.1", "TCP")) && !clash(&port("", "TCP"), &port("", "UDP"))
        );
    }

    #[test]
    fn selectors_and_tolerations() {
        let node: Node =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "n1", "labels": {"a": "1"}}})).unwrap();
        let pod =
            |spec: serde_json::Value| -> Pod { serde_json::from_value(serde_json::json!({"spec": spec})).unwrap() };
        let none = serde_json::json!([]);
        assert!(affinity_matches(&pod(serde_json::json!({"containers": none, "nodeSelector": {"a": "1"}})), &node));
        assert!(!affinity_matches(&pod(serde_json::json!({"containers": none, "nodeSelector": {"a": "2"}})), &node));
        let taint = Taint { key: "k".into(), effect: "NoExecute".into(), ..Taint::default() };
        let tolerant = pod(serde_json::json!({"containers": none, "tolerations": [{"operator": "Exists"}]}));
        let taints = [taint];
        assert!(untolerated(&tolerant, &taints, &["NoExecute"]).is_none());
        assert!(untolerated(&pod(serde_json::json!({"containers": none})), &taints, &["NoExecute"]).is_some());
        assert!(untolerated(&pod(serde_json::json!({"containers": none})), &taints, &["NoSchedule"]).is_none());
    }
}
