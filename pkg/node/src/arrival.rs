//! What a driver knows of a pod when it first sees it: a new pod, or one that an earlier life of this node ran. Pure.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus};

use crate::status::{End, Record, Role, Sheet, State};

/// The address that the pod had in an earlier life of this node.
pub(crate) fn earlier_address(pod: &Pod) -> Option<Ipv4Addr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}

/// The sheet at the pod's arrival. Containers that ran before (the node was started again) count one restart more.
pub(crate) fn first_sheet(pod: &Pod, host_ip: Ipv4Addr, now: Timestamp) -> Sheet {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    let spec = pod.spec.clone().unwrap_or_default();
    let has_init = spec.init_containers.as_ref().is_some_and(|all| !all.is_empty());
    let record = |container: &Container, role: Role, old: Option<&ContainerStatus>| {
        let ran = old.is_some_and(|old| old.container_id.is_some());
        let old_state = old.and_then(|old| old.state.as_ref());
        let since = old_state.and_then(|state| state.running.as_ref()).and_then(|running| running.started_at.clone());
        let lost = End {
            exit_code: 255,
            signal: None,
            reason: "Unknown".into(),
            message: Some("the node was started again".into()),
            started: since.map(|since| since.0),
            finished: now,
            id: old.and_then(|old| old.container_id.clone()).map(|id| id.trim_start_matches("minisvc://").to_owned()),
        };
        let waiting = if has_init { "PodInitializing" } else { "ContainerCreating" };
        Record {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            image_id: String::new(),
            role,
            state: State::waiting(waiting),
            last: ran.then_some(lost),
            restarts: old.map_or(0, |old| old.restart_count),
            id: None,
            ready: false,
            started: false,
        }
    };
    let old = |statuses: &Option<Vec<ContainerStatus>>, name: &str| {
        statuses.iter().flatten().find(|status| status.name == name).cloned()
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let role = if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
        record(container, role, old(&status.init_container_statuses, &container.name).as_ref())
    });
    let apps = spec
        .containers
        .iter()
        .map(|container| record(container, Role::App, old(&status.container_statuses, &container.name).as_ref()));
    Sheet {
        records: init.chain(apps).collect(),
        start_time: status.start_time.as_ref().map_or(now, |time| time.0),
        sandbox_ready: false,
        pod_ip: None,
        host_ip,
        failed: None,
        conditions: status.conditions.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sheet(status: serde_json::Value) -> Sheet {
        let pod = json!({"metadata": {"name": "p"}, "status": status, "spec": {
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "c", "image": "x"}]}});
        first_sheet(&serde_json::from_value(pod).unwrap(), Ipv4Addr::LOCALHOST, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_new_pod_waits() {
        let sheet = sheet(json!({"phase": "Pending"}));
        let roles: Vec<Role> = sheet.records.iter().map(|record| record.role).collect();
        assert_eq!(roles, [Role::Init, Role::Sidecar, Role::App]);
        assert_eq!(sheet.records[2].state, State::waiting("PodInitializing"));
        assert!(sheet.records.iter().all(|record| record.last.is_none() && record.restarts == 0));
    }

    #[test]
    fn a_pod_of_an_earlier_life_lost_its_containers() {
        let sheet = sheet(json!({"phase": "Running", "podIP": "10.244.1.9", "startTime": "2026-11-23T15:00:00Z",
            "containerStatuses": [{"name": "c", "image": "x", "imageID": "", "ready": true, "restartCount": 2,
                "containerID": "minisvc://abc", "state": {"running": {"startedAt": "2026-11-23T15:00:01Z"}}}]}));
        let last = sheet.records[2].last.as_ref().unwrap();
        assert_eq!((last.exit_code, last.reason.as_str(), last.id.as_deref()), (255, "Unknown", Some("abc")));
        // The next start counts one more.
        assert_eq!(sheet.records[2].restarts, 2);
        assert_eq!(sheet.start_time, "2026-11-23T15:00:00Z".parse().unwrap());
        assert!(sheet.records[0].last.is_none());
    }
}
