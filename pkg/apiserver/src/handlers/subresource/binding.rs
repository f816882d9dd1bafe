//! `pods/binding` and the `bindings` collection: the scheduler's decision becomes `spec.nodeName`.

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use minisvc_api::field::{FieldError, quote};
use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_store::{StoreError, Write};
use serde_json::{Value, json};

use crate::admission::chain;
use crate::admission::subject::{Foreign, Subject};
use crate::call::Call;
use crate::handlers::object::decode_as;
use crate::http::respond;

/// How often a binding is tried again when the pod changes in between.
const ATTEMPTS: usize = 64;

/// `POST pods/NAME/binding`.
pub(super) async fn bind(call: &Call) -> Result<Response, Status> {
    let binding = decode_as(&call.headers, &call.body, "v1", "Binding")?.value;
    match meta::name(&binding) {
        name if !name.is_empty() && name != call.info.name => Err(Status::name_mismatch(name, &call.info.name)),
        _ => assign(call, &call.info.name.clone(), &binding).await,
    }
}

/// `POST bindings`: the binding names its pod. `call` is about pods.
pub(crate) async fn bind_collection(call: &Call) -> Result<Response, Status> {
    let binding = decode_as(&call.headers, &call.body, "v1", "Binding")?.value;
    let name = meta::name(&binding).to_owned();
    assign(call, &name, &binding).await
}

async fn assign(call: &Call, name: &str, binding: &Value) -> Result<Response, Status> {
    let options = call.query.write_options("CreateOptions")?;
    let subject = Subject::foreign(call, "CREATE", Foreign::BINDING);
    let mut binding = binding.clone();
    chain::mutate(&subject, &mut binding, None, |_| Ok(())).await?;
    chain::validate(&subject, Some(&binding), None).await?;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    if !["", "Node"].contains(&kind) {
        errors.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if node.is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if !errors.is_empty() {
        return Err(Status::invalid("Binding", "", name, errors));
    }
    // Not an update of the pod by its writer: what pods may change is not asked here, as in Kubernetes.
    for _ in 0..ATTEMPTS {
        let old = call.find(name)?;
        let value = bound(&old.value, name, node, meta::uid(&binding))?;
        let write = Write::Update { key: old.key.clone(), expected: Some(old.revision), value };
        match call.server.commit(write, options.dry_run).await {
            Ok(_) => return Ok(respond::value(StatusCode::CREATED, &Status::success().to_value(), call.accept)),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict("pods/binding", name))
}

/// The pod with its node, or why it cannot have one.
fn bound(pod: &Value, name: &str, node: &str, uid: &str) -> Result<Value, Status> {
    let refuse = |why: String| Err(Status::conflict_because("pods/binding", name, &why));
    if !uid.is_empty() && uid != meta::uid(pod) {
        return Err(Status::conflict_uid_precondition("pods/binding", name, uid, meta::uid(pod)));
    }
    if meta::is_deleting(pod) {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(taken) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        return refuse(format!("pod {name} is already assigned to node {}", quote(taken)));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut pod = pod.clone();
    pod["spec"]["nodeName"] = json!(node);
    // The promise is kept.
    if let Some(status) = pod["status"].as_object_mut() {
        status.shift_remove("nominatedNodeName");
    }
    scheduled(&mut pod);
    Ok(pod)
}

/// Sets the condition `PodScheduled`.
fn scheduled(pod: &mut Value) {
    let now = minisvc_api::time::format(Timestamp::now());
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(condition);
    }
}
