//! Resources of containers as far as the downward API and QoS classes need them. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};

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

/// The pod's QoS class (KEP-free rule of qos.go): Guaranteed, Burstable or BestEffort.
pub(crate) fn qos_class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let resources = container.resources.as_ref();
        for name in ["cpu", "memory"] {
            let get = |map: Option<&std::collections::BTreeMap<String, _>>| {
                map.and_then(|map| map.get(name))
                    .and_then(|quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| value(&quantity.0))
                    .filter(|amount| *amount > 0.0)
            };
            let limit = get(resources.and_then(|resources| resources.limits.as_ref()));
            let request = get(resources.and_then(|resources| resources.requests.as_ref()));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qos_classes() {
        let class = |resources: serde_json::Value| {
            let pod =
                serde_json::json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": resources}]}});
            qos_class(&serde_json::from_value(pod).unwrap())
        };
        assert_eq!(class(serde_json::json!({})), "BestEffort");
        assert_eq!(class(serde_json::json!({"requests": {"cpu": "1"}})), "Burstable");
        let both = serde_json::json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(class(serde_json::json!({"limits": both, "requests": both})), "Guaranteed");
        assert_eq!(class(serde_json::json!({"limits": both})), "Guaranteed");
    }
}
