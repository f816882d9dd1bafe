//! What a container's requests and limits mean for its control group, and what a change of them asks for. Pure
//! (kubelet's `cm/helpers_linux.go`, `kuberuntime_manager.go` `computePodResizeAction`).

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use minisvc_kernel::Share;

/// The shortest cpu time in a period that the kernel takes, in microseconds.
const LEAST_QUOTA: u64 = 1000;

/// A cpu or memory amount of requests or limits; in thousandths.
fn thousandths(resources: &ResourceRequirements, limits: bool, name: &str) -> Option<u64> {
    let list = if limits { &resources.limits } else { &resources.requests };
    let quantity = list.as_ref()?.get(name)?;
    let amount = minisvc_api::quantity::parse(&quantity.0).ok()?;
    // Thousandths have no exact binary form.
    (amount >= 0.0).then(|| (amount * 1000.0 - 1e-6).ceil() as u64)
}

/// Whether anything of the pod is requested or limited, so that its containers need groups. Only then can a resize give
/// it something: its class of service stays.
pub(crate) fn counted(spec: &PodSpec) -> bool {
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let lists = all.filter_map(|container| container.resources.as_ref()).chain(&spec.resources);
    lists
        .flat_map(|resources| resources.requests.iter().chain(&resources.limits))
        .any(|list| list.contains_key("cpu") || list.contains_key("memory"))
}

/// What a container with these resources may take; the pod's own limits count where it has none (KEP-2837).
pub(crate) fn share(resources: &ResourceRequirements, of_pod: Option<&ResourceRequirements>) -> Share {
    let limit_of = |name: &str| {
        let own = thousandths(resources, true, name);
        own.or_else(|| thousandths(of_pod?, true, name)).filter(|limit| *limit > 0)
    };
    let limit = limit_of("cpu");
    let own_limit = thousandths(resources, true, "cpu");
    let request = thousandths(resources, false, "cpu").or(own_limit).unwrap_or_default();
    Share {
        cpu_shares: (request * 1024 / 1000).clamp(2, 262_144),
        cpu_quota: limit.map(|limit| (limit * 100).max(LEAST_QUOTA)),
        memory: limit_of("memory").map(|bytes| bytes / 1000),
    }
}

/// What the containers of a pod may take together: what the pod says for itself, else their weight against other pods.
pub(crate) fn pod_share(spec: &PodSpec) -> Share {
    if let Some(own) = &spec.resources {
        return share(own, None);
    }
    let shares = spec.containers.iter().map(|one| share(&one.resources.clone().unwrap_or_default(), None).cpu_shares);
    Share { cpu_shares: shares.sum(), ..Share::default() }
}

/// What to do about a container's new resources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// They mean what they meant.
    Nothing,
    /// Its group takes them while it runs.
    InPlace,
    /// Its resize policy wants it started anew.
    Restart,
}

/// Compares what a container runs with and what its spec says now.
pub(crate) fn change(running: &ResourceRequirements, wanted: &Container) -> Change {
    let new = wanted.resources.clone().unwrap_or_default();
    if *running == new {
        return Change::Nothing;
    }
    let restarts = |name: &str| {
        let policies = wanted.resize_policy.iter().flatten();
        policies.into_iter().any(|policy| policy.resource_name == name && policy.restart_policy == "RestartContainer")
    };
    let differs = |name: &str| {
        [true, false].iter().any(|limits| thousandths(running, *limits, name) != thousandths(&new, *limits, name))
    };
    match ["cpu", "memory"].iter().any(|name| differs(name) && restarts(name)) {
        true => Change::Restart,
        false => Change::InPlace,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(resources: Value, policy: Value) -> Container {
        serde_json::from_value(json!({"name": "c", "resources": resources, "resizePolicy": policy})).unwrap()
    }

    fn resources(value: Value) -> ResourceRequirements {
        serde_json::from_value(value).unwrap()
    }

    /// "Pod InPlace Resize Container burstable pods - extended resize with equivalents": 10m and 5m are both the least.
    #[test]
    fn requests_and_limits_become_shares() {
        let of = |value: Value| share(&resources(value), None);
        let small = of(json!({"requests": {"cpu": "2m"}, "limits": {"cpu": "10m"}}));
        assert_eq!(small, Share { cpu_shares: 2, cpu_quota: Some(1000), memory: None });
        assert_eq!(of(json!({"limits": {"cpu": "5m"}})).cpu_quota, Some(1000));
        let large = of(json!({"limits": {"cpu": "1500m", "memory": "32Mi"}}));
        assert_eq!(large, Share { cpu_shares: 1536, cpu_quota: Some(150_000), memory: Some(32 << 20) });
        assert_eq!(of(json!({})), Share { cpu_shares: 2, cpu_quota: None, memory: None });
        let of_pod = resources(json!({"limits": {"cpu": "1", "memory": "1Mi"}}));
        let below = share(&resources(json!({"limits": {"cpu": "100m"}})), Some(&of_pod));
        assert_eq!(below, Share { cpu_shares: 102, cpu_quota: Some(10_000), memory: Some(1 << 20) });
    }

    #[test]
    fn a_resize_policy_decides_on_the_restart() {
        let running = resources(json!({"requests": {"cpu": "10m", "memory": "10Mi"}}));
        let policy = json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
        let of = |value: Value| change(&running, &container(value, policy.clone()));
        assert_eq!(of(json!({"requests": {"cpu": "10m", "memory": "10Mi"}})), Change::Nothing);
        assert_eq!(of(json!({"requests": {"cpu": "20m", "memory": "10Mi"}})), Change::InPlace);
        assert_eq!(of(json!({"requests": {"cpu": "10m", "memory": "20Mi"}})), Change::Restart);
    }

    #[test]
    fn what_asks_for_something_is_counted() {
        let spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
        assert!(counted(&serde_json::from_value(spec).unwrap()) && !counted(&PodSpec::default()));
    }
}
