//! Resources of containers as far as the downward API needs them. Pure.

use k8s_openapi::api::core::v1::Container;

/// A quantity's value; `None` where it is none (validation keeps such out).
fn value(text: &str) -> Option<f64> {
    minisvc_api::quantity::parse(text).ok()
}

/// A quantity as a number of bytes, rounded up.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    value(text).filter(|amount| *amount >= 0.0).map(|amount| amount.ceil() as u64)
}

/// The value of `limits.cpu`, `requests.memory` and the like, divided and rounded up; limits that are not set are the
/// machine's.
pub(crate) fn resource(container: &Container, path: &str, divisor: Option<&str>) -> Result<String, String> {
    let (kind, name) = path.split_once('.').ok_or_else(|| format!("unsupported container resource : {path}"))?;
    let resources = container.resources.as_ref();
    let map = match kind {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(format!("unsupported container resource : {path}")),
    };
    let set = map.and_then(|map| map.get(name)).and_then(|quantity| value(&quantity.0));
    let amount = match (set, kind, name) {
        (Some(amount), ..) => amount,
        (None, "limits", "cpu") => std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64),
        (None, "limits", "memory") => crate::machine::memory_bytes() as f64,
        _ => 0.0,
    };
    let divisor = divisor.filter(|divisor| *divisor != "0").and_then(value).unwrap_or(1.0);
    let shares = amount / divisor;
    // Thousandths have no exact binary form: what is whole but for that is whole.
    let whole = shares.round();
    let rounded = if (shares - whole).abs() < 1e-6 * whole.abs().max(1.0) { whole } else { shares.ceil() };
    Ok(format!("{}", rounded as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resources": {
            "requests": {"cpu": "1100m", "memory": "32Mi"}, "limits": {"cpu": "290m"}}}))
        .unwrap();
        let value = |path: &str, divisor: Option<&str>| resource(&container, path, divisor).unwrap();
        assert_eq!((value("requests.cpu", None), value("requests.cpu", Some("1m"))), ("2".into(), "1100".into()));
        assert_eq!(value("limits.cpu", Some("1m")), "290");
        assert_eq!(
            (value("requests.memory", Some("1Mi")), value("requests.memory", Some("0"))),
            ("32".into(), "33554432".into())
        );
        assert_eq!(value("limits.memory", None), crate::machine::memory_bytes().to_string());
        assert!(resource(&container, "cpu", None).is_err());
        assert_eq!((bytes("1Ki"), bytes("1.5"), bytes("x")), (Some(1024), Some(2), None));
    }
}
