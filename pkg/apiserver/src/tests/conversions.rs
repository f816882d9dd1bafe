//! Custom kinds whose versions a webhook converts, as clients see them: reads, lists, watches, selectors and writes in
//! either version, over objects stored in both.

use axum::body::Body;
use serde_json::{Value, json};

use super::hooks::Hook;
use super::lab::Lab;
use super::watches::Lines;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/example.com/v1/namespaces/default/hosts";
const V2: &str = "/apis/example.com/v2/namespaces/default/hosts";

fn version(name: &str, storage: bool, fields: &[&str]) -> Value {
    let mut properties = json!({"metadata": {"type": "object"}});
    for field in fields {
        properties[field] = json!({"type": "string"});
    }
    let selectable: Vec<Value> = fields.iter().map(|field| json!({"jsonPath": format!(".{field}")})).collect();
    json!({
        "name": name, "served": true, "storage": storage, "selectableFields": selectable,
        "additionalPrinterColumns": [{"name": "First", "type": "string", "jsonPath": format!(".{}", fields[0])}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    })
}

fn definition(hook: &Hook, stored: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "hosts.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "hosts", "singular": "host", "kind": "Host"},
            "versions": [
                version("v1", stored == "v1", &["hostPort"]), version("v2", stored == "v2", &["host", "port"]),
            ],
            "conversion": {"strategy": "Webhook", "webhook": {
                "clientConfig": hook.client_config("/convert"), "conversionReviewVersions": ["v1"],
            }},
        },
    })
}

/// `hostPort` of version 1 is `host` and `port` of version 2.
fn convert(_: &str, request: &Value) -> Value {
    let wanted = &request["desiredAPIVersion"];
    let converted = request["objects"].as_array().unwrap().iter().map(|object| {
        assert_ne!(&object["apiVersion"], wanted);
        let mut new = object.clone();
        new["apiVersion"] = wanted.clone();
        new["junk"] = json!(true);
        let fields = new.as_object_mut().unwrap();
        if *wanted == "example.com/v2" {
            let both = fields.shift_remove("hostPort").unwrap_or_default();
            let (host, port) = both.as_str().unwrap_or(":").split_once(':').unwrap();
            fields.insert("host".into(), json!(host));
            fields.insert("port".into(), json!(port));
        } else {
            let mut take =
                |key: &str| fields.shift_remove(key).unwrap_or_default().as_str().unwrap_or_default().to_owned();
            let both = format!("{}:{}", take("host"), take("port"));
            fields.insert("hostPort".into(), json!(both));
        }
        new
    });
    let converted: Vec<Value> = converted.collect();
    if converted.iter().any(|object| object["metadata"]["name"] == "stubborn") {
        return json!({"result": {"status": "Failure", "message": "I will not"}});
    }
    json!({"result": {"status": "Success"}, "convertedObjects": converted})
}

async fn lab() -> (Lab, Hook) {
    let lab = Lab::new().await;
    let hook = Hook::start(convert).await;
    let made = lab.post(CRDS, &definition(&hook, "v1")).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert!(!made.headers.contains_key("warning"));
    (lab, hook)
}

fn first(name: &str, both: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Host", "metadata": {"name": name}, "hostPort": both})
}

fn second(name: &str, host: &str, port: &str) -> Value {
    json!({"apiVersion": "example.com/v2", "kind": "Host", "metadata": {"name": name}, "host": host, "port": port})
}

#[tokio::test]
async fn either_version_reads_and_writes_the_same_objects() {
    let (lab, hook) = lab().await;
    lab.post(V1, &first("a", "x:1")).await.ok();
    assert!(hook.asked().is_empty(), "nothing is converted into itself");
    let shown = lab.get(&format!("{V2}/a")).await.ok();
    assert_eq!(
        (&shown["apiVersion"], &shown["host"], &shown["port"]),
        (&json!("example.com/v2"), &json!("x"), &json!("1"))
    );
    assert!(shown.get("hostPort").is_none() && shown.get("junk").is_none(), "{shown}");
    let made = lab.post(V2, &second("b", "y", "2")).await.ok();
    assert_eq!(
        (&made["apiVersion"], &made["host"], &made["metadata"]["generation"]),
        (&json!("example.com/v2"), &json!("y"), &json!(1))
    );
    let stored = lab.get(&format!("{V1}/b")).await.ok();
    assert_eq!((&stored["hostPort"], &stored["metadata"]["uid"]), (&json!("y:2"), &made["metadata"]["uid"]));
    let patched = lab.merge(&format!("{V2}/a"), &json!({"port": "7"})).await.ok();
    assert_eq!((&patched["port"], &patched["metadata"]["generation"]), (&json!("7"), &json!(2)));
    assert_eq!(lab.get(&format!("{V1}/a")).await.ok()["hostPort"], "x:7");
    let again = lab.merge(&format!("{V2}/a"), &json!({"port": "7"})).await.ok();
    assert_eq!(again["metadata"]["resourceVersion"], patched["metadata"]["resourceVersion"], "no change, no write");
    let dry = lab.post(&format!("{V2}?dryRun=All"), &second("c", "z", "3")).await.ok();
    assert_eq!(dry["host"], "z");
    assert_eq!(lab.get(&format!("{V1}/c")).await.code, 404);
    // From now on stored in version 2, beside what is there already.
    let path = format!("{CRDS}/hosts.example.com");
    let versions = definition(&hook, "v2")["spec"]["versions"].clone();
    lab.merge(&path, &json!({"spec": {"versions": versions}})).await.ok();
    lab.post(V1, &first("d", "w:4")).await.ok();
    hook.asked();
    let listed = lab.get(V2).await.ok();
    let hosts: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["host"]).collect();
    assert_eq!((hosts, &listed["kind"]), (vec![&json!("x"), &json!("y"), &json!("w")], &json!("HostList")));
    let asked = hook.asked();
    assert_eq!(
        (asked.len(), asked[0]["objects"].as_array().map(Vec::len)),
        (1, Some(2)),
        "one call for those of version 1"
    );
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = lab.send("GET", V1, &table, Body::empty()).await.ok();
    assert_eq!(table["rows"][2]["cells"][1], "w:4");
    lab.delete(&format!("{V1}/d")).await.ok();
    lab.delete(V2).await.ok();
    assert_eq!(lab.get(V1).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn selectors_and_watches_see_the_version_that_is_asked() {
    let (lab, _hook) = lab().await;
    let revision =
        lab.post(V1, &first("a", "x:1")).await.ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    lab.post(V1, &first("b", "y:1")).await.ok();
    let names = |listed: Value| -> Vec<String> {
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(lab.get(&format!("{V2}?fieldSelector=host=x")).await.ok()), ["a"]);
    assert_eq!(names(lab.get(&format!("{V2}?fieldSelector=host=x,port=2")).await.ok()), Vec::<String>::new());
    assert_eq!(names(lab.get(&format!("{V1}?fieldSelector=hostPort=y:1")).await.ok()), ["b"]);
    assert_eq!(lab.get(&format!("{V2}?fieldSelector=hostPort=y:1")).await.code, 400);
    let mut lines = Lines::open(
        &lab,
        &format!("{V2}?watch=true&fieldSelector=host=x&resourceVersion={revision}"),
        "application/json",
    )
    .await;
    let mut from_start = Lines::open(&lab, &format!("{V2}?watch=true&fieldSelector=port=1"), "application/json").await;
    assert_eq!(from_start.brief().await, ("ADDED".to_owned(), "a".to_owned()));
    lab.merge(&format!("{V1}/b"), &json!({"hostPort": "x:9"})).await.ok();
    lab.merge(&format!("{V1}/a"), &json!({"hostPort": "z:1"})).await.ok();
    let event = lines.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["port"]), (&json!("ADDED"), &json!("9")));
    let event = lines.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["host"]), (&json!("DELETED"), &json!("x")));
}

#[tokio::test]
async fn owners_follow_fields_through_versions() {
    let (lab, _hook) = lab().await;
    let apply = |uri: String, body: Value| {
        let lab = &lab;
        async move { lab.send("PATCH", &uri, &[("content-type", "application/apply-patch+yaml")], body.to_string()).await }
    };
    apply(format!("{V1}/a?fieldManager=one"), first("a", "x:1")).await.ok();
    let clash = apply(format!("{V2}/a?fieldManager=two"), second("a", "q", "1")).await;
    assert_eq!(clash.code, 409, "{clash:?}");
    let forced = apply(format!("{V2}/a?fieldManager=two&force=true"), second("a", "q", "1")).await.ok();
    assert_eq!(forced["host"], "q");
    assert_eq!(lab.get(&format!("{V1}/a")).await.ok()["hostPort"], "q:1");
}

#[tokio::test]
async fn what_cannot_be_converted_is_an_error() {
    let (lab, hook) = lab().await;
    lab.post(V1, &first("stubborn", "x:1")).await.ok();
    let told = json!("conversion webhook for example.com/v1, Kind=Host failed: I will not");
    for refused in [lab.get(&format!("{V2}/stubborn")).await, lab.get(V2).await] {
        assert_eq!((refused.code, &refused.json()["message"]), (500, &told));
    }
    lab.get(&format!("{V1}/stubborn")).await.ok();
    let refused = lab.post(V2, &second("other", "x", "1")).await;
    assert_eq!(refused.code, 201, "{refused:?}");
    let mut nowhere = definition(&hook, "v1");
    nowhere["spec"]["conversion"]["webhook"]["clientConfig"] =
        json!({"service": {"namespace": "default", "name": "gone", "path": "/convert"}});
    let path = format!("{CRDS}/hosts.example.com");
    lab.merge(
        &path,
        &json!({"spec": {"conversion": {"webhook": {"clientConfig": {"url": null, "caBundle": null,
        "service": {"namespace": "default", "name": "gone", "path": "/convert"}}}}}}),
    )
    .await
    .ok();
    let refused = lab.get(&format!("{V2}/other")).await.json();
    let told = "conversion webhook for example.com/v1, Kind=Host failed: Post \"https://gone.default.svc:443/convert?timeout=30s\": service \"gone\" not found";
    assert_eq!(refused["message"], told);
    nowhere["spec"]["conversion"]["webhook"]["conversionReviewVersions"] = json!([]);
    nowhere["metadata"]["name"] = json!("others.example.com");
    nowhere["spec"]["names"] = json!({"plural": "others", "singular": "other", "kind": "Other"});
    let refused = lab.post(CRDS, &nowhere).await;
    assert!(
        refused.code == 422
            && refused.json()["message"]
                .as_str()
                .unwrap()
                .contains("spec.conversion.conversionReviewVersions: Required value")
    );
}
