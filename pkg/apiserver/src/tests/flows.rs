//! Priority and fairness: the objects of the start, the condition of schemas, the headers of answers.

use axum::body::Body;
use serde_json::{Value, json};

use super::lab::Lab;
use crate::identity::Identity;

const GROUP: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";

fn schema(level: &str) -> Value {
    json!({
        "metadata": {"name": "own"},
        "spec": {
            "matchingPrecedence": 900, "priorityLevelConfiguration": {"name": level},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "noxu"}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }],
        },
    })
}

/// The two headers of an answer to `noxu`.
async fn told(lab: &Lab) -> (String, String) {
    let answer = lab.send_as(Identity::new("noxu", [""; 0]), "GET", "/version", &[], Body::empty()).await;
    let header = |name: &str| answer.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    (header("x-kubernetes-pf-flowschema-uid"), header("x-kubernetes-pf-prioritylevel-uid"))
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

#[tokio::test]
async fn answers_name_the_schema_and_level_of_their_request() {
    let lab = Lab::new().await;
    let of = async |kind: &str, name: &str| uid(&lab.get(&format!("{GROUP}/{kind}/{name}")).await.ok());
    let everybody =
        (of("flowschemas", "global-default").await, of("prioritylevelconfigurations", "global-default").await);
    assert_eq!(told(&lab).await, everybody);
    let made = lab.post(&format!("{GROUP}/flowschemas"), &schema("none")).await.ok();
    let dangling =
        async || lab.get(&format!("{GROUP}/flowschemas/own")).await.ok()["status"]["conditions"][0]["status"].clone();
    // Its level is not there: it takes no part.
    assert_eq!((dangling().await, told(&lab).await), (json!("True"), everybody));
    let level = json!({"metadata": {"name": "none"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}});
    let level = lab.post(&format!("{GROUP}/prioritylevelconfigurations"), &level).await.ok();
    assert_eq!((dangling().await, told(&lab).await), (json!("False"), (uid(&made), uid(&level))));
    let metrics = lab.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"none\"} 3\n"), "{text}");
    // A refusal tells it as well.
    let refused = lab.send_as(Identity::new("noxu", [""; 0]), "GET", "/metrics", &[], Body::empty()).await;
    assert_eq!((refused.code, &refused.headers["x-kubernetes-pf-flowschema-uid"]), (403, &uid(&made).parse().unwrap()));
}

#[tokio::test]
async fn the_objects_of_the_start_stay_as_they_are_meant() {
    let lab = Lab::new().await;
    let at = |name: &str| format!("{GROUP}/flowschemas/{name}");
    let refused = lab.merge(&at("catch-all"), &json!({"spec": {"matchingPrecedence": 1}})).await;
    assert_eq!(refused.code, 422);
    let words = refused.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(words.contains("only the schema named 'exempt' may have matchingPrecedence 1"), "{words}");
    assert!(words.contains("spec of 'catch-all' must equal the fixed value"), "{words}");
    lab.merge(&at("probes"), &json!({"spec": {"matchingPrecedence": 3}})).await.ok();
    lab.delete(&at("system-nodes")).await.ok();
    lab.server.inner.restore_flows().await;
    let probes = lab.get(&at("probes")).await.ok();
    assert_eq!((&probes["spec"]["matchingPrecedence"], &probes["metadata"]["generation"]), (&json!(2), &json!(3)));
    assert_eq!(lab.get(&at("system-nodes")).await.ok()["status"]["conditions"][0]["reason"], "Found");
    let accept = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = lab.send("GET", &at("probes"), &accept, Body::empty()).await;
    let cells = table.ok()["rows"][0]["cells"].clone();
    assert_eq!(
        (&cells[0], &cells[1], &cells[2], &cells[3], &cells[5]),
        (&json!("probes"), &json!("exempt"), &json!(2), &json!("<none>"), &json!("False"),)
    );
}
