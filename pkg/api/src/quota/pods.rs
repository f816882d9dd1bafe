//! Pods in quotas: what they ask for altogether, which scopes they are in, what a quota wants them to say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::Usage;
use crate::quantity::Amount;
use crate::{qos, time};

/// What a quota may want every container to state.
const STATED: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// What is limited under its own name and under `requests.` and `limits.`.
const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// What a live pod counts for beside `count/pods`; nothing once it has ended.
pub(super) fn usage(pod: &Value, now: Timestamp) -> Usage {
    let mut used = Usage::new();
    if is_over(pod, now) {
        return used;
    }
    used.insert("pods".into(), Amount::whole(1));
    for (name, amount) in with_overhead(pod, "requests", in_use(pod, "requests")) {
        let native = COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-");
        used.insert(format!("requests.{name}"), amount);
        if native {
            used.insert(name, amount);
        }
    }
    for (name, amount) in with_overhead(pod, "limits", in_use(pod, "limits")) {
        // What cannot be promised twice is limited by requests alone.
        if COMPUTE.contains(&name.as_str()) {
            used.insert(format!("limits.{name}"), amount);
        }
    }
    used
}

fn is_over(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
        return true;
    }
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let marked = time::of(&pod["metadata"]["deletionTimestamp"]);
    matches!((grace, marked), (Some(grace), Some(marked)) if time::seconds_since(marked, now) > grace)
}

/// What a pod's containers ask for together (component-helpers `resource.PodRequests`): the sum of those that run
/// beside each other, or the most that one step of the start needs.
pub fn requests(pod: &Value) -> Usage {
    with_overhead(pod, "requests", stated(pod, "requests"))
}

/// What a pod's containers may use together.
pub fn limits(pod: &Value) -> Usage {
    with_overhead(pod, "limits", stated(pod, "limits"))
}

/// What a pod's containers state together under `requests` or `limits`; nothing is added for the pod as a whole.
pub(crate) fn stated(pod: &Value, field: &str) -> Usage {
    together(pod, &|container| super::amounts(&container["resources"][field]))
}

/// What a pod's containers hold while a resize is under way: the most of what they are to have, what their node has set
/// aside, and what they have. A resize that the node can never carry out counts for nothing.
fn in_use(pod: &Value, field: &str) -> Usage {
    let list = |name: &str| pod["status"][name].as_array().map_or(&[][..], Vec::as_slice);
    let pending = list("conditions").iter().find(|condition| condition["type"] == "PodResizePending");
    let infeasible = pending.is_some_and(|condition| condition["reason"] == "Infeasible");
    let status = |container: &Value| {
        let mut all = list("containerStatuses").iter().chain(list("initContainerStatuses"));
        all.find(|status| status["name"] == container["name"]).unwrap_or(&Value::Null)
    };
    let wanted = |container: &Value| match infeasible {
        true => Usage::new(),
        false => super::amounts(&container["resources"][field]),
    };
    // Nodes set requests aside, not limits.
    let allocated = |container: &Value| match &status(container)["allocatedResources"] {
        Value::Object(_) if field == "requests" => super::amounts(&status(container)["allocatedResources"]),
        _ => wanted(container),
    };
    let actual = |container: &Value| match &status(container)["resources"][field] {
        Value::Object(_) => super::amounts(&status(container)["resources"][field]),
        _ => allocated(container),
    };
    let mut most = together(pod, &actual);
    raise(&mut most, together(pod, &allocated));
    raise(&mut most, together(pod, &wanted));
    most
}

/// What the pod as a whole states goes first; then what it costs to run it at all is added.
fn with_overhead(pod: &Value, field: &str, mut total: Usage) -> Usage {
    total.extend(super::amounts(&pod["spec"]["resources"][field]));
    for (name, more) in super::amounts(&pod["spec"]["overhead"]) {
        match total.get_mut(&name) {
            Some(sum) if field == "requests" || *sum != Amount::ZERO => *sum = sum.plus(more),
            None if field == "requests" => drop(total.insert(name, more)),
            // An unlimited pod stays so.
            _ => {}
        }
    }
    total
}

fn raise(most: &mut Usage, other: Usage) {
    for (name, amount) in other {
        most.entry(name).and_modify(|have| *have = (*have).max(amount)).or_insert(amount);
    }
}

fn together(pod: &Value, of: &dyn Fn(&Value) -> Usage) -> Usage {
    let plus = |sum: &mut Usage, more: &Usage| {
        for (name, amount) in more {
            sum.entry(name.clone()).and_modify(|have| *have = have.plus(*amount)).or_insert(*amount);
        }
    };
    let (mut total, mut sidecars, mut most) = (Usage::new(), Usage::new(), Usage::new());
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        plus(&mut total, &of(container));
    }
    for container in pod["spec"]["initContainers"].as_array().into_iter().flatten() {
        let own = of(container);
        let mut step = sidecars.clone();
        plus(&mut step, &own);
        if container["restartPolicy"] == "Always" {
            plus(&mut total, &own);
            sidecars = step.clone();
        }
        raise(&mut most, step);
    }
    raise(&mut total, most);
    total
}

/// `requests.cpu for: a,b; limits.cpu for: a`: what a quota limits and containers do not state.
pub(super) fn unspecified(pod: &Value, hard: &Usage) -> Option<String> {
    let whole = &pod["spec"]["resources"];
    if ["requests", "limits"].iter().any(|field| whole[*field].as_object().is_some_and(|map| !map.is_empty())) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array().into_iter().flatten() {
            for wanted in STATED.iter().filter(|wanted| hard.contains_key(**wanted)) {
                let (field, name) = wanted.split_once('.').unwrap_or(("requests", wanted));
                if container["resources"][field].get(name).is_none() {
                    missing.entry(wanted).or_default().insert(container["name"].as_str().unwrap_or(""));
                }
            }
        }
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(wanted, containers)| format!("{wanted} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Whether a pod is in a scope.
pub(super) fn in_scope(pod: &Value, scope: &str, operator: &str, values: &[&str]) -> bool {
    let terminating = pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    let best_effort = || qos::class(&pod["spec"]) == "BestEffort";
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => selects(pod["spec"]["priorityClassName"].as_str(), operator, values),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

/// Whether a name, which may be missing, is selected.
pub(super) fn selects(name: Option<&str>, operator: &str, values: &[&str]) -> bool {
    let name = name.filter(|name| !name.is_empty());
    let named = name.is_some_and(|name| values.contains(&name));
    match operator {
        "Exists" => name.is_some(),
        "DoesNotExist" => name.is_none(),
        "In" => named,
        "NotIn" => !named,
        _ => false,
    }
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|names| !names.is_empty()) || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &pod["spec"]["affinity"][*kind];
        let required = affinity["requiredDuringSchedulingIgnoredDuringExecution"].as_array();
        let preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array();
        required.into_iter().flatten().any(crosses)
            || preferred.into_iter().flatten().any(|term| crosses(&term["podAffinityTerm"]))
    })
}
