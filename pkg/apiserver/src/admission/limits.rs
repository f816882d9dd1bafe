//! LimitRanger: pods get the default limits of their namespace, and pods and claims stay within its ranges.

use minisvc_api::limit_range;
use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_store::Stored;
use serde_json::Value;
use std::sync::Arc;

use crate::call::Call;

fn ranges(call: &Call) -> Vec<Arc<Stored>> {
    call.server.store.list("limitranges", Some(call.namespace())).items
}

/// Fills in what a new pod does not say.
pub(super) fn fill_in(call: &Call, pod: &mut Value) {
    for range in ranges(call) {
        limit_range::fill_in(&range.value, pod);
    }
}

/// 403 when a new pod or claim is out of a range.
pub(super) fn admit(call: &Call, object: &Value) -> Result<(), Status> {
    let resource = call.resource();
    if !matches!(resource.as_str(), "pods" | "persistentvolumeclaims") {
        return Ok(());
    }
    for range in ranges(call) {
        if let Some(why) = limit_range::refusal(&range.value, &resource, object) {
            return Err(Status::forbidden_object(&resource, meta::name(object), &why));
        }
    }
    Ok(())
}
