//! `/scale`: autoscaling/v1 Scale over an object's `spec.replicas`.

use axum::response::Response;
use http::StatusCode;
use minisvc_api::meta::Part;
use minisvc_api::patch::PatchKind;
use minisvc_api::scale;
use minisvc_api::status::Status;
use minisvc_store::Stored;
use serde_json::Value;

use crate::call::Call;
use crate::handlers::object::decode_as;
use crate::handlers::patch::Patch;
use crate::handlers::update::modify;
use crate::http::respond;

/// `GET`.
pub(super) fn get(call: &Call) -> Result<Response, Status> {
    Ok(answer(call, &*call.current()?))
}

/// `PUT`.
pub(super) async fn update(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("UpdateOptions")?;
    let wanted = decode_as(&call.headers, &call.body, "autoscaling/v1", "Scale")?.value;
    let stored = modify(call, &call.info.name, Part::Whole, options.dry_run, |old| scale::write(&old.value, &wanted));
    Ok(answer(call, &*stored.await?))
}

/// `PATCH`: of the Scale as `GET` shows it. A Scale has no lists, so strategic and merge patch agree.
pub(super) async fn patch(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("PatchOptions")?;
    let mut patch = Patch::read(call)?;
    if patch.kind == PatchKind::Strategic {
        patch.kind = PatchKind::Merge;
    }
    let change = |old: &Stored| -> Result<Value, Status> {
        let wanted = patch.apply(call, &scale::read(&old.value))?;
        scale::write(&old.value, &wanted)
    };
    let stored = modify(call, &call.info.name, Part::Whole, options.dry_run, change).await?;
    Ok(answer(call, &stored))
}

fn answer(call: &Call, stored: &Stored) -> Response {
    respond::value(StatusCode::OK, &scale::read(&stored.value), call.accept)
}
