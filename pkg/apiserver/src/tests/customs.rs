//! CustomResourceDefinitions and the kinds that they add, as clients see them.

use serde_json::{Value, json};

use super::lab::{Answer, Lab};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRONS: &str = "/apis/example.com/v1/namespaces/default/crons";
const TABLE: &[(&str, &str)] = &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "crons.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "crons", "singular": "cron", "kind": "Cron", "shortNames": ["cr"], "categories": ["all"]},
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true,
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                    "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "required": ["color"], "properties": {
                            "color": {"type": "string", "description": "Paint."},
                            "replicas": {"type": "integer", "minimum": 0, "default": 2},
                            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                        }},
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    }}},
                },
                {
                    "name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                },
            ],
        },
    })
}

fn cron(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Cron", "metadata": {"name": name}, "spec": spec})
}

async fn lab() -> Lab {
    let lab = Lab::new().await;
    let made = lab.post(CRDS, &definition()).await;
    assert_eq!(made.code, 201, "{made:?}");
    lab
}

#[tokio::test]
async fn what_is_not_there_cannot_be_replaced_whatever_is_wrong_with_the_body() {
    let lab = lab().await;
    // No resourceVersion, and nothing of what the schema asks for.
    let answer = lab.put(&format!("{CRONS}/none"), &cron("none", json!({}))).await;
    assert_eq!((answer.code, &answer.json()["reason"]), (404, &json!("NotFound")), "{answer:?}");
}

#[tokio::test]
async fn only_the_metadata_of_custom_objects_has_a_form_in_protobuf() {
    use minisvc_api::protobuf::{CONTENT_TYPE, decode};
    let lab = lab().await;
    let made = lab.post(CRONS, &cron("a", json!({"color": "red"}))).await.ok();
    let uri = format!("{CRONS}/a");
    let whole = lab.send("GET", &uri, &[("accept", CONTENT_TYPE)], "").await;
    let said = "only the following media types are accepted: application/json, application/yaml";
    assert_eq!((whole.code, &decode(&whole.body).unwrap()["message"]), (406, &json!(said)));
    let metadata = format!("{CONTENT_TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let got = decode(&lab.send("GET", &uri, &[("accept", &metadata)], "").await.body).unwrap();
    assert_eq!(got["metadata"], made["metadata"]);
}

fn condition(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|one| one["type"] == kind);
    found.and_then(|one| one["status"].as_str()).unwrap_or_default().to_owned()
}

fn warnings(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_definition_is_established_and_discovered() {
    let lab = Lab::new().await;
    assert_eq!(lab.get(CRONS).await.code, 404);
    lab.post(CRDS, &definition()).await.ok();
    let stored = lab.get(&format!("{CRDS}/crons.example.com")).await.ok();
    assert_eq!(
        (condition(&stored, "NamesAccepted"), condition(&stored, "Established")),
        ("True".into(), "True".into())
    );
    assert_eq!(stored["status"]["acceptedNames"]["listKind"], "CronList");
    let list = lab.get("/apis/example.com/v1").await.ok();
    let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["crons", "crons/scale", "crons/status"]);
    assert_eq!(list["resources"][0]["shortNames"], json!(["cr"]));
    let aggregated = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let groups = lab.send("GET", "/apis", &aggregated, "").await.ok();
    let own =
        groups["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "example.com").unwrap();
    assert_eq!(own["versions"][0]["version"], "v1");
    let index = lab.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = lab.get(&url).await.ok();
    let schema = &document["components"]["schemas"]["com.example.v1.Cron"];
    assert_eq!(schema["properties"]["spec"]["properties"]["color"]["description"], "Paint.");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Cron");
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/crons/{name}"]["patch"];
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_none());
    let v2 = lab.get("/openapi/v2").await.ok();
    assert!(v2["definitions"]["com.example.v1.Cron"]["properties"]["spec"].is_object());
}

#[tokio::test]
async fn objects_are_pruned_filled_and_judged() {
    let lab = lab().await;
    let made = lab.post(&format!("{CRONS}?fieldManager=me"), &cron("a", json!({"color": "red", "nonsense": 1}))).await;
    assert_eq!(warnings(&made), ["299 - \"unknown field \\\"spec.nonsense\\\"\""]);
    let made = made.ok();
    assert_eq!(made["spec"], json!({"color": "red", "replicas": 2}));
    assert_eq!((&made["metadata"]["generation"], &made["kind"]), (&json!(1), &json!("Cron")));
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "me");
    let strict =
        lab.post(&format!("{CRONS}?fieldValidation=Strict"), &cron("b", json!({"color": "red", "x": 1}))).await;
    assert_eq!(
        (strict.code, strict.json()["message"].as_str().unwrap().contains("unknown field \"spec.x\"")),
        (400, true)
    );
    let wrong = lab.post(CRONS, &cron("b", json!({"replicas": -1}))).await;
    assert_eq!(wrong.code, 422);
    assert_eq!(
        wrong.json()["message"],
        "Cron.example.com \"b\" is invalid: [spec.color: Required value, spec.replicas: Invalid value: -1: spec.replicas in \
         body should be greater than or equal to 0, .spec.replicas: Invalid value: -1: should be a non-negative integer]"
    );
    let listed = lab.get(CRONS).await.ok();
    assert_eq!((&listed["kind"], &listed["items"][0]["kind"]), (&json!("CronList"), &json!("Cron")));
    let table = lab.send("GET", CRONS, TABLE, "").await.ok();
    assert_eq!(
        (&table["columnDefinitions"][1]["name"], &table["rows"][0]["cells"]),
        (&json!("Color"), &json!(["a", "red"]))
    );
    let selected = |selector: &'static str| format!("{CRONS}?fieldSelector={selector}");
    assert_eq!(lab.get(&selected("spec.color%3Dred")).await.ok()["items"].as_array().unwrap().len(), 1);
    assert_eq!(lab.get(&selected("spec.color%3Dblue")).await.ok()["items"].as_array().unwrap().len(), 0);
    assert_eq!(lab.get(&selected("spec.replicas%3D1")).await.code, 400);
}

#[tokio::test]
async fn patches_status_and_scale() {
    let lab = lab().await;
    lab.post(CRONS, &cron("a", json!({"color": "red"}))).await.ok();
    let uri = format!("{CRONS}/a");
    let merged = lab.merge(&uri, &json!({"spec": {"color": "blue"}, "status": {"x": 1}})).await.ok();
    assert_eq!(
        (&merged["spec"]["color"], merged.get("status"), &merged["metadata"]["generation"]),
        (&json!("blue"), None, &json!(2))
    );
    let strategic = lab.send("PATCH", &uri, &[("content-type", "application/strategic-merge-patch+json")], "{}").await;
    assert_eq!(strategic.code, 415);
    assert_eq!(
        strategic.json()["message"],
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
    let status = lab.merge(&format!("{uri}/status"), &json!({"status": {"replicas": 1, "any": {"x": 1}}})).await.ok();
    assert_eq!((&status["status"]["any"], &status["metadata"]["generation"]), (&json!({"x": 1}), &json!(2)));
    let scaled = lab.merge(&format!("{uri}/scale"), &json!({"spec": {"replicas": 7}})).await.ok();
    assert_eq!(
        (&scaled["kind"], &scaled["spec"]["replicas"], &scaled["status"]["replicas"]),
        (&json!("Scale"), &json!(7), &json!(1))
    );
    assert_eq!(lab.get(&uri).await.ok()["spec"]["replicas"], 7);
    let unversioned = lab.put(&uri, &cron("a", json!({"color": "red"}))).await;
    assert_eq!(unversioned.code, 422, "{unversioned:?}");
    let apply = [("content-type", "application/apply-patch+yaml")];
    let body = cron("b", json!({"color": "red", "tags": ["x"]})).to_string();
    let made = lab.send("PATCH", &format!("{CRONS}/b?fieldManager=one"), &apply, body).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(
        made.json()["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"],
        json!({"f:color": {}, "f:tags": {"v:\"x\"": {}}})
    );
    let body = cron("b", json!({"color": "blue", "tags": ["y"]})).to_string();
    let refused = lab.send("PATCH", &format!("{CRONS}/b?fieldManager=two"), &apply, body).await;
    assert_eq!(refused.json()["message"], "Apply failed with 1 conflict: conflict with \"one\": .spec.color");
    let body = cron("b", json!({"color": "red", "tags": ["y"]})).to_string();
    let both = lab.send("PATCH", &format!("{CRONS}/b?fieldManager=two"), &apply, body).await.ok();
    assert_eq!(both["spec"]["tags"], json!(["x", "y"]));
}

#[tokio::test]
async fn every_version_shows_the_same_objects() {
    let lab = lab().await;
    lab.post(CRONS, &cron("a", json!({"color": "red"}))).await.ok();
    let beta = "/apis/example.com/v1beta1/namespaces/default/crons";
    let read = lab.get(&format!("{beta}/a")).await;
    assert_eq!(warnings(&read), ["299 - \"example.com/v1beta1 Cron is deprecated\""]);
    assert_eq!((&read.ok()["apiVersion"], &read.ok()["spec"]["color"]), (&json!("example.com/v1beta1"), &json!("red")));
    let mut other = cron("b", json!({"color": "blue", "own": 1}));
    other["apiVersion"] = json!("example.com/v1beta1");
    assert_eq!(lab.post(beta, &other).await.ok()["apiVersion"], "example.com/v1beta1");
    assert_eq!(lab.get(&format!("{CRONS}/b")).await.ok()["apiVersion"], "example.com/v1");
    let listed = lab.get(beta).await.ok();
    assert!(listed["items"].as_array().unwrap().iter().all(|item| item["apiVersion"] == "example.com/v1beta1"));
}

#[tokio::test]
async fn a_definition_goes_with_its_objects() {
    let lab = lab().await;
    lab.post(CRONS, &cron("a", json!({"color": "red"}))).await.ok();
    let mut held = cron("held", json!({"color": "red"}));
    held["metadata"]["finalizers"] = json!(["hold.example.com"]);
    lab.post(CRONS, &held).await.ok();
    lab.delete(&format!("{CRDS}/crons.example.com")).await.ok();
    let going = lab.get(&format!("{CRDS}/crons.example.com")).await.ok();
    assert_eq!(condition(&going, "Terminating"), "True");
    assert_eq!(going["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(lab.get(&format!("{CRONS}/a")).await.code, 404);
    let late = lab.post(CRONS, &cron("late", json!({"color": "red"}))).await;
    assert_eq!((late.code, late.json()["message"].as_str().unwrap().contains("is terminating")), (405, true));
    lab.merge(&format!("{CRONS}/held"), &json!({"metadata": {"finalizers": null}})).await.ok();
    assert_eq!(lab.get(&format!("{CRDS}/crons.example.com")).await.code, 404);
    assert_eq!((lab.get(CRONS).await.code, lab.get("/apis/example.com").await.code), (404, 404));
    // And again from the start.
    lab.post(CRDS, &definition()).await.ok();
    assert_eq!(lab.get(CRONS).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn definitions_change_what_is_served() {
    let lab = lab().await;
    let uri = format!("{CRDS}/crons.example.com");
    let mut changed = lab.get(&uri).await.ok();
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
        json!({"type": "string"});
    changed["spec"]["versions"][1]["served"] = json!(false);
    lab.put(&uri, &changed).await.ok();
    let made = lab.post(CRONS, &cron("a", json!({"color": "red", "size": "big"}))).await.ok();
    assert_eq!(made["spec"]["size"], "big");
    assert_eq!(lab.get("/apis/example.com/v1beta1").await.code, 404);
    let mut wrong = definition();
    wrong["metadata"]["name"] = json!("x.example.com");
    assert_eq!(lab.post(CRDS, &wrong).await.code, 422);
    let mut rival = definition();
    rival["metadata"]["name"] = json!("rivals.example.com");
    rival["spec"]["names"] = json!({"plural": "rivals", "kind": "Cron"});
    lab.post(CRDS, &rival).await.ok();
    let rival = lab.get(&format!("{CRDS}/rivals.example.com")).await.ok();
    assert_eq!(
        (condition(&rival, "NamesAccepted"), condition(&rival, "Established")),
        ("False".into(), "False".into())
    );
    assert_eq!(lab.get("/apis/example.com/v1/namespaces/default/rivals").await.code, 404);
    lab.delete(&uri).await.ok();
    let rival = lab.get(&format!("{CRDS}/rivals.example.com")).await.ok();
    assert_eq!(condition(&rival, "Established"), "True");
    let mut ruled = definition();
    ruled["metadata"]["name"] = json!("rules.other.com");
    ruled["spec"]["group"] = json!("other.com");
    ruled["spec"]["names"] = json!({"plural": "rules", "kind": "Rule"});
    ruled["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] =
        json!([{"rule": "has(self.spec) && self.spec.color != 'grey'", "message": "no grey"}]);
    let made = lab.post(CRDS, &ruled).await;
    assert_eq!((made.code, warnings(&made)), (201, Vec::new()), "{made:?}");
    let rule = |color: &str| json!({"apiVersion": "other.com/v1", "kind": "Rule", "metadata": {"name": color}, "spec": {"color": color}});
    lab.post("/apis/other.com/v1/namespaces/default/rules", &rule("blue")).await.ok();
    let refused = lab.post("/apis/other.com/v1/namespaces/default/rules", &rule("grey")).await;
    let message = refused.json()["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (refused.code, message.as_str()),
        (422, "Rule.other.com \"grey\" is invalid: <nil>: Invalid value: no grey")
    );
}

#[tokio::test]
async fn objects_are_read_as_their_schema_is_now() {
    let lab = lab().await;
    lab.post(CRONS, &cron("a", json!({"color": "red"}))).await.ok();
    let mut changed = lab.get(&format!("{CRDS}/crons.example.com")).await.ok();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    changed.pointer_mut(spec).unwrap()["size"] = json!({"type": "string", "default": "big"});
    lab.put(&format!("{CRDS}/crons.example.com"), &changed).await.ok();
    let uri = format!("{CRONS}/a");
    assert_eq!(lab.get(&uri).await.ok()["spec"]["size"], "big");
    assert_eq!(lab.get(CRONS).await.ok()["items"][0]["spec"]["size"], "big");
    let document = lab.get("/openapi/v2").await.ok();
    let schema = &document["definitions"]["com.example.v1.Cron"]["properties"]["spec"]["properties"];
    assert_eq!((&schema["size"]["default"], &schema["replicas"]["minimum"]), (&json!("big"), &json!(0)));
    assert_eq!(
        document["definitions"]["com.example.v1beta1.Cron"],
        json!({"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1beta1", "kind": "Cron"}]})
    );
}
