//! The garbage collector: what has lost its owners goes, for every kind the server has. `graph` knows who owns whom
//! and judges; this loop watches metadata, asks after owners it never saw, and deletes.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    Endpoints, Namespace, Node, PersistentVolumeClaim, Pod, ReplicationController, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::task::JoinSet;

use crate::kinds::Kind;
use crate::mirror::key_of;
use crate::queue::{Queue, drive};
use crate::world::{Mirrored, World, is_conflict, or_gone};

mod follow;
mod graph;
use graph::{Action, Graph, Thing};

/// How long until a deletion is tried again that met a change of its object.
const AGAIN: Duration = Duration::from_millis(20);

struct Collector {
    world: Arc<World>,
    /// Grows as kinds are defined; a kind keeps its place for good.
    kinds: RwLock<Vec<Kind>>,
    graph: Mutex<Graph>,
    queue: Arc<Queue<String>>,
}

/// Runs the collector for ever; its watches are parts of their own.
pub(crate) fn start(
    world: &Arc<World>,
    kinds: &Arc<Vec<Kind>>,
    parts: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
) {
    let collector = Arc::new(Collector {
        world: world.clone(),
        kinds: RwLock::new(kinds.to_vec()),
        graph: Mutex::new(Graph::default()),
        queue: Queue::new(),
    });
    collector.attach::<Namespace>();
    collector.attach::<Node>();
    collector.attach::<Deployment>();
    collector.attach::<ReplicaSet>();
    collector.attach::<DaemonSet>();
    collector.attach::<StatefulSet>();
    collector.attach::<ControllerRevision>();
    collector.attach::<ReplicationController>();
    collector.attach::<Job>();
    collector.attach::<CronJob>();
    collector.attach::<PersistentVolumeClaim>();
    collector.attach::<PodDisruptionBudget>();
    collector.attach::<HorizontalPodAutoscaler>();
    collector.attach::<Service>();
    collector.attach::<Endpoints>();
    collector.attach::<EndpointSlice>();
    collector.attach::<ServiceAccount>();
    collector.attach::<Pod>();
    let follower = collector.clone();
    parts.spawn(async move { ("watches of metadata", follower.follow().await) });
    parts.spawn(async move {
        let queue = collector.queue.clone();
        drive("garbage", queue, 32, |uid| collector.sync(uid)).await;
        ("garbage collector", Ok(()))
    });
}

/// Whether the world mirrors a kind, or it is events, which nobody owns anything by.
fn is_mirrored(kind: &Kind) -> bool {
    let mirrored = [
        "namespaces",
        "nodes",
        "deployments",
        "replicasets",
        "daemonsets",
        "statefulsets",
        "controllerrevisions",
        "replicationcontrollers",
        "jobs",
        "cronjobs",
        "persistentvolumeclaims",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
        "services",
        "endpoints",
        "endpointslices",
        "serviceaccounts",
        "pods",
        "events",
    ];
    mirrored.contains(&kind.resource.plural.as_str()) && KNOWN_GROUPS.contains(&kind.resource.group.as_str())
}

/// Groups of the kinds that the world mirrors, and of events.
const KNOWN_GROUPS: [&str; 7] = ["", "apps", "batch", "autoscaling", "policy", "discovery.k8s.io", "events.k8s.io"];

impl Collector {
    /// Follows a kind that the world mirrors anyway.
    fn attach<K: Mirrored>(self: &Arc<Self>) {
        let named = |k: &Kind| k.resource.plural == K::plural(&()) && k.resource.group == K::group(&());
        let Some(kind) = self.kinds.read().iter().position(named) else { return };
        let collector = self.clone();
        K::mirror(&self.world).hook(move |old, new| {
            let face =
                |m: &ObjectMeta| (m.owner_references.clone(), m.finalizers.clone(), m.deletion_timestamp.clone());
            match (old, new) {
                (Some(old), Some(new)) if face(old.meta()) == face(new.meta()) => {}
                (_, Some(new)) => collector.seen(kind, new.meta()),
                (Some(old), None) => collector.lost(old.meta().uid.as_deref().unwrap_or_default()),
                (None, None) => {}
            }
        });
    }

    fn kind(&self, index: usize) -> Kind {
        self.kinds.read()[index].clone()
    }

    fn seen(&self, kind: usize, meta: &ObjectMeta) {
        let Some(uid) = meta.uid.clone() else { return };
        let has = |f: &str| meta.finalizers.iter().flatten().any(|x| x == f);
        let thing = Thing {
            kind,
            key: key_of(meta),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            foreground: has(graph::FOREGROUND),
            orphan: has(graph::ORPHAN),
        };
        let attempts = self.graph.lock().seen(uid, thing);
        attempts.into_iter().for_each(|uid| self.queue.add(uid));
    }

    fn lost(&self, uid: &str) {
        let attempts = self.graph.lock().lost(uid);
        attempts.into_iter().for_each(|uid| self.queue.add(uid));
    }

    /// Watches the metadata of a kind for ever.
    async fn watch(self: Arc<Self>, kind: usize) -> anyhow::Result<()> {
        let resource = self.kind(kind).resource;
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(self.world.client.clone(), &resource);
        let mut stream = watcher::watcher(api, watcher::Config::default())
            .backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch()))
            .boxed();
        let mut listed: Vec<PartialObjectMeta<DynamicObject>> = Vec::new();
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => listed.push(object),
                Ok(Event::InitDone) => {
                    let here: std::collections::HashSet<_> =
                        listed.iter().filter_map(|o| o.metadata.uid.clone()).collect();
                    let before = self.graph.lock().of_kind(kind);
                    before.iter().filter(|uid| !here.contains(*uid)).for_each(|uid| self.lost(uid));
                    listed.drain(..).for_each(|object| self.seen(kind, &object.metadata));
                }
                Ok(Event::Apply(object)) => self.seen(kind, &object.metadata),
                Ok(Event::Delete(object)) => self.lost(object.metadata.uid.as_deref().unwrap_or_default()),
                Err(error) => tracing::warn!(kind = resource.kind, %error, "watch broken, starting it again"),
            }
        }
        anyhow::bail!("the watch of {} ended", resource.plural)
    }

    fn api(&self, thing: &Thing) -> Api<DynamicObject> {
        let kind = self.kind(thing.kind);
        match kind.namespaced {
            true => Api::namespaced_with(self.world.client.clone(), &thing.key.0, &kind.resource),
            false => Api::all_with(self.world.client.clone(), &kind.resource),
        }
    }

    async fn sync(&self, uid: String) -> Result<Option<Duration>, kube::Error> {
        let (thing, action) = {
            let graph = self.graph.lock();
            let Some(thing) = graph.get(&uid) else { return Ok(None) };
            (thing.clone(), graph.plan(&uid))
        };
        match action {
            Action::Nothing => {}
            Action::Ask(owners) => {
                let mut answered = false;
                for owner in owners {
                    answered |= self.ask(&thing, &owner).await?;
                }
                return Ok(answered.then_some(Duration::ZERO));
            }
            Action::Delete(policy) => return self.delete(uid, &thing, policy).await,
            Action::Unblock => {
                let thing = self.unblock(&uid, &thing).await?;
                return self.delete(uid, &thing, PropagationPolicy::Foreground).await;
            }
            Action::Disown(uids) => self.disown(&uid, &thing, &uids).await?,
            Action::Attempt(uids) => uids.into_iter().for_each(|uid| self.queue.add(uid)),
            Action::Orphan(dependents) => {
                for dependent in dependents {
                    let Some(child) = self.graph.lock().get(&dependent).cloned() else { continue };
                    self.disown(&dependent, &child, std::slice::from_ref(&uid)).await?;
                }
                self.finish(&thing, graph::ORPHAN).await?;
            }
            Action::Finish => self.finish(&thing, graph::FOREGROUND).await?,
        }
        Ok(None)
    }

    /// Deletes what its owners left behind, unless the server knows better than the watch: the owner's watch may be ahead of
    /// this kind's, and what was orphaned a moment ago must live.
    async fn delete(
        &self,
        uid: String,
        thing: &Thing,
        policy: PropagationPolicy,
    ) -> Result<Option<Duration>, kube::Error> {
        let api = self.api(thing);
        let Some(live) = api.get_metadata_opt(&thing.key.1).await? else { return Ok(None) };
        let owners = live.metadata.owner_references.unwrap_or_default();
        if live.metadata.uid.as_deref() != Some(&uid) || owners != thing.owners {
            // Another life of that name, or other owners: the watch will tell.
            return Ok(None);
        }
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions { uid: Some(uid), resource_version: live.metadata.resource_version }),
            ..DeleteParams::default()
        };
        match api.delete(&thing.key.1, &params).await {
            Err(error) if is_conflict(&error) => Ok(Some(AGAIN)),
            outcome => or_gone(outcome).map(|()| None),
        }
    }

    /// Looks whether an owner exists that no watch has shown; true when it is known now that it does not.
    async fn ask(&self, thing: &Thing, owner: &OwnerReference) -> Result<bool, kube::Error> {
        let named = |k: &&Kind| k.resource.kind == owner.kind && k.resource.group == group_of(&owner.api_version);
        let Some(kind) = self.kinds.read().iter().find(named).cloned() else {
            tracing::debug!(kind = owner.kind, "an owner of a kind that the server does not have is left alone");
            return Ok(false);
        };
        let api: Api<DynamicObject> = match kind.namespaced {
            true if thing.key.0.is_empty() => {
                // A cluster-scoped object cannot be owned by a namespaced one.
                return Ok(false);
            }
            true => Api::namespaced_with(self.world.client.clone(), &thing.key.0, &kind.resource),
            false => Api::all_with(self.world.client.clone(), &kind.resource),
        };
        let there = api.get_metadata_opt(&owner.name).await?;
        let absent = there.is_none_or(|o| o.metadata.uid.as_deref() != Some(&owner.uid));
        if absent {
            self.graph.lock().absent(&owner.uid);
        }
        Ok(absent)
    }

    /// Takes owner references off an object.
    async fn disown(&self, uid: &str, thing: &Thing, owners: &[String]) -> Result<(), kube::Error> {
        let left: Vec<_> = thing.owners.iter().filter(|o| !owners.contains(&o.uid)).collect();
        let left = if left.is_empty() { json!(null) } else { json!(left) };
        let patch = json!({ "metadata": { "uid": uid, "ownerReferences": left } });
        or_gone(self.api(thing).patch_metadata(&thing.key.1, &PatchParams::default(), &Patch::Merge(patch)).await)
    }

    /// Makes an object's references to its owners no longer block their deletion; the object as it is then.
    async fn unblock(&self, uid: &str, thing: &Thing) -> Result<Thing, kube::Error> {
        let mut thing = thing.clone();
        for owner in &mut thing.owners {
            owner.block_owner_deletion = owner.block_owner_deletion.map(|_| false);
        }
        let patch = json!({ "metadata": { "uid": uid, "ownerReferences": thing.owners } });
        or_gone(self.api(&thing).patch_metadata(&thing.key.1, &PatchParams::default(), &Patch::Merge(patch)).await)?;
        Ok(thing)
    }

    /// Takes a finalizer off.
    async fn finish(&self, thing: &Thing, finalizer: &str) -> Result<(), kube::Error> {
        let api = self.api(thing);
        let Some(object) = api.get_metadata_opt(&thing.key.1).await? else { return Ok(()) };
        let left: Vec<_> = object.metadata.finalizers.iter().flatten().filter(|f| *f != finalizer).collect();
        let left = if left.is_empty() { json!(null) } else { json!(left) };
        let patch = json!({
            "metadata": { "resourceVersion": object.metadata.resource_version, "finalizers": left },
        });
        or_gone(api.patch_metadata(&thing.key.1, &PatchParams::default(), &Patch::Merge(patch)).await)
    }
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
