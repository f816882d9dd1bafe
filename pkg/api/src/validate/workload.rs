//! Rules of Deployments, ReplicaSets and DaemonSets.

use serde_json::{Map, Value};

use super::internal_form::internal;
use super::pod::pod_template;
use super::{immutable, label_selector, non_negative, text};
use crate::field::FieldError;
use crate::selector::LabelSelector;

/// Two selectors that select the same, whether or not empty parts are written.
fn selector_immutable(new: &Value, old: &Value) -> Vec<FieldError> {
    immutable(&new["spec"]["selector"], &old["spec"]["selector"], "spec.selector")
}

fn selector_and_template(spec: &Value, kind: &str, owner: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let selector = &spec["selector"];
    if selector.is_object() {
        errors.extend(label_selector("spec.selector", selector));
        let parts = selector["matchLabels"].as_object().map_or(0, Map::len)
            + selector["matchExpressions"].as_array().map_or(0, Vec::len);
        if parts == 0 {
            let words = format!("empty selector is invalid for {kind}");
            errors.push(FieldError::invalid("spec.selector", selector.clone(), words));
        }
    } else {
        errors.push(FieldError::required("spec.selector", ""));
    }
    match LabelSelector::from_object(selector) {
        Err(_) => errors.push(FieldError::invalid("spec.selector", selector.clone(), "invalid label selector")),
        Ok(parsed) => {
            let labels = &spec["template"]["metadata"]["labels"];
            if !parsed.is_everything() && !parsed.matches(labels) {
                errors.push(FieldError::invalid(
                    "spec.template.metadata.labels",
                    labels.clone(),
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
    errors.extend(pod_template("spec.template", &spec["template"]));
    let template = &spec["template"]["spec"];
    let policy = text(template, "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if template["activeDeadlineSeconds"].is_number() {
        errors.push(FieldError::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            format!("activeDeadlineSeconds in {owner} is not Supported"),
        ));
    }
    errors
}

/// A Deployment.
pub fn deployment(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = non_negative(spec, "replicas", "spec");
    errors.extend(selector_and_template(spec, "deployment", "ReplicaSet"));
    errors.extend(strategy(&spec["strategy"]));
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        errors.extend(non_negative(spec, field, "spec"));
    }
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64()
        && deadline <= super::number(spec, "minReadySeconds")
    {
        let words = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid("spec.progressDeadlineSeconds", deadline, words));
    }
    if let Some(old) = old {
        errors.extend(selector_immutable(new, old));
    }
    errors
}

fn strategy(strategy: &Value) -> Vec<FieldError> {
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "Recreate" if rolling.is_object() => vec![FieldError::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )],
        "Recreate" => Vec::new(),
        "RollingUpdate" => {
            let path = "spec.strategy.rollingUpdate";
            let mut errors = int_or_percent(path, rolling, "maxUnavailable");
            errors.extend(int_or_percent(path, rolling, "maxSurge"));
            if amount(&rolling["maxUnavailable"]) == 0 && amount(&rolling["maxSurge"]) == 0 {
                let value = rolling["maxUnavailable"].clone();
                let words = "may not be 0 when `maxSurge` is 0";
                errors.push(FieldError::invalid(format!("{path}.maxUnavailable"), value, words));
            }
            errors.extend(at_most_all(path, rolling, "maxUnavailable"));
            errors
        }
        _ => {
            let shown = internal("apps.v1.DeploymentStrategy", strategy);
            vec![FieldError::not_supported("spec.strategy", shown, &["Recreate", "RollingUpdate"])]
        }
    }
}

/// `5` or `25%` as a number.
fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.trim_end_matches('%').parse().unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

pub(super) fn int_or_percent(path: &str, owner: &Value, field: &str) -> Vec<FieldError> {
    match &owner[field] {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or("");
            if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) {
                return Vec::new();
            }
            vec![FieldError::invalid(
                format!("{path}.{field}"),
                text.as_str(),
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
                 used for validation is '[0-9]+%')",
            )]
        }
        _ => non_negative(owner, field, path),
    }
}

pub(super) fn at_most_all(path: &str, owner: &Value, field: &str) -> Vec<FieldError> {
    if owner[field].is_string() && amount(&owner[field]) > 100 {
        let value = owner[field].clone();
        return vec![FieldError::invalid(format!("{path}.{field}"), value, "must not be greater than 100%")];
    }
    Vec::new()
}

/// A ReplicaSet.
pub fn replica_set(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = non_negative(spec, "replicas", "spec");
    errors.extend(non_negative(spec, "minReadySeconds", "spec"));
    // Upstream says "deployment" here as well.
    errors.extend(selector_and_template(spec, "deployment", "ReplicaSet"));
    if let Some(old) = old {
        errors.extend(selector_immutable(new, old));
    }
    errors
}

/// A DaemonSet.
pub fn daemon_set(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(selector_immutable(new, old));
    }
    errors.extend(selector_and_template(spec, "daemonset", "DaemonSet"));
    errors.extend(non_negative(spec, "minReadySeconds", "spec"));
    errors.extend(non_negative(spec, "revisionHistoryLimit", "spec"));
    let update = &spec["updateStrategy"];
    let rolling = &update["rollingUpdate"];
    match text(update, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = "spec.updateStrategy.rollingUpdate";
            for field in ["maxUnavailable", "maxSurge"] {
                errors.extend(int_or_percent(path, rolling, field));
                errors.extend(at_most_all(path, rolling, field));
            }
            match (amount(&rolling["maxUnavailable"]) != 0, amount(&rolling["maxSurge"]) != 0) {
                (true, true) => errors.push(FieldError::invalid(
                    format!("{path}.maxSurge"),
                    rolling["maxSurge"].clone(),
                    "may not be set when maxUnavailable is non-zero",
                )),
                (false, false) => errors
                    .push(FieldError::required(format!("{path}.maxUnavailable"), "cannot be 0 when maxSurge is 0")),
                _ => {}
            }
        }
        _ => errors.push(FieldError::not_supported(
            "spec.updateStrategy",
            internal("apps.v1.DaemonSetUpdateStrategy", update),
            &["OnDelete", "RollingUpdate"],
        )),
    }
    errors
}
