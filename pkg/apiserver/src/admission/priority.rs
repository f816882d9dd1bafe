//! Priority: a pod's class becomes a number, and there is one default class at most (plugin `Priority`).

use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_store::Stored;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::call::Call;

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";

fn classes(call: &Call) -> Vec<Arc<Stored>> {
    call.server.store.list(CLASSES, None).items
}

/// Sets `spec.priority` and `spec.preemptionPolicy` of a new pod from its class, or from the default class.
pub(super) fn resolve(call: &Call, pod: &mut Value) -> Result<(), Status> {
    let forbidden = |pod: &Value, why: &str| Err(Status::forbidden_object("pods", meta::name(pod), why));
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let classes = classes(call);
    let class = if name.is_empty() {
        // Of several defaults the lowest counts.
        let defaults = classes.iter().filter(|class| class.value["globalDefault"] == true);
        defaults.min_by_key(|class| class.value["value"].as_i64())
    } else {
        let found = classes.iter().find(|class| *class.key.name == *name);
        if found.is_none() {
            return forbidden(pod, &format!("no PriorityClass with name {name} was found"));
        }
        found
    };
    if let Some(class) = class {
        pod["spec"]["priorityClassName"] = json!(&*class.key.name);
    }
    let priority = class.and_then(|class| class.value["value"].as_i64()).unwrap_or(0);
    let policy = class.and_then(|class| class.value["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    match pod["spec"]["priority"].as_i64() {
        Some(given) if given != priority => {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
                 computed {priority} from the given PriorityClass name"
            );
            return forbidden(pod, &why);
        }
        _ => {}
    }
    match pod["spec"]["preemptionPolicy"].as_str() {
        Some(given) if given != policy => {
            let why = format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
                 controller computed {policy} from the given PriorityClass name"
            );
            return forbidden(pod, &why);
        }
        _ => {}
    }
    pod["spec"]["priority"] = json!(priority);
    pod["spec"]["preemptionPolicy"] = json!(policy);
    Ok(())
}

/// 403 for a second default class.
pub(super) fn one_default(call: &Call, class: &Value) -> Result<(), Status> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    let own = meta::name(class);
    match classes(call).iter().find(|other| other.value["globalDefault"] == true && *other.key.name != *own) {
        Some(other) => {
            let why =
                format!("PriorityClass {} is already marked as default. Only one default can exist", &*other.key.name);
            Err(Status::forbidden_object(CLASSES, own, &why))
        }
        None => Ok(()),
    }
}
