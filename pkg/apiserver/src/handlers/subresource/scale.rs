//! `/scale`: autoscaling/v1 Scale over an object's replicas. Who scales owns the replicas.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use minisvc_api::apply::{self, Element, Ignored, Place, Versions, Writer};
use minisvc_api::meta::{self, Part};
use minisvc_api::patch::PatchKind;
use minisvc_api::scale;
use minisvc_api::status::Status;
use minisvc_api::table::{self, IncludeObject};
use minisvc_store::{StoreError, Stored};
use serde_json::Value;

use crate::admission::chain;
use crate::admission::subject::{Foreign, Subject};
use crate::call::Call;
use crate::handlers::apply::read;
use crate::handlers::object::decode_as;
use crate::handlers::ownership::{Owners, manager};
use crate::handlers::patch::{Patch, is_apply};
use crate::handlers::update::{ATTEMPTS, Asking, replace};
use crate::http::negotiate::Shape;
use crate::http::query::WriteOptions;
use crate::http::respond;
use crate::render;

const VERSION: &str = "autoscaling/v1";

/// `GET`.
pub(super) async fn get(call: &Call) -> Result<Response, Status> {
    Ok(answer(call, &*call.read(&call.info.name).await?))
}

/// `PUT`.
pub(super) async fn update(call: &Call) -> Result<Response, Status> {
    let options = call.query.write_options("UpdateOptions")?;
    let wanted = decode_as(&call.headers, &call.body, VERSION, "Scale")?.value;
    write(call, &options, |_| Ok(wanted.clone())).await
}

/// `PATCH`: of the Scale as `GET` shows it. A Scale has no lists, so strategic and merge patch agree.
pub(super) async fn patch(call: &Call) -> Result<Response, Status> {
    if is_apply(call)? {
        return apply(call).await;
    }
    let options = call.query.patch_options(false)?;
    let mut patch = Patch::read(call)?;
    if patch.kind == PatchKind::Strategic {
        patch.kind = PatchKind::Merge;
    }
    write(call, &options, |old| {
        let shown = scale::read(old, paths(call));
        let mut wanted = patch.apply(call, &shown)?;
        // Only a patch that names a version asks for one.
        if wanted["metadata"].get("resourceVersion") == shown["metadata"].get("resourceVersion") {
            meta::metadata_mut(&mut wanted).shift_remove("resourceVersion");
        }
        Ok(wanted)
    })
    .await
}

/// Writes the Scale that `change` makes of the object, with its owners following.
async fn write(
    call: &Call,
    options: &WriteOptions,
    change: impl Fn(&Value) -> Result<Value, Status>,
) -> Result<Response, Status> {
    let stored = rewrite(call, options, |old| {
        let mut wanted = change(&old.value)?;
        let shown = owned(call, old);
        with_writer(call, |writer| apply::track(&Scales, writer, Some(&shown), &mut wanted));
        Ok(wanted)
    });
    Ok(answer(call, &*stored.await?))
}

/// `PATCH` with an applied Scale.
async fn apply(call: &Call) -> Result<Response, Status> {
    let options = call.query.patch_options(true)?;
    let (config, warnings) = read(call, options.validation)?;
    let stored = rewrite(call, &options, |old| {
        let shown = owned(call, old);
        let applied = with_writer(call, |writer| apply::apply(&Scales, writer, Some(&shown), &config, options.force));
        Ok(applied?)
    });
    let mut response = answer(call, &*stored.await?);
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// Writes the Scale that `change` makes of the object, as admission lets it; again from the start when the object changed
/// in between and the Scale names no revision of its own.
async fn rewrite(
    call: &Call,
    options: &WriteOptions,
    change: impl Fn(&Stored) -> Result<Value, Status>,
) -> Result<Arc<Stored>, Status> {
    let name = &call.info.name;
    let subject = Subject::foreign(call, "UPDATE", Foreign::SCALE);
    for _ in 0..ATTEMPTS {
        let old = call.read(name).await?;
        let before = scale::read(&old.value, paths(call));
        let mut wanted = change(&old)?;
        chain::mutate(&subject, &mut wanted, Some(&before), |_| Ok(())).await?;
        let new = written(call, &old.value, &wanted)?;
        chain::validate(&subject, Some(&wanted), Some(&before)).await?;
        match replace(call, &old, new, Part::Whole, options.dry_run, Owners::Written, Asking::Done).await? {
            Ok(stored) => return Ok(stored),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict(&call.resource(), name))
}

/// The object with a Scale's replicas and owners.
fn written(call: &Call, object: &Value, scale: &Value) -> Result<Value, Status> {
    let mut new = scale::write(object, scale, paths(call))?;
    let owners = apply::scaled_entries(
        &object["metadata"]["managedFields"],
        &scale["metadata"]["managedFields"],
        &call.view.api_version(),
        &replicas(call),
    );
    let metadata = meta::metadata_mut(&mut new);
    if owners.is_null() {
        metadata.shift_remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), owners);
    }
    Ok(new)
}

/// The object's Scale with the entries of its managed fields that own the replicas.
fn owned(call: &Call, old: &Stored) -> Value {
    let mut shown = scale::read(&old.value, paths(call));
    let fields = &old.value["metadata"]["managedFields"];
    let entries = apply::scale_entries(fields, &call.view.api_version(), &replicas(call));
    if !entries.is_null() {
        meta::metadata_mut(&mut shown).insert("managedFields".into(), entries);
    }
    shown
}

/// Where a custom kind has its replicas.
fn paths(call: &Call) -> Option<&'static scale::Paths> {
    call.view.custom.and_then(|kind| kind.scale.as_ref())
}

fn replicas(call: &Call) -> Vec<Element> {
    match paths(call) {
        Some(paths) => paths.spec.iter().cloned().map(Element::Field).collect(),
        None => ["spec", "replicas"].map(|name| Element::Field(name.to_owned())).to_vec(),
    }
}

fn with_writer<T>(call: &Call, with: impl FnOnce(&Writer<'_>) -> T) -> T {
    let manager = manager(call);
    with(&Writer {
        manager: &manager,
        api_version: VERSION,
        kind: "Scale",
        subresource: "scale",
        ignored: Ignored::Status,
        now: Timestamp::now(),
    })
}

/// A Scale is served in one version.
struct Scales;

impl Versions for Scales {
    fn place(&self, api_version: &str) -> Option<Place> {
        (api_version == VERSION).then(|| Place::of_schema("io.k8s.api.autoscaling.v1.Scale"))
    }

    fn convert(&self, object: &Value, _from: &str, _to: &str) -> Value {
        object.clone()
    }
}

fn answer(call: &Call, stored: &Stored) -> Response {
    let scale = scale::read(&stored.value, paths(call));
    let shaped = match call.accept.shape {
        Shape::Plain => scale,
        Shape::Table(version) => {
            let include = IncludeObject::parse(call.query.get("includeObject")).unwrap_or_default();
            render::in_version(table::scale_table(&scale, include, Timestamp::now()), version)
        }
        Shape::Partial(version) => render::partial(&scale, version),
    };
    respond::value(StatusCode::OK, &shaped, call.accept)
}
