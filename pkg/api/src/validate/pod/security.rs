//! Rules of security contexts: names of sysctls, user and group numbers, what excludes what.

use serde_json::Value;

use crate::field::FieldError;
use crate::validate::{list, text};

/// The errors of the pod's security context and its containers'.
pub(super) fn pod(path: &str, spec: &Value) -> Vec<FieldError> {
    let context = &spec["securityContext"];
    let at = format!("{path}.securityContext");
    let mut errors = sysctls(&format!("{at}.sysctls"), list(context, "sysctls"));
    errors.extend(numbers(&at, context, &["runAsUser", "runAsGroup", "fsGroup"]));
    for (i, group) in list(context, "supplementalGroups").iter().enumerate() {
        errors.extend(number(&format!("{at}.supplementalGroups[{i}]"), group));
    }
    errors.extend(seccomp(&format!("{at}.seccompProfile"), &context["seccompProfile"]));
    let (share, host) = (spec["shareProcessNamespace"] == true, spec["hostPID"] == true);
    if share && host {
        let words = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(format!("{path}.shareProcessNamespace"), true, words));
    }
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        for (i, container) in list(spec, field).iter().enumerate() {
            errors.extend(of_container(&format!("{path}.{field}[{i}].securityContext"), &container["securityContext"]));
        }
    }
    errors
}

fn of_container(at: &str, context: &Value) -> Vec<FieldError> {
    let mut errors = numbers(at, context, &["runAsUser", "runAsGroup"]);
    errors.extend(seccomp(&format!("{at}.seccompProfile"), &context["seccompProfile"]));
    if context["allowPrivilegeEscalation"] == false {
        if context["privileged"] == true {
            let words = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(at, context.clone(), words));
        }
        if list(&context["capabilities"], "add").iter().any(|name| name == "CAP_SYS_ADMIN") {
            let words = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(at, context.clone(), words));
        }
    }
    errors
}

fn numbers(at: &str, context: &Value, fields: &[&str]) -> Vec<FieldError> {
    fields.iter().flat_map(|field| number(&format!("{at}.{field}"), &context[*field])).collect()
}

/// A user or group number (apimachinery `IsValidUserID`).
fn number(at: &str, value: &Value) -> Option<FieldError> {
    let number = value.as_i64()?;
    let words = format!("must be between 0 and {}, inclusive", i32::MAX);
    (!(0..=i64::from(i32::MAX)).contains(&number)).then(|| FieldError::invalid(at, number, words))
}

fn seccomp(at: &str, profile: &Value) -> Vec<FieldError> {
    if !profile.is_object() {
        return Vec::new();
    }
    let file = text(profile, "localhostProfile");
    match text(profile, "type") {
        "Localhost" if file.is_empty() => {
            let words = "must be set when seccomp type is Localhost ";
            vec![FieldError::required(format!("{at}.localhostProfile"), words)]
        }
        "Localhost" => Vec::new(),
        "RuntimeDefault" | "Unconfined" if !file.is_empty() => {
            let words = "can only be set when seccomp type is Localhost";
            vec![FieldError::invalid(format!("{at}.localhostProfile"), profile.clone(), words)]
        }
        "RuntimeDefault" | "Unconfined" => Vec::new(),
        "" => vec![FieldError::required(format!("{at}.type"), "type is required when seccompProfile is set")],
        other => {
            vec![FieldError::not_supported(format!("{at}.type"), other, &["Localhost", "RuntimeDefault", "Unconfined"])]
        }
    }
}

fn sysctls(path: &str, sysctls: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (i, sysctl) in sysctls.iter().enumerate() {
        let at = format!("{path}[{i}].name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !is_sysctl(name) {
            let words = "must have at most 253 characters and match regex \
                         ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(at, name, words));
        } else if seen.contains(&name.replace('/', ".")) {
            errors.push(FieldError::duplicate(at, name));
        }
        seen.push(name.replace('/', "."));
    }
    errors
}

/// Parts of lower-case letters and digits, with dashes and underscores inside, joined by dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(inner) && part.ends_with(inner) && part.chars().all(|c| inner(c) || matches!(c, '-' | '_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(spec: Value) -> Vec<String> {
        pod("spec", &spec).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn should_reject_invalid_sysctls() {
        let named: Vec<Value> = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar..", "net/ipv4/x"]
            .iter()
            .map(|name| json!({"name": name, "value": "1"}))
            .collect();
        let all = words(json!({"securityContext": {"sysctls": named}}));
        assert_eq!(all.len(), 2, "{all:#?}");
        assert!(all[0].contains("Invalid value: \"foo-\"") && all[1].contains("Invalid value: \"bar..\""), "{all:#?}");
        let twice = json!([{"name": "a.b", "value": "1"}, {"name": "a/b", "value": "2"}]);
        assert!(words(json!({"securityContext": {"sysctls": twice}}))[0].contains("Duplicate value"));
    }

    #[test]
    fn numbers_profiles_and_contradictions() {
        assert!(words(json!({"securityContext": {"runAsUser": -1}}))[0].contains("must be between 0 and 2147483647"));
        let profile = |value: Value| words(json!({"securityContext": {"seccompProfile": value}}));
        assert!(profile(json!({"type": "RuntimeDefault"})).is_empty());
        assert!(profile(json!({"type": "Localhost"}))[0].contains("localhostProfile: Required value"));
        assert!(profile(json!({"type": "Other"}))[0].contains("Unsupported value: \"Other\""));
        assert!(words(json!({"shareProcessNamespace": true, "hostPID": true}))[0].contains("cannot both be enabled"));
        let both = json!({"allowPrivilegeEscalation": false, "privileged": true});
        assert!(words(json!({"containers": [{"securityContext": both}]}))[0].contains("`privileged` to true"));
    }
}
