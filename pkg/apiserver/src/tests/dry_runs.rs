//! `dryRun=All` of every verb: the answer is the real one, and nothing is there afterwards; anything but `All` is refused.

use serde_json::{Value, json};

use super::lab::{Lab, pod, service};

const NS: &str = "/api/v1/namespaces/default";
const JSON: (&str, &str) = ("content-type", "application/json");
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const APPLY: (&str, &str) = ("content-type", "application/apply-patch+yaml");

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}})
}

/// Method, path, media type, body, and the kind of the options that are read.
type Write = (&'static str, String, (&'static str, &'static str), String, &'static str);

/// Every write that the server knows.
fn writes() -> Vec<Write> {
    let apps = "/apis/apps/v1/namespaces/default/deployments/d";
    let (bind, evict) = (
        json!({"target": {"kind": "Node", "name": "node1"}, "metadata": {"name": "free"}}),
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}),
    );
    let scale = json!({"metadata": {"name": "d"}, "spec": {"replicas": 5}});
    let apply = "apiVersion: v1\nkind: Service\nmetadata: {name: applied}\nspec: {ports: [{port: 80}]}";
    let mut other = service("x");
    other["metadata"]["labels"] = json!({"changed": "yes"});
    let mut node_port = service("y");
    node_port["spec"]["type"] = json!("NodePort");
    let new_labels = r#"{"metadata":{"labels":{"changed":"yes"}}}"#.to_owned();
    vec![
        ("POST", format!("{NS}/services"), JSON, node_port.to_string(), "CreateOptions"),
        ("PUT", format!("{NS}/services/x"), JSON, other.to_string(), "UpdateOptions"),
        ("PATCH", format!("{NS}/services/x"), MERGE, new_labels.clone(), "PatchOptions"),
        ("PATCH", format!("{NS}/services/applied?fieldManager=m"), APPLY, apply.to_owned(), "PatchOptions"),
        (
            "PATCH",
            format!("{NS}/services/x/status"),
            MERGE,
            r#"{"status":{"loadBalancer":{}}}"#.to_owned(),
            "PatchOptions",
        ),
        ("PUT", format!("{apps}/scale"), JSON, scale.to_string(), "UpdateOptions"),
        ("PATCH", format!("{apps}/scale"), MERGE, r#"{"spec":{"replicas":5}}"#.to_owned(), "PatchOptions"),
        ("POST", format!("{NS}/pods/free/binding"), JSON, bind.to_string(), "CreateOptions"),
        ("POST", format!("{NS}/bindings"), JSON, bind.to_string(), "CreateOptions"),
        ("POST", format!("{NS}/pods/p/eviction"), JSON, evict.to_string(), "CreateOptions"),
        ("POST", format!("{NS}/serviceaccounts/s/token"), JSON, "{}".to_owned(), "CreateOptions"),
        ("DELETE", format!("{NS}/services/x"), JSON, String::new(), "DeleteOptions"),
        ("DELETE", format!("{NS}/pods"), JSON, String::new(), "DeleteOptions"),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews".to_owned(),
            JSON,
            "{}".to_owned(),
            "CreateOptions",
        ),
    ]
}

async fn furnished() -> Lab {
    let lab = Lab::new().await;
    lab.post(&format!("{NS}/services"), &service("x")).await.ok();
    let account = json!({"metadata": {"name": "s"}});
    lab.post(&format!("{NS}/serviceaccounts"), &account).await.ok();
    for name in ["p", "free"] {
        lab.post(&format!("{NS}/pods"), &pod(name)).await.ok();
    }
    lab.post("/apis/apps/v1/namespaces/default/deployments", &deployment()).await.ok();
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"services.nodeports": "1", "count/services": "4"}}});
    lab.post(&format!("{NS}/resourcequotas"), &quota).await.ok();
    lab
}

#[tokio::test]
async fn nothing_is_left_of_a_dry_run() {
    let lab = furnished().await;
    let lists = ["services", "pods", "serviceaccounts", "events"].map(|plural| format!("{NS}/{plural}"));
    let everything = async || {
        let mut all = Vec::new();
        for list in &lists {
            all.push(lab.get(list).await.json()["items"].clone());
        }
        all.push(lab.get("/apis/apps/v1/namespaces/default/deployments").await.json()["items"].clone());
        all.push(lab.get("/apis/networking.k8s.io/v1/ipaddresses").await.json()["items"].clone());
        all
    };
    let before = everything().await;
    for (method, uri, media, body, _) in writes() {
        let separator = if uri.contains('?') { '&' } else { '?' };
        let answer = lab.send(method, &format!("{uri}{separator}dryRun=All"), &[media], body).await;
        assert!(answer.code < 300, "{method} {uri}: {} {}", answer.code, answer.json());
        assert_eq!(everything().await, before, "{method} {uri}");
    }
    // Neither the address nor the port of the rehearsed service was kept, nor its place in the quota.
    let mut real = service("y");
    real["spec"]["type"] = json!("NodePort");
    let rehearsed = lab.send("POST", &format!("{NS}/services?dryRun=All"), &[JSON], real.to_string()).await.ok();
    real["spec"]["clusterIP"] = rehearsed["spec"]["clusterIP"].clone();
    real["spec"]["ports"][0]["nodePort"] = rehearsed["spec"]["ports"][0]["nodePort"].clone();
    lab.post(&format!("{NS}/services"), &real).await.ok();
}

#[tokio::test]
async fn other_values_are_refused() {
    let lab = furnished().await;
    for (method, uri, media, body, options) in writes() {
        for value in ["Some", ""] {
            let separator = if uri.contains('?') { '&' } else { '?' };
            let answer = lab.send(method, &format!("{uri}{separator}dryRun={value}"), &[media], body.clone()).await;
            let text = format!(
                r#"{options}.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["{value}"]: supported values: "All""#
            );
            assert_eq!((answer.code, answer.json()["message"].as_str()), (422, Some(text.as_str())), "{method} {uri}");
        }
    }
}
