//! Server-side apply: `PATCH` with `application/apply-patch+yaml`, which also creates (KEP-555). Merging is the API room's.

use axum::response::Response;
use http::StatusCode;
use minisvc_api::apply;
use minisvc_api::meta::{self, Part};
use minisvc_api::patch::not_a_map;
use minisvc_api::status::Status;
use minisvc_store::Stored;
use serde_json::Value;

use super::create;
use super::object::{self, Cleaned};
use super::ownership::{Owners, with_writer};
use super::update::modify;
use crate::authz::{self, Attributes};
use crate::call::Call;
use crate::http::body::{self, Decoded};
use crate::http::query::{FieldValidation, WriteOptions};
use crate::http::respond;
use crate::render;

/// How often an object may appear or vanish in between.
const ATTEMPTS: usize = 8;

/// `PATCH` of an object, or of its `status`, with an applied configuration.
pub(crate) async fn apply(call: &Call, part: Part) -> Result<Response, Status> {
    let options = call.query.patch_options(true)?;
    let (config, warnings) = read(call, options.validation)?;
    for _ in 0..ATTEMPTS {
        let exists = call.server.store.get(&call.key(&call.info.name)).is_some();
        let outcome = if exists || part == Part::Status {
            change(call, part, &config, &options).await
        } else {
            make(call, &config, &options).await
        };
        match outcome {
            Err(status) if status.reason == "AlreadyExists" => {}
            Err(status) if exists && status.code == 404 && part == Part::Main => {}
            Err(status) => return Err(status),
            Ok((code, stored, more)) => {
                let mut response = call.object(code, &stored);
                respond::warn(&mut response, &[warnings.as_slice(), &more].concat());
                return Ok(response);
            }
        }
    }
    Err(Status::conflict(&call.resource(), &call.info.name))
}

/// The configuration in the body, and what to warn about.
pub(crate) fn read(call: &Call, validation: FieldValidation) -> Result<(Value, Vec<String>), Status> {
    let decoded = body::yaml(&call.body).map_err(|cause| {
        let cause = cause.strip_prefix("error converting YAML to JSON: ").unwrap_or(&cause);
        Status::bad_request(format!("error encoding patch: {cause}"))
    })?;
    if !decoded.value.is_object() {
        let why = not_a_map(&decoded.value);
        let text = format!("error decoding patch: error unmarshaling JSON: while decoding JSON: {why}");
        return Err(Status::bad_request(text));
    }
    if decoded.repeated.is_empty() || validation == FieldValidation::Ignore {
        return Ok((decoded.value, Vec::new()));
    }
    let lines = decoded.repeated.join("\n  ");
    let twice = format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {lines}");
    match validation {
        FieldValidation::Strict => Err(Status::bad_request(format!("error strict decoding patch: {twice}"))),
        _ => Ok((decoded.value, vec![twice.replace('\n', " ")])),
    }
}

type Outcome = Result<(StatusCode, std::sync::Arc<Stored>, Vec<String>), Status>;

/// Applies to what is there.
async fn change(call: &Call, part: Part, config: &Value, options: &WriteOptions) -> Outcome {
    let stored = modify(call, &call.info.name, part, options.dry_run, Owners::Written, |old| {
        let live = render::viewed(call.view, &old.value);
        Ok(applied(call, Some(&live), config, options.force)?.value)
    })
    .await?;
    Ok((StatusCode::OK, stored, Vec::new()))
}

/// Creates the object; needs the right to create.
async fn make(call: &Call, config: &Value, options: &WriteOptions) -> Outcome {
    authz::require(
        &call.server,
        &Attributes {
            verb: "create",
            group: &call.info.group,
            resource: &call.info.resource,
            namespace: &call.info.namespace,
            name: &call.info.name,
            ..Attributes::of(&call.identity)
        },
    )?;
    let mut value = applied(call, None, config, options.force)?.value;
    let wanted = meta::uid(&value);
    if !wanted.is_empty() {
        let why = format!("uid mismatch: the provided object specified uid {wanted}, and no existing object was found");
        return Err(Status::conflict_because(&call.resource(), &call.info.name, &why));
    }
    meta::metadata_mut(&mut value).shift_remove("resourceVersion");
    let (stored, warnings) = create::insert(call, value, options, Owners::Written).await?;
    Ok((StatusCode::CREATED, stored, warnings))
}

/// The object after the apply, as its type has it.
pub(crate) fn applied(call: &Call, live: Option<&Value>, config: &Value, force: bool) -> Result<Cleaned, Status> {
    let value = with_writer(call, |served, writer| apply::apply(served, writer, live, config, force))?;
    let name = &call.info.name;
    match meta::name(&value) {
        "" => return Err(Status::name_missing(name)),
        own if own != name => return Err(Status::name_mismatch(own, name)),
        _ => {}
    }
    let namespace = meta::namespace(&value);
    if call.row.namespaced && !namespace.is_empty() && namespace != call.info.namespace {
        return Err(Status::namespace_mismatch());
    }
    object::clean(call.view, Decoded::of(value), FieldValidation::Ignore)
}
