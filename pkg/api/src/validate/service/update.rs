//! What an update of a Service may not change: the primary address and family, the class of its load balancer.

use serde_json::{Value, json};

use super::{is_headless, kind, needs_health_check_port};
use crate::field::FieldError;
use crate::validate::{list, text};

/// Complaints about an update from `old` to `new`.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let between = kind(new) != "ExternalName" && kind(old) != "ExternalName";
    if between && !(is_headless(new) && is_headless(old)) {
        errors.extend(update_cluster_ips(new, old));
    }
    if between && is_headless(new) == is_headless(old) && !is_headless(new) {
        let (before, after) = (list(&old["spec"], "ipFamilies"), list(&new["spec"], "ipFamilies"));
        if let (Some(b), Some(a)) = (before.first(), after.first())
            && a != b
        {
            errors.push(FieldError::invalid("spec.ipFamilies[0]", json!(after), "may not change once set"));
        }
    }
    if kind(new) == "LoadBalancer"
        && kind(old) == "LoadBalancer"
        && new["spec"]["loadBalancerClass"] != old["spec"]["loadBalancerClass"]
    {
        let value = new["spec"]["loadBalancerClass"].clone();
        errors.push(FieldError::invalid("spec.loadBalancerClass", value, "may not change once set"));
    }
    if needs_health_check_port(new)
        && needs_health_check_port(old)
        && new["spec"]["healthCheckNodePort"] != old["spec"]["healthCheckNodePort"]
    {
        errors.push(FieldError::forbidden("spec.healthCheckNodePort", "field is immutable"));
    }
    errors
}

fn update_cluster_ips(new: &Value, old: &Value) -> Vec<FieldError> {
    let (before, after) = (list(&old["spec"], "clusterIPs"), list(&new["spec"], "clusterIPs"));
    let error = |i: usize, words: &str| {
        let value = if after.is_empty() { Value::Null } else { json!(after) };
        FieldError::invalid(format!("spec.clusterIPs[{i}]"), value, words)
    };
    let mut errors = Vec::new();
    if !before.is_empty() && after.is_empty() {
        errors.push(error(0, "primary clusterIP can not be unset"));
    } else if before.len() == after.len() {
        for (i, _) in before.iter().zip(after).enumerate().filter(|(_, (b, a))| b != a) {
            errors.push(error(i, "may not change once set"));
        }
    } else if before.first().is_some_and(|b| after.first() != Some(b)) {
        errors.push(error(0, "may not change once set"));
    }
    if before.len() == 2 && after.len() == 1 && text(&new["spec"], "ipFamilyPolicy") != "SingleStack" {
        errors.push(FieldError::invalid(
            "spec.ipFamilyPolicy",
            new["spec"]["ipFamilyPolicy"].clone(),
            "must be set to 'SingleStack' when releasing the secondary clusterIP",
        ));
    }
    errors
}
