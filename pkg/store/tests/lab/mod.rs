//! Builders for the store's tests: a directory, writes, and a watch read to its end.
#![allow(dead_code, reason = "each test program uses its part")]

use std::path::Path;

use minisvc_store::{EventKind, Key, OpenError, Options, SledStore, Store, Write};
use serde_json::{Value, json};

/// A store's directory that goes with the test.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn open(&self) -> SledStore {
        self.open_with(Options::default())
    }

    pub(crate) fn open_with(&self, options: Options) -> SledStore {
        SledStore::open(self.path(), options).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn refused(&self) -> OpenError {
        SledStore::open(self.path(), Options::default()).expect_err("must not open")
    }
}

pub(crate) fn key(resource: &str, name: &str) -> Key {
    Key::new(resource, "default", name)
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data, "spec": {}})
}

pub(crate) fn create(resource: &str, name: &str, data: Value) -> Write {
    Write::Create { key: key(resource, name), value: config_map(name, data) }
}

pub(crate) fn update(resource: &str, name: &str, expected: Option<u64>, data: Value) -> Write {
    Write::Update { key: key(resource, name), expected, value: config_map(name, data) }
}

pub(crate) fn rename(resource: &str, name: &str, mark: &str) -> Write {
    update(resource, name, None, json!({ "mark": mark }))
}

pub(crate) fn delete(resource: &str, name: &str, expected: Option<u64>) -> Write {
    Write::Delete { key: key(resource, name), expected }
}

/// One event, flattened so that it can be compared: kind, revision, object, previous.
pub(crate) type Flat = (EventKind, u64, Value, Option<Value>);

/// All events of a resource after `from`, as of now.
pub(crate) async fn replay(store: &SledStore, resource: &str, from: u64) -> Vec<Flat> {
    let mut watch = store.watch(resource, from).unwrap();
    let mut all = Vec::new();
    loop {
        let batch = watch.poll_now().unwrap();
        if batch.events.is_empty() {
            return all;
        }
        all.extend(batch.events.iter().map(|event| {
            let previous = event.previous.as_ref().map(|previous| Value::clone(&previous.value));
            (event.kind, event.revision, Value::clone(&event.object.value), previous)
        }));
    }
}
