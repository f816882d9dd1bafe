//! Rules of storage.k8s.io (storage `validation.go`).

use serde_json::{Map, Value};

use super::quota::quantity;
use super::{immutable, invalid, label_selector, list, non_negative, text};
use crate::field::FieldError;
use crate::names;

fn provisioner(path: &str, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    invalid(path, name, names::qualified_name(&name.to_lowercase()))
}

fn parameters(object: &Value) -> Vec<FieldError> {
    let parameters = object["parameters"].as_object();
    let size: usize = parameters.into_iter().flatten().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    let mut errors = Vec::new();
    if parameters.is_some_and(|all| all.len() > 512) {
        errors.push(FieldError::too_long("parameters", 512));
    } else if size > 256 * 1024 {
        errors.push(FieldError::too_long("parameters", 256 * 1024));
    }
    if parameters.is_some_and(|all| all.contains_key("")) {
        errors.push(FieldError::invalid("parameters", "", "field can not be empty."));
    }
    errors
}

/// A StorageClass.
pub fn storage_class(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = provisioner("provisioner", text(new, "provisioner"));
    errors.extend(parameters(new));
    for (field, allowed) in
        [("reclaimPolicy", &["Delete", "Retain"]), ("volumeBindingMode", &["Immediate", "WaitForFirstConsumer"])]
    {
        let value = text(new, field);
        if !allowed.contains(&value) {
            errors.push(FieldError::not_supported(field, value, allowed));
        }
    }
    if let Some(old) = old {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            errors.extend(immutable(&new[field], &old[field], field));
        }
    }
    errors
}

/// A VolumeAttributesClass.
pub fn volume_attributes_class(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["driverName", "parameters"] {
        if old.is_some_and(|old| old[field] != new[field]) {
            errors.push(FieldError::forbidden(field, format!("updates to {field} are forbidden.")));
        }
    }
    errors.extend(provisioner("driverName", text(new, "driverName")));
    errors.extend(parameters(new));
    if new["parameters"].as_object().is_none_or(Map::is_empty) {
        errors.push(FieldError::required("parameters", "must contain at least one key/value pair"));
    }
    errors
}

/// A CSIDriver.
pub fn csi_driver(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let policy = text(spec, "fsGroupPolicy");
    let policies = &["File", "None", "ReadWriteOnceWithFSType"];
    if !policy.is_empty() && !policies.contains(&policy) {
        errors.push(FieldError::not_supported("spec.fsGroupPolicy", policy, policies));
    }
    let requests = list(spec, "tokenRequests");
    for (i, request) in requests.iter().enumerate() {
        let at = format!("spec.tokenRequests[{i}]");
        if requests[..i].iter().any(|other| other["audience"] == request["audience"]) {
            errors.push(FieldError::duplicate(format!("{at}.audience"), text(request, "audience")));
        }
        let seconds = request["expirationSeconds"].as_i64();
        if let Some(seconds) = seconds.filter(|seconds| *seconds < 600) {
            let words = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(format!("{at}.expirationSeconds"), seconds, words));
        }
    }
    for mode in list(spec, "volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            let path = "spec.volumeLifecycleModes";
            errors.push(FieldError::not_supported(path, mode, &["Persistent", "Ephemeral"]));
        }
    }
    if let Some(seconds) = spec["nodeAllocatableUpdatePeriodSeconds"].as_i64().filter(|seconds| *seconds < 10) {
        let words = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid("spec.nodeAllocatableUpdatePeriodSeconds", seconds, words));
    }
    if let Some(old) = old {
        let before = &old["spec"];
        errors.extend(immutable(&spec["attachRequired"], &before["attachRequired"], "spec.attachedRequired"));
        let modes = "volumeLifecycleModes";
        errors.extend(immutable(&spec[modes], &before[modes], "spec.volumeLifecycleModes"));
    }
    errors
}

pub(super) fn driver_name(path: &str, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    if name.len() > 63 {
        errors.push(FieldError::too_long(path, 63));
    }
    errors.extend(invalid(path, name, names::subdomain(&name.to_lowercase())));
    errors
}

/// A CSINode.
pub fn csi_node(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let drivers = list(&new["spec"], "drivers");
    let mut errors = Vec::new();
    for (i, driver) in drivers.iter().enumerate() {
        let at = format!("spec.drivers[{i}]");
        let name = text(driver, "name");
        errors.extend(driver_name(&format!("{at}.name"), name));
        match text(driver, "nodeID") {
            "" => errors.push(FieldError::required(format!("{at}.nodeID"), "")),
            id if id.len() > 256 => {
                errors.push(FieldError::invalid(format!("{at}.nodeID"), id, "must be 256 characters or less"));
            }
            _ => {}
        }
        errors.extend(non_negative(&driver["allocatable"], "count", &format!("{at}.allocatable")));
        if drivers[..i].iter().any(|other| other["name"] == name) {
            errors.push(FieldError::duplicate(format!("{at}.name"), name));
        }
        for key in list(driver, "topologyKeys").iter().filter_map(Value::as_str) {
            errors.extend(invalid(&at, key, names::qualified_name(key)));
        }
        let before = old.and_then(|old| list(&old["spec"], "drivers").iter().find(|other| other["name"] == name));
        if let Some(before) = before {
            let mut same = before.clone();
            crate::meta::copy_field(&mut same, driver, "allocatable");
            errors.extend(immutable(driver, &same, "spec.drivers"));
        }
    }
    errors
}

/// A CSIStorageCapacity.
pub fn csi_storage_capacity(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if new["nodeTopology"].is_object() {
        errors.extend(label_selector("nodeTopology", &new["nodeTopology"]));
    }
    let class = text(new, "storageClassName");
    errors.extend(invalid("storageClassName", class, names::subdomain(class)));
    errors.extend(quantity("capacity", "", &new["capacity"]));
    if let Some(old) = old {
        for field in ["nodeTopology", "storageClassName"] {
            errors.extend(immutable(&new[field], &old[field], field));
        }
    }
    errors
}

/// A VolumeAttachment.
pub fn volume_attachment(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = driver_name("spec.attacher", text(spec, "attacher"));
    let (inline, volume) = (&spec["source"]["inlineVolumeSpec"], &spec["source"]["persistentVolumeName"]);
    let words = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (inline.is_null(), volume.as_str()) {
        (true, None) => errors.push(FieldError::required("spec.source", words)),
        (false, Some(_)) => errors.push(FieldError::forbidden("spec.source", words)),
        (true, Some("")) => {
            let words = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required("spec.source.persistentVolumeName", words));
        }
        (true, Some(name)) => {
            errors.extend(invalid("spec.source.persistentVolumeName", name, names::subdomain(name)));
        }
        (false, None) => {}
    }
    let node = text(spec, "nodeName");
    errors.extend(invalid("spec.nodeName", node, names::subdomain(node)));
    if let Some(old) = old {
        errors.extend(immutable(spec, &old["spec"], "spec"));
    }
    errors
}
