//! `pods/eviction` (policy/v1): a delete that PodDisruptionBudgets may refuse with 429.

use axum::response::Response;
use http::StatusCode;
use minisvc_api::meta;
use minisvc_api::selector::LabelSelector;
use minisvc_api::status::Status;
use serde_json::{Value, json};

use crate::call::Call;
use crate::handlers::delete::{DeleteOptions, remove};
use crate::handlers::object::decode_as;
use crate::http::respond;

/// Seconds after which an evictor should ask again (as apiserver says).
const RETRY_AFTER: u32 = 10;

/// `POST`.
pub(super) async fn evict(call: &Call) -> Result<Response, Status> {
    let version = if call.body.windows(14).any(|w| w == b"policy/v1beta1") { "policy/v1beta1" } else { "policy/v1" };
    let eviction = decode_as(&call.headers, &call.body, version, "Eviction")?.value;
    let name = call.info.name.as_str();
    match meta::name(&eviction) {
        "" => {}
        own if own != name => {
            return Err(Status::bad_request(format!("name in URL does not match name in Eviction object: {name}")));
        }
        _ => {}
    }
    let options = DeleteOptions::parse(&eviction["deleteOptions"], &call.query)?;
    let pod = call.current()?;
    let ended = matches!(pod.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    if !ended && !meta::is_deleting(&pod.value) {
        budget(call, &pod.value)?;
    }
    remove(call, name, &options).await?;
    Ok(respond::value(StatusCode::CREATED, &Status::success().to_value(), call.accept))
}

/// 429 while a budget over this pod allows no disruption.
fn budget(call: &Call, pod: &Value) -> Result<(), Status> {
    let budgets = call.server.store.list("poddisruptionbudgets.policy", Some(&call.info.namespace)).items;
    let over: Vec<_> = budgets
        .iter()
        .filter(|budget| {
            let selector = LabelSelector::from_object(&budget.value["spec"]["selector"]);
            selector.is_ok_and(|selector| selector.matches(&pod["metadata"]["labels"]))
        })
        .collect();
    match over.as_slice() {
        [] => Ok(()),
        [budget] if budget.value["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) > 0 => Ok(()),
        [budget] => {
            let mut status = Status::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                RETRY_AFTER,
            );
            let desired = &budget.value["status"]["desiredHealthy"];
            let healthy = &budget.value["status"]["currentHealthy"];
            let message = format!(
                "The disruption budget {} needs {desired} healthy pods and has {healthy} currently",
                budget.key.name
            );
            status.details["causes"] = json!([{"reason": "DisruptionBudget", "message": message}]);
            Err(status)
        }
        _ => Err(Status::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )),
    }
}
