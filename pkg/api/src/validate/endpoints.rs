//! Rules of Endpoints and EndpointSlices.

use std::net::IpAddr;

use serde_json::Value;

use super::{endpoint_ip, immutable, invalid, list, number, port_number, protocol, text};
use crate::field::FieldError;
use crate::names;

const MAX_PORTS: usize = 20_000;
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_HINTS: usize = 8;

/// Endpoints.
pub fn endpoints(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // What older rules let pass may stay as it is.
    if old.is_some_and(|old| old["subsets"] == new["subsets"]) {
        return errors;
    }
    for (i, subset) in list(new, "subsets").iter().enumerate() {
        let path = format!("subsets[{i}]");
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for field in ["addresses", "notReadyAddresses"] {
            for (j, address) in list(subset, field).iter().enumerate() {
                errors.extend(endpoint_address(&format!("{path}.{field}[{j}]"), address));
            }
        }
        let ports = list(subset, "ports");
        for (j, port) in ports.iter().enumerate() {
            let path = format!("{path}.ports[{j}]");
            let name = text(port, "name");
            if name.is_empty() && ports.len() > 1 {
                errors.push(FieldError::required(format!("{path}.name"), ""));
            } else if !name.is_empty() {
                errors.extend(invalid(&format!("{path}.name"), name, names::label(name)));
            }
            errors.extend(port_number(&format!("{path}.port"), number(port, "port")));
            errors.extend(protocol(&format!("{path}.protocol"), text(port, "protocol")));
            errors.extend(app_protocol(&path, port));
        }
    }
    errors
}

fn endpoint_address(path: &str, address: &Value) -> Vec<FieldError> {
    let mut errors = endpoint_ip(&format!("{path}.ip"), text(address, "ip"));
    let host = text(address, "hostname");
    if !host.is_empty() {
        errors.extend(invalid(&format!("{path}.hostname"), host, names::label(host)));
    }
    if let Some(node) = address["nodeName"].as_str() {
        errors.extend(invalid(&format!("{path}.nodeName"), node, names::subdomain(node)));
    }
    errors
}

fn app_protocol(path: &str, port: &Value) -> Vec<FieldError> {
    port["appProtocol"]
        .as_str()
        .map(|app| invalid(&format!("{path}.appProtocol"), app, names::qualified_name(app)))
        .unwrap_or_default()
}

/// An EndpointSlice.
pub fn endpoint_slice(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
    let mut errors = Vec::new();
    match text(new, "addressType") {
        "" => errors.push(FieldError::required("addressType", "")),
        known if TYPES.contains(&known) => {}
        other => errors.push(FieldError::not_supported("addressType", other, TYPES)),
    }
    errors.extend(slice_ports(list(new, "ports")));
    errors.extend(slice_endpoints(new));
    if let Some(old) = old {
        errors.extend(immutable(&new["addressType"], &old["addressType"], "addressType"));
    }
    errors
}

fn slice_ports(ports: &[Value]) -> Vec<FieldError> {
    if ports.len() > MAX_PORTS {
        return vec![FieldError::too_many("ports", ports.len(), MAX_PORTS)];
    }
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let path = format!("ports[{i}]");
        let name = text(port, "name");
        if !name.is_empty() {
            errors.extend(invalid(&format!("{path}.name"), name, names::label(name)));
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        seen.push(name);
        errors.extend(protocol(&format!("{path}.protocol"), text(port, "protocol")));
        errors.extend(app_protocol(&path, port));
    }
    errors
}

fn slice_endpoints(slice: &Value) -> Vec<FieldError> {
    let endpoints = list(slice, "endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![FieldError::too_many("endpoints", endpoints.len(), MAX_ENDPOINTS)];
    }
    let mut errors = Vec::new();
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = format!("endpoints[{i}]");
        let addresses = list(endpoint, "addresses");
        if addresses.is_empty() {
            errors.push(FieldError::required(format!("{path}.addresses"), "must contain at least 1 address"));
        } else if addresses.len() > MAX_ADDRESSES {
            errors.push(FieldError::too_many(format!("{path}.addresses"), addresses.len(), MAX_ADDRESSES));
        }
        for (j, address) in addresses.iter().enumerate() {
            let address = address.as_str().unwrap_or("");
            errors.extend(slice_address(text(slice, "addressType"), &path, j, address));
        }
        if let Some(node) = endpoint["nodeName"].as_str() {
            errors.extend(invalid(&format!("{path}.nodeName"), node, names::subdomain(node)));
        }
        if let Some(host) = endpoint["hostname"].as_str() {
            errors.extend(invalid(&format!("{path}.hostname"), host, names::label(host)));
        }
        for hint in ["forZones", "forNodes"] {
            errors.extend(hints(&format!("{path}.hints.{hint}"), list(&endpoint["hints"], hint)));
        }
    }
    errors
}

fn slice_address(kind: &str, path: &str, index: usize, address: &str) -> Vec<FieldError> {
    let own = format!("{path}.addresses[{index}]");
    match (kind, names::parse_ip(address)) {
        ("FQDN", _) => {
            let name = address.strip_suffix('.').unwrap_or(address);
            let mut errors = invalid(&own, address, names::subdomain(name));
            if errors.is_empty() && !name.contains('.') {
                errors.push(FieldError::invalid(
                    &own,
                    address,
                    "should be a domain with at least two segments separated by dots",
                ));
            }
            errors
        }
        ("IPv4", Some(IpAddr::V6(_))) => {
            vec![FieldError::invalid(format!("{path}.addresses"), address, "must be an IPv4 address")]
        }
        ("IPv6", Some(IpAddr::V4(_))) => {
            vec![FieldError::invalid(format!("{path}.addresses"), address, "must be an IPv6 address")]
        }
        ("IPv4" | "IPv6", _) => endpoint_ip(&own, address),
        _ => Vec::new(),
    }
}

fn hints(path: &str, hints: &[Value]) -> Vec<FieldError> {
    if hints.len() > MAX_HINTS {
        return vec![FieldError::too_many(path, hints.len(), MAX_HINTS)];
    }
    let mut errors = Vec::new();
    for (i, hint) in hints.iter().enumerate() {
        let name = text(hint, "name");
        let own = format!("{path}[{i}].name");
        if hints[..i].iter().any(|h| text(h, "name") == name) {
            errors.push(FieldError::duplicate(&own, name));
        }
        errors.extend(invalid(&own, name, names::label_value(name)));
    }
    errors
}
