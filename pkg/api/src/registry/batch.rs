//! Rows of batch/v1.

use super::{Row, Subresource, base};
use crate::{defaults, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&CRON_JOB, &JOB];

static CRON_JOB: Row = Row {
    group: "batch",
    kind: "CronJob",
    list_kind: "CronJobList",
    plural: "cronjobs",
    singular: "cronjob",
    short_names: &["cj"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.batch.v1.CronJob",
    prune: |o| shape::prune("io.k8s.api.batch.v1.CronJob", o),
    default: defaults::cron_job,
    validate: validate::cron_job,
    columns: table::CRON_JOB,
    cells: table::cron_job,
    ..base()
};

static JOB: Row = Row {
    group: "batch",
    kind: "Job",
    list_kind: "JobList",
    plural: "jobs",
    singular: "job",
    categories: &["all"],
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.batch.v1.Job",
    prune: |o| shape::prune("io.k8s.api.batch.v1.Job", o),
    default: defaults::job,
    validate: validate::job,
    field_labels: &["status.successful"],
    field: |object, path| match path {
        "status.successful" => object["status"]["succeeded"].as_i64().unwrap_or(0).to_string(),
        other => super::by_path(object, other),
    },
    columns: table::JOB,
    cells: table::job,
    ..base()
};
