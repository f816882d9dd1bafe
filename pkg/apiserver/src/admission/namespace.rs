//! NamespaceLifecycle: nothing is created in absent or dying namespaces, some namespaces never die.

use minisvc_api::meta::{self, Part};
use minisvc_api::status::Status;
use minisvc_store::Key;
use serde_json::{Value, json};

use crate::call::Call;

/// Namespaces that may not be deleted (plugin `NamespaceLifecycle`).
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// 404 in an absent namespace, 403 in one that is being deleted.
pub(super) fn require_live(call: &Call, object: &Value) -> Result<(), Status> {
    if !call.row.namespaced {
        return Ok(());
    }
    let name = call.info.namespace.as_str();
    let key = Key { resource: "namespaces".into(), namespace: "".into(), name: name.into() };
    let Some(namespace) = call.server.store.get(&key) else { return Err(Status::not_found("namespaces", name)) };
    if namespace.value["status"]["phase"] == "Terminating" || meta::is_deleting(&namespace.value) {
        return Err(Status::namespace_terminating(&call.resource(), meta::name(object), name));
    }
    Ok(())
}

/// A new namespace is Active, kept by the finalizer `kubernetes`, and labelled with its name.
pub(super) fn prepare(namespace: &mut Value) {
    if !namespace["spec"].is_object() {
        namespace["spec"] = json!({});
    }
    let mut finalizers: Vec<Value> = namespace["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    namespace["spec"]["finalizers"] = finalizers.into();
    namespace["status"] = json!({"phase": "Active"});
    label(namespace);
}

/// Finalizers in the spec change only through `/finalize`, which writes the whole object.
pub(super) fn keep(new: &mut Value, old: &Value, part: Part) {
    if part != Part::Whole {
        new["spec"] = old["spec"].clone();
    }
    label(new);
}

/// 403 for namespaces that the cluster cannot do without.
pub(super) fn refuse_immortal(namespace: &Value) -> Result<(), Status> {
    let name = meta::name(namespace);
    if IMMORTAL.contains(&name) {
        return Err(Status::forbidden_object("namespaces", name, "this namespace may not be deleted"));
    }
    Ok(())
}

fn label(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    let labels = meta::metadata_mut(namespace).entry("labels").or_insert_with(|| json!({}));
    if labels.is_object() {
        labels["kubernetes.io/metadata.name"] = name.into();
    }
}
