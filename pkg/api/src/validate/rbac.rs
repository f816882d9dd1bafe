//! Rules of roles and their bindings. Whether somebody may grant what they lack is the authoriser's question.

use serde_json::{Value, json};

use super::{immutable, invalid, label_selector, list, text};
use crate::field::FieldError;
use crate::names;

const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role (`namespaced`) or ClusterRole.
pub fn role(new: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, rule) in list(new, "rules").iter().enumerate() {
        let path = format!("rules[{i}]");
        if list(rule, "verbs").is_empty() {
            errors.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
        }
        let urls = list(rule, "nonResourceURLs");
        if !urls.is_empty() {
            let at = format!("{path}.nonResourceURLs");
            if namespaced {
                let words = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(&at, json!(urls), words));
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|f| !list(rule, f).is_empty()) {
                let words = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(&at, json!(urls), words));
            }
            continue;
        }
        if list(rule, "apiGroups").is_empty() {
            let words = "resource rules must supply at least one api group";
            errors.push(FieldError::required(format!("{path}.apiGroups"), words));
        }
        if list(rule, "resources").is_empty() {
            let words = "resource rules must supply at least one resource";
            errors.push(FieldError::required(format!("{path}.resources"), words));
        }
    }
    if new["aggregationRule"].is_object() {
        let selectors = list(&new["aggregationRule"], "clusterRoleSelectors");
        if selectors.is_empty() {
            errors.push(FieldError::required(
                "aggregationRule.clusterRoleSelectors",
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (i, selector) in selectors.iter().enumerate() {
            errors.extend(label_selector(&format!("aggregationRule.clusterRoleSelectors[{i}]"), selector));
        }
    }
    errors
}

/// A RoleBinding (`namespaced`) or ClusterRoleBinding.
pub fn role_binding(new: &Value, old: Option<&Value>, namespaced: bool) -> Vec<FieldError> {
    let reference = &new["roleRef"];
    let mut errors = Vec::new();
    if text(reference, "apiGroup") != GROUP {
        errors.push(FieldError::not_supported("roleRef.apiGroup", text(reference, "apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(reference, "kind")) {
        errors.push(FieldError::not_supported("roleRef.kind", text(reference, "kind"), kinds));
    }
    let name = text(reference, "name");
    if name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    } else {
        errors.extend(invalid("roleRef.name", name, names::path_segment(name, false)));
    }
    for (i, subject) in list(new, "subjects").iter().enumerate() {
        errors.extend(subject_rules(&format!("subjects[{i}]"), subject, namespaced));
    }
    if let Some(old) = old {
        errors.extend(immutable(reference, &old["roleRef"], "roleRef"));
    }
    errors
}

fn subject_rules(path: &str, subject: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.extend(invalid(&format!("{path}.name"), name, names::subdomain(name)));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(format!("{path}.apiGroup"), group, &[GROUP]));
            }
        }
        other => {
            errors.push(FieldError::not_supported(format!("{path}.kind"), other, &["Group", "ServiceAccount", "User"]))
        }
    }
    errors
}
