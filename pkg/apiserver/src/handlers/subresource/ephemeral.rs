//! `pods/ephemeralcontainers`: the pod's list of ephemeral containers, which only grows (strategy
//! `podEphemeralContainersStrategy`).

use minisvc_api::validate;
use serde_json::Value;

use super::of_pod::PodPart;

pub(super) const PART: PodPart =
    PodPart { complete: |_, _| {}, take, judge: validate::ephemeral_containers, admit: |_, _, _| Ok(()) };

fn take(new: &mut Value, wanted: &Value) {
    match wanted["spec"]["ephemeralContainers"].as_array() {
        Some(list) if !list.is_empty() => new["spec"]["ephemeralContainers"] = list.clone().into(),
        _ => {
            if let Some(spec) = new["spec"].as_object_mut() {
                spec.shift_remove("ephemeralContainers");
            }
        }
    }
}
