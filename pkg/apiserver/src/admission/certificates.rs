//! CertificateSigningRequests: who asks is written down, and only those who may approve or sign for a signer do (upstream's
//! registry strategy and the plugins CertificateApproval, CertificateSigning and CertificateSubjectRestriction); who signs
//! for pods likewise (strategy of PodCertificateRequests).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minisvc_api::field::FieldError;
use minisvc_api::meta;
use minisvc_api::registry::Subresource;
use minisvc_api::status::Status;
use serde_json::{Value, json};

use crate::authz::{self, Attributes};
use crate::call::Call;
use crate::identity::MASTERS;
use crate::pki::{CLIENT_SIGNER, CertificateRequest, is_certificates};

/// What the store calls them.
pub(super) const RESOURCE: &str = "certificatesigningrequests.certificates.k8s.io";

/// What the store calls the requests that nodes make for pods.
pub(super) const OF_PODS: &str = "podcertificaterequests.certificates.k8s.io";

/// 422 for a changed status of a pod's request by one who may not sign for its signer.
pub(super) fn require_signer(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    let [before, after] = [old, new].map(|request| request["status"].as_object().filter(|status| !status.is_empty()));
    if before == after || may(call, "sign", signer) {
        return Ok(());
    }
    let why = format!("User {:?} is not permitted to \"sign\" for signer {signer:?}", call.identity.user);
    Err(invalid(call, old, FieldError::forbidden("spec.signerName", why)))
}

/// A new request: the identity of its author, no status, and a body that is a request.
pub(super) fn prepare(call: &Call, object: &mut Value) -> Result<(), Status> {
    object["status"] = json!({});
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    if let Value::Object(spec) = &mut object["spec"] {
        for field in ["username", "uid", "groups", "extra"] {
            spec.shift_remove(field);
        }
        if let Value::Object(asking) = call.identity.to_value() {
            spec.extend(asking);
        }
    }
    let text = object["spec"]["request"].as_str().unwrap_or_default();
    let parsed = STANDARD.decode(text).map_err(|cause| cause.to_string());
    let request = parsed
        .and_then(|pem| CertificateRequest::parse(&pem))
        .map_err(|why| invalid(call, object, FieldError::invalid("spec.request", text, why)))?;
    let masters = request.organizations.iter().any(|group| group == MASTERS);
    if masters && object["spec"]["signerName"] == *CLIENT_SIGNER {
        let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(Status::forbidden_object(RESOURCE, meta::name(object), &why));
    }
    Ok(())
}

/// A change: of `/approval` only conditions, of `/status` everything but the approval; each by those with the right to.
pub(super) fn keep(call: &Call, new: &mut Value, old: &Value) -> Result<(), Status> {
    let approval = call.subresource == Some(Subresource::Approval);
    if approval {
        let conditions = new["status"]["conditions"].take();
        new["status"] = old["status"].clone();
        new["status"]["conditions"] = conditions;
    } else if call.subresource != Some(Subresource::Status) {
        return Ok(());
    }
    stamp(new, old);
    if let Value::Object(status) = &mut new["status"]
        && status.get("conditions").is_none_or(|conditions| conditions.as_array().is_none_or(Vec::is_empty))
    {
        status.shift_remove("conditions");
    }
    if !approval {
        keep_approval(call, new, old)?;
        check_certificate(call, new, old)?;
    }
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    let changed = ["certificate", "conditions"].iter().any(|field| new["status"][*field] != old["status"][*field]);
    let verb = if approval { "approve" } else { "sign" };
    if (approval || changed) && !may(call, verb, signer) {
        let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
        return Err(Status::forbidden_object(RESOURCE, meta::name(old), &why));
    }
    Ok(())
}

/// Gives conditions the times that they lack.
fn stamp(new: &mut Value, old: &Value) {
    let now = minisvc_api::time::format(Timestamp::now());
    for condition in new["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if !condition.is_object() {
            continue;
        }
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.clone().into();
        }
        if condition["lastTransitionTime"].is_null() {
            let before = conditions(old)
                .iter()
                .find(|other| other["type"] == condition["type"] && other["status"] == condition["status"]);
            let since = before.map_or(&Value::Null, |other| &other["lastTransitionTime"]);
            condition["lastTransitionTime"] = if since.is_null() { now.clone().into() } else { since.clone() };
        }
    }
}

/// What `/status` says of the approval is what was there; it adds none.
fn keep_approval(call: &Call, new: &mut Value, old: &Value) -> Result<(), Status> {
    for kind in ["Approved", "Denied"] {
        let before = conditions(old).iter().find(|condition| condition["type"] == *kind);
        let after = new["status"]["conditions"].as_array_mut().into_iter().flatten().find(|c| c["type"] == *kind);
        match (before, after) {
            (Some(before), Some(after)) => *after = before.clone(),
            (None, Some(_)) => {
                let detail = format!("updates may not add a condition of type {kind:?}");
                return Err(invalid(call, old, FieldError::forbidden("status.conditions", detail)));
            }
            // Taking one away is what validation refuses, for every part.
            (_, None) => {}
        }
    }
    Ok(())
}

/// A certificate is PEM, and is there for good.
fn check_certificate(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    let (after, before) = (&new["status"]["certificate"], &old["status"]["certificate"]);
    if after == before {
        return Ok(());
    }
    if before.as_str().is_some_and(|text| !text.is_empty()) {
        let detail = "updates may not modify existing certificate content";
        return Err(invalid(call, old, FieldError::forbidden("status.certificate", detail)));
    }
    let read = STANDARD.decode(after.as_str().unwrap_or_default()).map_err(|cause| cause.to_string());
    read.and_then(|pem| is_certificates(&pem))
        .map_err(|why| invalid(call, old, FieldError::invalid("status.certificate", "<certificate data>", why)))
}

/// Whether the caller has a verb on a signer, by its name or its domain's `/*`.
fn may(call: &Call, verb: &str, signer: &str) -> bool {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    [signer, domain.as_str()].iter().any(|name| {
        let question = Attributes {
            verb,
            group: "certificates.k8s.io",
            resource: "signers",
            name,
            ..Attributes::of(&call.identity)
        };
        authz::allowed(&call.server, &question)
    })
}

fn conditions(object: &Value) -> &[Value] {
    object["status"]["conditions"].as_array().map_or(&[], Vec::as_slice)
}

fn invalid(call: &Call, object: &Value, error: FieldError) -> Status {
    Status::invalid(call.row.kind, call.row.group, meta::name(object), vec![error])
}
