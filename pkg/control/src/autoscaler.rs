//! The HorizontalPodAutoscaler controller. The lab measures no pods, so it keeps sizes between their limits and says in
//! conditions and Events that there is no metrics API. `plan` judges; this loop reads scales and writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use parking_lot::Mutex;

use crate::mirror::{Key, key_of};
use crate::podset::text;
use crate::queue::{Queue, drive};
use crate::scaling;
use crate::world::{World, now, or_gone};

mod plan;
use plan::plan;

const COMPONENT: &str = "horizontal-pod-autoscaler";
/// How often a target is looked at when nothing tells of a change: any kind with a scale may be one
/// (`--horizontal-pod-autoscaler-sync-period` of Kubernetes' controller manager).
const PERIOD: Duration = Duration::from_secs(15);

/// The selectors of the targets as they were last read, by scaler.
type Selectors = Mutex<HashMap<Key, String>>;

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let selectors: Arc<Selectors> = Arc::default();
    let (q, known) = (queue.clone(), selectors.clone());
    world.autoscalers.hook(move |old, new| {
        if let (Some(old), None) = (old, new) {
            known.lock().remove(&key_of(&old.metadata));
        }
        if let Some(new) = new
            && old.is_none_or(|o| o.spec != new.spec)
        {
            q.add(key_of(&new.metadata));
        }
    });
    // A target that comes or changes its size.
    macro_rules! targets {
        ($mirror:ident, $size:expr) => {{
            let (q, scalers) = (queue.clone(), world.autoscalers.clone());
            world.$mirror.hook(move |old, new| {
                let size = $size;
                let Some(target) = new.or(old) else { return };
                if old.map(size) != new.map(size) {
                    wake(&q, &scalers.list(target.metadata.namespace.as_deref().unwrap_or_default()), &**target);
                }
            });
        }};
    }
    targets!(deployments, |d: &Arc<k8s_openapi::api::apps::v1::Deployment>| d.spec.replicas);
    targets!(replica_sets, |s: &Arc<k8s_openapi::api::apps::v1::ReplicaSet>| s.spec.replicas);
    targets!(stateful_sets, |s: &Arc<k8s_openapi::api::apps::v1::StatefulSet>| s.spec.replicas);
    targets!(replication_controllers, |c: &Arc<k8s_openapi::api::core::v1::ReplicationController>| {
        c.spec.as_ref().and_then(|s| s.replicas)
    });
    drive("autoscaler", queue, 4, |key| sync(&world, &selectors, key)).await;
}

fn wake<K: Resource<DynamicType = ()>>(
    queue: &Queue<Key>,
    scalers: &[Arc<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>],
    target: &K,
) {
    for scaler in scalers {
        let aim = &scaler.spec.scale_target_ref;
        if aim.kind == K::kind(&()) && Some(&aim.name) == target.meta().name.as_ref() {
            queue.add(key_of(&scaler.metadata));
        }
    }
}

async fn sync(world: &World, selectors: &Selectors, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(scaler) = world.autoscalers.get_key(&key) else { return Ok(None) };
    let aim = &scaler.spec.scale_target_ref;
    let version = aim.api_version.as_deref().unwrap_or("v1");
    let scale = scaling::get(world, &key.0, version, &aim.kind, &aim.name).await;
    let rivals = match &scale {
        Ok(scale) => {
            let known = {
                let mut all = selectors.lock();
                all.insert(key.clone(), scale.selector.clone());
                all.clone()
            };
            plan::rivals(&key, &known, &world.pods.list(&key.0))
        }
        Err(_) => Ok(Vec::new()),
    };
    let plan = plan(&scaler, scale.map_err(|error| text(&error)), rivals, now());
    for (reason, message) in plan.told {
        world.recorder.warning(&*scaler, COMPONENT, reason, message);
    }
    let mut status = plan.status;
    let mut failure = None;
    if let Some((size, reason)) = plan.rescale {
        match scaling::put(world, &key.0, version, &aim.kind, &aim.name, size).await {
            Ok(()) => {
                plan::rescaled(&mut status, size, None, now());
                let message = format!("New size: {size}; reason: {reason}");
                world.recorder.normal(&*scaler, COMPONENT, "SuccessfulRescale", message);
            }
            Err(error) => {
                let why = text(&error);
                plan::rescaled(&mut status, size, Some(&why), now());
                let message = format!("New size: {size}; reason: {reason}; error: {why}");
                world.recorder.warning(&*scaler, COMPONENT, "FailedRescale", message);
                failure = Some(error);
            }
        }
    }
    if scaler.status.as_ref() != Some(&status) {
        let mut changed = (*scaler).clone();
        changed.status = Some(status);
        or_gone(world.replace_status(&changed).await)?;
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(Some(PERIOD)),
    }
}
