//! Admission webhooks, as the clients meet them that they are about.

use serde_json::{Value, json};

use super::hooks::{Hook, patched};
use super::lab::{Lab, config_map, deployment, pod};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn webhook(hook: &Hook, path: &str, operations: &[&str], group: &str, resource: &str) -> Value {
    let versions = if group == "autoscaling" { "v2" } else { "v1" };
    json!({
        "name": format!("w{}.example.com", path.replace('/', "-")), "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "clientConfig": hook.client_config(path),
        "rules": [{"operations": operations, "apiGroups": [group], "apiVersions": [versions], "resources": [resource]}],
    })
}

async fn register(lab: &Lab, kind: &str, name: &str, webhooks: &[Value]) {
    let body = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": name}, "webhooks": webhooks,
    });
    lab.post(&format!("{GROUP}/{}webhookconfigurations", kind.to_lowercase()), &body).await.ok();
}

fn allow(_: &str, _: &Value) -> Value {
    json!({"allowed": true})
}

#[tokio::test]
async fn validating_webhooks_deny_and_warn() {
    let lab = Lab::new().await;
    let hook = Hook::start(|_, request| {
        let object = if request["operation"] == "DELETE" { &request["oldObject"] } else { &request["object"] };
        match object["data"]["a"] == "bad" || request["operation"] == "DELETE" {
            true => json!({"allowed": false, "warnings": ["beware"], "status": {"message": "not this", "code": 403, "reason": "Because"}}),
            false => json!({"allowed": true, "warnings": ["fine"], "auditAnnotations": {"k": "v"}}),
        }
    })
    .await;
    let mut one = webhook(&hook, "/a", &["CREATE", "UPDATE", "DELETE"], "", "configmaps");
    one["matchConditions"] = json!([{"name": "named", "expression": "request.name != 'free'"}]);
    one["objectSelector"] = json!({"matchExpressions": [{"key": "exempt", "operator": "DoesNotExist"}]});
    register(&lab, "Validating", "v", &[one]).await;
    let made = lab.post(&format!("{MAPS}?fieldManager=me"), &config_map("x")).await;
    assert_eq!((made.code, made.headers["warning"].to_str().unwrap()), (201, "299 - \"fine\""));
    let request = hook.asked().remove(0);
    assert_eq!(
        (&request["operation"], &request["name"], &request["namespace"]),
        (&json!("CREATE"), &json!("x"), &json!("default"))
    );
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(
        request["options"],
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"})
    );
    assert_eq!((&request["dryRun"], &request["userInfo"]["username"]), (&json!(false), &json!("admin")));
    assert!(request["object"]["metadata"]["uid"].is_string() && request["oldObject"].is_null());
    let mut bad = config_map("y");
    bad["data"]["a"] = json!("bad");
    let refused = lab.post(MAPS, &bad).await;
    let told = json!("admission webhook \"w-a.example.com\" denied the request: not this");
    let body = refused.json();
    assert_eq!((refused.code, &body["message"], &body["reason"]), (403, &told, &json!("Because")));
    assert_eq!(refused.headers["warning"], "299 - \"beware\"");
    assert_eq!(lab.merge(&format!("{MAPS}/x"), &json!({"data": {"a": "bad"}})).await.code, 403);
    hook.asked();
    assert_eq!(lab.put(&format!("{MAPS}/x?dryRun=All"), &config_map("x")).await.code, 200);
    let request = hook.asked().remove(0);
    assert_eq!((&request["dryRun"], &request["options"]["dryRun"]), (&json!(true), &json!(["All"])));
    assert_eq!(request["oldObject"]["data"]["a"], "1");
    assert_eq!((lab.delete(&format!("{MAPS}/x")).await.code, lab.delete(MAPS).await.code), (403, 403));
    assert!(
        hook.asked().iter().all(|request| request["object"].is_null() && request["oldObject"]["kind"] == "ConfigMap")
    );
    bad["metadata"]["name"] = json!("free");
    lab.post(MAPS, &bad).await.ok();
    bad["metadata"] = json!({"name": "z", "labels": {"exempt": ""}});
    lab.post(MAPS, &bad).await.ok();
    assert!(hook.asked().is_empty());
    // Whoever cannot be removed any more could not be put right either.
    lab.delete(&format!("{GROUP}/validatingwebhookconfigurations/v")).await.ok();
    lab.delete(&format!("{MAPS}/x")).await.ok();
}

#[tokio::test]
async fn mutating_webhooks_change_objects_in_order_and_again() {
    let lab = Lab::new().await;
    let hook = Hook::start(|path, request| {
        let data = &request["object"]["data"];
        let seen = data.as_object().map_or(0, serde_json::Map::len);
        let add = |key: &str| patched(&json!([{"op": "add", "path": format!("/data/{key}"), "value": seen.to_string()}]));
        match path {
            // Tells how much it saw, each time it is asked.
            "/count" => add("count"),
            "/b" if data["b"].is_null() => add("b"),
            "/empty" => patched(&json!([])),
            "/break" => patched(&json!([{"op": "remove", "path": "/no/such"}])),
            "/rename" => patched(&json!([{"op": "add", "path": "/metadata/uid", "value": "mine"}, {"op": "add", "path": "/data/junk", "value": "1"}])),
            _ => json!({"allowed": true}),
        }
    })
    .await;
    let of = |path: &str| webhook(&hook, path, &["CREATE"], "", "configmaps");
    let mut again = of("/count");
    again["reinvocationPolicy"] = json!("IfNeeded");
    register(&lab, "Mutating", "a", &[again, of("/empty")]).await;
    register(&lab, "Mutating", "b", &[of("/b")]).await;
    let made = lab.post(MAPS, &config_map("x")).await.ok();
    // Asked with one key, then with three, after the second configuration had added its own.
    assert_eq!(made["data"], json!({"a": "1", "count": "3", "b": "2"}));
    assert_eq!(hook.asked().len(), 4);
    let made = lab.post(MAPS, &json!({"metadata": {"generateName": "g-"}})).await;
    assert_eq!(made.code, 500, "no data to add to: {made:?}");
    let request = hook.asked().remove(0);
    assert!(request.get("name").is_none() && request["object"]["metadata"].get("uid").is_none(), "{request}");
    lab.delete(&format!("{GROUP}/mutatingwebhookconfigurations")).await.ok();
    register(&lab, "Mutating", "c", &[of("/rename")]).await;
    let made = lab.post(MAPS, &config_map("y")).await.ok();
    assert!(made["metadata"]["uid"] != "mine" && made["data"]["junk"] == "1");
    register(&lab, "Mutating", "d", &[of("/break")]).await;
    let refused = lab.post(MAPS, &config_map("z")).await;
    assert_eq!((refused.code, &refused.json()["reason"]), (500, &json!("InternalError")));
}

#[tokio::test]
async fn what_webhooks_add_is_completed_and_checked() {
    let lab = Lab::new().await;
    let hook = Hook::start(|path, request| match path {
        "/pods" if request["object"]["spec"].get("initContainers").is_none() => {
            let container = json!({"name": "added", "image": "x", "resources": {}});
            patched(&json!([{"op": "add", "path": "/spec/initContainers", "value": [container]}, {"op": "add", "path": "/status", "value": {"phase": "Failed"}}]))
        }
        "/wrong" => patched(&json!([{"op": "add", "path": "/spec/restartPolicy", "value": "Sometimes"}])),
        _ => json!({"allowed": true}),
    })
    .await;
    register(&lab, "Mutating", "a", &[webhook(&hook, "/pods", &["CREATE"], "", "pods")]).await;
    let made = lab.post(PODS, &pod("x")).await.ok();
    let added = &made["spec"]["initContainers"][0];
    assert_eq!((&added["terminationMessagePolicy"], &made["status"]["phase"]), (&json!("File"), &json!("Pending")));
    assert_eq!(added["volumeMounts"].as_array().map(Vec::len), Some(1), "{added}");
    register(&lab, "Mutating", "b", &[webhook(&hook, "/wrong", &["CREATE"], "", "pods")]).await;
    let refused = lab.post(PODS, &pod("y")).await;
    assert!(refused.code == 422 && refused.json()["message"].as_str().unwrap().contains("spec.restartPolicy"));
}

#[tokio::test]
async fn webhooks_that_do_not_answer_fail_or_are_passed_over() {
    let lab = Lab::new().await;
    let hook = Hook::start(allow).await;
    let mut slow = webhook(&hook, "/slow", &["CREATE"], "", "configmaps");
    slow["timeoutSeconds"] = json!(1);
    register(&lab, "Validating", "slow", &[slow]).await;
    let refused = lab.post(MAPS, &config_map("x")).await;
    let body = refused.json();
    let told = body["message"].as_str().unwrap();
    assert_eq!((refused.code, &body["reason"]), (500, &json!("InternalError")));
    let start = "Internal error occurred: failed calling webhook \"w-slow.example.com\": failed to call webhook: Post \"https://127.0.0.1:";
    assert!(told.starts_with(start) && told.ends_with("/slow?timeout=1s\": context deadline exceeded"), "{told}");
    let path = format!("{GROUP}/validatingwebhookconfigurations/slow");
    let change = |config: Value, policy: &str| {
        let mut one = webhook(&hook, "/slow", &["CREATE"], "", "configmaps");
        one["clientConfig"] = config;
        one["failurePolicy"] = json!(policy);
        json!({"webhooks": [one]})
    };
    let service = json!({"service": {"namespace": "default", "name": "nobody", "path": "/x"}});
    lab.merge(&path, &change(service.clone(), "Fail")).await.ok();
    let told = lab.post(MAPS, &config_map("x")).await.json()["message"].as_str().unwrap().to_owned();
    assert!(
        told.ends_with("Post \"https://nobody.default.svc:443/x?timeout=10s\": service \"nobody\" not found"),
        "{told}"
    );
    lab.merge(&path, &change(service, "Ignore")).await.ok();
    lab.post(MAPS, &config_map("x")).await.ok();
    // A certificate that nobody vouches for.
    let url = hook.client_config("/x")["url"].clone();
    lab.merge(&path, &change(json!({"url": url}), "Fail")).await.ok();
    let told = lab.post(MAPS, &config_map("y")).await.json()["message"].as_str().unwrap().to_owned();
    assert!(
        told.ends_with("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        "{told}"
    );
}

#[tokio::test]
async fn subresources_bring_kinds_of_their_own() {
    let lab = Lab::new().await;
    let hook = Hook::start(|_, request| match request["object"]["spec"]["replicas"] == 7 {
        true => json!({"allowed": false}),
        false => json!({"allowed": true}),
    })
    .await;
    let rules = [("", "pods/*"), ("", "serviceaccounts/token"), ("apps", "deployments/*")];
    let all: Vec<Value> = rules
        .iter()
        .map(|(group, resource)| {
            webhook(&hook, &format!("/{}", resource.split('/').next().unwrap()), &["*"], group, resource)
        })
        .collect();
    register(&lab, "Validating", "v", &all).await;
    lab.post("/apis/apps/v1/namespaces/default/deployments", &deployment("d")).await.ok();
    lab.post(PODS, &pod("p")).await.ok();
    hook.asked();
    let scale = "/apis/apps/v1/namespaces/default/deployments/d/scale";
    let scaled = lab.merge(scale, &json!({"spec": {"replicas": 3}})).await.ok();
    assert_eq!(scaled["spec"]["replicas"], 3);
    let request = hook.asked().remove(0);
    assert_eq!(request["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!((&request["resource"]["group"], &request["subResource"]), (&json!("apps"), &json!("scale")));
    assert_eq!(
        (&request["object"]["spec"]["replicas"], &request["oldObject"]["spec"]["replicas"]),
        (&json!(3), &json!(1))
    );
    let refused = lab.merge(scale, &json!({"spec": {"replicas": 7}})).await;
    assert_eq!(
        refused.json()["message"],
        "admission webhook \"w-deployments.example.com\" denied the request without explanation"
    );
    hook.asked();
    let account = "/api/v1/namespaces/default/serviceaccounts/default/token";
    lab.post(account, &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}))
        .await
        .ok();
    assert_eq!(hook.asked()[0]["kind"]["kind"], "TokenRequest");
    let status = json!({"status": {"message": "m"}});
    lab.merge(&format!("{PODS}/p/status"), &status).await.ok();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n"}});
    lab.post(&format!("{PODS}/p/binding"), &binding).await.ok();
    lab.send("GET", &format!("{PODS}/p/attach?stdin=true&container=c&stdout=1"), &[], axum::body::Body::empty()).await;
    lab.send("POST", &format!("{PODS}/p/exec?command=a&command=b&container=c"), &[], axum::body::Body::empty()).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    lab.post(&format!("{PODS}/p/eviction"), &eviction).await.ok();
    let asked = hook.asked();
    let told: Vec<String> = asked
        .iter()
        .map(|one| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", text(&one["operation"]), text(&one["subResource"]), text(&one["kind"]["kind"]))
        })
        .collect();
    let wanted = [
        "UPDATE status Pod",
        "CREATE binding Binding",
        "CONNECT attach PodAttachOptions",
        "CONNECT exec PodExecOptions",
        "CREATE eviction Eviction",
    ];
    assert_eq!(told, wanted);
    let options =
        json!({"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": true, "stdout": true, "container": "c"});
    assert_eq!((&asked[2]["object"], &asked[2]["options"]), (&options, &Value::Null));
    assert_eq!(asked[3]["object"]["command"], json!(["a", "b"]));
}

#[tokio::test]
async fn equivalent_resources_are_sent_in_the_version_of_the_rule() {
    let lab = Lab::new().await;
    let hook = Hook::start(|_, _| {
        patched(
            &json!([{"op": "add", "path": "/spec/behavior", "value": {"scaleUp": {"stabilizationWindowSeconds": 9}}}]),
        )
    })
    .await;
    register(&lab, "Mutating", "m", &[webhook(&hook, "/x", &["CREATE"], "autoscaling", "horizontalpodautoscalers")])
        .await;
    let body = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}},
    });
    lab.post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", &body).await.ok();
    let request = hook.asked().remove(0);
    assert_eq!((&request["kind"]["version"], &request["requestKind"]["version"]), (&json!("v2"), &json!("v1")));
    assert_eq!((&request["resource"]["version"], &request["requestResource"]["version"]), (&json!("v2"), &json!("v1")));
    assert!(request["object"]["apiVersion"] == "autoscaling/v2" && request["object"]["spec"]["metrics"].is_array());
    let found = lab.get("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h").await.ok();
    assert_eq!(found["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"], 9);
}

#[tokio::test]
async fn a_webhook_that_refuses_all_does_not_keep_the_server_from_starting() {
    let lab = Lab::new().await;
    let hook = Hook::start(|_, _| json!({"allowed": false})).await;
    register(&lab, "Validating", "v", &[webhook(&hook, "/x", &["*"], "*", "*/*")]).await;
    assert_eq!(lab.post(MAPS, &config_map("x")).await.code, 400);
    hook.asked();
    lab.server.bootstrap().await.expect("starts again");
    assert!(hook.asked().is_empty());
}

#[tokio::test]
async fn what_configures_admission_is_not_sent() {
    let lab = Lab::new().await;
    let hook = Hook::start(|_, _| json!({"allowed": false})).await;
    let all = webhook(&hook, "/x", &["*"], "*", "*/*");
    register(&lab, "Validating", "v", std::slice::from_ref(&all)).await;
    register(&lab, "Mutating", "m", &[all]).await;
    assert_eq!(lab.post(MAPS, &config_map("x")).await.code, 400);
    hook.asked();
    let listed = lab.get(&format!("{GROUP}/validatingwebhookconfigurations")).await.ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    lab.delete(&format!("{GROUP}/mutatingwebhookconfigurations/m")).await.ok();
    lab.delete(&format!("{GROUP}/validatingwebhookconfigurations")).await.ok();
    assert!(hook.asked().is_empty());
    lab.post(MAPS, &config_map("x")).await.ok();
}
