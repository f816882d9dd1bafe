//! What admission adds to a new pod: service account with its token volume, priority, status. (Plugins
//! ServiceAccount, Priority; pod strategy for the status.) What needs nothing but the pod, defaulting has done already.

use minisvc_api::status::Status;
use minisvc_api::{meta, qos};
use minisvc_store::Key;
use serde_json::{Value, json};

use crate::call::Call;

/// Where programs look for their service account.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Start of the token volume's name.
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Seconds; the node asks for a new token well before. 7 s over the hour so that tokens can be told apart, as in
/// Kubernetes.
const TOKEN_SECONDS: i64 = 3607;

/// Completes a pod that is about to be created.
pub(super) fn prepare(call: &Call, pod: &mut Value) -> Result<(), Status> {
    if !pod["spec"].is_object() {
        return Ok(());
    }
    service_account(call, pod)?;
    super::priority::resolve(call, pod)?;
    super::runtime::apply(call, pod)?;
    super::limits::fill_in(call, pod);
    label_keys(pod);
    let gated = pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    pod["status"] = json!({"phase": "Pending", "qosClass": qos::class(&pod["spec"])});
    if gated {
        pod["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": pod["metadata"]["creationTimestamp"],
        }]);
    }
    Ok(())
}

/// Writes what `matchLabelKeys` and `mismatchLabelKeys` mean for this pod into the selectors beside them, as
/// `mutatePodAffinity` and `mutateTopologySpreadConstraints` of Kubernetes' pod strategy.
fn label_keys(pod: &mut Value) {
    let labels = pod["metadata"]["labels"].clone();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = pod["spec"].pointer_mut(&format!("/affinity/{kind}")) else { continue };
        for term in items(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge_keys(term, &labels);
        }
        for term in items(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = term.get_mut("podAffinityTerm") {
                merge_keys(term, &labels);
            }
        }
    }
    for constraint in items(&mut pod["spec"], "topologySpreadConstraints") {
        merge_keys(constraint, &labels);
    }
}

fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn merge_keys(term: &mut Value, labels: &Value) {
    let mut more = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                more.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    // A selector that is not there matches nothing, whatever is added.
    let Some(selector) = term.get_mut("labelSelector").and_then(Value::as_object_mut) else { return };
    if !more.is_empty() {
        let all = selector.entry("matchExpressions").or_insert_with(|| json!([]));
        all.as_array_mut().into_iter().for_each(|all| all.append(&mut more));
    }
}

fn service_account(call: &Call, pod: &mut Value) -> Result<(), Status> {
    let given = pod["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty()).unwrap_or("default");
    let given = given.to_owned();
    pod["spec"]["serviceAccountName"] = json!(given);
    pod["spec"]["serviceAccount"] = json!(given);
    let namespace = call.info.namespace.as_str();
    let key = Key { resource: "serviceaccounts".into(), namespace: namespace.into(), name: given.as_str().into() };
    let Some(account) = call.server.store.get(&key) else {
        let why = format!("error looking up service account {namespace}/{given}: serviceaccount \"{given}\" not found");
        return Err(Status::forbidden_object("pods", meta::name(pod), &why));
    };
    if pod["spec"]["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
        && let Some(secrets) = account.value.get("imagePullSecrets")
    {
        pod["spec"]["imagePullSecrets"] = secrets.clone();
    }
    let wish = |object: &Value| object["automountServiceAccountToken"].as_bool();
    if wish(&pod["spec"]).or_else(|| wish(&account.value)).unwrap_or(true) {
        mount_token(&mut pod["spec"]);
    }
    Ok(())
}

/// Adds the projected volume and mounts it wherever the path is free.
fn mount_token(spec: &mut Value) {
    let existing =
        spec["volumes"].as_array().into_iter().flatten().find_map(|volume| {
            volume["name"].as_str().filter(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned)
        });
    let name = existing.clone().unwrap_or_else(|| meta::generate_name(VOLUME_PREFIX, |n| fastrand::usize(..n)));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounts = &container["volumeMounts"];
            if mounts.as_array().into_iter().flatten().any(|mount| mount["mountPath"] == MOUNT_PATH) {
                continue;
            }
            let mut mounts = mounts.as_array().cloned().unwrap_or_default();
            mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
            container["volumeMounts"] = mounts.into();
            mounted = true;
        }
    }
    if !mounted || existing.is_some() {
        return;
    }
    let volume = json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}});
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.push(volume);
    spec["volumes"] = volumes.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_become_requirements() {
        let term = |more: Value| {
            let mut term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}});
            term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            term
        };
        let keys = json!({"matchLabelKeys": ["v", "absent"], "mismatchLabelKeys": ["tenant"]});
        let expected = json!([
            {"key": "v", "operator": "In", "values": ["2"]}, {"key": "tenant", "operator": "NotIn", "values": ["red"]},
        ]);
        let mut pod = json!({"metadata": {"labels": {"v": "2", "tenant": "red"}}, "spec": {
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(keys.clone())]},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": term(keys.clone())}]}},
            "topologySpreadConstraints": [term(json!({"matchLabelKeys": ["v"]})), term(json!({})),
                {"topologyKey": "zone", "matchLabelKeys": ["v"]}]}});
        label_keys(&mut pod);
        let spec = &pod["spec"];
        let near = &spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!(near["labelSelector"]["matchExpressions"], expected);
        let apart = &spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!(apart["podAffinityTerm"]["labelSelector"]["matchExpressions"], expected);
        let spread = &spec["topologySpreadConstraints"];
        assert_eq!(spread[0]["labelSelector"]["matchExpressions"], json!([expected[0]]));
        assert_eq!(spread[1]["labelSelector"], json!({"matchLabels": {"app": "a"}}));
        assert_eq!(spread[2].get("labelSelector"), None);
    }
}
