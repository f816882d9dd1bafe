//! Rules of pods' volumes: each has a name of its own and one source, and each source says what it must
//! (`ValidateVolumes`, `validateVolumeSource` of upstream's pod validation).

use serde_json::Value;

use super::super::volumes::{claims, folder};
use super::super::{invalid, list, text};
use super::environment::{OF_FILES, field, resource};
use super::projected::{local, projected};
use crate::field::FieldError;
use crate::names;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// The volumes of a pod at `path`.
pub(super) fn volumes(path: &str, volumes: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, volume) in volumes.iter().enumerate() {
        let name = text(volume, "name");
        let at = format!("{path}[{i}].name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(invalid(&at, name, names::label(name)));
        }
        if volumes[..i].iter().any(|v| v["name"] == name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        // Upstream looks for emptyDir first.
        let mut sources: Vec<&String> =
            volume.as_object().into_iter().flatten().map(|(k, _)| k).filter(|k| *k != "name").collect();
        sources.sort_by_key(|source| *source != "emptyDir");
        let at = format!("{path}[{i}]");
        match sources.first() {
            None => errors.push(FieldError::required(&at, "must specify a volume type")),
            Some(kind) => errors.extend(source(&format!("{at}.{kind}"), kind, &volume[kind.as_str()])),
        }
        errors.extend(projected(&format!("{at}.projected"), &volume["projected"]));
        errors.extend(claims(&at, volume));
        for extra in sources.iter().skip(1) {
            errors.push(FieldError::forbidden(format!("{at}.{extra}"), "may not specify more than 1 volume type"));
        }
    }
    errors
}

fn source(at: &str, kind: &str, source: &Value) -> Vec<FieldError> {
    let required = |field: &str| {
        text(source, field).is_empty().then(|| FieldError::required(format!("{at}.{field}"), "")).into_iter()
    };
    let mut errors = Vec::new();
    match kind {
        "emptyDir" if text(source, "sizeLimit").starts_with('-') => {
            let words = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(format!("{at}.sizeLimit"), words));
        }
        "hostPath" => errors.extend(folder(at, source, true)),
        "secret" | "configMap" => {
            errors.extend(required(if kind == "secret" { "secretName" } else { "name" }));
            errors.extend(mode(&format!("{at}.defaultMode"), &source["defaultMode"]));
            errors.extend(items(at, source));
        }
        "downwardAPI" => {
            errors.extend(mode(&format!("{at}.defaultMode"), &source["defaultMode"]));
            errors.extend(list(source, "items").iter().flat_map(|item| file(at, item, true)));
        }
        "projected" => errors.extend(mode(&format!("{at}.defaultMode"), &source["defaultMode"])),
        "nfs" => {
            errors.extend(required("server").chain(required("path")));
            let path = text(source, "path");
            if !path.starts_with('/') {
                errors.push(FieldError::invalid(format!("{at}.path"), path, "must be an absolute path"));
            }
        }
        "image" => {
            errors.extend(required("reference"));
            match text(source, "pullPolicy") {
                "" => errors.push(FieldError::required(format!("{at}.pullPolicy"), "")),
                "Always" | "IfNotPresent" | "Never" => {}
                other => {
                    let supported = ["Always", "IfNotPresent", "Never"];
                    errors.push(FieldError::not_supported(format!("{at}.pullPolicy"), other, &supported));
                }
            }
        }
        "csi" => errors.extend(csi(at, source)),
        _ => {}
    }
    errors
}

/// A volume of a storage driver, made for its pod (`validateCSIVolumeSource`).
fn csi(at: &str, source: &Value) -> Vec<FieldError> {
    let driver = text(source, "driver");
    let path = format!("{at}.driver");
    let mut errors = Vec::new();
    if driver.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        if driver.len() > 63 {
            errors.push(FieldError::too_long(&path, 63));
        }
        errors.extend(invalid(&path, driver, names::subdomain(&driver.to_lowercase())));
    }
    if source["nodePublishSecretRef"].is_object() {
        match text(&source["nodePublishSecretRef"], "name") {
            "" => errors.push(FieldError::required(format!("{at}.nodePublishSecretRef.name"), "")),
            name => errors.extend(invalid(&format!("{at}.name"), name, names::subdomain(name))),
        }
    }
    errors
}

fn mode(at: &str, mode: &Value) -> Option<FieldError> {
    let mode = mode.as_i64()?;
    (!(0..=0o777).contains(&mode)).then(|| FieldError::invalid(at, mode, MODE))
}

/// Keys of a ConfigMap or Secret and the files that show them (`validateKeyToPath`).
fn items(at: &str, source: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, item) in list(source, "items").iter().enumerate() {
        let at = format!("{at}.items[{i}]");
        for field in ["key", "path"] {
            if text(item, field).is_empty() {
                errors.push(FieldError::required(format!("{at}.{field}"), ""));
            }
        }
        errors.extend(local(&format!("{at}.path"), text(item, "path")));
        errors.extend(mode(&format!("{at}.mode"), &item["mode"]));
    }
    errors
}

/// A file of the downward API. Upstream names the volume, not the file; `with_path`: nobody else looks at the file's path.
pub(super) fn file(at: &str, item: &Value, with_path: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = text(item, "path");
    if with_path {
        if path.is_empty() {
            errors.push(FieldError::required(format!("{at}.path"), ""));
        }
        errors.extend(local(&format!("{at}.path"), path));
    }
    match (item["fieldRef"].is_object(), item["resourceFieldRef"].is_object()) {
        (true, both) => {
            errors.extend(field(&format!("{at}.fieldRef"), &item["fieldRef"], OF_FILES));
            if both {
                let words = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(at, "resource", words));
            }
        }
        (false, true) => errors.extend(resource(&format!("{at}.resourceFieldRef"), &item["resourceFieldRef"], true)),
        (false, false) => {
            errors.push(FieldError::required(at, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    errors.extend(mode(&format!("{at}.mode"), &item["mode"]));
    errors
}
