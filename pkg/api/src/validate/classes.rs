//! Rules of PriorityClasses, RuntimeClasses, ServiceCIDRs and IPAddresses.

use std::net::IpAddr;

use serde_json::Value;

use super::internal_form::internal;
use super::pod::tolerates;
use super::{cidr, immutable, invalid, list, resources, text};
use crate::field::FieldError;
use crate::names;

/// The highest priority that users can give.
const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

/// The classes that the system brings, with their priorities.
pub const SYSTEM_PRIORITIES: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// A PriorityClass.
pub fn priority_class(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name, value) = (crate::meta::name(new), new["value"].as_i64().unwrap_or(0));
    if let Some(old) = old {
        if value != old["value"].as_i64().unwrap_or(0) {
            errors.push(FieldError::forbidden("value", "may not be changed in an update."));
        }
        errors.extend(immutable(&new["preemptionPolicy"], &old["preemptionPolicy"], "preemptionPolicy"));
        return errors;
    }
    if name.starts_with("system-") {
        let known = SYSTEM_PRIORITIES.iter().find(|(own, ..)| *own == name);
        let why = match known {
            None => format!("{name} is not a known system priority class"),
            Some((_, wanted, _)) if *wanted != value => format!("value of {name} PriorityClass must be {wanted}"),
            Some(_) if new["globalDefault"] == true => format!("globalDefault of {name} PriorityClass must be false"),
            Some(_) => String::new(),
        };
        if !why.is_empty() {
            let words =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            errors.push(FieldError::forbidden("metadata.name", words));
        }
    } else if value > HIGHEST_USER_PRIORITY {
        let words = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        errors.push(FieldError::forbidden("value", words));
    }
    let policy = text(new, "preemptionPolicy");
    if !matches!(policy, "PreemptLowerPriority" | "Never") {
        errors.push(FieldError::not_supported("preemptionPolicy", policy, &["PreemptLowerPriority", "Never"]));
    }
    errors
}

/// A RuntimeClass.
pub fn runtime_class(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let handler = text(new, "handler");
    if let Some(old) = old {
        return immutable(&new["handler"], &old["handler"], "handler");
    }
    let mut errors = if handler.is_empty() {
        vec![FieldError::required("handler", "")]
    } else {
        invalid("handler", handler, names::label(handler))
    };
    errors.extend(resources::overhead("overhead", &new["overhead"]["podFixed"]));
    errors.extend(crate::meta::labels("scheduling.nodeSelector", &new["scheduling"]["nodeSelector"]));
    let tolerations = list(&new["scheduling"], "tolerations");
    for (i, toleration) in tolerations.iter().enumerate() {
        errors.extend(tolerates(&format!("scheduling.tolerations[{i}]"), toleration));
        let key = |t: &Value| ["key", "operator", "value", "effect"].map(|field| text(t, field).to_owned());
        if tolerations[..i].iter().any(|other| key(other) == key(toleration)) {
            let shown = internal("core.v1.Toleration", toleration);
            errors.push(FieldError::duplicate(format!("scheduling.tolerations[{i}]"), shown));
        }
    }
    errors
}

/// A ServiceCIDR.
pub fn service_cidr(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let cidrs = list(&new["spec"], "cidrs");
    let path = "spec.cidrs";
    let Some(old) = old else { return ranges(&new["spec"]["cidrs"]) };
    let before = list(&old["spec"], "cidrs");
    let mut errors = Vec::new();
    if before.len() == cidrs.len() {
        for (i, (now, then)) in cidrs.iter().zip(before).enumerate() {
            errors.extend(immutable(now, then, &format!("{path}[{i}]")));
        }
    } else if before.len() == 1 && cidrs.len() == 2 {
        // A second family may join later.
        errors.extend(immutable(&cidrs[0], &before[0], &format!("{path}[0]")));
        errors.extend(ranges(&new["spec"]["cidrs"]));
    } else {
        errors.push(FieldError::invalid(path, new["spec"]["cidrs"].clone(), "field is immutable"));
    }
    errors
}

fn ranges(all: &Value) -> Vec<FieldError> {
    let path = "spec.cidrs";
    let texts: Vec<&str> = all.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if texts.is_empty() {
        return vec![FieldError::required(path, "at least one CIDR required")];
    }
    if texts.len() > 2 {
        return vec![FieldError::invalid(path, all.clone(), "may only hold up to 2 values")];
    }
    let mut errors = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        errors.extend(cidr(&format!("{path}[{i}]"), text));
    }
    let families: Vec<bool> = texts
        .iter()
        .filter_map(|text| text.parse::<ipnet::IpNet>().ok())
        .map(|net| matches!(net.addr(), IpAddr::V6(_)))
        .collect();
    if matches!(families.as_slice(), [a, b] if a == b) {
        let words = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(path, all.clone(), words));
    }
    errors
}

/// An IPAddress.
pub fn ip_address(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let parent = &new["spec"]["parentRef"];
    let path = "spec.parentRef";
    if let Some(old) = old {
        return immutable(parent, &old["spec"]["parentRef"], path);
    }
    if !parent.is_object() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    let group = text(parent, "group");
    if !group.is_empty() {
        errors.extend(invalid(&format!("{path}.group"), group, names::subdomain(group)));
    }
    for (field, required) in [("resource", true), ("name", true), ("namespace", false)] {
        let value = text(parent, field);
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(format!("{path}.{field}"), ""));
            }
        } else {
            errors.extend(invalid(&format!("{path}.{field}"), value, names::path_segment(value, false)));
        }
    }
    errors
}
