//! Rules of a Job's status, which others than the lab's own controller may write (batch `validateJobStatus`,
//! `ValidateJobStatusUpdate` and the job strategy's options). What did not change may stay as it is.

use serde_json::Value;

use super::job_policies::indexes;
use super::{list, non_negative, number, text};
use crate::field::FieldError;
use crate::time;

const CONDITIONS: &str = "status.conditions";

/// What is wrong with a job's new status beside its old one.
pub(super) fn status(job: &Value, old: &Value) -> Vec<FieldError> {
    let (now, before) = (&job["status"], &old["status"]);
    let mut errors = counts(now);
    let changed = |field: &str| now[field] != before[field];
    let turned = |kind: &str| holds(now, kind) != holds(before, kind);
    let (complete, failed) = (holds(now, "Complete"), holds(now, "Failed"));
    let finished = complete || failed;
    let finished_turned = finished != (holds(before, "Complete") || holds(before, "Failed"));
    let both = |one: &str, other: &str| holds(now, one) && holds(now, other);
    let said = |words: &str| FieldError { value: None, ..FieldError::invalid(CONDITIONS, "", words) };
    let wrong = |field: &str, words: &str| FieldError::invalid(format!("status.{field}"), now[field].clone(), words);
    if (turned("Complete") || turned("Failed")) && both("Complete", "Failed") {
        errors.push(said("cannot set Complete=True and Failed=true conditions"));
    }
    if (turned("Complete") || turned("FailureTarget")) && both("Complete", "FailureTarget") {
        errors.push(said("cannot set Complete=True and FailureTarget=true conditions"));
    }
    let ended = !now["completionTime"].is_null();
    if turned("Complete") || changed("completionTime") {
        if ended && !complete {
            errors.push(wrong("completionTime", "cannot set completionTime when there is no Complete=True condition"));
        }
        if !ended && complete {
            let words = "completionTime is required for Complete jobs";
            errors.push(FieldError::required("status.completionTime", words));
        }
    }
    if changed("startTime") || changed("completionTime") {
        let times = time::of(&now["startTime"]).zip(time::of(&now["completionTime"]));
        if times.is_some_and(|(start, end)| end < start) {
            errors.push(wrong("completionTime", "must be equal to or after `startTime`"));
        }
    }
    if (turned("Failed") || changed("failedIndexes")) && failed && !holds(now, "FailureTarget") {
        errors.push(said("cannot set Failed=True condition without the FailureTarget=true condition"));
    }
    let met = holds(now, "SuccessCriteriaMet");
    if (turned("Complete") || turned("SuccessCriteriaMet")) && complete && !met {
        errors.push(said("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"));
    }
    if finished {
        errors.extend(at_the_end(job, finished_turned, &changed, &wrong));
    }
    errors.extend(shown_indexes(job, &changed, &wrong));
    if (changed("ready") || changed("active")) && number(now, "ready") > number(now, "active") {
        errors.push(wrong("ready", "cannot set more ready pods than active"));
    }
    if met && failed {
        errors.push(said("cannot set SuccessCriteriaMet=True and Failed=true conditions"));
    }
    if met && holds(now, "FailureTarget") {
        errors.push(said("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
    }
    if job["spec"]["successPolicy"].is_object() && !met && complete {
        errors.push(said("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"));
    }
    errors.extend(steps(job, old, &said, &wrong));
    errors
}

fn holds(status: &Value, kind: &str) -> bool {
    list(status, "conditions").iter().any(|c| c["type"] == kind && c["status"] == "True")
}

fn counts(now: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.extend(non_negative(now, field, "status"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for field in ["succeeded", "failed"] {
        for (i, uid) in list(&now["uncountedTerminatedPods"], field).iter().enumerate() {
            let (at, uid) = (format!("status.uncountedTerminatedPods.{field}[{i}]"), uid.as_str().unwrap_or(""));
            if uid.is_empty() {
                errors.push(FieldError::invalid(at, "", "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(FieldError::duplicate(at, uid));
            } else {
                seen.push(uid);
            }
        }
    }
    errors
}

/// What a finished job no longer has.
fn at_the_end(
    job: &Value,
    turned: bool,
    changed: &dyn Fn(&str) -> bool,
    wrong: &dyn Fn(&str, &str) -> FieldError,
) -> Vec<FieldError> {
    let (spec, now) = (&job["spec"], &job["status"]);
    let mut errors = Vec::new();
    if (turned || changed("active")) && number(now, "active") > 0 {
        errors.push(wrong("active", "active>0 is invalid for finished job"));
    }
    // A job of nothing that never began may end.
    let empty = spec["suspend"] == true && spec["completions"] == 0;
    if (turned || changed("startTime")) && !empty && now["startTime"].is_null() {
        errors.push(FieldError::required("status.startTime", "startTime is required for finished job"));
    }
    let uncounted = &now["uncountedTerminatedPods"];
    let some = ["succeeded", "failed"].iter().any(|field| !list(uncounted, field).is_empty());
    if (turned || changed("uncountedTerminatedPods")) && some {
        errors.push(wrong("uncountedTerminatedPods", "must be empty for finished job"));
    }
    if (turned || changed("terminating")) && number(now, "terminating") > 0 {
        errors.push(wrong("terminating", "terminating>0 is invalid for finished job"));
    }
    errors
}

fn shown_indexes(
    job: &Value,
    changed: &dyn Fn(&str) -> bool,
    wrong: &dyn Fn(&str, &str) -> FieldError,
) -> Vec<FieldError> {
    let (spec, now) = (&job["spec"], &job["status"]);
    let (done, failed) = (text(now, "completedIndexes"), now["failedIndexes"].as_str());
    let per_index = spec["backoffLimitPerIndex"].is_number();
    let mut errors = Vec::new();
    let all = spec["completions"].as_i64();
    let read = |shown: &str| all.map(|all| indexes(shown, all));
    if changed("completedIndexes") {
        if let Some(Err(why)) = read(done) {
            errors.push(wrong("completedIndexes", &format!("error parsing completedIndexes: {why}")));
        }
        if !done.is_empty() && spec["completionMode"] != "Indexed" {
            let words = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.push(wrong("completedIndexes", words));
        }
    }
    let Some(failed) = failed else { return errors };
    if changed("failedIndexes") {
        if let Some(Err(why)) = read(failed).filter(|_| per_index) {
            errors.push(wrong("failedIndexes", &format!("error parsing failedIndexes: {why}")));
        }
        if !per_index {
            let words = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            errors.push(wrong("failedIndexes", words));
        }
    }
    if (changed("failedIndexes") || changed("completedIndexes"))
        && let (Some(Ok(done)), Some(Ok(failed))) = (read(done), read(failed))
    {
        let common = done.iter().flat_map(|one| failed.iter().map(move |other| (one, other)));
        let overlap = common.into_iter().find(|(one, other)| one.0 <= other.1 && other.0 <= one.1);
        if let Some((one, other)) = overlap {
            let words = format!("failedIndexes and completedIndexes overlap at index: {}", one.0.max(other.0));
            errors.push(wrong("failedIndexes", &words));
        }
    }
    errors
}

/// What may not be taken back.
fn steps(
    job: &Value,
    old: &Value,
    said: &dyn Fn(&str) -> FieldError,
    wrong: &dyn Fn(&str, &str) -> FieldError,
) -> Vec<FieldError> {
    let (spec, now, before) = (&job["spec"], &job["status"], &old["status"]);
    let mut errors = Vec::new();
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if holds(before, kind) && !holds(now, kind) {
            errors.push(said(&format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    if number(now, "failed") < number(before, "failed") {
        errors.push(wrong("failed", "cannot decrease the failed counter"));
    }
    // An indexed job that shrinks has fewer done.
    let elastic = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    if !elastic && number(now, "succeeded") < number(before, "succeeded") {
        errors.push(wrong("succeeded", "cannot decrease the succeeded counter"));
    }
    let set = |field: &str| !now[field].is_null() && !before[field].is_null() && now[field] != before[field];
    if set("completionTime") {
        errors.push(wrong("completionTime", "field is immutable"));
    }
    let resumes = holds(before, "Suspended")
        && list(now, "conditions").iter().any(|c| c["type"] == "Suspended" && c["status"] == "False");
    let moved = !before["startTime"].is_null() && now["startTime"] != before["startTime"];
    if moved && spec["suspend"] != true && !resumes {
        errors.push(wrong("startTime", "field is immutable for unsuspended job once set"));
    }
    let met = "SuccessCriteriaMet";
    if holds(before, met) && !holds(now, met) {
        errors.push(said("cannot disable the SuccessCriteriaMet=True condition"));
    }
    if holds(before, "Complete") && !holds(before, met) && holds(now, met) {
        errors.push(said("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: Value, old: Value, new: Value) -> Vec<String> {
        let job = |status: Value| json!({"spec": spec, "status": status});
        status(&job(new), &job(old)).iter().map(ToString::to_string).collect()
    }

    fn conditions(kinds: &[&str]) -> Value {
        kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect()
    }

    #[test]
    fn an_end_has_its_reason_and_its_times() {
        let start = "2026-01-01T00:00:00Z";
        let done = json!({"startTime": start, "completionTime": "2026-01-01T00:00:01Z", "succeeded": 1,
            "conditions": conditions(&["SuccessCriteriaMet", "Complete"])});
        assert_eq!(told(json!({}), json!({"startTime": start}), done.clone()), [""; 0]);
        let mut early = done.clone();
        early["completionTime"] = "2025-01-01T00:00:00Z".into();
        assert_eq!(
            told(json!({}), json!({"startTime": start}), early),
            ["status.completionTime: Invalid value: \"2025-01-01T00:00:00Z\": must be equal to or after `startTime`"]
        );
        let bare = json!({"startTime": start, "active": 1, "conditions": conditions(&["Complete"])});
        assert_eq!(
            told(json!({}), json!({"startTime": start, "active": 1}), bare),
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
            ]
        );
        let failed = json!({"conditions": conditions(&["Failed"])});
        assert_eq!(
            told(json!({}), json!({}), failed),
            [
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
                "status.startTime: Required value: startTime is required for finished job",
            ]
        );
        assert_eq!(
            told(json!({}), done.clone(), json!({"startTime": start, "succeeded": 1})),
            [
                "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
                "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
            ]
        );
        assert_eq!(told(json!({}), done.clone(), done), [""; 0]);
    }

    #[test]
    fn counts_and_indexes_fit_the_job() {
        assert_eq!(
            told(json!({}), json!({"failed": 2}), json!({"failed": 1, "ready": 1})),
            [
                "status.ready: Invalid value: 1: cannot set more ready pods than active",
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
            ]
        );
        let indexed =
            json!({"completionMode": "Indexed", "completions": 5, "parallelism": 5, "backoffLimitPerIndex": 1});
        let shown = |done: &str, failed: &str| json!({"completedIndexes": done, "failedIndexes": failed});
        assert_eq!(told(indexed.clone(), json!({}), shown("0-2", "3")), [""; 0]);
        assert_eq!(
            told(indexed.clone(), json!({}), shown("0-2", "2,4")),
            ["status.failedIndexes: Invalid value: \"2,4\": failedIndexes and completedIndexes overlap at index: 2"]
        );
        assert_eq!(
            told(indexed, json!({}), json!({"completedIndexes": "7"})),
            ["status.completedIndexes: Invalid value: \"7\": error parsing completedIndexes: too large index: \"7\""]
        );
        assert_eq!(
            told(json!({"completions": 5}), json!({}), json!({"completedIndexes": "1"})),
            ["status.completedIndexes: Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed \
                 completion mode"]
        );
    }
}
