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
    for field in ["containers", "initContainers"] {
        let (before, after) = (list(&old["spec"], field), list(&new["spec"], field));
        for (i, (before, after)) in before.iter().zip(after).enumerate() {
            let at = format!("spec.{field}[{i}]");
            errors.extend(container(before, after, &at, field == "initContainers"));
        }
    }
    errors
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
    if init && text(before, "restartPolicy") != "Always" {
        return vec![FieldError::forbidden("spec", "resources for non-sidecar init containers are immutable")];
    }
    let mut errors = Vec::new();
    let mut munged = after["resources"].clone();
    for (side, words) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let (old, new) = (&before["resources"][side], &after["resources"][side]);
        if old.as_object().into_iter().flatten().any(|(name, _)| new[name.as_str()].is_null()) {
            errors.push(FieldError::forbidden(format!("{at}.resources.{side}"), words));
        }
        for name in ["cpu", "memory"] {
            if let Some(list) = munged.get_mut(side).and_then(Value::as_object_mut) {
                list.shift_remove(name);
            }
        }
    }
    let others = |resources: &Value, side: &str| -> Vec<(String, Value)> {
        let list = resources[side].as_object().into_iter().flatten();
        let mut all: Vec<_> = list.filter(|(name, _)| !matches!(name.as_str(), "cpu" | "memory")).collect();
        all.sort_by_key(|(name, _)| (*name).clone());
        all.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let resources = &before["resources"];
    let same = ["requests", "limits"].iter().all(|side| others(&munged, side) == others(resources, side))
        && munged["claims"] == resources["claims"];
    if !same || before["resizePolicy"] != after["resizePolicy"] {
        let (path, words) = match init {
            true => (at, "only cpu and memory resources for init or sidecar containers are mutable"),
            false => ("spec", "only cpu and memory resources are mutable"),
        };
        errors.push(FieldError::forbidden(path, words));
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
    fn containers_stay_as_they_are() {
        let (old, mut new) = (with(json!({})), with(json!({})));
        new["spec"]["containers"][0]["name"] = "c2".into();
        let errors = resize(&new, &old);
        assert_eq!(errors[0].field, "spec.containers[0].name");
    }
}
