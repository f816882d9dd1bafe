//! The `/scale` view of objects as `autoscaling/v1 Scale`, read from and written back to the object: at `spec.replicas` for
//! built-in kinds, at the definition's paths for custom ones.

use serde_json::{Map, Value, json};

use crate::field::FieldError;
use crate::meta;
use crate::selector::LabelSelector;
use crate::status::Status;

/// Where a custom kind has its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Names of fields down to the wanted number.
    pub spec: Vec<String>,
    status: Vec<String>,
    /// Down to a text that is a label selector.
    selector: Option<Vec<String>>,
}

impl Paths {
    /// Reads `subresources.scale` of a definition's version.
    pub fn read(scale: &Value) -> Option<Self> {
        let path = |field: &str| {
            let path = crate::custom::Path::parse(scale[field].as_str()?)?;
            Some(path.fields()?.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        Some(Self {
            spec: path("specReplicasPath")?,
            status: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    }

    /// Complaints about an object's numbers.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for path in [&self.spec, &self.status] {
            let name = format!(".{}", path.join("."));
            match at(object, path) {
                Some(Value::Number(n)) if n.as_i64().is_some_and(|n| n < 0) => {
                    errors.push(FieldError::invalid(name, n.clone(), "should be a non-negative integer"));
                }
                Some(Value::Number(n)) if n.as_i64().is_none_or(|n| n > i64::from(i32::MAX)) => {
                    let detail = format!("should be less than or equal to {}", i32::MAX);
                    errors.push(FieldError::invalid(name, n.clone(), detail));
                }
                _ => {}
            }
        }
        errors
    }
}

fn at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

fn put(object: &mut Value, path: &[String], value: Value) {
    let mut slot = object;
    for name in path {
        if !slot.is_object() {
            *slot = json!({});
        }
        slot = &mut slot[name.as_str()];
    }
    *slot = value;
}

/// The Scale of an object that has `spec.replicas` and `spec.selector`, or the like at `paths`.
pub fn read(object: &Value, paths: Option<&Paths>) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(paths) = paths {
        let number = |path: &[String]| at(object, path).and_then(Value::as_i64);
        let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata});
        scale["spec"] = number(&paths.spec).map_or_else(|| json!({}), |replicas| json!({"replicas": replicas}));
        scale["status"] = json!({"replicas": number(&paths.status).unwrap_or(0)});
        if let Some(Value::String(text)) = paths.selector.as_ref().and_then(|path| at(object, path)) {
            scale["status"]["selector"] = text.clone().into();
        }
        return scale;
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
pub fn write(object: &Value, scale: &Value, paths: Option<&Paths>) -> Result<Value, Status> {
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
    match paths {
        Some(paths) => put(&mut new, &paths.spec, wanted.into()),
        None => new["spec"]["replicas"] = wanted.into(),
    }
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
            read(&deployment(), None),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
                   "metadata": {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "5"},
                   "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "app=d"}})
        );
    }

    #[test]
    fn writing_changes_replicas_only() {
        let new = write(
            &deployment(),
            &json!({"metadata": {"name": "d", "resourceVersion": "4"}, "spec": {"replicas": 10}}),
            None,
        )
        .expect("a good scale");
        let mut wanted = deployment();
        wanted["spec"]["replicas"] = 10.into();
        wanted["metadata"]["resourceVersion"] = "4".into();
        assert_eq!(new, wanted);
        let error = write(&deployment(), &json!({"spec": {"replicas": -1}}), None).expect_err("negative");
        assert_eq!(error.code, 422);
        assert_eq!(
            error.message,
            "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
        assert_eq!(write(&deployment(), &json!({"metadata": {"name": "e"}}), None).expect_err("other").code, 400);
    }
}
