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
pub(crate) fn check_rule(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let lists = [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")];
    for (key, others) in lists {
        let all = list(rule, key);
        let at = format!("{path}.{key}");
        if all.is_empty() {
            errors.push(FieldError::required(at.clone(), ""));
        }
        if all.len() > 1 && all.iter().any(|one| one == "*") {
            let detail = format!("if '*' is present, must not specify other {others}");
            errors.push(FieldError::invalid(at.clone(), rule[key].clone(), detail));
        }
        for (index, one) in all.iter().enumerate() {
            if key == "operations" && !OPERATIONS.contains(&one.as_str().unwrap_or_default()) {
                errors.push(FieldError::not_supported(format!("{at}[{index}]"), one.clone(), &OPERATIONS));
            } else if key == "apiVersions" && one == "" {
                errors.push(FieldError::required(format!("{at}[{index}]"), ""));
            }
        }
    }
    check_patterns(rule, &format!("{path}.resources"), errors);
    let scopes = ["*", "Cluster", "Namespaced"];
    if let Some(scope) = rule["scope"].as_str().filter(|scope| !scopes.contains(scope)) {
        errors.push(FieldError::not_supported(format!("{path}.scope"), scope, &scopes));
    }
}

/// Complaints about `resources`: patterns that say again what another says already.
fn check_patterns(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let all = list(rule, "resources");
    if all.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut of_any, mut any_of) = (Vec::new(), Vec::new());
    // As in Kubernetes the last name without a subresource decides.
    let mut plain = false;
    for (index, pattern) in all.iter().enumerate() {
        let pattern = pattern.as_str().unwrap_or_default();
        let at = format!("{path}[{index}]");
        if pattern.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let Some((resource, below)) = pattern.split_once('/') else {
            plain = pattern != "*";
            continue;
        };
        if of_any.contains(&resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {pattern}");
            errors.push(FieldError::invalid(at.clone(), pattern, detail));
        }
        if any_of.contains(&below) {
            let detail = format!("if '*/{below}' is present, must not specify {pattern}");
            errors.push(FieldError::invalid(at, pattern, detail));
        }
        if below == "*" {
            of_any.push(resource);
        }
        if resource == "*" {
            any_of.push(below);
        }
    }
    if all.len() > 1 && all.iter().any(|one| one == "*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, rule["resources"].clone(), detail));
    }
    if plain && all.iter().any(|one| one == "*") {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, rule["resources"].clone(), detail));
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
