//! Rules of volumes and claims (core `validation.go`). Of a volume's source that there is exactly one, and the paths of
//! those that minisvc's nodes can show.

use serde_json::{Map, Value};

use super::internal_form::written;
use super::line_diff::unified;
use super::pod::node_term;
use super::quota::amount;
use super::{immutable, invalid, label_selector, list, text};
use crate::field::FieldError;
use crate::names;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const ATTRIBUTES: &str = "volumeAttributesClassName";
const HOST_PATHS: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// Fields of a volume's spec that are no source.
const NO_SOURCE: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

fn access_modes(path: &str, spec: &Value) -> Vec<FieldError> {
    let modes: Vec<&str> = list(spec, "accessModes").iter().filter_map(Value::as_str).collect();
    let mut errors = Vec::new();
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.push(FieldError::not_supported(format!("{path}.accessModes"), *mode, ACCESS_MODES));
    }
    let alone = modes.contains(&"ReadWriteOncePod");
    if alone && modes.iter().any(|mode| *mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode)) {
        let words = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(format!("{path}.accessModes"), words));
    }
    errors
}

fn class_and_mode(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(spec, field);
        if !class.is_empty() {
            errors.extend(invalid(&format!("{path}.{field}"), class, names::subdomain(class)));
        }
    }
    let mode = text(spec, "volumeMode");
    if !mode.is_empty() && !VOLUME_MODES.contains(&mode) {
        errors.push(FieldError::not_supported(format!("{path}.volumeMode"), mode, VOLUME_MODES));
    }
    errors
}

fn sources(spec: &Value) -> Map<String, Value> {
    let fields = spec.as_object().into_iter().flatten();
    fields.filter(|(key, _)| !NO_SOURCE.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// A PersistentVolume.
pub fn persistent_volume(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    if list(spec, "accessModes").is_empty() {
        errors.push(FieldError::required("spec.accessModes", ""));
    }
    errors.extend(access_modes("spec", spec));
    let capacity = spec["capacity"].as_object().filter(|capacity| !capacity.is_empty());
    if capacity.is_none() {
        errors.push(FieldError::required("spec.capacity", ""));
    }
    if spec["capacity"].get("storage").is_none() || capacity.is_some_and(|capacity| capacity.len() > 1) {
        errors.push(FieldError::not_supported("spec.capacity", spec["capacity"].clone(), &["storage"]));
    }
    for (name, value) in capacity.into_iter().flatten() {
        if amount(value).sign() <= 0 {
            let at = format!("spec.capacity[{name}]");
            errors.push(FieldError::invalid(at, value.clone(), "must be greater than zero"));
        }
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    let policies = &["Delete", "Recycle", "Retain"];
    if !policies.contains(&policy) {
        errors.push(FieldError::not_supported("spec.persistentVolumeReclaimPolicy", policy, policies));
    }
    let found = sources(spec);
    errors.extend(node_affinity(&spec["nodeAffinity"]));
    errors.extend(folders(spec));
    if found.is_empty() {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
    for extra in found.keys().skip(1) {
        errors.push(FieldError::forbidden(format!("spec.{extra}"), "may not specify more than 1 volume type"));
    }
    if spec["local"].is_object() && spec["nodeAffinity"].is_null() {
        errors.push(FieldError::required("spec.nodeAffinity", "Local volume requires node affinity"));
    }
    if spec["hostPath"]["path"] == "/" && policy == "Recycle" {
        let words = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden("spec.persistentVolumeReclaimPolicy", words));
    }
    errors.extend(class_and_mode("spec", spec));
    if spec[ATTRIBUTES] == "" {
        errors.push(FieldError::required("spec.volumeAttributesClassName", "an empty string is disallowed"));
    }
    if !spec[ATTRIBUTES].is_null() && spec["csi"].is_null() {
        let words = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required("spec.csi", words));
    }
    if let Some(old) = old {
        if found != sources(&old["spec"]) {
            const SOURCE: &str = "core.v1.PersistentVolumeSource";
            let before = Value::Object(sources(&old["spec"]));
            let difference = unified(&written(SOURCE, &before), &written(SOURCE, &Value::Object(found)));
            let words = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
            errors.push(FieldError::forbidden("spec.persistentvolumesource", words));
        }
        errors.extend(immutable(&spec["volumeMode"], &old["spec"]["volumeMode"], "volumeMode"));
        let (affinity, before) = (&spec["nodeAffinity"], &old["spec"]["nodeAffinity"]);
        if !before.is_null() && affinity != before {
            let words = "field is immutable, except for updating from beta label to GA";
            errors.push(FieldError::invalid("nodeAffinity", affinity.clone(), words));
        }
        if !old["spec"][ATTRIBUTES].is_null() && spec[ATTRIBUTES].is_null() {
            let words = "update from non-nil value to nil is forbidden";
            errors.push(FieldError::forbidden("spec.volumeAttributesClassName", words));
        }
    }
    errors
}

/// Where the volume can be reached.
fn node_affinity(affinity: &Value) -> Vec<FieldError> {
    let at = "spec.nodeAffinity.required";
    if affinity.is_null() {
        return Vec::new();
    }
    if affinity["required"].is_null() {
        return vec![FieldError::required(at, "must specify required node constraints")];
    }
    let terms = list(&affinity["required"], "nodeSelectorTerms");
    let mut errors = Vec::new();
    if terms.is_empty() {
        let words = "must have at least one node selector term";
        errors.push(FieldError::required(format!("{at}.nodeSelectorTerms"), words));
    }
    for (i, term) in terms.iter().enumerate() {
        errors.extend(node_term(&format!("{at}.nodeSelectorTerms[{i}]"), term, true));
    }
    errors
}

/// Paths of the sources that are folders of nodes.
fn folders(spec: &Value) -> Vec<FieldError> {
    let sources = ["hostPath", "local"].into_iter().filter(|source| spec[*source].is_object());
    sources.flat_map(|source| folder(&format!("spec.{source}"), &spec[source], source == "hostPath")).collect()
}

/// A folder of a node; `typed`: it may say what must be there (`validateHostPathVolumeSource`).
pub(super) fn folder(at: &str, source: &Value, typed: bool) -> Vec<FieldError> {
    let (at_path, path) = (format!("{at}.path"), text(source, "path"));
    if path.is_empty() {
        return vec![FieldError::required(at_path, "")];
    }
    let mut errors = invalid(&at_path, path, names::no_backsteps(path));
    let kind = text(source, "type");
    if typed && !HOST_PATHS.contains(&kind) {
        errors.push(FieldError::not_supported(format!("{at}.type"), kind, HOST_PATHS));
    }
    errors
}

/// The spec of a claim, or of a template for claims.
pub(super) fn claim_spec(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if list(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(format!("{path}.accessModes"), "at least 1 access mode is required"));
    }
    if spec["selector"].is_object() {
        errors.extend(label_selector(&format!("{path}.selector"), &spec["selector"]));
    }
    errors.extend(access_modes(path, spec));
    let at = format!("{path}.resources[storage]");
    match spec["resources"]["requests"].get("storage") {
        None => errors.push(FieldError::required(at, "")),
        Some(size) if amount(size).sign() <= 0 => {
            errors.push(FieldError::invalid(at, size.clone(), "must be greater than zero"));
        }
        Some(_) => {}
    }
    errors.extend(class_and_mode(path, spec));
    for field in ["dataSource", "dataSourceRef"] {
        let source = &spec[field];
        if !source.is_object() {
            continue;
        }
        for part in ["name", "kind"] {
            if text(source, part).is_empty() {
                errors.push(FieldError::required(format!("{path}.{field}.{part}"), ""));
            }
        }
        let kind = text(source, "kind");
        if text(source, "apiGroup").is_empty() && kind != "PersistentVolumeClaim" {
            let words = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(FieldError::invalid(format!("{path}.{field}"), kind, words));
        }
        let group = text(source, "apiGroup");
        if !group.is_empty() {
            errors.extend(invalid(&format!("{path}.{field}.apiGroup"), group, names::subdomain(group)));
        }
        let namespace = text(source, "namespace");
        if field == "dataSourceRef" && !namespace.is_empty() {
            errors.extend(invalid(&format!("{path}.{field}.namespace"), namespace, names::label(namespace)));
        }
    }
    let (plain, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    if plain.is_object() && reference.is_object() {
        let same = ["apiGroup", "kind", "name"].iter().all(|part| plain[*part] == reference[*part]);
        let words = match text(reference, "namespace").is_empty() {
            false => "may not be specified when dataSourceRef.namespace is specified",
            true if !same => "must match dataSourceRef",
            true => return errors,
        };
        // Upstream shows the path where it means the value: a struct without public fields.
        errors.push(FieldError::invalid(path, Value::Object(Map::new()), words));
    }
    errors
}

/// The claims that a pod's volume names or describes.
pub(super) fn claims(path: &str, volume: &Value) -> Vec<FieldError> {
    let (named, own) = (&volume["persistentVolumeClaim"], &volume["ephemeral"]);
    let mut errors = Vec::new();
    if named.is_object() && text(named, "claimName").is_empty() {
        errors.push(FieldError::required(format!("{path}.persistentVolumeClaim.claimName"), ""));
    }
    if own.is_object() {
        let at = format!("{path}.ephemeral.volumeClaimTemplate");
        match &own["volumeClaimTemplate"] {
            Value::Null => errors.push(FieldError::required(at, "")),
            template => {
                let metadata = &template["metadata"];
                errors
                    .extend(crate::meta::annotations(&format!("{at}.metadata.annotations"), &metadata["annotations"]));
                errors.extend(crate::meta::labels(&format!("{at}.metadata.labels"), &metadata["labels"]));
                let others = metadata.as_object().into_iter().flatten().map(|(name, _)| name);
                for name in
                    others.filter(|name| !matches!(name.as_str(), "annotations" | "labels" | "creationTimestamp"))
                {
                    errors.push(FieldError::forbidden(format!("{at}.metadata.{name}"), "cannot be set"));
                }
                errors.extend(claim_spec(&format!("{at}.spec"), &template["spec"]));
            }
        }
    }
    errors
}

/// A PersistentVolumeClaim.
pub fn persistent_volume_claim(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = claim_spec("spec", spec);
    let Some(old) = old else { return errors };
    let mut before = old["spec"].clone();
    if text(&before, "volumeName").is_empty() {
        crate::meta::copy_field(&mut before, spec, "volumeName");
    }
    if before["storageClassName"].is_null() && old["status"]["phase"] != "Bound" {
        crate::meta::copy_field(&mut before, spec, "storageClassName");
    }
    if new["status"]["phase"] == "Bound" {
        crate::meta::copy_field(&mut before["resources"]["requests"], &spec["resources"]["requests"], "storage");
        crate::meta::copy_field(&mut before, spec, "volumeAttributesClassName");
    }
    if before != *spec {
        const SPEC: &str = "core.v1.PersistentVolumeClaimSpec";
        // The wanted spec without what may change beside the old one.
        let (mut wanted, mut old) = (spec.clone(), old["spec"].clone());
        for field in ["volumeName", "storageClassName", ATTRIBUTES, "resources"] {
            if before[field] == spec[field] {
                let (from, into) = if field == "volumeName" { (spec, &mut old) } else { (&old, &mut wanted) };
                let from = from.clone();
                crate::meta::copy_field(into, &from, field);
            }
        }
        let difference = unified(&written(SPEC, &old), &written(SPEC, &wanted));
        let words = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{difference}"
        );
        errors.push(FieldError::forbidden("spec", words));
    }
    let size = |claim: &Value| amount(&claim["spec"]["resources"]["requests"]["storage"]);
    if size(new) < size(old) && size(new) <= amount(&old["status"]["capacity"]["storage"]) {
        let words = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", words));
    }
    errors.extend(immutable(&spec["volumeMode"], &old["spec"]["volumeMode"], "volumeMode"));
    let (wanted, has) = (spec[ATTRIBUTES].as_str(), &old["status"]["currentVolumeAttributesClassName"]);
    if spec[ATTRIBUTES] != old["spec"][ATTRIBUTES] && !has.is_null() && wanted.is_none_or(str::is_empty) {
        let what = if wanted.is_none() { "nil" } else { "empty string" };
        let words = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
        errors.push(FieldError::forbidden(format!("spec.{ATTRIBUTES}"), words));
    }
    errors
}
