//! What a ResourceClaim's status says: who has it reserved, and which devices it was given.

use serde_json::Value;

use super::{REFERENCE, at_most, pool_name, request_names, unique};
use crate::field::FieldError;
use crate::names;
use crate::validate::storage::driver_name;
use crate::validate::{immutable, invalid, list, text};

pub(super) fn claim_status(claim: &Value, status: &Value, before: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let reserved = list(status, "reservedFor");
    errors.extend(at_most(status, "reservedFor", "status", 256));
    errors.extend(unique(reserved, "uid", "status.reservedFor"));
    for (i, consumer) in reserved.iter().enumerate() {
        for field in ["resource", "name", "uid"] {
            if text(consumer, field).is_empty() {
                errors.push(FieldError::required(format!("status.reservedFor[{i}].{field}"), ""));
            }
        }
    }
    let allocated = status["allocation"].is_object();
    if !reserved.is_empty() && !allocated {
        let words = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden("status.reservedFor", words));
    } else if crate::meta::is_deleting(claim) && reserved.iter().any(|one| !list(before, "reservedFor").contains(one)) {
        let words = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(FieldError::forbidden("status.reservedFor", words));
    }
    if before["allocation"].is_object() && allocated {
        errors.extend(immutable(&status["allocation"], &before["allocation"], "status.allocation"));
    } else if allocated {
        let known = request_names(&claim["spec"]);
        for (i, result) in list(&status["allocation"]["devices"], "results").iter().enumerate() {
            let at = format!("status.allocation.devices.results[{i}]");
            let name = text(result, "request");
            let found = match name.split_once('/') {
                None => known.contains_key(name),
                Some((request, alternative)) => known.get(request).is_some_and(|all| all.contains(&alternative)),
            };
            if !found {
                errors.push(FieldError::invalid(format!("{at}.request"), name, REFERENCE));
            }
            errors.extend(driver_name(&format!("{at}.driver"), text(result, "driver")));
            errors.extend(pool_name(&format!("{at}.pool"), text(result, "pool")));
            errors.extend(invalid(
                &format!("{at}.device"),
                text(result, "device"),
                names::label(text(result, "device")),
            ));
        }
    }
    errors
}
