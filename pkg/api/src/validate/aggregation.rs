//! Rules of API services (kube-aggregator `apis/apiregistration/validation`).

use base64::Engine as _;
use serde_json::Value;

use super::{invalid, list, number, text};
use crate::field::FieldError;
use crate::names;

/// APIService.
pub fn api_service(new: &Value) -> Vec<FieldError> {
    let spec = &new["spec"];
    let (group, version, own_name) = (text(spec, "group"), text(spec, "version"), text(&new["metadata"], "name"));
    let wanted = format!("{version}.{group}");
    let mut errors = Vec::new();
    // Other faults of the name are found with the metadata.
    if own_name != wanted && names::path_segment(own_name, false).is_empty() && !own_name.is_empty() {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.push(FieldError::invalid("metadata.name", own_name, detail));
    }
    if group.is_empty() {
        if version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.push(FieldError::required("spec.group", detail));
        }
    } else {
        errors.extend(invalid("spec.group", group, names::subdomain(group)));
    }
    errors.extend(invalid("spec.version", version, names::label_1035(version)));
    for (field, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let priority = number(spec, field);
        if priority <= 0 || priority > most {
            let detail = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(format!("spec.{field}"), priority, detail));
        }
    }
    let bundle = text(spec, "caBundle");
    let insecure = spec["insecureSkipTLSVerify"] == true;
    if spec["service"].is_null() {
        if !bundle.is_empty() {
            let bytes = base64::engine::general_purpose::STANDARD.decode(bundle).map_or(0, |bytes| bytes.len());
            let detail = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid("spec.caBundle", format!("{bytes} bytes"), detail));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid("spec.insecureSkipTLSVerify", true, detail));
        }
    } else {
        errors.extend(service(&spec["service"]));
        if insecure && !bundle.is_empty() {
            let detail = "may not be true if caBundle is present";
            errors.push(FieldError::invalid("spec.insecureSkipTLSVerify", true, detail));
        }
    }
    for (i, condition) in list(&new["status"], "conditions").iter().enumerate() {
        let status = text(condition, "status");
        if !matches!(status, "True" | "False" | "Unknown") {
            let path = format!("status.conditions[{i}].status");
            errors.push(FieldError::not_supported(path, status, &["False", "True", "Unknown"]));
        }
    }
    errors
}

fn service(service: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["namespace", "name"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(format!("spec.service.{field}"), ""));
        }
    }
    let port = number(service, "port");
    let complaints = names::port_number(port);
    if !complaints.is_empty() {
        let detail = format!("port is not valid: {}", complaints.join(", "));
        errors.push(FieldError::invalid("spec.service.port", port, detail));
    }
    errors
}
