//! Values for the table tests of the planners: pods, nodes, sets in a few words.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde_json::{Value, json};

/// A moment, in seconds since the epoch.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// Any object from JSON.
pub(crate) fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A pod under construction.
pub(crate) struct PodBuilder(Pod);

/// A pending pod in namespace default.
pub(crate) fn pod(name: &str) -> PodBuilder {
    PodBuilder(object(json!({
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"),
                      "creationTimestamp": "1970-01-01T00:00:00Z" },
        "spec": { "containers": [{ "name": "c", "image": "jpetazzo/color" }] },
        "status": { "phase": "Pending" },
    })))
}

impl PodBuilder {
    pub(crate) fn on(mut self, node: &str) -> Self {
        self.0.spec.as_mut().unwrap().node_name = Some(node.into());
        self
    }

    pub(crate) fn phase(mut self, phase: &str) -> Self {
        self.0.status.as_mut().unwrap().phase = Some(phase.into());
        self
    }

    fn condition(mut self, status: &str, since: i64) -> Self {
        self.0.status.as_mut().unwrap().conditions = Some(vec![object(
            json!({ "type": "Ready", "status": status, "lastTransitionTime": at(since).to_string() }),
        )]);
        self.phase("Running")
    }

    pub(crate) fn ready(self, since: i64) -> Self {
        self.condition("True", since)
    }

    pub(crate) fn unready(self) -> Self {
        self.condition("False", 0)
    }

    pub(crate) fn ip(mut self, ip: &str) -> Self {
        let status = self.0.status.as_mut().unwrap();
        status.pod_ip = Some(ip.into());
        status.pod_ips = Some(vec![object(json!({ "ip": ip }))]);
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0.metadata.labels.get_or_insert_default().insert(key.into(), value.into());
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
        self
    }

    pub(crate) fn created(mut self, seconds: i64) -> Self {
        self.0.metadata.creation_timestamp = Some(Time(at(seconds)));
        self
    }

    pub(crate) fn deleted(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(at(0)));
        self
    }

    pub(crate) fn owned(mut self, kind: &str, uid: &str) -> Self {
        self.0.metadata.owner_references = Some(vec![OwnerReference {
            kind: kind.into(),
            uid: uid.into(),
            name: uid.into(),
            controller: Some(true),
            ..OwnerReference::default()
        }]);
        self
    }

    /// Replaces the spec.
    pub(crate) fn spec(mut self, spec: Value) -> Self {
        self.0.spec = object(spec);
        self
    }

    pub(crate) fn build(self) -> Arc<Pod> {
        Arc::new(self.0)
    }
}

/// A ReplicaSet with selector and template label `app=<name>`.
pub(crate) fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    object(json!({
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } },
                  "template": { "metadata": { "labels": { "app": name } },
                                "spec": { "containers": [{ "name": "c", "image": "jpetazzo/color" }] } } },
    }))
}

/// A Deployment with selector and template label `app=<name>`, 25 % surge and unavailability.
pub(crate) fn deployment(name: &str, replicas: i32) -> Deployment {
    object(json!({
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } },
                  "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                  "strategy": { "type": "RollingUpdate",
                                "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
                  "template": { "metadata": { "labels": { "app": name } },
                                "spec": { "containers": [{ "name": "c", "image": "jpetazzo/color" }] } } },
    }))
}

/// A ready node with room for 110 pods.
pub(crate) fn node(name: &str) -> Node {
    object(json!({
        "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": { "kubernetes.io/hostname": name } },
        "spec": {},
        "status": { "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "110" },
                    "conditions": [{ "type": "Ready", "status": "True" }] },
    }))
}

/// A Service with selector `app=<name>`, port 80 to 80.
pub(crate) fn service(name: &str) -> Service {
    object(json!({
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}") },
        "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.50", "selector": { "app": name },
                  "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 80 }] },
    }))
}

/// A StatefulSet with selector and template label `app=<name>`, Service `<name>`, rolling from the top.
pub(crate) fn stateful_set(name: &str, replicas: i32) -> StatefulSet {
    object(json!({
        "metadata": { "name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } }, "serviceName": name,
                  "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
                  "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
                  "template": { "metadata": { "labels": { "app": name } },
                                "spec": { "containers": [{ "name": "c", "image": "jpetazzo/color" }] } } },
    }))
}
