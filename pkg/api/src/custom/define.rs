//! CustomResourceDefinitions themselves: defaults, and what is wrong with one (apiextensions
//! `apis/apiextensions/validation`). Must not look at custom objects.

use serde_json::Value;

use super::path::Path;
use super::structural::Structural;
use crate::field::FieldError;
use crate::{meta, names};

/// The definitions' own resource.
pub const RESOURCE: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Keeps a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

const APPROVED: &str = "api-approved.kubernetes.io";

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
    let established = old.filter(|old| super::is_established(old));
    let good = |old: &Value| {
        let mut wrong = Vec::new();
        super::conversion::check(&old["spec"]["conversion"], true, &mut wrong);
        !wrong.iter().any(|error| error.field.ends_with("caBundle"))
    };
    super::conversion::check(&spec["conversion"], established.is_some_and(good), &mut errors);
    let protected = group == "k8s.io"
        || group == "kubernetes.io"
        || group.ends_with(".k8s.io")
        || group.ends_with(".kubernetes.io");
    if protected && new["metadata"]["annotations"][APPROVED].as_str().unwrap_or_default().is_empty() {
        let detail = format!(
            "protected groups must have approval annotation \"{APPROVED}\", see https://github.com/kubernetes/enhancements/pull/1111"
        );
        errors.push(FieldError::required(format!("metadata.annotations[{APPROVED}]"), detail));
    }
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
                    errors.push(FieldError::invalid(path, name, complaints.join(",")));
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
        check_version(version, &path, known, errors);
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", shown(), detail));
    }
}

/// `known`: the schema is the one that was accepted before.
fn check_version(version: &Value, path: &str, known: bool, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    let at = format!("{path}.schema.openAPIV3Schema");
    if schema.is_null() {
        errors.push(FieldError::required(at, "schemas are required"));
    } else {
        match schema["type"].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(format!("{at}.type"), "must not be empty at the root")),
            "object" => {}
            other => errors.push(FieldError::invalid(format!("{at}.type"), other, "must be object at the root")),
        }
        let before = errors.len();
        check_schema(schema, &at, errors);
        // Types of rules are made of schemas that are right.
        if errors.len() == before && !known {
            errors.extend(super::rule_check::check(schema, &at));
        }
    }
    if version["deprecated"] != true && !version["deprecationWarning"].is_null() {
        let detail = "can only be set for deprecated versions";
        errors.push(FieldError::invalid(
            format!("{path}.deprecationWarning"),
            version["deprecationWarning"].clone(),
            detail,
        ));
    }
    for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{path}.additionalPrinterColumns[{index}]");
        for field in ["name", "type", "jsonPath"] {
            if column[field].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("{at}.{field}"), ""));
            }
        }
        let kinds = ["boolean", "date", "integer", "number", "string"];
        if let Some(kind) = column["type"].as_str().filter(|kind| !kind.is_empty() && !kinds.contains(kind)) {
            errors.push(FieldError::not_supported(format!("{at}.type"), kind, &kinds));
        }
        if let Some(text) = column["jsonPath"].as_str().filter(|text| Path::parse(text).is_none()) {
            errors.push(FieldError::invalid(format!("{at}.jsonPath"), text, "is not a valid JSON path"));
        }
    }
    let scale = &version["subresources"]["scale"];
    if scale.is_object() {
        for (field, root) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
            let at = format!("{path}.subresources.scale.{field}");
            match scale[field].as_str().unwrap_or_default() {
                "" => errors.push(FieldError::required(at, "")),
                text if !text.starts_with(root) || Path::parse(text).is_none_or(|path| path.fields().is_none()) => {
                    let detail = format!("should be a json path under {}", root.trim_end_matches('.'));
                    errors.push(FieldError::invalid(at, text, detail));
                }
                _ => {}
            }
        }
    }
}

/// The rules of structural schemas that matter for serving: types named, no contradictions, patterns that compile.
fn check_schema(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let kinds = ["array", "boolean", "integer", "number", "object", "string"];
    let kind = schema["type"].as_str().unwrap_or_default();
    if !kind.is_empty() && !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(format!("{path}.type"), kind, &kinds));
    }
    if kind == "array" && schema["items"].is_null() {
        errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
    }
    if schema["properties"].is_object() && !matches!(schema["additionalProperties"], Value::Null | Value::Bool(false)) {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), detail));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(cause) = regex::Regex::new(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {cause}");
        errors.push(FieldError::invalid(format!("{path}.pattern"), pattern, detail));
    }
    let list_type = schema["x-kubernetes-list-type"].as_str().unwrap_or_default();
    if !list_type.is_empty() && !["atomic", "map", "set"].contains(&list_type) {
        errors.push(FieldError::not_supported(
            format!("{path}.x-kubernetes-list-type"),
            list_type,
            &["atomic", "map", "set"],
        ));
    }
    if list_type == "map" && schema["x-kubernetes-list-map-keys"].as_array().is_none_or(Vec::is_empty) {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(format!("{path}.x-kubernetes-list-map-keys"), detail));
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let read = Structural::read(schema);
        for error in super::check::object(&read, default, None) {
            errors.push(FieldError::invalid(format!("{path}.default"), default.clone(), error.body()));
        }
    }
    let mut inner = |value: &Value, at: String, what: &str| {
        if value["type"].as_str().unwrap_or_default().is_empty()
            && value["x-kubernetes-int-or-string"] != true
            && value["x-kubernetes-preserve-unknown-fields"] != true
        {
            errors.push(FieldError::required(format!("{at}.type"), format!("must not be empty for specified {what}")));
        }
        check_schema(value, &at, errors);
    };
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        inner(value, format!("{path}.properties[{key}]"), "object fields");
    }
    if schema["additionalProperties"].is_object() {
        inner(&schema["additionalProperties"], format!("{path}.additionalProperties"), "object fields");
    }
    if schema["items"].is_object() {
        inner(&schema["items"], format!("{path}.items"), "array items");
    }
}
