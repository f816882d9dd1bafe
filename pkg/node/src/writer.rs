//! Writes a pod's status: once at the start, then whatever is true whenever it changed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::core::Request;
use serde_json::json;
use tokio::sync::watch;

use crate::context::Shared;
use crate::names::namespace;
use crate::node::Node;
use crate::status::pod_status;

/// Writes the status at first, and whenever it changed since.
pub(crate) async fn write_statuses(node: Arc<Node>, pods: watch::Receiver<Arc<Pod>>, shared: Arc<Shared>) {
    let mut written = None;
    let mut pods_changed = pods.clone();
    loop {
        let pod = pods.borrow().clone();
        match write_status(&node, &pod, &shared, written.as_ref()).await {
            Written::Done(status) => written = Some(*status),
            Written::Again => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            }
            Written::Gone => return,
        }
        tokio::select! {
            () = shared.changed.notified() => {}
            // The generation seen, and others' conditions, are part of it; an equal status is not written again.
            Ok(()) = pods_changed.changed() => {}
        }
    }
}

/// What became of a write.
pub(crate) enum Written {
    Done(Box<PodStatus>),
    Again,
    Gone,
}

/// Writes the pod's status unless it equals `last`. The first status is written as it was when asked for, so that
/// ContainerCreating is seen; later ones as they are when their turn comes, so that a crowd of pods writes less.
pub(crate) async fn write_status(node: &Node, pod: &Pod, shared: &Shared, last: Option<&PodStatus>) -> Written {
    let compute = || pod_status(pod, &mut shared.sheet.lock(), Timestamp::now());
    let early = last.is_none().then(compute);
    let Ok(_permit) = node.writes.acquire().await else { return Written::Gone };
    let status = early.unwrap_or_else(compute);
    if last == Some(&status) {
        return Written::Done(Box::new(status));
    }
    let mut metadata = json!({"uid": pod.metadata.uid});
    if pod.spec.as_ref().is_some_and(|spec| spec.readiness_gates.is_some()) {
        // Lists are replaced whole, and here others write conditions too.
        metadata["resourceVersion"] = json!(pod.metadata.resource_version);
    }
    let url = format!("/api/v1/namespaces/{}/pods", namespace(pod));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let patch = kube::api::Patch::Merge(json!({"metadata": metadata, "status": status}));
    let request = Request::new(url).patch_subresource("status", name, &kube::api::PatchParams::default(), &patch);
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(%error, name, "status cannot be said");
            return Written::Gone;
        }
    };
    match node.client.request::<serde::de::IgnoredAny>(request).await {
        Ok(_) => Written::Done(Box::new(status)),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Written::Gone,
        Err(kube::Error::Api(answer)) if answer.code == 409 && metadata_has_version(pod) => Written::Again,
        Err(kube::Error::Api(answer)) if answer.code == 409 => Written::Gone,
        Err(error) => {
            tracing::warn!(%error, name, "status not written; trying again");
            Written::Again
        }
    }
}

fn metadata_has_version(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.readiness_gates.is_some())
}
