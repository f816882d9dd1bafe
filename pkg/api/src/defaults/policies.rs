//! Defaults of autoscalers, limits, priorities, volumes and storage (upstream `defaults.go` of their groups).

use serde_json::{Map, Value, json};

use super::workload::set_if_absent;
use super::{each_mut, fill, object_mut};

/// HorizontalPodAutoscaler in its autoscaling/v2 form: at least one pod, 80 % of the CPU asked for.
pub fn horizontal_pod_autoscaler(new: &mut Value, _old: Option<&Value>) {
    let spec = object_mut(new, "spec");
    set_if_absent(spec, "minReplicas", 1.into());
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert("metrics".into(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    if let Some(Value::Object(behavior)) = spec.get_mut("behavior") {
        let policy = |kind: &str, value: i64| json!({"type": kind, "value": value, "periodSeconds": 15});
        let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max",
                        "policies": [policy("Pods", 4), policy("Percent", 100)]});
        let down = json!({"selectPolicy": "Max", "policies": [policy("Percent", 100)]});
        for (direction, rules) in [("scaleUp", up), ("scaleDown", down)] {
            let own = behavior.entry(direction).or_insert_with(|| json!({}));
            if let (Value::Object(own), Value::Object(rules)) = (own, rules) {
                for (field, value) in rules {
                    set_if_absent(own, &field, value);
                }
            }
        }
    }
    let status = object_mut(new, "status");
    set_if_absent(status, "desiredReplicas", 0.into());
}

/// LimitRange: default limits are the maximum, default requests the default limits or the minimum.
pub fn limit_range(new: &mut Value, _old: Option<&Value>) {
    for item in each_mut(&mut new["spec"], "limits") {
        if item.get("type").is_none_or(|kind| kind != "Container") {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let values = item.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
            let target = item.entry(to).or_insert_with(|| json!({}));
            for (resource, quantity) in values {
                if target.get(&resource).is_none() {
                    target[&resource] = quantity;
                }
            }
        }
        for field in ["default", "defaultRequest"] {
            if item.get(field).and_then(Value::as_object).is_some_and(Map::is_empty) {
                item.shift_remove(field);
            }
        }
    }
}

/// PersistentVolume: kept when its claim goes, a file system, Pending at first.
pub fn persistent_volume(new: &mut Value, _old: Option<&Value>) {
    let spec = object_mut(new, "spec");
    fill(spec, "persistentVolumeReclaimPolicy", "Retain");
    fill(spec, "volumeMode", "Filesystem");
    fill(object_mut(new, "status"), "phase", "Pending");
}

/// PersistentVolumeClaim: a file system, Pending at first.
pub fn persistent_volume_claim(new: &mut Value, _old: Option<&Value>) {
    let spec = object_mut(new, "spec");
    fill(spec, "volumeMode", "Filesystem");
    // The two names of the source of a claim's data say the same.
    if let (Some(source), None) = (spec.get("dataSource").cloned(), spec.get("dataSourceRef")) {
        spec.insert("dataSourceRef".into(), source);
    }
    fill(object_mut(new, "status"), "phase", "Pending");
}

/// PriorityClass: pods of it push others out.
pub fn priority_class(new: &mut Value, _old: Option<&Value>) {
    if let Value::Object(new) = new {
        fill(new, "preemptionPolicy", "PreemptLowerPriority");
    }
}

/// StorageClass: volumes go with their claims and are bound at once.
pub fn storage_class(new: &mut Value, _old: Option<&Value>) {
    if let Value::Object(new) = new {
        fill(new, "reclaimPolicy", "Delete");
        fill(new, "volumeBindingMode", "Immediate");
    }
}

/// CSIDriver: volumes are attached, live on their own, and belong to groups by their access mode.
pub fn csi_driver(new: &mut Value, _old: Option<&Value>) {
    let spec = object_mut(new, "spec");
    set_if_absent(spec, "attachRequired", true.into());
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        set_if_absent(spec, field, false.into());
    }
    fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
    }
}

/// CSINode: the health of its storage is told by drivers with CSIVolumeHealth only, which is off.
pub fn csi_node(new: &mut Value, _old: Option<&Value>) {
    object_mut(new, "status").shift_remove("storageHealth");
}

/// PodDisruptionBudget: nothing counted yet.
pub fn pod_disruption_budget(new: &mut Value, _old: Option<&Value>) {
    let status = object_mut(new, "status");
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        set_if_absent(status, field, 0.into());
    }
}
