//! The row of apiregistration.k8s.io/v1.

use serde_json::Value;

use super::{NameRule, Row, Subresource, base};
use crate::{aggregation, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&API_SERVICE];

static API_SERVICE: Row = Row {
    group: aggregation::GROUP,
    kind: "APIService",
    list_kind: "APIServiceList",
    plural: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    namespaced: false,
    subresources: &[Subresource::Status],
    unconditional_update: false,
    name_rule: NameRule::PathSegment,
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    prune: |o| shape::prune("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService", o),
    default: |new, _| {
        if let Some(service) = new["spec"].get_mut("service").and_then(Value::as_object_mut) {
            service.entry("port").or_insert_with(|| 443.into());
        }
    },
    validate: |new, _| validate::api_service(new),
    columns: table::API_SERVICE,
    cells: table::api_service,
    ..base()
};
