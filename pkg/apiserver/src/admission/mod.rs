//! Admission: what Kubernetes' built-in plugins add to objects or refuse, one file per concern, pure over the store's
//! present state; and the chain of all who are asked. Must not write.

mod certificates;
pub(crate) mod chain;
mod escalation;
mod ingress;
mod limits;
mod namespace;
mod pod;
mod priority;
pub(crate) mod quota;
mod resize;
mod runtime;
pub(crate) mod security;
mod storage;
pub(crate) mod subject;
mod workload;

pub(crate) use resize::{admit as admit_resize, complete as complete_resize};

use jiff::Timestamp;
use minisvc_api::aggregation;
use minisvc_api::meta::Part;
use minisvc_api::status::Status;
use serde_json::Value;

use crate::call::Call;

/// Before a create: after defaulting, before validation; again where others have changed the object.
pub(crate) fn create(call: &Call, object: &mut Value) -> Result<(), Status> {
    namespace::require_live(call, object)?;
    match call.resource().as_str() {
        "namespaces" => namespace::prepare(object),
        "pods" => pod::prepare(call, object)?,
        // Their first status is their defaults'.
        "persistentvolumeclaims" => storage::prepare_claim(call, object),
        "persistentvolumes" => storage::prepare_volume(object),
        "priorityclasses.scheduling.k8s.io" => priority::one_default(call, object)?,
        "ingresses.networking.k8s.io" => {
            ingress::prepare(call, object);
            workload::initial_status(call.row, object);
        }
        certificates::RESOURCE => certificates::prepare(call, object)?,
        aggregation::RESOURCE if object["spec"]["service"].is_null() => {
            object["status"] = aggregation::local_status(Timestamp::now());
        }
        // Custom kinds begin without a status.
        _ if call.row.custom.is_some() => {}
        _ => workload::initial_status(call.row, object),
    }
    Ok(())
}

/// Before a create, when nobody will change the object any more. Answers warnings for the client.
pub(crate) fn judge(call: &Call, object: &Value) -> Result<Vec<String>, Status> {
    escalation::refuse(call, object)?;
    security::check(call, object)
}

/// Before a write of an object that is good in itself: whether its namespace has room for it. `old` on an update.
pub(crate) fn admit(call: &Call, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    if old.is_none() || call.resource() == "persistentvolumeclaims" {
        limits::admit(call, object)?;
    }
    quota::admit(call, object, old)
}

/// Before an update: after defaulting, before validation; again where others have changed the object.
pub(crate) fn update(call: &Call, new: &mut Value, old: &Value, part: Part) -> Result<(), Status> {
    match call.resource().as_str() {
        "namespaces" => namespace::keep(new, old, part),
        "priorityclasses.scheduling.k8s.io" => priority::one_default(call, new)?,
        "persistentvolumes" if part == Part::Status => storage::note_phase(new, old),
        "persistentvolumeclaims" if part == Part::Main => storage::allow_resize(call, new, old)?,
        certificates::RESOURCE => certificates::keep(call, new, old)?,
        certificates::OF_PODS if part == Part::Status => certificates::require_signer(call, new, old)?,
        _ => {}
    }
    Ok(())
}

/// Before an update, when nobody will change the object any more.
pub(crate) fn judge_update(call: &Call, new: &Value, old: &Value, part: Part) -> Result<(), Status> {
    if part == Part::Main {
        security::check_update(call, new, old)?;
    }
    escalation::refuse(call, new)
}

/// Before a delete.
pub(crate) fn delete(call: &Call, object: &Value) -> Result<(), Status> {
    if call.resource() == "namespaces" { namespace::refuse_immortal(object) } else { Ok(()) }
}
