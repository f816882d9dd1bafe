//! Migrations of stored versions against the real API server, in process: objects written anew, what the definition and the
//! migrations say, one after the other.

#[allow(dead_code, reason = "each test program uses its share of the lab")]
mod lab;

use std::time::Duration;

use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use lab::{Lab, object};
use serde_json::{Value, json};

/// A condition's status, reason and message.
fn told(migration: &StorageVersionMigration, kind: &str) -> (String, String, String) {
    let conditions = migration.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map(|one| (one.status, one.reason, one.message)).unwrap_or_default()
}

fn migration(name: &str, group: &str, resource: &str) -> StorageVersionMigration {
    object(json!({"metadata": {"name": name}, "spec": {"resource": {"group": group, "resource": resource}}}))
}

/// Waits until a migration has ended and its condition `Running` says so.
async fn over(lab: &Lab, name: &str) -> StorageVersionMigration {
    let api: Api<StorageVersionMigration> = Api::all(lab.client.clone());
    let ended = |one: &StorageVersionMigration| one.name_any() == name && told(one, "Running").0 == "False";
    let all = lab.until(api, &format!("{name} is over"), |all| all.iter().any(ended)).await;
    all.into_iter().find(|one| one.name_any() == name).expect("it was there")
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_in_the_storage_version() {
    let lab = Lab::new(Duration::from_secs(3600)).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(lab.client.clone());
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    let definition = object(json!({ "metadata": { "name": "foos.example.com" }, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": { "plural": "foos", "kind": "Foo" },
        "versions": [version("v1", true), version("v2", false)],
    } }));
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Foo"), "foos");
    let foos: Api<DynamicObject> = Api::namespaced_with(lab.client.clone(), "default", &kind);
    let mut before = Vec::new();
    for name in ["a", "b", "c"] {
        let made = foos.create(&PostParams::default(), &DynamicObject::new(name, &kind)).await.unwrap();
        before.push(made.resource_version());
    }
    let turned = json!({"spec": {"versions": [version("v1", false), version("v2", true)]}});
    definitions.patch("foos.example.com", &PatchParams::default(), &Patch::Merge(&turned)).await.unwrap();

    let migrations: Api<StorageVersionMigration> = Api::all(lab.client.clone());
    for name in ["first", "second"] {
        migrations.create(&PostParams::default(), &migration(name, "example.com", "foos")).await.unwrap();
    }
    let first = over(&lab, "first").await;
    let done = |status: &str, reason: &str, message: &str| (status.to_owned(), reason.to_owned(), message.to_owned());
    assert_eq!(told(&first, "Running"), done("False", "MigrationCompleted", "Migration completed"));
    assert_eq!(told(&first, "Succeeded"), done("True", "StorageVersionMigrationSucceeded", "Migration completed"));
    over(&lab, "second").await;
    for (name, before) in ["a", "b", "c"].into_iter().zip(before) {
        assert_ne!(foos.get(name).await.unwrap().resource_version(), before, "{name} was not written");
    }
    let status: Value = serde_json::to_value(definitions.get("foos.example.com").await.unwrap().status).unwrap();
    assert_eq!(status["storedVersions"], json!(["v2"]));
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|one| one["type"] == "StorageMigrating").expect("a condition");
    assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("MigrationSucceeded")));

    // Built-in kinds are stored in one version: nothing is to do, and it is told.
    migrations.create(&PostParams::default(), &migration("maps", "", "configmaps")).await.unwrap();
    assert_eq!(told(&over(&lab, "maps").await, "Succeeded").0, "True");
    migrations
        .create(&PostParams::default(), &migration("reviews", "authentication.k8s.io", "tokenreviews"))
        .await
        .unwrap();
    let refused = told(&over(&lab, "reviews").await, "Failed");
    let text = "resource \"authentication.k8s.io/v1, Resource=tokenreviews\" does not support discovery operations: [update patch list]";
    assert_eq!(refused, done("True", "StorageVersionMigrationFailed", text));
}
