//! Defaults of Deployments, ReplicaSets and DaemonSets (apps/v1 `defaults.go`).

use serde_json::{Map, Value, json};

use super::pod::pod_spec;
use super::{fill, object_mut};

pub(super) fn template(new: &mut Value) {
    template_of(object_mut(new, "spec"));
}

/// The pod template of a spec, or of a PodTemplate itself.
pub(super) fn template_of(spec: &mut Map<String, Value>) {
    if let Some(template) = spec.get_mut("template").filter(|t| t.is_object()) {
        object_mut(template, "metadata");
        pod_spec(&mut template["spec"]);
    }
}

pub(super) fn set_if_absent(map: &mut Map<String, Value>, field: &str, value: Value) {
    if !map.contains_key(field) {
        map.insert(field.to_owned(), value);
    }
}

/// Deployment: one replica, rolling update by a quarter, ten old ReplicaSets, ten minutes to make progress.
pub fn deployment(new: &mut Value, _old: Option<&Value>) {
    template(new);
    let spec = object_mut(new, "spec");
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "progressDeadlineSeconds", 600);
    let strategy = object_mut(&mut new["spec"], "strategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
        let rolling = object_mut(&mut new["spec"]["strategy"], "rollingUpdate");
        set_if_absent(rolling, "maxUnavailable", "25%".into());
        set_if_absent(rolling, "maxSurge", "25%".into());
    }
    object_mut(new, "status");
}

/// ReplicaSet: one replica.
pub fn replica_set(new: &mut Value, _old: Option<&Value>) {
    template(new);
    fill(object_mut(new, "spec"), "replicas", 1);
    let status = object_mut(new, "status");
    set_if_absent(status, "replicas", json!(0));
}

/// DaemonSet: rolling update one node at a time, ten old revisions.
pub fn daemon_set(new: &mut Value, _old: Option<&Value>) {
    template(new);
    fill(object_mut(new, "spec"), "revisionHistoryLimit", 10);
    let strategy = object_mut(&mut new["spec"], "updateStrategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
        let rolling = object_mut(&mut new["spec"]["updateStrategy"], "rollingUpdate");
        set_if_absent(rolling, "maxUnavailable", json!(1));
        set_if_absent(rolling, "maxSurge", json!(0));
    }
    let status = object_mut(new, "status");
    for field in ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] {
        set_if_absent(status, field, json!(0));
    }
}
