//! A claim's turn: does what `claim` says is its next step, and tells of it. No judgement here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use minisvc_api::volumes::PROVISIONER;
use serde_json::json;

use super::claim::{self, Scene, Step};
use super::{AGAIN, COMPONENT, annotated, claims_of, is_bound, matching, provision, volume, volume_turn};
use crate::mirror::Key;
use crate::pods;
use crate::world::{World, is_conflict, or_gone};

/// Who is to make the claim's volume.
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const OLD_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";

type Outcome = Result<Option<Duration>, kube::Error>;

pub(super) async fn take(world: &World, key: &Key) -> Outcome {
    let Some(claim) = world.claims.get_key(key) else { return Ok(None) };
    let (volumes, classes) = (world.volumes.all(), world.classes.all());
    let waiting = if is_bound(&claim) { Vec::new() } else { waiting(world, key) };
    let scene = Scene { volumes: &volumes, classes: &classes, waiting_pods: &waiting };
    match claim::step(&claim, &scene) {
        Step::Bind(volume) => bind(world, &claim, volume).await,
        Step::Class(name) => {
            let patch = json!({"metadata": {"uid": claim.metadata.uid}, "spec": {"storageClassName": name}});
            or_gone(world.patch(&*claim, patch).await)?;
            Ok(None)
        }
        Step::Provision => make(world, &claim).await,
        Step::Lost(word) => {
            if say_phase(world, &claim, "Lost").await? {
                world.recorder.warning(&*claim, COMPONENT, word.reason, word.message);
            }
            Ok(None)
        }
        Step::Wait(word) => {
            say_phase(world, &claim, "Pending").await?;
            match word {
                None => {}
                Some(word) if word.warning => world.recorder.warning(&*claim, COMPONENT, word.reason, word.message),
                Some(word) => {
                    if word.reason == "ExternalProvisioning" {
                        announce(world, &claim).await?;
                    }
                    world.recorder.normal(&*claim, COMPONENT, word.reason, word.message);
                }
            }
            Ok(Some(AGAIN))
        }
    }
}

/// Pods that use the claim and have no node yet.
fn waiting(world: &World, key: &Key) -> Vec<String> {
    let uses = |pod: &Arc<_>| {
        pods::node(pod).is_none() && !pods::terminal(pod) && claims_of(pod).any(|(name, _)| name == key.1)
    };
    let mut names: Vec<_> = world.pods.list(&key.0).iter().filter(|pod| uses(pod)).map(|pod| pod.name_any()).collect();
    names.sort();
    names
}

/// Says on the claim who is to make its volume: that is what provisioners wait for.
async fn announce(world: &World, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
    let class = matching::class_of_claim(claim).and_then(|name| world.classes.get("", name));
    let Some(class) = class else { return Ok(()) };
    if annotated(&claim.metadata, STORAGE_PROVISIONER) == Some(&class.provisioner) {
        return Ok(());
    }
    let annotations: BTreeMap<_, _> =
        [STORAGE_PROVISIONER, OLD_STORAGE_PROVISIONER].map(|key| (key, class.provisioner.clone())).into();
    let patch = json!({"metadata": {"uid": claim.metadata.uid, "annotations": annotations}});
    or_gone(world.patch(claim, patch).await)
}

/// Writes the phase of a claim without a volume where it says another; tells whether it did.
async fn say_phase(world: &World, claim: &PersistentVolumeClaim, phase: &str) -> Result<bool, kube::Error> {
    let mut changed = claim.clone();
    let status = changed.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    status.access_modes = None;
    status.capacity = None;
    status.current_volume_attributes_class_name = None;
    if changed == *claim {
        return Ok(false);
    }
    or_gone(world.replace_status(&changed).await)?;
    Ok(true)
}

/// The volume first, so that nobody else takes it, then the claim.
async fn bind(world: &World, claim: &PersistentVolumeClaim, volume: Arc<PersistentVolume>) -> Outcome {
    let mut given = volume::given(&volume, claim);
    let grown = claim::grown(claim, &given);
    let grows = grown.is_some();
    given = grown.unwrap_or(given);
    let volume = if given == *volume { volume } else { world.replace(&given).await? };
    volume_turn::say_phase(world, &volume, "Bound", None).await?;
    let belonging = claim::belonging(claim, &volume);
    let claim = if belonging == *claim { Arc::new(belonging) } else { world.replace(&belonging).await? };
    let bound = claim::bound_status(&claim, &volume);
    if bound != *claim {
        world.replace_status(&bound).await?;
    }
    if grows {
        world.recorder.normal(&*claim, COMPONENT, "VolumeResizeSuccessful", "Resize volume succeeded");
    }
    Ok(None)
}

/// Makes a volume of our own. The claim gets it when the volume's news come round.
async fn make(world: &World, claim: &PersistentVolumeClaim) -> Outcome {
    say_phase(world, claim, "Pending").await?;
    announce(world, claim).await?;
    if world.volumes.get("", &provision::name(claim)).is_some() {
        return Ok(None);
    }
    let class = matching::class_of_claim(claim).unwrap_or_default();
    let Some(class) = world.classes.get("", class) else { return Ok(Some(AGAIN)) };
    match provision::volume(claim, &class, &world.config.volumes) {
        Ok(volume) => {
            match world.create(&volume).await {
                Ok(_) => {}
                // Made before; the mirror is behind.
                Err(error) if is_conflict(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
            let message = format!("Successfully provisioned volume {} using {PROVISIONER}", volume.name_any());
            world.recorder.normal(claim, COMPONENT, "ProvisioningSucceeded", message);
            Ok(None)
        }
        Err(why) => {
            world.recorder.warning(claim, COMPONENT, "ProvisioningFailed", why);
            Ok(Some(AGAIN))
        }
    }
}
