//! Claims and their volumes, on values. What becomes of volumes, and who keeps them, is in `ends`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::claim::{self, Scene, Step as Next};
use super::matching::{Seeker, best};
use super::volume;
use crate::fixtures::object;

mod ends;

/// RFC 7396.
fn merged(base: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut base = base.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        let old = base.remove(&key).unwrap_or_default();
        if !value.is_null() {
            base.insert(key, merged(old, value));
        }
    }
    base.into()
}

fn claim(patch: Value) -> PersistentVolumeClaim {
    let base = json!({"metadata": {"name": "data", "namespace": "default", "uid": "u1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "5Gi"}}},
        "status": {"phase": "Pending"}});
    object(merged(base, patch))
}

fn volume(name: &str, patch: Value) -> Arc<PersistentVolume> {
    let base = json!({"metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}, "hostPath": {"path": "/data/x"},
                 "persistentVolumeReclaimPolicy": "Retain"},
        "status": {"phase": "Available"}});
    Arc::new(object(merged(base, patch)))
}

fn sized(name: &str, size: &str) -> Arc<PersistentVolume> {
    volume(name, json!({"spec": {"capacity": {"storage": size}}}))
}

fn class(name: &str, patch: Value) -> Arc<StorageClass> {
    let base = json!({"metadata": {"name": name}, "provisioner": "minisvc.io/folder", "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate"});
    Arc::new(object(merged(base, patch)))
}

fn named(uid: &str) -> Value {
    json!({"spec": {"claimRef": {"namespace": "default", "name": "data", "uid": uid}}, "status": {"phase": "Bound"}})
}

fn found(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>], seeker: Seeker<'_>) -> Option<String> {
    best(claim, volumes, seeker).map(|volume| volume.name_any())
}

#[test]
fn the_smallest_that_fits_is_taken() {
    let wants = claim(json!({}));
    let shelf = [sized("big", "50Gi"), sized("small", "1Gi"), sized("fits", "5368709120"), sized("more", "6Gi")];
    assert_eq!(found(&wants, &shelf, Seeker::Now).as_deref(), Some("fits"));
    assert_eq!(found(&wants, &shelf[..2], Seeker::Now).as_deref(), Some("big"));
    assert_eq!(found(&wants, &shelf[1..2], Seeker::Now), None);
    // Of equals the first by name, whatever their order.
    assert_eq!(found(&wants, &[sized("b", "5Gi"), sized("a", "5Gi")], Seeker::Now).as_deref(), Some("a"));
}

#[test]
fn what_keeps_a_volume_from_a_claim() {
    let wants = claim(json!({"spec": {"selector": {"matchLabels": {"disk": "ssd"}}}}));
    let good = json!({"metadata": {"labels": {"disk": "ssd"}}});
    assert!(found(&wants, &[volume("v", good.clone())], Seeker::Now).is_some());
    for bad in [
        json!({"metadata": {"labels": {"disk": "hdd"}}}),
        json!({"spec": {"accessModes": ["ReadOnlyMany"]}}),
        json!({"spec": {"storageClassName": "fast"}}),
        json!({"spec": {"volumeMode": "Block"}}),
        json!({"spec": {"volumeAttributesClassName": "gold"}}),
        json!({"spec": {"claimRef": {"namespace": "default", "name": "other"}}}),
        json!({"status": {"phase": "Released"}}),
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    ] {
        let volume = volume("v", merged(good.clone(), bad.clone()));
        assert_eq!(found(&wants, &[volume], Seeker::Now), None, "{bad}");
    }
    // Fewer modes are nearer to what is asked for than a better size.
    let both = json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}});
    let shelf = [volume("both", both), sized("one", "9Gi")];
    assert_eq!(found(&claim(json!({})), &shelf, Seeker::Now).as_deref(), Some("one"));
}

#[test]
fn a_volume_that_names_the_claim_comes_first() {
    let mine = json!({"spec": {"claimRef": {"namespace": "default", "name": "data"}, "capacity": {"storage": "9Gi"}}});
    let shelf = [sized("a", "5Gi"), volume("mine", mine)];
    assert_eq!(found(&claim(json!({})), &shelf, Seeker::Now).as_deref(), Some("mine"));
    assert_eq!(found(&claim(json!({})), &shelf, Seeker::Later).as_deref(), Some("mine"), "also when others wait");
    assert_eq!(found(&claim(json!({})), &shelf[..1], Seeker::Later), None);
    // One that names an earlier claim of that name is not meant.
    assert_eq!(found(&claim(json!({})), &[volume("old", named("u0"))], Seeker::Now), None);
}

#[test]
fn the_scheduler_takes_only_what_its_node_reaches() {
    let at = |name: &str| {
        let one = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}]);
        let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": one}]}});
        volume(&format!("on-{name}"), json!({"spec": {"nodeAffinity": affinity}}))
    };
    let node = |name: &str| -> Node {
        object(json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}))
    };
    let shelf = [at("n1"), at("n2")];
    let wants = claim(json!({}));
    assert_eq!(found(&wants, &shelf, Seeker::On(&node("n2"))).as_deref(), Some("on-n2"));
    assert_eq!(found(&wants, &shelf, Seeker::On(&node("n3"))), None);
}

fn next(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>], classes: &[Arc<StorageClass>]) -> Next {
    claim::step(claim, &Scene { volumes, classes, waiting_pods: &[] })
}

fn says(step: Next) -> (bool, &'static str, String) {
    match step {
        Next::Wait(Some(word)) | Next::Lost(word) => (word.warning, word.reason, word.message),
        other => panic!("says nothing: {other:?}"),
    }
}

#[test]
fn claims_without_a_volume_say_why() {
    let words = |patch: Value, volumes: &[_], classes: &[_]| says(next(&claim(patch), volumes, classes));
    let none = "no persistent volumes available for this claim and no storage class is set";
    assert_eq!(words(json!({}), &[], &[]), (false, "FailedBinding", none.into()));
    assert_eq!(
        words(json!({"spec": {"storageClassName": "gold"}}), &[], &[]),
        (true, "ProvisioningFailed", "storageclass.storage.k8s.io \"gold\" not found".into())
    );
    let by = |provisioner: &str| {
        let class = class("c", json!({"provisioner": provisioner}));
        words(json!({"spec": {"storageClassName": "c"}}), &[], &[class])
    };
    let (warning, reason, message) = by("example.com/nfs");
    assert_eq!((warning, reason), (false, "ExternalProvisioning"));
    assert!(
        message.starts_with("Waiting for a volume to be created either by the external provisioner 'example.com/nfs'")
    );
    assert_eq!(by("kubernetes.io/aws-ebs").1, "ExternalProvisioning");
    let none = "no volume plugin matched name: kubernetes.io/no-provisioner";
    assert_eq!(by("kubernetes.io/no-provisioner"), (true, "ProvisioningFailed", none.into()));
    // A volume by name.
    let by_name = json!({"spec": {"volumeName": "v"}});
    assert_eq!(next(&claim(by_name.clone()), &[], &[]), Next::Wait(None));
    assert_eq!(
        words(by_name.clone(), &[sized("v", "1Gi")], &[]),
        (true, "VolumeMismatch", "Cannot bind to requested volume \"v\": requested PV is too small".into())
    );
    assert_eq!(
        words(by_name, &[volume("v", named("u9"))], &[]),
        (true, "FailedBinding", "volume \"v\" already bound to a different claim.".into())
    );
}

#[test]
fn classes_make_volumes_at_once_or_for_a_consumer() {
    let wants = claim(json!({"spec": {"storageClassName": "c"}}));
    assert_eq!(next(&wants, &[], &[class("c", json!({}))]), Next::Provision);
    let later = class("c", json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    let scene = |waiting_pods| Scene { volumes: &[], classes: std::slice::from_ref(&later), waiting_pods };
    let first = "waiting for first consumer to be created before binding";
    assert_eq!(says(claim::step(&wants, &scene(&[]))), (false, "WaitForFirstConsumer", first.into()));
    let pods = ["a".to_owned(), "b".to_owned()];
    let words = |pods| says(claim::step(&wants, &scene(pods)));
    assert_eq!(words(&pods[..1]), (false, "WaitForPodScheduled", "waiting for pod a to be scheduled".into()));
    assert_eq!(words(&pods), (false, "WaitForPodScheduled", "waiting for pods a,b to be scheduled".into()));
    let chosen = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}});
    let wants = claim(merged(json!({"spec": {"storageClassName": "c"}}), chosen));
    assert_eq!(claim::step(&wants, &scene(&[])), Next::Provision);
    // One that is on its way out gets nothing new.
    let gone = json!({"spec": {"storageClassName": "c"}, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(next(&claim(gone), &[], &[class("c", json!({}))]), Next::Wait(None));
}

#[test]
fn a_claim_that_names_no_class_gets_the_youngest_default() {
    let marked = |name: &str, time: &str| {
        let mark = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        class(name, json!({"metadata": {"annotations": mark, "creationTimestamp": time}}))
    };
    let classes = [
        marked("old", "2026-01-01T00:00:00Z"),
        marked("z", "2026-02-01T00:00:00Z"),
        marked("y", "2026-02-01T00:00:00Z"),
    ];
    let wants = claim(json!({"spec": {"storageClassName": null}}));
    assert_eq!(next(&wants, &[], &classes), Next::Class("y".into()));
    // A volume that is there comes first, and the empty name is no missing name.
    let shelf = [sized("v", "5Gi")];
    assert_eq!(next(&wants, &shelf, &classes), Next::Bind(shelf[0].clone()));
    assert_eq!(says(next(&claim(json!({})), &[], &classes)).1, "FailedBinding");
}

#[test]
fn bound_claims_notice_what_they_lose() {
    let done = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}});
    let bound = claim(merged(done.clone(), json!({"spec": {"volumeName": "v"}, "status": {"phase": "Bound"}})));
    let lost = |step| {
        let (warning, reason, message) = says(step);
        assert!(warning);
        (reason, message)
    };
    let text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
    assert_eq!(lost(next(&bound, &[], &[])), ("ClaimLost", text.into()));
    let text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
    assert_eq!(lost(next(&claim(done), &[], &[])), ("ClaimLost", text.into()));
    let text = "Two claims are bound to the same volume, this one is bound incorrectly";
    assert_eq!(lost(next(&bound, &[volume("v", named("u2"))], &[])), ("ClaimMisbound", text.into()));
    // Fine, or made fine again.
    for shelf in [[volume("v", named("u1"))], [sized("v", "5Gi")]] {
        assert_eq!(next(&bound, &shelf, &[]), Next::Bind(shelf[0].clone()));
    }
}

#[test]
fn both_sides_of_a_binding_say_so() {
    let (wants, free) = (claim(json!({})), sized("v", "8Gi"));
    let given = volume::given(&free, &wants);
    let reference = given.spec.clone().unwrap().claim_ref.unwrap();
    assert_eq!((reference.name.as_deref(), reference.uid.as_deref()), (Some("data"), Some("u1")));
    assert_eq!(given.annotations()["pv.kubernetes.io/bound-by-controller"], "yes");
    let belonging = claim::belonging(&wants, &given);
    assert_eq!(belonging.spec.as_ref().unwrap().volume_name.as_deref(), Some("v"));
    assert_eq!(belonging.annotations().len(), 2);
    let bound = claim::bound_status(&belonging, &given).status.unwrap();
    assert_eq!((bound.phase.as_deref(), bound.capacity.unwrap()["storage"].0.as_str()), (Some("Bound"), "8Gi"));
    // Chosen by the user on both sides: no word of the controller's choice.
    let meant = volume("v", json!({"spec": {"claimRef": {"namespace": "default", "name": "data"}}}));
    let given = volume::given(&meant, &wants);
    assert!(given.annotations().is_empty() && given.spec.unwrap().claim_ref.unwrap().uid.is_some());
    let belonging = claim::belonging(&claim(json!({"spec": {"volumeName": "v"}})), &meant);
    assert_eq!(belonging.annotations().keys().collect::<Vec<_>>(), ["pv.kubernetes.io/bind-completed"]);
}

#[test]
fn a_bound_claim_of_our_own_class_grows() {
    let grows = json!({"spec": {"resources": {"requests": {"storage": "9Gi"}}}, "status": {"phase": "Bound"}});
    let mut ours = json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "minisvc.io/folder"}}});
    let grown = claim::grown(&claim(grows.clone()), &volume("v", ours.clone())).unwrap();
    assert_eq!(grown.spec.unwrap().capacity.unwrap()["storage"].0, "9Gi");
    assert_eq!(claim::grown(&claim(json!({"status": {"phase": "Bound"}})), &volume("v", ours.clone())), None);
    ours["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] = "example.com/nfs".into();
    assert_eq!(claim::grown(&claim(grows), &volume("v", ours)), None);
}
