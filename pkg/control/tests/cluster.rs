//! The controllers against the real API server, in process: what a student's commands set in motion, to the end.

mod lab;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Resource as _, ResourceExt};
use lab::{Lab, deployment, is_ready, object};
use serde_json::json;

const LONG: Duration = Duration::from_secs(3600);

fn service(name: &str, app: &str) -> Service {
    object(json!({ "metadata": { "name": name }, "spec": { "selector": { "app": app }, "ports": [{ "port": 80 }] } }))
}

fn addresses(endpoints: &[Endpoints], name: &str) -> Vec<String> {
    let mine = endpoints.iter().filter(|e| e.name_any() == name);
    let subsets = mine.flat_map(|e| e.subsets.iter().flatten());
    subsets.flat_map(|s| s.addresses.iter().flatten()).map(|a| a.ip.clone()).collect()
}

fn slice_addresses(slices: &[EndpointSlice], service: &str) -> Vec<String> {
    let mine = slices.iter().filter(|s| s.labels().get("kubernetes.io/service-name").is_some_and(|n| n == service));
    let endpoints = mine.flat_map(|s| s.endpoints.iter().flatten());
    let ready = endpoints.filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
    let mut all: Vec<_> = ready.map(|e| e.addresses[0].clone()).collect();
    all.sort();
    all
}

async fn settled(lab: &Lab, name: &str, replicas: i32) -> Deployment {
    let api: Api<Deployment> = lab.api();
    let what = format!("{name} has {replicas} available replicas");
    let all = lab
        .until(api, &what, |all| {
            all.iter().any(|d| {
                let status = d.status.clone().unwrap_or_default();
                d.name_any() == name
                    && status.observed_generation == d.metadata.generation
                    && status.available_replicas.unwrap_or(0) == replicas
                    && status.updated_replicas.unwrap_or(0) == replicas
                    && status.replicas.unwrap_or(0) == replicas
            })
        })
        .await;
    all.into_iter().find(|d| d.name_any() == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_deployment_to_endpoints_and_back() {
    let lab = Lab::new(LONG).await;
    lab.nodes(3).await;
    let _kubelets = lab.kubelets();
    let (pods, deployments): (Api<Pod>, Api<Deployment>) = (lab.api(), lab.api());
    lab.api::<Service>().create(&PostParams::default(), &service("blue", "blue")).await.unwrap();
    deployments.create(&PostParams::default(), &deployment("blue", 10, "jpetazzo/color")).await.unwrap();

    // Ten pods, ten addresses, spread over the nodes.
    let done = settled(&lab, "blue", 10).await;
    assert_eq!(done.annotations()["deployment.kubernetes.io/revision"], "1");
    let all = pods.list(&Default::default()).await.unwrap().items;
    let mut spread: BTreeMap<String, usize> = BTreeMap::new();
    for pod in &all {
        *spread.entry(pod.spec.as_ref().unwrap().node_name.clone().unwrap()).or_default() += 1;
        let hash = &pod.labels()["pod-template-hash"];
        assert!(pod.name_any().starts_with(&format!("blue-{hash}-")), "{}", pod.name_any());
    }
    let mut spread: Vec<_> = spread.into_values().collect();
    spread.sort_unstable();
    assert_eq!(spread, [3, 3, 4]);
    let slices =
        lab.until(lab.api::<EndpointSlice>(), "ten in slices", |s| slice_addresses(s, "blue").len() == 10).await;
    let endpoints = lab.until(lab.api::<Endpoints>(), "ten in Endpoints", |e| addresses(e, "blue").len() == 10).await;
    let mut in_endpoints = addresses(&endpoints, "blue");
    in_endpoints.sort();
    assert_eq!(in_endpoints, slice_addresses(&slices, "blue"));

    // An unready pod leaves both and returns.
    let one = all[0].name_any();
    lab::ready(&pods, &one, false).await;
    lab.until(lab.api::<EndpointSlice>(), "nine in slices", |s| slice_addresses(s, "blue").len() == 9).await;
    lab.until(lab.api::<Endpoints>(), "nine in Endpoints", |e| addresses(e, "blue").len() == 9).await;
    lab::ready(&pods, &one, true).await;
    lab.until(lab.api::<EndpointSlice>(), "ten again", |s| slice_addresses(s, "blue").len() == 10).await;

    // Scale down, then another image: all pods are of the new set, the old set is empty.
    let three = json!({ "spec": { "replicas": 3 } });
    deployments.patch("blue", &PatchParams::default(), &Patch::Merge(three)).await.unwrap();
    settled(&lab, "blue", 3).await;
    let image =
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "color", "image": "nginx" }] } } } });
    deployments.patch("blue", &PatchParams::default(), &Patch::Strategic(image)).await.unwrap();
    let rolled = settled(&lab, "blue", 3).await;
    assert_eq!(rolled.annotations()["deployment.kubernetes.io/revision"], "2");
    let now = lab
        .until(lab.api::<Pod>(), "three new pods", |p| {
            p.len() == 3 && p.iter().all(|p| p.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("nginx"))
        })
        .await;
    let expected: Vec<_> = now.iter().filter_map(|p| p.status.as_ref()?.pod_ip.clone()).collect();
    lab.until(lab.api::<EndpointSlice>(), "slices follow", |s| {
        let have = slice_addresses(s, "blue");
        have.len() == 3 && have.iter().all(|ip| expected.contains(ip))
    })
    .await;

    // Deletion takes sets and pods along; the service keeps an empty slice.
    deployments.delete("blue", &DeleteParams::background()).await.unwrap();
    lab.until(lab.api::<ReplicaSet>(), "no sets", <[_]>::is_empty).await;
    lab.until(lab.api::<Pod>(), "no pods", <[_]>::is_empty).await;
    lab.until(lab.api::<EndpointSlice>(), "an empty slice", |s| slice_addresses(s, "blue").is_empty() && s.len() == 2)
        .await;
    lab.api::<Service>().delete("blue", &DeleteParams::default()).await.unwrap();
    lab.until(lab.api::<Endpoints>(), "only kubernetes", |e| e.len() == 1).await;
    lab.until(lab.api::<EndpointSlice>(), "only kubernetes", |s| s.len() == 1).await;

    let events = lab
        .until(lab.api::<Event>(), "events", |e| e.iter().any(|e| e.reason.as_deref() == Some("SuccessfulDelete")))
        .await;
    let said =
        |reason: &str| events.iter().find(|e| e.reason.as_deref() == Some(reason)).and_then(|e| e.message.clone());
    assert!(said("ScalingReplicaSet").unwrap().starts_with("Scaled up replica set blue-"));
    assert!(said("Scheduled").unwrap().starts_with("Successfully assigned default/blue-"));
    assert!(said("SuccessfulCreate").unwrap().starts_with("Created pod: blue-"));
    assert!(!lab.controllers.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn foreground_and_orphaning_deletion() {
    let lab = Lab::new(LONG).await;
    lab.nodes(2).await;
    let _kubelets = lab.kubelets();
    let deployments: Api<Deployment> = lab.api();
    for name in ["fore", "orphan"] {
        deployments.create(&PostParams::default(), &deployment(name, 2, "nginx")).await.unwrap();
        settled(&lab, name, 2).await;
    }
    let policy = |p| DeleteParams { propagation_policy: Some(p), ..DeleteParams::default() };
    deployments.delete("fore", &policy(PropagationPolicy::Foreground)).await.unwrap();
    lab.until(deployments.clone(), "fore is gone", |d| d.len() == 1).await;
    // Its children went first.
    let pods = lab.api::<Pod>().list(&Default::default()).await.unwrap().items;
    assert!(pods.iter().all(|p| p.labels()["app"] == "orphan" || p.metadata.deletion_timestamp.is_some()), "{pods:?}");
    deployments.delete("orphan", &policy(PropagationPolicy::Orphan)).await.unwrap();
    lab.until(deployments, "orphan is gone", <[_]>::is_empty).await;
    let sets = lab.until(lab.api::<ReplicaSet>(), "one set without owner", |s| s.len() == 1).await;
    assert!(sets[0].metadata.owner_references.is_none(), "{sets:?}");
    assert_eq!(lab.api::<Pod>().list(&Default::default()).await.unwrap().items.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_come_with_furniture_and_go_with_everything() {
    let lab = Lab::new(LONG).await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    namespaces.create(&PostParams::default(), &object(json!({ "metadata": { "name": "blue" } }))).await.unwrap();
    let inside = || lab.client.clone();
    let accounts: Api<ServiceAccount> = Api::namespaced(inside(), "blue");
    let maps: Api<ConfigMap> = Api::namespaced(inside(), "blue");
    lab.until(accounts.clone(), "an account", |a| a.len() == 1).await;
    let there = lab.until(maps.clone(), "a certificate", |m| m.len() == 1).await;
    assert_eq!(there[0].data.as_ref().unwrap()["ca.crt"], "the root");
    maps.delete("kube-root-ca.crt", &DeleteParams::default()).await.unwrap();
    let uid = there[0].uid();
    lab.until(maps.clone(), "another certificate", |m| m.len() == 1 && m[0].uid() != uid).await;

    let deployments: Api<Deployment> = Api::namespaced(inside(), "blue");
    deployments.create(&PostParams::default(), &deployment("web", 3, "nginx")).await.unwrap();
    let services: Api<Service> = Api::namespaced(inside(), "blue");
    services.create(&PostParams::default(), &service("web", "web")).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(inside(), "blue");
    lab.until(pods.clone(), "three ready pods", |p| p.iter().filter(|p| is_ready(p)).count() == 3).await;
    namespaces.delete("blue", &DeleteParams::default()).await.unwrap();
    lab.until(namespaces, "blue is gone", |n| n.iter().all(|n| n.name_any() != "blue")).await;
    assert!(pods.list(&Default::default()).await.unwrap().items.is_empty());
    assert!(services.list(&Default::default()).await.unwrap().items.is_empty());
    assert!(accounts.list(&Default::default()).await.unwrap().items.is_empty());
    let slices: Api<EndpointSlice> = Api::namespaced(inside(), "blue");
    lab.until(slices, "no slices", <[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_loses_its_pods_and_a_removed_one_too() {
    let lab = Lab::new(Duration::from_secs(2)).await;
    lab.nodes(2).await;
    let nodes: Api<Node> = Api::all(lab.client.clone());
    let named = lab
        .until(nodes.clone(), "ranges", |n| n.iter().all(|n| n.spec.as_ref().is_some_and(|s| s.pod_cidr.is_some())))
        .await;
    assert_eq!(named[1].spec.as_ref().unwrap().pod_cidr.as_deref(), Some("10.244.2.0/24"));
    let daemon: DaemonSet = object(json!({ "metadata": { "name": "rng" }, "spec": {
        "selector": { "matchLabels": { "app": "rng" } },
        "template": { "metadata": { "labels": { "app": "rng" } }, "spec": { "containers": [{ "name": "c", "image": "nginx" }] } } } }));
    lab.api::<DaemonSet>().create(&PostParams::default(), &daemon).await.unwrap();
    lab.api::<Deployment>().create(&PostParams::default(), &deployment("blue", 4, "nginx")).await.unwrap();
    lab.api::<Service>().create(&PostParams::default(), &service("blue", "blue")).await.unwrap();
    let kubelets = lab.kubelets();
    let beats = async {
        loop {
            lab.beat("node1").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let story = async {
        settled(&lab, "blue", 4).await;
        lab.until(lab.api::<DaemonSet>(), "two daemons", |d| d[0].status.as_ref().is_some_and(|s| s.number_ready == 2))
            .await;
        // node2 says nothing: unknown, tainted, its pods leave the service and come back elsewhere.
        let silent = lab
            .until(nodes.clone(), "node2 is tainted", |n| {
                n.iter().any(|n| {
                    n.spec.as_ref().is_some_and(|s| {
                        s.taints.iter().flatten().filter(|t| t.key == "node.kubernetes.io/unreachable").count() == 2
                    })
                })
            })
            .await;
        let ready = silent[1]
            .status
            .as_ref()
            .unwrap()
            .conditions
            .as_ref()
            .unwrap()
            .iter()
            .find(|c| c.type_ == "Ready")
            .unwrap()
            .clone();
        assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("Unknown", Some("NodeStatusUnknown")));
        assert_eq!(silent[0].spec.as_ref().unwrap().taints, None);
        lab.until(lab.api::<Pod>(), "all of blue on node1", |p| {
            let on = |p: &&Pod| {
                p.labels().get("app").is_some_and(|a| a == "blue")
                    && is_ready(p)
                    && p.metadata.deletion_timestamp.is_none()
            };
            let blue: Vec<_> = p.iter().filter(on).collect();
            blue.len() == 4 && blue.iter().all(|p| p.spec.as_ref().unwrap().node_name.as_deref() == Some("node1"))
        })
        .await;
        nodes.delete("node2", &DeleteParams::default()).await.unwrap();
        lab.until(lab.api::<Pod>(), "nothing left on node2", |p| {
            p.iter().all(|p| p.spec.as_ref().unwrap().node_name.as_deref() != Some("node2"))
        })
        .await;
    };
    tokio::select! {
        () = beats => {}
        () = story => {}
    }
    kubelets.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_endpoints_are_mirrored_and_hopeless_things_explained() {
    let lab = Lab::new(LONG).await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    let (services, endpoints): (Api<Service>, Api<Endpoints>) = (lab.api(), lab.api());
    let bare: Service = object(json!({ "metadata": { "name": "certbot" }, "spec": { "ports": [{ "port": 80 }] } }));
    services.create(&PostParams::default(), &bare).await.unwrap();
    let by_hand: Endpoints = object(json!({ "metadata": { "name": "certbot" },
        "subsets": [{ "addresses": [{ "ip": "192.0.2.1" }], "ports": [{ "port": 8000 }] }] }));
    endpoints.create(&PostParams::default(), &by_hand).await.unwrap();
    lab.until(lab.api::<EndpointSlice>(), "mirrored", |s| slice_addresses(s, "certbot") == ["192.0.2.1"]).await;
    let other = json!({ "subsets": [{ "addresses": [{ "ip": "192.0.2.2" }], "ports": [{ "port": 8000 }] }] });
    endpoints.patch("certbot", &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    lab.until(lab.api::<EndpointSlice>(), "updated", |s| slice_addresses(s, "certbot") == ["192.0.2.2"]).await;
    endpoints.delete("certbot", &DeleteParams::default()).await.unwrap();
    lab.until(lab.api::<EndpointSlice>(), "gone", |s| s.len() == 1).await;

    lab.api::<Deployment>().create(&PostParams::default(), &deployment("blue", 1, "nginx")).await.unwrap();
    services.create(&PostParams::default(), &service("slip", "bleu")).await.unwrap();
    let mut picky = deployment("picky", 1, "nginx");
    picky.spec.template.spec.as_mut().unwrap().node_selector = Some([("disk".to_owned(), "ssd".to_owned())].into());
    lab.api::<Deployment>().create(&PostParams::default(), &picky).await.unwrap();
    let says = |events: &[Event], reason: &str, text: &str| {
        events
            .iter()
            .any(|e| e.reason.as_deref() == Some(reason) && e.message.as_deref().is_some_and(|m| m.starts_with(text)))
    };
    lab.until(lab.api::<Event>(), "explanations", |e| {
        says(e, "NoMatchingPods", "no pod matches selector app=bleu; did you mean app=blue?")
            && says(
                e,
                "FailedScheduling",
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption:",
            )
    })
    .await;
    lab.until(lab.api::<Pod>(), "the condition says it too", |p| {
        p.iter().any(|p| {
            let conditions = p.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
            conditions.iter().any(|c| {
                c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable")
            })
        })
    })
    .await;
    // The label appears: the pod is placed.
    let label = json!({ "metadata": { "labels": { "disk": "ssd" } } });
    Api::<Node>::all(lab.client.clone()).patch("node1", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    settled(&lab, "picky", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_adopted_and_strangers_released() {
    let lab = Lab::new(LONG).await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    let pods: Api<Pod> = lab.api();
    let alone: Pod = object(json!({ "metadata": { "name": "alone", "labels": { "app": "x" } },
        "spec": { "containers": [{ "name": "c", "image": "nginx" }] } }));
    lab.until(lab.api::<ServiceAccount>(), "an account", |a| a.iter().any(|a| a.name_any() == "default")).await;
    pods.create(&PostParams::default(), &alone).await.unwrap();
    let set: ReplicaSet = object(json!({ "metadata": { "name": "x" }, "spec": { "replicas": 2,
        "selector": { "matchLabels": { "app": "x" } },
        "template": { "metadata": { "labels": { "app": "x" } }, "spec": { "containers": [{ "name": "c", "image": "nginx" }] } } } }));
    lab.api::<ReplicaSet>().create(&PostParams::default(), &set).await.unwrap();
    lab.until(pods.clone(), "two pods, both owned", |p| {
        p.len() == 2 && p.iter().all(|p| p.owner_references().len() == 1)
    })
    .await;
    let away = json!({ "metadata": { "labels": { "app": "y" } } });
    pods.patch("alone", &PatchParams::default(), &Patch::Merge(away)).await.unwrap();
    let three = lab
        .until(pods, "a replacement", |p| {
            p.len() == 3 && p.iter().any(|p| p.name_any() == "alone" && p.owner_references().is_empty())
        })
        .await;
    assert_eq!(three.iter().filter(|p| p.owner_references().len() == 1).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pods_are_made_placed_and_served() {
    let lab = Lab::new(LONG).await;
    lab.nodes(3).await;
    let _kubelets = lab.kubelets();
    lab.api::<Service>().create(&PostParams::default(), &service("many", "many")).await.unwrap();
    let start = std::time::Instant::now();
    lab.api::<Deployment>().create(&PostParams::default(), &deployment("many", 1000, "nginx")).await.unwrap();
    settled(&lab, "many", 1000).await;
    println!("1000 pods available after {:?}", start.elapsed());
    let slices =
        lab.until(lab.api::<EndpointSlice>(), "all in slices", |s| slice_addresses(s, "many").len() == 1000).await;
    // In whatever batches the pods turn ready, at most one slice is half empty: 1000 fit into fewer than 21.
    assert!(slices.len() <= 20, "{} slices", slices.len());
    lab.until(lab.api::<Endpoints>(), "all in Endpoints", |e| addresses(e, "many").len() == 1000).await;
    println!("and in Endpoints after {:?}", start.elapsed());
    let none = json!({ "spec": { "replicas": 0 } });
    lab.api::<Deployment>().patch("many", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    let start = std::time::Instant::now();
    settled(&lab, "many", 0).await;
    lab.until(lab.api::<Pod>(), "all gone", <[_]>::is_empty).await;
    println!("gone after {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_defined_later_own_and_are_owned() {
    let lab = Lab::new(LONG).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(lab.client.clone());
    let definition = object(json!({ "metadata": { "name": "foos.example.com" }, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": { "plural": "foos", "kind": "Foo" },
        "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } } }],
    } }));
    // Once more after it was taken away: another kind under the same name.
    for _ in 0..2 {
        definitions.create(&PostParams::default(), &definition).await.unwrap();
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Foo"), "foos");
        let foos: Api<DynamicObject> = Api::namespaced_with(lab.client.clone(), "default", &kind);
        let owner = foos.create(&PostParams::default(), &DynamicObject::new("owner", &kind)).await.unwrap();
        let mut middle = object::<ConfigMap>(json!({ "metadata": { "name": "middle" } }));
        middle.metadata.owner_references = owner.owner_ref(&kind).map(|reference| vec![reference]);
        let middle = lab.api::<ConfigMap>().create(&PostParams::default(), &middle).await.unwrap();
        let mut last = DynamicObject::new("last", &kind);
        last.metadata.owner_references = middle.owner_ref(&()).map(|reference| vec![reference]);
        foos.create(&PostParams::default(), &last).await.unwrap();
        foos.delete("owner", &DeleteParams::default()).await.unwrap();
        lab.until(lab.api::<ConfigMap>(), "the middle is gone", |m| m.iter().all(|m| m.name_any() != "middle")).await;
        tokio::time::timeout(
            Duration::from_secs(60),
            kube::runtime::wait::await_condition(foos, "last", |o: Option<&DynamicObject>| o.is_none()),
        )
        .await
        .expect("the last is gone in time")
        .unwrap();
        definitions.delete("foos.example.com", &DeleteParams::default()).await.unwrap();
        lab.until(definitions.clone(), "no definition", |d| d.is_empty()).await;
    }
}
