//! Rules of ConfigMaps, Secrets, Namespaces, Nodes, Leases and Events.

use serde_json::Value;

use super::internal_form::internal;
use super::quota::quantity;
use super::{immutable, invalid, list, text};
use crate::field::FieldError;
use crate::names;

/// Secrets and ConfigMaps hold one mebibyte.
const MAX_DATA: usize = 1024 * 1024;
const SEALED: &str = "field is immutable when `immutable` is set";

fn sealed(new: &Value, old: Option<&Value>, fields: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old.filter(|o| o["immutable"] == true) {
        if new["immutable"] != true {
            errors.push(FieldError::forbidden("immutable", SEALED));
        }
        for field in fields {
            let empty = |v: &Value| v.as_object().is_none_or(serde_json::Map::is_empty);
            if new[*field] != old[*field] && !(empty(&new[*field]) && empty(&old[*field])) {
                errors.push(FieldError::forbidden(*field, SEALED));
            }
        }
    }
    errors
}

/// A ConfigMap.
pub fn config_map(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = sealed(new, old, &["data", "binaryData"]);
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in new[field].as_object().into_iter().flatten() {
            let path = format!("{field}[{key}]");
            errors.extend(invalid(&path, key, names::config_key(key)));
            if field == "data" && new["binaryData"].get(key).is_some() {
                errors.push(FieldError::invalid(&path, key.as_str(), "duplicate of key present in binaryData"));
            }
            let length = value.as_str().map_or(0, str::len);
            size += if field == "data" { length } else { length / 4 * 3 };
        }
    }
    if size > MAX_DATA {
        errors.push(FieldError::too_long("", MAX_DATA));
    }
    errors
}

/// A Secret.
pub fn secret(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(immutable(&new["type"], &old["type"], "type"));
    }
    errors.extend(sealed(new, old, &["data"]));
    let mut size = 0;
    for (key, value) in new["data"].as_object().into_iter().flatten() {
        errors.extend(invalid(&format!("data[{key}]"), key, names::config_key(key)));
        size += value.as_str().map_or(0, str::len) / 4 * 3;
    }
    if size > MAX_DATA {
        errors.push(FieldError::too_long("data", MAX_DATA));
    }
    let missing = |key: &str| new["data"].get(key).is_none();
    let mut require = |keys: &[&str]| {
        for key in keys {
            if missing(key) {
                errors.push(FieldError::required(format!("data[{key}]"), ""));
            }
        }
    };
    match text(new, "type") {
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"]),
        "kubernetes.io/dockercfg" if missing(".dockercfg") => require(&[".dockercfg"]),
        "kubernetes.io/dockercfg" => errors.extend(registry_config(new, ".dockercfg")),
        "kubernetes.io/dockerconfigjson" if missing(".dockerconfigjson") => require(&[".dockerconfigjson"]),
        "kubernetes.io/dockerconfigjson" => errors.extend(registry_config(new, ".dockerconfigjson")),
        "kubernetes.io/ssh-auth" if text(&new["data"], "ssh-privatekey").is_empty() => {
            errors.push(FieldError::required("data[ssh-privatekey]", ""));
        }
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => require(&["username", "password"]),
        "kubernetes.io/service-account-token" => {
            const KEY: &str = "kubernetes.io/service-account.name";
            if text(&new["metadata"]["annotations"], KEY).is_empty() {
                errors.push(FieldError::required(format!("metadata.annotations[{KEY}]"), ""));
            }
        }
        _ => {}
    }
    errors
}

/// Credentials of registries are a JSON object; what is wrong is told as Go's decoder does.
fn registry_config(secret: &Value, key: &str) -> Option<FieldError> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text(&secret["data"], key)).ok()?;
    let of = |kind: &str| format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
    let words = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return None,
        Ok(Value::Array(_)) => of("array"),
        Ok(Value::String(_)) => of("string"),
        Ok(Value::Bool(_)) => of("bool"),
        Ok(Value::Number(_)) => of("number"),
        Err(error) if error.is_eof() => "unexpected end of JSON input".to_owned(),
        Err(error) => {
            let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
            let found = line.get(error.column().saturating_sub(1)).copied().map_or(' ', char::from);
            format!("invalid character '{found}' looking for beginning of value")
        }
    };
    Some(FieldError::invalid(format!("data[{key}]"), "<secret contents redacted>", words))
}

/// A Namespace: finalizers must be qualified.
pub fn namespace(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, finalizer) in list(&new["spec"], "finalizers").iter().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or("");
        let path = format!("spec.finalizers[{i}]");
        errors.extend(invalid(&path, finalizer, names::qualified_name(finalizer)));
        if !finalizer.contains('/') && finalizer != "kubernetes" {
            let words = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path, finalizer, words));
        }
    }
    errors
}

/// A Node.
pub fn node(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &new["spec"];
    for (i, range) in list(spec, "podCIDRs").iter().enumerate() {
        errors.extend(super::cidr(&format!("spec.podCIDRs[{i}]"), range.as_str().unwrap_or("")));
    }
    let ranges = list(spec, "podCIDRs");
    let is_v6 = |range: &Value| range.as_str().is_some_and(|text| text.contains(':'));
    if ranges.len() > 2 || ranges.len() == 2 && is_v6(&ranges[0]) == is_v6(&ranges[1]) {
        let words = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid("spec.podCIDRs", ranges.to_vec(), words));
    }
    for field in ["capacity", "allocatable"] {
        for (name, value) in new["status"][field].as_object().into_iter().flatten() {
            errors.extend(quantity(&format!("status.{field}.{name}"), name, value));
        }
    }
    for (i, taint) in list(spec, "taints").iter().enumerate() {
        let path = format!("metadata.taints[{i}]");
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        errors.extend(invalid(&format!("{path}.key"), key, names::qualified_name(key)));
        errors.extend(invalid(&format!("{path}.value"), value, names::label_value(value)));
        match effect {
            "" => errors.push(FieldError::required(format!("{path}.effect"), "")),
            "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
            other => errors.push(FieldError::not_supported(
                format!("{path}.effect"),
                other,
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            )),
        }
        if list(spec, "taints")[..i].iter().any(|t| t["key"] == taint["key"] && t["effect"] == taint["effect"]) {
            let mut twice = FieldError::duplicate(&path, internal("core.v1.Taint", taint));
            twice.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(twice);
        }
    }
    let addresses = list(&new["status"], "addresses");
    for (i, address) in addresses.iter().enumerate() {
        if addresses[..i].contains(address) {
            let shown = internal("core.v1.NodeAddress", address);
            errors.push(FieldError::duplicate(format!("status.addresses[{i}]"), shown));
        }
    }
    if let Some(old) = old {
        let before = list(&old["spec"], "podCIDRs");
        if !before.is_empty() && before != list(spec, "podCIDRs") {
            let words = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(FieldError::forbidden("spec.podCIDRs", words));
        }
        let (id, was) = (text(spec, "providerID"), text(&old["spec"], "providerID"));
        if !was.is_empty() && id != was {
            let words =
                if id.is_empty() { "field cannot be cleared once set" } else { "field cannot be modified once set" };
            errors.push(FieldError::invalid("spec.providerID", Value::Null, words));
        }
        if spec["externalID"] != old["spec"]["externalID"] {
            errors.push(FieldError::forbidden("spec.externalID", "may not be updated"));
        }
    }
    errors
}

/// A Lease.
pub fn lease(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|s| *s <= 0) {
        errors.push(FieldError::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    errors.extend(super::non_negative(spec, "leaseTransitions", "spec"));
    // Upstream names the field twice.
    const STRATEGY: &str = "spec.strategy.strategy";
    match spec["strategy"].as_str() {
        None => {}
        Some(own) if own.contains('/') => errors.extend(invalid(STRATEGY, own, names::qualified_name(own))),
        Some("OldestEmulationVersion") => {}
        Some(other) => errors.push(FieldError::not_supported(STRATEGY, other, &["OldestEmulationVersion"])),
    }
    if !text(spec, "preferredHolder").is_empty() && text(spec, "strategy").is_empty() {
        let words = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden("spec.preferredHolder", words));
    }
    errors
}

/// An Event (core/v1 form).
pub fn event(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    const PATH: &str = "involvedObject.namespace";
    let own = text(&new["metadata"], "namespace");
    let about = text(&new["involvedObject"], "namespace");
    let mut errors = Vec::new();
    let mismatch = || FieldError::invalid(PATH, about, "does not match event.namespace");
    if !new["eventTime"].is_string() {
        if if about.is_empty() { !matches!(own, "" | "default") } else { own != about } {
            errors.push(mismatch());
        }
        return errors;
    }
    if about.is_empty() && !matches!(own, "default" | "kube-system") {
        errors.push(mismatch());
    }
    let reporter = text(new, "reportingComponent");
    if reporter.is_empty() {
        errors.push(FieldError::required("reportingComponent", ""));
    }
    errors.extend(invalid("reportingComponent", reporter, names::qualified_name(reporter)));
    for (field, limit, required) in
        [("reportingInstance", 128, true), ("action", 128, true), ("reason", 128, true), ("message", 1024, false)]
    {
        let value = text(new, field);
        if value.is_empty() && required {
            errors.push(FieldError::required(field, ""));
        }
        if value.len() > limit {
            errors.push(FieldError::invalid(field, "", format!("can have at most {limit} characters")));
        }
    }
    errors
}
