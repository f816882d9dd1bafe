//! Admission: what Kubernetes' built-in plugins add to objects or refuse. One file per concern; pure over the store's
//! present state. Must not write.

mod escalation;
mod namespace;
mod pod;
mod workload;

use minisvc_api::meta::Part;
use minisvc_api::status::Status;
use serde_json::Value;

use crate::call::Call;

/// Before a create: after defaulting, before validation. Answers warnings for the client.
pub(crate) fn create(call: &Call, object: &mut Value) -> Result<Vec<String>, Status> {
    namespace::require_live(call, object)?;
    escalation::refuse(call, object)?;
    match call.resource().as_str() {
        "namespaces" => namespace::prepare(object),
        "pods" => pod::prepare(call, object)?,
        _ => workload::initial_status(call.row, object),
    }
    Ok(Vec::new())
}

/// Before an update: after defaulting, before validation.
pub(crate) fn update(call: &Call, new: &mut Value, old: &Value, part: Part) -> Result<(), Status> {
    if call.resource() == "namespaces" {
        namespace::keep(new, old, part);
    }
    escalation::refuse(call, new)
}

/// Before a delete.
pub(crate) fn delete(call: &Call, object: &Value) -> Result<(), Status> {
    if call.resource() == "namespaces" { namespace::refuse_immortal(object) } else { Ok(()) }
}
