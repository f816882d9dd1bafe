//! Rows of autoscaling (one kind in two versions), policy, scheduling and node.

use super::{Alias, Row, Subresource, base};
use crate::{autoscaling, defaults, shape, table, validate};

/// The rows, in the order of discovery. autoscaling/v2 is stored; v1 is another view of it.
pub(super) const ROWS: &[&Row] = &[&AUTOSCALER, &AUTOSCALER_V1, &DISRUPTION_BUDGET, &PRIORITY_CLASS, &RUNTIME_CLASS];

static AUTOSCALER: Row = Row {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    list_kind: "HorizontalPodAutoscalerList",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    prune: |o| shape::prune("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", o),
    default: defaults::horizontal_pod_autoscaler,
    validate: validate::horizontal_pod_autoscaler,
    columns: table::HORIZONTAL_POD_AUTOSCALER,
    cells: table::horizontal_pod_autoscaler,
    ..base()
};

static AUTOSCALER_V1: Row = Row {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    list_kind: "HorizontalPodAutoscalerList",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    prune: |o| shape::prune("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler", o),
    default: |new, old| {
        let mut stored = autoscaling::to_stored(new);
        defaults::horizontal_pod_autoscaler(&mut stored, old.map(autoscaling::to_stored).as_ref());
        *new = autoscaling::from_stored(&stored);
    },
    validate: |new, old| {
        validate::horizontal_pod_autoscaler(&autoscaling::to_stored(new), old.map(autoscaling::to_stored).as_ref())
    },
    columns: table::HORIZONTAL_POD_AUTOSCALER,
    cells: |object, now| table::horizontal_pod_autoscaler(&autoscaling::to_stored(object), now),
    alias: Some(Alias {
        group: "autoscaling",
        version: "v2",
        to_stored: autoscaling::to_stored,
        from_stored: autoscaling::from_stored,
    }),
    ..base()
};

static DISRUPTION_BUDGET: Row = Row {
    group: "policy",
    kind: "PodDisruptionBudget",
    list_kind: "PodDisruptionBudgetList",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    short_names: &["pdb"],
    subresources: &[Subresource::Status],
    generation: true,
    unconditional_update: false,
    schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
    prune: |o| shape::prune("io.k8s.api.policy.v1.PodDisruptionBudget", o),
    default: defaults::pod_disruption_budget,
    validate: |new, _| validate::pod_disruption_budget(new),
    columns: table::POD_DISRUPTION_BUDGET,
    cells: table::pod_disruption_budget,
    ..base()
};

static PRIORITY_CLASS: Row = Row {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    list_kind: "PriorityClassList",
    plural: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    namespaced: false,
    generation: true,
    schema: "io.k8s.api.scheduling.v1.PriorityClass",
    prune: |o| shape::prune("io.k8s.api.scheduling.v1.PriorityClass", o),
    default: defaults::priority_class,
    validate: validate::priority_class,
    columns: table::PRIORITY_CLASS,
    cells: table::priority_class,
    ..base()
};

static RUNTIME_CLASS: Row = Row {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    list_kind: "RuntimeClassList",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    namespaced: false,
    unconditional_update: false,
    create_on_update: true,
    schema: "io.k8s.api.node.v1.RuntimeClass",
    prune: |o| shape::prune("io.k8s.api.node.v1.RuntimeClass", o),
    validate: validate::runtime_class,
    columns: table::RUNTIME_CLASS,
    cells: table::runtime_class,
    ..base()
};
