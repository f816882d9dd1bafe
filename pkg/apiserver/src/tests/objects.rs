//! The life of objects: create, read in every shape, change, delete.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::lab::{Lab, config_map, deployment, pod, service};
use crate::identity::MASTERS;

const NS: &str = "/api/v1/namespaces/default";
const TABLE: &[(&str, &str)] = &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];

#[tokio::test]
async fn a_typed_client_creates_scales_and_deletes() {
    let lab = Lab::new().await;
    let client = lab.server.client("admin", [MASTERS]);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let blue: Deployment = serde_json::from_value(deployment("blue")).unwrap();
    let made = deployments.create(&PostParams::default(), &blue).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.spec.replicas, Some(1));
    let (params, ten) = (PatchParams::default(), Patch::Merge(json!({"spec": {"replicas": 10}})));
    let scaled = deployments.patch_scale("blue", &params, &ten).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(10));
    let read = deployments.get("blue").await.unwrap();
    assert_eq!((read.metadata.generation, read.spec.replicas), (Some(2), Some(10)));
    let status = json!({"status": {"replicas": 10, "observedGeneration": 2}, "spec": {"replicas": 1}});
    deployments.patch_status("blue", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let read = deployments.get("blue").await.unwrap();
    assert_eq!((read.spec.replicas, read.status.unwrap().replicas), (Some(10), Some(10)));
    let services: Api<Service> = Api::namespaced(client, "default");
    let made =
        services.create(&PostParams::default(), &serde_json::from_value(service("blue")).unwrap()).await.unwrap();
    assert!(made.spec.unwrap().cluster_ip.unwrap().starts_with("10."));
    let listed = services.list(&ListParams::default().labels("app=blue")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    deployments.delete("blue", &DeleteParams::default()).await.unwrap();
    assert!(deployments.get_opt("blue").await.unwrap().is_none());
}

#[tokio::test]
async fn bootstrap_twice_changes_nothing() {
    let lab = Lab::new().await;
    let before = lab.get("/api/v1/services").await.ok();
    lab.server.bootstrap().await.unwrap();
    assert_eq!(lab.get("/api/v1/services").await.ok()["metadata"], before["metadata"]);
    let addresses: BTreeMap<&str, &str> = before["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["metadata"]["name"].as_str().unwrap(), item["spec"]["clusterIP"].as_str().unwrap()))
        .collect();
    assert_eq!(addresses, BTreeMap::from([("kubernetes", "10.96.0.1"), ("kube-dns", "10.96.0.10")]));
    let slice = lab.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await.ok();
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["172.30.0.2"]));
}

#[tokio::test]
async fn shapes_of_answers() {
    let lab = Lab::new().await;
    lab.post(&format!("{NS}/services"), &service("a")).await.ok();
    let table = lab.send("GET", &format!("{NS}/services"), TABLE, "").await.ok();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = lab.send("GET", &format!("{NS}/services/a?includeObject=None"), TABLE, "").await.ok();
    assert_eq!((one["rows"].as_array().unwrap().len(), &one["rows"][0]["object"]), (1, &Value::Null));
    let partial = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let metadata = lab.send("GET", &format!("{NS}/services"), &partial, "").await.ok();
    assert_eq!((&metadata["kind"], metadata["items"][0].get("spec")), (&json!("PartialObjectMetadataList"), None));
    let yaml = lab.send("GET", &format!("{NS}/services/a"), &[("accept", "application/yaml")], "").await;
    assert!(String::from_utf8_lossy(&yaml.body).contains("kind: Service\n"), "{yaml:?}");
    let plain = lab.get(&format!("{NS}/services")).await.ok();
    assert_eq!((&plain["kind"], plain["items"][0].get("kind")), (&json!("ServiceList"), None));
    let curl = lab.send("GET", &format!("{NS}/services/a"), &[("user-agent", "curl/8")], "").await;
    assert!(curl.body.starts_with(b"{\n  \"apiVersion\""), "{curl:?}");
    let refusal = lab.send("GET", &format!("{NS}/services/no"), &[("user-agent", "curl/8")], "").await;
    assert!(refusal.body.starts_with(b"{\n  \"kind\": \"Status\","), "{refusal:?}");
}

#[tokio::test]
async fn bodies_in_every_encoding() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: written\ndata:\n  a: 'x'\n";
    let made = lab.send("POST", &uri, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!(made.ok()["data"]["a"], "x");
    let bare = lab.send("POST", &uri, &[], config_map("bare").to_string()).await;
    assert_eq!(bare.code, 201);
    let recorded = include_bytes!("../../../api/testdata/protobuf/deployment.bin");
    let protobuf = [
        ("content-type", "application/vnd.kubernetes.protobuf"),
        ("accept", "application/vnd.kubernetes.protobuf,application/json"),
    ];
    let uri = "/apis/apps/v1/namespaces/default/deployments?fieldManager=kubectl-create&fieldValidation=Strict";
    let made = lab.send("POST", uri, &protobuf, &recorded[..]).await.ok();
    assert_eq!((&made["kind"], &made["metadata"]["generation"]), (&json!("Deployment"), &json!(1)));
}

#[tokio::test]
async fn answers_in_protobuf_for_those_who_take_nothing_else() {
    use minisvc_api::protobuf::{CONTENT_TYPE, decode};
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    let only = [("accept", CONTENT_TYPE)];
    let made = lab.send("POST", &uri, &only, config_map("bare").to_string()).await;
    assert_eq!((made.code, &made.headers["content-type"]), (201, &CONTENT_TYPE.parse().unwrap()));
    let json = lab.get(&format!("{uri}/bare")).await.ok();
    assert_eq!(decode(&made.body).unwrap(), json);
    let list = decode(&lab.send("GET", &uri, &only, "").await.body).unwrap();
    assert_eq!((&list["kind"], &list["items"][0]["data"]), (&json!("ConfigMapList"), &json["data"]));
    let missing = lab.send("GET", &format!("{uri}/none"), &only, "").await;
    let status = decode(&missing.body).unwrap();
    assert_eq!((missing.code, &status["reason"], &status["code"]), (404, &json!("NotFound"), &json!(404)));
    // Metadata alone comes in what is named first.
    let shape = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let both = format!("{CONTENT_TYPE};{shape},application/json;{shape},application/json");
    let metadata = decode(&lab.send("GET", &uri, &[("accept", &both)], "").await.body).unwrap();
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert_eq!(metadata["items"][0], json!({"metadata": json["metadata"]}));
    // A watch is frames of four bytes of length and an event around a body.
    let watch = format!("{uri}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name=bare");
    let watched = lab.send("GET", &watch, &only, "").await;
    assert_eq!(watched.headers["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let (length, event) = watched.body.split_first_chunk::<4>().unwrap();
    assert_eq!((u32::from_be_bytes(*length) as usize, &event[2..7]), (event.len(), &b"ADDED"[..]));
    let start = event.windows(4).position(|bytes| bytes == b"k8s\0").unwrap();
    assert_eq!(decode(&event[start..]).unwrap(), json);
}

#[tokio::test]
async fn pages_show_one_moment() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    for name in ["a", "b", "c", "d", "e"] {
        lab.post(&uri, &config_map(name)).await.ok();
    }
    let first = lab.get(&format!("{uri}?limit=2")).await.ok();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    lab.delete(&format!("{uri}/d")).await.ok();
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().into()).collect()
    };
    let mut all = names(&first);
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"].as_str() {
        page = lab.get(&format!("{uri}?limit=2&continue={token}")).await.ok();
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        all.extend(names(&page));
    }
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    let rv = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = lab.get(&format!("{uri}?resourceVersion={rv}&resourceVersionMatch=Exact")).await.ok();
    assert_eq!(names(&exact).len(), 5);
    assert_eq!(names(&lab.get(&uri).await.ok()), ["a", "b", "c", "e"]);
}

#[tokio::test]
async fn pods_are_completed_bound_and_deleted_with_grace() {
    let lab = Lab::new().await;
    let made = lab.post(&format!("{NS}/pods"), &pod("p")).await.ok();
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    let volume = made["spec"]["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-") && volume.len() == 21, "{volume}");
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"][0]["name"], volume);
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!((&made["spec"]["priority"], &made["spec"]["enableServiceLinks"]), (&json!(0), &json!(true)));

    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node1"}});
    lab.post(&format!("{NS}/pods/p/binding"), &binding).await.ok();
    assert_eq!(lab.post(&format!("{NS}/pods/p/binding"), &binding).await.code, 409);
    let marked = lab.delete(&format!("{NS}/pods/p")).await.ok();
    assert_eq!((&marked["kind"], &marked["metadata"]["deletionGracePeriodSeconds"]), (&json!("Pod"), &json!(30)));
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let again = lab.delete(&format!("{NS}/pods/p")).await.ok();
    assert_eq!(again["metadata"], marked["metadata"]);
    lab.delete(&format!("{NS}/pods/p?gracePeriodSeconds=0")).await.ok();
    assert_eq!(lab.get(&format!("{NS}/pods/p")).await.code, 404);

    lab.post(&format!("{NS}/pods"), &pod("never-scheduled")).await.ok();
    lab.delete(&format!("{NS}/pods/never-scheduled")).await.ok();
    assert_eq!(lab.get(&format!("{NS}/pods/never-scheduled")).await.code, 404);
}

#[tokio::test]
async fn finalizers_and_propagation_hold_objects() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    lab.post(&uri, &held).await.ok();
    let marked = lab.delete(&format!("{uri}/held")).await.ok();
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    let more = lab
        .merge(&format!("{uri}/held"), &json!({"metadata": {"finalizers": ["example.com/hold", "example.com/b"]}}))
        .await;
    assert_eq!(more.code, 422, "{more:?}");
    lab.merge(&format!("{uri}/held"), &json!({"metadata": {"finalizers": null}})).await.ok();
    assert_eq!(lab.get(&format!("{uri}/held")).await.code, 404);

    lab.post(&uri, &config_map("parent")).await.ok();
    let foreground = json!({"propagationPolicy": "Foreground"});
    let kept = lab.send("DELETE", &format!("{uri}/parent"), &[], foreground.to_string()).await.ok();
    assert_eq!(kept["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let status = lab.delete(&format!("{uri}/parent")).await.ok();
    assert_eq!(status["metadata"]["finalizers"], json!(["foregroundDeletion"]));

    // Nothing said: dependents of a ReplicationController stay, those of others go.
    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"},
        "spec": {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let controllers = format!("{NS}/replicationcontrollers");
    lab.post(&controllers, &controller).await.ok();
    let left = lab.delete(&format!("{controllers}/rc")).await.ok();
    assert_eq!(left["metadata"]["finalizers"], json!(["orphan"]));
    let background = json!({"propagationPolicy": "Background"});
    lab.send("DELETE", &format!("{controllers}/rc"), &[], background.to_string()).await.ok();
    assert_eq!(lab.get(&format!("{controllers}/rc")).await.code, 404);

    lab.post(&uri, &config_map("plain")).await.ok();
    let status = lab.delete(&format!("{uri}/plain")).await.ok();
    assert_eq!((&status["status"], &status["details"]["kind"]), (&json!("Success"), &json!("configmaps")));
    assert!(status["details"]["uid"].is_string());
    for name in ["x", "y"] {
        lab.post(&uri, &config_map(name)).await.ok();
    }
    let removed = lab.delete(&format!("{uri}?fieldSelector=metadata.name%3Dx")).await.ok();
    assert_eq!((&removed["kind"], removed["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 1));
    assert_eq!(lab.get(&format!("{uri}/y")).await.code, 200);
}

#[tokio::test]
async fn namespaces_die_through_finalize() {
    let lab = Lab::new().await;
    let client = lab.server.client("admin", [MASTERS]);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let body: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "e2e-"}})).unwrap();
    let made = namespaces.create(&PostParams::default(), &body).await.unwrap();
    let name = made.metadata.name.unwrap();
    assert_eq!(name.len(), 9);
    assert_eq!(made.metadata.labels.unwrap()["kubernetes.io/metadata.name"], name);
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    let dying = lab.get(&format!("/api/v1/namespaces/{name}")).await.ok();
    assert_eq!(
        (&dying["status"]["phase"], &dying["spec"]["finalizers"]),
        (&json!("Terminating"), &json!(["kubernetes"]))
    );
    let refused = lab.post(&format!("/api/v1/namespaces/{name}/configmaps"), &config_map("c")).await;
    assert_eq!(
        (refused.code, &refused.json()["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    let mut done = dying.clone();
    done["spec"]["finalizers"] = json!([]);
    lab.put(&format!("/api/v1/namespaces/{name}/finalize"), &done).await.ok();
    assert_eq!(lab.get(&format!("/api/v1/namespaces/{name}")).await.code, 404);
}

#[tokio::test]
async fn many_writers_of_one_object_all_win() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    lab.post(&uri, &config_map("shared")).await.ok();
    let one = format!("{uri}/shared");
    let changes: Vec<Value> = (0..20).map(|i| json!({"data": {format!("k{i}"): "v"}})).collect();
    let writers = changes.iter().map(|change| lab.merge(&one, change));
    for answer in futures::future::join_all(writers).await {
        answer.ok();
    }
    assert_eq!(lab.get(&format!("{uri}/shared")).await.ok()["data"].as_object().unwrap().len(), 21);
}

#[tokio::test]
async fn service_account_tokens_live_as_long_as_their_pod() {
    let lab = Lab::new().await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    let node = lab.post("/api/v1/nodes", &node).await.ok();
    let mut on_node = pod("p");
    on_node["spec"]["nodeName"] = json!("n");
    let made = lab.post(&format!("{NS}/pods"), &on_node).await.ok();
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]});
    let request = json!({"spec": {"boundObjectRef": bound, "expirationSeconds": 3607}});
    let answer = lab.post(&format!("{NS}/serviceaccounts/default/token"), &request).await.ok();
    let token = answer["status"]["token"].as_str().unwrap();
    let review = json!({"spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let status = lab.post(reviews, &review).await.ok()["status"].clone();
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/node-name"], json!(["n"]));
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/node-uid"], json!([node["metadata"]["uid"]]));
    let elsewhere = json!({"spec": {"token": token, "audiences": ["other"]}});
    assert_eq!(lab.post(reviews, &elsewhere).await.ok()["status"]["authenticated"], false);
    let forged = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(lab.post(reviews, &json!({"spec": {"token": forged}})).await.ok()["status"]["authenticated"], false);
    lab.send("DELETE", &format!("{NS}/pods/p"), &[], json!({"gracePeriodSeconds": 0}).to_string()).await.ok();
    assert_eq!(lab.post(reviews, &review).await.ok()["status"]["authenticated"], false);
}

#[tokio::test]
async fn evictions_respect_budgets() {
    let lab = Lab::new().await;
    let client = lab.server.client("admin", [MASTERS]);
    let pods: Api<Pod> = Api::namespaced(client, "default");
    pods.create(&PostParams::default(), &serde_json::from_value(pod("p")).unwrap()).await.unwrap();
    pods.evict("p", &kube::api::EvictParams::default()).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn events_are_one_record_in_two_groups() {
    let lab = Lab::new().await;
    let core = json!({
        "metadata": {"name": "e"}, "message": "hello", "reason": "Because", "type": "Normal", "count": 2,
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "source": {"component": "me"},
    });
    lab.post(&format!("{NS}/events"), &core).await.ok();
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let read = lab.get(&format!("{newer}/e")).await.ok();
    assert_eq!(
        (&read["apiVersion"], &read["note"], &read["regarding"]["name"]),
        (&json!("events.k8s.io/v1"), &json!("hello"), &json!("p"))
    );
    let listed = lab.get(newer).await.ok();
    assert_eq!((&listed["kind"], &listed["items"][0]["note"]), (&json!("EventList"), &json!("hello")));
    lab.merge(
        &format!("{newer}/e"),
        &json!({"series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}),
    )
    .await
    .ok();
    let back = lab.get(&format!("{NS}/events?fieldSelector=involvedObject.name%3Dp")).await.ok();
    assert_eq!((&back["items"][0]["message"], &back["items"][0]["series"]["count"]), (&json!("hello"), &json!(3)));
    for (path, selector, found) in [
        (newer, "regarding.name%3Dp,reason%3DBecause", 1),
        (newer, "regarding.name%3Dq", 0),
        (newer, "reportingController%3Dme", 0),
        (&format!("{NS}/events"), "source%3Dme", 1),
    ] {
        let listed = lab.get(&format!("{path}?fieldSelector={selector}")).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), found, "{selector}");
    }
    let foreign = lab.get(&format!("{NS}/events?fieldSelector=regarding.name%3Dp")).await;
    assert_eq!((foreign.code, &foreign.json()["message"]), (400, &json!("field label not supported: regarding.name")));
    let table = lab.send("GET", newer, TABLE, "").await.ok();
    assert_eq!(table["columnDefinitions"][0]["name"], "Last Seen");
}

#[tokio::test]
async fn discovery_and_openapi_are_tagged() {
    let lab = Lab::new().await;
    let aggregated =
        [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    for (uri, accept, kind) in [
        ("/apis", &aggregated[..], "APIGroupDiscoveryList"),
        ("/api", &aggregated[..], "APIGroupDiscoveryList"),
        ("/apis", &[][..], "APIGroupList"),
        ("/api", &[][..], "APIVersions"),
        ("/api/v1", &[][..], "APIResourceList"),
        ("/apis/apps/v1", &[][..], "APIResourceList"),
        ("/apis/apps", &[][..], "APIGroup"),
    ] {
        let answer = lab.send("GET", uri, accept, "").await;
        assert_eq!(answer.ok()["kind"], kind, "{uri}");
        let tag = answer.headers["etag"].to_str().unwrap().to_owned();
        let mut again = accept.to_vec();
        again.push(("if-none-match", &tag));
        assert_eq!(lab.send("GET", uri, &again, "").await.code, 304, "{uri}");
    }
    let index = lab.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(lab.get(url).await.ok()["components"]["schemas"].is_object());
    assert_eq!(lab.get("/version").await.ok()["gitVersion"], "v1.37.0+minisvc");
    assert_eq!(lab.get("/apis/nope.io/v1/x").await.body, "404 page not found\n");
    assert!(lab.get("/").await.ok()["paths"].as_array().unwrap().contains(&json!("/apis/apps/v1")));
}
