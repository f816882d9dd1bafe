//! Validation: what each kind's rules say is wrong with an object that was pruned and defaulted (upstream
//! `validation.go` of each group). Metadata is [`crate::meta::validate`]'s; what needs other objects or allocators is the
//! API server's and the store's. Binding a pod changes its spec and is not to be validated as an update.

mod aggregation;
mod certificates;
mod classes;
mod conditions;
mod devices;
mod endpoints;
mod flow;
mod internal_form;
mod job_policies;
mod job_status;
mod jobs;
mod limits;
mod line_diff;
mod migration;
mod networking;
mod objects;
mod pod;
mod quota;
mod rbac;
mod resources;
mod scaling;
mod schedule;
mod service;
mod stateful;
mod storage;
mod trust;
mod volumes;
mod workload;

pub use aggregation::api_service;
pub use certificates::certificate_signing_request;
pub use classes::{SYSTEM_PRIORITIES, ip_address, priority_class, runtime_class, service_cidr};
pub use devices::{device_class, device_taint_rule, resource_claim, resource_claim_template, resource_slice};
pub use endpoints::{endpoint_slice, endpoints};
pub use flow::{flow_schema, priority_level};
pub use jobs::{cron_job, job};
pub use limits::limit_range;
pub use migration::storage_version_migration;
pub use networking::{ingress, ingress_class, network_policy};
pub use objects::{config_map, event, lease, namespace, node, secret};
pub use pod::{ephemeral_containers, pod, resize};
pub use quota::resource_quota;
pub use rbac::{role, role_binding};
pub use scaling::{horizontal_pod_autoscaler, pod_disruption_budget};
use serde_json::Value;
pub use service::service;
pub use stateful::{controller_revision, pod_template_object, replication_controller, stateful_set};
pub use storage::{
    csi_driver, csi_node, csi_storage_capacity, storage_class, volume_attachment, volume_attributes_class,
};
pub use trust::{cluster_trust_bundle, pod_certificate_request};
pub use volumes::{persistent_volume, persistent_volume_claim};
pub use workload::{daemon_set, deployment, replica_set};

use crate::field::FieldError;
use crate::names;

/// Protocols of ports.
const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

/// A string field; empty when it is missing.
fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or("")
}

/// A number field; 0 when it is missing.
fn number(object: &Value, field: &str) -> i64 {
    object[field].as_i64().unwrap_or(0)
}

/// A list field; empty when it is missing.
fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

/// The complaints of a rule of names about a value, as invalid values.
fn invalid(path: &str, value: &str, complaints: Vec<String>) -> Vec<FieldError> {
    complaints.into_iter().map(|c| FieldError::invalid(path, value, c)).collect()
}

/// A number that must not be negative, where it is set.
fn non_negative(object: &Value, field: &str, path: &str) -> Vec<FieldError> {
    match object[field].as_i64() {
        Some(n) if n < 0 => {
            vec![FieldError::invalid(format!("{path}.{field}"), n, "must be greater than or equal to 0")]
        }
        _ => Vec::new(),
    }
}

/// A value that an update may not change.
fn immutable(new: &Value, old: &Value, path: &str) -> Vec<FieldError> {
    if new == old { Vec::new() } else { vec![FieldError::invalid(path, new.clone(), "field is immutable")] }
}

/// A port number.
fn port_number(path: &str, port: i64) -> Vec<FieldError> {
    names::port_number(port).into_iter().map(|c| FieldError::invalid(path, port, c)).collect()
}

/// A port by number or by name (`targetPort`, probes).
fn port_or_name(path: &str, port: &Value) -> Vec<FieldError> {
    match port {
        Value::String(name) => invalid(path, name, names::port_name(name)),
        other => port_number(path, other.as_i64().unwrap_or(0)),
    }
}

/// A protocol, which must be there.
fn protocol(path: &str, protocol: &str) -> Vec<FieldError> {
    match protocol {
        "" => vec![FieldError::required(path, "")],
        known if PROTOCOLS.contains(&known) => Vec::new(),
        other => vec![FieldError::not_supported(path, other, PROTOCOLS)],
    }
}

/// An address that endpoints and external IPs may have.
fn endpoint_ip(path: &str, address: &str) -> Vec<FieldError> {
    match names::parse_ip(address) {
        Some(ip) => invalid(path, address, names::non_special_ip(ip)),
        None => invalid(path, address, names::ip(address)),
    }
}

/// A domain and a path below it, such as `acme.io/foo` (apimachinery `IsDomainPrefixedPath`).
fn domain_path(path: &str, text: &str) -> Vec<FieldError> {
    match text.split_once('/') {
        _ if text.is_empty() => vec![FieldError::required(path, "")],
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            let mut errors = invalid(path, domain, names::subdomain(domain));
            let known = |c: u8| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c);
            if !rest.bytes().all(known) {
                let words = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.push(FieldError::invalid(path, rest, words));
            }
            errors
        }
        _ => vec![FieldError::invalid(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")")],
    }
}

/// A CIDR whose address has no bits beyond the mask.
fn cidr(path: &str, text: &str) -> Vec<FieldError> {
    match text.parse::<ipnet::IpNet>() {
        Ok(net) if net.trunc() == net => Vec::new(),
        Ok(net) => vec![FieldError::invalid(path, text, format!("must be in canonical form (\"{}\")", net.trunc()))],
        Err(_) => {
            vec![FieldError::invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
        }
    }
}

/// A LabelSelector object at a path.
pub(crate) fn label_selector(path: &str, selector: &Value) -> Vec<FieldError> {
    let mut errors = crate::meta::labels(&format!("{path}.matchLabels"), &selector["matchLabels"]);
    for (i, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = list(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(format!("{path}.operator"), other, "not a valid selector operator"));
            }
        }
        let key = text(expression, "key");
        errors.extend(invalid(&format!("{path}.key"), key, names::qualified_name(key)));
        for (j, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            errors.extend(invalid(&format!("{path}.values[{j}]"), value, names::label_value(value)));
        }
    }
    errors
}

#[cfg(test)]
mod tests;
