//! What becomes of volumes when their claims go, how they are made and removed, and who keeps what is in use.

use std::path::Path;

use super::super::volume::{Reclaim, Step};
use super::super::{protection, provision};
use super::*;
use crate::fixtures::pod;

const OURS: &str = "minisvc.io/folder";

fn made_by(maker: &str, policy: &str, uid: &str) -> Arc<PersistentVolume> {
    let keep = if maker == OURS && policy == "Delete" { json!(["kubernetes.io/pv-controller"]) } else { json!([]) };
    let made = json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": maker}, "finalizers": keep},
        "spec": {"persistentVolumeReclaimPolicy": policy}});
    volume("v", merged(named(uid), made))
}

#[test]
fn volumes_follow_their_claims() {
    let bound = claim(json!({"spec": {"volumeName": "v"}}));
    let elsewhere = claim(json!({"spec": {"volumeName": "other"}}));
    assert_eq!(volume::step(&sized("v", "1Gi"), None), Step::Phase("Available"));
    assert_eq!(volume::step(&volume("v", named("")), None), Step::Phase("Available"), "promised, not given");
    assert_eq!(volume::step(&volume("v", named("u1")), Some(&bound)), Step::Phase("Bound"));
    assert_eq!(volume::step(&volume("v", named("u1")), Some(&claim(json!({})))), Step::Ask);
    // Gone, or another of that name.
    assert_eq!(volume::step(&volume("v", named("u1")), None), Step::Reclaim(Reclaim::Keep));
    assert_eq!(volume::step(&volume("v", named("u0")), Some(&bound)), Step::Reclaim(Reclaim::Keep));
    assert_eq!(volume::step(&made_by(OURS, "Delete", "u1"), None), Step::Reclaim(Reclaim::Delete));
    assert_eq!(volume::step(&made_by(OURS, "Delete", "u1"), Some(&elsewhere)), Step::Reclaim(Reclaim::Delete));
    assert_eq!(volume::step(&made_by("example.com/nfs", "Delete", "u1"), None), Step::Reclaim(Reclaim::Keep));
    let fails = |policy: &str, local: bool| {
        let mut volume = (*volume("v", named("u1"))).clone();
        let spec = volume.spec.as_mut().unwrap();
        spec.persistent_volume_reclaim_policy = Some(policy.into());
        if local {
            (spec.host_path, spec.local) = (None, object(json!({"path": "/mnt/x"})));
        }
        match volume::step(&volume, None) {
            Step::Reclaim(Reclaim::Fail(reason, message)) => (reason, message),
            other => panic!("{other:?}"),
        }
    };
    let text = "host_path deleter only supports /tmp/.+ but received provided /data/x";
    assert_eq!(fails("Delete", false), ("VolumeFailedDelete", text.into()));
    let text = "error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched";
    assert_eq!(fails("Delete", true), ("VolumeFailedDelete", text.into()));
    assert_eq!(fails("Recycle", false), ("VolumeFailedRecycle", "No recycler plugin found for the volume!".into()));
    // The controller's own choice is taken back wholly, the user's but for the uid.
    let freed = |patch: Value| match volume::step(&volume("v", merged(named("u1"), patch)), Some(&elsewhere)) {
        Step::Free(freed) => (freed.spec.unwrap().claim_ref, freed.metadata.annotations),
        other => panic!("{other:?}"),
    };
    let chosen = json!({"metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}}});
    assert_eq!(freed(chosen), (None, None));
    let (reference, _) = freed(json!({}));
    assert_eq!(reference.map(|named| (named.name.unwrap(), named.uid)), Some(("data".into(), None)));
}

#[test]
fn volumes_of_our_own_are_kept_until_their_files_are_gone() {
    let finalizers =
        |volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>| match volume::step(volume, claim) {
            Step::Finalizers(all) => all,
            other => panic!("{other:?}"),
        };
    let mut bare = (*made_by(OURS, "Delete", "u1")).clone();
    bare.metadata.finalizers = None;
    assert_eq!(finalizers(&bare, None), ["kubernetes.io/pv-controller"]);
    let mut kept = (*made_by(OURS, "Delete", "u1")).clone();
    kept.spec.as_mut().unwrap().persistent_volume_reclaim_policy = Some("Retain".into());
    assert_eq!(finalizers(&kept, None), [""; 0], "whoever says Retain keeps the files");
    // Deleted by hand: its files go when its claim has gone, or at once when it has none.
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let mut free: PersistentVolume = object(merged(json!(*made_by(OURS, "Delete", "u1")), deleted));
    let bound = claim(json!({"spec": {"volumeName": "v"}}));
    assert_eq!(volume::step(&free, Some(&bound)), Step::Phase("Bound"));
    free.spec.as_mut().unwrap().claim_ref = None;
    assert_eq!(volume::step(&free, None), Step::Reclaim(Reclaim::Delete));
}

#[test]
fn volumes_are_made_as_the_class_says() {
    let wants = claim(json!({"spec": {"storageClassName": "c"}}));
    let topology = json!({"reclaimPolicy": "Retain", "allowedTopologies": [{"matchLabelExpressions":
        [{"key": "kubernetes.io/hostname", "values": ["n1"]}]}]});
    let made = provision::volume(&wants, &class("c", json!({})), Path::new("/state/volumes")).unwrap();
    assert_eq!(made.name_any(), "pvc-u1");
    assert_eq!(made.finalizers(), ["kubernetes.io/pv-protection", "kubernetes.io/pv-controller"]);
    let spec = made.spec.clone().unwrap();
    assert_eq!(spec.host_path.unwrap().path, "/state/volumes/pvc-u1");
    assert_eq!((spec.storage_class_name.as_deref(), spec.node_affinity), (Some("c"), None));
    assert!(volume::step(&made, Some(&wants)) == Step::Ask && best(&wants, &[Arc::new(made)], Seeker::Later).is_some());
    let made = provision::volume(&wants, &class("c", topology), Path::new("/state/volumes")).unwrap();
    assert_eq!(made.finalizers(), ["kubernetes.io/pv-protection"]);
    let affinity = json!(made.spec.unwrap().node_affinity);
    let one = &affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(*one, json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}));
    for (patch, word) in [
        (json!({"spec": {"volumeMode": "Block"}}), "no block devices"),
        (json!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}}), "data source"),
    ] {
        let why = provision::volume(&claim(patch), &class("c", json!({})), Path::new("/v")).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn only_folders_that_were_made_here_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, path: &Path| -> PersistentVolume {
        object(json!({"metadata": {"name": name}, "spec": {"hostPath": {"path": path}}}))
    };
    let (inside, outside) = (folder.path().join("volumes/pvc-1"), folder.path().join("pvc-2"));
    for place in [&inside, &outside] {
        std::fs::create_dir_all(place.join("deep")).unwrap();
    }
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    let volumes = folder.path().join("volumes");
    for bad in [at("pvc-2", &outside), at("pvc-..", &volumes), at("..", folder.path()), at("pvc-1/deep", &inside)] {
        assert!(provision::remove(&bad, &volumes).unwrap_err().contains("its files stay"));
    }
    assert!(inside.exists());
    provision::remove(&at("pvc-1", &inside), &volumes).unwrap();
    assert!(!inside.exists() && outside.join("deep").exists(), "links are not followed");
    provision::remove(&at("pvc-1", &inside), &volumes).unwrap();
}

#[test]
fn claims_are_kept_while_pods_with_a_node_use_them() {
    let named = json!({"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    let own =
        json!({"containers": [], "volumes": [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]});
    assert!(!protection::uses(&pod("p").spec(named.clone()).build(), "data"), "no node yet");
    assert!(protection::uses(&pod("p").spec(named.clone()).on("n1").build(), "data"));
    assert!(protection::uses(&pod("p").spec(named.clone()).on("n1").phase("Succeeded").build(), "data"));
    assert!(!protection::uses(&pod("p").spec(named).on("n1").build(), "other"));
    let mut ends = (*pod("p").spec(own).on("n1").build()).clone();
    assert!(protection::uses(&ends, "p-tmp"));
    ends.metadata.deletion_timestamp = object(json!("2026-01-01T00:00:00Z"));
    ends.metadata.deletion_grace_period_seconds = Some(0);
    assert!(!protection::uses(&ends, "p-tmp"), "the claim goes with the pod that ends");
}

#[test]
fn finalizers_come_with_life_and_go_when_nobody_needs_the_object() {
    let wanted = |deleted: bool, finalizers: &[&str], used: bool| {
        let mut meta = claim(json!({"metadata": {"finalizers": finalizers}})).metadata;
        meta.deletion_timestamp = deleted.then(|| object(json!("2026-01-01T00:00:00Z")));
        protection::wanted(&meta, "x/keep", || used).map(|patch| patch["metadata"]["finalizers"].clone())
    };
    assert_eq!(wanted(false, &["a/b"], true), Some(json!(["a/b", "x/keep"])));
    assert_eq!(wanted(false, &["x/keep"], false), None);
    assert_eq!(wanted(true, &["a/b", "x/keep"], true), None);
    assert_eq!(wanted(true, &["a/b", "x/keep"], false), Some(json!(["a/b"])));
    assert_eq!(wanted(true, &[], false), None);
}
