//! Columns and cells of certificates.k8s.io (upstream `printers.go`).

use serde_json::Value;

use super::columns::{NAME, column, wide};
use super::{items, name, or, text};
use crate::registry::Column;

const SIGNER: Column = column("SignerName", "Name of the signer.");

/// Columns of ClusterTrustBundle.
pub const CLUSTER_TRUST_BUNDLE: &[Column] = &[NAME, SIGNER];

/// Cells of a ClusterTrustBundle.
pub fn cluster_trust_bundle(object: &Value) -> Vec<Value> {
    vec![name(object), or(text(object, "/spec/signerName"), "<none>").into()]
}

/// Columns of PodCertificateRequest.
pub const POD_CERTIFICATE_REQUEST: &[Column] = &[
    NAME,
    column("PodName", "Name of the pod that the certificate is for."),
    column("ServiceAccountName", "Service account of the pod."),
    column("NodeName", "Node of the pod."),
    SIGNER,
    column("State", "Pending, Issued, Denied or Failed."),
    wide("UnverifiedUserAnnotations", "What the pod asks the signer for, unverified."),
];

/// Cells of a PodCertificateRequest.
pub fn pod_certificate_request(object: &Value) -> Vec<Value> {
    let mut states = items(object, "/status/conditions").iter().filter_map(|condition| condition["type"].as_str());
    let state = states.rfind(|state| matches!(*state, "Issued" | "Denied" | "Failed")).unwrap_or("Pending");
    let cell = |pointer: &str| Value::from(text(object, pointer));
    let annotations = object["spec"]["unverifiedUserAnnotations"].as_object();
    let pairs = annotations.into_iter().flatten();
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    vec![
        name(object),
        cell("/spec/podName"),
        cell("/spec/serviceAccountName"),
        cell("/spec/nodeName"),
        cell("/spec/signerName"),
        state.into(),
        or(&pairs.join(","), "<none>").into(),
    ]
}
