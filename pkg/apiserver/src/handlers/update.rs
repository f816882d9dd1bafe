//! Replacing objects, and the one way in which any change of an existing object reaches the store.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use minisvc_api::field::FieldError;
use minisvc_api::meta::{self, Part};
use minisvc_api::status::Status;
use minisvc_store::{StoreError, Stored, Write};
use serde_json::Value;

use super::ownership::{self, Owners};
use super::{create, object};
use crate::admission::subject::Subject;
use crate::admission::{self, chain};
use crate::call::Call;
use crate::http::respond;

/// How often an unconditional change is tried again when somebody else was faster.
pub(crate) const ATTEMPTS: usize = 64;

/// `PUT` of an object, or of its `status` with [`Part::Status`].
pub(crate) async fn update(call: &Call, part: Part) -> Result<Response, Status> {
    let options = call.query.write_options("UpdateOptions")?;
    let cleaned = object::decode(call, options.validation)?;
    check_place(call, &cleaned.value)?;
    let exists = call.server.store.get(&call.key(&call.info.name)).is_some();
    if !exists && part == Part::Main && call.row.create_on_update {
        let mut value = cleaned.value;
        let metadata = meta::metadata_mut(&mut value);
        metadata.insert("name".into(), call.info.name.clone().into());
        metadata.shift_remove("resourceVersion");
        let (stored, _) = create::insert(call, value, &options, Owners::Follow).await?;
        return Ok(call.object(StatusCode::CREATED, &stored));
    }
    if !exists {
        // Before anything is said about the object itself (generic registry `Store.Update`).
        return Err(Status::not_found(&call.resource(), &call.info.name));
    }
    let new = cleaned.value;
    if matches!(meta::resource_version(&new), "" | "0") && !call.row.unconditional_update {
        let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
        return Err(Status::invalid(call.row.kind, call.row.group, &call.info.name, vec![error]));
    }
    let stored = modify(call, &call.info.name, part, options.dry_run, Owners::Follow, |_| Ok(new.clone())).await?;
    let mut response = call.object(StatusCode::OK, &stored);
    respond::warn(&mut response, &cleaned.warnings);
    Ok(response)
}

/// 400 unless name and namespace of a body are those of the path.
pub(crate) fn check_place(call: &Call, value: &Value) -> Result<(), Status> {
    match meta::name(value) {
        "" => return Err(Status::name_missing(&call.info.name)),
        name if name != call.info.name => return Err(Status::name_mismatch(name, &call.info.name)),
        _ => {}
    }
    match meta::namespace(value) {
        namespace if call.row.namespaced && !namespace.is_empty() && namespace != call.info.namespace => {
            Err(Status::namespace_mismatch())
        }
        _ => Ok(()),
    }
}

/// Reads the object, lets `change` make its new state, and writes it; again from the start when the object changed in
/// between and the new state names no resourceVersion of its own.
pub(crate) async fn modify(
    call: &Call,
    name: &str,
    part: Part,
    dry_run: bool,
    owners: Owners,
    mut change: impl FnMut(&Stored) -> Result<Value, Status>,
) -> Result<Arc<Stored>, Status> {
    for _ in 0..ATTEMPTS {
        let old = call.read(name).await?;
        let new = call.converting(|| change(&old)).await??;
        match replace(call, &old, new, part, dry_run, owners, Asking::All).await? {
            Ok(stored) => return Ok(stored),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict(&call.resource(), name))
}

/// Who is asked about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// All whom admission asks.
    All,
    /// Nobody but the built-in steps: the others were asked in the form that the client sent.
    Done,
}

/// Writes `new` over `old`, or removes the object when nothing holds it any more. 409 where it names another revision.
pub(crate) async fn replace(
    call: &Call,
    old: &Arc<Stored>,
    mut new: Value,
    part: Part,
    dry_run: bool,
    owners: Owners,
    asking: Asking,
) -> Result<Result<Arc<Stored>, StoreError>, Status> {
    let row = call.held();
    // A state made from the old one carries the old revision: that is no condition of the client's.
    let wanted = meta::resource_version(&new).to_owned();
    let conditional = !matches!(wanted.as_str(), "" | "0");
    if conditional && wanted.parse() != Ok(old.revision) {
        return Err(Status::conflict(&call.resource(), &old.key.name));
    }
    meta::prepare_update(row, &mut new, &old.value, part)?;
    call.rules().fill_defaults(&mut new, Some(&old.value));
    if owners == Owners::Follow {
        ownership::follow(call, Some(&old.value), &mut new).await?;
    }
    let subject = Subject::own(call, "UPDATE");
    let builtin = |new: &mut Value| admission::update(call, new, &old.value, part);
    if asking == Asking::Done {
        builtin(&mut new)?;
    } else if chain::mutate(&subject, &mut new, Some(&old.value), builtin).await? {
        // What this part may not change is put back, whoever has changed it.
        meta::prepare_update(row, &mut new, &old.value, part)?;
        call.rules().fill_defaults(&mut new, Some(&old.value));
    }
    admission::judge_update(call, &new, &old.value, part)?;
    object::validate(call.rules(), &new, Some(&old.value))?;
    if asking == Asking::All {
        chain::validate(&subject, Some(&new), Some(&old.value)).await?;
    }
    let _turn = match part != Part::Status && admission::quota::can_grow(call) {
        true => admission::quota::turn(call).await,
        false => None,
    };
    if part != Part::Status {
        admission::admit(call, &new, Some(&old.value))?;
    }
    if part != Part::Status {
        meta::bump_generation(row, &mut new, &old.value);
    }
    if meta::is_no_change(&new, &old.value) && !released(call, &new) {
        return Ok(Ok(old.clone()));
    }
    let (key, expected) = (old.key.clone(), Some(old.revision));
    let write = if released(call, &new) {
        Write::Delete { key, expected }
    } else {
        Write::Update { key, expected, value: new }
    };
    call.commit(write, dry_run).await
}

/// Whether an object that is being deleted may now go: no finalizers, no grace left.
pub(crate) fn released(call: &Call, value: &Value) -> bool {
    let held = value["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    meta::is_deleting(value)
        && meta::finalizers(value).is_empty()
        && value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !(call.row.kind == "Namespace" && held)
}
