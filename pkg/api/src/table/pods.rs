//! Cells of pods (upstream `printPod`): what the containers say together.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, items, name, number, or, text};
use crate::time;

/// Cells of a Pod.
pub fn pod(object: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(object);
    let restarts = match summary.last_restart {
        Some(at) if summary.restarts != 0 => format!("{} ({} ago)", summary.restarts, time::age(Some(at), now)),
        _ => summary.restarts.to_string(),
    };
    vec![
        name(object),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(object, now),
        or(text(object, "/status/podIPs/0/ip"), "<none>").into(),
        or(text(object, "/spec/nodeName"), "<none>").into(),
        or(text(object, "/status/nominatedNodeName"), "<none>").into(),
        readiness_gates(object).into(),
    ]
}

/// Reason and message of the row condition that marks finished pods.
pub(super) fn completed(object: &Value) -> Option<(&'static str, &'static str)> {
    match text(object, "/status/phase") {
        "Succeeded" => Some(("Succeeded", "The pod has completed successfully.")),
        "Failed" => Some(("Failed", "The pod failed.")),
        _ => None,
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").iter().find(|c| c["type"] == kind)
}

fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

fn readiness_gates(object: &Value) -> String {
    let gates = items(object, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|g| holds(object, g["conditionType"].as_str().unwrap_or(""))).count();
    format!("{open}/{}", gates.len())
}

#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(object: &Value) -> Self {
        let phase = text(object, "/status/phase");
        let mut reason = or(text(object, "/status/reason"), phase).to_owned();
        if condition(object, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
            reason = "SchedulingGated".to_owned();
        }
        let sidecars: Vec<&str> = items(object, "/spec/initContainers")
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .filter_map(|c| c["name"].as_str())
            .collect();
        let total = items(object, "/spec/containers").len() + sidecars.len();
        let mut summary = Self { reason, total, ..Self::default() };
        let (initializing, sidecar_restarts) = summary.init_containers(object, &sidecars);
        if !initializing || holds(object, "Initialized") {
            (summary.restarts, summary.last_restart) = sidecar_restarts;
            summary.containers(object);
        }
        if object["metadata"]["deletionTimestamp"].is_string() {
            if text(object, "/status/reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    fn init_containers(&mut self, object: &Value, sidecars: &[&str]) -> (bool, (i64, Option<Timestamp>)) {
        let mut sidecar = (0, None);
        for (i, status) in items(object, "/status/initContainerStatuses").iter().enumerate() {
            let restarts = number(status, "/restartCount");
            let finished = time::of(&status["lastState"]["terminated"]["finishedAt"]);
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(finished);
            let is_sidecar = sidecars.contains(&text(status, "/name"));
            if is_sidecar {
                sidecar = (sidecar.0 + restarts, sidecar.1.max(finished));
            }
            let terminated = &status["state"]["terminated"];
            let waiting = text(status, "/state/waiting/reason");
            if terminated.is_object() && number(terminated, "/exitCode") == 0 {
                continue;
            }
            if is_sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = if terminated.is_object() {
                format!("Init:{}", ended(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{i}/{}", items(object, "/spec/initContainers").len())
            };
            return (true, sidecar);
        }
        (false, sidecar)
    }

    fn containers(&mut self, object: &Value) {
        let mut running = false;
        let mut error = String::new();
        for status in items(object, "/status/containerStatuses").iter().rev() {
            self.restarts += number(status, "/restartCount");
            self.last_restart = self.last_restart.max(time::of(&status["lastState"]["terminated"]["finishedAt"]));
            let waiting = text(status, "/state/waiting/reason");
            let terminated = &status["state"]["terminated"];
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if terminated.is_object() {
                self.reason = ended(terminated);
                if number(terminated, "/exitCode") != 0 {
                    error.clone_from(&self.reason);
                }
            } else if status["ready"] == true && status["state"]["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && holds(object, "Ready") {
                self.reason = "Running".to_owned();
            } else if !error.is_empty() {
                self.reason = error;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

fn ended(terminated: &Value) -> String {
    let reason = text(terminated, "/reason");
    if !reason.is_empty() {
        reason.to_owned()
    } else if number(terminated, "/signal") != 0 {
        format!("Signal:{}", number(terminated, "/signal"))
    } else {
        format!("ExitCode:{}", number(terminated, "/exitCode"))
    }
}
