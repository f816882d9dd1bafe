//! Defaults of StatefulSets, Jobs, CronJobs, ReplicationControllers and PodTemplates (apps/v1, batch/v1 and core/v1
//! `defaults.go`, and batch `job/strategy.go` for the selector that a Job gets).

use serde_json::{Map, Value, json};

use super::workload::{set_if_absent, template, template_of};
use super::{each_mut, fill, object_mut};

/// StatefulSet: one pod after another, rolling update of all, claims kept.
pub fn stateful_set(new: &mut Value, _old: Option<&Value>) {
    template(new);
    let spec = object_mut(new, "spec");
    fill(spec, "podManagementPolicy", "OrderedReady");
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    let strategy = object_mut(&mut new["spec"], "updateStrategy");
    if strategy.get("type").and_then(Value::as_str).unwrap_or("").is_empty() {
        strategy.insert("type".into(), "RollingUpdate".into());
        set_if_absent(strategy, "rollingUpdate", json!({}));
    }
    if strategy["type"] == "RollingUpdate"
        && let Some(Value::Object(rolling)) = strategy.get_mut("rollingUpdate")
    {
        set_if_absent(rolling, "partition", json!(0));
    }
    let retention = object_mut(&mut new["spec"], "persistentVolumeClaimRetentionPolicy");
    fill(retention, "whenDeleted", "Retain");
    fill(retention, "whenScaled", "Retain");
    for claim in new["spec"].get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
        super::persistent_volume_claim(claim, None);
        if let Value::Object(claim) = claim {
            claim.insert("apiVersion".into(), "v1".into());
            claim.insert("kind".into(), "PersistentVolumeClaim".into());
        }
    }
    let status = object_mut(new, "status");
    set_if_absent(status, "replicas", json!(0));
    set_if_absent(status, "availableReplicas", json!(0));
}

/// The labels by which a Job knows its pods, with what they say.
fn job_labels(job: &Value) -> [(&'static str, Value); 4] {
    let (name, uid) = (job["metadata"]["name"].clone(), job["metadata"]["uid"].clone());
    [
        ("job-name", name.clone()),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid.clone()),
        ("batch.kubernetes.io/controller-uid", uid),
    ]
}

/// Job: one completion, six retries, a selector of its own; its labels are its template's when it has none.
pub fn job(new: &mut Value, old: Option<&Value>) {
    template(new);
    let spec = object_mut(new, "spec");
    if !spec.contains_key("parallelism") {
        if !spec.contains_key("completions") {
            spec.insert("completions".into(), 1.into());
        }
        spec.insert("parallelism".into(), 1.into());
    }
    let retries = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    set_if_absent(spec, "backoffLimit", retries.into());
    set_if_absent(spec, "completionMode", "NonIndexed".into());
    set_if_absent(spec, "suspend", false.into());
    set_if_absent(spec, "manualSelector", false.into());
    let replaced = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set_if_absent(spec, "podReplacementPolicy", replaced.into());
    if let Some(policy) = spec.get_mut("podFailurePolicy") {
        for rule in policy.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            for condition in each_mut(rule, "onPodConditions") {
                fill(condition, "status", "True");
            }
        }
    }
    // Only a create makes the selector: it cannot change later.
    if old.is_none() && new["spec"]["manualSelector"] == false {
        let labels = job_labels(new);
        let template = object_mut(new, "spec").entry("template").or_insert_with(|| json!({}));
        let own = object_mut(&mut template["metadata"], "labels");
        for (label, value) in labels.clone() {
            set_if_absent(own, label, value);
        }
        let selector = object_mut(&mut new["spec"], "selector");
        let wanted = selector.entry("matchLabels").or_insert_with(|| json!({}));
        if let Value::Object(wanted) = wanted {
            let [.., (label, uid)] = labels;
            set_if_absent(wanted, label, uid);
        }
    }
    labels_of_template(new);
    object_mut(new, "status");
}

/// An object without labels gets its template's.
fn labels_of_template(new: &mut Value) {
    let labels = new["spec"]["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty())
        && new["metadata"]["labels"].as_object().is_none_or(Map::is_empty)
    {
        object_mut(new, "metadata").insert("labels".into(), labels);
    }
}

/// CronJob: jobs may overlap, three good ones and a failed one are kept.
pub fn cron_job(new: &mut Value, _old: Option<&Value>) {
    if let Some(job) = new["spec"].get_mut("jobTemplate").filter(|job| job.is_object()) {
        object_mut(job, "metadata");
        template(job);
    }
    let spec = object_mut(new, "spec");
    fill(spec, "concurrencyPolicy", "Allow");
    set_if_absent(spec, "suspend", false.into());
    set_if_absent(spec, "successfulJobsHistoryLimit", 3.into());
    set_if_absent(spec, "failedJobsHistoryLimit", 1.into());
    object_mut(new, "status");
}

/// ReplicationController: one replica; selector and labels are its template's where it has none.
pub fn replication_controller(new: &mut Value, _old: Option<&Value>) {
    template(new);
    let labels = new["spec"]["template"]["metadata"]["labels"].clone();
    let spec = object_mut(new, "spec");
    set_if_absent(spec, "replicas", 1.into());
    if labels.as_object().is_some_and(|labels| !labels.is_empty())
        && spec.get("selector").and_then(Value::as_object).is_none_or(Map::is_empty)
    {
        spec.insert("selector".into(), labels);
    }
    labels_of_template(new);
    set_if_absent(object_mut(new, "status"), "replicas", json!(0));
}

/// PodTemplate: its template.
pub fn pod_template(new: &mut Value, _old: Option<&Value>) {
    if let Value::Object(new) = new {
        template_of(new);
    }
}
