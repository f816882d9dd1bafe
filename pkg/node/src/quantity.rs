//! Resources of containers as far as the downward API needs them. Pure.

use k8s_openapi::api::core::v1::Container;

/// A quantity's value; `None` where it is none (validation keeps such out).
fn value(text: &str) -> Option<f64> {
    minisvc_api::quantity::parse(text).ok()
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
    Ok(format!("{}", (amount / divisor).ceil() as i64))
}
