//! Custom kinds: from stored CustomResourceDefinitions to the rows that are served, and the definitions' own life: names
//! and conditions, and the end of a definition's objects with it.
//!
//! What is served is a function of what is stored: it is looked up at every request by the definitions' revisions and made
//! anew when they differ. Nothing runs in the background: every write of a definition, or of an object of one that is
//! going, settles what follows from it. Must not know schemas: the API room does.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use minisvc_api::custom::{self, FINALIZER, RESOURCE};
use minisvc_api::meta;
use minisvc_api::registry::{Catalog, Row};
use minisvc_api::status::Status;
use minisvc_store::{Key, Store, StoreError, Stored, Write};
use serde_json::{Value, json};

use crate::call::Call;
use crate::server::Inner;

/// How often what follows from a write may itself be overtaken.
const ROUNDS: usize = 16;

/// The rows of the definitions as they were last seen.
#[derive(Default)]
pub(crate) struct Definitions(RwLock<Option<Seen>>);

struct Seen {
    revisions: Vec<u64>,
    catalog: Arc<Catalog>,
}

impl Definitions {
    /// All that is served now.
    pub(crate) fn catalog(&self, store: &dyn Store) -> Arc<Catalog> {
        let stored = store.list(RESOURCE, None).items;
        let revisions: Vec<u64> = stored.iter().map(|item| item.revision).collect();
        if let Some(seen) = &*self.0.read().unwrap_or_else(PoisonError::into_inner)
            && seen.revisions == revisions
        {
            return seen.catalog.clone();
        }
        let established = stored.iter().filter(|item| custom::is_established(&item.value));
        let rows: Vec<&'static Row> =
            established.filter_map(|item| custom::rows_of(&item.value).ok()).flatten().collect();
        let catalog = Arc::new(Catalog::new(rows));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Seen { revisions, catalog: catalog.clone() });
        catalog
    }
}

impl Inner {
    /// All that is served now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.definitions.catalog(&*self.store)
    }
}

/// Whether a call may change what definitions say or wait for.
pub(crate) fn concerns(call: &Call) -> bool {
    let writes = matches!(call.info.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
    writes && (call.resource() == RESOURCE || (call.row.custom.is_some() && call.info.verb != "create"))
}

/// 405 for a create of an object whose definition is going.
pub(crate) fn admit(call: &Call) -> Result<(), Status> {
    if call.row.custom.is_none() || call.info.verb != "create" {
        return Ok(());
    }
    let key = Key { resource: RESOURCE.into(), namespace: "".into(), name: call.resource().into() };
    match call.server.store.get(&key) {
        Some(definition) if custom::terminating(&definition.value) => {
            let mut status = Status::method_not_allowed();
            status.message = "create not allowed while custom resource definition is terminating".into();
            Err(status)
        }
        _ => Ok(()),
    }
}

/// What the user of a deprecated version should hear about this call.
pub(crate) fn warnings(call: &Call) -> Vec<String> {
    call.view.custom.and_then(|kind| kind.warning.clone()).into_iter().collect()
}

/// Brings every definition's status up to date, and ends those that are to go.
pub(crate) async fn settle(server: &Inner) -> Result<(), Status> {
    for _ in 0..ROUNDS {
        let mut changed = false;
        for item in server.store.list(RESOURCE, None).items {
            changed |= settle_one(server, &item).await?;
        }
        if !changed {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether anything was written.
async fn settle_one(server: &Inner, item: &Arc<Stored>) -> Result<bool, Status> {
    let all = server.store.list(RESOURCE, None).items;
    let values: Vec<&Value> = all.iter().map(|one| &*one.value).collect();
    let now = Timestamp::now();
    let mut wanted = custom::settled(&item.value, &values, None, now);
    let next = wanted.as_ref().unwrap_or(&item.value);
    if custom::is_established(next)
        && let Err(why) = custom::rows_of(next)
    {
        wanted = custom::settled(&item.value, &values, Some(&why), now);
    }
    if let Some(value) = wanted {
        return write(server, Write::Update { key: item.key.clone(), expected: Some(item.revision), value }).await;
    }
    if !custom::terminating(&item.value) {
        return Ok(false);
    }
    if clear(server, &item.value).await? > 0 {
        return Ok(false);
    }
    let mut value = (*item.value).clone();
    let left: Vec<&str> = meta::finalizers(&item.value).into_iter().filter(|one| *one != FINALIZER).collect();
    meta::metadata_mut(&mut value).insert("finalizers".into(), json!(left));
    let (key, expected) = (item.key.clone(), Some(item.revision));
    let write_ = if left.is_empty() { Write::Delete { key, expected } } else { Write::Update { key, expected, value } };
    write(server, write_).await
}

/// Deletes the objects of a definition; answers how many are held by finalizers of their own.
async fn clear(server: &Inner, definition: &Value) -> Result<usize, Status> {
    let names = &definition["status"]["acceptedNames"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = format!("{}.{}", text(&names["plural"]), text(&definition["spec"]["group"]));
    for item in server.store.list(&resource, None).items {
        let (key, expected) = (item.key.clone(), Some(item.revision));
        if meta::finalizers(&item.value).is_empty() {
            write(server, Write::Delete { key, expected }).await?;
        } else if !meta::is_deleting(&item.value) {
            let mut value = (*item.value).clone();
            meta::mark_deleted(&mut value, Timestamp::now(), 0);
            write(server, Write::Update { key, expected, value }).await?;
        }
    }
    Ok(server.store.list(&resource, None).items.len())
}

/// Commits; whoever was faster is no failure.
async fn write(server: &Inner, write: Write) -> Result<bool, Status> {
    match server.store.commit(write, false).await {
        Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => Ok(true),
        Err(error) => Err(Status::internal(error)),
    }
}
