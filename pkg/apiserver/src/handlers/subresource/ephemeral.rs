//! `pods/ephemeralcontainers`: the pod as it is, of which only the list of ephemeral containers grows (strategy
//! `podEphemeralContainersStrategy`). All else in a body is passed over.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use minisvc_api::status::Status;
use minisvc_api::{meta, validate};
use minisvc_store::{StoreError, Stored, Write};
use serde_json::Value;

use crate::admission::security;
use crate::call::Call;
use crate::handlers::object;
use crate::handlers::patch::Patch;
use crate::handlers::update::check_place;
use crate::http::body::Decoded;

/// How often the list is written again when the pod changes in between.
const ATTEMPTS: usize = 64;

/// `PUT`.
pub(super) async fn update(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("UpdateOptions")?;
    let wanted = object::decode(call, options.validation)?.value;
    check_place(call, &wanted)?;
    let stored = write(call, options.dry_run, |_| Ok(wanted.clone())).await?;
    Ok(call.object(StatusCode::OK, &stored))
}

/// `PATCH`.
pub(super) async fn patch(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("PatchOptions")?;
    let patch = Patch::read(call)?;
    let stored = write(call, options.dry_run, |old| {
        let mut base = (*old.value).clone();
        meta::metadata_mut(&mut base).shift_remove("resourceVersion");
        let value = patch.apply(call, &base)?;
        Ok(object::clean(call.view, Decoded::of(value), options.validation)?.value)
    })
    .await?;
    Ok(call.object(StatusCode::OK, &stored))
}

async fn write(
    call: &Call,
    dry_run: bool,
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
        let mut new = (*old.value).clone();
        match wanted["spec"]["ephemeralContainers"].as_array() {
            Some(list) if !list.is_empty() => new["spec"]["ephemeralContainers"] = list.clone().into(),
            _ => {
                if let Some(spec) = new["spec"].as_object_mut() {
                    spec.shift_remove("ephemeralContainers");
                }
            }
        }
        (call.row.default)(&mut new, Some(&old.value));
        let errors = validate::ephemeral_containers(&new, &old.value);
        if !errors.is_empty() {
            return Err(Status::invalid(call.row.kind, call.row.group, name, errors));
        }
        security::check_update(call, &new, &old.value)?;
        if !meta::bump_generation(call.row, &mut new, &old.value) {
            return Ok(old);
        }
        let update = Write::Update { key: old.key.clone(), expected: Some(old.revision), value: new };
        match call.server.store.commit(update, dry_run).await {
            Ok(stored) => return Ok(stored),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict(&call.resource(), name))
}
