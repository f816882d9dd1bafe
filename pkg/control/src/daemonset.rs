//! The DaemonSet controller: one pod on every node that fits. `plan` judges; this loop adopts, creates, deletes and
//! reports.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::labels::selects;
use crate::mirror::{Key, key_of, owner_entry};
use crate::owners;
use crate::pods;
use crate::podset::text;
use crate::queue::{Queue, drive};
use crate::replicaset::claim_pods;
use crate::revisions::{self, ledger};
use crate::world::{World, code, now, or_gone};

mod plan;
mod roll;

const COMPONENT: &str = "daemonset-controller";
/// How long a failed pod of a node stays before the next one is tried: this long at first, doubled with every failure up
/// to the most, and forgotten after twice that (`failedPodsBackoff` of Kubernetes' controller manager).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Pauses after failures, by the set's uid and the node's name: how long, and since when.
#[derive(Default)]
struct Pauses(Mutex<HashMap<(String, String), (Duration, Instant)>>);

impl Pauses {
    /// What is left of the pause on a node.
    fn left(&self, uid: &str, node: &str) -> Duration {
        let all = self.0.lock();
        let pause = all.get(&(uid.to_owned(), node.to_owned()));
        pause.map_or(Duration::ZERO, |(pause, since)| pause.saturating_sub(since.elapsed()))
    }

    /// A pod failed once more.
    fn begin(&self, uid: &str, node: &str) {
        let mut all = self.0.lock();
        all.retain(|_, (_, since)| since.elapsed() < LONGEST_PAUSE * 2);
        let next = |(pause, _): &(Duration, Instant)| (*pause * 2).min(LONGEST_PAUSE);
        let key = (uid.to_owned(), node.to_owned());
        let pause = all.get(&key).map_or(FIRST_PAUSE, next);
        all.insert(key, (pause, Instant::now()));
    }
}

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.daemon_sets.hook(move |_, new| {
        if let Some(new) = new {
            q.add(key_of(&new.metadata));
        }
    });
    let (q, sets) = (queue.clone(), world.daemon_sets.clone());
    world.pods.hook(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            match owners::controller(&pod.metadata) {
                Some(owner) if owner.kind == "DaemonSet" => q.add((namespace, owner.name.clone())),
                Some(_) => {}
                None => {
                    for set in sets.list(&namespace) {
                        if selects(&set.spec.selector, pod.metadata.labels.as_ref()) {
                            q.add(key_of(&set.metadata));
                        }
                    }
                }
            }
        }
    });
    // Revisions are looked after even when people delete or add them.
    let q = queue.clone();
    world.revisions.hook(move |old, new| {
        for revision in [old, new].into_iter().flatten() {
            if let Some(owner) = owners::controller(&revision.metadata).filter(|o| o.kind == "DaemonSet") {
                q.add((revision.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()));
            }
        }
    });
    let (q, sets) = (queue.clone(), world.daemon_sets.clone());
    world.nodes.hook(move |old, new| {
        let face = |n: &Arc<k8s_openapi::api::core::v1::Node>| (n.spec.clone(), n.metadata.labels.clone());
        if old.map(face) != new.map(face) {
            for set in sets.all() {
                q.add(key_of(&set.metadata));
            }
        }
    });
    let pauses = Pauses::default();
    drive("daemonset", queue, 4, |key| sync(&world, &pauses, key)).await;
}

async fn sync(world: &World, pauses: &Pauses, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(set) = world.daemon_sets.get_key(&key) else { return Ok(None) };
    let spec = &set.spec;
    let mine = claim_pods(world, &*set, &set.metadata, &spec.selector).await?;
    let mut nodes = world.nodes.all();
    nodes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut failure = None;
    let known = ledger::claimed(world, &*set, &spec.selector).await?;
    if set.metadata.deletion_timestamp.is_some() && known.is_empty() {
        return Ok(None);
    }
    let collisions = set.status.as_ref().and_then(|s| s.collision_count);
    let ledger = ledger::settle(world, &*set, &spec.template, known, collisions.unwrap_or(0)).await?;
    let hash = revisions::hash(&ledger.update);
    let uid = set.metadata.uid.clone().unwrap_or_default();
    let failed = || mine.iter().filter(|p| pods::phase(p) == "Failed" && !pods::terminating(p));
    let left = || failed().filter_map(|p| pods::node(p)).map(|n| (n.to_owned(), pauses.left(&uid, n)));
    if set.metadata.deletion_timestamp.is_none() {
        let held: HashSet<String> = left().filter(|(_, left)| !left.is_zero()).map(|(node, _)| node).collect();
        let plan = plan::plan(&set, hash, &nodes, &mine, &held, now());
        for pod in plan.delete.iter().filter(|p| pods::terminal(p)) {
            let (name, node) = (pod.name_any(), pods::node(pod).unwrap_or_default());
            let failed = pods::phase(pod) == "Failed";
            let (word, verb) = if failed { ("failed", "kill") } else { ("succeeded", "delete") };
            let message = format!("Found {word} daemon pod {}/{name} on node {node}, will try to {verb} it", key.0);
            if failed {
                pauses.begin(&uid, node);
                world.recorder.warning(&*set, COMPONENT, "FailedDaemonPod", message);
            } else {
                world.recorder.normal(&*set, COMPONENT, "SucceededDaemonPod", message);
            }
        }
        let outcomes = join_all(plan.delete.iter().map(|pod| world.delete(&**pod, None))).await;
        for (pod, outcome) in plan.delete.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    let message = format!("Deleted pod: {}", pod.name_any());
                    world.recorder.normal(&*set, COMPONENT, "SuccessfulDelete", message);
                }
                Err(error) => failure = Some(error),
            }
        }
        for outcome in join_all(plan.create.iter().map(|pod| world.create(pod))).await {
            match outcome {
                Ok(pod) => {
                    let name = pod.metadata.name.as_deref().unwrap_or_default();
                    world.recorder.normal(&*set, COMPONENT, "SuccessfulCreate", format!("Created pod: {name}"));
                }
                Err(error) if !world.namespace_lives(&key.0) && code(&error) == Some(403) => {}
                Err(error) => {
                    let message = format!("Error creating: {}", text(&error));
                    world.recorder.warning(&*set, COMPONENT, "FailedCreate", message);
                    failure = Some(error);
                }
            }
        }
    }
    let mine = world.pods.indexed(&owner_entry(set.metadata.uid.as_deref().unwrap_or_default()));
    let mut status = plan::status(&set, hash, &nodes, &mine, now());
    status.collision_count = Some(ledger.collisions).filter(|n| *n > 0).or(collisions);
    let current: Arc<DaemonSet> = world.daemon_sets.get_key(&key).unwrap_or_else(|| set.clone());
    if current.status.as_ref() != Some(&status) {
        let mut changed = (*current).clone();
        changed.status = Some(status);
        or_gone(world.replace_status(&changed).await)?;
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let live = |r: &ControllerRevision| {
        let hash = revisions::hash(r);
        r.metadata.name == ledger.update.metadata.name
            || mine.iter().any(|p| p.labels().get(revisions::HASH).is_some_and(|h| h == hash))
    };
    for old in revisions::surplus(&ledger.all, live, spec.revision_history_limit.unwrap_or(10)) {
        world.delete(&*old, None).await?;
    }
    let minimum = spec.min_ready_seconds.unwrap_or(0);
    let waits = mine.iter().filter_map(|p| pods::until_available(p, minimum, now())).filter(|d| !d.is_zero());
    Ok(waits.chain(left().map(|(_, left)| left).filter(|left| !left.is_zero())).min())
}
