//! What a PodDisruptionBudget says to an eviction. Pure; from Kubernetes' `registry/core/pod/storage/eviction.go`,
//! texts included.

use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_api::status::Status;
use serde_json::{Value, json};

/// Evictions that the disruption controller has yet to confirm, at most.
const UNCONFIRMED: usize = 2000;

/// A budget's answer when it does not refuse.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The pod is not healthy and the budget does not guard it: it may go as long as it stays as it is.
    Unguarded,
    /// One disruption is taken: the budget's new state.
    Taken(Value),
}

/// Pods that budgets do not guard: those that ended, did not start, or are on their way out.
pub(super) fn ignored(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending")) || meta::is_deleting(pod)
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

fn count(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or(0)
}

/// Judges the eviction of a pod that the budget covers.
pub(super) fn judge(budget: &Value, pod: &Value, now: Timestamp) -> Result<Verdict, Status> {
    let (healthy, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
    let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
    if !ready && (always || healthy >= desired && desired > 0) {
        return Ok(Verdict::Unguarded);
    }
    let name = meta::name(budget);
    let observed = count(budget, "observedGeneration");
    if observed < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        return Err(unsettled(name));
    }
    let allowed = count(budget, "disruptionsAllowed");
    let unconfirmed = budget["status"]["disruptedPods"].as_object().map_or(0, serde_json::Map::len);
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        let told = format!("The disruption budget {name} does not allow evicting pods currently: {why}");
        return Err(because(Status::forbidden_object("poddisruptionbudget.policy", name, why), &told));
    }
    if unconfirmed > UNCONFIRMED {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        let told = format!(
            "The disruption budget {name} does not allow evicting pods currently: too many pending evictions not \
             confirmed by PDB controller"
        );
        return Err(because(Status::forbidden_object("poddisruptionbudget.policy", name, why), &told));
    }
    if allowed == 0 {
        return Err(because(refusal(0), &reason(budget, healthy, desired)));
    }
    let mut next = budget.clone();
    next["status"]["disruptionsAllowed"] = json!(allowed - 1);
    let time = minisvc_api::time::format(now);
    if allowed == 1 {
        exhausted(&mut next, observed, &time);
    }
    if !next["status"]["disruptedPods"].is_object() {
        next["status"]["disruptedPods"] = json!({});
    }
    next["status"]["disruptedPods"][meta::name(pod)] = json!(time);
    Ok(Verdict::Taken(next))
}

/// Why a budget allows nothing.
fn reason(budget: &Value, healthy: i64, desired: i64) -> String {
    let name = meta::name(budget);
    let said = condition(budget, "DisruptionAllowed").filter(|c| c["status"] == "False");
    let text = |field: &str| said.and_then(|c| c[field].as_str()).unwrap_or_default();
    let message = text("message");
    let failed = text("reason") == "SyncFailed";
    if failed && !message.is_empty() {
        format!("The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}")
    } else if healthy <= desired {
        format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
    } else if !message.is_empty() {
        format!("The disruption budget {name} does not allow evicting pods currently ({}): {message}", text("reason"))
    } else {
        format!("The disruption budget {name} does not allow evicting pods currently")
    }
}

fn refusal(seconds: u32) -> Status {
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", seconds)
}

fn because(mut status: Status, message: &str) -> Status {
    status.details["causes"] = json!([{ "reason": "DisruptionBudget", "message": message }]);
    status
}

/// 429 while the disruption controller has not looked at a budget's present form.
pub(super) fn unsettled(name: &str) -> Status {
    because(refusal(10), &format!("The disruption budget {name} is still being processed by the server."))
}

/// The condition of a budget without disruptions left.
fn exhausted(budget: &mut Value, observed: i64, time: &str) {
    let status = &mut budget["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let next = json!({ "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
                       "lastTransitionTime": time, "observedGeneration": observed });
    if let Some(all) = status["conditions"].as_array_mut() {
        all.retain(|c| c["type"] != "DisruptionAllowed");
        all.push(next);
    }
}

/// The pod with the condition that tells of its eviction; `None` when it has it.
pub(super) fn disrupted(pod: &Value, now: Timestamp) -> Option<Value> {
    let kind = "DisruptionTarget";
    let old = condition(pod, kind);
    let reason = "EvictionByEvictionAPI";
    if old.is_some_and(|c| c["status"] == "True" && c["reason"] == reason) {
        return None;
    }
    let mut pod = pod.clone();
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let time = minisvc_api::time::format(now);
    let next = json!({ "type": kind, "status": "True", "reason": reason, "message": "Eviction API: evicting",
                       "lastProbeTime": null, "lastTransitionTime": time });
    if let Some(all) = pod["status"]["conditions"].as_array_mut() {
        all.retain(|c| c["type"] != kind);
        all.push(next);
    }
    Some(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64, healthy: i64, desired: i64) -> Value {
        json!({ "metadata": { "name": "web", "generation": 1 }, "spec": {}, "status": { "observedGeneration": 1,
            "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired } })
    }

    fn pod(ready: bool) -> Value {
        let ready = if ready { "True" } else { "False" };
        json!({ "metadata": { "name": "web-1" }, "status": { "phase": "Running",
            "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    fn cause(status: &Status) -> &str {
        assert_eq!(status.details["causes"][0]["reason"], "DisruptionBudget");
        status.details["causes"][0]["message"].as_str().unwrap()
    }

    #[test]
    fn a_disruption_is_taken() {
        let Ok(Verdict::Taken(next)) = judge(&budget(2, 3, 1), &pod(true), Timestamp::UNIX_EPOCH) else { panic!() };
        assert_eq!(next["status"]["disruptionsAllowed"], 1);
        assert_eq!(next["status"]["disruptedPods"]["web-1"], "1970-01-01T00:00:00Z");
        assert!(condition(&next, "DisruptionAllowed").is_none());
        let Ok(Verdict::Taken(last)) = judge(&budget(1, 2, 1), &pod(true), Timestamp::UNIX_EPOCH) else { panic!() };
        assert_eq!(condition(&last, "DisruptionAllowed").unwrap()["reason"], "InsufficientPods");
    }

    #[test]
    fn refusals_say_why() {
        let refuse = |budget: &Value| judge(budget, &pod(true), Timestamp::UNIX_EPOCH).unwrap_err();
        let none = refuse(&budget(0, 2, 2));
        assert_eq!((none.code, none.reason), (429, "TooManyRequests"));
        assert_eq!(none.message, "Cannot evict pod as it would violate the pod's disruption budget.");
        assert!(none.details.get("retryAfterSeconds").is_none());
        assert_eq!(cause(&none), "The disruption budget web needs 2 healthy pods and has 2 currently");
        let mut changed = budget(1, 2, 1);
        changed["metadata"]["generation"] = json!(2);
        let changed = refuse(&changed);
        assert_eq!(cause(&changed), "The disruption budget web is still being processed by the server.");
        assert_eq!(changed.details["retryAfterSeconds"], 10);
        let mut failed = budget(0, 0, 0);
        failed["status"]["conditions"] =
            json!([{ "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no" }]);
        assert!(cause(&refuse(&failed)).ends_with("because it failed sync: no"));
        assert_eq!(refuse(&budget(-1, 0, 0)).code, 403);
    }

    #[test]
    fn unhealthy_pods_may_go_when_the_budget_is_met_or_does_not_care() {
        let of = |budget: &Value| judge(budget, &pod(false), Timestamp::UNIX_EPOCH);
        assert_eq!(of(&budget(0, 2, 2)), Ok(Verdict::Unguarded));
        assert!(of(&budget(0, 1, 2)).is_err());
        assert!(of(&budget(0, 0, 0)).is_err(), "nothing desired is no health");
        let mut always = budget(0, 1, 2);
        always["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        assert_eq!(of(&always), Ok(Verdict::Unguarded));
    }

    #[test]
    fn the_pod_says_why_it_goes() {
        let marked = disrupted(&pod(true), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(condition(&marked, "DisruptionTarget").unwrap()["reason"], "EvictionByEvictionAPI");
        assert_eq!(disrupted(&marked, Timestamp::UNIX_EPOCH), None);
    }
}
