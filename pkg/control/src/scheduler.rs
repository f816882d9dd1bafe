//! The scheduler: gives pods their nodes. `plan` judges; this loop binds, and says why a pod has to wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Binding, Namespace, Node, ObjectReference, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::mirror::{Key, key_of};
use crate::podgc::disrupted;
use crate::pods;
use crate::volumes::claims_of;
use crate::world::{World, is_conflict, is_not_found, now, or_gone};

mod filter;
mod plan;
mod resources;
mod storage;
pub(crate) use filter::{affinity_matches, tolerates, untolerated};
use plan::{Board, Preemption, Verdict};
use storage::{Needs, Shelf};

const COMPONENT: &str = "default-scheduler";
/// Bindings under way at a time.
const BINDINGS: usize = 64;
/// Pods in the cluster from which on pending pods are gathered for a moment.
const CROWD: usize = 200;
/// A pod that could not be bound is looked at again after this, whatever happens.
const RETRY: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Waiting {
    /// Pods to look at now.
    fresh: HashSet<Key>,
    /// Pods that fit nowhere, until something changes.
    parked: HashSet<Key>,
}

/// Whether this scheduler has to find a node for a pod.
fn wanted(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ours = spec.scheduler_name.as_deref().is_none_or(|n| n.is_empty() || n == "default-scheduler");
    let gated = spec.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty());
    ours && !gated && pods::node(pod).is_none() && pods::active(pod)
}

/// What of a node the scheduler looks at; its heartbeat is not part of it.
fn face(node: &Node) -> impl PartialEq + use<> {
    let status = node.status.as_ref();
    let ready = status.and_then(|s| s.conditions.as_ref()?.iter().find(|c| c.type_ == "Ready"));
    (
        node.spec.clone(),
        node.metadata.labels.clone(),
        status.and_then(|s| s.allocatable.clone()),
        ready.map(|c| c.status.clone()),
    )
}

/// Runs the scheduler for ever.
pub(crate) async fn run(world: Arc<World>) {
    let waiting = Arc::new(Mutex::new(Waiting::default()));
    let bell = Arc::new(Notify::new());
    let (w, b) = (waiting.clone(), bell.clone());
    world.pods.hook(move |old, new| {
        let mut waiting = w.lock();
        if let Some(new) = new.filter(|p| wanted(p)) {
            // Our own condition on a parked pod is no news.
            if old.is_none_or(|o| o.spec != new.spec || o.metadata.labels != new.metadata.labels) {
                waiting.fresh.insert(key_of(&new.metadata));
                b.notify_one();
            }
        } else if let Some(pod) = new.or(old) {
            waiting.parked.remove(&key_of(&pod.metadata));
            // Room may have become free.
            if new.is_none_or(|p| pods::terminal(p)) && pods::node(pod).is_some() {
                unpark(&mut waiting, &b);
            }
        }
    });
    let (w, b) = (waiting.clone(), bell.clone());
    world.nodes.hook(move |old, new| {
        if old.map(|n| face(n)) != new.map(|n| face(n)) {
            unpark(&mut w.lock(), &b);
        }
    });
    // A claim may be what pods wait for.
    macro_rules! storage {
        ($mirror:ident) => {{
            let (w, b) = (waiting.clone(), bell.clone());
            world.$mirror.hook(move |_, _| unpark(&mut w.lock(), &b));
        }};
    }
    storage!(claims);
    storage!(volumes);
    storage!(classes);
    schedule(&world, &waiting, &bell).await;
}

fn unpark(waiting: &mut Waiting, bell: &Notify) {
    if !waiting.parked.is_empty() {
        let parked = std::mem::take(&mut waiting.parked);
        waiting.fresh.extend(parked);
        bell.notify_one();
    }
}

async fn schedule(world: &World, waiting: &Mutex<Waiting>, bell: &Notify) {
    // Bound by us, not yet seen in the mirror.
    let mut assumed: HashMap<Key, (Arc<Pod>, String)> = HashMap::new();
    // Others made room for them, not yet seen in the mirror.
    let mut nominated: HashMap<Key, (Option<String>, String)> = HashMap::new();
    let mut binding = FuturesUnordered::new();
    let mut retry = tokio::time::interval(RETRY);
    loop {
        tokio::select! {
            () = bell.notified() => {}
            _ = retry.tick() => unpark(&mut waiting.lock(), bell),
            Some((key, outcome)) = binding.next(), if !binding.is_empty() => {
                bound(world, waiting, bell, &mut assumed, key, outcome);
                continue;
            }
        }
        if world.pods.len() > CROWD {
            // The board costs with every pod there is: wait for others that come along.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // A pod of the same name may have come since: names of StatefulSets' pods return.
        assumed.retain(|key, (pod, _)| {
            world.pods.get_key(key).is_some_and(|p| p.metadata.uid == pod.metadata.uid && pods::node(&p).is_none())
        });
        let mut fresh: Vec<_> = {
            let keys = std::mem::take(&mut waiting.lock().fresh);
            let pods = keys.iter().filter(|k| !assumed.contains_key(*k)).filter_map(|k| world.pods.get_key(k));
            pods.filter(|p| wanted(p)).collect()
        };
        if fresh.is_empty() {
            continue;
        }
        fresh.sort_by_key(|p| {
            let priority = p.spec.as_ref().and_then(|s| s.priority).unwrap_or(0);
            (std::cmp::Reverse(priority), p.metadata.creation_timestamp.as_ref().map(|t| t.0), p.name_any())
        });
        let mut board = board(world, &mut nominated);
        let (nodes, mut shelf) = (world.nodes.all(), Shelf::of(world));
        for (pod, node) in assumed.values() {
            board.place(pod, node);
        }
        for pod in fresh {
            let key = key_of(&pod.metadata);
            // Before its claims are looked at, so that no news of them is missed.
            if claims_of(&pod).next().is_some() {
                waiting.lock().parked.insert(key.clone());
            }
            let claim = |name: &str| world.claims.get(&key.0, name);
            let used = |name: &str| {
                let others = world.pods.list(&key.0).into_iter().filter(|other| other.metadata.uid != pod.metadata.uid);
                let mut placed = others.filter(|other| {
                    !pods::terminal(other)
                        && (pods::node(other).is_some() || assumed.contains_key(&key_of(&other.metadata)))
                });
                placed.any(|other| claims_of(&other).any(|(used, _)| used == name))
            };
            let needs = match Needs::new(&pod, &shelf, claim, used) {
                Ok(needs) => needs,
                Err(why) => {
                    let why = board.refuse_everywhere(&why);
                    nominated.remove(&key);
                    waiting.lock().parked.insert(key);
                    refuse(world, waiting, bell, &pod, &why, Promise::None).await;
                    continue;
                }
            };
            board.bar(needs.barred(&nodes, &shelf));
            match board.judge(&pod) {
                Verdict::Node(node) if needs.wait() => {
                    // It comes by again when its claims are bound, and the room is kept for it till then.
                    board.nominate(&pod, &node);
                    nominated.insert(key, (pod.metadata.uid.clone(), node.clone()));
                    if let Err(error) = storage::choose(world, &needs, &shelf, &node).await {
                        tracing::debug!(pod = %pod.name_any(), %error, "claims not decided; a later look will");
                        if is_conflict(&error) {
                            unpark(&mut waiting.lock(), bell);
                        }
                    }
                    shelf = Shelf::of(world);
                }
                Verdict::Node(node) => {
                    waiting.lock().parked.remove(&key);
                    board.place(&pod, &node);
                    assumed.insert(key.clone(), (pod.clone(), node.clone()));
                    while binding.len() >= BINDINGS {
                        if let Some((key, outcome)) = binding.next().await {
                            bound(world, waiting, bell, &mut assumed, key, outcome);
                        }
                    }
                    binding.push(async move { (key, bind(world, &pod, &node).await) });
                }
                Verdict::Preempt(found) => {
                    board.nominate(&pod, &found.node);
                    nominated.insert(key.clone(), (pod.metadata.uid.clone(), found.node.clone()));
                    for other in &found.outbid {
                        nominated.remove(&key_of(&other.metadata));
                    }
                    waiting.lock().parked.insert(key);
                    preempt(world, waiting, bell, &pod, &found).await;
                }
                Verdict::Waits(why) => {
                    waiting.lock().parked.insert(key);
                    refuse(world, waiting, bell, &pod, &why, Promise::Kept).await;
                }
                Verdict::Nowhere(why) => {
                    nominated.remove(&key);
                    waiting.lock().parked.insert(key);
                    refuse(world, waiting, bell, &pod, &why, Promise::None).await;
                }
            }
        }
    }
}

/// The board of this moment. Pods are promised a node by their status, or by us a moment ago.
fn board(world: &World, nominated: &mut HashMap<Key, (Option<String>, String)>) -> Board {
    let pods = world.pods.all();
    let labels = |n: &Arc<Namespace>| (n.name_any(), n.metadata.labels.clone().unwrap_or_default());
    let mut board = Board::new(&world.nodes.all(), &pods)
        .with_namespaces(world.namespaces.all().iter().map(labels).collect())
        .with_budgets(world.budgets.all());
    nominated.retain(|key, (uid, _)| world.pods.get_key(key).is_some_and(|p| wanted(&p) && p.metadata.uid == *uid));
    for pod in pods.iter().filter(|p| wanted(p)) {
        let told = || pod.status.as_ref()?.nominated_node_name.as_deref().filter(|n| !n.is_empty());
        let ours = nominated.get(&key_of(&pod.metadata)).map(|(_, node)| node.as_str());
        if let Some(node) = ours.or_else(told) {
            board.nominate(pod, node);
        }
    }
    board
}

/// Sends the victims away and writes down whom the room is for.
async fn preempt(world: &World, waiting: &Mutex<Waiting>, bell: &Notify, pod: &Pod, found: &Preemption) {
    let why = ("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod");
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let leave = found.victims.iter().map(|victim| async {
        if !pods::terminating(victim) {
            disrupted(world, victim, why, None).await?;
            world.delete(&**victim, None).await?;
            let message = format!("Preempted by pod {uid} on node {}", found.node);
            world.recorder.normal(&**victim, COMPONENT, "Preempted", message);
        }
        Ok::<_, kube::Error>(())
    });
    for outcome in join_all(leave).await {
        if let Err(error) = outcome {
            tracing::warn!(pod = %pod.name_any(), %error, "victim not deleted");
        }
    }
    for other in &found.outbid {
        let namespace = other.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
        let patch = json!({ "metadata": { "uid": other.metadata.uid }, "status": { "nominatedNodeName": null } });
        let outcome = api.patch_status(&other.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
        if let Err(error) = or_gone(outcome) {
            tracing::warn!(pod = %other.name_any(), %error, "nomination not taken back");
        }
    }
    refuse(world, waiting, bell, pod, &found.why, Promise::Made(&found.node)).await;
}

fn bound(
    world: &World,
    waiting: &Mutex<Waiting>,
    bell: &Notify,
    assumed: &mut HashMap<Key, (Arc<Pod>, String)>,
    key: Key,
    outcome: Result<(), kube::Error>,
) {
    let Err(error) = outcome else { return };
    assumed.remove(&key);
    if is_not_found(&error) || is_conflict(&error) {
        tracing::debug!(?key, %error, "pod changed before it was bound");
    } else {
        tracing::warn!(?key, %error, "binding failed");
    }
    if world.pods.get_key(&key).is_some_and(|p| wanted(&p)) && !is_not_found(&error) {
        waiting.lock().parked.insert(key);
        if is_conflict(&error) {
            unpark(&mut waiting.lock(), bell);
        }
    }
}

async fn bind(world: &World, pod: &Pod, node: &str) -> Result<(), kube::Error> {
    let (namespace, name) = key_of(&pod.metadata);
    let mut binding = Binding {
        target: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Node".into()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
        ..Binding::default()
    };
    binding.metadata.namespace = Some(namespace.clone());
    binding.metadata.name = Some(name.clone());
    binding.metadata.uid = pod.metadata.uid.clone();
    let api: Api<Pod> = Api::namespaced(world.client.clone(), &namespace);
    let _: Value = api.create_subresource("binding", &name, &PostParams::default(), &binding).await?;
    let message = format!("Successfully assigned {namespace}/{name} to {node}");
    world.recorder.normal(pod, COMPONENT, "Scheduled", message);
    Ok(())
}

/// Whether the pod has the promise of a node.
#[derive(Clone, Copy)]
enum Promise<'a> {
    None,
    /// As its status says.
    Kept,
    Made(&'a str),
}

/// Says on the pod why it has to wait, and for which node.
async fn refuse(world: &World, waiting: &Mutex<Waiting>, bell: &Notify, pod: &Pod, why: &str, promise: Promise<'_>) {
    let told = || world.recorder.warning(pod, COMPONENT, "FailedScheduling", why);
    let before = pods::condition(pod, "PodScheduled");
    let old = pod.status.as_ref().and_then(|s| s.nominated_node_name.clone()).filter(|n| !n.is_empty());
    let node = match promise {
        Promise::None => None,
        Promise::Kept => old.clone(),
        Promise::Made(node) => Some(node.to_owned()),
    };
    if node == old && before.is_some_and(|c| c.status == "False" && c.message.as_deref() == Some(why)) {
        return told();
    }
    let same = before.filter(|c| c.status == "False").and_then(|c| c.last_transition_time.clone());
    let mut changed = pod.clone();
    let status = changed.status.get_or_insert_default();
    status.nominated_node_name = node;
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|c| c.type_ != "PodScheduled");
    conditions.push(PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("Unschedulable".into()),
        message: Some(why.to_owned()),
        last_transition_time: same.or_else(|| Some(Time(now()))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    });
    match or_gone(world.replace_status(&changed).await) {
        // Changed since: a newer one may be in the mirror, and it is judged anew in a moment.
        Err(error) if is_conflict(&error) => {
            waiting.lock().fresh.insert(key_of(&pod.metadata));
            bell.notify_one();
        }
        Err(error) => tracing::warn!(pod = %pod.name_any(), %error, "condition PodScheduled not written"),
        Ok(()) => told(),
    }
}
