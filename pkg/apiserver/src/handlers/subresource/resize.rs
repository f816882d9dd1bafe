//! `pods/resize`: the resources of a pod and of its containers (strategy `podResizeStrategy`), within what its namespace
//! and its node have.

use minisvc_api::validate;
use serde_json::Value;

use super::of_pod::PodPart;
use crate::admission;

pub(super) const PART: PodPart =
    PodPart { complete: admission::complete_resize, take, judge: validate::resize, admit: admission::admit_resize };

/// Takes over resources and resize policies; other containers than there are, as they are, for the rules to refuse.
fn take(new: &mut Value, wanted: &Value) {
    for field in ["containers", "initContainers"] {
        resize(&mut new["spec"], &wanted["spec"], field);
    }
    // A client that knows of no resources of the pod's own leaves them as they are.
    if wanted["spec"]["resources"].is_object() {
        new["spec"]["resources"] = wanted["spec"]["resources"].clone();
    }
}

fn resize(spec: &mut Value, wanted: &Value, field: &str) {
    let names = |spec: &Value| -> Vec<Value> {
        spec[field].as_array().into_iter().flatten().map(|container| container["name"].clone()).collect()
    };
    if names(spec) != names(wanted) {
        spec[field] = wanted[field].clone();
        return;
    }
    let Some(containers) = spec.get_mut(field).and_then(Value::as_array_mut) else { return };
    for (container, wanted) in containers.iter_mut().zip(wanted[field].as_array().into_iter().flatten()) {
        let Some(container) = container.as_object_mut() else { continue };
        for field in ["resources", "resizePolicy"] {
            match &wanted[field] {
                Value::Null => drop(container.shift_remove(field)),
                value => drop(container.insert(field.to_owned(), value.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_resources_are_taken_over() {
        let mut pod = json!({"spec": {"containers": [{"name": "a", "image": "x", "resources": {}}],
            "resources": {"requests": {"cpu": "1"}}}});
        let resources = json!({"requests": {"cpu": "1"}});
        let wanted = json!({"spec": {"containers": [{"name": "a", "image": "y", "resources": resources}]}});
        take(&mut pod, &wanted);
        let taken = json!([{"name": "a", "image": "x", "resources": resources}]);
        assert_eq!(pod["spec"], json!({"containers": taken, "resources": resources}));
        take(&mut pod, &json!({"spec": {"containers": [{"name": "b"}], "resources": {}}}));
        assert_eq!(pod["spec"], json!({"containers": [{"name": "b"}], "resources": {}}));
    }
}
