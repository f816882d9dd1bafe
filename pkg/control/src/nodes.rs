//! The life of nodes: addresses for their pods, silence noticed, taints, eviction, and pods of nodes that are no more.
//! `plan` judges; this loop writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use serde_json::json;

use crate::mirror::node_entry;
use crate::podgc::{disrupted, fail_and_delete};
use crate::pods;
use crate::queue::{Queue, drive};
use crate::world::{World, now, or_gone};

mod plan;

const COMPONENT: &str = "node-controller";
const EVICTION: &str = "taint-eviction-controller";
/// How long pods outlive their node object, so that a node may register itself anew.
const QUARANTINE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Life {
    /// The newest sign of life, as written by the node, and when we saw it.
    sign: String,
    seen: Option<Instant>,
    /// The status of Ready that pods were last treated by.
    treated: Option<String>,
    /// When its NoExecute taints were first seen.
    taints: plan::Seen,
    /// Since when the node object is missing while pods are on it.
    missing: Option<Instant>,
}

struct Controller {
    world: Arc<World>,
    lives: Mutex<HashMap<String, Life>>,
    /// Pod ranges given out that the mirror may not show yet.
    ranges: Mutex<HashMap<Ipv4Net, String>>,
}

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<String>> = Queue::new();
    let controller = Arc::new(Controller { world: world.clone(), lives: Mutex::default(), ranges: Mutex::default() });
    let (q, c) = (queue.clone(), controller.clone());
    world.nodes.hook(move |old, new| {
        let Some(node) = new.or(old) else { return };
        let name = node.metadata.name.clone().unwrap_or_default();
        if let Some(beat) = new.and_then(|n| plan::heartbeat(n)) {
            c.sign(&name, format!("status {beat}"));
        }
        let face = |n: &Arc<Node>| (n.spec.clone(), plan::states(n), plan::allocatable(n));
        if old.map(face) != new.map(face) {
            q.add(name);
        }
    });
    let (q, c) = (queue.clone(), controller.clone());
    world.leases.hook(move |_, new| {
        let Some(lease) = new else { return };
        let name = lease.metadata.name.clone().unwrap_or_default();
        let renewed = lease.spec.as_ref().and_then(|s| s.renew_time.as_ref()).map(|t| t.0);
        if let Some(renewed) = renewed
            && c.sign(&name, format!("lease {renewed}"))
        {
            q.add(name);
        }
    });
    let (q, nodes) = (queue.clone(), world.nodes.clone());
    world.pods.hook(move |old, new| {
        let Some(node) = new.and_then(|p| pods::node(p)) else { return };
        if old.and_then(|p| pods::node(p)) == Some(node) {
            return;
        }
        if nodes.get("", node).is_none_or(|n| !plan::no_execute(&n).is_empty()) {
            q.add(node.to_owned());
        }
    });
    drive("nodes", queue, 4, |name| {
        let controller = controller.clone();
        async move { controller.sync(name).await }
    })
    .await;
}

impl Controller {
    /// Notes a sign of life; true when it is the first one of this node.
    fn sign(&self, name: &str, sign: String) -> bool {
        let mut lives = self.lives.lock();
        let life = lives.entry(name.to_owned()).or_default();
        let first = life.seen.is_none();
        if life.sign != sign {
            life.sign = sign;
            life.seen = Some(Instant::now());
        }
        first
    }

    async fn sync(&self, name: String) -> Result<Option<Duration>, kube::Error> {
        let Some(node) = self.world.nodes.get("", &name) else { return self.absent(&name).await };
        let grace = self.world.config.node_grace;
        let age = {
            let mut lives = self.lives.lock();
            let life = lives.entry(name.clone()).or_default();
            life.missing = None;
            life.seen.get_or_insert_with(Instant::now).elapsed()
        };
        let mut node = self.give_range(node).await?;
        if let Some(allocatable) = plan::allocatable(&node) {
            let mut changed = (*node).clone();
            changed.status.get_or_insert_default().allocatable = Some(allocatable);
            node = self.world.replace_status(&changed).await?;
        }
        if age >= grace
            && let Some(silent) = plan::silenced(&node, now())
        {
            node = self.world.replace_status(&silent).await?;
        }
        if let Some(taints) = plan::taints(&node, now()) {
            let patch = json!({
                "metadata": { "resourceVersion": node.metadata.resource_version },
                "spec": { "taints": taints },
            });
            node = self.world.patch(&*node, patch).await?;
        }
        self.treat(&node, &name).await?;
        let eviction = self.evict(&node, &name).await?;
        let silence = (age < grace).then(|| grace.saturating_sub(age) + Duration::from_millis(1));
        Ok(eviction.into_iter().chain(silence).min())
    }

    /// The node has no object: its pods go after a while.
    async fn absent(&self, name: &str) -> Result<Option<Duration>, kube::Error> {
        let orphans = self.world.pods.indexed(&node_entry(name));
        if orphans.is_empty() {
            self.lives.lock().remove(name);
            self.ranges.lock().retain(|_, owner| owner != name);
            return Ok(None);
        }
        let since = *self.lives.lock().entry(name.to_owned()).or_default().missing.get_or_insert_with(Instant::now);
        if let Some(wait) = QUARANTINE.checked_sub(since.elapsed()).filter(|w| !w.is_zero()) {
            return Ok(Some(wait));
        }
        let cause = Some(("DeletionByPodGC", "PodGC: node no longer exists"));
        for outcome in join_all(orphans.iter().map(|pod| fail_and_delete(&self.world, pod, cause))).await {
            outcome?;
        }
        self.ranges.lock().retain(|_, owner| owner != name);
        Ok(None)
    }

    /// Gives the node a range of pod addresses if it has none.
    async fn give_range(&self, node: Arc<Node>) -> Result<Arc<Node>, kube::Error> {
        let has = node.spec.as_ref().and_then(|s| s.pod_cidr.as_deref()).is_some_and(|c| !c.is_empty());
        let name = node.metadata.name.clone().unwrap_or_default();
        if has {
            return Ok(node);
        }
        let range = {
            let mut ranges = self.ranges.lock();
            for other in self.world.nodes.all() {
                let range = other.spec.as_ref().and_then(|s| s.pod_cidr.as_deref()?.parse().ok());
                if let Some(range) = range {
                    ranges.insert(range, other.metadata.name.clone().unwrap_or_default());
                }
            }
            let mine = ranges.iter().find(|(_, owner)| **owner == name).map(|(range, _)| *range);
            let config = &self.world.config;
            let range = mine.or_else(|| plan::range(config.pod_cidr, config.node_prefix, &name, &ranges));
            if let Some(range) = range {
                ranges.insert(range, name.clone());
            }
            range
        };
        let Some(range) = range else {
            let message = format!("Node {name} status is now: CIDRNotAvailable");
            self.world.recorder.normal(&*node, "cidrAllocator", "CIDRNotAvailable", message);
            return Ok(node);
        };
        let patch = json!({ "spec": { "podCIDR": range.to_string(), "podCIDRs": [range.to_string()] } });
        self.world.patch(&*node, patch).await
    }

    /// Pods of a node that stopped being ready are not ready either, so they leave endpoints at once.
    async fn treat(&self, node: &Node, name: &str) -> Result<(), kube::Error> {
        let ready = plan::ready_status(node).unwrap_or_default().to_owned();
        let before = self.lives.lock().entry(name.to_owned()).or_default().treated.clone();
        if before.as_deref() == Some(&ready) {
            return Ok(());
        }
        if ready == "True" {
            if before.as_deref().is_some_and(|b| !b.is_empty()) {
                self.told(node, name, "NodeReady");
            }
        } else if !ready.is_empty() {
            if before.as_deref() == Some("True") || before.is_none() {
                self.told(node, name, "NodeNotReady");
            }
            let affected: Vec<_> = self.world.pods.indexed(&node_entry(name));
            let affected: Vec<_> = affected.iter().filter(|p| pods::ready(p)).collect();
            for outcome in join_all(affected.iter().map(|pod| self.unready(pod))).await {
                outcome?;
            }
        }
        self.lives.lock().entry(name.to_owned()).or_default().treated = Some(ready);
        Ok(())
    }

    fn told(&self, node: &Node, name: &str, state: &str) {
        let message = format!("Node {name} status is now: {state}");
        self.world.recorder.normal(node, COMPONENT, state, message);
    }

    async fn unready(&self, pod: &Pod) -> Result<(), kube::Error> {
        let mut changed = pod.clone();
        let conditions = changed.status.iter_mut().flat_map(|s| s.conditions.iter_mut().flatten());
        for condition in conditions.filter(|c| c.type_ == "Ready") {
            condition.status = "False".into();
            condition.last_transition_time = Some(Time(now()));
        }
        self.world.recorder.warning(pod, COMPONENT, "NodeNotReady", "Node is not ready");
        or_gone(self.world.replace_status(&changed).await)
    }

    /// Deletes pods that do not tolerate the node's NoExecute taints any longer; gives the time of the next.
    async fn evict(&self, node: &Node, name: &str) -> Result<Option<Duration>, kube::Error> {
        let taints = {
            let mut lives = self.lives.lock();
            plan::dated(plan::no_execute(node), &mut lives.entry(name.to_owned()).or_default().taints, now())
        };
        if taints.is_empty() {
            return Ok(None);
        }
        let patience = self.world.config.default_toleration_seconds;
        let mut next = None;
        let mut due = Vec::new();
        for pod in self.world.pods.indexed(&node_entry(name)) {
            if pods::terminating(&pod) || pods::terminal(&pod) {
                continue;
            }
            match plan::eviction(&pod, &taints, patience, now()) {
                plan::Eviction::Never => {}
                plan::Eviction::After(wait) => next = Some(next.map_or(wait, |n: Duration| n.min(wait))),
                plan::Eviction::Now => due.push(pod),
            }
        }
        for pod in &due {
            let (namespace, name) = crate::mirror::key_of(&pod.metadata);
            let message = format!("Marking for deletion Pod {namespace}/{name}");
            self.world.recorder.normal(&**pod, EVICTION, "TaintManagerEviction", message);
        }
        for outcome in join_all(due.iter().map(|pod| self.drive_out(pod))).await {
            outcome?;
        }
        Ok(next)
    }

    /// Deletes a pod that says in its conditions why it goes.
    async fn drive_out(&self, pod: &Pod) -> Result<(), kube::Error> {
        let why = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
        disrupted(&self.world, pod, why, None).await?;
        self.world.delete(pod, None).await
    }
}
