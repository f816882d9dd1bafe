//! A pod's resize: the defaults and ranges of its namespace's LimitRanges, its quotas, and what its node has at all
//! (upstream's plugins LimitRanger, ResourceQuota and PodResizeValidator).

use minisvc_api::meta;
use minisvc_api::quantity::Amount;
use minisvc_api::quota::{amounts, pod_requests};
use minisvc_api::status::Status;
use minisvc_store::Key;
use serde_json::{Value, json};

use super::{limits, quota};
use crate::call::Call;

/// Fills in what the wanted pod's containers do not say.
pub(crate) fn complete(call: &Call, wanted: &mut Value) {
    limits::fill_in(call, wanted);
}

/// 403 where the namespace or the pod's node has no room for what the pod now asks for.
pub(crate) fn admit(call: &Call, old: &Value, new: &Value) -> Result<(), Status> {
    limits::admit(call, new)?;
    check_node(call, new)?;
    quota::admit(call, new, Some(old))
}

/// 403 for a pod that asks for more than its node can give to pods.
fn check_node(call: &Call, pod: &Value) -> Result<(), Status> {
    let Some(name) = pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty()) else { return Ok(()) };
    let refused = |why: &str| Status::forbidden_object("pods", meta::name(pod), why);
    let node = call.server.store.get(&Key::new("nodes", "", name));
    let node = node.ok_or_else(|| refused(&format!("node {name:?} not found")))?;
    match lacking(pod, &node.value) {
        None => Ok(()),
        Some(why) => {
            let mut status = refused(&why);
            status.details["causes"] = json!([{"reason": "NodeCapacity"}]);
            Err(status)
        }
    }
}

/// What a node has not for a pod, in upstream's words.
fn lacking(pod: &Value, node: &Value) -> Option<String> {
    let (asked, room) = (pod_requests(pod), amounts(&node["status"]["allocatable"]));
    let of = |amounts: &std::collections::BTreeMap<String, Amount>, name: &str| {
        amounts.get(name).copied().unwrap_or(Amount::ZERO)
    };
    let short = [("cpu", 1000), ("memory", 1)].into_iter().filter_map(|(name, parts)| {
        let (asked, room) = (of(&asked, name), of(&room, name));
        let words = || format!("{name}, requested: {}, allocatable: {}", asked.in_parts(parts), room.in_parts(parts));
        (asked > room).then(words)
    });
    let short: Vec<String> = short.collect();
    (!short.is_empty()).then(|| format!("node didn't have enough allocatable resources: {}", short.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gives_no_more_than_it_has() {
        let node = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}});
        let pod = |cpu: &str, memory: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}});
        assert_eq!(lacking(&pod("2", "1Gi"), &node), None);
        let words = "node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000; \
            memory, requested: 2147483648, allocatable: 1073741824";
        assert_eq!(lacking(&pod("2500m", "2Gi"), &node).as_deref(), Some(words));
    }
}
