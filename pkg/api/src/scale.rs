//! The `/scale` view of Deployments, ReplicaSets, StatefulSets and ReplicationControllers as `autoscaling/v1 Scale`, read from and written back to the object.

use serde_json::{Map, Value, json};

use crate::field::FieldError;
use crate::meta;
use crate::selector::LabelSelector;
use crate::status::Status;

/// The Scale of an object that has `spec.replicas` and `spec.selector`.
pub fn read(object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut status = json!({"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)});
    let text = selector(&object["spec"]["selector"]);
    if !text.is_empty() {
        status["selector"] = text.into();
    }
    let mut spec = Map::new();
    if let Some(replicas) = object["spec"]["replicas"].as_i64().filter(|n| *n != 0) {
        spec.insert("replicas".into(), replicas.into());
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// The selector as text; a ReplicationController's is a plain map.
fn selector(selector: &Value) -> String {
    let plain = selector.as_object().filter(|map| map.values().all(Value::is_string));
    match plain {
        Some(map) => {
            let mut pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
            pairs.sort_unstable();
            pairs.join(",")
        }
        None => LabelSelector::from_object(selector).map(|selector| selector.to_string()).unwrap_or_default(),
    }
}

/// Writes a Scale's `spec.replicas` into a copy of `object`, and its resourceVersion when it has one, so that a stale
/// Scale conflicts. The result is to be written as an update of the main object.
///
/// # Errors
/// 422 for negative replicas, 400 for a Scale of another object.
pub fn write(object: &Value, scale: &Value) -> Result<Value, Status> {
    let (given, own) = (meta::name(scale), meta::name(object));
    if !given.is_empty() && given != own {
        return Err(Status::name_mismatch(given, own));
    }
    let wanted = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        Value::Number(n) => n.as_i64().filter(|n| i32::try_from(*n).is_ok()).ok_or_else(|| {
            Status::undecodable(
                "Scale",
                "autoscaling/v1",
                &format!(
                    "json: cannot unmarshal number {n} into Go struct field ScaleSpec.spec.replicas of type int32"
                ),
            )
        })?,
        _ => {
            return Err(Status::undecodable(
                "Scale",
                "autoscaling/v1",
                "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32",
            ));
        }
    };
    if wanted < 0 {
        let error = FieldError::invalid("spec.replicas", wanted, "must be greater than or equal to 0");
        return Err(Status::invalid("Scale", "autoscaling", own, vec![error]));
    }
    let mut new = object.clone();
    new["spec"]["replicas"] = wanted.into();
    let version = meta::resource_version(scale);
    if !version.is_empty() {
        meta::metadata_mut(&mut new).insert("resourceVersion".into(), version.into());
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Value {
        json!({"metadata": {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "5", "labels": {"a": "b"}},
               "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}}, "status": {"replicas": 2}})
    }

    #[test]
    fn a_scale_shows_replicas_and_selector() {
        assert_eq!(
            read(&deployment()),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
                   "metadata": {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "5"},
                   "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "app=d"}})
        );
    }

    #[test]
    fn writing_changes_replicas_only() {
        let new =
            write(&deployment(), &json!({"metadata": {"name": "d", "resourceVersion": "4"}, "spec": {"replicas": 10}}))
                .expect("a good scale");
        let mut wanted = deployment();
        wanted["spec"]["replicas"] = 10.into();
        wanted["metadata"]["resourceVersion"] = "4".into();
        assert_eq!(new, wanted);
        let error = write(&deployment(), &json!({"spec": {"replicas": -1}})).expect_err("negative");
        assert_eq!(error.code, 422);
        assert_eq!(
            error.message,
            "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
        assert_eq!(write(&deployment(), &json!({"metadata": {"name": "e"}})).expect_err("other").code, 400);
    }
}
