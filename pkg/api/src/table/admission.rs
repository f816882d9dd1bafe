//! Columns and cells of admission policies, their bindings and webhook configurations (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, NAME, column, integer};
use super::{age, name};
use crate::registry::Column;

const PARAM_KIND: Column = column("ParamKind", "The kind of objects that hold the policy's parameters.");

/// Columns of ValidatingAdmissionPolicy.
pub const VALIDATING_ADMISSION_POLICY: &[Column] =
    &[NAME, integer("Validations", "How many validations the policy has."), PARAM_KIND, AGE];

/// Columns of MutatingAdmissionPolicy.
pub const MUTATING_ADMISSION_POLICY: &[Column] =
    &[NAME, integer("Mutations", "How many mutations the policy has."), PARAM_KIND, AGE];

/// Columns of both kinds of bindings.
pub const ADMISSION_POLICY_BINDING: &[Column] = &[
    NAME,
    column("PolicyName", "The policy that is bound."),
    column("ParamRef", "The parameters that it is bound with."),
    AGE,
];

/// Columns of both kinds of webhook configurations.
pub const WEBHOOK_CONFIGURATION: &[Column] =
    &[NAME, integer("Webhooks", "How many webhooks the configuration names."), AGE];

/// Cells of a webhook configuration.
pub fn webhook_configuration(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = object["webhooks"].as_array().map_or(0, Vec::len);
    vec![name(object), count.into(), age(object, now)]
}

/// Cells of a policy; `counted`: the field of `spec` whose items are counted.
pub fn admission_policy(object: &Value, counted: &str, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let count = spec[counted].as_array().map_or(0, Vec::len);
    let text = |key: &str| spec["paramKind"][key].as_str().unwrap_or_default();
    let kind = match spec["paramKind"].is_object() {
        true => format!("{}/{}", text("apiVersion"), text("kind")),
        false => "<unset>".to_owned(),
    };
    vec![name(object), count.into(), kind.into(), age(object, now)]
}

/// Cells of a binding.
pub fn admission_policy_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let reference = &object["spec"]["paramRef"];
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let shown = match (text("namespace"), text("name")) {
        ("", "") if reference["selector"].is_object() => reference["selector"].to_string(),
        (_, "") => "<unset>".to_owned(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    vec![name(object), object["spec"]["policyName"].clone(), shown.into(), age(object, now)]
}
