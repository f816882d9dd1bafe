//! Rules of HorizontalPodAutoscalers in their autoscaling/v2 form and of PodDisruptionBudgets.

use serde_json::{Value, json};

use super::internal_form::internal;
use super::quota::amount;
use super::resources::container_resource_name;
use super::workload::{at_most_all, int_or_percent};
use super::{label_selector, list, text};
use crate::field::FieldError;
use crate::names;

/// `(type, field)` of the metric sources, in upstream's order.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// A HorizontalPodAutoscaler in its autoscaling/v2 form.
pub fn horizontal_pod_autoscaler(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let (min, max) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64().unwrap_or(0));
    let metrics = list(spec, "metrics");
    if let Some(min) = min.filter(|min| *min < 0) {
        errors.push(FieldError::invalid("spec.minReplicas", min, "must be greater than or equal to 0"));
    }
    if max == 0 {
        errors.push(FieldError::required("spec.maxReplicas", "must be set and greater than 0"));
    } else if max < 0 {
        errors.push(FieldError::invalid("spec.maxReplicas", max, "must be greater than or equal to 1"));
    }
    if min.is_some_and(|min| max < min) {
        let words = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", max, words));
    }
    let target = &spec["scaleTargetRef"];
    errors.extend(reference("spec.scaleTargetRef", target));
    let before = old.map(|old| &old["spec"]["scaleTargetRef"]);
    let known = before.is_some_and(|old| ["apiVersion", "kind"].iter().all(|field| old[*field] == target[*field]));
    if !known {
        errors.extend(group(target, text(target, "kind") == "ReplicationController"));
    }
    for (i, metric) in metrics.iter().enumerate() {
        errors.extend(one_metric(&format!("spec.metrics[{i}]"), metric));
    }
    let from_elsewhere = |metric: &Value| ["Object", "External"].contains(&text(metric, "type"));
    if min == Some(0) && !metrics.iter().any(from_elsewhere) {
        let words = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden("spec.metrics", words));
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if rules.is_object() {
            errors.extend(scaling_rules(&format!("spec.behavior.{direction}"), rules));
        }
    }
    errors
}

fn segment(path: &str, value: &str) -> Vec<FieldError> {
    if value.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    super::invalid(path, value, names::path_segment(value, false))
}

fn reference(path: &str, reference: &Value) -> Vec<FieldError> {
    let mut errors = segment(&format!("{path}.kind"), text(reference, "kind"));
    errors.extend(segment(&format!("{path}.name"), text(reference, "name")));
    errors
}

/// What is scaled belongs to a group, but for the one kind of the core that can be.
fn group(reference: &Value, of_core: bool) -> Option<FieldError> {
    let version = text(reference, "apiVersion");
    let words = match version.split('/').collect::<Vec<_>>()[..] {
        [_, _] if version != "/" && !version.starts_with('/') => return None,
        [_] | [_, _] if of_core => return None,
        [_] | [_, _] => "apiVersion must specify API group".to_owned(),
        _ => format!("unexpected GroupVersion string: {version}"),
    };
    Some(FieldError::invalid("spec.scaleTargetRef.apiVersion", version, words))
}

fn one_metric(path: &str, metric: &Value) -> Vec<FieldError> {
    let kind = text(metric, "type");
    let types: Vec<&str> = SOURCES.iter().map(|(kind, _)| *kind).collect();
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(FieldError::required(format!("{path}.type"), "must specify a metric source type"));
    }
    let wanted = SOURCES.iter().find(|(known, _)| *known == kind).map(|(_, field)| *field);
    if wanted.is_none() {
        errors.push(FieldError::not_supported(format!("{path}.type"), kind, &types));
    }
    let present: Vec<&str> = SOURCES.iter().map(|(_, field)| *field).filter(|f| metric[*f].is_object()).collect();
    if let Some(first) = present.first() {
        errors.extend(source(&format!("{path}.{first}"), first, &metric[*first]));
    }
    if let Some(wanted) = wanted.filter(|wanted| !present.contains(wanted)) {
        let words = "must populate information for the given metric source";
        errors.push(FieldError::required(format!("{path}.{wanted}"), words));
    }
    if present.len() != 1 {
        for extra in present.iter().filter(|field| Some(**field) != wanted) {
            let words = "must populate the given metric source only";
            errors.push(FieldError::forbidden(format!("{path}.{extra}"), words));
        }
    }
    errors
}

fn source(path: &str, field: &str, source: &Value) -> Vec<FieldError> {
    let target = &source["target"];
    let has = |field: &str| !target[field].is_null();
    let at = format!("{path}.target");
    let mut errors = Vec::new();
    match field {
        "resource" | "containerResource" => {
            let (resource, container) = (text(source, "name"), text(source, "container"));
            if resource.is_empty() {
                errors.push(FieldError::required(format!("{path}.name"), "must specify a resource name"));
            }
            if field == "containerResource" {
                if !resource.is_empty() {
                    errors.extend(container_resource_name(&format!("{path}.name"), resource));
                }
                match container {
                    "" => errors.push(FieldError::required(format!("{path}.container"), "must specify a container")),
                    name => errors.extend(super::invalid(&format!("{path}.container"), name, names::label(name))),
                }
            }
        }
        _ => {
            if field == "object" {
                let described = &source["describedObject"];
                errors.extend(reference(&format!("{path}.describedObject"), described));
                let version = text(described, "apiVersion");
                if version.matches('/').count() > 1 {
                    let words = format!("unexpected GroupVersion string: {version}");
                    let at = format!("{path}.describedObject.apiVersion");
                    errors.push(FieldError::invalid(at, version, words));
                }
            }
            let name = text(&source["metric"], "name");
            if name.is_empty() {
                errors.push(FieldError::required(format!("{path}.metric.name"), "must specify a metric name"));
            } else {
                errors.extend(segment(&format!("{path}.metric.name"), name));
            }
        }
    }
    errors.extend(metric_target(&at, target));
    match field {
        "object" | "external" if !has("value") && !has("averageValue") => {
            let words = if field == "object" {
                "must set either a target value or averageValue"
            } else {
                "must set either a target value for metric or a per-pod target"
            };
            errors.push(FieldError::required(format!("{at}.averageValue"), words));
        }
        "external" if has("value") && has("averageValue") => {
            let words = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(format!("{at}.value"), words));
        }
        "pods" if !has("averageValue") => {
            let words = "must specify a positive target averageValue";
            errors.push(FieldError::required(format!("{at}.averageValue"), words));
        }
        "resource" | "containerResource" if !has("averageUtilization") && !has("averageValue") => {
            let words = "must set either a target raw value or a target utilization";
            errors.push(FieldError::required(format!("{at}.averageUtilization"), words));
        }
        "resource" | "containerResource" if has("averageUtilization") && has("averageValue") => {
            let words = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(format!("{at}.averageValue"), words));
        }
        _ => {}
    }
    errors
}

fn metric_target(path: &str, target: &Value) -> Vec<FieldError> {
    let kind = text(target, "type");
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(FieldError::required(format!("{path}.type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let words = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(format!("{path}.type"), kind, words));
    }
    for field in ["value", "averageValue"] {
        let value = &target[field];
        if !value.is_null() && amount(value).sign() != 1 {
            errors.push(FieldError::invalid(format!("{path}.{field}"), value.clone(), "must be positive"));
        }
    }
    if let Some(percent) = target["averageUtilization"].as_i64().filter(|percent| *percent < 1) {
        errors.push(FieldError::invalid(format!("{path}.averageUtilization"), percent, "must be greater than 0"));
    }
    errors
}

fn scaling_rules(path: &str, rules: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(seconds) = rules["stabilizationWindowSeconds"].as_i64() {
        let at = format!("{path}.stabilizationWindowSeconds");
        if seconds < 0 {
            errors.push(FieldError::invalid(&at, seconds, "must be greater than or equal to zero"));
        }
        if seconds > 3600 {
            errors.push(FieldError::invalid(&at, seconds, "must be less than or equal to 3600"));
        }
    }
    if let Some(policy) = rules["selectPolicy"].as_str().filter(|p| !matches!(*p, "Max" | "Min" | "Disabled")) {
        let allowed = &["Disabled", "Max", "Min"];
        errors.push(FieldError::not_supported(format!("{path}.selectPolicy"), policy, allowed));
    }
    let policies = list(rules, "policies");
    if policies.is_empty() {
        errors.push(FieldError::required(format!("{path}.policies"), "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        let at = |field: &str| format!("{path}.policies[{i}].{field}");
        let kind = text(policy, "type");
        if !matches!(kind, "Pods" | "Percent") {
            errors.push(FieldError::not_supported(at("type"), kind, &["Percent", "Pods"]));
        }
        for field in ["value", "periodSeconds"] {
            let number = policy[field].as_i64().unwrap_or(0);
            if number <= 0 {
                errors.push(FieldError::invalid(at(field), number, "must be greater than zero"));
            }
            if field == "periodSeconds" && number > 1800 {
                errors.push(FieldError::invalid(at(field), number, "must be less than or equal to 1800"));
            }
        }
    }
    if amount(&rules["tolerance"]).sign() < 0 {
        let words = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(format!("{path}.tolerance"), rules["tolerance"].clone(), words));
    }
    errors
}

/// A PodDisruptionBudget.
pub fn pod_disruption_budget(new: &Value) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let both = !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null();
    if both {
        let words = "minAvailable and maxUnavailable cannot be both set";
        let shown = internal("policy.v1.PodDisruptionBudgetSpec", spec);
        errors.push(FieldError::invalid("spec", shown, words));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if !spec[field].is_null() {
            errors.extend(int_or_percent("spec", spec, field));
            errors.extend(at_most_all("spec", spec, field));
        }
    }
    if spec["selector"].is_object() {
        errors.extend(label_selector("spec.selector", &spec["selector"]));
    }
    if let Some(policy) = spec["unhealthyPodEvictionPolicy"].as_str()
        && !matches!(policy, "AlwaysAllow" | "IfHealthyBudget")
    {
        let allowed = &["AlwaysAllow", "IfHealthyBudget"];
        errors.push(FieldError::not_supported("spec.unhealthyPodEvictionPolicy", policy, allowed));
    }
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        errors.extend(super::non_negative(&json!({field: new["status"][field]}), field, "status"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scaled_belongs_to_a_group() {
        let scaler = |version: &str, kind: &str| {
            json!({"spec": {"maxReplicas": 1,
            "scaleTargetRef": {"apiVersion": version, "kind": kind, "name": "x"}}})
        };
        let said = |new: &Value, old: Option<&Value>| -> Vec<String> {
            horizontal_pod_autoscaler(new, old).iter().map(ToString::to_string).collect()
        };
        for (version, kind) in
            [("apps/v1", "Deployment"), ("v1", "ReplicationController"), ("", "ReplicationController")]
        {
            assert_eq!(said(&scaler(version, kind), None), [""; 0], "{version} {kind}");
        }
        let plain = scaler("v1", "Deployment");
        let words = "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group";
        assert_eq!(said(&plain, None), [words]);
        assert_eq!(said(&plain, Some(&plain)), [""; 0], "what is there may stay");
        let words = "spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c";
        assert_eq!(said(&scaler("a/b/c", "Deployment"), None), [words]);
    }
}
