//! RuntimeClass: a pod's class must exist; its overhead and its rules of scheduling become the pod's (plugin
//! `RuntimeClass`).

use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_store::Key;
use serde_json::{Map, Value, json};

use crate::call::Call;

/// Gives a new pod what its runtime class says.
pub(super) fn apply(call: &Call, pod: &mut Value) -> Result<(), Status> {
    let forbidden = |why: String| Err(Status::forbidden_object("pods", meta::name(pod), &why));
    let name = pod["spec"]["runtimeClassName"].as_str().unwrap_or_default();
    let class = if name.is_empty() {
        None
    } else {
        let found = call.server.store.get(&Key::new("runtimeclasses.node.k8s.io", "", name));
        if found.is_none() {
            return forbidden(format!("pod rejected: RuntimeClass \"{name}\" not found"));
        }
        found
    };
    let class = class.map_or(Value::Null, |class| (*class.value).clone());
    let given = pod["spec"].get("overhead").filter(|overhead| overhead.as_object().is_some_and(|map| !map.is_empty()));
    match (&class["overhead"]["podFixed"], given) {
        (fixed @ Value::Object(_), Some(given)) if fixed != given => {
            return forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".into());
        }
        (Value::Null, Some(_)) => {
            return forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".into(),
            );
        }
        _ => {}
    }
    let wanted = class["scheduling"]["nodeSelector"].as_object().cloned().unwrap_or_default();
    for (key, value) in &wanted {
        let own = &pod["spec"]["nodeSelector"][key];
        if !own.is_null() && own != value {
            let (value, own) = (value.as_str().unwrap_or_default(), own.as_str().unwrap_or_default());
            return forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            ));
        }
    }
    if let fixed @ Value::Object(_) = &class["overhead"]["podFixed"] {
        pod["spec"]["overhead"] = fixed.clone();
    }
    if !wanted.is_empty() {
        let mut all: Map<String, Value> = pod["spec"]["nodeSelector"].as_object().cloned().unwrap_or_default();
        all.extend(wanted);
        pod["spec"]["nodeSelector"] = all.into();
    }
    let more = class["scheduling"]["tolerations"].as_array().cloned().unwrap_or_default();
    if !more.is_empty() {
        let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        for toleration in more {
            if !all.contains(&toleration) {
                all.push(toleration);
            }
        }
        pod["spec"]["tolerations"] = json!(all);
    }
    Ok(())
}
