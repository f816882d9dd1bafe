//! Which requests a policy may be about, and which parameters a binding may name: what is wrong with either.

use serde_json::Value;

use super::check::{list, text};
use crate::field::FieldError;

const OPERATIONS: [&str; 5] = ["*", "CREATE", "UPDATE", "DELETE", "CONNECT"];

pub(super) fn check_resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(other) = resources["matchPolicy"].as_str().filter(|policy| !["Equivalent", "Exact"].contains(policy)) {
        errors.push(FieldError::not_supported(format!("{path}.matchPolicy"), other, &["Equivalent", "Exact"]));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        if let Err(cause) = crate::selector::LabelSelector::from_object(&resources[key]) {
            errors.push(FieldError::invalid(format!("{path}.{key}"), resources[key].clone(), cause));
        }
    }
    for rules in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(resources, rules).iter().enumerate() {
            check_rule(rule, &format!("{path}.{rules}[{index}]"), errors);
        }
    }
}

/// Complaints about one rule of operations and resources, as webhooks have them too.
fn check_rule(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for key in ["operations", "apiGroups", "apiVersions", "resources"] {
        let all = list(rule, key);
        if all.is_empty() {
            errors.push(FieldError::required(format!("{path}.{key}"), ""));
        }
        if key != "resources" && all.len() > 1 && all.iter().any(|one| one == "*") {
            let others = match key {
                "operations" => "operations",
                "apiGroups" => "API groups",
                _ => "API versions",
            };
            let detail = format!("if '*' is present, must not specify other {others}");
            errors.push(FieldError::invalid(format!("{path}.{key}"), rule[key].clone(), detail));
        }
        for (index, one) in all.iter().enumerate() {
            if key != "apiGroups" && one == "" {
                errors.push(FieldError::required(format!("{path}.{key}[{index}]"), ""));
            } else if key == "operations" && !OPERATIONS.contains(&one.as_str().unwrap_or_default()) {
                errors.push(FieldError::not_supported(format!("{path}.{key}[{index}]"), one.clone(), &OPERATIONS));
            }
        }
    }
    let scopes = ["*", "Cluster", "Namespaced"];
    if let Some(scope) = rule["scope"].as_str().filter(|scope| !scopes.contains(scope)) {
        errors.push(FieldError::not_supported(format!("{path}.scope"), scope, &scopes));
    }
}

/// Only creates and updates have an object that can be changed.
pub(super) fn only_writes(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for operation in list(resources, "resourceRules").iter().flat_map(|rule| list(rule, "operations")) {
        if !["CREATE", "UPDATE"].contains(&operation.as_str().unwrap_or_default()) {
            let at = format!("{path}.resourceRules.operations");
            errors.push(FieldError::not_supported(at, operation.clone(), &["CREATE", "UPDATE"]));
        }
    }
}

pub(super) fn check_param_ref(reference: &Value, errors: &mut Vec<FieldError>) {
    let at = "spec.paramRef";
    let (name, selector) = (text(reference, "name"), reference["selector"].is_object());
    if !name.is_empty() && selector {
        for key in ["name", "selector"] {
            errors.push(FieldError::forbidden(format!("{at}.{key}"), "name and selector are mutually exclusive"));
        }
    }
    if name.is_empty() && !selector {
        errors.push(FieldError::required(at, "one of name or selector must be specified"));
    }
    match text(reference, "parameterNotFoundAction") {
        "" => errors.push(FieldError::required(format!("{at}.parameterNotFoundAction"), "")),
        "Allow" | "Deny" => {}
        other => {
            let field = format!("{at}.parameterNotFoundAction");
            errors.push(FieldError::not_supported(field, other, &["Allow", "Deny"]));
        }
    }
}
