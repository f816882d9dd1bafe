//! Claims that come and go with a pod (`volumes[].ephemeral`, KEP-1698): made here, owned by the pod, removed by the
//! garbage collector.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use crate::mirror::{Key, key_of};
use crate::owners;
use crate::pods;
use crate::queue::{Queue, drive};
use crate::world::{World, is_conflict};

const COMPONENT: &str = "ephemeral_volume";

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.pods.hook(move |_, new| {
        if let Some(pod) = new.filter(|pod| pods::active(pod) && described(pod).next().is_some()) {
            q.add(key_of(&pod.metadata));
        }
    });
    let q = queue.clone();
    world.claims.hook(move |old, new| {
        let gone = old.filter(|_| new.is_none());
        let owner = gone.and_then(|claim| owners::controller(&claim.metadata)).filter(|owner| owner.kind == "Pod");
        if let (Some(claim), Some(owner)) = (gone, owner) {
            q.add((claim.namespace().unwrap_or_default(), owner.name.clone()));
        }
    });
    drive("ephemeral volumes", queue, 2, |key| sync(&world, key)).await;
}

/// The claims that a pod's volumes describe.
fn described(pod: &Pod) -> impl Iterator<Item = PersistentVolumeClaim> + '_ {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
        let mut claim = PersistentVolumeClaim { spec: Some(template.spec.clone()), ..Default::default() };
        let named = template.metadata.clone().unwrap_or_default();
        claim.metadata.labels = named.labels;
        claim.metadata.annotations = named.annotations;
        claim.metadata.name = Some(format!("{}-{}", pod.name_any(), volume.name));
        claim.metadata.namespace = pod.metadata.namespace.clone();
        claim.metadata.owner_references = Some(vec![owners::reference(pod)]);
        Some(claim)
    })
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(pod) = world.pods.get_key(&key).filter(|pod| pods::active(pod)) else { return Ok(None) };
    for claim in described(&pod) {
        match world.claims.get_key(&key_of(&claim.metadata)) {
            None => match world.create(&claim).await {
                Ok(_) => {}
                Err(error) if is_conflict(&error) => return Ok(Some(Duration::from_millis(50))),
                Err(error) => {
                    let message = format!("ephemeral volume: create PVC {}: {error}", claim.name_any());
                    world.recorder.warning(&*pod, COMPONENT, "FailedBinding", message);
                    return Err(error);
                }
            },
            Some(there) if !owners::controlled_by(&there.metadata, &pod.metadata) => {
                let message = format!(
                    "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
                    key.0,
                    there.name_any(),
                    key.0,
                    pod.name_any()
                );
                world.recorder.warning(&*pod, COMPONENT, "FailedBinding", message);
            }
            Some(_) => {}
        }
    }
    Ok(None)
}
