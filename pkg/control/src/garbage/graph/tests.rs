//! Ownership on values: background, foreground and orphaning deletion, absent owners.

use super::*;

fn owner(uid: &str, block: bool) -> OwnerReference {
    OwnerReference { uid: uid.into(), block_owner_deletion: Some(block), ..OwnerReference::default() }
}

fn thing(namespace: &str, owners: &[OwnerReference]) -> Thing {
    Thing {
        kind: 0,
        key: (namespace.into(), "x".into()),
        owners: owners.to_vec(),
        deleting: false,
        foreground: false,
        orphan: false,
    }
}

/// Deployment d, its set r, pods p and q of the set.
fn family() -> Graph {
    let mut graph = Graph::default();
    graph.seen("d".into(), thing("a", &[]));
    graph.seen("r".into(), thing("a", &[owner("d", true)]));
    graph.seen("p".into(), thing("a", &[owner("r", true)]));
    graph.seen("q".into(), thing("a", &[owner("r", true)]));
    graph
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[test]
fn background_goes_down_the_family() {
    let mut graph = family();
    assert_eq!(graph.plan("r"), Action::Nothing);
    assert_eq!(graph.lost("d"), ["r"]);
    assert_eq!(graph.plan("r"), Action::Delete(PropagationPolicy::Background));
    assert_eq!(sorted(graph.lost("r")), ["d", "p", "q"]);
    assert_eq!(graph.plan("p"), Action::Delete(PropagationPolicy::Background));
}

#[test]
fn foreground_goes_up_the_family() {
    let mut graph = family();
    let dying = |owners: &[OwnerReference]| Thing { deleting: true, foreground: true, ..thing("a", owners) };
    assert_eq!(graph.seen("d".into(), dying(&[])), ["d"]);
    assert_eq!(graph.plan("d"), Action::Attempt(vec!["r".into()]));
    assert_eq!(graph.plan("r"), Action::Delete(PropagationPolicy::Foreground));
    graph.seen("r".into(), dying(&[owner("d", true)]));
    assert_eq!(graph.plan("r"), Action::Attempt(vec!["p".into(), "q".into()]));
    assert_eq!(graph.plan("p"), Action::Delete(PropagationPolicy::Background));
    assert_eq!(graph.lost("p"), ["r"]);
    graph.lost("q");
    assert_eq!(graph.plan("r"), Action::Finish);
    assert_eq!(graph.lost("r"), ["d"]);
    assert_eq!(graph.plan("d"), Action::Finish);
}

#[test]
fn a_circle_is_broken_where_it_closes() {
    let mut graph = Graph::default();
    let dying = |owners: &[OwnerReference]| Thing { deleting: true, foreground: true, ..thing("a", owners) };
    graph.seen("p".into(), dying(&[owner("r", true)]));
    graph.seen("q".into(), thing("a", &[owner("p", true)]));
    graph.seen("r".into(), thing("a", &[owner("q", true)]));
    assert_eq!(graph.plan("p"), Action::Attempt(vec!["q".into()]));
    assert_eq!(graph.plan("q"), Action::Delete(PropagationPolicy::Foreground));
    graph.seen("q".into(), dying(&[owner("p", true)]));
    assert_eq!(graph.plan("p"), Action::Attempt(vec![]));
    assert_eq!(graph.plan("q"), Action::Attempt(vec!["r".into()]));
    assert_eq!(graph.plan("r"), Action::Unblock);
    assert_eq!(sorted(graph.seen("r".into(), thing("a", &[owner("q", false)]))), ["q", "r"]);
    assert_eq!(graph.plan("q"), Action::Finish);
    assert_eq!(graph.lost("q"), ["r", "p"]);
    assert_eq!(graph.plan("p"), Action::Finish);
}

#[test]
fn dependents_that_do_not_block_are_not_waited_for() {
    let mut graph = family();
    graph.seen("p".into(), thing("a", &[owner("r", false)]));
    graph.lost("q");
    graph.seen("r".into(), Thing { deleting: true, foreground: true, ..thing("a", &[]) });
    assert_eq!(graph.plan("r"), Action::Finish);
}

#[test]
fn orphans_are_let_go() {
    let mut graph = family();
    graph.seen("r".into(), Thing { deleting: true, orphan: true, ..thing("a", &[owner("d", true)]) });
    assert_eq!(graph.plan("r"), Action::Orphan(vec!["p".into(), "q".into()]));
    graph.seen("p".into(), thing("a", &[]));
    graph.seen("q".into(), thing("a", &[]));
    assert_eq!(graph.plan("r"), Action::Orphan(vec![]));
    graph.lost("r");
    assert_eq!(graph.plan("p"), Action::Nothing);
}

#[test]
fn unknown_owners_are_asked_for_and_one_solid_owner_is_enough() {
    let mut graph = Graph::default();
    let both = [owner("here", true), owner("never", true)];
    graph.seen("here".into(), thing("a", &[]));
    assert_eq!(graph.seen("p".into(), thing("a", &both)), ["p"]);
    assert_eq!(graph.plan("p"), Action::Ask(vec![owner("never", true)]));
    graph.absent("never");
    assert_eq!(graph.plan("p"), Action::Disown(vec!["never".into()]));
    graph.lost("here");
    assert_eq!(graph.plan("p"), Action::Delete(PropagationPolicy::Background));
}

#[test]
fn an_owner_in_another_namespace_is_none_but_one_without_namespace_is() {
    let mut graph = family();
    graph.seen("stranger".into(), thing("b", &[owner("d", true)]));
    assert_eq!(graph.plan("stranger"), Action::Delete(PropagationPolicy::Background));
    graph.seen("node".into(), thing("", &[]));
    graph.seen("lease".into(), thing("b", &[owner("node", true)]));
    assert_eq!(graph.plan("lease"), Action::Nothing);
}
