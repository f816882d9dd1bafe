//! Rules of StatefulSets, ControllerRevisions, ReplicationControllers and PodTemplates.

use serde_json::{Map, Value, json};

use super::internal_form::internal;
use super::pod::{pod_template, pod_template_with};
use super::workload::{at_most_all, int_or_percent};
use super::{immutable, invalid, label_selector, list, non_negative, text, volumes};
use crate::field::FieldError;
use crate::names;
use crate::selector::LabelSelector;

/// A StatefulSet.
pub fn stateful_set(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    match text(spec, "podManagementPolicy") {
        "OrderedReady" | "Parallel" => {}
        "" => errors.push(FieldError::required("spec.podManagementPolicy", "")),
        other => {
            errors.push(FieldError::invalid("spec.podManagementPolicy", other, "must be 'OrderedReady' or 'Parallel'"));
        }
    }
    errors.extend(update_strategy(&spec["updateStrategy"]));
    for field in ["whenDeleted", "whenScaled"] {
        let policy = text(&spec["persistentVolumeClaimRetentionPolicy"], field);
        if !matches!(policy, "Retain" | "Delete") {
            let path = format!("spec.persistentVolumeClaimRetentionPolicy.{field}");
            errors.push(FieldError::not_supported(path, policy, &["Delete", "Retain"]));
        }
    }
    let claims = list(spec, "volumeClaimTemplates");
    for (i, claim) in claims.iter().enumerate() {
        errors.extend(volumes::claim_spec(&format!("spec.volumeClaimTemplates[{i}].spec"), &claim["spec"]));
    }
    errors.extend(non_negative(spec, "replicas", "spec"));
    errors.extend(non_negative(spec, "minReadySeconds", "spec"));
    errors.extend(non_negative(&spec["ordinals"], "start", "spec.ordinals"));
    let service = text(spec, "serviceName");
    if !service.is_empty() {
        errors.extend(invalid("spec.serviceName", service, names::label(service)));
    }
    errors.extend(selector(spec));
    // Claims stand for volumes of their names.
    let own: Vec<Value> = claims
        .iter()
        .map(|claim| {
            let name = &claim["metadata"]["name"];
            json!({"name": name, "persistentVolumeClaim": {"claimName": name}})
        })
        .collect();
    errors.extend(pod_template_with("spec.template", &spec["template"], &own));
    errors.extend(always_running("spec.template", &spec["template"], "StatefulSet"));
    if let Some(old) = old {
        for field in ["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"] {
            errors.extend(immutable(&spec[field], &old["spec"][field], &format!("spec.{field}")));
        }
    }
    errors
}

fn selector(spec: &Value) -> Vec<FieldError> {
    let selector = &spec["selector"];
    if !selector.is_object() {
        return vec![FieldError::required("spec.selector", "")];
    }
    let mut errors = label_selector("spec.selector", selector);
    let parts = selector["matchLabels"].as_object().map_or(0, Map::len) + list(selector, "matchExpressions").len();
    if parts == 0 {
        let words = "empty selector is invalid for statefulset";
        errors.push(FieldError::invalid("spec.selector", selector.clone(), words));
    }
    match LabelSelector::from_object(selector) {
        Err(_) => errors.push(FieldError::invalid("spec.selector", selector.clone(), "")),
        Ok(parsed) => {
            let labels = &spec["template"]["metadata"]["labels"];
            if !parsed.is_everything() && !parsed.matches(labels) {
                errors.push(does_not_match("spec.template", labels));
            }
        }
    }
    errors
}

/// A selector that would not find the pods of its own template.
pub(super) fn does_not_match(path: &str, labels: &Value) -> FieldError {
    let words = "`selector` does not match template `labels`";
    FieldError::invalid(format!("{path}.metadata.labels"), labels.clone(), words)
}

/// Pods that are replaced for ever always restart and have no deadline.
fn always_running(path: &str, template: &Value, owner: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let policy = text(&template["spec"], "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(format!("{path}.spec.restartPolicy"), policy, &["Always"]));
    }
    if template["spec"]["activeDeadlineSeconds"].is_number() {
        let words = format!("activeDeadlineSeconds in {owner} is not Supported");
        errors.push(FieldError::forbidden(format!("{path}.spec.activeDeadlineSeconds"), words));
    }
    errors
}

fn update_strategy(strategy: &Value) -> Vec<FieldError> {
    let rolling = &strategy["rollingUpdate"];
    let path = "spec.updateStrategy.rollingUpdate";
    match text(strategy, "type") {
        "" => vec![FieldError::required("spec.updateStrategy", "")],
        "OnDelete" if rolling.is_object() => {
            vec![FieldError::invalid(path, rolling.clone(), "only allowed for updateStrategy 'RollingUpdate'")]
        }
        "OnDelete" => Vec::new(),
        "RollingUpdate" => {
            let mut errors = non_negative(rolling, "partition", path);
            if !rolling["maxUnavailable"].is_null() {
                errors.extend(int_or_percent(path, rolling, "maxUnavailable"));
                errors.extend(at_most_all(path, rolling, "maxUnavailable"));
                if matches!(rolling["maxUnavailable"].as_i64(), Some(0)) || rolling["maxUnavailable"] == "0%" {
                    let value = rolling["maxUnavailable"].clone();
                    errors.push(FieldError::invalid(format!("{path}.maxUnavailable"), value, "cannot be 0"));
                }
            }
            errors
        }
        _ => {
            let shown = internal("apps.v1.StatefulSetUpdateStrategy", strategy);
            vec![FieldError::invalid("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'")]
        }
    }
}

/// A ControllerRevision.
pub fn controller_revision(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(number) = new["revision"].as_i64().filter(|number| *number < 0) {
        errors.push(FieldError::invalid("revision", number, "must be greater than or equal to 0"));
    }
    match old {
        Some(old) => errors.extend(immutable(&new["data"], &old["data"], "data")),
        None if new["data"].is_null() => errors.push(FieldError::required("data", "data is mandatory")),
        None if !new["data"].is_object() => {
            errors.push(FieldError::required("data", "data must be a valid JSON object"));
        }
        None => {}
    }
    errors
}

/// A ReplicationController.
pub fn replication_controller(new: &Value) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = non_negative(spec, "minReadySeconds", "spec");
    let selector = spec["selector"].as_object().filter(|selector| !selector.is_empty());
    if selector.is_none() {
        errors.push(FieldError::required("spec.selector", ""));
    }
    if spec["replicas"].is_null() {
        errors.push(FieldError::required("spec.replicas", ""));
    }
    errors.extend(non_negative(spec, "replicas", "spec"));
    let template = &spec["template"];
    if !template.is_object() {
        errors.push(FieldError::required("spec.template", ""));
        return errors;
    }
    let labels = &template["metadata"]["labels"];
    if selector.into_iter().flatten().any(|(key, value)| labels.get(key) != Some(value)) {
        errors.push(does_not_match("spec.template", labels));
    }
    errors.extend(pod_template("spec.template", template));
    errors.extend(always_running("spec.template", template, "ReplicationController"));
    errors
}

/// A PodTemplate.
pub fn pod_template_object(new: &Value) -> Vec<FieldError> {
    pod_template("template", &new["template"])
}
