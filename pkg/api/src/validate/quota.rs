//! Rules of ResourceQuotas, and of the names and quantities of resources (core `validation.go`).

use serde_json::{Map, Value};

use super::internal_form::internal;
use super::{invalid, list, text};
use crate::field::FieldError;
use crate::names;
use crate::quantity::Amount;

/// Counts of objects that quotas know without a group.
const COUNTED: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
pub(super) const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const POD_COMPUTE: &[&str] = &["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/// The quantity of a field; zero for what is missing or none (its shape was checked before).
pub(super) fn amount(value: &Value) -> Amount {
    value.as_str().and_then(|text| Amount::parse(text).ok()).unwrap_or(Amount::ZERO)
}

fn is_standard_quota(name: &str) -> bool {
    let (kind, rest) = name.split_once('.').unwrap_or(("", name));
    COUNTED.contains(&name)
        || COMPUTE.contains(&name)
        || matches!(kind, "requests" | "limits") && COMPUTE.contains(&rest)
        || name == "requests.storage"
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Whether a resource is Kubernetes' own: without a domain, or of one that ends so.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is somebody's own, counted in whole pieces.
fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// A resource name: qualified, and one of the known where it has no domain.
pub(super) fn resource_name(path: &str, name: &str) -> Vec<FieldError> {
    let errors = invalid(path, name, names::qualified_name(name));
    if errors.is_empty() && !name.contains('/') && !is_standard_quota(name) && name != "storage" {
        return vec![FieldError::invalid(path, name, "must be a standard resource type or fully qualified")];
    }
    errors
}

/// A quantity of a resource: not negative, whole where it counts things.
pub(super) fn quantity(path: &str, name: &str, value: &Value) -> Vec<FieldError> {
    let found = amount(value);
    let mut errors = Vec::new();
    if found.sign() < 0 {
        errors.push(FieldError::invalid(path, value.clone(), "must be greater than or equal to 0"));
    }
    if (COUNTED.contains(&name) || is_extended(name)) && !found.is_whole() {
        errors.push(FieldError::invalid(path, value.clone(), "must be an integer"));
    }
    errors
}

/// A ResourceQuota.
pub fn resource_quota(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = amounts("spec.hard", &spec["hard"]);
    errors.extend(scopes(spec));
    if spec["scopeSelector"].is_object() {
        errors.extend(scope_selector(spec));
    }
    errors.extend(amounts("status.hard", &new["status"]["hard"]));
    errors.extend(amounts("status.used", &new["status"]["used"]));
    if let Some(old) = old {
        let sorted = |quota: &Value| {
            let mut scopes: Vec<String> = list(&quota["spec"], "scopes").iter().map(ToString::to_string).collect();
            scopes.sort_unstable();
            scopes
        };
        if sorted(old) != sorted(new) {
            errors.push(FieldError::invalid("spec.scopes", spec["scopes"].clone(), "field is immutable"));
        }
    }
    errors
}

fn amounts(path: &str, hard: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, value) in hard.as_object().into_iter().flatten() {
        let at = format!("{path}[{name}]");
        errors.extend(resource_name(&at, name));
        if !name.contains('/') && !is_standard_quota(name) {
            errors.push(FieldError::invalid(&at, name.as_str(), "must be a standard resource for quota"));
        }
        errors.extend(quantity(&at, name, value));
    }
    errors
}

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

fn scope_fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        known if SCOPES.contains(&known) => resource == "pods" || POD_COMPUTE.contains(&resource),
        _ => true,
    }
}

/// The standard resources that a quota limits and a scope does not fit.
fn misfits<'a>(spec: &'a Value, scope: &'a str) -> impl Iterator<Item = &'a String> {
    spec["hard"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .filter(move |name| is_standard_quota(name) && !scope_fits(scope, name))
}

fn conflicting(scopes: &[&str]) -> bool {
    let both = |a: &str, b: &str| scopes.contains(&a) && scopes.contains(&b);
    both("BestEffort", "NotBestEffort") || both("Terminating", "NotTerminating")
}

fn scopes(spec: &Value) -> Vec<FieldError> {
    let path = "spec.scopes";
    let scopes: Vec<&str> = list(spec, "scopes").iter().filter_map(Value::as_str).collect();
    let complaint = |words: &str| FieldError::invalid(path, spec["scopes"].clone(), words);
    let mut errors = Vec::new();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.push(complaint("unsupported scope"));
        }
        errors.extend(misfits(spec, scope).map(|_| complaint("unsupported scope applied to resource")));
    }
    if conflicting(&scopes) {
        errors.push(complaint("conflicting scopes"));
    }
    errors
}

fn scope_selector(spec: &Value) -> Vec<FieldError> {
    let path = "spec.scopeSelector.matchExpressions";
    let expressions = list(&spec["scopeSelector"], "matchExpressions");
    let mut errors = Vec::new();
    for expression in expressions {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        let values = list(expression, "values");
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(format!("{path}.scopeName"), scope, "unsupported scope"));
        }
        for _ in misfits(spec, scope) {
            let words = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(path, internal("core.v1.ScopeSelector", &spec["scopeSelector"]), words));
        }
        if !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope)
            && operator != "Exists"
        {
            let words = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                         ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                         ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(format!("{path}.operator"), operator, words));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                format!("{path}.values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::invalid(
                format!("{path}.values"),
                expression["values"].clone(),
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let words = "not a valid selector operator";
                errors.push(FieldError::invalid(format!("{path}.operator"), other, words));
            }
        }
    }
    let scopes: Vec<&str> = expressions.iter().map(|e| text(e, "scopeName")).collect();
    if conflicting(&scopes) {
        errors.push(FieldError::invalid(
            "spec.scopeSelector.matchExpressions",
            spec["scopes"].clone(),
            "conflicting scopes",
        ));
    }
    errors
}
