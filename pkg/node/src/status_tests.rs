//! Status from container states, on values.

use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-11-23T15:00:00Z".parse().unwrap()
}

fn record(name: &str, role: Role, state: State) -> Record {
    under("Always", name, role, state)
}

/// A container of a pod with this restart policy.
fn under(policy: &str, name: &str, role: Role, state: State) -> Record {
    let spec = serde_json::from_value(json!({"containers": [], "restartPolicy": policy})).unwrap();
    Record {
        policy: Restarts::of(&spec, &Default::default(), role),
        name: name.into(),
        image: "jpetazzo/color".into(),
        image_id: String::new(),
        role,
        state,
        last: None,
        restarts: 0,
        id: Some("abc".into()),
        ready: true,
        started: true,
        resources: None,
    }
}

fn running() -> State {
    State::Running { since: now() }
}

fn ended(exit_code: i32) -> State {
    State::Terminated(end(exit_code))
}

fn end(exit_code: i32) -> End {
    End { exit_code, signal: None, reason: "Completed".into(), message: None, started: None, finished: now(), id: None }
}

fn sheet(records: Vec<Record>) -> Sheet {
    Sheet {
        records,
        start_time: now(),
        sandbox_ready: true,
        pod_ip: Some(Ipv4Addr::new(10, 244, 1, 2)),
        host_ip: Ipv4Addr::new(172, 30, 0, 11),
        failed: None,
        granted: Default::default(),
        deferred: None,
        resizing: false,
        over: false,
        conditions: Vec::new(),
    }
}

fn pod(policy: &str) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "restartPolicy": policy},
        "status": {"qosClass": "BestEffort", "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T14:00:00Z"},
            {"type": "example.com/mine", "status": "True"}]}}))
    .unwrap()
}

#[test]
fn phases_are_kubelets() {
    let crashed = |policy: &str| Record {
        last: Some(end(1)),
        ..under(policy, "a", Role::App, State::waiting("CrashLoopBackOff"))
    };
    let initializing = |policy: &str| under(policy, "a", Role::App, State::waiting("PodInitializing"));
    for (policy, records, expected) in [
        ("Always", vec![record("a", Role::App, State::waiting("ContainerCreating"))], "Pending"),
        ("Always", vec![record("a", Role::App, running())], "Running"),
        (
            "Always",
            vec![record("a", Role::App, running()), record("b", Role::App, State::waiting("ErrImagePull"))],
            "Pending",
        ),
        ("Always", vec![record("a", Role::App, ended(0))], "Running"),
        ("Always", vec![crashed("Always")], "Running"),
        ("OnFailure", vec![crashed("OnFailure")], "Running"),
        ("OnFailure", vec![under("OnFailure", "a", Role::App, ended(0))], "Succeeded"),
        ("OnFailure", vec![under("OnFailure", "a", Role::App, ended(1))], "Running"),
        ("Never", vec![under("Never", "a", Role::App, ended(1))], "Failed"),
        ("Never", vec![under("Never", "a", Role::App, ended(0)), under("Never", "b", Role::App, ended(3))], "Failed"),
        ("Never", vec![under("Never", "a", Role::App, ended(1)), under("Never", "b", Role::App, running())], "Running"),
        ("Never", vec![under("Never", "i", Role::Init, ended(1)), initializing("Never")], "Failed"),
        ("Always", vec![under("Always", "i", Role::Init, ended(1)), initializing("Always")], "Pending"),
        // A sidecar keeps the pod running until it has ended itself.
        (
            "Never",
            vec![under("Never", "s", Role::Sidecar, running()), under("Never", "a", Role::App, ended(0))],
            "Running",
        ),
        (
            "Never",
            vec![under("Never", "s", Role::Sidecar, ended(137)), under("Never", "a", Role::App, ended(0))],
            "Succeeded",
        ),
        ("Always", vec![record("a", Role::App, running()), record("e", Role::Ephemeral, ended(1))], "Running"),
    ] {
        assert_eq!(phase(&sheet(records.clone())), expected, "{policy} {records:?}");
    }
}

#[test]
fn a_pod_that_was_told_to_end_is_succeeded_or_failed_whatever_its_policy() {
    let over = |state: State| phase(&Sheet { over: true, ..sheet(vec![record("a", Role::App, state)]) });
    assert_eq!((over(ended(0)), over(ended(137))), ("Succeeded", "Failed"));
    assert_eq!(over(State::waiting("ContainerCreating")), "Failed");
}

#[test]
fn ephemeral_containers_have_statuses_of_their_own_and_hold_nothing_back() {
    let records =
        vec![record("a", Role::App, running()), record("e", Role::Ephemeral, State::waiting("ContainerCreating"))];
    let status = pod_status(&pod("Always"), &mut sheet(records), now());
    assert_eq!(status.ephemeral_container_statuses.as_ref().unwrap()[0].name, "e");
    assert_eq!(status.container_statuses.as_ref().unwrap().len(), 1);
    assert_eq!(condition(&status, "Ready").status, "True");
}

#[test]
fn statuses_tell_resources_and_mounts() {
    let mut full = pod("Always");
    full.spec.as_mut().unwrap().containers = serde_json::from_value(json!([{"name": "a", "resources": {
        "requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}, "volumeMounts": [
        {"name": "v", "mountPath": "/v"}, {"name": "t", "mountPath": "/t", "readOnly": true}]}]))
    .unwrap();
    let mut granted = sheet(vec![record("a", Role::App, running())]);
    granted.grant(&full);
    let status = pod_status(&full, &mut granted, now());
    let told = serde_json::to_value(&status.container_statuses.unwrap()[0]).unwrap();
    assert_eq!(told["allocatedResources"], json!({"cpu": "100m"}));
    assert_eq!(told["resources"]["limits"], json!({"cpu": "200m"}));
    assert_eq!(
        told["volumeMounts"],
        json!([{"mountPath": "/v", "name": "v"},
            {"mountPath": "/t", "name": "t", "readOnly": true, "recursiveReadOnly": "Disabled"}])
    );
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a PodCondition {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn a_running_pod_is_ready_and_keeps_others_conditions() {
    let status = pod_status(&pod("Always"), &mut sheet(vec![record("a", Role::App, running())]), now());
    for kind in
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", "example.com/mine"]
    {
        assert_eq!(condition(&status, kind).status, "True", "{kind}");
    }
    assert_eq!(
        condition(&status, "PodScheduled").last_transition_time,
        Some(Time("2026-11-23T14:00:00Z".parse().unwrap()))
    );
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.container_id.as_deref(), Some("minisvc://abc"));
    assert_eq!((container.ready, container.started), (true, Some(true)));
    assert_eq!(status.pod_ip.as_deref(), Some("10.244.1.2"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
}

#[test]
fn what_is_not_ready_is_named() {
    let mut waiting = record("web", Role::App, State::waiting("PodInitializing"));
    waiting.ready = false;
    let mut sheet = sheet(vec![record("setup", Role::Init, running()), waiting]);
    let status = pod_status(&pod("Always"), &mut sheet, now());
    assert_eq!(
        condition(&status, "Initialized").message.as_deref(),
        Some("containers with incomplete status: [setup]")
    );
    assert_eq!(condition(&status, "Initialized").reason.as_deref(), Some("ContainersNotInitialized"));
    assert_eq!(condition(&status, "Ready").message.as_deref(), Some("containers with unready status: [web]"));
    assert_eq!(status.phase.as_deref(), Some("Pending"));
}

#[test]
fn transition_times_move_only_with_the_status() {
    let mut sheet = sheet(vec![record("a", Role::App, running())]);
    pod_status(&pod("Always"), &mut sheet, now());
    let later: Timestamp = "2026-11-23T16:00:00Z".parse().unwrap();
    let status = pod_status(&pod("Always"), &mut sheet, later);
    assert_eq!(condition(&status, "Ready").last_transition_time, Some(Time(now())));
    sheet.records[0].ready = false;
    let status = pod_status(&pod("Always"), &mut sheet, later);
    assert_eq!(condition(&status, "Ready").last_transition_time, Some(Time(later)));
    assert_eq!(condition(&status, "Initialized").last_transition_time, Some(Time(now())));
}

#[test]
fn readiness_gates_hold_back_ready_alone() {
    let mut gated = pod("Always");
    gated.spec.as_mut().unwrap().readiness_gates =
        serde_json::from_value(json!([{"conditionType": "example.com/lb"}])).unwrap();
    let status = pod_status(&gated, &mut sheet(vec![record("a", Role::App, running())]), now());
    assert_eq!(condition(&status, "ContainersReady").status, "True");
    assert_eq!(condition(&status, "Ready").reason.as_deref(), Some("ReadinessGatesNotReady"));
}

#[test]
fn a_finished_pod_is_completed() {
    let status = pod_status(&pod("Never"), &mut sheet(vec![under("Never", "a", Role::App, ended(0))]), now());
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    assert_eq!(condition(&status, "Ready").reason.as_deref(), Some("PodCompleted"));
    assert_eq!(condition(&status, "PodReadyToStartContainers").status, "False");
}

/// "Pod InPlace Resize Container": the status tells what the container runs with, and that more is on its way.
#[test]
fn a_resize_is_told_until_it_is_done() {
    let resources = |cpu: &str| serde_json::from_value(json!({"requests": {"cpu": cpu}})).unwrap();
    let pod: Pod = serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"containers": [
        {"name": "c", "resources": {"requests": {"cpu": "20m"}}}]}, "status": {"conditions": [
        {"type": "PodResizeInProgress", "status": "True"}]}}))
    .unwrap();
    let mut before = sheet(vec![Record { resources: Some(resources("10m")), ..record("c", Role::App, running()) }]);
    before.grant(&pod);
    let said = |sheet: &mut Sheet| {
        let status = pod_status(&pod, sheet, now());
        let kinds = status.conditions.unwrap().into_iter().filter(|one| one.type_.starts_with("PodResize"));
        let kinds: Vec<_> = kinds.map(|one| (one.type_, one.reason.unwrap_or_default())).collect();
        let container = &status.container_statuses.unwrap()[0];
        let asked = container.allocated_resources.clone().unwrap()["cpu"].0.clone();
        let has = container.resources.clone().unwrap().requests.unwrap()["cpu"].0.clone();
        (kinds, asked, has)
    };
    let progress = || ("PodResizeInProgress".to_owned(), String::new());
    assert_eq!(said(&mut before), (vec![progress()], "20m".into(), "10m".into()));
    before.deferred = Some("Node didn't have enough resource: cpu".into());
    assert_eq!(said(&mut before).0, [("PodResizePending".into(), "Deferred".into()), progress()]);
    before.deferred = None;
    before.records[0].resources = Some(resources("20m"));
    assert_eq!(said(&mut before), (vec![], "20m".into(), "20m".into()));
}
