//! What `pods/ephemeralcontainers` may change: containers are added, never changed or removed.

use serde_json::Value;

use super::container::{Around, common};
use super::padded;
use crate::field::FieldError;
use crate::validate::internal_form::written;
use crate::validate::line_diff::unified;
use crate::validate::{list, text};

const CONTAINER: &str = "core.v1.EphemeralContainer";

/// Fields of a container that an ephemeral one may not have (core validation `allowedEphemeralContainerFields`).
const FORBIDDEN: [&str; 9] = [
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
];

/// The errors of a pod whose ephemeral containers were `old`'s.
pub fn ephemeral_containers(new: &Value, old: &Value) -> Vec<FieldError> {
    const PATH: &str = "spec.ephemeralContainers";
    let mut errors = Vec::new();
    let spec = &new["spec"];
    let others: Vec<&str> =
        ["containers", "initContainers"].iter().flat_map(|field| list(spec, field)).map(|c| text(c, "name")).collect();
    let around = Around::of(spec);
    let mut seen = others.clone();
    for (i, entry) in list(spec, "ephemeralContainers").iter().enumerate() {
        let at = format!("{PATH}[{i}]");
        errors.extend(common(&at, entry, &around));
        errors.extend(padded(&at, entry));
        let name = text(entry, "name");
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(format!("{at}.name"), name));
        }
        seen.push(name);
        let target = text(entry, "targetContainerName");
        if !target.is_empty() && !others.contains(&target) {
            errors.push(FieldError::not_found(format!("{at}.targetContainerName"), target));
        }
        const WORDS: &str = "cannot be set for an Ephemeral Container";
        let set = |field: &&&str| match &entry[**field] {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(all) => !all.is_empty(),
            _ => true,
        };
        errors.extend(FORBIDDEN.iter().filter(set).map(|field| FieldError::forbidden(format!("{at}.{field}"), WORDS)));
        for (j, mount) in list(entry, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"].into_iter().filter(|field| !text(mount, field).is_empty()) {
                errors.push(FieldError::forbidden(format!("{at}.volumeMounts[{j}].{field}"), WORDS));
            }
        }
    }
    for before in list(&old["spec"], "ephemeralContainers") {
        let name = text(before, "name");
        match list(spec, "ephemeralContainers").iter().find(|after| text(after, "name") == name) {
            None => {
                let words = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(FieldError::forbidden(PATH, words));
            }
            Some(after) if after != before => {
                let difference = unified(&written(CONTAINER, before), &written(CONTAINER, after));
                let words = format!("existing ephemeral containers {name:?} may not be changed\n{difference}");
                errors.push(FieldError::forbidden(PATH, words));
            }
            Some(_) => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(ephemeral: Value) -> Value {
        json!({"spec": {"containers": [{"name": "web"}], "ephemeralContainers": ephemeral}})
    }

    fn entry(name: &str, more: Value) -> Value {
        let mut all = json!({"name": name, "image": "busybox", "imagePullPolicy": "Always",
            "terminationMessagePolicy": "File", "resources": {}});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }

    fn words(new: Value, old: Value) -> Vec<String> {
        ephemeral_containers(&pod(new), &pod(old)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn containers_are_added_and_never_changed() {
        let one = entry("one", json!({}));
        assert!(words(json!([one, entry("two", json!({"targetContainerName": "web"}))]), json!([one])).is_empty());
        let gone = words(json!([]), json!([one]));
        assert!(gone[0].contains("existing ephemeral containers \"one\" may not be removed"), "{gone:?}");
        let changed = words(json!([entry("one", json!({"image": "alpine"}))]), json!([one]));
        assert!(changed[0].contains("may not be changed"), "{changed:?}");
    }

    #[test]
    fn what_belongs_to_the_pods_own_work_is_forbidden() {
        let mount = json!([{"name": "v", "mountPath": "/v", "subPath": "x"}]);
        let all = words(
            json!([
                entry("web", json!({})),
                entry(
                    "b",
                    json!({"ports": [{"containerPort": 1, "protocol": "TCP"}],
                "targetContainerName": "none", "volumeMounts": mount})
                )
            ]),
            json!([]),
        );
        for part in [
            "spec.ephemeralContainers[0].name: Duplicate value: \"web\"",
            "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[1].targetContainerName: Not found: \"none\"",
            "spec.ephemeralContainers[1].volumeMounts[0].subPath: Forbidden",
        ] {
            assert!(all.iter().any(|found| found.starts_with(part)), "no {part} in {all:#?}");
        }
    }
}
