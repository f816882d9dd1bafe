//! CustomResourceDefinitions themselves: defaults, and what is wrong with one (apiextensions
//! `apis/apiextensions/validation`). Must not look at custom objects.

use serde_json::Value;

use crate::field::FieldError;
use crate::{meta, names};

/// The definitions' own resource.
pub const RESOURCE: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Keeps a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Fills defaults.
pub fn default(new: &mut Value, _old: Option<&Value>) {
    let names = &mut new["spec"]["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&names["kind"]);
    if names.is_object() && !kind.is_empty() {
        if text(&names["singular"]).is_empty() {
            names["singular"] = kind.to_lowercase().into();
        }
        if text(&names["listKind"]).is_empty() {
            names["listKind"] = format!("{kind}List").into();
        }
    }
    if new["spec"].is_object() && !new["spec"]["conversion"].is_object() {
        new["spec"]["conversion"] = serde_json::json!({"strategy": "None"});
    }
    if let Some(conversion) = new["spec"].get_mut("conversion") {
        super::conversion::default(conversion);
    }
}

fn versions(definition: &Value) -> &[Value] {
    definition["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Everything wrong with a definition.
pub fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &new["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    if old.is_none() && meta::name(new) != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", meta::name(new), detail));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !names::subdomain(&group).is_empty() {
        errors.push(FieldError::invalid("spec.group", group.as_str(), names::subdomain(&group).join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", group.as_str(), "should be a domain with at least one dot"));
    }
    match spec["scope"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported("spec.scope", other, &["Cluster", "Namespaced"])),
    }
    if spec["preserveUnknownFields"] == true {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, detail));
    }
    check_names(&spec["names"], &mut errors);
    check_versions(new, old, &mut errors);
    check_stored(new, old, &mut errors);
    let established = old.filter(|old| super::is_established(old));
    let good = |old: &Value| {
        let mut wrong = Vec::new();
        super::conversion::check(&old["spec"]["conversion"], true, &mut wrong);
        !wrong.iter().any(|error| error.field.ends_with("caBundle"))
    };
    super::conversion::check(&spec["conversion"], established.is_some_and(good), &mut errors);
    errors.extend(super::approval::check(new, old));
    if let Some(old) = old {
        let mut fixed = vec!["/spec/group", "/spec/names/plural"];
        if super::is_established(old) {
            fixed.extend(["/spec/scope", "/spec/names/kind"]);
        }
        for pointer in fixed {
            let value = new.pointer(pointer).cloned().unwrap_or_default();
            if Some(&value) != old.pointer(pointer) {
                let field = pointer.trim_start_matches('/').replace('/', ".");
                errors.push(FieldError::invalid(field, value, "field is immutable"));
            }
        }
    }
    errors
}

fn check_names(given: &Value, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let path = format!("spec.names.{field}");
        match given[field].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(path, "")),
            name => {
                let complaints = names::label_1035(&name.to_lowercase());
                if !complaints.is_empty() {
                    let kind = matches!(field, "kind" | "listKind");
                    let before = if kind { "may have mixed case, but should otherwise match: " } else { "" };
                    errors.push(FieldError::invalid(path, name, format!("{before}{}", complaints.join(","))));
                } else if matches!(field, "plural" | "singular") && name.chars().any(char::is_uppercase) {
                    errors.push(FieldError::invalid(path, name, names::label_1035(name).join(",")));
                }
            }
        }
    }
    if !given["kind"].is_null() && given["kind"] == given["listKind"] {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", given["listKind"].clone(), detail));
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in given[field].as_array().into_iter().flatten().filter_map(Value::as_str).enumerate() {
            let complaints = names::label_1035(name);
            if !complaints.is_empty() {
                errors.push(FieldError::invalid(format!("spec.names.{field}[{index}]"), name, complaints.join(",")));
            }
        }
    }
}

fn check_versions(definition: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let versions = self::versions(definition);
    let shown = || definition["spec"]["versions"].clone();
    let mut seen: Vec<&Value> = Vec::new();
    let waived = old.map(|old| super::versions::waived(self::versions(old))).unwrap_or_default();
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        let complaints = names::label_1035(version["name"].as_str().unwrap_or_default());
        if !complaints.is_empty() {
            errors.push(FieldError::invalid(format!("{path}.name"), version["name"].clone(), complaints.join(",")));
        }
        if seen.contains(&&version["name"]) {
            errors.push(FieldError::invalid("spec.versions", shown(), "must contain unique version names"));
        }
        seen.push(&version["name"]);
        let before =
            old.map(self::versions).unwrap_or_default().iter().find(|before| before["name"] == version["name"]);
        let known = before.is_some_and(|before| before["schema"] == version["schema"]);
        super::versions::check(version, &path, known, &waived, errors);
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", shown(), detail));
    }
}

/// Versions in which objects were stored stay until a migration has taken them off the list.
fn check_stored(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let stored = new["status"]["storedVersions"].as_array().filter(|_| old.is_some());
    for (index, name) in stored.into_iter().flatten().enumerate() {
        if !versions(new).iter().any(|version| version["name"] == *name) {
            let word = name.as_str().unwrap_or_default();
            let detail = format!(
                "missing from spec.versions; {word} was previously a storage version, and must remain in spec.versions until a storage \
                 migration ensures no data remains persisted in {word} and removes {word} from status.storedVersions"
            );
            errors.push(FieldError::invalid(format!("status.storedVersions[{index}]"), word, detail));
        }
    }
}
