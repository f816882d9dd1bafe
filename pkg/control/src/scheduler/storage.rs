//! What a pod's claims ask of its node (plugins `VolumeBinding` and `VolumeRestrictions`): `Needs` judges, `choose` writes
//! down for claims that wait for their first consumer where it will run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, TopologySelectorTerm};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::json;

use crate::owners;
use crate::volumes::matching::{Seeker, asked, best, class_of_claim, reaches};
use crate::volumes::{SELECTED_NODE, annotated, claims_of, given, is_bound, waits_for_consumer};
use crate::world::{World, or_gone};

const ELSEWHERE: &str = "node(s) didn't match PersistentVolume's node affinity";
const NONE_TO_BIND: &str = "node(s) didn't find available persistent volumes to bind";
const GONE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
pub(super) const TAKEN: &str = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another \
                     pod";

/// What is known of storage at this moment.
pub(super) struct Shelf {
    pub(super) volumes: Vec<Arc<PersistentVolume>>,
    pub(super) classes: Vec<Arc<StorageClass>>,
}

/// What a pod's claims ask for.
#[derive(Default)]
pub(super) struct Needs {
    /// Volumes that its claims have.
    bound: Vec<Arc<PersistentVolume>>,
    /// Claims that get a volume where the pod runs, the smallest first.
    later: Vec<Arc<PersistentVolumeClaim>>,
    /// A claim has a volume that is not there.
    gone: bool,
    /// Another pod has what only one may have.
    taken: bool,
}

impl Needs {
    /// Looks at the pod's claims; `claim` finds them by name, `used` says whether another pod with a node has one.
    ///
    /// # Errors
    /// Why no node will do, whatever the nodes.
    pub(super) fn new(
        pod: &Pod,
        shelf: &Shelf,
        claim: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
        used: impl Fn(&str) -> bool,
    ) -> Result<Needs, String> {
        let mut needs = Needs::default();
        let mut immediate = false;
        for (name, own) in claims_of(pod) {
            let claim = claim(&name).ok_or_else(|| missing(&name, own))?;
            let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
            refuse(pod, &claim, volume, own)?;
            let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
            needs.taken |= modes.iter().any(|mode| mode == "ReadWriteOncePod") && used(&name);
            let class = class_of_claim(&claim).and_then(|name| shelf.class(name));
            if is_bound(&claim) {
                match shelf.volumes.iter().find(|one| one.name_any() == volume) {
                    Some(volume) => needs.bound.push(volume.clone()),
                    None => needs.gone = true,
                }
            } else if volume.is_empty() && class.is_some_and(|class| waits_for_consumer(class)) {
                needs.later.push(claim);
            } else {
                immediate = true;
            }
        }
        needs.later.sort_by(|a, b| asked(a).total_cmp(&asked(b)));
        if immediate { Err("pod has unbound immediate PersistentVolumeClaims".into()) } else { Ok(needs) }
    }

    /// Whether claims wait for a decision.
    pub(super) fn wait(&self) -> bool {
        !self.later.is_empty()
    }

    /// Nodes where the pod cannot have its volumes, and why.
    pub(super) fn barred(&self, nodes: &[Arc<Node>], shelf: &Shelf) -> HashMap<String, &'static str> {
        let why = |node: &Arc<Node>| {
            if self.taken {
                Some(TAKEN)
            } else if !self.bound.iter().all(|volume| reaches(volume, node)) {
                Some(ELSEWHERE)
            } else if self.decide(node, nodes, shelf).is_none() {
                Some(NONE_TO_BIND)
            } else {
                self.gone.then_some(GONE)
            }
        };
        match self.bound.is_empty() && self.later.is_empty() && !self.taken && !self.gone {
            true => HashMap::new(),
            false => nodes.iter().filter_map(|node| Some((node.name_any(), why(node)?))).collect(),
        }
    }

    /// What each waiting claim gets for a pod on this node: a volume that is there, no two the same, or nothing where one
    /// will be made. `None` when a claim can have neither.
    fn decide(&self, node: &Node, nodes: &[Arc<Node>], shelf: &Shelf) -> Option<Vec<Option<Arc<PersistentVolume>>>> {
        let mut free = shelf.volumes.clone();
        let mut decided = Vec::new();
        for claim in &self.later {
            // Decided before, and under way, as long as that node is there.
            let before = chosen(claim).filter(|name| nodes.iter().any(|node| node.name_any() == *name));
            if before.is_some_and(|name| name != node.name_any()) {
                return None;
            }
            let volume = if before.is_some() { None } else { best(claim, &free, Seeker::On(node)) };
            match &volume {
                Some(volume) => free.retain(|other| other.name_any() != volume.name_any()),
                None if shelf.makes(claim, node) => {}
                None => return None,
            }
            decided.push(volume);
        }
        Some(decided)
    }
}

fn missing(name: &str, own: bool) -> String {
    match own {
        true => format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"),
        false => format!("persistentvolumeclaim {name:?} not found"),
    }
}

/// What of a claim itself keeps pods away (`podHasPVCs`).
fn refuse(pod: &Pod, claim: &PersistentVolumeClaim, volume: &str, own: bool) -> Result<(), String> {
    let name = claim.name_any();
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if own && !owners::controlled_by(&claim.metadata, &pod.metadata) {
        let space = pod.namespace().unwrap_or_default();
        return Err(format!(
            "PVC {space}/{name} was not created for pod {space}/{} (pod is not owner)",
            pod.name_any()
        ));
    }
    Ok(())
}

impl Shelf {
    pub(super) fn of(world: &World) -> Shelf {
        Shelf { volumes: world.volumes.all(), classes: world.classes.all() }
    }

    fn class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.classes.iter().find(|class| class.name_any() == name)
    }

    /// Whether a volume will be made for a claim of a pod on this node.
    fn makes(&self, claim: &PersistentVolumeClaim, node: &Node) -> bool {
        let Some(class) = class_of_claim(claim).and_then(|name| self.class(name)) else { return false };
        let empty = BTreeMap::new();
        let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
        let terms = class.allowed_topologies.as_deref().unwrap_or_default();
        let allowed = |term: &TopologySelectorTerm| {
            let mut asked = term.match_label_expressions.iter().flatten();
            asked.all(|one| labels.get(&one.key).is_some_and(|value| one.values.contains(value)))
        };
        class.provisioner != "kubernetes.io/no-provisioner" && (terms.is_empty() || terms.iter().any(allowed))
    }
}

fn chosen(claim: &PersistentVolumeClaim) -> Option<&str> {
    annotated(&claim.metadata, SELECTED_NODE).filter(|name| !name.is_empty())
}

/// Decides for the claims that waited: a free volume that the node reaches is theirs, else one is made for that node. The
/// pod comes by again when they are bound.
///
/// # Errors
/// As writes to the API.
pub(super) async fn choose(world: &World, needs: &Needs, shelf: &Shelf, node: &str) -> Result<(), kube::Error> {
    let nodes = world.nodes.all();
    let Some(place) = nodes.iter().find(|one| one.name_any() == node) else { return Ok(()) };
    let decided = needs.decide(place, &nodes, shelf).unwrap_or_default();
    for (claim, volume) in needs.later.iter().zip(decided) {
        match volume {
            Some(volume) => {
                let given = given(&volume, claim);
                if given != *volume {
                    world.replace(&given).await?;
                }
            }
            None if chosen(claim) == Some(node) => {}
            None => {
                let patch = json!({"metadata": {"uid": claim.metadata.uid, "annotations": {SELECTED_NODE: node}}});
                or_gone(world.patch(&**claim, patch).await)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
