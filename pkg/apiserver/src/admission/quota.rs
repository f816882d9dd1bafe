//! ResourceQuota: nothing is made that would be more than a namespace may have. Counts what is there at this moment, not
//! what a status says; whoever makes something in a namespace with quotas waits for those before.

use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_api::quota::{self, Usage};
use minisvc_api::registry::Subresource;
use minisvc_api::status::Status;
use minisvc_store::{Key, Store, Stored};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::MutexGuard;

use crate::call::Call;

/// The quotas of a namespace.
pub(crate) fn quotas(store: &dyn Store, namespace: &str) -> Vec<Arc<Stored>> {
    if namespace.is_empty() { Vec::new() } else { store.list("resourcequotas", Some(namespace)).items }
}

/// The turn of one who makes something where there are quotas, or makes it ask for more; to be held until it is stored.
pub(crate) async fn turn(call: &Call) -> Option<MutexGuard<'_, ()>> {
    if quotas(&*call.server.store, call.namespace()).is_empty() {
        return None;
    }
    Some(call.server.aftermath.turns.lock().await)
}

/// Whether an update can make an object count for more.
pub(crate) fn can_grow(call: &Call) -> bool {
    matches!(call.resource().as_str(), "pods" | "services" | "persistentvolumeclaims" | quota::CLAIMS)
}

/// 403 when a quota of the namespace has no room for the object, or for what an update adds to it.
pub(super) fn admit(call: &Call, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    let (resource, namespace, store) = (call.resource(), call.namespace(), &*call.server.store);
    // A pod asks for the same all its life, but for a resize, and where a deadline puts it into other quotas.
    let ends = |pod: &Value| !pod["spec"]["activeDeadlineSeconds"].is_null();
    if old.is_some_and(|old| ends(old) == ends(object))
        && resource == "pods"
        && call.subresource != Some(Subresource::Resize)
    {
        return Ok(());
    }
    let now = Timestamp::now();
    for found in quotas(store, namespace) {
        if !quota::in_scope(&found.value, &resource, object) {
            continue;
        }
        let before = old.filter(|old| quota::in_scope(&found.value, &resource, old));
        let before = before.map(|old| counted(store, &resource, old, now));
        let wanted = counted(store, &resource, object, now);
        let used = used(store, namespace, &found.value, now);
        if let Some(why) = quota::refusal(&found.value, &resource, object, &wanted, before.as_ref(), &used) {
            let name = match meta::name(object) {
                "" => object["metadata"]["generateName"].as_str().unwrap_or_default(),
                name => name,
            };
            return Err(Status::forbidden_object(&resource, name, &why));
        }
    }
    Ok(())
}

/// What is in use of a quota.
pub(crate) fn used(store: &dyn Store, namespace: &str, found: &Value, now: Timestamp) -> Usage {
    let mut used = quota::nothing(found);
    for resource in store.resources() {
        if !quota::is_counted(&used, &resource) {
            continue;
        }
        for item in store.list(&resource, Some(namespace)).items {
            if quota::in_scope(found, &resource, &item.value) {
                quota::add(&mut used, &counted(store, &resource, &item.value, now));
            }
        }
    }
    used
}

/// What an object counts for; device claims also by the extended resources that their classes stand for.
fn counted(store: &dyn Store, resource: &str, object: &Value, now: Timestamp) -> Usage {
    let mut counted = quota::usage(resource, object, now);
    if resource == quota::CLAIMS {
        quota::add_extended(&mut counted, |class| {
            let class = store.get(&Key::new("deviceclasses.resource.k8s.io", "", class))?;
            let name = class.value["spec"]["extendedResourceName"].as_str()?;
            (!name.is_empty()).then(|| name.to_owned())
        });
    }
    counted
}
