//! RBAC: (Cluster)Roles and their bindings, as plugin/pkg/auth/authorizer/rbac evaluates them. Pure over what the store
//! holds at this moment.

use minisvc_store::{Key, Store};
use serde_json::Value;

use super::{Attributes, strings};
use crate::identity::Identity;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether some binding grants it.
pub(super) fn allows(store: &dyn Store, question: &Attributes<'_>) -> bool {
    rules_of(store, question.identity, question.namespace).iter().any(|rule| permits(rule, question))
}

/// Every rule that bindings give this identity: cluster-wide ones, and those of `namespace` when it is not empty.
pub(crate) fn rules_of(store: &dyn Store, identity: &Identity, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for binding in store.list(&format!("clusterrolebindings.{GROUP}"), None).items {
        if subject_of(&binding.value, "", identity) {
            rules.extend(role_rules(store, &binding.value["roleRef"], ""));
        }
    }
    if !namespace.is_empty() {
        for binding in store.list(&format!("rolebindings.{GROUP}"), Some(namespace)).items {
            if subject_of(&binding.value, namespace, identity) {
                rules.extend(role_rules(store, &binding.value["roleRef"], namespace));
            }
        }
    }
    rules
}

fn subject_of(binding: &Value, namespace: &str, identity: &Identity) -> bool {
    binding["subjects"].as_array().into_iter().flatten().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => name == "*" || identity.user == name,
            Some("Group") => identity.is_member(name),
            Some("ServiceAccount") => {
                let place = subject["namespace"].as_str().filter(|place| !place.is_empty()).unwrap_or(namespace);
                !place.is_empty() && identity.user == format!("system:serviceaccount:{place}:{name}")
            }
            _ => false,
        }
    })
}

/// The rules of the role that a `roleRef` names; none when there is no such role.
pub(crate) fn role_rules(store: &dyn Store, reference: &Value, namespace: &str) -> Vec<Value> {
    let (plural, namespace) = match reference["kind"].as_str() {
        Some("ClusterRole") => ("clusterroles", ""),
        Some("Role") => ("roles", namespace),
        _ => return Vec::new(),
    };
    let key = Key {
        resource: format!("{plural}.{GROUP}").into(),
        namespace: namespace.into(),
        name: reference["name"].as_str().unwrap_or_default().into(),
    };
    store.get(&key).and_then(|role| role.value["rules"].as_array().cloned()).unwrap_or_default()
}

fn permits(rule: &Value, question: &Attributes<'_>) -> bool {
    let has = |field: &str, wanted: &str| strings(&rule[field]).any(|entry| entry == "*" || entry == wanted);
    if !has("verbs", question.verb) {
        return false;
    }
    if let Some(path) = question.path {
        return strings(&rule["nonResourceURLs"]).any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == pattern,
        });
    }
    let resource = strings(&rule["resources"]).any(|entry| match question.subresource {
        "" => entry == "*" || entry == question.resource,
        sub => match entry.split_once('/') {
            None => entry == "*",
            Some((parent, child)) => (parent == "*" || parent == question.resource) && child == sub,
        },
    });
    let mut names = strings(&rule["resourceNames"]).peekable();
    resource && has("apiGroups", question.group) && (names.peek().is_none() || names.any(|name| name == question.name))
}
