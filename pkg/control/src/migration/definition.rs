//! What a definition's status says of the migration of its objects: the condition `StorageMigrating`, and afterwards that
//! they are stored in one version alone.

use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::turn;
use crate::world::{World, now};

/// Who writes.
const MANAGER: &str = "migration-runner-controller";
const MIGRATING: &str = "StorageMigrating";

async fn of(
    world: &World,
    migration: &StorageVersionMigration,
) -> Result<Option<CustomResourceDefinition>, kube::Error> {
    let wanted = migration.spec.as_ref().map(|spec| spec.resource.clone()).unwrap_or_default();
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    api.get_opt(&format!("{}.{}", wanted.resource, wanted.group)).await
}

/// Says that it begins.
pub(super) async fn mark(world: &World, migration: &StorageVersionMigration) -> Result<(), kube::Error> {
    let Some(definition) = of(world, migration).await? else { return Ok(()) };
    let message = format!("Migration {} is running", migration.name_any());
    apply(world, &definition, ("True", "MigrationRunning", &message), None).await
}

/// Says how it ended, and which version is left where the definition is the same as at the beginning.
pub(super) async fn finish(world: &World, migration: &StorageVersionMigration) -> Result<(), kube::Error> {
    let Some(definition) = of(world, migration).await? else { return Ok(()) };
    let conditions = definition.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let began = conditions.iter().find(|one| one.type_ == MIGRATING).and_then(|one| one.observed_generation);
    let same = began.is_some() && began == definition.metadata.generation;
    let storage = definition.spec.versions.iter().find(|version| version.storage).map(|version| version.name.clone());
    let (reason, message) = match (turn::succeeded(migration), same) {
        (true, true) => ("MigrationSucceeded", "The migration has succeeded and the stored versions have been updated"),
        (true, false) => (
            "MigrationSucceeded",
            "The migration has succeeded but the stored versions have not been updated due to a generation mismatch",
        ),
        (false, _) => ("MigrationFailed", "The migration has failed"),
    };
    apply(world, &definition, ("False", reason, message), storage.filter(|_| same)).await
}

async fn apply(
    world: &World,
    definition: &CustomResourceDefinition,
    (status, reason, message): (&str, &str, &str),
    stored: Option<String>,
) -> Result<(), kube::Error> {
    let mut whole = json!({"conditions": [{
        "type": MIGRATING, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now().to_string(), "observedGeneration": definition.metadata.generation,
    }]});
    if let Some(version) = stored {
        whole["storedVersions"] = json!([version]);
    }
    // Of the state that was read: a change in between would make it untrue.
    let object: Value = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name_any(), "resourceVersion": definition.resource_version()},
        "status": whole,
    });
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let params = PatchParams::apply(MANAGER).force();
    api.patch_status(&definition.name_any(), &params, &Patch::Apply(&object)).await.map(drop)
}
