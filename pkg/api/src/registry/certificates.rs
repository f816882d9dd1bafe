//! Rows of certificates.k8s.io/v1. Who may approve and sign is the API server's business, not the row's.

use super::{NameRule, Row, Subresource, base};
use crate::{shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&CERTIFICATE_SIGNING_REQUEST];

static CERTIFICATE_SIGNING_REQUEST: Row = Row {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    list_kind: "CertificateSigningRequestList",
    plural: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    short_names: &["csr"],
    namespaced: false,
    subresources: &[Subresource::Approval, Subresource::Status],
    name_rule: NameRule::PathSegment,
    schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
    prune: |o| shape::prune("io.k8s.api.certificates.v1.CertificateSigningRequest", o),
    validate: validate::certificate_signing_request,
    field_labels: &["spec.signerName"],
    columns: table::CERTIFICATE_SIGNING_REQUEST,
    cells: table::certificate_signing_request,
    ..base()
};
