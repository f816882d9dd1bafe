//! Pods made and removed for an owner in one go, with the Events that tell of it: what ReplicaSets,
//! ReplicationControllers and Jobs do alike. It decides nothing.

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};

use crate::world::{World, code};

/// What an owner's writes are about.
pub(crate) struct Owner<'a, K> {
    pub(crate) object: &'a K,
    /// The name in Events.
    pub(crate) component: &'static str,
}

/// A write that failed: the reason of its Event and the error.
pub(crate) type Failure = (&'static str, kube::Error);

impl<K: Resource<DynamicType = ()> + Debug> Owner<'_, K> {
    /// Creates pods in batches that double while all goes well, so that a quota or a bad template costs one failure,
    /// not five hundred (`slowStartBatch`).
    pub(crate) async fn create(&self, world: &World, pods: &[Pod]) -> Option<Failure> {
        let (mut rest, mut batch) = (pods, 1);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            let outcomes = join_all(now.iter().map(|pod| world.create(pod))).await;
            let mut failure = None;
            for outcome in outcomes {
                match outcome {
                    Ok(made) => {
                        let message = format!("Created pod: {}", made.name_any());
                        world.recorder.normal(self.object, self.component, "SuccessfulCreate", message);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                let namespace = self.object.meta().namespace.as_deref().unwrap_or_default();
                if !world.namespace_lives(namespace) && code(&error) == Some(403) {
                    return None;
                }
                let message = format!("Error creating: {}", text(&error));
                world.recorder.warning(self.object, self.component, "FailedCreate", message);
                return Some(("FailedCreate", error));
            }
            rest = later;
            batch *= 2;
        }
        None
    }

    /// Deletes pods side by side.
    pub(crate) async fn delete(&self, world: &World, victims: &[Arc<Pod>]) -> Option<Failure> {
        let outcomes = join_all(victims.iter().map(|pod| world.delete(&**pod, None))).await;
        let mut failure = None;
        for (pod, outcome) in victims.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    let message = format!("Deleted pod: {}", pod.name_any());
                    world.recorder.normal(self.object, self.component, "SuccessfulDelete", message);
                }
                Err(error) => {
                    let message = format!("Error deleting: {}", text(&error));
                    world.recorder.warning(self.object, self.component, "FailedDelete", message);
                    failure = Some(("FailedDelete", error));
                }
            }
        }
        failure
    }
}

/// The server's sentence where there is one.
pub(crate) fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
