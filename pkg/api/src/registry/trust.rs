//! Rows of certificates.k8s.io/v1 beyond signing requests: trust bundles, and what nodes ask for on behalf of pods.

use super::{Row, Subresource, base};
use crate::{shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&CLUSTER_TRUST_BUNDLE, &POD_CERTIFICATE_REQUEST];

static CLUSTER_TRUST_BUNDLE: Row = Row {
    group: "certificates.k8s.io",
    kind: "ClusterTrustBundle",
    list_kind: "ClusterTrustBundleList",
    plural: "clustertrustbundles",
    singular: "clustertrustbundle",
    namespaced: false,
    unconditional_update: false,
    // `signer.example.com:name:x`: what may stand before the colons depends on the signer, see `validate`.
    name_rule: super::NameRule::PathSegment,
    schema: "io.k8s.api.certificates.v1.ClusterTrustBundle",
    prune: |o| shape::prune("io.k8s.api.certificates.v1.ClusterTrustBundle", o),
    validate: validate::cluster_trust_bundle,
    field_labels: &["spec.signerName"],
    columns: table::CLUSTER_TRUST_BUNDLE,
    cells: |o, _| table::cluster_trust_bundle(o),
    ..base()
};

static POD_CERTIFICATE_REQUEST: Row = Row {
    group: "certificates.k8s.io",
    kind: "PodCertificateRequest",
    list_kind: "PodCertificateRequestList",
    plural: "podcertificaterequests",
    singular: "podcertificaterequest",
    subresources: &[Subresource::Status],
    unconditional_update: false,
    schema: "io.k8s.api.certificates.v1.PodCertificateRequest",
    prune: |o| shape::prune("io.k8s.api.certificates.v1.PodCertificateRequest", o),
    default: |new, _| {
        if let Some(spec) = new.get_mut("spec").and_then(serde_json::Value::as_object_mut) {
            spec.entry("maxExpirationSeconds").or_insert_with(|| 86_400.into());
        }
    },
    validate: validate::pod_certificate_request,
    field_labels: &["spec.nodeName", "spec.signerName"],
    columns: table::POD_CERTIFICATE_REQUEST,
    cells: |o, _| table::pod_certificate_request(o),
    ..base()
};
