//! Subresources that change one part of a pod (`ephemeralcontainers`, `resize`): the pod as it is, of which only that part
//! becomes what is wanted; all else in a body is passed over. One way in for all verbs, with admission as upstream asks it.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use minisvc_api::field::FieldError;
use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_store::{StoreError, Stored, Write};
use serde_json::Value;

use crate::admission::subject::Subject;
use crate::admission::{chain, quota, security};
use crate::call::Call;
use crate::handlers::apply;
use crate::handlers::object;
use crate::handlers::ownership::{self, Owners};
use crate::handlers::patch::{Patch, is_apply};
use crate::handlers::update::check_place;
use crate::http::body::Decoded;
use crate::http::query::WriteOptions;

/// How often the pod is written again when it changes in between.
const ATTEMPTS: usize = 64;

/// What a subresource is about.
pub(super) struct PodPart {
    /// What admission adds to the wanted pod.
    pub(super) complete: fn(&Call, &mut Value),
    /// Puts the wanted pod's part (second) in the place of the old one's (first).
    pub(super) take: fn(&mut Value, &Value),
    /// What is wrong with the new state (first) beside the old one.
    pub(super) judge: fn(&Value, &Value) -> Vec<FieldError>,
    /// Whether namespace and node have room for the new state (second).
    pub(super) admit: fn(&Call, &Value, &Value) -> Result<(), Status>,
}

/// `PUT`.
pub(super) async fn update(call: &Call, part: &PodPart) -> Result<Response, Status> {
    let options = call.query.write_options("UpdateOptions")?;
    let wanted = object::decode(call, options.validation)?.value;
    check_place(call, &wanted)?;
    let stored = write(call, part, &options, Owners::Follow, |_| Ok(wanted.clone())).await?;
    Ok(call.object(StatusCode::OK, &stored))
}

/// `PATCH`.
pub(super) async fn patch(call: &Call, part: &PodPart) -> Result<Response, Status> {
    if is_apply(call)? {
        let options = call.query.patch_options(true)?;
        let (config, _) = apply::read(call, options.validation)?;
        call.find(&call.info.name)?;
        let stored = write(call, part, &options, Owners::Written, |old| {
            Ok(apply::applied(call, Some(&old.value), &config, options.force)?.value)
        });
        return Ok(call.object(StatusCode::OK, &*stored.await?));
    }
    let options = call.query.patch_options(false)?;
    let patch = Patch::read(call)?;
    let stored = write(call, part, &options, Owners::Follow, |old| {
        let mut base = (*old.value).clone();
        meta::metadata_mut(&mut base).shift_remove("resourceVersion");
        let value = patch.apply(call, &base)?;
        Ok(object::clean(call.view, Decoded::of(value), options.validation)?.value)
    });
    Ok(call.object(StatusCode::OK, &*stored.await?))
}

async fn write(
    call: &Call,
    part: &PodPart,
    options: &WriteOptions,
    owners: Owners,
    mut wanted: impl FnMut(&Stored) -> Result<Value, Status>,
) -> Result<Arc<Stored>, Status> {
    let name = &call.info.name;
    for _ in 0..ATTEMPTS {
        let old = call.find(name)?;
        let wanted = wanted(&old)?;
        let version = meta::resource_version(&wanted);
        if !matches!(version, "" | "0") && version.parse() != Ok(old.revision) {
            return Err(Status::conflict(&call.resource(), name));
        }
        let Some((new, other)) = changed(call, part, &old.value, wanted, owners).await? else { return Ok(old) };
        let _turn = quota::turn(call).await;
        if other {
            (part.admit)(call, &old.value, &new)?;
        }
        let update = Write::Update { key: old.key.clone(), expected: Some(old.revision), value: new };
        match call.server.commit(update, options.dry_run).await {
            Ok(stored) => return Ok(stored),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict(&call.resource(), name))
}

/// The pod's new state, and whether more than its metadata and status is another; none where it stays as it is.
async fn changed(
    call: &Call,
    part: &PodPart,
    old: &Value,
    mut wanted: Value,
    owners: Owners,
) -> Result<Option<(Value, bool)>, Status> {
    let uid = meta::uid(&wanted);
    if !uid.is_empty() && uid != meta::uid(old) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta::uid(old));
        return Err(Status::conflict_because(&call.resource(), &call.info.name, &why));
    }
    let subject = Subject::own(call, "UPDATE");
    let complete = |wanted: &mut Value| {
        (part.complete)(call, wanted);
        Ok(())
    };
    chain::mutate(&subject, &mut wanted, Some(old), complete).await?;
    let mut new = old.clone();
    (part.take)(&mut new, &wanted);
    (call.row.default)(&mut new, Some(old));
    match owners {
        Owners::Follow => ownership::follow(call, Some(old), &mut new).await?,
        Owners::Written => {
            let fields = wanted["metadata"].get("managedFields").cloned();
            meta::metadata_mut(&mut new).insert("managedFields".into(), fields.unwrap_or_default());
        }
    }
    let errors = (part.judge)(&new, old);
    if !errors.is_empty() {
        return Err(Status::invalid(call.row.kind, call.row.group, &call.info.name, errors));
    }
    let other = meta::bump_generation(call.row, &mut new, old);
    chain::validate(&subject, Some(&new), Some(old)).await?;
    if other {
        security::check_update(call, &new, old)?;
    }
    Ok((!meta::is_no_change(&new, old)).then_some((new, other)))
}
