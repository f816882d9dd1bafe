//! Reads and writes the ControllerRevisions of one owner: takes in orphans, writes what `judge` asks for, removes
//! what is past the limit.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use serde_json::json;

use super::Step;
use crate::labels::selects;
use crate::mirror::key_of;
use crate::owners::{self, Claim, claim};
use crate::world::{Mirrored, World, is_conflict};

/// The revisions of an owner, settled.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The oldest first; the last one may be newer than the list says when it was just made.
    pub(crate) all: Vec<Arc<ControllerRevision>>,
    /// The revision of the present template.
    pub(crate) update: Arc<ControllerRevision>,
    /// How often a name was taken, for the owner's status.
    pub(crate) collisions: i32,
}

/// The owner's revisions after taking in orphans that match, the oldest first.
pub(crate) async fn claimed<K: Resource<DynamicType = ()>>(
    world: &World,
    owner: &K,
    selector: &LabelSelector,
) -> Result<Vec<Arc<ControllerRevision>>, kube::Error> {
    let meta = owner.meta();
    let mut mine = Vec::new();
    for revision in world.revisions.list(meta.namespace.as_deref().unwrap_or_default()) {
        let matches = selects(selector, revision.metadata.labels.as_ref());
        match claim(&revision.metadata, meta, matches) {
            Claim::Keep => mine.push(revision),
            Claim::Ignore => {}
            decision => {
                let mut references = revision.metadata.owner_references.clone().unwrap_or_default();
                references.retain(|o| Some(&o.uid) != meta.uid.as_ref());
                if decision == Claim::Adopt {
                    references.push(owners::reference(owner));
                }
                let patch = json!({ "metadata": { "uid": revision.metadata.uid, "ownerReferences": references } });
                let revision = world.patch(&*revision, patch).await?;
                if decision == Claim::Adopt {
                    mine.push(revision);
                }
            }
        }
    }
    super::sort(&mut mine);
    Ok(mine)
}

/// Makes sure that the present template has the newest revision.
pub(crate) async fn settle<K: Resource<DynamicType = ()>>(
    world: &World,
    owner: &K,
    template: &PodTemplateSpec,
    all: Vec<Arc<ControllerRevision>>,
    mut collisions: i32,
) -> Result<Ledger, kube::Error> {
    let number = match super::judge(&all, template) {
        Step::Stands(update) => return Ok(Ledger { all, update, collisions }),
        Step::Renumber(equal, number) => {
            let patch = json!({ "metadata": { "uid": equal.metadata.uid }, "revision": number });
            let update = world.patch(&*equal, patch).await?;
            let mut all = all;
            all.retain(|r| r.metadata.uid != update.metadata.uid);
            all.push(update.clone());
            return Ok(Ledger { all, update, collisions });
        }
        Step::Create(number) => number,
    };
    loop {
        let wanted = super::new(owner, template, number, collisions);
        match world.create(&wanted).await {
            Ok(update) => {
                let mut all = all;
                all.push(update.clone());
                return Ok(Ledger { all, update, collisions });
            }
            Err(error) if is_conflict(&error) => {
                let (namespace, name) = key_of(&wanted.metadata);
                let there = ControllerRevision::api(&world.client, &namespace).get(&name).await?;
                let ours = owners::controlled_by(&there.metadata, owner.meta());
                if ours && there.data.0 == wanted.data.0 {
                    let update = world.revisions.wrote(&there);
                    return Ok(Ledger { all, update, collisions });
                }
                collisions += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
