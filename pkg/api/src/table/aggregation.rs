//! Columns and cells of API services (kube-aggregator `registry/apiservice/etcd`).

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, NAME, column};
use super::{age, name};
use crate::registry::Column;

/// Columns of APIService.
pub const API_SERVICE: &[Column] = &[
    NAME,
    column("Service", "The service that answers for it."),
    column("Available", "Whether it can be asked."),
    AGE,
];

/// Cells of APIService.
pub fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let text = |key: &str| service[key].as_str().unwrap_or_default();
    let behind = if service.is_object() { format!("{}/{}", text("namespace"), text("name")) } else { "Local".into() };
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let available = match conditions.find(|one| one["type"] == "Available") {
        None => "Unknown".to_owned(),
        Some(one) => match (one["status"].as_str().unwrap_or_default(), one["reason"].as_str().unwrap_or_default()) {
            ("True", _) => "True".into(),
            (status, "") => status.into(),
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    vec![name(object), behind.into(), available.into(), age(object, now)]
}
