//! Deleting objects: preconditions, grace, finalizers, propagation (apiserver `registry/generic/registry/store.go`).

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use minisvc_api::custom::{FINALIZER, RESOURCE};
use minisvc_api::field::FieldError;
use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_api::table::IncludeObject;
use minisvc_store::{StoreError, Stored, Write};
use serde_json::{Value, json};

use super::update::released;
use crate::admission::subject::Subject;
use crate::admission::{self, chain};
use crate::call::Call;
use crate::conversion;
use crate::http::body;
use crate::http::query::{Query, dry_run};
use crate::http::respond;
use crate::render;

/// Kinds whose dependents stay when a delete does not say what becomes of them (`DefaultGarbageCollectionPolicy` of their
/// `v1` in `pkg/registry`).
const ORPHANING: [&str; 2] = ["jobs.batch", "replicationcontrollers"];
/// Kinds whose removal is answered with the object instead of a Status (`ReturnDeletedObject`).
const RETURNED: [&str; 7] = [
    "pods",
    "services",
    "serviceaccounts",
    "persistentvolumes",
    "persistentvolumeclaims",
    "podtemplates",
    "resourcequotas",
];

/// How often a delete without preconditions is tried again when the object changes in between.
const ATTEMPTS: usize = 64;

/// `DeleteOptions`, from body and query.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    /// `Background`, `Foreground`, `Orphan` or empty.
    pub(crate) propagation: String,
    pub(crate) uid: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) dry_run: bool,
    /// What leads to the deletion was admitted, and nobody is asked once more.
    pub(crate) admitted: bool,
}

/// What became of the object.
pub(crate) enum Deleted {
    /// It is gone; its last state.
    Gone(Arc<Stored>),
    /// It stays for now, marked.
    Marked(Arc<Stored>),
}

/// `DELETE` of a named object.
pub(crate) async fn delete(call: &Call) -> Result<Response, Status> {
    let options = DeleteOptions::read(call)?;
    let resource = call.resource();
    Ok(match remove(call, &call.info.name, &options).await? {
        Deleted::Marked(stored) => call.object(StatusCode::OK, &stored),
        Deleted::Gone(stored) if RETURNED.contains(&resource.as_str()) => call.object(StatusCode::OK, &stored),
        Deleted::Gone(stored) => {
            let status = Status::deleted(&resource, &call.info.name, meta::uid(&stored.value));
            respond::value(StatusCode::OK, &status.to_value(), call.accept)
        }
    })
}

/// `DELETE` of a collection: each object like a single delete; answers with the list of them.
pub(crate) async fn delete_collection(call: &Call) -> Result<Response, Status> {
    let options = DeleteOptions::read(call)?;
    let list = call.query.list_options(false)?;
    let filter = call.filter(&list.label_selector, &list.field_selector)?;
    let listing = call.server.store.list(&call.resource(), filter.place());
    let items = conversion::read(&call.server, call.view, listing.items).await?;
    let matching: Vec<_> = items.into_iter().filter(|item| filter.matches(item)).collect();
    let removals = matching.iter().map(|item| async {
        let call = call.at(&item.key.namespace);
        match remove(&call, &item.key.name, &options).await {
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(()),
        }
    });
    futures::future::try_join_all(removals).await?;
    let metadata = json!({"resourceVersion": call.server.store.revision().to_string()});
    let value = render::list(call.view, call.accept.shape, &matching, metadata, IncludeObject::default());
    Ok(respond::value(StatusCode::OK, &value, call.accept))
}

/// Deletes one object of the call's kind, or marks it.
pub(crate) async fn remove(call: &Call, name: &str, options: &DeleteOptions) -> Result<Deleted, Status> {
    for _ in 0..ATTEMPTS {
        let old = call.read(name).await?;
        admission::delete(call, &old.value)?;
        options.check_preconditions(call, &old)?;
        if !options.admitted {
            chain::validate(&Subject::own(call, "DELETE"), None, Some(&old.value)).await?;
        }
        let mut new = (*old.value).clone();
        propagate(&mut new, &options.propagation, ORPHANING.contains(&call.resource().as_str()));
        if call.resource() == RESOURCE && !meta::is_deleting(&new) {
            hold(&mut new);
        }
        mark(call, &mut new, options);
        let (key, expected) = (old.key.clone(), Some(old.revision));
        let gone = released(call, &new);
        if !gone && new == *old.value {
            return Ok(Deleted::Marked(old));
        }
        let write = if gone { Write::Delete { key, expected } } else { Write::Update { key, expected, value: new } };
        match call.commit(write, options.dry_run).await? {
            Ok(stored) if gone => return Ok(Deleted::Gone(stored)),
            Ok(stored) => return Ok(Deleted::Marked(stored)),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict(&call.resource(), name))
}

/// Sets or clears the garbage collector's finalizers. `orphaning` says what becomes of dependents when nobody says it.
fn propagate(object: &mut Value, propagation: &str, orphaning: bool) {
    let asked = || meta::finalizers(object).iter().any(|f| [meta::ORPHAN, meta::FOREGROUND].contains(f));
    let wanted = match propagation {
        "Orphan" => Some(meta::ORPHAN),
        "Foreground" => Some(meta::FOREGROUND),
        "Background" => None,
        // Nothing said: leave what an earlier delete asked for.
        _ if asked() || !orphaning => return,
        _ => Some(meta::ORPHAN),
    };
    let mut finalizers: Vec<String> = meta::finalizers(object)
        .into_iter()
        .filter(|finalizer| ![meta::ORPHAN, meta::FOREGROUND].contains(finalizer))
        .map(str::to_owned)
        .collect();
    finalizers.extend(wanted.map(str::to_owned));
    let metadata = meta::metadata_mut(object);
    if finalizers.is_empty() {
        metadata.shift_remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(finalizers));
    }
}

/// Keeps a definition until its objects are gone.
fn hold(definition: &mut Value) {
    let mut finalizers = meta::finalizers(definition);
    if !finalizers.contains(&FINALIZER) {
        finalizers.push(FINALIZER);
        let finalizers = json!(finalizers);
        meta::metadata_mut(definition).insert("finalizers".into(), finalizers);
    }
}

/// Marks the object as being deleted with the grace that applies.
fn mark(call: &Call, object: &mut Value, options: &DeleteOptions) {
    if call.row.kind == "Namespace" {
        object["status"]["phase"] = json!("Terminating");
        let metadata = meta::metadata_mut(object);
        if !metadata.contains_key("deletionTimestamp") {
            let now = minisvc_api::time::format(Timestamp::now());
            metadata.insert("deletionTimestamp".into(), now.into());
        }
        return;
    }
    // Asking again without a grace of one's own changes nothing.
    if meta::is_deleting(object) && options.grace.is_none() {
        return;
    }
    // Kubernetes reads a negative grace as one second.
    let wanted = options.grace.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let grace = if call.row.graceful { pod_grace(object, wanted) } else { 0 };
    meta::mark_deleted(object, Timestamp::now(), grace);
}

/// Seconds that a pod is given: none when it never reached a node or has ended.
fn pod_grace(pod: &Value, wanted: Option<i64>) -> i64 {
    let unscheduled = pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if unscheduled || ended {
        return 0;
    }
    wanted.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30)
}

// === impl DeleteOptions ===

impl DeleteOptions {
    /// From body (JSON, YAML or protobuf; may be empty) and query; what the body does not say the query may.
    pub(crate) fn read(call: &Call) -> Result<DeleteOptions, Status> {
        let value = if call.body.is_empty() { Value::Null } else { body::decode(&call.headers, &call.body)?.value };
        DeleteOptions::parse(&value, &call.query)
    }

    /// From a decoded `DeleteOptions` (null for none) and a query.
    pub(crate) fn parse(value: &Value, query: &Query) -> Result<DeleteOptions, Status> {
        let mut errors = Vec::new();
        let body_dry = value["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let dry_run = dry_run(body_dry.chain(query.all("dryRun")), &mut errors);
        let text = |field: &str| value[field].as_str().unwrap_or_else(|| query.get(field)).to_owned();
        let mut propagation = text("propagationPolicy");
        let orphan = value["orphanDependents"]
            .as_bool()
            .or_else(|| query.has("orphanDependents").then(|| query.flag("orphanDependents")));
        if let Some(orphan) = orphan {
            if !propagation.is_empty() {
                errors.push(FieldError::invalid(
                    "propagationPolicy",
                    propagation.as_str(),
                    "orphanDependents and deletionPropagation cannot be both set",
                ));
            }
            propagation = if orphan { "Orphan".into() } else { "Background".into() };
        }
        if !["", "Background", "Foreground", "Orphan"].contains(&propagation.as_str()) {
            let supported = ["Background", "Foreground", "Orphan", "nil"];
            errors.push(FieldError::not_supported("propagationPolicy", propagation.as_str(), &supported));
        }
        if !errors.is_empty() {
            return Err(Status::invalid("DeleteOptions", "meta.k8s.io", "", errors));
        }
        let grace = value["gracePeriodSeconds"].as_i64().or_else(|| query.get("gracePeriodSeconds").parse().ok());
        let precondition = |field: &str| value["preconditions"][field].as_str().map(str::to_owned);
        Ok(DeleteOptions {
            grace,
            propagation,
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
            dry_run,
            admitted: false,
        })
    }

    fn check_preconditions(&self, call: &Call, old: &Stored) -> Result<(), Status> {
        let (resource, name) = (call.resource(), &*old.key.name);
        let uid = meta::uid(&old.value);
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            return Err(Status::conflict_uid_precondition(&resource, name, wanted, uid));
        }
        let found = old.revision.to_string();
        if let Some(wanted) = self.revision.as_deref().filter(|wanted| *wanted != found) {
            return Err(Status::conflict_version_precondition(&resource, name, wanted, &found));
        }
        Ok(())
    }
}
