//! Rules of Jobs and CronJobs (batch `validation.go`).

use serde_json::{Map, Value, json};

use super::internal_form::internal;
use super::job_policies::{pod_failure_policy, success_policy};
use super::job_status::status;
use super::pod::pod_template;
use super::stateful::does_not_match;
use super::{domain_path, immutable, label_selector, non_negative, number, schedule, text};
use crate::field::FieldError;
use crate::names;
use crate::selector::LabelSelector;

/// More than so many completions are bounded in other ways.
const MANY: i64 = 100_000;

/// What such jobs may have at once, and may have failing.
const FEW: i64 = 10_000;

/// A Job.
pub fn job(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = if old.is_none() { generated_selector(new) } else { Vec::new() };
    errors.extend(job_spec("spec", spec));
    let selector = &spec["selector"];
    if selector.is_object() {
        errors.extend(label_selector("spec.selector", selector));
    } else {
        errors.push(FieldError::required("spec.selector", ""));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if LabelSelector::from_object(selector).is_ok_and(|selector| !selector.matches(labels)) {
        errors.push(does_not_match("spec.template", labels));
    }
    if let Some(old) = old {
        errors.extend(update(spec, old));
        errors.extend(status(new, old));
    }
    if spec["completionMode"] == "Indexed"
        && let Some(last) = spec["completions"].as_i64().filter(|n| *n > 0)
    {
        let name = crate::meta::name(new);
        let host = format!("{name}-{}", last - 1);
        if !names::label(&host).is_empty() {
            let words = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(FieldError::invalid("metadata.name", name, words));
        }
    }
    errors
}

/// A selector that nobody chose must be the one that the server makes.
fn generated_selector(job: &Value) -> Vec<FieldError> {
    let spec = &job["spec"];
    if spec["manualSelector"] == true || !spec["selector"].is_object() {
        return Vec::new();
    }
    let (name, uid) = (text(&job["metadata"], "name"), text(&job["metadata"], "uid"));
    let wanted = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let labels = &spec["template"]["metadata"]["labels"];
    let path = "spec.template.metadata.labels";
    let mut errors = Vec::new();
    for (label, value) in wanted {
        match labels[label].as_str() {
            None => errors.push(FieldError::required(format!("{path}[{label}]"), format!("must be '{value}'"))),
            Some(found) if found != value => {
                errors.push(FieldError::invalid(
                    format!("{path}[{label}]"),
                    labels.clone(),
                    format!("must be '{value}'"),
                ));
            }
            Some(_) => {}
        }
    }
    let expected: Map<String, Value> =
        wanted.iter().map(|(label, value)| ((*label).to_owned(), (*value).into())).collect();
    if LabelSelector::from_object(&spec["selector"]).is_ok_and(|s| !s.matches(&Value::Object(expected))) {
        errors.push(FieldError::invalid("spec.selector", spec["selector"].clone(), "`selector` not auto-generated"));
    }
    errors
}

/// The spec of a Job, in a Job or in a CronJob's template, without its selector.
fn job_spec(path: &str, spec: &Value) -> Vec<FieldError> {
    let at = |field: &str| format!("{path}.{field}");
    let mut errors = Vec::new();
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.extend(non_negative(spec, field, path));
    }
    let (per_index, most_failed) = (&spec["backoffLimitPerIndex"], &spec["maxFailedIndexes"]);
    if most_failed.is_number() && per_index.is_null() {
        errors.push(FieldError::required(at("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    if let Some(by) = spec["managedBy"].as_str() {
        errors.extend(managed_by(&at("managedBy"), by));
    }
    match text(spec, "completionMode") {
        "Indexed" => errors.extend(indexed(path, spec)),
        mode => {
            if !matches!(mode, "" | "NonIndexed") {
                errors.push(FieldError::not_supported(at("completionMode"), mode, &["Indexed", "NonIndexed"]));
            }
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if spec[field].is_number() {
                    let value = spec[field].clone();
                    errors.push(FieldError::invalid(at(field), value, "requires indexed completion mode"));
                }
            }
        }
    }
    if spec["podFailurePolicy"].is_object() {
        errors.extend(pod_failure_policy(&at("podFailurePolicy"), spec));
    }
    if spec["successPolicy"].is_object() {
        if spec["completionMode"] == "Indexed" {
            errors.extend(success_policy(&at("successPolicy"), spec));
        } else {
            let value = internal("batch.v1.SuccessPolicy", &spec["successPolicy"]);
            errors.push(FieldError::invalid(at("successPolicy"), value, "requires indexed completion mode"));
        }
    }
    let replaced = text(spec, "podReplacementPolicy");
    let allowed: &[&str] =
        if spec["podFailurePolicy"].is_object() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if !replaced.is_empty() && !allowed.contains(&replaced) {
        errors.push(FieldError::not_supported(at("podReplacementPolicy"), replaced, allowed));
    }
    errors.extend(pod_template(&at("template"), &spec["template"]));
    let policy = text(&spec["template"]["spec"], "restartPolicy");
    let restart = at("template.spec.restartPolicy");
    match policy {
        "" | "Always" => errors.push(FieldError::required(restart, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if spec["podFailurePolicy"].is_object() => {
            let words = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(restart, policy, words));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(restart, other, &["Never", "OnFailure"])),
    }
    errors
}

fn managed_by(path: &str, by: &str) -> Vec<FieldError> {
    let mut errors = domain_path(path, by);
    if by.len() > 63 {
        errors.push(FieldError::too_long(path, 63));
    }
    errors
}

fn indexed(path: &str, spec: &Value) -> Vec<FieldError> {
    let at = |field: &str| format!("{path}.{field}");
    let mut errors = Vec::new();
    let (completions, parallel) = (spec["completions"].as_i64(), number(spec, "parallelism"));
    let failed = spec["maxFailedIndexes"].as_i64();
    if completions.is_none() {
        errors.push(FieldError::required(at("completions"), "when completion mode is Indexed"));
    }
    if parallel > MANY {
        let words = format!("must be less than or equal to {MANY} when completion mode is Indexed");
        errors.push(FieldError::invalid(at("parallelism"), parallel, words));
    }
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        errors.push(FieldError::invalid(at("maxFailedIndexes"), failed, "must be less than or equal to completions"));
    }
    if let Some(failed) = failed.filter(|failed| *failed > MANY) {
        let words = format!("must be less than or equal to {MANY}");
        errors.push(FieldError::invalid(at("maxFailedIndexes"), failed, words));
    }
    if completions.is_some_and(|n| n > MANY) && spec["backoffLimitPerIndex"].is_number() {
        if failed.is_none() {
            let words = format!("must be specified when completions is above {MANY}");
            errors.push(FieldError::required(at("maxFailedIndexes"), words));
        }
        let numbers = [("parallelism", parallel), ("maxFailedIndexes", failed.unwrap_or(0))];
        for (field, found) in numbers.into_iter().filter(|(_, found)| *found > FEW) {
            let words = format!(
                "must be less than or equal to {FEW} when completions are above {MANY} and used with backoff limit per index"
            );
            errors.push(FieldError::invalid(at(field), found, words));
        }
    }
    errors
}

/// What an update may not change of a spec.
fn update(new: &Value, job: &Value) -> Vec<FieldError> {
    let old = &job["spec"];
    let mut errors = Vec::new();
    // An indexed job may grow and shrink when both numbers say the same.
    let (now, before) = (&new["completions"], &old["completions"]);
    if new["completionMode"] != "Indexed" {
        errors.extend(immutable(now, before, "spec.completions"));
    } else if now != before && !now.is_null() && *now != new["parallelism"] {
        let words = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid("spec.completions", now.clone(), words));
    }
    errors.extend(immutable(&new["selector"], &old["selector"], "spec.selector"));
    errors.extend(template_update(new, old, rests(job)));
    for (field, schema) in [
        ("completionMode", ""),
        ("podFailurePolicy", "batch.v1.PodFailurePolicy"),
        ("backoffLimitPerIndex", ""),
        ("managedBy", ""),
        ("successPolicy", "batch.v1.SuccessPolicy"),
    ] {
        errors.extend(shown(immutable(&new[field], &old[field], &format!("spec.{field}")), schema));
    }
    errors
}

/// Complaints with their values as Kubernetes' own server holds them.
fn shown(mut errors: Vec<FieldError>, schema: &str) -> Vec<FieldError> {
    for error in &mut errors {
        error.value = error.value.take().map(|value| internal(schema, &value));
    }
    errors
}

/// Whether a job is suspended and no pod of it is left (`shouldAllowMutablePodTemplate` of Kubernetes' job strategy).
fn rests(job: &Value) -> bool {
    let status = &job["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let stopped = conditions.into_iter().any(|c| c["type"] == "Suspended" && c["status"] == "True");
    job["spec"]["suspend"] == true
        && (status["startTime"].is_null() || stopped)
        && status["active"].as_i64().unwrap_or(0) == 0
}

/// The template stays; while a job rests, what its pods ask for and on which nodes they may run can change.
fn template_update(new: &Value, old: &Value, rests: bool) -> Vec<FieldError> {
    let mut before = old["template"].clone();
    if rests {
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            crate::meta::copy_field(&mut before["spec"], &new["template"]["spec"], field);
        }
        let wanted = &new["template"]["spec"]["affinity"];
        let mut affinity = before["spec"]["affinity"].as_object().cloned().unwrap_or_default();
        affinity.shift_remove("nodeAffinity");
        affinity.extend(wanted.get("nodeAffinity").map(|node| ("nodeAffinity".to_owned(), node.clone())));
        let known = wanted.is_object() || !affinity.is_empty();
        let affinity = if known { json!({ "affinity": affinity }) } else { json!({}) };
        crate::meta::copy_field(&mut before["spec"], &affinity, "affinity");
        for field in ["labels", "annotations"] {
            crate::meta::copy_field(&mut before["metadata"], &new["template"]["metadata"], field);
        }
        for containers in ["containers", "initContainers"] {
            let now = super::list(&new["template"]["spec"], containers);
            for (i, container) in
                before["spec"].get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten().enumerate()
            {
                if let Some(now) = now.get(i).filter(|now| now["name"] == container["name"]) {
                    crate::meta::copy_field(container, now, "resources");
                }
            }
        }
    }
    match rests {
        // What is compared is the spec of pods alone.
        true => {
            let complaints = immutable(&new["template"]["spec"], &before["spec"], "spec.template.spec");
            shown(complaints, "core.v1.PodSpec")
        }
        false => shown(immutable(&new["template"], &before, "spec.template"), "core.v1.PodTemplateSpec"),
    }
}

/// A CronJob.
pub fn cron_job(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let words = text(spec, "schedule");
    if words.is_empty() {
        errors.push(FieldError::required("spec.schedule", ""));
    } else {
        let before = old.is_some_and(|old| text(&old["spec"], "schedule").contains("TZ"));
        errors.extend(schedule::schedule("spec.schedule", words, before, spec["timeZone"].is_string()));
    }
    errors.extend(non_negative(spec, "startingDeadlineSeconds", "spec"));
    let same_zone = old.is_some_and(|old| old["spec"]["timeZone"] == spec["timeZone"]);
    if let Some(zone) = spec["timeZone"].as_str().filter(|_| !same_zone) {
        errors.extend(schedule::time_zone("spec.timeZone", zone));
    }
    match text(spec, "concurrencyPolicy") {
        "Allow" | "Forbid" | "Replace" => {}
        "" => errors.push(FieldError::required("spec.concurrencyPolicy", "")),
        other => {
            let allowed = &["Allow", "Forbid", "Replace"];
            errors.push(FieldError::not_supported("spec.concurrencyPolicy", other, allowed));
        }
    }
    let job = &spec["jobTemplate"]["spec"];
    let path = "spec.jobTemplate.spec";
    errors.extend(job_spec(path, job));
    if job["selector"].is_object() {
        let words = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(format!("{path}.selector"), job["selector"].clone(), words));
    }
    if job["manualSelector"] == true {
        errors.push(FieldError::not_supported(format!("{path}.manualSelector"), true, &["nil", "false"]));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative(spec, field, "spec"));
    }
    let name = crate::meta::name(new);
    if old.is_none() && name.len() > 52 {
        errors.push(FieldError::invalid("metadata.name", name, "must be no more than 52 characters"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_rests_may_be_told_where_and_how_much() {
        let template = |more: Value| {
            let mut spec = json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"template": {"metadata": {}, "spec": spec}})
        };
        let job = |status: Value| json!({"spec": {"suspend": true}, "status": status});
        for (status, expected) in [
            (json!({}), true),
            (json!({"active": 1}), false),
            (json!({"startTime": "2026-01-01T00:00:00Z"}), false),
            (json!({"startTime": "x", "conditions": [{"type": "Suspended", "status": "True"}]}), true),
        ] {
            assert_eq!(rests(&job(status.clone())), expected, "{status}");
        }
        assert!(!rests(&json!({"spec": {"suspend": false}})));
        let old = template(json!({}));
        let near = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}});
        for (new, counts) in [
            (old.clone(), [0, 0]),
            (template(json!({"nodeSelector": {"a": "b"}})), [0, 1]),
            (template(json!({"affinity": {"nodeAffinity": {}}})), [0, 1]),
            (template(json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {}}}]})), [0, 1]),
            (template(json!({"affinity": near})), [1, 1]),
            (template(json!({"containers": [{"name": "c", "image": "j"}]})), [1, 1]),
        ] {
            let told = [true, false].map(|rests| template_update(&new, &old, rests).len());
            assert_eq!(told, counts, "{new}");
        }
    }
}
