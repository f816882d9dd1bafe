//! What the node's server tells Prometheus, in its text format: how many pods and containers there are. Names as the
//! kubelet has them (pkg/kubelet/metrics/metrics.go). Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{ContainerState, Pod};

/// How often containers ended: by kind of container, exit code and reason.
pub(crate) type Ends = BTreeMap<(&'static str, i32, String), u64>;

/// The page for a node of that name, its pods, and what ended here.
pub(super) fn page(node: &str, pods: &[Pod], ends: &Ends) -> String {
    let states = || {
        let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
        statuses.flat_map(|status| {
            let all =
                [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
            all.into_iter().flatten().flatten().filter_map(|container| container.state.as_ref())
        })
    };
    let count = |wanted: fn(&ContainerState) -> bool| states().filter(|state| wanted(state)).count();
    let running = pods.iter().filter(|pod| phase(pod) == "Running").count();
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: &[(String, usize)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    family("kubelet_node_name", "The node's name; the value is always 1.", &[(format!("{{node=\"{node}\"}}"), 1)]);
    family("kubelet_running_pods", "Pods that run here.", &[(String::new(), running)]);
    let state = |name: &str| format!("{{container_state=\"{name}\"}}");
    let containers = [
        (state("created"), count(|state| state.waiting.is_some())),
        (state("running"), count(|state| state.running.is_some())),
        (state("exited"), count(|state| state.terminated.is_some())),
    ];
    family("kubelet_running_containers", "Containers by state.", &containers);
    let name = "kubelet_terminated_containers_total";
    let _ = writeln!(text, "# HELP {name} Containers that ended.\n# TYPE {name} counter");
    for ((kind, code, reason), count) in ends {
        let _ = writeln!(text, "{name}{{container_type=\"{kind}\",exit_code=\"{code}\",reason=\"{reason}\"}} {count}");
    }
    text
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_and_containers_are_counted_by_state() {
        let pod = |phase: &str, state: serde_json::Value| -> Pod {
            let container =
                json!({"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state});
            serde_json::from_value(
                json!({"metadata": {}, "status": {"phase": phase, "containerStatuses": [container]}}),
            )
            .unwrap()
        };
        let pods = [
            pod("Running", json!({"running": {}})),
            pod("Running", json!({"running": {}})),
            pod("Pending", json!({"waiting": {}})),
            pod("Failed", json!({"terminated": {"exitCode": 1}})),
        ];
        let ends = Ends::from([(("container", 139, "Error".to_owned()), 2)]);
        let page = page("node1", &pods, &ends);
        for line in [
            "kubelet_node_name{node=\"node1\"} 1",
            "kubelet_running_pods 2",
            "kubelet_running_containers{container_state=\"created\"} 1",
            "kubelet_running_containers{container_state=\"running\"} 2",
            "kubelet_running_containers{container_state=\"exited\"} 1",
            "kubelet_terminated_containers_total{container_type=\"container\",exit_code=\"139\",reason=\"Error\"} 2",
        ] {
            assert!(page.lines().any(|each| each == line), "{line}:\n{page}");
        }
    }
}
