//! Rules of what containers mount of their pod's volumes, as files or as devices (`ValidateVolumeMounts`,
//! `ValidateVolumeDevices`).

use serde_json::Value;

use crate::field::FieldError;
use crate::names;
use crate::validate::{invalid, list, text};

/// The mounts of a container. Of some fields upstream names the list, not the entry.
pub(super) fn mounts(path: &str, container: &Value, volumes: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mounts, devices) = (list(container, "volumeMounts"), list(container, "volumeDevices"));
    for (i, mount) in mounts.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(at("name"), ""));
        }
        if !volumes.iter().any(|volume| volume["name"] == name) {
            errors.push(FieldError::not_found(at("name"), name));
        }
        if target.is_empty() {
            errors.push(FieldError::required(at("mountPath"), ""));
        }
        if mounts[..i].iter().any(|other| text(other, "mountPath") == target) {
            errors.push(FieldError::invalid(at("mountPath"), target, "must be unique"));
        }
        if devices.iter().any(|device| text(device, "name") == name) {
            errors.push(FieldError::invalid(at("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| text(device, "devicePath") == target) {
            let words = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(at("mountPath"), target, words));
        }
        let (sub, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        errors.extend(descending(&format!("{path}.subPath"), sub));
        if !expression.is_empty() && !sub.is_empty() {
            let words = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(at("subPathExpr"), expression, words));
        }
        errors.extend(descending(&format!("{path}.subPathExpr"), expression));
        errors.extend(propagation(&format!("{path}.mountPropagation"), mount, container));
        errors.extend(read_only(&format!("{path}.recursiveReadOnly"), mount));
    }
    errors
}

/// A path that leads down from where it begins.
pub(super) fn descending(at: &str, path: &str) -> Vec<FieldError> {
    let absolute = path.starts_with('/').then(|| "must be a relative path".to_owned());
    invalid(at, path, absolute.into_iter().chain(names::no_backsteps(path)).collect())
}

fn propagation(at: &str, mount: &Value, container: &Value) -> Vec<FieldError> {
    const SUPPORTED: &[&str] = &["Bidirectional", "HostToContainer", "None"];
    let Some(mode) = mount["mountPropagation"].as_str() else { return Vec::new() };
    let mut errors = Vec::new();
    if !SUPPORTED.contains(&mode) {
        errors.push(FieldError::not_supported(at, mode, SUPPORTED));
    }
    if mode == "Bidirectional" && container["securityContext"]["privileged"] != true {
        let words = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(at, words));
    }
    errors
}

fn read_only(at: &str, mount: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match mount["recursiveReadOnly"].as_str() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if mount["readOnly"] != true {
                errors.push(FieldError::forbidden(at, "may only be specified when readOnly is true"));
            }
            if !matches!(mount["mountPropagation"].as_str(), None | Some("None")) {
                let words = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(at, words));
            }
        }
        Some(other) => errors.push(FieldError::not_supported(at, other, &["Disabled", "Enabled", "IfPossible"])),
    }
    errors
}

/// The block devices of a container, which come of claims alone.
pub(super) fn devices(path: &str, container: &Value, volumes: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mounts, devices) = (list(container, "volumeMounts"), list(container, "volumeDevices"));
    for (i, device) in devices.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        let (name, target) = (text(device, "name"), text(device, "devicePath"));
        let complain = |field: &str, value: &str, words: &str| FieldError::invalid(at(field), value, words);
        let earlier = &devices[..i];
        if name.is_empty() {
            errors.push(FieldError::required(at("name"), ""));
        } else if earlier.iter().any(|other| text(other, "name") == name) {
            errors.push(complain("name", name, "must be unique"));
        }
        match volumes.iter().find(|volume| volume["name"] == name) {
            None => errors.push(FieldError::not_found(at("name"), name)),
            Some(volume) if volume["persistentVolumeClaim"].is_object() || volume["ephemeral"].is_object() => {}
            Some(_) => {
                let words = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(complain("name", name, words));
            }
        }
        if target.is_empty() {
            errors.push(FieldError::required(at("devicePath"), ""));
        }
        if earlier.iter().any(|other| text(other, "devicePath") == target && names::no_backsteps(target).is_empty()) {
            errors.push(complain("devicePath", target, "must be unique"));
        }
        if !names::no_backsteps(target).is_empty() {
            errors.push(complain("devicePath", target, "can not contain backsteps ('..')"));
        }
        if mounts.iter().any(|mount| text(mount, "name") == name) {
            errors.push(complain("name", name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| text(mount, "mountPath") == target) {
            errors.push(complain("devicePath", target, "must not already exist as a path in volumeMounts"));
        }
    }
    errors
}
