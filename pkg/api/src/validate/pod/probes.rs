//! Rules of probes and of what containers do at their start and end (`validateProbe`, `validateLifecycle`,
//! `validateHandler`).

use serde_json::Value;

use crate::field::FieldError;
use crate::names;
use crate::validate::{list, non_negative, number, port_number, port_or_name, text};

/// A container's `livenessProbe`, `readinessProbe` or `startupProbe`, by the end of its path.
pub(super) fn probe(at: &str, probe: &Value, spec: &Value) -> Vec<FieldError> {
    if !probe.is_object() {
        return Vec::new();
    }
    let mut errors = handler(at, probe, &["exec", "httpGet", "tcpSocket", "grpc"], spec);
    for number in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        errors.extend(non_negative(probe, number, at));
    }
    let path = format!("{at}.terminationGracePeriodSeconds");
    let grace = probe["terminationGracePeriodSeconds"].as_i64();
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(&path, seconds, "must be greater than 0"));
    }
    let successes = number(probe, "successThreshold");
    match (at.ends_with("readinessProbe"), grace) {
        (true, Some(seconds)) => {
            errors.push(FieldError::invalid(path, seconds, "must not be set for readinessProbes"));
        }
        (false, _) if successes != 1 => {
            errors.push(FieldError::invalid(format!("{at}.successThreshold"), successes, "must be 1"));
        }
        _ => {}
    }
    errors
}

/// What a container does at its start and before its end.
pub(super) fn lifecycle(at: &str, lifecycle: &Value, spec: &Value) -> Vec<FieldError> {
    let hooks = ["postStart", "preStop"].into_iter().filter(|hook| lifecycle[*hook].is_object());
    let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
    hooks.flat_map(|hook| handler(&format!("{at}.{hook}"), &lifecycle[hook], &kinds, spec)).collect()
}

fn handler(path: &str, handler: &Value, kinds: &[&str], spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    for kind in kinds {
        let action = &handler[*kind];
        if !action.is_object() {
            continue;
        }
        let at = format!("{path}.{kind}");
        count += 1;
        if count > 1 {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" if list(action, "command").is_empty() => {
                errors.push(FieldError::required(format!("{at}.command"), ""));
            }
            "httpGet" => errors.extend(http_get(&at, action)),
            "tcpSocket" => errors.extend(port_or_name(&format!("{at}.port"), &action["port"])),
            "grpc" => errors.extend(port_number(&format!("{at}.port"), number(action, "port"))),
            "sleep" => {
                let (seconds, grace) = (number(action, "seconds"), spec["terminationGracePeriodSeconds"].as_i64());
                if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
                    let words = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.push(FieldError::invalid(at, seconds, words));
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    errors
}

fn http_get(at: &str, action: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text(action, "path").is_empty() {
        errors.push(FieldError::required(format!("{at}.path"), ""));
    }
    errors.extend(port_or_name(&format!("{at}.port"), &action["port"]));
    let scheme = text(action, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.push(FieldError::not_supported(format!("{at}.scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in list(action, "httpHeaders") {
        let name = text(header, "name");
        errors.extend(crate::validate::invalid(&format!("{at}.httpHeaders"), name, names::http_header(name)));
    }
    errors
}
