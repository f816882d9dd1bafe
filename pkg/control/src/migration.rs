//! Stored objects are written anew in their resource's storage version, where a StorageVersionMigration asks for it
//! (kubernetes `pkg/controller/storageversionmigrator`): one migration of a resource at a time, the oldest first, each
//! object by a patch that says nothing. Afterwards a definition lists the storage version alone. `turn` judges.

mod definition;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::kinds::{self, Kind};
use crate::queue::{Queue, drive};
use crate::world::{World, code, is_conflict, is_not_found, now};
use turn::{Turn, put};

/// Who writes.
const MANAGER: &str = "storage-version-migrator-controller";
/// How long a resource may take to appear.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// While it does not, we look again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Objects read at a time.
const PAGE: u32 = 500;

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<String>> = Queue::new();
    let (q, w) = (queue.clone(), Arc::downgrade(&world));
    world.migrations.hook(move |old, new| {
        let Some(changed) = new.or(old) else { return };
        q.add(changed.name_any());
        // Who waits may have their turn now.
        let waiting = w.upgrade().map(|world| world.migrations.all()).unwrap_or_default();
        waiting.iter().filter(|other| other.spec == changed.spec).for_each(|other| q.add(other.name_any()));
    });
    drive("storage version migrator", queue, 1, |name| sync(&world, name)).await;
}

async fn sync(world: &World, name: String) -> Result<Option<Duration>, kube::Error> {
    let Some(migration) = world.migrations.get("", &name) else { return Ok(None) };
    let mut migration = (*migration).clone();
    match turn::of(&migration, &world.migrations.all()) {
        Turn::None => Ok(None),
        Turn::Start => {
            definition::mark(world, &migration).await?;
            put(&mut migration, "Running", true, "MigrationRunning", turn::running(None, None), now());
            world.replace_status(&migration).await?;
            Ok(None)
        }
        Turn::Finish => {
            definition::finish(world, &migration).await?;
            put(&mut migration, "Running", false, "MigrationCompleted", "Migration completed".to_owned(), now());
            world.replace_status(&migration).await?;
            Ok(None)
        }
        Turn::Run => step(world, migration).await,
    }
}

/// The revision first, then the objects.
async fn step(world: &World, mut migration: StorageVersionMigration) -> Result<Option<Duration>, kube::Error> {
    let wanted = migration.spec.as_ref().map(|spec| spec.resource.clone()).unwrap_or_default();
    let found = kinds::discover(&world.client).await?.all.into_iter();
    let mut found = found.filter(|kind| kind.resource.group == wanted.group && kind.resource.plural == wanted.resource);
    let Some(kind) = found.next() else {
        let made = migration.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
        if now().duration_since(made) < PATIENCE {
            return Ok(Some(AGAIN));
        }
        return fail(world, migration, "resource does not exist in discovery".to_owned()).await;
    };
    if !kind.rewritable {
        let version = match kind.resource.group.as_str() {
            "" => format!("/{}", kind.resource.version),
            _ => kind.resource.api_version.clone(),
        };
        let named = format!("{version}, Resource={}", kind.resource.plural);
        let text = format!("resource {named:?} does not support discovery operations: [update patch list]");
        return fail(world, migration, text).await;
    }
    let status = migration.status.get_or_insert_default();
    let Some(revision) = status.resource_version.clone().filter(|revision| !revision.is_empty()) else {
        let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &kind.resource);
        let list = api.list_metadata(&ListParams::default().limit(1)).await?;
        status.resource_version = list.metadata.resource_version;
        world.replace_status(&migration).await?;
        return Ok(None);
    };
    rewrite(world, migration, &kind, revision.parse().unwrap_or(u64::MAX)).await
}

/// Writes all objects anew that have not been written since `revision`.
async fn rewrite(
    world: &World,
    mut migration: StorageVersionMigration,
    kind: &Kind,
    revision: u64,
) -> Result<Option<Duration>, kube::Error> {
    let all = objects(world, kind).await?;
    let total = all.len();
    let old: Vec<_> = all.iter().filter(|(.., written)| written.parse().is_ok_and(|at: u64| at <= revision)).collect();
    let mut left = old.len();
    for (namespace, name, written) in old {
        let api: Api<DynamicObject> = match kind.namespaced {
            true => Api::namespaced_with(world.client.clone(), namespace, &kind.resource),
            false => Api::all_with(world.client.clone(), &kind.resource),
        };
        let nothing = json!({
            "apiVersion": kind.resource.api_version, "kind": kind.resource.kind,
            "metadata": {"resourceVersion": written},
        });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch(name, &params, &Patch::Merge(&nothing)).await {
            // Written or deleted meanwhile: nothing is left to do.
            Err(error) if !is_conflict(&error) && !is_not_found(&error) => {
                let words = match &error {
                    kube::Error::Api(status) => status.message.clone(),
                    other => other.to_string(),
                };
                if passes(&error) {
                    let text = turn::running(Some((left, total)), Some(&words));
                    if put(&mut migration, "Running", true, "MigrationRunning", text, now()) {
                        world.replace_status(&migration).await?;
                    }
                    return Err(error);
                }
                put(
                    &mut migration,
                    "Running",
                    true,
                    "MigrationRunning",
                    turn::running(Some((left, total)), None),
                    now(),
                );
                let text = format!("{left}/{total} not yet migrated. migration encountered unhandled error: {words}");
                return fail(world, migration, text).await;
            }
            _ => left -= 1,
        }
    }
    put(&mut migration, "Running", true, "MigrationRunning", turn::running(Some((left, total)), None), now());
    put(&mut migration, "Succeeded", true, "StorageVersionMigrationSucceeded", "Migration completed".to_owned(), now());
    world.replace_status(&migration).await?;
    Ok(None)
}

/// Namespace, name and revision of all objects of a kind.
async fn objects(world: &World, kind: &Kind) -> Result<Vec<(String, String, String)>, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &kind.resource);
    let (mut page, mut all) = (ListParams::default().limit(PAGE), Vec::new());
    loop {
        let list = api.list_metadata(&page).await?;
        all.extend(list.items.into_iter().map(|object| {
            let written = object.resource_version().unwrap_or_default();
            (object.namespace().unwrap_or_default(), object.name_any(), written)
        }));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// Whether an error may go by itself.
fn passes(error: &kube::Error) -> bool {
    !matches!(error, kube::Error::Api(_)) || matches!(code(error), Some(429 | 500 | 503 | 504))
}

async fn fail(
    world: &World,
    mut migration: StorageVersionMigration,
    text: String,
) -> Result<Option<Duration>, kube::Error> {
    put(&mut migration, "Failed", true, "StorageVersionMigrationFailed", text, now());
    world.replace_status(&migration).await?;
    Ok(None)
}
