//! Columns and cells of StatefulSets, ControllerRevisions, Jobs, CronJobs, ReplicationControllers and PodTemplates
//! (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, column, integer};
use super::workloads::{containers_at, pairs, selector};
use super::{age, items, name, number, or, text};
use crate::registry::Column;
use crate::time;

const TEMPLATE: &str = "/spec/template/spec/containers";

/// Columns of StatefulSet.
pub const STATEFUL_SET: &[Column] =
    &[NAME, column("Ready", "Pods that are ready, of those wanted."), AGE, CONTAINERS, IMAGES];

/// Cells of a StatefulSet.
pub fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")).into(),
        age(object, now),
        containers_at(object, TEMPLATE, "name"),
        containers_at(object, TEMPLATE, "image"),
    ]
}

/// Columns of ControllerRevision.
pub const CONTROLLER_REVISION: &[Column] =
    &[NAME, column("Controller", "Object whose revision this is."), column("Revision", "Number of the revision."), AGE];

/// Cells of a ControllerRevision.
pub fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owner = items(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
    let controller = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let kind = text(owner, "/kind").to_lowercase();
            match text(owner, "/apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "/name")),
                None => format!("{kind}/{}", text(owner, "/name")),
            }
        },
    );
    vec![name(object), controller.into(), number(object, "/revision").into(), age(object, now)]
}

/// Columns of Job.
pub const JOB: &[Column] = &[
    NAME,
    column("Status", "How the job stands."),
    column("Completions", "Pods that have succeeded, of those wanted."),
    column("Duration", "How long the job has run."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// Cells of a Job.
pub fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = number(object, "/status/succeeded");
    let completions = match object["spec"]["completions"].as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match number(object, "/spec/parallelism") {
            many if many > 1 => format!("{succeeded}/1 of {many}"),
            _ => format!("{succeeded}/1"),
        },
    };
    let duration = time::of(&object["status"]["startTime"]).map(|start| {
        let end = time::of(&object["status"]["completionTime"]).unwrap_or(now);
        time::human(time::seconds_since(start, end))
    });
    vec![
        name(object),
        job_status(object).into(),
        completions.into(),
        duration.unwrap_or_default().into(),
        age(object, now),
        containers_at(object, TEMPLATE, "name"),
        containers_at(object, TEMPLATE, "image"),
        selector(object, "/spec/selector").into(),
    ]
}

fn job_status(object: &Value) -> &'static str {
    let holds = |condition: &str| {
        items(object, "/status/conditions").iter().any(|c| c["type"] == condition && c["status"] == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if crate::meta::is_deleting(object) {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

/// Columns of CronJob.
pub const CRON_JOB: &[Column] = &[
    NAME,
    column("Schedule", "When jobs begin, in cron's five fields."),
    column("Timezone", "Time zone of the schedule."),
    Column { kind: "boolean", ..column("Suspend", "Whether no further jobs begin.") },
    integer("Active", "Jobs that run now."),
    column("Last Schedule", "How long ago the last job began."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// Cells of a CronJob.
pub fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let template = "/spec/jobTemplate/spec/template/spec/containers";
    let last = time::of(&object["status"]["lastScheduleTime"]);
    let suspend = object["spec"]["suspend"].as_bool();
    vec![
        name(object),
        text(object, "/spec/schedule").into(),
        or(text(object, "/spec/timeZone"), "<none>").into(),
        suspend.map_or_else(|| "<unset>".to_owned(), |set| if set { "True".into() } else { "False".into() }).into(),
        items(object, "/status/active").len().into(),
        last.map_or_else(|| "<none>".to_owned(), |last| time::age(Some(last), now)).into(),
        age(object, now),
        containers_at(object, template, "name"),
        containers_at(object, template, "image"),
        selector(object, "/spec/jobTemplate/spec/selector").into(),
    ]
}

/// Columns of ReplicationController.
pub const REPLICATION_CONTROLLER: &[Column] = super::columns::REPLICA_SET;

/// Cells of a ReplicationController.
pub fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object, "/spec/replicas").into(),
        number(object, "/status/replicas").into(),
        number(object, "/status/readyReplicas").into(),
        age(object, now),
        containers_at(object, TEMPLATE, "name"),
        containers_at(object, TEMPLATE, "image"),
        pairs(&object["spec"]["selector"]).into(),
    ]
}

/// Columns of PodTemplate.
pub const POD_TEMPLATE: &[Column] = &[
    NAME,
    Column { priority: 0, ..CONTAINERS },
    Column { priority: 0, ..IMAGES },
    column("Pod Labels", "Labels of the template."),
];

/// Cells of a PodTemplate.
pub fn pod_template(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        containers_at(object, "/template/spec/containers", "name"),
        containers_at(object, "/template/spec/containers", "image"),
        pairs(&object["template"]["metadata"]["labels"]).into(),
    ]
}
