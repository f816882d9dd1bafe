//! What hangs below objects: one file per subresource with rules of its own. `status` and `approval` are updates of a
//! part and need none.

mod binding;
mod budget;
mod ephemeral;
mod eviction;
mod finalize;
mod of_pod;
mod resize;
mod scale;
mod token;

use axum::response::Response;
use minisvc_api::meta::Part;
use minisvc_api::registry::Subresource;
use minisvc_api::status::Status;

use super::{get, patch, update};
use crate::call::Call;

pub(crate) use binding::bind_collection;

/// Routes a request for a subresource by verb.
pub(crate) async fn route(call: &Call, subresource: Subresource) -> Result<Response, Status> {
    match (subresource, call.info.verb.as_str()) {
        (Subresource::Status | Subresource::Approval, "get") => get::get(call).await,
        (Subresource::Status | Subresource::Approval, "update") => update::update(call, Part::Status).await,
        (Subresource::Status | Subresource::Approval, "patch") => patch::patch(call, Part::Status).await,
        (Subresource::Scale, "get") => scale::get(call).await,
        (Subresource::Scale, "update") => scale::update(call).await,
        (Subresource::Scale, "patch") => scale::patch(call).await,
        (Subresource::Binding, "create") => binding::bind(call).await,
        (Subresource::Eviction, "create") => eviction::evict(call).await,
        (Subresource::EphemeralContainers, "get") => get::get(call).await,
        (Subresource::EphemeralContainers, "update") => of_pod::update(call, &ephemeral::PART).await,
        (Subresource::EphemeralContainers, "patch") => of_pod::patch(call, &ephemeral::PART).await,
        (Subresource::Resize, "get") => get::get(call).await,
        (Subresource::Resize, "update") => of_pod::update(call, &resize::PART).await,
        (Subresource::Resize, "patch") => of_pod::patch(call, &resize::PART).await,
        (Subresource::Token, "create") => token::request(call).await,
        (Subresource::Finalize, "update") => finalize::finalize(call).await,
        _ => Err(Status::method_not_allowed()),
    }
}
