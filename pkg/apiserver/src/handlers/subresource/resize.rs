//! `pods/resize`: the pod as it is, of which only the resources of containers change (strategy `podResizeStrategy`).
//! All else in a body is passed over.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use minisvc_api::status::Status;
use minisvc_api::{meta, validate};
use minisvc_store::{StoreError, Stored, Write};
use serde_json::Value;

use crate::call::Call;
use crate::handlers::object;
use crate::handlers::patch::Patch;
use crate::handlers::update::check_place;
use crate::http::body::Decoded;

/// How often the pod is written again when it changes in between.
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
        for field in ["containers", "initContainers"] {
            resize(&mut new["spec"], &wanted["spec"], field);
        }
        (call.row.default)(&mut new, Some(&old.value));
        let errors = validate::resize(&new, &old.value);
        if !errors.is_empty() {
            return Err(Status::invalid(call.row.kind, call.row.group, name, errors));
        }
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

/// Takes over resources and resize policies; other containers than there are, as they are, for the rules to refuse.
fn resize(spec: &mut Value, wanted: &Value, field: &str) {
    let names = |spec: &Value| -> Vec<Value> {
        spec[field].as_array().into_iter().flatten().map(|container| container["name"].clone()).collect()
    };
    if names(spec) != names(wanted) {
        spec[field] = wanted[field].clone();
        return;
    }
    let Some(containers) = spec.get_mut(field).and_then(Value::as_array_mut) else { return };
    for (container, wanted) in containers.iter_mut().zip(wanted[field].as_array().into_iter().flatten()) {
        let Some(container) = container.as_object_mut() else { continue };
        for field in ["resources", "resizePolicy"] {
            match &wanted[field] {
                Value::Null => drop(container.shift_remove(field)),
                value => drop(container.insert(field.to_owned(), value.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_resources_are_taken_over() {
        let mut spec = json!({"containers": [{"name": "a", "image": "x", "resources": {}}]});
        let wanted = json!({"containers": [{"name": "a", "image": "y", "resources": {"requests": {"cpu": "1"}}}]});
        resize(&mut spec, &wanted, "containers");
        resize(&mut spec, &wanted, "initContainers");
        assert_eq!(spec, json!({"containers": [{"name": "a", "image": "x", "resources": {"requests": {"cpu": "1"}}}]}));
        resize(&mut spec, &json!({"containers": [{"name": "b"}]}), "containers");
        assert_eq!(spec["containers"], json!([{"name": "b"}]));
    }
}
