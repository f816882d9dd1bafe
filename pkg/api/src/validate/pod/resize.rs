//! Rules of `pods/resize` (core validation `ValidatePodResize`).

use serde_json::Value;

use super::pod;
use crate::field::FieldError;
use crate::validate::{list, text};

/// What is wrong with a pod whose containers have other resources than before.
pub fn resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["containers", "initContainers"] {
        errors.extend(order(&new["spec"], &old["spec"], field));
    }
    if !errors.is_empty() {
        return errors;
    }
    errors.extend(pod(new, None).into_iter().filter(|error| error.field != "spec.ephemeralContainers"));
    let class = crate::qos::class(&old["spec"]);
    if class != crate::qos::class(&new["spec"]) {
        let words = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid("spec", class, words));
    }
    errors.extend(whole(&old["spec"]["resources"], &new["spec"]["resources"]));
    for field in ["containers", "initContainers"] {
        let (before, after) = (list(&old["spec"], field), list(&new["spec"], field));
        for (i, (before, after)) in before.iter().zip(after).enumerate() {
            let at = format!("spec.{field}[{i}]");
            errors.extend(container(before, after, &at, field == "initContainers"));
        }
    }
    errors
}

/// Resources of the pod as a whole: cpu and memory change, nothing goes (KEP-5419).
fn whole(before: &Value, after: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for side in ["requests", "limits"] {
        if removed(&before[side], &after[side]) {
            let words = format!("pod-level resource {side} cannot be removed");
            errors.push(FieldError::forbidden(format!("spec.resources.{side}"), words));
        }
    }
    if !same_others(before, after) {
        errors.push(FieldError::forbidden("spec", "only cpu and memory resources are mutable at pod-level"));
    }
    errors
}

/// Whether something that was named no longer is.
fn removed(before: &Value, after: &Value) -> bool {
    before.as_object().into_iter().flatten().any(|(name, _)| after[name.as_str()].is_null())
}

/// Whether two resources agree but for cpu and memory.
fn same_others(before: &Value, after: &Value) -> bool {
    let others = |resources: &Value, side: &str| -> Vec<(String, Value)> {
        let list = resources[side].as_object().into_iter().flatten();
        let mut all: Vec<_> = list.filter(|(name, _)| !matches!(name.as_str(), "cpu" | "memory")).collect();
        all.sort_by_key(|(name, _)| (*name).clone());
        all.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    ["requests", "limits"].iter().all(|side| others(after, side) == others(before, side))
        && after["claims"] == before["claims"]
}

fn order(new: &Value, old: &Value, field: &str) -> Vec<FieldError> {
    let (before, after) = (list(old, field), list(new, field));
    if before.len() != after.len() {
        let words = format!("{field} may not be added or removed on resize");
        return vec![FieldError::forbidden(format!("spec.{field}"), words)];
    }
    let moved = before.iter().zip(after).enumerate().filter(|(_, (before, after))| before["name"] != after["name"]);
    let words = format!("{field} may not be renamed or reordered on resize");
    moved.map(|(i, _)| FieldError::forbidden(format!("spec.{field}[{i}].name"), words.clone())).collect()
}

fn container(before: &Value, after: &Value, at: &str, init: bool) -> Vec<FieldError> {
    if before == after {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let (old, new) = (&before["resources"], &after["resources"]);
    for (side, words) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        if removed(&old[side], &new[side]) {
            errors.push(FieldError::forbidden(format!("{at}.resources.{side}"), words));
        }
    }
    if !same_others(old, new) || before["resizePolicy"] != after["resizePolicy"] {
        let (path, words) = match init {
            true => (at, "only cpu and memory resources for init or sidecar containers are mutable"),
            false => ("spec", "only cpu and memory resources are mutable"),
        };
        errors.push(FieldError::forbidden(path, words));
    }
    let restarts = |policy: &Value| policy["restartPolicy"] == "RestartContainer";
    if init && text(before, "restartPolicy") != "Always" && list(after, "resizePolicy").iter().any(restarts) {
        let words = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
        errors.push(FieldError::forbidden(at, words));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(resources: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c1", "image": "x"}]}});
        pod["spec"]["containers"][0]["resources"] = resources;
        crate::defaults::pod(&mut pod, None);
        pod
    }

    fn said(new: Value, old: Value) -> Vec<String> {
        resize(&with(new), &with(old)).into_iter().map(|error| format!("{}: {}", error.field, error.body())).collect()
    }

    /// "Pod InPlace Resize Container": the words that its patches are refused with.
    #[test]
    fn cpu_and_memory_change_and_the_class_of_service_does_not() {
        let burstable = || json!({"requests": {"cpu": "10m"}});
        assert_eq!(said(json!({"requests": {"cpu": "20m"}, "limits": {"cpu": "40m"}}), burstable()), [""; 0]);
        let class = said(burstable(), json!({}));
        assert!(class[0].contains("Pod QOS Class may not change as a result of resizing"), "{class:?}");
        let removed = said(json!({"requests": {"memory": "1Mi"}}), burstable());
        assert_eq!(removed, ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]);
        let storage = said(json!({"requests": {"cpu": "10m", "ephemeral-storage": "1Mi"}}), burstable());
        assert_eq!(storage, ["spec: Forbidden: only cpu and memory resources are mutable"]);
    }

    #[test]
    fn a_pods_own_resources_and_its_init_containers_change_too() {
        let pod = |own: Value, init: Value| {
            let mut pod = with(json!({"requests": {"cpu": "1m"}}));
            pod["spec"]["resources"] = own;
            pod["spec"]["initContainers"] = json!([{"name": "i", "image": "x", "resources": init}]);
            crate::defaults::pod(&mut pod, None);
            pod
        };
        let asks = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let said = |new: &Value, old: &Value| -> Vec<String> {
            resize(new, old).into_iter().map(|error| format!("{}: {}", error.field, error.body())).collect()
        };
        let old = pod(asks("10m"), asks("1m"));
        assert_eq!(said(&pod(asks("20m"), asks("2m")), &old), [""; 0]);
        let gone = "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed";
        assert!(said(&pod(json!({}), asks("1m")), &old).contains(&gone.to_owned()));
        let mut wrong = pod(asks("10m"), asks("2m"));
        wrong["spec"]["initContainers"][0]["resizePolicy"] =
            json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
        assert!(said(&wrong, &old).iter().any(|why| why.ends_with("RestartContainer cannot be resized")));
    }

    #[test]
    fn containers_stay_as_they_are() {
        let (old, mut new) = (with(json!({})), with(json!({})));
        new["spec"]["containers"][0]["name"] = "c2".into();
        let errors = resize(&new, &old);
        assert_eq!(errors[0].field, "spec.containers[0].name");
    }
}
