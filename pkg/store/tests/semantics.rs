//! What the trait promises, through its public face.

mod lab;

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use lab::{Lab, config_map, create, delete, key, rename, update};
use minisvc_store::{EventKind, Key, Options, SledStore, Store, StoreError, Write};
use serde_json::json;

#[tokio::test]
async fn revisions_rise_by_one_and_stand_in_the_value() {
    let lab = Lab::new();
    let store = lab.open();
    assert_eq!((store.revision(), store.oldest()), (1, 1));
    let made = store.commit(create("configmaps", "a", json!({"x": 1})), false).await.unwrap();
    assert_eq!((made.revision, store.revision()), (2, 2));
    assert_eq!(made.value["metadata"]["resourceVersion"], "2");
    let same = store.commit(update("configmaps", "a", Some(2), json!({"x": 1})), false).await.unwrap();
    assert_eq!((same.revision, store.revision()), (2, 2), "a write that changes nothing takes no revision");
    let changed = store.commit(update("configmaps", "a", Some(2), json!({"x": 2})), false).await.unwrap();
    assert_eq!(changed.revision, 3);
    let gone = store.commit(delete("configmaps", "a", Some(3)), false).await.unwrap();
    assert_eq!((gone.revision, &gone.value["data"]["x"]), (4, &json!(2)));
    assert_eq!(gone.value["metadata"]["resourceVersion"], "4");
    assert!(store.get(&key("configmaps", "a")).is_none());
    assert!(store.resources().is_empty());
}

#[tokio::test]
async fn wrong_writes_are_refused_and_take_no_revision() {
    let lab = Lab::new();
    let store = lab.open();
    store.commit(create("configmaps", "a", json!({})), false).await.unwrap();
    let again = store.commit(create("configmaps", "a", json!({})), false).await.unwrap_err();
    assert_eq!(again.to_string(), r#"configmaps "a" already exists"#);
    let stale = store.commit(update("configmaps", "a", Some(1), json!({"x": 1})), false).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict { current: 2, .. }), "{stale:?}");
    let stale = store.commit(delete("configmaps", "a", Some(7)), false).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict { current: 2, .. }), "{stale:?}");
    let missing = store.commit(delete("configmaps", "b", None), false).await.unwrap_err();
    assert_eq!(missing.to_string(), r#"configmaps "b" not found"#);
    let shapeless = Write::Create { key: key("configmaps", "c"), value: json!("text") };
    assert!(matches!(store.commit(shapeless, false).await, Err(StoreError::Invalid(_))));
    assert_eq!(store.revision(), 2);
}

#[tokio::test]
async fn a_dry_run_answers_as_the_write_would_and_leaves_nothing() {
    let lab = Lab::new();
    let store = lab.open();
    let dry = store.commit(create("services", "a", json!({})), true).await.unwrap();
    assert_eq!((dry.revision, dry.value["metadata"].get("resourceVersion")), (0, None));
    assert!(dry.value["spec"]["clusterIP"].is_string());
    assert!(store.get(&key("services", "a")).is_none());
    store.commit(create("configmaps", "a", json!({})), false).await.unwrap();
    let dry = store.commit(update("configmaps", "a", Some(2), json!({"x": 1})), true).await.unwrap();
    assert_eq!(dry.value["metadata"]["resourceVersion"], "2");
    assert_eq!(dry.value["data"]["x"], 1);
    let dry = store.commit(delete("configmaps", "a", None), true).await.unwrap();
    assert_eq!(dry.revision, 2);
    assert!(store.commit(create("configmaps", "a", json!({})), true).await.is_err());
    assert_eq!(store.revision(), 2);
    assert!(store.get(&key("configmaps", "a")).is_some());
}

#[tokio::test]
async fn lists_are_sorted_and_older_ones_can_be_had() {
    let lab = Lab::new();
    let store = lab.open();
    for (namespace, name) in [("b", "x"), ("a", "z"), ("a", "y"), ("a-b", "x")] {
        let key = minisvc_store::Key::new("configmaps", namespace, name);
        store.commit(Write::Create { value: config_map(name, json!({})), key }, false).await.unwrap();
    }
    let names = |listing: &minisvc_store::Listing| -> Vec<String> {
        listing.items.iter().map(|object| format!("{}/{}", object.key.namespace, object.key.name)).collect()
    };
    assert_eq!(names(&store.list("configmaps", None)), ["a/y", "a/z", "a-b/x", "b/x"]);
    assert_eq!(names(&store.list("configmaps", Some("a"))), ["a/y", "a/z"]);
    assert_eq!(names(&store.list_at("configmaps", None, 3).unwrap()), ["a/z", "b/x"]);
    assert_eq!(names(&store.list_at("configmaps", Some("a"), 3).unwrap()), ["a/z"]);
    assert_eq!(store.list_at("configmaps", None, 1).unwrap().items.len(), 0);
    assert_eq!(store.list_at("configmaps", None, 0).unwrap_err().oldest, 1);
    assert_eq!(store.list_at("configmaps", None, 3).unwrap().revision, 3);
    assert_eq!(store.list_at("configmaps", None, 99).unwrap().revision, 5, "the future is the present");
    assert_eq!(store.list("pods", None).revision, 5);
}

#[tokio::test]
async fn watches_see_their_resource_only_in_order_and_can_be_cancelled() {
    let lab = Lab::new();
    let store = lab.open();
    let mut watch = store.watch("configmaps", 1).unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(20), watch.next()).await;
    assert!(nothing.is_err(), "nothing happened yet");
    store.commit(create("secrets", "s", json!({})), false).await.unwrap();
    let batch = watch.poll_now().unwrap();
    assert_eq!((batch.events.len(), batch.revision), (0, 2), "progress for bookmarks");
    let waiting = tokio::spawn(async move { (watch.next().await, watch) });
    store.commit(create("configmaps", "a", json!({"x": 1})), false).await.unwrap();
    let (batch, mut watch) = waiting.await.unwrap();
    let batch = batch.unwrap();
    assert_eq!(batch.events[0].kind, EventKind::Added);
    assert_eq!((batch.events[0].revision, batch.revision), (3, 3));
    store.commit(update("configmaps", "a", None, json!({"x": 2})), false).await.unwrap();
    store.commit(delete("configmaps", "a", None), false).await.unwrap();
    let batch = watch.next().await.unwrap();
    let kinds: Vec<_> = batch.events.iter().map(|event| (event.kind, event.revision)).collect();
    assert_eq!(kinds, [(EventKind::Modified, 4), (EventKind::Deleted, 5)]);
    assert_eq!(batch.events[1].object.value["metadata"]["resourceVersion"], "5");
    let previous = batch.events[0].previous.as_ref().unwrap();
    assert_eq!(previous.value["data"]["x"], 1);
    assert!(batch.events[0].json().starts_with(b"{"));
}

#[tokio::test]
async fn a_watch_of_the_future_waits_for_it() {
    let lab = Lab::new();
    let store = lab.open();
    let mut watch = store.watch("configmaps", 3).unwrap();
    for name in ["a", "b", "c"] {
        store.commit(create("configmaps", name, json!({})), false).await.unwrap();
    }
    let batch = watch.next().await.unwrap();
    assert_eq!(batch.events.iter().map(|event| event.revision).collect::<Vec<_>>(), [4]);
}

#[tokio::test]
async fn compaction_by_count_says_gone_to_who_missed_something() {
    let lab = Lab::new();
    let store = lab.open_with(Options { log_keep_entries: 10, ..Options::default() });
    let mut slow = store.watch("configmaps", 1).unwrap();
    let mut quiet = store.watch("secrets", 1).unwrap();
    for round in 0..30 {
        store.commit(create("configmaps", &format!("a{round}"), json!({})), false).await.unwrap();
    }
    assert!(store.oldest() >= 20, "{}", store.oldest());
    assert_eq!(slow.next().await.unwrap_err().oldest, store.oldest());
    assert_eq!(store.watch("configmaps", 2).unwrap_err().oldest, store.oldest());
    assert!(store.list_at("configmaps", None, 5).is_err());
    assert_eq!(quiet.poll_now().unwrap().revision, 31, "who missed nothing goes on");
    let from = store.oldest();
    let batch = store.watch("configmaps", from).unwrap().next().await.unwrap();
    assert_eq!(batch.events.len() as u64, 31 - from);
}

#[tokio::test]
async fn compaction_by_age() {
    let lab = Lab::new();
    let store = lab.open_with(Options { log_keep: Duration::ZERO, ..Options::default() });
    store.commit(create("configmaps", "a", json!({})), false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.commit(create("configmaps", "b", json!({})), false).await.unwrap();
    assert_eq!(store.oldest(), 2);
}

#[tokio::test]
async fn all_is_there_after_a_restart_and_watches_continue() {
    let lab = Lab::new();
    let store = lab.open();
    let long = "x".repeat(300_000);
    store.commit(create("configmaps", "long", json!({ "x": long })), false).await.unwrap();
    store.commit(update("configmaps", "long", None, json!({"x": "short"})), false).await.unwrap();
    store.commit(update("configmaps", "long", None, json!({ "x": long })), false).await.unwrap();
    store.commit(create("configmaps", "gone", json!({"x": 1})), false).await.unwrap();
    store.commit(delete("configmaps", "gone", None), false).await.unwrap();
    store.commit(create("clusterroles.rbac.authorization.k8s.io", "a:\"b\"", json!({})), false).await.unwrap();
    let before = lab::replay(&store, "configmaps", 1).await;
    drop(store);
    let store = lab.open();
    assert_eq!((store.revision(), store.oldest()), (7, 1));
    assert_eq!(lab::replay(&store, "configmaps", 1).await, before);
    assert_eq!(before.len(), 5);
    assert_eq!(store.get(&key("configmaps", "long")).unwrap().value["data"]["x"], long);
    assert_eq!(store.list_at("configmaps", None, 3).unwrap().items[0].value["data"]["x"], "short");
    store.close().await.unwrap();
    let refused = store.commit(create("configmaps", "late", json!({})), false).await.unwrap_err();
    assert_eq!(refused.to_string(), "store: it is closed");
    assert!(store.get(&key("configmaps", "long")).is_some(), "reads go on");
    let store = lab.open();
    assert_eq!(store.revision(), 7);
}

#[tokio::test]
async fn a_mostly_dead_file_is_rebuilt_and_all_that_lives_stays() {
    let lab = Lab::new();
    let tend_every = Duration::from_millis(10);
    let options = Options { rebuild_above: 2 << 20, log_keep_entries: 5, tend_every, ..Options::default() };
    let store = lab.open_with(options.clone());
    let file = || std::fs::metadata(lab.path().join("db/db"));
    let first = file().unwrap().ino();
    for round in 0..20_000 {
        let value = json!({ "x": format!("{round}{}", "y".repeat(200)) });
        let write = if round == 0 { create("configmaps", "a", value) } else { update("configmaps", "a", None, value) };
        store.commit(write, false).await.unwrap();
        // The file is missing for the moment of the swap.
        if file().is_ok_and(|file| file.ino() != first) {
            break;
        }
    }
    assert_ne!(file().unwrap().ino(), first, "never rebuilt: {} bytes", file().unwrap().len());
    assert!(file().unwrap().len() <= 2 << 20, "{}", file().unwrap().len());
    let after = store.commit(rename("configmaps", "a", "last"), false).await.unwrap();
    let mut log = lab::replay(&store, "configmaps", store.oldest()).await;
    drop(store);
    let store = lab.open_with(options);
    assert_eq!(store.revision(), after.revision);
    assert_eq!(store.get(&key("configmaps", "a")).unwrap().value, after.value);
    // The log may have been compacted a little further before the store was let go.
    log.retain(|event| event.1 > store.oldest());
    assert!(!log.is_empty());
    assert_eq!(lab::replay(&store, "configmaps", store.oldest()).await, log);
    assert!(!lab.path().join("db.old").exists());
}

#[tokio::test]
async fn a_reset_forgets_objects_and_goes_on_above_the_old_revisions() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = SledStore::open(scratch.path(), Options::default()).expect("open");
    let key = Key::new("configmaps", "default", "a");
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
    store.commit(Write::Create { key: key.clone(), value: value.clone() }, false).await.expect("create");
    let before = store.revision();
    store.close().await.expect("close");
    drop(store);
    SledStore::reset(scratch.path(), &Options::default()).expect("reset");
    let store = SledStore::open(scratch.path(), Options::default()).expect("open again");
    assert!(store.get(&key).is_none());
    assert!(store.revision() > before, "{} after {before}", store.revision());
    assert!(store.watch("configmaps", before).is_err(), "an old watcher must list anew");
    let made = store.commit(Write::Create { key, value }, false).await.expect("create again");
    assert!(made.revision > before);
}
