//! Rules about where a pod may run: tolerations, affinities, topology spread, scheduling gates, and what of them may still
//! be narrowed while a pod is gated. Texts of Kubernetes' `pkg/apis/core/validation/validation.go`.

use std::collections::HashSet;

use serde_json::Value;

use crate::field::FieldError;
use crate::names;
use crate::validate::{invalid, label_selector, list, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// All rules of a pod's spec at a path.
pub(super) fn placement(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, toleration) in list(spec, "tolerations").iter().enumerate() {
        errors.extend(tolerates(&format!("{path}.tolerations[{i}]"), toleration));
    }
    let affinity = &spec["affinity"];
    let at = format!("{path}.affinity.nodeAffinity");
    errors.extend(node_affinity(&at, &affinity["nodeAffinity"]));
    for kind in ["podAffinity", "podAntiAffinity"] {
        errors.extend(pod_affinity(&format!("{path}.affinity.{kind}"), &affinity[kind]));
    }
    let constraints = list(spec, "topologySpreadConstraints");
    for (i, constraint) in constraints.iter().enumerate() {
        errors.extend(spread(&format!("{path}.topologySpreadConstraints[{i}]"), constraint, &constraints[i + 1..]));
    }
    let mut seen = HashSet::new();
    for (i, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let (at, name) = (format!("{path}.schedulingGates[{i}]"), text(gate, "name"));
        errors.extend(invalid(&at, name, names::qualified_name(name)));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(at, name));
        }
    }
    errors
}

pub(in crate::validate) fn tolerates(at: &str, toleration: &Value) -> Vec<FieldError> {
    let (key, value) = (text(toleration, "key"), text(toleration, "value"));
    let (operator, effect) = (text(toleration, "operator"), text(toleration, "effect"));
    let mut errors = Vec::new();
    if !key.is_empty() {
        errors.extend(invalid(&format!("{at}.key"), key, names::qualified_name(key)));
    }
    if key.is_empty() && operator != "Exists" {
        let words = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(format!("{at}.operator"), operator, words));
    }
    if toleration["tolerationSeconds"].is_number() && effect != "NoExecute" {
        let words = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(format!("{at}.effect"), effect, words));
    }
    let path = format!("{at}.operator");
    match operator {
        "" | "Equal" => {
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                errors.push(FieldError::invalid(path, value, complaints.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            errors.push(FieldError::invalid(path, value, "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" => {}
        // Their gate, TaintTolerationComparisonOperators, is off; upstream names them all the same.
        "Lt" | "Gt" => errors.push(FieldError::not_supported(path, operator, &["Equal", "Exists", "Lt", "Gt"])),
        other => errors.push(FieldError::not_supported(path, other, &["Equal", "Exists"])),
    }
    const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(format!("{at}.effect"), effect, EFFECTS));
    }
    errors
}

fn node_affinity(at: &str, affinity: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let required = &affinity[REQUIRED];
    if required.is_object() {
        let at = format!("{at}.{REQUIRED}.nodeSelectorTerms");
        let terms = list(required, "nodeSelectorTerms");
        if terms.is_empty() {
            errors.push(FieldError::required(&at, "must have at least one node selector term"));
        }
        for (i, term) in terms.iter().enumerate() {
            errors.extend(node_term(&format!("{at}[{i}]"), term, true));
        }
    }
    for (i, term) in list(affinity, PREFERRED).iter().enumerate() {
        let at = format!("{at}.{PREFERRED}[{i}]");
        errors.extend(weight(&at, term));
        errors.extend(node_term(&format!("{at}.preference"), &term["preference"], false));
    }
    errors
}

fn weight(at: &str, term: &Value) -> Vec<FieldError> {
    let weight = term["weight"].as_i64().unwrap_or(0);
    if (1..=100).contains(&weight) {
        return Vec::new();
    }
    vec![FieldError::invalid(format!("{at}.weight"), weight, "must be in the range 1-100")]
}

/// A term of a node selector; values of preferred ones may be anything.
pub(in crate::validate) fn node_term(at: &str, term: &Value, strict: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, one) in list(term, "matchExpressions").iter().enumerate() {
        let at = format!("{at}.matchExpressions[{i}]");
        let values = list(one, "values");
        let path = format!("{at}.values");
        match text(one, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(FieldError::required(&path, "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&path, words));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let words = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(&path, words));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.push(not_an_operator(&at, other)),
        }
        let key = text(one, "key");
        errors.extend(invalid(&format!("{at}.key"), key, names::qualified_name(key)));
        for (j, value) in values.iter().enumerate().filter(|_| strict) {
            let value = value.as_str().unwrap_or_default();
            errors.extend(invalid(&format!("{path}[{j}]"), value, names::label_value(value)));
        }
    }
    for (i, one) in list(term, "matchFields").iter().enumerate() {
        let at = format!("{at}.matchFields[{i}]");
        let values = list(one, "values");
        match text(one, "operator") {
            "In" | "NotIn" if values.len() != 1 => {
                let words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(FieldError::required(format!("{at}.values"), words));
            }
            "In" | "NotIn" => {}
            other => errors.push(not_an_operator(&at, other)),
        }
        if text(one, "key") != "metadata.name" {
            let words = "not a valid field selector key";
            errors.push(FieldError::invalid(format!("{at}.key"), text(one, "key"), words));
            continue;
        }
        for (j, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            errors.extend(invalid(&format!("{at}.values[{j}]"), value, names::subdomain(value)));
        }
    }
    errors
}

fn not_an_operator(at: &str, operator: &str) -> FieldError {
    FieldError::invalid(format!("{at}.operator"), operator, "not a valid selector operator")
}

fn pod_affinity(at: &str, affinity: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, term) in list(affinity, REQUIRED).iter().enumerate() {
        errors.extend(pod_term(&format!("{at}.{REQUIRED}[{i}]"), term));
    }
    for (i, term) in list(affinity, PREFERRED).iter().enumerate() {
        let at = format!("{at}.{PREFERRED}[{i}]");
        errors.extend(weight(&at, term));
        errors.extend(pod_term(&format!("{at}.podAffinityTerm"), &term["podAffinityTerm"]));
    }
    errors
}

fn pod_term(at: &str, term: &Value) -> Vec<FieldError> {
    let mut errors = label_selector(&format!("{at}.labelSelector"), &term["labelSelector"]);
    errors.extend(label_selector(&format!("{at}.namespaceSelector"), &term["namespaceSelector"]));
    for namespace in list(term, "namespaces") {
        let namespace = namespace.as_str().unwrap_or_default();
        errors.extend(invalid(&format!("{at}.namespace"), namespace, names::label(namespace)));
    }
    errors.extend(label_keys(at, term));
    let (path, key) = (format!("{at}.topologyKey"), text(term, "topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    errors.extend(invalid(&path, key, names::qualified_name(key)));
    errors
}

/// `matchLabelKeys` and `mismatchLabelKeys`. The selector holds what came of the former already, once.
fn label_keys(at: &str, term: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let selector = &term["labelSelector"];
    let keys = |field: &str| -> Vec<String> {
        list(term, field).iter().map(|k| k.as_str().unwrap_or_default().to_owned()).collect()
    };
    let (same, other) = (keys("matchLabelKeys"), keys("mismatchLabelKeys"));
    for (field, keys) in [("matchLabelKeys", &same), ("mismatchLabelKeys", &other)] {
        if !keys.is_empty() && selector.is_null() {
            let words = "must not be specified when labelSelector is not set";
            errors.push(FieldError::forbidden(format!("{at}.{field}"), words));
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            errors.extend(invalid(&format!("{at}.{field}[{i}]"), key, names::qualified_name(key)));
        }
    }
    let mut seen: HashSet<&str> =
        selector["matchLabels"].as_object().into_iter().flatten().map(|(k, _)| &**k).collect();
    for expression in list(selector, "matchExpressions") {
        let key = text(expression, "key");
        let twice = !seen.insert(key);
        if let Some(i) = same.iter().rposition(|k| k == key).filter(|_| twice) {
            let words = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(format!("{at}[{i}]"), key, words));
        }
    }
    for (i, key) in same.iter().enumerate().filter(|(_, k)| other.contains(k)) {
        let words = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(FieldError::invalid(format!("{at}.matchLabelKeys[{i}]"), key.as_str(), words));
    }
    errors
}

fn spread(at: &str, constraint: &Value, later: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (key, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
    let skew = constraint["maxSkew"].as_i64().unwrap_or(0);
    if skew <= 0 {
        errors.push(FieldError::invalid(format!("{at}.maxSkew"), skew, "must be greater than zero"));
    }
    if key.is_empty() {
        errors.push(FieldError::required(format!("{at}.topologyKey"), "can not be empty"));
    }
    const ACTIONS: &[&str] = &["DoNotSchedule", "ScheduleAnyway"];
    if !ACTIONS.contains(&action) {
        errors.push(FieldError::not_supported(format!("{at}.whenUnsatisfiable"), action, ACTIONS));
    }
    if later.iter().any(|c| text(c, "topologyKey") == key && text(c, "whenUnsatisfiable") == action) {
        let path = format!("{at}.{{topologyKey, whenUnsatisfiable}}");
        errors.push(FieldError::duplicate(path, format!("{{{key}, {action}}}")));
    }
    if let Some(domains) = constraint["minDomains"].as_i64() {
        let path = format!("{at}.minDomains");
        if domains <= 0 {
            errors.push(FieldError::invalid(&path, domains, "must be greater than zero"));
        }
        if action != "DoNotSchedule" {
            let words = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.push(FieldError::invalid(&path, domains, words));
        }
    }
    for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        if let Some(policy) = constraint[field].as_str().filter(|p| !["Honor", "Ignore"].contains(p)) {
            errors.push(FieldError::not_supported(format!("{at}.{field}"), policy, &["Honor", "Ignore"]));
        }
    }
    errors.extend(label_keys(at, constraint));
    errors.extend(label_selector(&format!("{at}.labelSelector"), &constraint["labelSelector"]));
    errors
}

/// What may change while a pod is gated: its node selector and its required node affinity may get narrower, the
/// preferred one anything.
pub(super) fn narrowed(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let before = old["nodeSelector"].as_object().into_iter().flatten();
    if before.into_iter().any(|(key, value)| new["nodeSelector"].get(key) != Some(value)) {
        let words = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid("spec.nodeSelector", new["nodeSelector"].clone(), words));
    }
    let terms = |spec: &Value| list(&spec["affinity"]["nodeAffinity"][REQUIRED], "nodeSelectorTerms").to_vec();
    let (before, after) = (terms(old), terms(new));
    let path = format!("spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
    if before.is_empty() {
        return errors;
    }
    if before.len() != after.len() {
        let words = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(path, after, words));
        return errors;
    }
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let kept = |field: &str| list(after, field).starts_with(list(before, field));
        let fields = ["matchExpressions", "matchFields"];
        let empty = |term: &Value| fields.iter().all(|f| list(term, f).is_empty());
        if !fields.into_iter().all(kept) || empty(before) && !empty(after) {
            let words = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(format!("{path}[{i}]"), after.clone(), words));
        }
    }
    errors
}

#[cfg(test)]
mod tests;
