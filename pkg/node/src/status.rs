//! What a pod's status says, computed from the states of its containers. Pure (kubelet_pods.go `getPhase`,
//! status/generate.go).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodCondition, PodIP, PodStatus, ResourceRequirements, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::context::find_container;
use crate::restart::Restarts;

/// How a container takes part in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next.
    Init,
    /// An init container that keeps running (KEP-753).
    Sidecar,
    /// The pod's purpose.
    App,
    /// Added to look into a pod that runs; counts for nothing.
    Ephemeral,
}

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Timestamp,
    pub(crate) id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Waiting { reason: String, message: Option<String> },
    Running { since: Timestamp },
    Terminated(End),
}

impl State {
    pub(crate) fn waiting(reason: &str) -> State {
        State::Waiting { reason: reason.to_owned(), message: None }
    }
}

/// What is known of one container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) role: Role,
    pub(crate) policy: Restarts,
    pub(crate) state: State,
    pub(crate) last: Option<End>,
    pub(crate) restarts: i32,
    pub(crate) id: Option<String>,
    /// Readiness probe passed (or there is none); counts only while running.
    pub(crate) ready: bool,
    /// Startup probe passed (or there is none), postStart done.
    pub(crate) started: bool,
    /// What it runs with, which a resize changes later than the spec.
    pub(crate) resources: Option<ResourceRequirements>,
}

impl Record {
    fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// How it ended, now or before the wait for its next start.
    fn ended(&self) -> Option<&End> {
        match &self.state {
            State::Terminated(end) => Some(end),
            State::Waiting { .. } => self.last.as_ref(),
            State::Running { .. } => None,
        }
    }

    fn succeeded(&self) -> bool {
        matches!(&self.state, State::Terminated(end) if end.exit_code == 0)
    }

    /// Does not hold up what comes after it.
    fn initialized(&self) -> bool {
        match self.role {
            Role::Init => self.succeeded(),
            Role::Sidecar => self.started,
            Role::App | Role::Ephemeral => true,
        }
    }

    fn is_ready(&self) -> bool {
        match self.role {
            Role::Init => self.succeeded(),
            Role::Sidecar | Role::App => self.running() && self.ready,
            Role::Ephemeral => false,
        }
    }
}

/// Everything that the node knows of a pod it runs.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    /// Init containers first, in the spec's order; ephemeral ones last.
    pub(crate) records: Vec<Record>,
    pub(crate) start_time: Timestamp,
    pub(crate) sandbox_ready: bool,
    pub(crate) pod_ip: Option<Ipv4Addr>,
    pub(crate) host_ip: Ipv4Addr,
    /// Set when the pod failed as a whole: reason and message (`DeadlineExceeded`, ...).
    pub(crate) failed: Option<(String, String)>,
    /// What the node has granted each container, by name; a resize that waits is no part of it.
    pub(crate) granted: BTreeMap<String, ResourceRequirements>,
    /// Why the resources that the spec now asks for have to wait.
    pub(crate) deferred: Option<String>,
    /// A resize was granted whose end has not been told.
    pub(crate) resizing: bool,
    /// Nothing of it will run again.
    pub(crate) over: bool,
    /// Own conditions as last computed, for their transition times.
    pub(crate) conditions: Vec<PodCondition>,
}

impl Sheet {
    /// Notes what the node grants the containers of a pod.
    pub(crate) fn grant(&mut self, pod: &Pod) {
        let spec = pod.spec.iter();
        let all = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        self.granted = all.map(|one| (one.name.clone(), one.resources.clone().unwrap_or_default())).collect();
    }

    /// Whether a container runs with other resources than it was granted.
    pub(crate) fn in_progress(&self) -> bool {
        let differs = |record: &Record| {
            let (has, granted) = (record.resources.as_ref(), self.granted.get(&record.name));
            record.running() && has.zip(granted).is_some_and(|(has, granted)| has != granted)
        };
        self.records.iter().any(differs)
    }
}

/// The pod's phase (kubelet_pods.go `getPhase`).
pub(crate) fn phase(sheet: &Sheet) -> &'static str {
    if sheet.failed.is_some() {
        return "Failed";
    }
    let of = |role: Role| sheet.records.iter().filter(move |record| record.role == role);
    let failed = |record: &Record| record.ended().is_some_and(|end| end.exit_code != 0);
    let for_good = |record: &Record| record.ended().is_some_and(|end| !record.policy.after(end.exit_code));
    if of(Role::Init).any(|record| failed(record) && for_good(record)) {
        return "Failed";
    }
    let ran = of(Role::App).any(|record| record.running() || record.ended().is_some());
    let pending = of(Role::Init).any(|record| record.ended().is_none())
        || of(Role::Sidecar).any(|record| record.ended().is_none() && !record.started);
    let waiting = of(Role::App).chain(of(Role::Sidecar)).any(|record| !record.running() && record.ended().is_none());
    let running = of(Role::App).chain(of(Role::Sidecar)).any(Record::running);
    let stopped: Vec<&Record> = of(Role::App).filter(|record| record.ended().is_some()).collect();
    let succeeded = stopped.iter().all(|record| !failed(record) && matches!(record.state, State::Terminated(_)));
    // A pod that ran counts as initialised, also when its init containers are forgotten.
    if (pending && !ran) || waiting {
        return if sheet.over { "Failed" } else { "Pending" };
    }
    match (running, stopped.is_empty()) {
        (true, _) => "Running",
        (false, true) if sheet.over => "Failed",
        (false, true) => "Pending",
        (false, false) if !sheet.over && stopped.iter().any(|record| !for_good(record)) => "Running",
        (false, false) if succeeded => "Succeeded",
        (false, false) => "Failed",
    }
}

/// The whole status. `pod` is the newest object: conditions of others in it are kept.
pub(crate) fn pod_status(pod: &Pod, sheet: &mut Sheet, now: Timestamp) -> PodStatus {
    let phase = phase(sheet);
    let statuses = |roles: &[Role]| {
        let records = sheet.records.iter().filter(|record| roles.contains(&record.role));
        let mut all: Vec<ContainerStatus> =
            records.map(|record| container_status(pod, record, sheet.granted.get(&record.name))).collect();
        if roles != [Role::Init, Role::Sidecar] {
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        (!all.is_empty()).then_some(all)
    };
    let (init_statuses, app_statuses) = (statuses(&[Role::Init, Role::Sidecar]), statuses(&[Role::App]));
    let ephemeral_statuses = statuses(&[Role::Ephemeral]);
    let own = conditions(pod, sheet, phase, now);
    let mut conditions = own.clone();
    let foreign = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let own_kind = |kind: &str| RESIZES.contains(&kind) || own.iter().any(|own| own.type_ == kind);
    conditions.extend(foreign.filter(|condition| !own_kind(&condition.type_)).cloned());
    sheet.conditions = own;
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: sheet.failed.as_ref().map(|(reason, _)| reason.clone()),
        message: sheet.failed.as_ref().map(|(_, message)| message.clone()),
        conditions: Some(conditions),
        host_ip: Some(sheet.host_ip.to_string()),
        host_ips: Some(vec![HostIP { ip: sheet.host_ip.to_string() }]),
        pod_ip: sheet.pod_ip.map(|ip| ip.to_string()),
        pod_ips: sheet.pod_ip.map(|ip| vec![PodIP { ip: ip.to_string() }]),
        start_time: Some(Time(sheet.start_time)),
        init_container_statuses: init_statuses,
        container_statuses: app_statuses,
        ephemeral_container_statuses: ephemeral_statuses,
        qos_class: pod.status.as_ref().and_then(|status| status.qos_class.clone()),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// Conditions that are there only while a resize is.
const RESIZES: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// Whether a condition holds, its reason, its message.
type Said = (bool, Option<String>, Option<String>);

/// The conditions of a resize that waits, and of one that is not done (KEP-1287).
fn resizes(sheet: &Sheet) -> Vec<(&'static str, Said)> {
    let waits = sheet.deferred.clone().map(|why| (RESIZES[0], (true, Some("Deferred".to_owned()), Some(why))));
    waits.into_iter().chain(sheet.in_progress().then_some((RESIZES[1], (true, None, None)))).collect()
}

fn container_status(pod: &Pod, record: &Record, granted: Option<&ResourceRequirements>) -> ContainerStatus {
    let spec = find_container(pod, &record.name);
    let resources = record.resources.as_ref().or(granted).cloned();
    let mounts = spec.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    let mounts: Vec<VolumeMountStatus> = mounts
        .map(|mount| VolumeMountStatus {
            mount_path: mount.mount_path.clone(),
            name: mount.name.clone(),
            read_only: mount.read_only.filter(|read_only| *read_only),
            recursive_read_only: mount.read_only.filter(|read_only| *read_only).map(|_| "Disabled".to_owned()),
            ..Default::default()
        })
        .collect();

    let prefixed = |id: &Option<String>| id.as_ref().map(|id| format!("minisvc://{id}"));
    let terminated = |end: &End| ContainerStateTerminated {
        container_id: prefixed(&end.id),
        exit_code: end.exit_code,
        finished_at: Some(Time(end.finished)),
        message: end.message.clone(),
        reason: Some(end.reason.clone()),
        signal: end.signal,
        started_at: end.started.map(Time),
    };
    let state = match &record.state {
        State::Waiting { reason, message } => ContainerState {
            waiting: Some(ContainerStateWaiting { reason: Some(reason.clone()), message: message.clone() }),
            ..Default::default()
        },
        State::Running { since } => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(Time(*since)) }),
            ..Default::default()
        },
        State::Terminated(end) => ContainerState { terminated: Some(terminated(end)), ..Default::default() },
    };
    ContainerStatus {
        name: record.name.clone(),
        image: record.image.clone(),
        image_id: record.image_id.clone(),
        container_id: prefixed(&record.id),
        ready: record.is_ready(),
        started: Some(record.running() && record.started && record.role != Role::Init),
        restart_count: record.restarts,
        state: Some(state),
        last_state: Some(ContainerState { terminated: record.last.as_ref().map(terminated), ..Default::default() }),
        allocated_resources: granted.and_then(|resources| resources.requests.clone()),
        resources: resources.filter(|_| record.role != Role::Ephemeral),
        volume_mounts: Some(mounts).filter(|mounts| !mounts.is_empty()),
        ..Default::default()
    }
}

fn conditions(pod: &Pod, sheet: &Sheet, phase: &str, now: Timestamp) -> Vec<PodCondition> {
    let done = matches!(phase, "Succeeded" | "Failed");
    let completed = if phase == "Succeeded" { "PodCompleted" } else { "PodFailed" };
    let incomplete: Vec<&str> =
        sheet.records.iter().filter(|record| !record.initialized()).map(|record| record.name.as_str()).collect();
    let unready: Vec<&str> = sheet
        .records
        .iter()
        .filter(|record| !matches!(record.role, Role::Init | Role::Ephemeral) && !record.is_ready())
        .map(|record| record.name.as_str())
        .collect();
    let no = |reason: &str, message: String| (false, Some(reason.to_owned()), Some(message).filter(|m| !m.is_empty()));
    let yes = || (true, None, None);
    let initialized = match phase {
        "Succeeded" => (true, Some(completed.to_owned()), None),
        _ if incomplete.is_empty() => yes(),
        _ => no("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" "))),
    };
    let containers_ready = if done {
        no(completed, String::new())
    } else if !incomplete.is_empty() || !unready.is_empty() {
        no("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
    } else {
        yes()
    };
    let ready = if containers_ready.0 {
        gates(pod).map_or_else(yes, |text| no("ReadinessGatesNotReady", text))
    } else {
        containers_ready.clone()
    };
    let scheduled = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let scheduled =
        scheduled.filter(|condition| condition.type_ == "PodScheduled").find(|c| c.status == "True").cloned();
    let mut made = vec![
        ("PodReadyToStartContainers", (sheet.sandbox_ready && !done, None, None)),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
    ];
    made.extend(resizes(sheet));
    let mut all: Vec<PodCondition> = made
        .into_iter()
        .map(|(kind, (status, reason, message))| {
            let status = if status { "True" } else { "False" };
            let old = sheet.conditions.iter().find(|old| old.type_ == kind && old.status == status);
            PodCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason,
                message,
                last_transition_time: old.and_then(|old| old.last_transition_time.clone()).or(Some(Time(now))),
                observed_generation: pod.metadata.generation,
                ..Default::default()
            }
        })
        .collect();
    all.push(scheduled.unwrap_or_else(|| PodCondition {
        type_: "PodScheduled".into(),
        status: "True".into(),
        last_transition_time: Some(Time(sheet.start_time)),
        ..Default::default()
    }));
    all
}

/// What keeps a pod with readiness gates from being ready.
fn gates(pod: &Pod) -> Option<String> {
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let missing: Vec<String> = gates
        .filter_map(|gate| match conditions.iter().find(|condition| condition.type_ == gate.condition_type) {
            Some(condition) if condition.status == "True" => None,
            Some(condition) => Some(format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                gate.condition_type, condition.status
            )),
            None => Some(format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )),
        })
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
