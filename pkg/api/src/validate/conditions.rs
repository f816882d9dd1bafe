//! Rules of conditions (apimachinery `pkg/apis/meta/v1/validation`, `ValidateCondition`).

use serde_json::Value;

use super::text;
use crate::field::FieldError;
use crate::names;

const REASON: usize = 1024;
const MESSAGE: usize = 32 * 1024;

/// One condition.
pub(super) fn check(condition: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match text(condition, "type") {
        "" => errors.push(FieldError::required(format!("{path}.type"), "")),
        kind => errors.extend(super::invalid(&format!("{path}.type"), kind, names::qualified_name(kind))),
    }
    let known = ["True", "False", "Unknown"];
    let status = text(condition, "status");
    if !known.contains(&status) {
        errors.push(FieldError::not_supported(format!("{path}.status"), status, &known));
    }
    if condition["observedGeneration"].as_i64().is_some_and(|generation| generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(
            format!("{path}.observedGeneration"),
            condition["observedGeneration"].clone(),
            detail,
        ));
    }
    if condition["lastTransitionTime"].is_null() {
        errors.push(FieldError::required(format!("{path}.lastTransitionTime"), ""));
    }
    let reason = text(condition, "reason");
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    let formed = reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && reason.chars().all(letters);
    if reason.is_empty() {
        errors.push(FieldError::required(format!("{path}.reason"), ""));
    } else if !formed {
        let detail = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
                      characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
                      'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
        errors.push(FieldError::invalid(format!("{path}.reason"), reason, detail));
    }
    for (field, most) in [("reason", REASON), ("message", MESSAGE)] {
        if text(condition, field).len() > most {
            errors.push(FieldError::too_long(format!("{path}.{field}"), most));
        }
    }
}
