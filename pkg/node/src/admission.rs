//! What a node refuses to run though the API took it: such a pod fails at once, with the reason in its status. Pure
//! (kubelet's `sysctl` and `lifecycle` handlers).

use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::Api;
use minisvc_api::node_fit::{UNMATCHED, affinity_matches, untolerated};

use crate::node::Node;
use crate::room::{Refusal, TAINTS};

/// Settings of a pod's own namespaces that harm nobody else (kubelet's `safe_sysctls.go`).
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// A setting's name with dots, which may also be written with slashes.
pub(crate) fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        // A slash first: dots belong to the names between slashes.
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// How often the node's object is asked for before a pod is let in without.
const ATTEMPTS: usize = 3;

/// Lets a pod in: what it asks for is its own until it is released. Else reason and message of the refusal.
pub(crate) async fn admit(node: &Node, pod: &Pod) -> Result<(), Refusal> {
    let unmatched = if concerns_labels(pod) { unmatched(node, pod).await } else { None };
    node.ledger.admit(pod, unmatched)?;
    match refusal(pod) {
        Some((reason, message)) => {
            node.ledger.release(pod);
            Err(Refusal { reason: reason.to_owned(), message })
        }
        None => Ok(()),
    }
}

/// Whether labels and taints of the node matter for a pod that is bound to it already: the scheduler looked at the taints
/// of those that it bound.
fn concerns_labels(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let affinity = spec.and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref());
    let selects = spec.is_some_and(|spec| spec.node_selector.as_ref().is_some_and(|labels| !labels.is_empty()))
        || affinity.is_some_and(|affinity| affinity.required_during_scheduling_ignored_during_execution.is_some());
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    selects || !conditions.into_iter().any(|condition| condition.type_ == "PodScheduled")
}

/// What in the node's object speaks against a pod.
async fn unmatched(node: &Node, pod: &Pod) -> Option<Refusal> {
    let api: Api<NodeObject> = Api::all(node.client.clone());
    for _ in 0..ATTEMPTS {
        match api.get(&node.config.node_name).await {
            Ok(object) => return against(pod, &object),
            Err(error) => tracing::debug!(%error, "the node's object"),
        }
    }
    None
}

fn against(pod: &Pod, object: &NodeObject) -> Option<Refusal> {
    if !affinity_matches(pod, object) {
        return Some(Refusal::predicate("NodeAffinity", UNMATCHED));
    }
    let taints = object.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    untolerated(pod, taints, &["NoExecute"])
        .map(|_| Refusal::predicate(TAINTS, "node(s) had taints that the pod didn't tolerate"))
}

/// Reason and message of the refusal of what no node of this kind does; none where the pod may run.
fn refusal(pod: &Pod) -> Option<(&'static str, String)> {
    let spec = pod.spec.as_ref()?;
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        return Some(("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS".to_owned()));
    }
    let context = spec.security_context.as_ref();
    for sysctl in context.iter().flat_map(|context| context.sysctls.iter().flatten()) {
        let name = dotted(&sysctl.name);
        let (host, kind) = match name.starts_with("net.") {
            true => (spec.host_network == Some(true), "net"),
            false => (spec.host_ipc == Some(true), "ipc"),
        };
        if !SAFE.contains(&name.as_str()) {
            return Some(("SysctlForbidden", format!("forbidden sysctl: {name:?} not allowlisted")));
        }
        if host {
            return Some((
                "SysctlForbidden",
                format!("forbidden sysctl: {name:?} not allowed with host {kind} enabled"),
            ));
        }
    }
    if spec.host_users == Some(false) {
        let text = "Pod requires user namespaces (hostUsers: false), which minisvc's nodes do not have";
        return Some(("UnexpectedAdmissionError", text.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(spec: serde_json::Value) -> Option<(&'static str, String)> {
        refusal(&serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
    }

    fn with(name: &str, more: serde_json::Value) -> Option<(&'static str, String)> {
        let mut spec = json!({"containers": [], "securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(spec)
    }

    #[test]
    fn safe_sysctls_pass_and_others_are_forbidden() {
        assert_eq!(with("kernel.shm_rmid_forced", json!({})), None);
        assert_eq!(with("net/ipv4/tcp_syncookies", json!({})), None);
        let text = "forbidden sysctl: \"kernel.msgmax\" not allowlisted".to_owned();
        assert_eq!(with("kernel.msgmax", json!({})), Some(("SysctlForbidden", text)));
        let text = "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled".to_owned();
        assert_eq!(with("net.ipv4.tcp_syncookies", json!({"hostNetwork": true})), Some(("SysctlForbidden", text)));
    }

    #[test]
    fn labels_and_taints_speak_against_a_pod() {
        let pod = |spec: serde_json::Value| -> Pod { serde_json::from_value(json!({"spec": spec})).unwrap() };
        let object: NodeObject = serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"a": "1"}},
            "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}))
        .unwrap();
        let selective = pod(json!({"containers": [], "nodeSelector": {"a": "2"}}));
        assert!(concerns_labels(&selective));
        let refusal = against(&selective, &object).unwrap();
        let words = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        assert_eq!((refusal.reason.as_str(), refusal.message.as_str()), ("NodeAffinity", words));
        assert_eq!(against(&pod(json!({"containers": []})), &object).unwrap().reason, TAINTS);
        let tolerant = json!({"containers": [], "tolerations": [{"key": "k", "operator": "Exists"}]});
        assert_eq!(against(&pod(tolerant), &object), None);
        let mut bound = pod(json!({"containers": []}));
        assert!(concerns_labels(&bound));
        bound.status =
            serde_json::from_value(json!({"conditions": [{"type": "PodScheduled", "status": "True"}]})).unwrap();
        assert!(!concerns_labels(&bound));
    }

    #[test]
    fn other_systems_are_refused() {
        assert_eq!(refused(json!({"containers": [], "os": {"name": "windows"}})).unwrap().0, "PodOSNotSupported");
    }

    #[test]
    fn user_namespaces_are_refused_in_words() {
        assert!(refused(json!({"containers": [], "hostUsers": false})).unwrap().1.contains("hostUsers"));
        assert_eq!(refused(json!({"containers": [], "hostUsers": true})), None);
    }
}
