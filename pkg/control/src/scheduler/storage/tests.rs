//! What pods' claims ask of nodes, on values, and the words when no node will do.

use serde_json::{Value, json};

use super::super::plan::{Board, Verdict};
use super::*;
use crate::fixtures::{node, object, pod};

fn using(claims: &[&str]) -> Arc<Pod> {
    let volumes: Vec<_> =
        claims.iter().map(|c| json!({"name": c, "persistentVolumeClaim": {"claimName": c}})).collect();
    pod("p").spec(json!({"containers": [{"name": "c", "image": "i"}], "volumes": volumes})).build()
}

fn claim(name: &str, size: &str, spec: Value) -> Arc<PersistentVolumeClaim> {
    let mut all = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "later",
        "resources": {"requests": {"storage": size}}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Arc::new(object(json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": all})))
}

fn bound(name: &str, volume: &str) -> Arc<PersistentVolumeClaim> {
    let mut claim = (*claim(name, "1Gi", json!({"volumeName": volume}))).clone();
    claim.metadata.annotations = Some([("pv.kubernetes.io/bind-completed".to_owned(), "yes".to_owned())].into());
    Arc::new(claim)
}

fn local(name: &str, node: &str, size: &str) -> Arc<PersistentVolume> {
    let one = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]);
    Arc::new(object(
        json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "later",
        "capacity": {"storage": size}, "local": {"path": "/mnt/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": one}]}}}, "status": {"phase": "Available"}}),
    ))
}

fn shelf(volumes: &[Arc<PersistentVolume>], provisioner: &str) -> Shelf {
    let class = json!({"metadata": {"name": "later"}, "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["node1", "node2"]}]}]});
    Shelf { volumes: volumes.to_vec(), classes: vec![Arc::new(object(class))] }
}

const NOBODY: &str = "kubernetes.io/no-provisioner";

fn needs(pod: &Pod, claims: &[Arc<PersistentVolumeClaim>], shelf: &Shelf) -> Result<Needs, String> {
    Needs::new(pod, shelf, |name| claims.iter().find(|claim| claim.name_any() == name).cloned(), |_| false)
}

/// Where a pod may not go, of three nodes.
fn barred(pod: &Pod, claims: &[Arc<PersistentVolumeClaim>], shelf: &Shelf) -> Vec<(String, &'static str)> {
    let nodes: Vec<_> = (1..=3).map(|n| Arc::new(node(&format!("node{n}")))).collect();
    let mut barred: Vec<_> = needs(pod, claims, shelf).unwrap().barred(&nodes, shelf).into_iter().collect();
    barred.sort();
    barred
}

fn on(nodes: &[u8], why: &'static str) -> Vec<(String, &'static str)> {
    nodes.iter().map(|n| (format!("node{n}"), why)).collect()
}

#[test]
fn pods_wait_for_claims_that_are_not_there_or_not_bound() {
    let shelf = shelf(&[], NOBODY);
    let why = |claims: &[_]| needs(&using(&["data"]), claims, &shelf).err().unwrap();
    assert_eq!(why(&[]), "persistentvolumeclaim \"data\" not found");
    let now = claim("data", "1Gi", json!({"storageClassName": "standard"}));
    assert_eq!(why(std::slice::from_ref(&now)), "pod has unbound immediate PersistentVolumeClaims");
    let named = claim("data", "1Gi", json!({"volumeName": "v"}));
    assert_eq!(why(&[named]), "pod has unbound immediate PersistentVolumeClaims", "the user chose; nobody waits");
    let mut lost = (*bound("data", "v")).clone();
    lost.status = object(json!({"phase": "Lost"}));
    assert_eq!(why(&[Arc::new(lost)]), "persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"v\"");
    let mut gone = (*bound("data", "v")).clone();
    gone.metadata.deletion_timestamp = object(json!("2026-01-01T00:00:00Z"));
    assert_eq!(why(&[Arc::new(gone)]), "persistentvolumeclaim \"data\" is being deleted");
    // A pod's own claim must be its own.
    let own =
        json!({"containers": [], "volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]});
    let own = pod("p").spec(own).build();
    let text = "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-data\"";
    assert_eq!(needs(&own, &[], &shelf).err().unwrap(), text);
    let text = "PVC default/p-data was not created for pod default/p (pod is not owner)";
    assert_eq!(needs(&own, &[bound("p-data", "v")], &shelf).err().unwrap(), text);
    // The sentence of the event.
    let board = Board::new(&[Arc::new(node("node1")), Arc::new(node("node2"))], &[]);
    assert_eq!(
        board.refuse_everywhere(&why(&[])),
        "0/2 nodes are available: persistentvolumeclaim \"data\" not found. preemption: 0/2 nodes are available: 2 \
         Preemption is not helpful for scheduling."
    );
}

#[test]
fn bound_volumes_hold_pods_where_they_are() {
    let there = shelf(&[local("v", "node2", "1Gi")], NOBODY);
    assert_eq!(barred(&using(&["data"]), &[bound("data", "v")], &there), on(&[1, 3], ELSEWHERE));
    assert_eq!(barred(&using(&[]), &[], &there), []);
    assert_eq!(barred(&using(&["data"]), &[bound("data", "w")], &there), on(&[1, 2, 3], GONE));
    let nodes = [Arc::new(node("node1")), Arc::new(node("node3"))];
    let mut board = Board::new(&nodes, &[]);
    let pod = using(&["data"]);
    board.bar(needs(&pod, &[bound("data", "v")], &there).unwrap().barred(&nodes, &there));
    let text = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. preemption: 0/2 nodes \
                are available: 2 Preemption is not helpful for scheduling.";
    assert_eq!(board.judge(&pod), Verdict::Nowhere(text.into()));
}

#[test]
fn claims_that_waited_need_a_volume_each() {
    let (small, great) = (claim("small", "1Gi", json!({})), claim("great", "5Gi", json!({})));
    let both = using(&["great", "small"]);
    let one = shelf(&[local("v", "node1", "5Gi")], NOBODY);
    assert_eq!(barred(&using(&["great"]), std::slice::from_ref(&great), &one), on(&[2, 3], NONE_TO_BIND));
    assert_eq!(barred(&both, &[small.clone(), great.clone()], &one), on(&[1, 2, 3], NONE_TO_BIND));
    // The smaller claim leaves the greater volume to the other.
    let two = shelf(&[local("v", "node1", "5Gi"), local("w", "node1", "9Gi")], NOBODY);
    assert_eq!(barred(&both, &[small.clone(), great.clone()], &two), on(&[2, 3], NONE_TO_BIND));
    let needs = needs(&both, &[small, great], &two).unwrap();
    let names = needs.decide(&node("node1"), &[], &two).unwrap().into_iter().map(|volume| volume.unwrap().name_any());
    assert_eq!(names.collect::<Vec<_>>(), ["v", "w"]);
}

#[test]
fn volumes_are_made_where_the_class_allows_and_where_it_was_decided() {
    let makes = shelf(&[], "minisvc.io/folder");
    let wants = claim("data", "1Gi", json!({}));
    assert_eq!(barred(&using(&["data"]), std::slice::from_ref(&wants), &makes), on(&[3], NONE_TO_BIND));
    let decided = |name: &str| {
        let mut claim = (*wants).clone();
        claim.metadata.annotations = Some([(SELECTED_NODE.to_owned(), name.to_owned())].into());
        barred(&using(&["data"]), &[Arc::new(claim)], &makes)
    };
    assert_eq!(decided("node2"), on(&[1, 3], NONE_TO_BIND));
    assert_eq!(decided("node9"), on(&[3], NONE_TO_BIND), "a node that is gone is decided anew");
}

#[test]
fn what_one_pod_may_have_is_not_shared() {
    let alone = claim("data", "1Gi", json!({"accessModes": ["ReadWriteOncePod"]}));
    let makes = shelf(&[], "minisvc.io/folder");
    let nodes = [Arc::new(node("node1"))];
    let pod = using(&["data"]);
    for (used, verdict) in [
        (false, Verdict::Node("node1".into())),
        (
            true,
            Verdict::Nowhere(
                "0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access \
                 mode already in-use by another pod. preemption: 0/1 nodes are available: 1 No preemption victims found \
                 for incoming pod."
                    .into(),
            ),
        ),
    ] {
        let mut board = Board::new(&nodes, &[]);
        let needs = Needs::new(&pod, &makes, |_| Some(alone.clone()), |_| used).unwrap();
        board.bar(needs.barred(&nodes, &makes));
        assert_eq!(board.judge(&pod), verdict);
    }
}
