//! Server-side apply and the owners of fields, as clients see them.

use serde_json::{Value, json};

use super::lab::{Answer, Lab, config_map, deployment, service};
use crate::identity::Identity;

const NS: &str = "/api/v1/namespaces/default";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: (&str, &str) = ("content-type", "application/apply-patch+yaml");

async fn apply(lab: &Lab, uri: &str, manager: &str, body: &Value) -> Answer {
    let uri = format!("{uri}{}fieldManager={manager}", if uri.contains('?') { '&' } else { '?' });
    lab.send("PATCH", &uri, &[APPLY], body.to_string()).await
}

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| {
            [text(entry, "manager"), text(entry, "operation"), text(entry, "subresource")].join(" ").trim().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn applying_creates_changes_and_leaves_alone() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/services/web");
    let made = apply(&lab, &uri, "one", &service("web")).await;
    assert_eq!(made.code, 201, "{made:?}");
    let made = made.json();
    assert_eq!(managers(&made), ["one Apply"]);
    assert!(made["spec"]["clusterIP"].as_str().is_some_and(|ip| ip.starts_with("10.")));
    let fields = &made["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(fields["f:spec"]["f:ports"]["k:{\"port\":80,\"protocol\":\"TCP\"}"], json!({".": {}, "f:port": {}}));
    assert_eq!(fields.get("f:status"), None);
    // The same again: no new revision.
    let again = apply(&lab, &uri, "one", &service("web")).await;
    assert_eq!((again.code, again.json()), (200, made.clone()));
    // Another says the same: shared, one more entry, the object as it was.
    let shared = apply(&lab, &uri, "two", &service("web")).await.ok();
    assert_eq!(shared["spec"], made["spec"]);
    let mut named: Vec<String> = managers(&shared);
    named.sort();
    assert_eq!(named, ["one Apply", "two Apply"]);
    // YAML is what the media type says, and a dry run leaves nothing.
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dry}\ndata: {a: \"1\"}\n";
    let dry = lab.send("PATCH", &format!("{NS}/configmaps/dry?fieldManager=x&dryRun=All"), &[APPLY], yaml).await;
    assert_eq!((dry.code, lab.get(&format!("{NS}/configmaps/dry")).await.code), (201, 404));
}

#[tokio::test]
async fn conflicts_stop_an_apply_until_it_is_forced() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps/c");
    apply(&lab, &uri, "one", &config_map("c")).await.ok();
    let mut other = config_map("c");
    other["data"]["a"] = json!("2");
    let refused = apply(&lab, &uri, "two", &other).await;
    let status = refused.json();
    assert_eq!((refused.code, &status["reason"]), (409, &json!("Conflict")));
    assert_eq!(status["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.a");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldManagerConflict");
    let unforced = apply(&lab, &format!("{uri}?force=false"), "two", &other).await;
    assert_eq!(unforced.code, 409);
    let forced = apply(&lab, &format!("{uri}?force=true"), "two", &other).await.ok();
    assert_eq!((&forced["data"]["a"], managers(&forced)), (&json!("2"), vec!["two Apply".to_owned()]));
    // What is said no longer is gone.
    other["data"] = json!({"b": "3"});
    assert_eq!(apply(&lab, &uri, "two", &other).await.ok()["data"], json!({"b": "3"}));
}

#[tokio::test]
async fn options_of_an_apply() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps/c");
    let refused = lab.send("PATCH", &uri, &[APPLY], config_map("c").to_string()).await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.json()["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    let merge = lab.merge(&format!("{NS}/services/kubernetes?force=true"), &json!({})).await;
    assert_eq!(
        merge.json()["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    let cbor = lab
        .send("PATCH", &format!("{uri}?fieldManager=x"), &[("content-type", "application/apply-patch+cbor")], "")
        .await;
    assert_eq!(cbor.code, 415);
    assert!(cbor.json()["message"].as_str().unwrap().ends_with("application/apply-patch+yaml"), "{cbor:?}");
    let mut wrong = config_map("c");
    wrong["spec"] = json!({"x": 1});
    let refused = apply(&lab, &uri, "x", &wrong).await;
    let message = "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .spec: field not declared in schema";
    assert_eq!((refused.code, &refused.json()["message"]), (500, &json!(message)));
    let mut owned = config_map("c");
    owned["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let refused = apply(&lab, &uri, "x", &owned).await;
    assert_eq!((refused.code, &refused.json()["message"]), (400, &json!("metadata.managedFields must be nil")));
    let other = apply(&lab, &format!("{NS}/configmaps/d"), "x", &config_map("c")).await;
    assert_eq!(other.json()["message"], "the name of the object (c) does not match the name on the URL (d)");
    let mut uid = config_map("c");
    uid["metadata"]["uid"] = json!("u");
    let refused = apply(&lab, &uri, "x", &uid).await;
    assert_eq!((refused.code, refused.json()["message"].as_str().unwrap().contains("uid mismatch")), (409, true));
    let missing = apply(&lab, &format!("{DEPLOYMENTS}/no/status"), "x", &deployment("no")).await;
    assert_eq!(missing.code, 404, "{missing:?}");
    let kind = apply(&lab, &uri, "x", &service("c")).await;
    assert_eq!((kind.code, &kind.json()["message"]), (400, &json!("invalid object type: /v1, Kind=Service")));
}

#[tokio::test]
async fn creating_by_apply_needs_the_right_to_create() {
    let lab = Lab::new().await;
    let role = json!({
        "metadata": {"name": "patcher"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}],
    });
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    lab.post(&format!("{roles}/roles"), &role).await.ok();
    let binding = json!({
        "metadata": {"name": "patcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patcher"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
    });
    lab.post(&format!("{roles}/rolebindings"), &binding).await.ok();
    let uri = format!("{NS}/configmaps/c?fieldManager=eve");
    let eve = || Identity::new("eve", ["system:authenticated"]);
    let refused = lab.send_as(eve(), "PATCH", &uri, &[APPLY], config_map("c").to_string()).await;
    assert_eq!(refused.code, 403, "{refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("cannot create resource \"configmaps\""));
    lab.post(&format!("{NS}/configmaps"), &config_map("c")).await.ok();
    let allowed = lab.send_as(eve(), "PATCH", &uri, &[APPLY], config_map("c").to_string()).await;
    assert_eq!(allowed.code, 200, "{allowed:?}");
}

#[tokio::test]
async fn every_write_has_its_manager() {
    let lab = Lab::new().await;
    let agent = [("content-type", "application/json"), ("user-agent", "curl/8.5 (x)")];
    let made = lab.send("POST", DEPLOYMENTS, &agent, deployment("web").to_string()).await.ok();
    assert_eq!(managers(&made), ["curl Update"]);
    let uri = format!("{DEPLOYMENTS}/web");
    let patched = lab.merge(&format!("{uri}?fieldManager=p"), &json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
    assert_eq!(managers(&patched), ["curl Update", "p Update"]);
    assert_eq!(
        patched["metadata"]["managedFields"][1]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:x": {}}}})
    );
    // Nothing changed: nobody owns more.
    let same = lab.merge(&format!("{uri}?fieldManager=q"), &json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
    assert_eq!(same, patched);
    let status = json!({"status": {"replicas": 1}});
    let status = lab.merge(&format!("{uri}/status?fieldManager=s"), &status).await.ok();
    assert!(managers(&status).contains(&"s Update status".to_owned()), "{status}");
    let scale = json!({"spec": {"replicas": 5}});
    lab.merge(&format!("{uri}/scale?fieldManager=k"), &scale).await.ok();
    let scaled = lab.get(&uri).await.ok();
    assert!(managers(&scaled).contains(&"k Update scale".to_owned()), "{scaled}");
    let curl =
        &scaled["metadata"]["managedFields"].as_array().unwrap().iter().find(|e| e["manager"] == "curl").unwrap();
    assert_eq!(curl["fieldsV1"]["f:spec"].get("f:replicas"), None);
    // An applier of the whole now meets the scaler.
    let mut body = deployment("web");
    body["spec"]["replicas"] = json!(2);
    let refused = apply(&lab, &uri, "one", &body).await;
    assert_eq!(
        refused.json()["message"],
        "Apply failed with 1 conflict: conflict with \"k\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    // Scales apply too.
    let body =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 3}});
    let applied = apply(&lab, &format!("{uri}/scale?force=true"), "auto", &body).await.ok();
    assert_eq!(applied["spec"]["replicas"], 3);
    assert!(managers(&lab.get(&uri).await.ok()).contains(&"auto Apply scale".to_owned()));
}

#[tokio::test]
async fn the_status_is_applied_by_its_own() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/services/web");
    let mut body = service("web");
    body["spec"]["type"] = json!("LoadBalancer");
    apply(&lab, &uri, "one", &body).await.ok();
    let status = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "NodePort"},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}},
    });
    let applied = apply(&lab, &format!("{uri}/status"), "cloud", &status).await.ok();
    assert_eq!(applied["status"]["loadBalancer"]["ingress"][0]["ip"], "203.0.113.9");
    assert_eq!(applied["spec"]["type"], "LoadBalancer");
    let entry =
        applied["metadata"]["managedFields"].as_array().unwrap().iter().find(|e| e["manager"] == "cloud").unwrap();
    assert_eq!((&entry["subresource"], entry["fieldsV1"].get("f:spec")), (&json!("status"), None));
}

#[tokio::test]
async fn kubectl_moves_from_client_side_apply() {
    let lab = Lab::new().await;
    let (uri, config) = (format!("{NS}/configmaps/c"), config_map("c"));
    let mut body = config.clone();
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    body["metadata"]["annotations"] = json!({annotation: config.to_string()});
    let made = lab.post(&format!("{NS}/configmaps?fieldManager=kubectl-client-side-apply"), &body).await.ok();
    // kubectl merges its two entries by a JSON patch of the list, guarded by the version.
    let mut entry = made["metadata"]["managedFields"][0].clone();
    entry["manager"] = json!("kubectl");
    entry["operation"] = json!("Apply");
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]);
    let json_patch = [("content-type", "application/json-patch+json")];
    let moved = lab.send("PATCH", &uri, &json_patch, patch.to_string()).await.ok();
    assert_eq!(managers(&moved), ["kubectl Apply"]);
    let stale = lab.send("PATCH", &uri, &json_patch, patch.to_string()).await;
    assert_eq!(stale.code, 409, "{stale:?}");
    let mut next = config;
    next["data"] = json!({"b": "2"});
    let applied = apply(&lab, &uri, "kubectl", &next).await.ok();
    assert_eq!(applied["data"], json!({"b": "2"}));
    // All owners are forgotten on demand.
    let reset = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]);
    let forgotten = lab.send("PATCH", &uri, &json_patch, reset.to_string()).await.ok();
    assert_eq!(forgotten["metadata"].get("managedFields"), None);
    let again = apply(&lab, &uri, "new", &next).await.ok();
    assert_eq!(managers(&again), ["new Apply", "before-first-apply Update"]);
}
