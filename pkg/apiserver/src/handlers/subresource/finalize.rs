//! `namespaces/finalize`: changes `spec.finalizers`; the last one off removes a namespace that is being deleted.

use axum::response::Response;
use http::StatusCode;
use minisvc_api::meta::{self, Part};
use minisvc_api::status::Status;

use crate::call::Call;
use crate::handlers::object;
use crate::handlers::ownership::Owners;
use crate::handlers::update::{check_place, modify};

/// `PUT`.
pub(super) async fn finalize(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("UpdateOptions")?;
    let wanted = object::decode(call, options.validation)?.value;
    check_place(call, &wanted)?;
    let stored = modify(call, &call.info.name, Part::Whole, options.dry_run, Owners::Follow, |old| {
        let mut namespace = (*old.value).clone();
        match wanted["spec"]["finalizers"].as_array() {
            Some(finalizers) if !finalizers.is_empty() => namespace["spec"]["finalizers"] = finalizers.clone().into(),
            _ => {
                if let Some(spec) = namespace["spec"].as_object_mut() {
                    spec.shift_remove("finalizers");
                }
            }
        }
        let version = meta::resource_version(&wanted);
        let metadata = meta::metadata_mut(&mut namespace);
        metadata.shift_remove("resourceVersion");
        if !version.is_empty() {
            metadata.insert("resourceVersion".into(), version.into());
        }
        Ok(namespace)
    })
    .await?;
    Ok(call.object(StatusCode::OK, &stored))
}
