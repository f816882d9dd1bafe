//! One version of a definition: schema, columns, selectable fields, subresources, warning (apiextensions
//! `apis/apiextensions/validation`).

use serde_json::Value;

use super::structure::{self, listed};
use super::{rule_check, schema_check};
use crate::field::FieldError;
use schema_check::Demand;

/// Most fields that objects may be selected by.
const SELECTABLE: usize = 8;

const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";

/// Longest warning, in bytes.
const WARNING: usize = 256;

fn schema(version: &Value) -> &Value {
    &version["schema"]["openAPIV3Schema"]
}

fn complaints(version: &Value, path: &str) -> Vec<(Demand, FieldError)> {
    let status = version["subresources"]["status"].is_object();
    schema_check::check(schema(version), &format!("{path}.schema.openAPIV3Schema"), status)
}

/// What the versions of an earlier state did not fulfil: it is not asked of the next state either.
pub(super) fn waived(versions: &[Value]) -> Vec<Demand> {
    let all = versions.iter().filter(|version| schema(version).is_object());
    let mut broken: Vec<Demand> = all.flat_map(|version| complaints(version, "")).map(|(demand, _)| demand).collect();
    broken.retain(|demand| *demand != Demand::Always);
    broken
}

/// Why the schemas of a definition are not structural, if they are not (`controller/nonstructuralschema`).
pub(super) fn violations(versions: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, version) in versions.iter().enumerate().filter(|(_, version)| schema(version).is_object()) {
        if structure::readable(schema(version)).is_ok() {
            errors.extend(structure::check(schema(version), &format!("spec.versions[{index}].schema.openAPIV3Schema")));
        }
    }
    errors
}

/// Complaints about a version. `known`: its schema was accepted before as it is; `waived`: what is not asked.
pub(super) fn check(version: &Value, path: &str, known: bool, waived: &[Demand], errors: &mut Vec<FieldError>) {
    if schema(version).is_null() {
        errors.push(FieldError::required(format!("{path}.schema.openAPIV3Schema"), ""));
    } else {
        let found = complaints(version, path);
        let sound = found.is_empty();
        errors.extend(found.into_iter().filter(|(demand, _)| !waived.contains(demand)).map(|(_, error)| error));
        // Types of rules are made of schemas that are right.
        if sound && !known {
            errors.extend(rule_check::check(schema(version), &format!("{path}.schema.openAPIV3Schema")));
        }
    }
    warning(version, path, errors);
    for (index, column) in listed(version, "additionalPrinterColumns").iter().enumerate() {
        self::column(column, &format!("{path}.additionalPrinterColumns[{index}]"), errors);
    }
    selectable(version, path, errors);
    scale(&version["subresources"]["scale"], &format!("{path}.subresources.scale"), errors);
}

fn warning(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(text) = version["deprecationWarning"].as_str() else { return };
    let mut invalid =
        |detail: String| errors.push(FieldError::invalid(format!("{path}.deprecationWarning"), text, detail));
    if version["deprecated"] != true {
        return invalid("can only be set for deprecated versions".to_owned());
    }
    if text.len() > WARNING {
        invalid(format!("must be <= {WARNING} characters long"));
    }
    if text.is_empty() {
        invalid("must not be an empty string".to_owned());
    }
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        invalid(format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
}

fn column(column: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let text = |key: &str| column[key].as_str().unwrap_or_default();
    if text("name").is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let one_of = |known: &str| format!("must be one of {known}");
    match text("type") {
        "" => errors.push(FieldError::required(format!("{path}.type"), one_of(COLUMN_TYPES))),
        kind if !COLUMN_TYPES.split(',').any(|known| known == kind) => {
            errors.push(FieldError::invalid(format!("{path}.type"), kind, one_of(COLUMN_TYPES)));
        }
        _ => {}
    }
    let format = text("format");
    if !format.is_empty() && !COLUMN_FORMATS.split(',').any(|known| known == format) {
        errors.push(FieldError::invalid(format!("{path}.format"), format, one_of(COLUMN_FORMATS)));
    }
    match text("jsonPath") {
        "" => errors.push(FieldError::required(format!("{path}.JSONPath"), "")),
        words => errors.extend(simple(words, &format!("{path}.JSONPath"))),
    }
}

/// What is asked of every path here.
fn simple(path: &str, at: &str) -> Option<FieldError> {
    let detail = "must be a simple json path starting with .";
    (!path.starts_with('.')).then(|| FieldError::invalid(at, path, detail))
}

fn selectable(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in listed(version, "selectableFields").iter().enumerate() {
        let at = format!("{path}.selectableFields[{index}].jsonPath");
        let words = field["jsonPath"].as_str().unwrap_or_default();
        if words.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let found = match rule_check::led(words, schema(version), false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(FieldError::invalid(at, words, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if words == ".metadata" || words.starts_with(".metadata.") {
            errors.push(FieldError::invalid(at.clone(), words, "must not point to fields in metadata"));
        }
        if !matches!(found["type"].as_str(), Some("string" | "boolean" | "integer")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(at.clone(), words, detail));
        }
        if seen.contains(&words) {
            errors.push(FieldError::duplicate(at, words));
        } else {
            seen.push(words);
        }
    }
    if seen.len() > SELECTABLE {
        errors.push(FieldError::too_many(format!("{path}.selectableFields"), seen.len(), SELECTABLE));
    }
}

fn scale(scale: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !scale.is_object() {
        return;
    }
    for (field, roots, shown, needed) in [
        ("specReplicasPath", &[".spec."][..], ".spec", true),
        ("statusReplicasPath", &[".status."][..], ".status", true),
        ("labelSelectorPath", &[".spec.", ".status."][..], "either .spec or .status", false),
    ] {
        let at = format!("{path}.{field}");
        match scale[field].as_str().unwrap_or_default() {
            "" if needed => errors.push(FieldError::required(at, "")),
            "" => {}
            words => {
                if let Some(error) = simple(words, &at) {
                    errors.push(error);
                } else if !roots.iter().any(|root| words.starts_with(root)) {
                    errors.push(FieldError::invalid(at, words, format!("should be a json path under {shown}")));
                }
            }
        }
    }
}
