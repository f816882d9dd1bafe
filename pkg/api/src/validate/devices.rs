//! Rules of resource.k8s.io (`pkg/apis/resource/validation`). Expressions in CEL are measured, not compiled: nothing here
//! evaluates them.

mod allocation;

use std::collections::BTreeMap;

use serde_json::Value;

use allocation::claim_status;

use super::storage::driver_name;
use super::{immutable, invalid, list, number, text};
use crate::field::FieldError;
use crate::names;

const MODES: &[&str] = &["All", "ExactCount"];
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];
const NODES: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const REFERENCE: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
/// The longest CEL expression, in bytes.
const EXPRESSION_BYTES: usize = 10 * 1024;

/// A DeviceClass.
pub fn device_class(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = selectors(spec, "spec");
    errors.extend(at_most(spec, "config", "spec", 32));
    for (i, config) in list(spec, "config").iter().enumerate() {
        errors.extend(configuration(config, &format!("spec.config[{i}]")));
    }
    errors
}

/// A ResourceClaim: its spec stays, an allocation too.
pub fn resource_claim(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(old) = old else { return claim(&new["spec"], "spec") };
    let mut errors = immutable(&new["spec"], &old["spec"], "spec");
    let (status, before) = (&new["status"], &old["status"]);
    if status != before {
        errors.extend(claim_status(new, status, before));
    }
    errors
}

/// A ResourceClaimTemplate: never changes.
pub fn resource_claim_template(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match old {
        Some(old) => immutable(&new["spec"], &old["spec"], "spec"),
        None => claim(&new["spec"]["spec"], "spec.spec"),
    }
}

/// A DeviceTaintRule.
pub fn device_taint_rule(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (spec, path) = (&new["spec"], "spec.deviceSelector");
    let selector = &spec["deviceSelector"];
    let mut errors = Vec::new();
    if let Some(driver) = selector["driver"].as_str() {
        errors.extend(driver_name(&format!("{path}.driver"), driver));
    }
    if let Some(pool) = selector["pool"].as_str() {
        errors.extend(pool_name(&format!("{path}.pool"), pool));
    }
    if let Some(device) = selector["device"].as_str() {
        errors.extend(invalid(&format!("{path}.device"), device, names::label(device)));
    }
    errors.extend(taint(&spec["taint"], old.map(|old| &old["spec"]["taint"]), "spec.taint"));
    let conditions = list(&new["status"], "conditions").len();
    if conditions > 8 {
        errors.push(FieldError::too_many("status.conditions", conditions, 8));
    }
    errors
}

/// A ResourceSlice.
pub fn resource_slice(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = driver_name("spec.driver", text(spec, "driver"));
    let pool = &spec["pool"];
    errors.extend(pool_name("spec.pool.name", text(pool, "name")));
    if number(pool, "resourceSliceCount") <= 0 {
        let count = number(pool, "resourceSliceCount");
        errors.push(FieldError::invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"));
    }
    if number(pool, "generation") < 0 {
        let words = "must be greater than or equal to zero";
        errors.push(FieldError::invalid("spec.pool.generation", number(pool, "generation"), words));
    }
    if let Some(old) = old {
        let before = &old["spec"];
        errors.extend(immutable(&pool["name"], &before["pool"]["name"], "spec.pool.name"));
        errors.extend(immutable(&spec["driver"], &before["driver"], "spec.driver"));
        errors.extend(immutable(&spec["nodeName"], &before["nodeName"], "spec.nodeName"));
    }
    errors.extend(nodes(spec));
    if spec["sharedCounters"].is_array() && spec["devices"].is_array() {
        errors.push(FieldError::invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let devices = list(spec, "devices");
    let advanced = devices.iter().any(|device| device["taints"].is_array() || device["consumesCounters"].is_array());
    errors.extend(at_most(spec, "devices", "spec", if advanced { 64 } else { 128 }));
    errors.extend(unique(devices, "name", "spec.devices"));
    for (i, device) in devices.iter().enumerate() {
        let at = format!("spec.devices[{i}]");
        errors.extend(invalid(&format!("{at}.name"), text(device, "name"), names::label(text(device, "name"))));
        for (j, one) in list(device, "taints").iter().enumerate() {
            errors.extend(taint(one, None, &format!("{at}.taints[{j}]")));
        }
    }
    errors
}

/// Which nodes reach the devices: said in one way.
fn nodes(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut set = Vec::new();
    match spec["nodeName"].as_str() {
        Some("") => {
            errors.push(FieldError::invalid("spec.nodeName", "", "must be either unset or set to a non-empty string"));
        }
        Some(name) => {
            set.push("`nodeName`");
            errors.extend(invalid("spec.nodeName", name, names::subdomain(name)));
        }
        None => {}
    }
    if spec["nodeSelector"].is_object() {
        set.push("`nodeSelector`");
        if list(&spec["nodeSelector"], "nodeSelectorTerms").len() != 1 {
            let path = "spec.nodeSelector.nodeSelectorTerms";
            let terms = spec["nodeSelector"]["nodeSelectorTerms"].clone();
            errors.push(FieldError::invalid(path, terms, "must have exactly one node selector term"));
        }
    }
    for (field, name) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec[field].as_bool() {
            Some(true) => set.push(name),
            Some(false) => {
                errors.push(FieldError::invalid(format!("spec.{field}"), false, "must be either unset or set to true"))
            }
            None => {}
        }
    }
    match set.len() {
        0 => errors.push(FieldError::required("spec", NODES)),
        1 => {}
        _ => errors.push(FieldError::invalid(
            "spec",
            format!("{{{}}}", set.join(", ")),
            format!("{NODES}, but multiple fields are set"),
        )),
    }
    errors
}

/// Requests by name, with the names of their alternatives.
fn request_names(spec: &Value) -> BTreeMap<&str, Vec<&str>> {
    let requests = list(&spec["devices"], "requests").iter();
    requests
        .map(|request| {
            let alternatives = list(request, "firstAvailable").iter().map(|one| text(one, "name")).collect();
            (text(request, "name"), alternatives)
        })
        .collect()
}

fn claim(spec: &Value, path: &str) -> Vec<FieldError> {
    let devices = &spec["devices"];
    let at = format!("{path}.devices");
    let known = request_names(spec);
    let mut errors = at_most(devices, "requests", &at, 32);
    let requests = list(devices, "requests");
    errors.extend(unique(requests, "name", &format!("{at}.requests")));
    for (i, one) in requests.iter().enumerate() {
        errors.extend(request(one, &format!("{at}.requests[{i}]")));
    }
    errors.extend(at_most(devices, "constraints", &at, 32));
    for (i, constraint) in list(devices, "constraints").iter().enumerate() {
        let at = format!("{at}.constraints[{i}]");
        errors.extend(references(constraint, &at, &known));
        if constraint["matchAttribute"].is_null() && constraint["distinctAttribute"].is_null() {
            let words =
                "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            errors.push(FieldError::required(at, words));
        }
    }
    errors.extend(at_most(devices, "config", &at, 32));
    for (i, config) in list(devices, "config").iter().enumerate() {
        let at = format!("{at}.config[{i}]");
        errors.extend(references(config, &at, &known));
        errors.extend(configuration(config, &at));
    }
    errors
}

fn request(one: &Value, at: &str) -> Vec<FieldError> {
    let name = text(one, "name");
    let mut errors = invalid(&format!("{at}.name"), name, names::label(name));
    let alternatives = list(one, "firstAvailable");
    match (one["exactly"].is_object(), alternatives.is_empty()) {
        (false, true) => {
            errors.push(FieldError::required(at, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (true, false) => errors.push(FieldError::invalid(
            at,
            Value::Null,
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
        )),
        (true, true) => errors.extend(devices_of(&one["exactly"], &format!("{at}.exactly"))),
        (false, false) => {
            errors.extend(at_most(one, "firstAvailable", at, 8));
            errors.extend(unique(alternatives, "name", &format!("{at}.firstAvailable")));
            for (i, alternative) in alternatives.iter().enumerate() {
                let at = format!("{at}.firstAvailable[{i}]");
                let name = text(alternative, "name");
                errors.extend(invalid(&format!("{at}.name"), name, names::label(name)));
                errors.extend(devices_of(alternative, &at));
            }
        }
    }
    errors
}

/// Class, selectors, number and tolerations of a request.
fn devices_of(request: &Value, at: &str) -> Vec<FieldError> {
    let class = text(request, "deviceClassName");
    let path = format!("{at}.deviceClassName");
    let mut errors = match class {
        "" => vec![FieldError::required(path, "")],
        class => invalid(&path, class, names::subdomain(class)),
    };
    errors.extend(selectors(request, at));
    let (mode, count) = (text(request, "allocationMode"), number(request, "count"));
    let path = format!("{at}.count");
    match mode {
        "All" if count != 0 => {
            errors.push(FieldError::invalid(path, count, "must not be specified when allocationMode is 'All'"));
        }
        "ExactCount" if count <= 0 => errors.push(FieldError::invalid(path, count, "must be greater than zero")),
        "All" | "ExactCount" => {}
        other => errors.push(FieldError::not_supported(format!("{at}.allocationMode"), other, MODES)),
    }
    for (i, toleration) in list(request, "tolerations").iter().enumerate() {
        errors.extend(tolerates(toleration, &format!("{at}.tolerations[{i}]")));
    }
    errors
}

fn tolerates(toleration: &Value, at: &str) -> Vec<FieldError> {
    let (key, value) = (text(toleration, "key"), text(toleration, "value"));
    let mut errors = Vec::new();
    if !key.is_empty() {
        errors.extend(invalid(&format!("{at}.key"), key, names::qualified_name(key)));
    }
    let path = format!("{at}.value");
    match text(toleration, "operator") {
        "Exists" if !value.is_empty() => {
            errors.push(FieldError::invalid(path, value, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => errors.extend(invalid(&path, value, names::label_value(value))),
        "" => errors.push(FieldError::required(format!("{at}.operator"), "")),
        other => errors.push(FieldError::not_supported(format!("{at}.operator"), other, &["Equal", "Exists"])),
    }
    let effect = text(toleration, "effect");
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(format!("{at}.effect"), effect, EFFECTS));
    }
    errors
}

fn taint(taint: &Value, old: Option<&Value>, at: &str) -> Vec<FieldError> {
    let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
    let mut errors = invalid(&format!("{at}.key"), key, names::qualified_name(key));
    errors.extend(invalid(&format!("{at}.value"), value, names::label_value(value)));
    if old.is_none_or(|old| text(old, "effect") != effect) {
        match effect {
            "" => errors.push(FieldError::required(format!("{at}.effect"), "")),
            effect if !EFFECTS.contains(&effect) => {
                errors.push(FieldError::not_supported(format!("{at}.effect"), effect, EFFECTS));
            }
            _ => {}
        }
    }
    errors
}

fn selectors(object: &Value, at: &str) -> Vec<FieldError> {
    let mut errors = at_most(object, "selectors", at, 32);
    for (i, selector) in list(object, "selectors").iter().enumerate() {
        let at = format!("{at}.selectors[{i}].cel");
        match selector["cel"]["expression"].as_str() {
            None => errors.push(FieldError::required(at, "")),
            Some(text) if text.len() > EXPRESSION_BYTES => {
                errors.push(FieldError::too_long(format!("{at}.expression"), EXPRESSION_BYTES));
            }
            Some(_) => {}
        }
    }
    errors
}

fn configuration(config: &Value, at: &str) -> Vec<FieldError> {
    let opaque = &config["opaque"];
    if !opaque.is_object() {
        return vec![FieldError::required(format!("{at}.opaque"), "")];
    }
    let mut errors = driver_name(&format!("{at}.opaque.driver"), text(opaque, "driver"));
    let path = format!("{at}.opaque.parameters");
    match &opaque["parameters"] {
        Value::Null => errors.push(FieldError::required(path, "")),
        Value::Object(_) => {}
        other => errors.push(FieldError::invalid(path, other.clone(), "parameters must be a valid JSON object")),
    }
    errors
}

fn references(object: &Value, at: &str, known: &BTreeMap<&str, Vec<&str>>) -> Vec<FieldError> {
    let mut errors = at_most(object, "requests", at, 32);
    for (i, name) in list(object, "requests").iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        let found = match name.split_once('/') {
            None => known.contains_key(name),
            Some((request, alternative)) => known.get(request).is_some_and(|all| all.contains(&alternative)),
        };
        if !found {
            errors.push(FieldError::invalid(format!("{at}.requests[{i}]"), name, REFERENCE));
        }
    }
    errors
}

fn pool_name(path: &str, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    if name.len() > 253 {
        errors.push(FieldError::too_long(path, 253));
    }
    errors.extend(name.split('/').flat_map(|part| invalid(path, part, names::subdomain(part))));
    errors
}

fn at_most(object: &Value, field: &str, at: &str, most: usize) -> Vec<FieldError> {
    let count = list(object, field).len();
    if count > most { vec![FieldError::too_many(format!("{at}.{field}"), count, most)] } else { Vec::new() }
}

/// Items whose `key` was there before.
fn unique(items: &[Value], key: &str, at: &str) -> Vec<FieldError> {
    let again = items.iter().enumerate().filter(|(i, item)| items[..*i].iter().any(|other| other[key] == item[key]));
    again.map(|(i, item)| FieldError::duplicate(format!("{at}[{i}].{key}"), item[key].clone())).collect()
}

#[cfg(test)]
mod tests;
