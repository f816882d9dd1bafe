//! ReplicaSet plans on values.

use super::*;
use crate::fixtures::{at, pod, replica_set};

fn plan_of(asked: i32, pods: &[Arc<Pod>]) -> Plan {
    plan(&replica_set("blue", asked), pods, || pods.to_vec(), at(1000))
}

fn named(plan: Plan) -> Vec<String> {
    match plan {
        Plan::Delete(pods) => pods.iter().map(|p| p.metadata.name.clone().unwrap_or_default()).collect(),
        other => panic!("not a deletion: {other:?}"),
    }
}

#[test]
fn the_difference_decides() {
    let two = [pod("a").build(), pod("b").build()];
    assert_eq!(plan_of(2, &two), Plan::Nothing);
    assert_eq!(plan_of(5, &two), Plan::Create(3));
    assert_eq!(named(plan_of(0, &two)).len(), 2);
}

#[test]
fn who_goes_first() {
    // Each row: two pods that differ in one thing; the first must go.
    let running = |name| pod(name).on("node1").ready(0);
    for (what, first, second) in [
        ("unassigned", pod("a").build(), pod("b").on("node1").build()),
        ("pending", pod("a").on("node1").build(), running("b").build()),
        ("unready", running("a").unready().build(), running("b").build()),
        (
            "cheaper",
            running("a").annotation("controller.kubernetes.io/pod-deletion-cost", "-5").build(),
            running("b").build(),
        ),
        ("ready for a shorter time", running("a").ready(900).build(), running("b").ready(10).build()),
        ("younger", running("a").created(990).build(), running("b").created(1).build()),
    ] {
        let both = [second, first];
        assert_eq!(named(plan_of(1, &both)), ["a"], "{what}");
    }
}

#[test]
fn the_crowded_node_loses_first() {
    let pods: Vec<_> = [("a", "node1"), ("b", "node2"), ("c", "node1"), ("d", "node1")]
        .map(|(name, node)| pod(name).on(node).ready(0).build())
        .to_vec();
    let gone = named(plan_of(2, &pods));
    assert!(!gone.contains(&"b".to_owned()), "{gone:?}");
}

#[test]
fn status_counts_and_leaves_out_zeroes() {
    let set = replica_set("blue", 3);
    let pods = [
        pod("a").label("app", "blue").on("node1").ready(0).build(),
        pod("b").label("app", "blue").build(),
        pod("c").label("app", "blue").on("node1").ready(0).deleted().build(),
        pod("d").phase("Failed").build(),
    ];
    let status = status(&set, &pods, None, at(1000));
    assert_eq!(status.replicas, 2);
    assert_eq!(status.fully_labeled_replicas, Some(2));
    assert_eq!(status.ready_replicas, Some(1));
    assert_eq!(status.available_replicas, Some(1));
    assert_eq!(status.terminating_replicas, Some(1));
    let none = super::status(&set, &[], Some(("FailedCreate", "quota".into())), at(1000));
    assert_eq!(none.ready_replicas, None);
    assert_eq!(none.conditions.unwrap()[0].reason.as_deref(), Some("FailedCreate"));
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let mut set = replica_set("blue", 1);
    set.spec.min_ready_seconds = Some(10);
    let pods = [pod("a").on("node1").ready(995).build()];
    assert_eq!(status(&set, &pods, None, at(1000)).available_replicas, None);
    assert_eq!(status(&set, &pods, None, at(1005)).available_replicas, Some(1));
}
