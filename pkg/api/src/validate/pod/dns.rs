//! Rules of how a pod finds names (`validateDNSPolicy`, `validatePodDNSConfig`).

use serde_json::Value;

use crate::field::FieldError;
use crate::names;
use crate::validate::{invalid, list, text};

/// Where the pod's resolvers come from.
pub(super) fn policy(path: &str, spec: &Value) -> Vec<FieldError> {
    const POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    let mut errors = Vec::new();
    let policy = text(spec, "dnsPolicy");
    if policy.is_empty() {
        errors.push(FieldError::required(format!("{path}.dnsPolicy"), ""));
    } else if !POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(format!("{path}.dnsPolicy"), policy, POLICIES));
    }
    errors
}

/// Resolvers, domains and options of the pod's own.
pub(super) fn config(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let policy = text(spec, "dnsPolicy");
    let config = &spec["dnsConfig"];
    let servers = list(config, "nameservers");
    if policy == "None" {
        if !config.is_object() {
            let words = "must provide `dnsConfig` when `dnsPolicy` is None";
            return vec![FieldError::required(format!("{path}.dnsConfig"), words)];
        }
        if servers.is_empty() {
            let words = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return vec![FieldError::required(format!("{path}.dnsConfig.nameservers"), words)];
        }
    }
    if servers.len() > 3 {
        let words = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(
            format!("{path}.dnsConfig.nameservers"),
            Value::Array(servers.to_vec()),
            words,
        ));
    }
    for (i, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or("");
        errors.extend(invalid(&format!("{path}.dnsConfig.nameservers[{i}]"), server, names::ip(server)));
    }
    let searches = list(config, "searches");
    if searches.len() > 32 {
        let words = "must not have more than 32 search paths";
        let value = Value::Array(searches.to_vec());
        errors.push(FieldError::invalid(format!("{path}.dnsConfig.searches"), value, words));
    }
    let joined: usize = searches.iter().map(|search| search.as_str().unwrap_or("").len() + 1).sum();
    if joined > 2048 + 1 {
        let words = "must not have more than 2048 characters (including spaces) in the search list";
        let value = Value::Array(searches.to_vec());
        errors.push(FieldError::invalid(format!("{path}.dnsConfig.searches"), value, words));
    }
    for (i, search) in searches.iter().enumerate() {
        let search = search.as_str().unwrap_or("");
        let bare = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            let complaints = names::subdomain_with_underscores(bare);
            errors.extend(invalid(&format!("{path}.dnsConfig.searches[{i}]"), bare, complaints));
        }
    }
    for (i, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(format!("{path}.dnsConfig.options[{i}]"), "must not be empty"));
        }
    }
    errors
}
