//! What an update of a pod may change, which is little.

use serde_json::{Value, json};

use super::padded;
use super::placement::narrowed;
use crate::field::FieldError;
use crate::meta::copy_field;
use crate::validate::internal_form::written;
use crate::validate::line_diff::unified;
use crate::validate::{list, text};

const SPEC: &str = "core.v1.PodSpec";

/// What [`update`] lets through, in upstream's words.
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 \
if it was previously negative)";

/// What an update of a pod may change: images, a shorter deadline, further tolerations, fewer scheduling gates.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut munged = new.clone();
    for field in ["containers", "initContainers"] {
        let (before, after) = (list(old, field), list(new, field));
        if before.len() != after.len() {
            let words = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(format!("spec.{field}"), words));
            return errors;
        }
        for (i, container) in after.iter().enumerate() {
            if text(container, "image").is_empty() {
                errors.push(FieldError::required(format!("spec.{field}[{i}].image"), ""));
            }
            errors.extend(padded(&format!("spec.{field}[{i}]"), container));
            munged[field][i]["image"] = before[i]["image"].clone();
        }
    }
    let deadline = |spec: &Value| spec["activeDeadlineSeconds"].as_i64();
    const DEADLINE: &str = "spec.activeDeadlineSeconds";
    match (deadline(old), deadline(new)) {
        (Some(before), Some(after)) if after > before => {
            errors.push(FieldError::invalid(DEADLINE, after, "must be less than or equal to previous value"));
            return errors;
        }
        (Some(_), None) => errors.push(FieldError::invalid(
            DEADLINE,
            Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => {}
    }
    let tolerations = list(new, "tolerations");
    for toleration in list(old, "tolerations") {
        let kept = tolerations.iter().any(|t| {
            let without = |v: &Value| {
                let mut map = v.as_object().cloned().unwrap_or_default();
                map.shift_remove("tolerationSeconds");
                map
            };
            without(t) == without(toleration)
        });
        if !kept {
            let words = "existing toleration can not be modified except its tolerationSeconds";
            errors.push(FieldError::forbidden("spec.tolerations", words));
            break;
        }
    }
    let gates = list(old, "schedulingGates");
    for (i, gate) in list(new, "schedulingGates").iter().enumerate().filter(|(_, g)| !gates.contains(g)) {
        let words = format!("only deletion is allowed, but found new scheduling gate '{}'", text(gate, "name"));
        errors.push(FieldError::forbidden(format!("spec.schedulingGates[{i}].name"), words));
    }
    let fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    for field in fields {
        copy_field(&mut munged, old, field);
    }
    // A grace that never was one is mended.
    let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(&munged) == Some(1) {
        copy_field(&mut munged, old, "terminationGracePeriodSeconds");
    }
    // A pod that is not to be scheduled yet may still be told where.
    if !gates.is_empty() {
        errors.extend(narrowed(new, old));
        copy_field(&mut munged, old, "nodeSelector");
        let mut affinity = new["affinity"].as_object().cloned().unwrap_or_default();
        affinity.shift_remove("nodeAffinity");
        affinity.extend(old["affinity"].get("nodeAffinity").map(|node| ("nodeAffinity".to_owned(), node.clone())));
        let known = old["affinity"].is_object() || !affinity.is_empty();
        copy_field(&mut munged, &if known { json!({ "affinity": affinity }) } else { json!({}) }, "affinity");
    }
    if munged != *old {
        let difference = unified(&written(SPEC, old), &written(SPEC, &munged));
        let words = format!("pod updates may not change fields other than {UPDATABLE}\n{difference}");
        errors.push(FieldError::forbidden("spec", words));
    }
    errors
}
