//! Defaults of resource.k8s.io (`pkg/apis/resource/v1/defaults.go`).

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{each_mut, fill, fill_number, object_mut};

/// ResourceClaim: one device a request.
pub fn resource_claim(new: &mut Value, _old: Option<&Value>) {
    requests(new, "/spec/devices/requests");
}

/// ResourceClaimTemplate: as the claims that are made of it.
pub fn resource_claim_template(new: &mut Value, _old: Option<&Value>) {
    requests(new, "/spec/spec/devices/requests");
}

/// DeviceTaintRule: since now, or since it was made.
pub fn device_taint_rule(new: &mut Value, old: Option<&Value>) {
    let since = old.map(|old| old["spec"]["taint"]["timeAdded"].clone()).filter(Value::is_string);
    if let Some(spec) = new.get_mut("spec") {
        added(object_mut(spec, "taint"), since);
    }
}

/// ResourceSlice: devices' taints since now.
pub fn resource_slice(new: &mut Value, _old: Option<&Value>) {
    for device in new.pointer_mut("/spec/devices").and_then(Value::as_array_mut).into_iter().flatten() {
        each_mut(device, "taints").for_each(|taint| added(taint, None));
    }
}

fn added(taint: &mut Map<String, Value>, since: Option<Value>) {
    fill(taint, "timeAdded", since.unwrap_or_else(|| crate::time::format(Timestamp::now()).into()));
}

fn requests(object: &mut Value, pointer: &str) {
    for request in object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(exactly) = request.get_mut("exactly").and_then(Value::as_object_mut) {
            count(exactly);
        }
        each_mut(request, "firstAvailable").for_each(count);
    }
}

/// `SetDefaults_ExactDeviceRequest`, `SetDefaults_DeviceSubRequest`.
fn count(request: &mut Map<String, Value>) {
    fill(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" {
        fill_number(request, "count", 1);
    }
}
