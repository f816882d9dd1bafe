//! Creating objects.

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_api::registry::Subresource;
use minisvc_api::status::Status;
use minisvc_store::{StoreError, Stored, Write};
use serde_json::Value;
use std::sync::Arc;

use super::object;
use super::ownership::{self, Owners};
use crate::admission::subject::Subject;
use crate::admission::{self, chain};
use crate::call::Call;
use crate::http::query::WriteOptions;
use crate::http::respond;

/// How often a generated name may collide before the client hears of it.
const NAME_ATTEMPTS: usize = 8;

/// `POST` to a collection.
pub(crate) async fn create(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("CreateOptions")?;
    let cleaned = object::decode(call, options.validation)?;
    let (stored, mut warnings) = insert(call, cleaned.value, &options, Owners::Follow).await?;
    warnings.splice(0..0, cleaned.warnings);
    let mut response = call.object(StatusCode::CREATED, &stored);
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// Creates a decoded object; answers what was stored and what admission warns about.
pub(crate) async fn insert(
    call: &Call,
    object: Value,
    options: &WriteOptions,
    owners: Owners,
) -> Result<(Arc<Stored>, Vec<String>), Status> {
    let row = call.held();
    let base = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
    let generated = meta::name(&object).is_empty() && !base.is_empty();
    let revised = !matches!(meta::resource_version(&object), "" | "0");
    for attempt in 1.. {
        let mut object = object.clone();
        if generated {
            let name = meta::generate_name(&base, |n| fastrand::usize(..n));
            meta::metadata_mut(&mut object).insert("name".into(), name.into());
        }
        let namespace = row.namespaced.then_some(call.info.namespace.as_str());
        let uid = uuid::Uuid::new_v4().to_string();
        meta::prepare_create(row, &mut object, namespace, &uid, Timestamp::now())?;
        call.rules().fill_defaults(&mut object, None);
        if owners == Owners::Follow {
            ownership::follow(call, None, &mut object).await?;
        }
        let subject = Subject { unnamed: generated, ..Subject::own(call, "CREATE") };
        let builtin = |object: &mut Value| admission::create(call, object);
        let given = row.has(Subresource::Status).then(|| object.get("status").cloned());
        if chain::mutate(&subject, &mut object, None, builtin).await?
            && let Some(given) = given
        {
            restore_status(call, &mut object, given)?;
        }
        let warnings = admission::judge(call, &object)?;
        object::validate(call.rules(), &object, None)?;
        chain::validate(&subject, Some(&object), None).await?;
        if revised {
            // The storage's own complaint, after everybody else's.
            return Err(Status::internal("resourceVersion should not be set on objects to be created"));
        }
        let _turn = admission::quota::turn(call).await;
        admission::admit(call, &object, None)?;
        let name = meta::name(&object).to_owned();
        let key = call.key(&name);
        match call.commit(Write::Create { key, value: object }, options.dry_run).await? {
            Ok(stored) => return Ok((stored, warnings)),
            Err(StoreError::AlreadyExists(_)) if generated && attempt < NAME_ATTEMPTS => {}
            Err(StoreError::Invalid(errors)) => return Err(Status::invalid(row.kind, row.group, &name, errors)),
            Err(error) => return Err(call.refusal(error)),
        }
    }
    unreachable!("the loop ends by returning")
}

/// Gives an object that others have changed the status back that it began with: theirs is not to be written here.
fn restore_status(call: &Call, object: &mut Value, given: Option<Value>) -> Result<(), Status> {
    if let Value::Object(fields) = object {
        match given {
            Some(status) => drop(fields.insert("status".to_owned(), status)),
            None => drop(fields.shift_remove("status")),
        }
    }
    admission::create(call, object)
}
