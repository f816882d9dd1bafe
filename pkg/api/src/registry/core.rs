//! Rows of the core group.

use super::{ALL_VERBS, Row, Subresource, base, by_path};
use crate::{defaults, names::NameRule, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] =
    &[&CONFIG_MAP, &ENDPOINTS, &EVENT, &NAMESPACE, &NODE, &POD, &SECRET, &SERVICE_ACCOUNT, &SERVICE];

static CONFIG_MAP: Row = Row {
    kind: "ConfigMap",
    list_kind: "ConfigMapList",
    plural: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    schema: "io.k8s.api.core.v1.ConfigMap",
    prune: |o| shape::prune("io.k8s.api.core.v1.ConfigMap", o),
    validate: validate::config_map,
    columns: table::CONFIG_MAP,
    cells: table::config_map,
    ..base()
};

static ENDPOINTS: Row = Row {
    kind: "Endpoints",
    list_kind: "EndpointsList",
    plural: "endpoints",
    singular: "endpoints",
    short_names: &["ep"],
    create_on_update: true,
    schema: "io.k8s.api.core.v1.Endpoints",
    prune: |o| shape::prune("io.k8s.api.core.v1.Endpoints", o),
    default: defaults::endpoints,
    validate: validate::endpoints,
    columns: table::ENDPOINTS,
    cells: table::endpoints,
    ..base()
};

static EVENT: Row = Row {
    kind: "Event",
    list_kind: "EventList",
    plural: "events",
    singular: "event",
    short_names: &["ev"],
    create_on_update: true,
    schema: "io.k8s.api.core.v1.Event",
    prune: |o| shape::prune("io.k8s.api.core.v1.Event", o),
    validate: validate::event,
    field_labels: super::events::FIELD_LABELS,
    field: super::events::field,
    columns: table::EVENT,
    cells: table::event,
    ..base()
};

static NAMESPACE: Row = Row {
    kind: "Namespace",
    list_kind: "NamespaceList",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    namespaced: false,
    // No deletecollection: Kubernetes offers none.
    verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
    subresources: &[Subresource::Status, Subresource::Finalize],
    name_rule: NameRule::Label,
    schema: "io.k8s.api.core.v1.Namespace",
    prune: |o| shape::prune("io.k8s.api.core.v1.Namespace", o),
    default: defaults::namespace,
    validate: validate::namespace,
    field_labels: &["status.phase"],
    columns: table::NAMESPACE,
    cells: table::namespace,
    ..base()
};

static NODE: Row = Row {
    kind: "Node",
    list_kind: "NodeList",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    namespaced: false,
    subresources: &[Subresource::Status, Subresource::Proxy],
    schema: "io.k8s.api.core.v1.Node",
    prune: |o| shape::prune("io.k8s.api.core.v1.Node", o),
    default: defaults::node,
    validate: validate::node,
    field_labels: &["spec.unschedulable"],
    field: |object, path| match path {
        "spec.unschedulable" => object["spec"]["unschedulable"].as_bool().unwrap_or(false).to_string(),
        other => by_path(object, other),
    },
    columns: table::NODE,
    cells: table::node,
    ..base()
};

static POD: Row = Row {
    kind: "Pod",
    list_kind: "PodList",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        Subresource::Status,
        Subresource::Binding,
        Subresource::Eviction,
        Subresource::EphemeralContainers,
        Subresource::Resize,
        Subresource::Log,
        Subresource::Exec,
        Subresource::Attach,
        Subresource::PortForward,
        Subresource::Proxy,
    ],
    generation: true,
    graceful: true,
    schema: "io.k8s.api.core.v1.Pod",
    prune: |o| shape::prune("io.k8s.api.core.v1.Pod", o),
    default: defaults::pod,
    validate: validate::pod,
    field_labels: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ],
    field: |object, path| match path {
        "spec.hostNetwork" => object["spec"]["hostNetwork"].as_bool().unwrap_or(false).to_string(),
        "status.podIPs" => object["status"]["podIPs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|ip| ip["ip"].as_str())
            .collect::<Vec<_>>()
            .join(","),
        other => by_path(object, other),
    },
    columns: table::POD,
    cells: table::pod,
    ..base()
};

static SECRET: Row = Row {
    kind: "Secret",
    list_kind: "SecretList",
    plural: "secrets",
    singular: "secret",
    schema: "io.k8s.api.core.v1.Secret",
    prune: |o| shape::prune("io.k8s.api.core.v1.Secret", o),
    default: defaults::secret,
    validate: validate::secret,
    field_labels: &["type"],
    columns: table::SECRET,
    cells: table::secret,
    ..base()
};

static SERVICE_ACCOUNT: Row = Row {
    kind: "ServiceAccount",
    list_kind: "ServiceAccountList",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    subresources: &[Subresource::Token],
    schema: "io.k8s.api.core.v1.ServiceAccount",
    prune: |o| shape::prune("io.k8s.api.core.v1.ServiceAccount", o),
    columns: table::SERVICE_ACCOUNT,
    cells: table::name_and_age,
    ..base()
};

static SERVICE: Row = Row {
    kind: "Service",
    list_kind: "ServiceList",
    plural: "services",
    singular: "service",
    short_names: &["svc"],
    categories: &["all"],
    verbs: ALL_VERBS,
    subresources: &[Subresource::Status, Subresource::Proxy],
    create_on_update: true,
    // A DNS-1123 label since RelaxedServiceNameValidation (GA in 1.37), before that DNS-1035.
    name_rule: NameRule::Label,
    schema: "io.k8s.api.core.v1.Service",
    prune: |o| shape::prune("io.k8s.api.core.v1.Service", o),
    default: defaults::service,
    validate: validate::service,
    field_labels: &["spec.clusterIP", "spec.type"],
    columns: table::SERVICE,
    cells: table::service,
    ..base()
};
