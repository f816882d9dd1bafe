//! Reading one object.

use axum::response::Response;
use http::StatusCode;
use minisvc_api::status::Status;

use crate::call::Call;

/// `GET` of a named object. The store's memory is always current, so any `resourceVersion` up to now is satisfied.
pub(crate) async fn get(call: &Call) -> Result<Response, Status> {
    let wanted = call.query.get("resourceVersion");
    if let Ok(revision) = wanted.parse::<u64>()
        && revision > call.server.store.revision()
    {
        return Err(Status::too_large_resource_version(revision, call.server.store.revision()));
    }
    Ok(call.object(StatusCode::OK, &*call.read(&call.info.name).await?))
}
