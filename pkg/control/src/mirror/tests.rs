//! The mirror on values: order of watch and own writes, indexes, hooks.

use k8s_openapi::api::core::v1::ConfigMap;

use super::*;

fn object(name: &str, uid: &str, revision: u64) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.namespace = Some("default".into());
    object.metadata.name = Some(name.into());
    object.metadata.uid = Some(uid.into());
    object.metadata.resource_version = Some(revision.to_string());
    object.metadata.labels = Some([("app".to_owned(), name.to_owned())].into());
    object
}

fn mirror() -> (Mirror<ConfigMap>, Vec<Arc<ConfigMap>>) {
    (Mirror::new(by_owner_and_labels), Vec::new())
}

fn names(mirror: &Mirror<ConfigMap>) -> Vec<String> {
    mirror.list("default").iter().map(|o| o.name_any()).collect()
}

#[test]
fn own_write_is_here_before_the_watch_and_the_watch_changes_nothing() {
    let (mirror, mut listing) = mirror();
    let calls = Arc::new(Mutex::new(0));
    let count = calls.clone();
    mirror.hook(move |_, _| *count.lock() += 1);
    mirror.wrote(&object("a", "1", 5));
    assert_eq!(names(&mirror), ["a"]);
    mirror.observe(Event::Apply(object("a", "1", 5)), &mut listing);
    assert_eq!(*calls.lock(), 1);
}

#[test]
fn late_answer_does_not_bring_the_dead_back() {
    let (mirror, mut listing) = mirror();
    mirror.observe(Event::Apply(object("a", "1", 5)), &mut listing);
    mirror.observe(Event::Delete(object("a", "1", 6)), &mut listing);
    mirror.wrote(&object("a", "1", 5));
    assert!(names(&mirror).is_empty());
}

#[test]
fn what_we_removed_stays_removed_through_older_events() {
    let (mirror, mut listing) = mirror();
    mirror.observe(Event::Apply(object("a", "1", 5)), &mut listing);
    mirror.removed(&("default".into(), "a".into()), "1");
    mirror.observe(Event::Apply(object("a", "1", 6)), &mut listing);
    assert!(names(&mirror).is_empty());
    mirror.observe(Event::Delete(object("a", "1", 7)), &mut listing);
    assert!(mirror.inner.read().removed.is_empty());
    mirror.observe(Event::Apply(object("a", "2", 8)), &mut listing);
    assert_eq!(names(&mirror), ["a"]);
}

#[test]
fn deletion_of_a_predecessor_leaves_the_successor() {
    let (mirror, mut listing) = mirror();
    mirror.observe(Event::Apply(object("a", "1", 5)), &mut listing);
    mirror.wrote(&object("a", "2", 9));
    mirror.observe(Event::Delete(object("a", "1", 8)), &mut listing);
    assert_eq!(mirror.get("default", "a").unwrap().metadata.uid.as_deref(), Some("2"));
}

#[test]
fn a_new_list_replaces_and_indexes_follow() {
    let (mirror, mut listing) = mirror();
    mirror.observe(Event::Apply(object("a", "1", 5)), &mut listing);
    assert_eq!(mirror.indexed_len(&label_entry("default", "app", "a")), 1);
    mirror.observe(Event::Init, &mut listing);
    mirror.observe(Event::InitApply(object("b", "2", 7)), &mut listing);
    mirror.observe(Event::InitDone, &mut listing);
    assert_eq!(names(&mirror), ["b"]);
    assert_eq!(mirror.indexed_len(&label_entry("default", "app", "a")), 0);
    assert_eq!(mirror.indexed(&label_entry("default", "app", "b")).len(), 1);
    assert!(*mirror.synced.borrow());
}
