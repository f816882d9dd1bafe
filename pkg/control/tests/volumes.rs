//! Persistent volumes against the real API server, in process: claims, volumes, who keeps them and where pods go.

#[allow(dead_code, reason = "each test program uses its share of the lab")]
mod lab;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use lab::{Lab, is_ready, object};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(3600);

type Claims = Api<PersistentVolumeClaim>;
type Volumes = Api<PersistentVolume>;

fn claim(name: &str, spec: Value) -> PersistentVolumeClaim {
    let mut all = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object(json!({"metadata": {"name": name}, "spec": all}))
}

fn volume(name: &str, spec: Value) -> PersistentVolume {
    let mut all = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "storageClassName": "by-hand"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object(json!({"metadata": {"name": name}, "spec": all}))
}

fn pod(name: &str, volume: Value) -> Pod {
    object(json!({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "i"}], "volumes": [volume]}}))
}

fn using(name: &str, claim: &str) -> Pod {
    pod(name, json!({"name": "data", "persistentVolumeClaim": {"claimName": claim}}))
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

async fn told(lab: &Lab, object: &str, reason: &str, words: &str) {
    let what = format!("{object} is told {reason}");
    lab.until(lab.api::<Event>(), &what, |events| {
        events.iter().any(|event| {
            event.involved_object.name.as_deref() == Some(object)
                && event.reason.as_deref() == Some(reason)
                && event.message.as_deref().is_some_and(|message| message.contains(words))
        })
    })
    .await;
}

/// A control plane whose namespace default has its account, without which there are no pods.
async fn lab() -> Lab {
    let lab = Lab::new(LONG).await;
    lab.until(lab.api::<ServiceAccount>(), "the account is there", |all| !all.is_empty()).await;
    lab
}

async fn make<K>(api: &Api<K>, object: &K)
where
    K: lab::Object,
{
    api.create(&PostParams::default(), object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gets_a_volume_keeps_it_while_it_is_used_and_takes_it_along() {
    let lab = lab().await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    let (claims, volumes, pods): (Claims, Volumes, Api<Pod>) = (lab.api(), Api::all(lab.client.clone()), lab.api());
    make(&claims, &claim("data", json!({}))).await;
    let bound =
        lab.until(claims.clone(), "the claim is bound", |all| all.iter().all(is_bound) && !all.is_empty()).await;
    let spec = bound[0].spec.clone().unwrap();
    assert_eq!(spec.storage_class_name.as_deref(), Some("standard"));
    let name = spec.volume_name.unwrap();
    assert_eq!(name, format!("pvc-{}", bound[0].uid().unwrap()));
    told(&lab, "data", "ProvisioningSucceeded", &name).await;
    lab.until(volumes.clone(), "the volume is bound", |all| all.iter().any(|one| phase(one) == "Bound")).await;
    make(&pods, &using("p", "data")).await;
    lab.until(pods.clone(), "the pod runs", |all| all.iter().any(is_ready)).await;

    // Both are kept while the pod is there.
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    volumes.delete(&name, &DeleteParams::default()).await.unwrap();
    make(&pods, &using("late", "data")).await;
    told(&lab, "late", "FailedScheduling", "persistentvolumeclaim \"data\" is being deleted").await;
    assert!(claims.get("data").await.unwrap().metadata.deletion_timestamp.is_some());
    assert_eq!(phase(&volumes.get(&name).await.unwrap()), "Bound");
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    lab.until(claims, "the claim is gone", |all: &[PersistentVolumeClaim]| all.is_empty()).await;
    lab.until(volumes, "the volume is gone", |all: &[PersistentVolume]| all.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_by_hand_are_bound_retained_and_given_again() {
    let lab = lab().await;
    let (claims, volumes): (Claims, Volumes) = (lab.api(), Api::all(lab.client.clone()));
    let by_hand = |spec: Value| claim("data", spec);
    make(&claims, &by_hand(json!({"storageClassName": ""}))).await;
    told(&lab, "data", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
        .await;
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    lab.until(claims.clone(), "the claim is gone", |all| all.is_empty()).await;

    make(&volumes, &volume("great", json!({"capacity": {"storage": "9Gi"}, "hostPath": {"path": "/data/great"}})))
        .await;
    make(&volumes, &volume("small", json!({"hostPath": {"path": "/data/small"}}))).await;
    lab.until(volumes.clone(), "both are free", |all| all.iter().filter(|one| phase(one) == "Available").count() == 2)
        .await;
    make(&claims, &by_hand(json!({"storageClassName": "by-hand"}))).await;
    let bound = lab.until(claims.clone(), "the claim is bound", |all| all.iter().any(is_bound)).await;
    assert_eq!(bound[0].spec.as_ref().unwrap().volume_name.as_deref(), Some("small"));
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    let released =
        |all: &[PersistentVolume]| all.iter().any(|one| one.name_any() == "small" && phase(one) == "Released");
    lab.until(volumes.clone(), "the volume is released", released).await;

    // Nobody gets it before someone says so.
    make(&claims, &by_hand(json!({"storageClassName": "by-hand", "volumeName": "small"}))).await;
    told(&lab, "data", "FailedBinding", "volume \"small\" already bound to a different claim.").await;
    let free = json!({"spec": {"claimRef": null}});
    volumes.patch("small", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    lab.until(claims, "the claim is bound", |all: &[PersistentVolumeClaim]| all.iter().any(is_bound)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_wait_for_their_consumer_and_pods_go_where_volumes_are() {
    let lab = lab().await;
    lab.nodes(3).await;
    let _kubelets = lab.kubelets();
    let (claims, volumes, pods): (Claims, Volumes, Api<Pod>) = (lab.api(), Api::all(lab.client.clone()), lab.api());
    let classes: Api<StorageClass> = Api::all(lab.client.clone());
    for (name, provisioner) in [("local", "kubernetes.io/no-provisioner"), ("later", "minisvc.io/folder")] {
        let class = json!({"metadata": {"name": name}, "provisioner": provisioner,
            "volumeBindingMode": "WaitForFirstConsumer"});
        make(&classes, &object(class)).await;
    }
    let host = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node2"]}]);
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": host}]}});
    let local = json!({"storageClassName": "local", "local": {"path": "/mnt/x"}, "nodeAffinity": affinity});
    make(&volumes, &volume("here", local)).await;
    for name in ["local", "later"] {
        make(&claims, &claim(name, json!({"storageClassName": name}))).await;
        told(&lab, name, "WaitForFirstConsumer", "waiting for first consumer to be created before binding").await;
    }
    make(&pods, &using("local", "local")).await;
    make(&pods, &using("later", "later")).await;
    make(&pods, &using("nowhere", "missing")).await;
    let all = lab.until(pods.clone(), "two run", |all| all.iter().filter(|pod| is_ready(pod)).count() == 2).await;
    let node =
        |name: &str| all.iter().find(|pod| pod.name_any() == name).unwrap().spec.as_ref().unwrap().node_name.clone();
    assert_eq!(node("local").as_deref(), Some("node2"));
    assert_eq!(node("nowhere"), None);
    told(&lab, "nowhere", "FailedScheduling", "persistentvolumeclaim \"missing\" not found").await;
    let chosen = claims.get("later").await.unwrap();
    assert!(is_bound(&chosen));
    assert_eq!(chosen.annotations().get("volume.kubernetes.io/selected-node"), node("later").as_ref());
    // The volume is taken: another claim of the class has none.
    make(&claims, &claim("second", json!({"storageClassName": "local"}))).await;
    make(&pods, &using("second", "second")).await;
    told(&lab, "second", "FailedScheduling", "3 node(s) didn't find available persistent volumes to bind").await;
    // It comes: the pod goes.
    let local = json!({"storageClassName": "local", "local": {"path": "/mnt/y"}, "nodeAffinity": affinity});
    make(&volumes, &volume("there", local)).await;
    lab.until(pods, "the second runs", |all: &[Pod]| all.iter().any(|pod| pod.name_any() == "second" && is_ready(pod)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_claim_lives_with_its_pod() {
    let lab = lab().await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    let (claims, volumes, pods): (Claims, Volumes, Api<Pod>) = (lab.api(), Api::all(lab.client.clone()), lab.api());
    let spec = claim("any", json!({})).spec;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
    make(&pods, &pod("p", json!({"name": "tmp", "ephemeral": {"volumeClaimTemplate": template}}))).await;
    lab.until(pods.clone(), "the pod runs", |all| all.iter().any(is_ready)).await;
    let own = claims.get("p-tmp").await.unwrap();
    assert_eq!((own.labels()["a"].as_str(), own.owner_references()[0].kind.as_str()), ("b", "Pod"));
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    lab.until(claims.clone(), "the claim is gone", |all| all.is_empty()).await;
    lab.until(volumes, "the volume is gone", |all: &[PersistentVolume]| all.is_empty()).await;

    // A claim that another made is not the pod's.
    make(&claims, &claim("q-tmp", json!({}))).await;
    make(&pods, &pod("q", json!({"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}))).await;
    let words = "PVC default/q-tmp was not created for pod default/q (pod is not owner)";
    told(&lab, "q", "FailedBinding", words).await;
    told(&lab, "q", "FailedScheduling", words).await;
}
