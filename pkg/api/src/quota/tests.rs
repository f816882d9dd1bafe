//! What objects count for, and what quotas say, on values.

use super::*;
use serde_json::json;

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn quota(hard: Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})
}

fn pod(resources: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
}

fn refused(quota: &Value, resource: &str, object: &Value, old: Option<&Usage>, used: &Usage) -> Option<String> {
    refusal(quota, resource, object, &usage(resource, object, now()), old, used)
}

#[test]
fn too_much_is_refused_in_the_words_of_upstream() {
    let quota = quota(json!({"pods": "1", "requests.cpu": "1", "services.nodeports": "1"}));
    let mut used = nothing(&quota);
    let first = pod(json!({"requests": {"cpu": "600m"}}));
    assert_eq!(refused(&quota, "pods", &first, None, &used), None);
    add(&mut used, &usage("pods", &first, now()));
    assert_eq!(
        refused(&quota, "pods", &first, None, &used).as_deref(),
        Some(
            "exceeded quota: q, requested: pods=1,requests.cpu=600m, used: pods=1,requests.cpu=600m, limited: \
             pods=1,requests.cpu=1"
        )
    );
    let silent = pod(json!({}));
    assert_eq!(
        refused(&quota, "pods", &silent, None, &nothing(&quota)).as_deref(),
        Some("failed quota: q: must specify requests.cpu for: c")
    );
    let service = json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}});
    assert_eq!(
        refused(&quota, "services", &service, None, &used).as_deref(),
        Some(
            "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
        )
    );
    let before = usage("services", &service, now());
    assert_eq!(refused(&quota, "services", &service, Some(&before), &used), None, "an update takes no more");
}

#[test]
fn objects_count_by_kind() {
    let counted = usage("jobs.batch", &json!({}), now());
    assert_eq!(counted.keys().collect::<Vec<_>>(), ["count/jobs.batch"]);
    let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    let counted = usage("persistentvolumeclaims", &claim, now());
    assert_eq!(counted["gold.storageclass.storage.k8s.io/requests.storage"].to_string(), "1Gi");
    let mut old = claim.clone();
    old["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "slow"});
    old["status"]["allocatedResources"] = json!({"storage": "2Gi"});
    let counted = usage("persistentvolumeclaims", &old, now());
    assert_eq!(counted["slow.storageclass.storage.k8s.io/requests.storage"].to_string(), "2Gi");
    let done =
        json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}, "status": {"phase": "Succeeded"}});
    assert_eq!(usage("pods", &done, now()).len(), 1, "only count/pods");
}

#[test]
fn scopes_choose_claims() {
    let by = |operator: &str, values: Value| {
        json!({"spec": {"scopeSelector": {"matchExpressions": [
            {"scopeName": "VolumeAttributesClass", "operator": operator, "values": values}]}}})
    };
    let plain = json!({"spec": {}});
    let moving = json!({"spec": {"volumeAttributesClassName": "gold"}, "status": {
        "currentVolumeAttributesClassName": "silver", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"}}});
    let cases = [
        (by("In", json!(["silver"])), false, true),
        (by("In", json!(["bronze"])), false, false),
        (by("NotIn", json!(["gold"])), true, true),
        (by("NotIn", json!(["gold", "silver"])), true, false),
        (by("Exists", json!([])), false, true),
        (by("DoesNotExist", json!([])), true, false),
    ];
    for (quota, without, with) in cases {
        let found = [&plain, &moving].map(|claim| in_scope(&quota, "persistentvolumeclaims", claim));
        assert_eq!(found, [without, with], "{quota}");
    }
}

#[test]
fn scopes_choose_pods() {
    let with = |scope: &str| json!({"spec": {"scopes": [scope]}});
    let (lazy, busy) = (pod(json!({})), pod(json!({"requests": {"cpu": "1"}})));
    assert!(in_scope(&with("BestEffort"), "pods", &lazy) && !in_scope(&with("BestEffort"), "pods", &busy));
    assert!(in_scope(&with("NotBestEffort"), "pods", &busy) && in_scope(&with("NotTerminating"), "pods", &busy));
    assert!(!in_scope(&with("Terminating"), "pods", &busy) && !in_scope(&with("BestEffort"), "services", &lazy));
    let mut high = pod(json!({}));
    high["spec"]["priorityClassName"] = "high".into();
    let by = |operator: &str, values: Value| {
        json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator,
            "values": values}]}}})
    };
    assert!(in_scope(&by("In", json!(["high"])), "pods", &high) && !in_scope(&by("In", json!(["low"])), "pods", &high));
    assert!(in_scope(&by("Exists", json!([])), "pods", &high) && !in_scope(&by("Exists", json!([])), "pods", &lazy));
    assert!(
        in_scope(&by("NotIn", json!(["low"])), "pods", &lazy)
            && in_scope(&by("DoesNotExist", json!([])), "pods", &lazy)
    );
}

/// pod_resize.go "pod-resize-resource-quota-test": what was asked for counts until the node has answered, what it had too.
#[test]
fn a_resize_counts_for_the_most_of_before_and_after() {
    let with = |asked: &str, status: Value| {
        let mut pod = pod(json!({"requests": {"cpu": asked}, "limits": {"cpu": asked, "example.com/gpu": "1"}}));
        pod["status"] = status;
        pod
    };
    let has = |cpu: &str| {
        json!({"containerStatuses": [{"name": "c", "allocatedResources": {"cpu": cpu},
            "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}]})
    };
    let of = |pod: &Value, name: &str| usage("pods", pod, now())[name].to_string();
    assert_eq!(of(&with("300m", has("600m")), "requests.cpu"), "600m", "not yet smaller");
    assert_eq!(of(&with("900m", has("600m")), "requests.cpu"), "900m");
    assert_eq!(of(&with("900m", has("600m")), "limits.cpu"), "900m");
    let mut never = has("600m");
    never["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
    assert_eq!(of(&with("900m", never.clone()), "cpu"), "600m", "its node can never give that");
    assert_eq!(of(&with("900m", never), "limits.cpu"), "600m");
    assert!(!usage("pods", &with("1", json!({})), now()).contains_key("limits.example.com/gpu"));
    let quota = quota(json!({"cpu": "800m"}));
    let (old, new) = (with("600m", has("600m")), with("900m", has("600m")));
    let mut used = nothing(&quota);
    let before = usage("pods", &old, now());
    add(&mut used, &before);
    assert_eq!(
        refused(&quota, "pods", &new, Some(&before), &used).as_deref(),
        Some("exceeded quota: q, requested: cpu=300m, used: cpu=600m, limited: cpu=800m")
    );
}

#[test]
fn storage_counts_in_whole_bytes() {
    let claim = json!({"spec": {"resources": {"requests": {"storage": "1500m"}}}});
    assert_eq!(usage("persistentvolumeclaims", &claim, now())["requests.storage"].to_string(), "2");
}
