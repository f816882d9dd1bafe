//! Rules of LimitRanges (core `validation.go`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::quota::{amount, is_native, resource_name};
use super::resources::container_resource_name;
use super::{invalid, list, text};
use crate::field::FieldError;
use crate::names;
use crate::quantity::Amount;

const FIELDS: &[&str] = &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

/// A LimitRange.
pub fn limit_range(new: &Value) -> Vec<FieldError> {
    let limits = list(&new["spec"], "limits");
    let mut errors = Vec::new();
    for (i, limit) in limits.iter().enumerate() {
        let path = format!("spec.limits[{i}]");
        let kind = text(limit, "type");
        let at = format!("{path}.type");
        let complaints = names::qualified_name(kind);
        let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
        if complaints.is_empty() && !standard && !kind.contains('/') {
            errors.push(FieldError::invalid(&at, kind, "must be a standard limit type or fully qualified"));
        }
        errors.extend(invalid(&at, kind, complaints));
        if limits[..i].iter().any(|other| other["type"] == kind) {
            errors.push(FieldError::duplicate(at, kind));
        }
        errors.extend(one(&path, kind, limit));
    }
    errors
}

fn one(path: &str, kind: &str, limit: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut resources = BTreeSet::new();
    for field in FIELDS {
        let values = limit[*field].as_object().filter(|values| !values.is_empty());
        if kind == "Pod" && matches!(*field, "default" | "defaultRequest") {
            if values.is_some() {
                let words = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(format!("{path}.{field}"), words));
            }
            continue;
        }
        for name in values.into_iter().flat_map(serde_json::Map::keys) {
            let at = format!("{path}.{field}[{name}]");
            errors.extend(match kind {
                "Pod" | "Container" => container_resource_name(&at, name),
                _ => resource_name(&at, name),
            });
            resources.insert(name.as_str());
        }
    }
    if kind == "PersistentVolumeClaim" && limit["min"]["storage"].is_null() && limit["max"]["storage"].is_null() {
        let words = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(format!("{path}.limits"), words));
    }
    for name in resources {
        errors.extend(consistent(path, name, limit));
    }
    errors
}

/// Minimum, defaults and maximum in this order, and a ratio that they leave room for.
fn consistent(path: &str, name: &str, limit: &Value) -> Vec<FieldError> {
    let of = |field: &str| limit[field].get(name).map(amount);
    let mut errors = Vec::new();
    // (smaller, its words, larger, its words, field complained about, which of the two is shown)
    let order = [
        ("min", "min", "max", "max", "min", true),
        ("min", "min", "defaultRequest", "default request", "defaultRequest", false),
        ("defaultRequest", "default request", "max", "max", "defaultRequest", true),
        ("defaultRequest", "default request", "default", "default limit", "defaultRequest", true),
        ("min", "min", "default", "default", "default", true),
        ("default", "default", "max", "max", "default", false),
    ];
    for (small, small_words, large, large_words, field, first) in order {
        if let (Some(less), Some(more)) = (of(small), of(large))
            && less > more
        {
            let shown = if first { less } else { more };
            let words = format!("{small_words} value {less} is greater than {large_words} value {more}");
            errors.push(FieldError::invalid(format!("{path}.{field}[{name}]"), shown.to_string(), words));
        }
    }
    // What cannot be promised twice is asked for as it is limited.
    let overcommit = is_native(name) && !name.starts_with("hugepages-");
    if let (Some(default), Some(request)) = (of("default"), of("defaultRequest"))
        && !overcommit
        && default != request
    {
        let words = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        errors.push(FieldError::invalid(format!("{path}.defaultRequest[{name}]"), request.to_string(), words));
    }
    if let Some(ratio) = of("maxLimitRequestRatio") {
        let at = format!("{path}.maxLimitRequestRatio[{name}]");
        if ratio < Amount::whole(1) {
            errors.push(FieldError::invalid(&at, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
        if let (Some(min), Some(max)) = (of("min"), of("max"))
            && ratio.as_f64() > max.as_f64() / min.as_f64()
        {
            let words = format!("ratio {ratio} is greater than max/min = {:.6}", max.as_f64() / min.as_f64());
            errors.push(FieldError::invalid(at, ratio.to_string(), words));
        }
    }
    errors
}
