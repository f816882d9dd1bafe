//! What containers, pods and classes of runtimes ask for and may use (core `validateResourceRequirements`).

use serde_json::Value;

use super::internal_form::internal;
use super::quota::{COMPUTE, amount, is_native, quantity, resource_name};
use super::{invalid, list, text};
use crate::field::FieldError;
use crate::quantity::Amount;
use crate::quota::stated;

const HUGE: &str = "hugepages-";

/// A resource that containers can have.
pub(super) fn container_resource_name(path: &str, name: &str) -> Vec<FieldError> {
    let errors = resource_name(path, name);
    if errors.is_empty() && !name.contains('/') && !COMPUTE.contains(&name) && !name.starts_with(HUGE) {
        return vec![FieldError::invalid(path, name, "must be a standard resource for containers")];
    }
    // A resource of somebody's own has a name that quotas can limit.
    if errors.is_empty() && name.contains('/') && !is_native(name) {
        let complaints = crate::names::qualified_name(&format!("requests.{name}"));
        if name.starts_with("requests.") || !complaints.is_empty() {
            return vec![FieldError::invalid(path, name, "doesn't follow extended resource name standard")];
        }
    }
    errors
}

/// A resource that pods can have as a whole.
fn pod_resource_name(path: &str, name: &str) -> Vec<FieldError> {
    let errors = resource_name(path, name);
    if errors.is_empty() && !matches!(name, "cpu" | "memory") && !name.starts_with(HUGE) {
        return vec![FieldError::not_supported(path, name, &["cpu", HUGE, "memory"])];
    }
    errors
}

/// What a container asks for and may use. `claims`: names of the pod's claims of devices.
pub(super) fn container_resources(path: &str, resources: &Value, claims: &[&str]) -> Vec<FieldError> {
    requirements(path, resources, container_resource_name, claims)
}

/// What running a pod at all costs.
pub(super) fn overhead(path: &str, overhead: &Value) -> Vec<FieldError> {
    let limits = serde_json::json!({ "limits": overhead });
    requirements(path, &limits, container_resource_name, &[])
}

/// What a pod asks for as a whole: not less than its containers together, and none of them may use more.
pub(super) fn pod_resources(path: &str, spec: &Value) -> Vec<FieldError> {
    let resources = &spec["resources"];
    if !resources.is_object() {
        return Vec::new();
    }
    let at = format!("{path}.resources");
    if spec["os"]["name"] == "windows" {
        return vec![FieldError::forbidden(at, "may not be set for a windows pod")];
    }
    let mut errors = Vec::new();
    if resources["claims"].is_array() {
        let words = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(format!("{at}.claims"), words));
    }
    errors.extend(requirements(&at, resources, pod_resource_name, &[]));
    let pod =
        serde_json::json!({ "spec": { "containers": spec["containers"], "initContainers": spec["initContainers"] } });
    for (field, word) in [("requests", "requests"), ("limits", "limits")] {
        for (name, sum) in stated(&pod, field) {
            let Some(own) = resources[field].get(&name) else { continue };
            if (field == "requests" || name.starts_with(HUGE)) && sum > amount(own) {
                let words = format!("must be greater than or equal to aggregate container {word} of {sum}");
                let shown = amount(own).to_string();
                errors.push(FieldError::invalid(format!("{at}.{field}[{name}]"), shown, words));
            }
        }
    }
    for (i, container) in list(spec, "containers").iter().enumerate() {
        for (name, limit) in container["resources"]["limits"].as_object().into_iter().flatten() {
            let Some(most) = resources["limits"].get(name).map(amount) else { continue };
            if amount(limit) > most {
                let words = format!("must be less than or equal to pod limits of {most}");
                let shown = amount(limit).to_string();
                errors.push(FieldError::invalid(format!("{at}.containers[{i}][{name}].limits"), shown, words));
            }
        }
    }
    errors
}

/// Known names, no negative amounts, requests within limits; what cannot be promised twice is asked for as limited.
fn requirements(
    path: &str,
    resources: &Value,
    rule: fn(&str, &str) -> Vec<FieldError>,
    claims: &[&str],
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mut huge, mut plain) = (false, false);
    let limits = &resources["limits"];
    for field in ["limits", "requests"] {
        for (name, value) in resources[field].as_object().into_iter().flatten() {
            let at = format!("{path}.{field}[{name}]");
            errors.extend(rule(&at, name));
            errors.extend(quantity(&at, name, value));
            let shown = amount(value);
            if field == "requests" {
                let overcommit = is_native(name) && !name.starts_with(HUGE);
                let wrong = |kind: &str, limit: Amount| {
                    let words = format!("must be {kind} to {name} limit of {limit}");
                    FieldError::invalid(format!("{path}.requests"), shown.to_string(), words)
                };
                match limits.get(name).map(amount) {
                    Some(limit) if shown != limit && !overcommit => errors.push(wrong("equal", limit)),
                    Some(limit) if shown > limit => errors.push(wrong("less than or equal", limit)),
                    None if !overcommit => {
                        let words = "Limit must be set for non overcommitable resources";
                        errors.push(FieldError::required(format!("{path}.limits"), words));
                    }
                    _ => {}
                }
            }
            if let Some(size) = name.strip_prefix(HUGE) {
                huge = true;
                if !is_multiple(shown, size) {
                    let words = format!("{shown} is not positive integer multiple of {name}");
                    errors.push(FieldError::invalid(at, shown.to_string(), words));
                }
            }
            plain |= matches!(name.as_str(), "cpu" | "memory");
        }
    }
    if huge && !plain {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    errors.extend(claimed(&format!("{path}.claims"), list(resources, "claims"), claims));
    errors
}

fn is_multiple(found: Amount, size: &str) -> bool {
    match Amount::parse(size) {
        Ok(size) if size.sign() > 0 && size.is_whole() => found.in_parts(1) % size.in_parts(1) == 0,
        _ => false,
    }
}

/// Claims of devices that a container names: each once, and one of the pod's.
fn claimed(path: &str, named: &[Value], known: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (i, claim) in named.iter().enumerate() {
        let (at, name) = (format!("{path}[{i}]"), text(claim, "name"));
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let whole = match text(claim, "request") {
            "" => name.to_owned(),
            request => format!("{name}/{request}"),
        };
        let of_this = |other: &&String| other.split_once('/').is_some_and(|(claim, _)| claim == name);
        if seen.iter().any(|other| other == name) {
            errors.push(FieldError::duplicate(&at, name));
        } else if text(claim, "request").is_empty() {
            // The claim as a whole holds each request of it that was named before.
            errors.extend(seen.iter().filter(of_this).map(|_| FieldError::duplicate(&at, name)));
            seen.push(whole);
        } else {
            let request = text(claim, "request");
            errors.extend(invalid(&format!("{at}.request"), request, crate::names::label(request)));
            if seen.contains(&whole) {
                errors.push(FieldError::duplicate(&at, whole.clone()));
            }
            seen.push(whole);
        }
        if !known.contains(&name) {
            let mut error = FieldError::not_found(at, name);
            let mut all = known.to_vec();
            all.sort_unstable();
            error.detail = match known {
                [] => "must be one of the names in pod.spec.resourceClaims which is empty".to_owned(),
                _ => format!("must be one of the names in pod.spec.resourceClaims: {}", all.join(", ")),
            };
            errors.push(error);
        }
    }
    errors
}

/// The claims of devices that a pod names (`spec.resourceClaims`).
pub(super) fn pod_claims(path: &str, claims: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, claim) in claims.iter().enumerate() {
        let (at, name) = (format!("{path}[{i}]"), text(claim, "name"));
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else if claims[..i].iter().any(|other| other["name"] == name) {
            errors.push(FieldError::duplicate(format!("{at}.name"), name));
        } else {
            errors.extend(invalid(&format!("{at}.name"), name, crate::names::label(name)));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        match sources.iter().filter(|field| claim[**field].is_string()).count() {
            0 => {
                let words = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.push(FieldError::invalid(&at, internal("core.v1.PodResourceClaim", claim), words));
            }
            2 => {
                let words = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.push(FieldError::invalid(&at, internal("core.v1.PodResourceClaim", claim), words));
            }
            _ => {}
        }
        for field in sources {
            if let Some(name) = claim[field].as_str() {
                errors.extend(invalid(&format!("{at}.{field}"), name, crate::names::subdomain(name)));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(resources: Value) -> Vec<String> {
        container_resources("r", &resources, &["b", "a"]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_be_promised_twice_is_asked_for_as_limited() {
        let gpu = |requests: Value, limits: Value| said(json!({"requests": requests, "limits": limits}));
        assert_eq!(gpu(json!({"example.com/gpu": "1"}), json!({"example.com/gpu": "1"})), [""; 0]);
        assert_eq!(
            gpu(json!({"example.com/gpu": "1"}), json!({"example.com/gpu": "2"})),
            ["r.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2"]
        );
        assert_eq!(
            gpu(json!({"example.com/gpu": "1"}), json!({})),
            ["r.limits: Required value: Limit must be set for non overcommitable resources"]
        );
        assert_eq!(
            gpu(json!({}), json!({"example.com/gpu": "500m"})),
            ["r.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer"]
        );
        assert_eq!(
            gpu(json!({"cpu": "2"}), json!({"cpu": "1"})),
            ["r.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"]
        );
        assert_eq!(
            gpu(json!({}), json!({"requests.example.com/gpu": "1"})),
            [
                "r.limits[requests.example.com/gpu]: Invalid value: \"requests.example.com/gpu\": doesn't follow extended resource name standard"
            ]
        );
    }

    #[test]
    fn huge_pages_come_whole_and_with_something_else() {
        let huge = |amount: &str, cpu: bool| {
            let mut limits = json!({ "hugepages-2Mi": amount });
            if cpu {
                limits["cpu"] = "1".into();
            }
            said(json!({ "limits": limits }))
        };
        assert_eq!(huge("4Mi", true), [""; 0]);
        assert_eq!(huge("4Mi", false), ["r: Forbidden: HugePages require cpu or memory"]);
        assert_eq!(
            huge("3Mi", true),
            ["r.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi"]
        );
    }

    #[test]
    fn containers_name_claims_of_their_pod_once() {
        let claims = |claims: Value| said(json!({ "claims": claims }));
        assert_eq!(
            claims(json!([{"name": "a", "request": "x"}, {"name": "a", "request": "y"}, {"name": "b"}])),
            [""; 0]
        );
        assert_eq!(
            claims(json!([{"name": "a", "request": "x"}, {"name": "a"}])),
            ["r.claims[1]: Duplicate value: \"a\""]
        );
        assert_eq!(
            claims(json!([{"name": "c"}])),
            ["r.claims[0]: Not found: \"c\": must be one of the names in pod.spec.resourceClaims: a, b"]
        );
        let own = |claim: Value| -> Vec<String> { pod_claims("c", &[claim]).iter().map(ToString::to_string).collect() };
        assert_eq!(own(json!({"name": "a", "resourceClaimName": "x"})), [""; 0]);
        assert_eq!(
            own(json!({"name": "a"})),
            [
                "c[0]: Invalid value: {\"Name\":\"a\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            ]
        );
    }

    #[test]
    fn a_pod_asks_for_no_less_than_its_containers() {
        let said = |resources: Value| -> Vec<String> {
            let containers = json!([{"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}}, {"resources": {"requests": {"cpu": "1"}}}]);
            let spec = json!({"resources": resources, "containers": containers});
            pod_resources("spec", &spec).iter().map(ToString::to_string).collect()
        };
        assert_eq!(said(json!({"requests": {"cpu": "2"}, "limits": {"cpu": "3"}})), [""; 0]);
        assert_eq!(
            said(json!({"requests": {"cpu": "1500m"}, "limits": {"cpu": "2"}})),
            [
                "spec.resources.requests[cpu]: Invalid value: \"1500m\": must be greater than or equal to aggregate container requests of 2",
                "spec.resources.containers[0][cpu].limits: Invalid value: \"3\": must be less than or equal to pod limits of 2"
            ]
        );
        assert_eq!(
            said(json!({"limits": {"ephemeral-storage": "1"}})),
            [
                "spec.resources.limits[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", \"memory\""
            ]
        );
    }
}
