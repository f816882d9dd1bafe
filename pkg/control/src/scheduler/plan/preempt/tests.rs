//! Preemption on values: who leaves, who is spared, and where.

use serde_json::{Value, json};

use crate::fixtures::{at, node, object, pod};
use crate::scheduler::plan::*;

/// A pod that asks for some of `foo`.
fn asking(name: &str, priority: i32, foo: u32) -> Arc<Pod> {
    let foo = json!({ "example.com/foo": foo.to_string() });
    let spec = json!({ "priority": priority, "containers": [{ "name": "c", "resources": { "requests": foo } }] });
    pod(name).label("name", name).spec(spec).build()
}

fn running(name: &str, priority: i32, foo: u32, node: &str, since: i64) -> Arc<Pod> {
    let mut pod = (*asking(name, priority, foo)).clone();
    pod.spec.as_mut().unwrap().node_name = Some(node.into());
    pod.status = object(json!({ "phase": "Running", "startTime": at(since).to_string() }));
    Arc::new(pod)
}

fn nodes(count: usize) -> Vec<Arc<Node>> {
    let with = |name: String| {
        let mut node = node(&name);
        let allocatable = node.status.as_mut().unwrap().allocatable.as_mut().unwrap();
        allocatable.insert("example.com/foo".into(), object(json!("10")));
        Arc::new(node)
    };
    (1..=count).map(|n| with(format!("node{n}"))).collect()
}

/// The node and the names of the victims.
fn preempted(verdict: Verdict) -> (String, Vec<String>) {
    let Verdict::Preempt(found) = verdict else { panic!("{verdict:?}") };
    (found.node, found.victims.iter().map(|v| v.metadata.name.clone().unwrap()).collect())
}

fn to(node: &str, victims: &[&str]) -> (String, Vec<String>) {
    (node.into(), victims.iter().map(|v| (*v).to_owned()).collect())
}

#[test]
fn the_most_important_stay_where_they_can() {
    let there = [running("a", 1, 2, "node1", 0), running("b", 2, 3, "node1", 0), running("c", 3, 4, "node1", 0)];
    let mut board = Board::new(&nodes(1), &there);
    assert_eq!(preempted(board.judge(&asking("p", 4, 5))), to("node1", &["b", "a"]));
    assert_eq!(preempted(board.judge(&asking("p", 4, 2))), to("node1", &["a"]));
    assert_eq!(board.judge(&asking("p", 4, 1)), Verdict::Node("node1".into()));
    let why = "0/1 nodes are available: 1 Insufficient example.com/foo. preemption: 0/1 nodes are available: 1";
    for (priority, foo, end) in [
        (1, 5, "No preemption victims found for incoming pod."),
        (2, 5, "Insufficient example.com/foo."),
        (9, 11, "Preemption is not helpful for scheduling."),
    ] {
        assert_eq!(board.judge(&asking("p", priority, foo)), Verdict::Nowhere(format!("{why} {end}")));
    }
    let mut modest = (*asking("p", 4, 5)).clone();
    modest.spec.as_mut().unwrap().preemption_policy = Some("Never".into());
    let Verdict::Nowhere(why) = board.judge(&Arc::new(modest)) else { panic!("preempts") };
    assert!(why.ends_with("foo. preemption: not eligible due to preemptionPolicy=Never."), "{why}");
}

#[test]
fn the_cheapest_node_is_taken() {
    let cheapest = |there: &[Arc<Pod>]| preempted(Board::new(&nodes(2), there).judge(&asking("p", 9, 8)));
    let lower = [running("a", 2, 8, "node1", 0), running("b", 1, 8, "node2", 0)];
    assert_eq!(cheapest(&lower), to("node2", &["b"]));
    let fewer = [running("a", 1, 4, "node1", 0), running("b", 1, 4, "node1", 0), running("c", 1, 8, "node2", 0)];
    assert_eq!(cheapest(&fewer), to("node2", &["c"]));
    let later = [running("a", 1, 8, "node1", 5), running("b", 1, 8, "node2", 9)];
    assert_eq!(cheapest(&later), to("node2", &["b"]));
}

#[test]
fn budgets_are_spared_where_that_can_be() {
    let budget = |allowed: i32| -> Vec<_> {
        let status: Value =
            json!({ "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 });
        vec![Arc::new(object(json!({ "metadata": { "name": "b", "namespace": "default" }, "status": status,
            "spec": { "selector": { "matchLabels": { "name": "low" } } } })))]
    };
    let there = [running("low", 1, 8, "node1", 0), running("high", 2, 8, "node2", 0)];
    let judged =
        |allowed| preempted(Board::new(&nodes(2), &there).with_budgets(budget(allowed)).judge(&asking("p", 9, 8)));
    assert_eq!(judged(0), to("node2", &["high"]));
    assert_eq!(judged(1), to("node1", &["low"]));
    // On one node the protected pod stays rather than one of more priority, and leaves when nothing else helps.
    let there = [running("low", 1, 5, "node1", 0), running("high", 2, 5, "node1", 0)];
    let mut board = Board::new(&nodes(1), &there).with_budgets(budget(0));
    assert_eq!(preempted(board.judge(&asking("p", 9, 5))), to("node1", &["high"]));
    assert_eq!(preempted(board.judge(&asking("p", 9, 8))), to("node1", &["high", "low"]));
}

#[test]
fn room_is_kept_for_those_it_was_made_for() {
    let mut leaving = (*running("old", 1, 8, "node1", 0)).clone();
    leaving.metadata.deletion_timestamp = pod("d").deleted().build().metadata.deletion_timestamp.clone();
    leaving.status.as_mut().unwrap().conditions =
        Some(vec![object(json!({ "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler" }))]);
    let promised = asking("p", 4, 8);
    let mut board = Board::new(&nodes(1), &[Arc::new(leaving)]);
    board.nominate(&promised, "node1");
    let Verdict::Waits(why) = board.judge(&promised) else { panic!("does not wait") };
    assert!(why.ends_with("preemption: not eligible due to a terminating pod on the nominated node."), "{why}");
    let mut board = Board::new(&nodes(1), &[]);
    board.nominate(&promised, "node1");
    let small = asking("small", 3, 2);
    assert_eq!(board.judge(&small), Verdict::Node("node1".into()));
    let Verdict::Nowhere(why) = board.judge(&asking("big", 4, 3)) else { panic!("took what was kept") };
    assert!(why.starts_with("0/1 nodes are available: 1 Insufficient example.com/foo. "), "{why}");
    // More priority outbids.
    assert_eq!(board.judge(&asking("vip", 5, 3)), Verdict::Node("node1".into()));
    assert_eq!(board.judge(&promised), Verdict::Node("node1".into()));
    board.place(&promised, "node1");
    assert!(matches!(board.judge(&asking("big", 4, 3)), Verdict::Nowhere(_)));
}
