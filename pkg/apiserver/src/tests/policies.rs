//! Admission policies, as the clients meet them that they are about.

use serde_json::{Value, json};

use super::lab::{Lab, config_map, deployment};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn constraints(operations: &[&str], group: &str, resource: &str) -> Value {
    json!({"resourceRules": [
        {"operations": operations, "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]},
    ]})
}

async fn bind(lab: &Lab, kind: &str, plural: &str, spec: Value, binding: Value) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "p.example.com"}, "spec": spec,
    });
    lab.post(&format!("{GROUP}/{plural}policies"), &policy).await.ok();
    let mut bound = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": {"name": "b.example.com"}, "spec": {"policyName": "p.example.com"},
    });
    bound["spec"].as_object_mut().unwrap().extend(binding.as_object().unwrap().clone());
    lab.post(&format!("{GROUP}/{plural}policybindings"), &bound).await.ok();
}

fn sized(name: &str, replicas: i64) -> Value {
    let mut object = deployment(name);
    object["spec"]["replicas"] = json!(replicas);
    object
}

#[tokio::test]
async fn validating_policies_deny_and_warn() {
    let lab = Lab::new().await;
    let spec = json!({
        "matchConstraints": constraints(&["CREATE", "UPDATE", "DELETE"], "apps", "deployments"),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "named", "expression": "request.name != 'free'"}],
        "validations": [
            {"expression": "object == null || object.spec.replicas <= int(params.data.a)", "message": "too many"},
            {"expression": "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'", "reason": "Forbidden", "message": "kept"},
        ],
    });
    let reference = json!({"name": "limits", "parameterNotFoundAction": "Deny"});
    let binding = json!({"validationActions": ["Deny"], "paramRef": reference});
    bind(&lab, "ValidatingAdmissionPolicy", "validatingadmission", spec, binding).await;
    let refused = lab.post(DEPLOYMENTS, &sized("a", 1)).await;
    assert_eq!(refused.code, 422, "{refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("no params found for policy binding"));
    lab.post("/api/v1/namespaces/default/configmaps", &config_map("limits")).await.ok();
    lab.post(DEPLOYMENTS, &sized("kept", 1)).await.ok();
    let refused = lab.post(DEPLOYMENTS, &sized("a", 2)).await;
    let text = "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'p.example.com' with binding 'b.example.com' denied request: too many";
    let body = refused.json();
    assert_eq!((refused.code, &body["reason"], &body["message"]), (422, &json!("Invalid"), &json!(text)));
    // What the storage has against an object comes after all policies.
    let mut stale = sized("a", 2);
    stale["metadata"]["resourceVersion"] = json!("1");
    assert_eq!(lab.post(DEPLOYMENTS, &stale).await.code, 422);
    stale["spec"]["replicas"] = json!(1);
    let refused = lab.post(DEPLOYMENTS, &stale).await;
    let text = "Internal error occurred: resourceVersion should not be set on objects to be created";
    assert_eq!((refused.code, &refused.json()["message"]), (500, &json!(text)));
    let uri = format!("{DEPLOYMENTS}/kept");
    assert_eq!(lab.merge(&uri, &json!({"spec": {"replicas": 5}})).await.code, 422);
    assert_eq!(lab.delete(&uri).await.code, 403);
    lab.post(DEPLOYMENTS, &sized("free", 9)).await.ok();
    let binding = format!("{GROUP}/validatingadmissionpolicybindings/b.example.com");
    lab.merge(&binding, &json!({"spec": {"validationActions": ["Warn"]}})).await.ok();
    let warned = lab.post(DEPLOYMENTS, &sized("b", 2)).await;
    let warning = warned.headers["warning"].to_str().unwrap();
    assert!(warned.code == 201 && warning.contains("Validation failed for ValidatingAdmissionPolicy 'p.example.com'"));
    lab.delete(&binding).await.ok();
    lab.post(DEPLOYMENTS, &sized("c", 5)).await.ok();
}

#[tokio::test]
async fn types_of_a_policy_are_looked_at() {
    let lab = Lab::new().await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "t"},
        "spec": {
            "matchConstraints": constraints(&["CREATE"], "apps", "deployments"),
            "validations": [{"expression": "object.spec.replicas > '1'"}],
        },
    });
    lab.post(&format!("{GROUP}/validatingadmissionpolicies"), &policy).await.ok();
    let found = lab.get(&format!("{GROUP}/validatingadmissionpolicies/t")).await.ok();
    assert_eq!(found["status"]["observedGeneration"], 1);
    let warnings = &found["status"]["typeChecking"]["expressionWarnings"];
    assert!(
        warnings[0]["warning"].as_str().unwrap().starts_with("apps/v1, Kind=Deployment: compilation failed: ERROR: ")
    );
    let mut broken = policy.clone();
    broken["metadata"]["name"] = json!("u");
    broken["spec"]["validations"][0]["expression"] = json!("object.");
    assert_eq!(lab.post(&format!("{GROUP}/validatingadmissionpolicies"), &broken).await.code, 422);
}

#[tokio::test]
async fn mutating_policies_change_objects() {
    let lab = Lab::new().await;
    let spec = json!({
        "matchConstraints": constraints(&["CREATE", "UPDATE"], "apps", "deployments"), "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 7}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {
                "expression": "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'seen': string(object.spec.replicas)}}]",
            }},
        ],
    });
    bind(&lab, "MutatingAdmissionPolicy", "mutatingadmission", spec, json!({})).await;
    let made = lab.post(DEPLOYMENTS, &sized("a", 1)).await.ok();
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["annotations"]["seen"]), (&json!(7), &json!("7")));
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["image"], "jpetazzo/color");
    let patched = lab.merge(&format!("{DEPLOYMENTS}/a"), &json!({"spec": {"replicas": 2}})).await.ok();
    assert_eq!((&patched["spec"]["replicas"], &patched["metadata"]["uid"]), (&json!(7), &made["metadata"]["uid"]));
}
