//! What a driver knows of a pod when it first sees it: a new pod, or one that an earlier life of this node ran. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};

use crate::context::ephemeral;
use crate::grant;
use crate::restart::Restarts;
use crate::status::{End, Record, Role, Sheet, State};

/// The address that the pod had in an earlier life of this node.
pub(crate) fn earlier_address(pod: &Pod) -> Option<Ipv4Addr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}

/// How a container of an earlier life ended: as its status says, else it was lost with the node.
fn earlier_end(old: &ContainerStatus, now: Timestamp) -> End {
    let state = old.state.as_ref();
    let word = |id: &Option<String>| id.clone().map(|id| id.trim_start_matches("minisvc://").to_owned());
    if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
        return End {
            exit_code: end.exit_code,
            signal: end.signal,
            reason: end.reason.clone().unwrap_or_default(),
            message: end.message.clone(),
            started: end.started_at.as_ref().map(|time| time.0),
            finished: end.finished_at.as_ref().map_or(now, |time| time.0),
            id: word(&end.container_id),
        };
    }
    let since = state.and_then(|state| state.running.as_ref()).and_then(|running| running.started_at.clone());
    End {
        exit_code: 255,
        signal: None,
        reason: "Unknown".into(),
        message: Some("the node was started again".into()),
        started: since.map(|since| since.0),
        finished: now,
        id: word(&old.container_id),
    }
}

/// The first entry about a container. One that ran in an earlier life of the node and does not come again has ended;
/// init containers run again in the new sandbox.
pub(crate) fn first_record(
    pod: &Pod,
    container: &Container,
    role: Role,
    old: Option<&ContainerStatus>,
    now: Timestamp,
) -> Record {
    let none = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    let has_init = spec.init_containers.as_ref().is_some_and(|all| !all.is_empty());
    let policy = Restarts::of(spec, container, role);
    let last = old.filter(|old| old.container_id.is_some()).map(|old| earlier_end(old, now));
    let waiting =
        State::waiting(if has_init && role != Role::Ephemeral { "PodInitializing" } else { "ContainerCreating" });
    let stays = matches!(role, Role::App | Role::Ephemeral);
    let (state, last) = match last {
        Some(end) if stays && !policy.after(end.exit_code) => (State::Terminated(end), None),
        last => (waiting, last),
    };
    Record {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: String::new(),
        role,
        policy,
        state,
        last,
        restarts: old.map_or(0, |old| old.restart_count),
        id: None,
        ready: false,
        started: false,
        resources: None,
    }
}

/// The sheet at the pod's arrival. Containers that ran before (the node was started again) count one restart more.
pub(crate) fn first_sheet(pod: &Pod, host_ip: Ipv4Addr, now: Timestamp) -> Sheet {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    let spec = pod.spec.clone().unwrap_or_default();
    let old = |statuses: &Option<Vec<ContainerStatus>>, name: &str| {
        statuses.iter().flatten().find(|status| status.name == name).cloned()
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let role = if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
        first_record(pod, container, role, old(&status.init_container_statuses, &container.name).as_ref(), now)
    });
    let apps = spec.containers.iter().map(|container| {
        first_record(pod, container, Role::App, old(&status.container_statuses, &container.name).as_ref(), now)
    });
    let others = spec.ephemeral_containers.iter().flatten().map(|container| {
        let old = old(&status.ephemeral_container_statuses, &container.name);
        first_record(pod, &ephemeral(container), Role::Ephemeral, old.as_ref(), now)
    });
    let mut sheet = Sheet {
        records: init.chain(apps).chain(others).collect(),
        start_time: status.start_time.as_ref().map_or(now, |time| time.0),
        sandbox_ready: false,
        pod_ip: None,
        host_ip,
        failed: None,
        granted: BTreeMap::new(),
        deferred: None,
        resizing: false,
        over: false,
        conditions: status.conditions.clone().unwrap_or_default(),
    };
    sheet.grant(&grant::first(pod));
    sheet
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

    #[test]
    fn what_does_not_come_again_has_ended_with_the_earlier_life() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never",
                "initContainers": [{"name": "i"}], "containers": [{"name": "c"}, {"name": "d"}]},
            "status": {"initContainerStatuses": [{"name": "i", "image": "x", "imageID": "", "ready": true,
                    "restartCount": 0, "containerID": "minisvc://i", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                {"name": "c", "image": "x", "imageID": "", "ready": true, "restartCount": 0,
                    "containerID": "minisvc://c", "state": {"running": {}}},
                {"name": "d", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                    "containerID": "minisvc://d", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}});
        let sheet = first_sheet(&serde_json::from_value(pod).unwrap(), Ipv4Addr::LOCALHOST, Timestamp::UNIX_EPOCH);
        let code = |index: usize| match &sheet.records[index].state {
            State::Terminated(end) => Some(end.exit_code),
            _ => None,
        };
        assert_eq!((code(0), code(1), code(2)), (None, Some(255), Some(0)));
        assert_eq!(crate::status::phase(&sheet), "Failed");
    }
}
