//! Columns and cells of certificates.k8s.io (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, NAME, column};
use super::{age, items, name, or, text};
use crate::registry::Column;
use crate::time;

/// Columns of CertificateSigningRequest.
pub const CERTIFICATE_SIGNING_REQUEST: &[Column] = &[
    NAME,
    AGE,
    column("SignerName", "Who is asked to sign."),
    column("Requestor", "The user who made the request."),
    column("RequestedDuration", "How long the certificate is asked to be good for."),
    column("Condition", "Whether the request is approved or denied, and whether a certificate was issued."),
];

/// Cells of a CertificateSigningRequest.
pub fn certificate_signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let duration = object["spec"]["expirationSeconds"].as_i64().map_or_else(|| "<none>".to_owned(), time::human);
    let has = |kind: &str| items(object, "/status/conditions").iter().any(|condition| condition["type"] == *kind);
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(object, "/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    vec![
        name(object),
        age(object, now),
        or(text(object, "/spec/signerName"), "<none>").into(),
        text(object, "/spec/username").into(),
        duration.into(),
        state.into(),
    ]
}
