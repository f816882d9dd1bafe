//! One step of a Deployment: which set to create, scale, annotate or delete now. Pure; follows the order of Kubernetes'
//! `deployment_controller.go`, `sync.go` and `recreate.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::ResourceExt;

use super::{history, rolling, status};
use crate::intstr::scaled;

/// Something to do, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Create(Box<ReplicaSet>),
    Scale { set: Arc<ReplicaSet>, to: i32, annotations: BTreeMap<String, String> },
    Annotate { set: Arc<ReplicaSet>, annotations: BTreeMap<String, String>, min_ready_seconds: Option<i32> },
    Delete(Arc<ReplicaSet>),
    Revision(String),
}

/// A step.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: DeploymentStatus,
    /// When time alone may change the plan.
    pub(super) again: Option<Duration>,
}

/// A set with the size it will have after the step.
#[derive(Debug, Clone)]
pub(super) struct Sized {
    pub(super) set: Arc<ReplicaSet>,
    pub(super) size: i32,
}

impl Sized {
    fn of(set: &Arc<ReplicaSet>) -> Self {
        Self { set: set.clone(), size: size_of(set) }
    }

    pub(super) fn available(&self) -> i32 {
        self.set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
    }
}

/// A step in the making.
pub(super) struct Step<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) desired: i32,
    /// Pods that may be there above and be missing below the desired count.
    pub(super) surge: i32,
    pub(super) unavailable: i32,
    pub(super) new: Option<Sized>,
    /// The oldest first.
    pub(super) old: Vec<Sized>,
    pub(super) actions: Vec<Action>,
    /// Name of a set that this step creates.
    pub(super) created: Option<String>,
}

pub(super) fn replicas_of(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

fn size_of(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Plans a step. `running` says whether a set still has pods that have not ended.
pub(super) fn plan(
    deployment: &Deployment,
    sets: &[Arc<ReplicaSet>],
    running: impl Fn(&ReplicaSet) -> bool,
    now: Timestamp,
) -> Plan {
    let mut step = Step::new(deployment, sets);
    let spec = deployment.spec.clone();
    let paused = spec.paused == Some(true);
    let rolling = step.is_rolling();
    let mut rollout = false;
    if deployment.metadata.deletion_timestamp.is_some() {
        // Only the status follows.
    } else if paused || step.is_scaling() {
        step.sync_revision(false);
        rolling::scale(&mut step);
        if paused {
            step.clean_up();
        }
    } else if rolling {
        rollout = true;
        step.sync_revision(true);
        if !rolling::grow_new(&mut step) && !rolling::shrink_old(&mut step) && status::complete(&step) {
            step.clean_up();
        }
    } else {
        rollout = true;
        step.sync_revision(false);
        let shrunk = step.recreate_down();
        if !shrunk && !step.old.iter().any(|s| running(&s.set)) {
            step.sync_revision(true);
            if let Some(new) = step.new.clone() {
                step.scale(&new, step.desired);
            }
            if status::complete(&step) {
                step.clean_up();
            }
        }
    }
    let (status, again) = status::status(&step, rollout, now);
    Plan { actions: step.actions, status, again }
}

impl<'a> Step<'a> {
    fn new(deployment: &'a Deployment, sets: &[Arc<ReplicaSet>]) -> Self {
        let new = history::find_new(deployment, sets);
        let mut old: Vec<_> = sets
            .iter()
            .filter(|s| new.as_ref().is_none_or(|n| n.metadata.uid != s.metadata.uid))
            .map(Sized::of)
            .collect();
        old.sort_by_key(|s| history::age(&s.set));
        let desired = replicas_of(deployment);
        let (surge, unavailable) = fenceposts(deployment, desired);
        let new = new.as_ref().map(Sized::of);
        Self { deployment, desired, surge, unavailable, new, old, actions: Vec::new(), created: None }
    }

    fn strategy(&self) -> Option<&str> {
        self.deployment.spec.strategy.as_ref()?.type_.as_deref()
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.strategy() != Some("Recreate")
    }

    /// All sets, old ones first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Sized> {
        self.old.iter().chain(&self.new)
    }

    pub(super) fn total(&self) -> i32 {
        self.all().map(|s| s.size).sum()
    }

    pub(super) fn available(&self) -> i32 {
        self.all().map(Sized::available).sum()
    }

    /// Whether the deployment's size changed since its active sets were last scaled.
    fn is_scaling(&self) -> bool {
        self.all().filter(|s| s.size > 0).any(|s| {
            let noted: Option<i32> = history::annotation(&s.set, history::DESIRED).and_then(|d| d.parse().ok());
            noted.is_some_and(|d| d != self.desired)
        })
    }

    /// Gives the set of the present template the newest revision; makes that set if there is none and `create`.
    fn sync_revision(&mut self, create: bool) {
        let next = self.old.iter().map(|s| history::revision(&s.set)).max().unwrap_or(0) + 1;
        let revision = match &self.new {
            Some(new) => {
                let annotations = history::handed_down(self.deployment, Some(&new.set), next);
                let wanted = self.deployment.spec.min_ready_seconds;
                let have = new.set.spec.min_ready_seconds;
                let revision = history::revision(&new.set).max(next);
                if !annotations.is_empty() || wanted.unwrap_or(0) != have.unwrap_or(0) {
                    let set = new.set.clone();
                    self.actions.push(Action::Annotate { set, annotations, min_ready_seconds: wanted });
                }
                revision
            }
            None if create => {
                let mut set = history::new_set(self, next);
                let size = rolling::new_size(self, 0);
                set.spec.replicas = Some(size);
                self.created = Some(set.name_any());
                self.new = Some(Sized { set: Arc::new(set.clone()), size });
                self.actions.push(Action::Create(Box::new(set)));
                next
            }
            None => return,
        };
        let revision = revision.to_string();
        if self.deployment.annotations().get(history::REVISION) != Some(&revision) {
            self.actions.push(Action::Revision(revision));
        }
    }

    /// Brings a set to a size, and its annotations to the deployment's; true when its size changes.
    pub(super) fn scale(&mut self, which: &Sized, to: i32) -> bool {
        if self.created.as_deref() == which.set.metadata.name.as_deref() {
            return false;
        }
        let mut annotations = history::sizes(self.deployment, self.surge);
        annotations.retain(|k, v| history::annotation(&which.set, k) != Some(v));
        if which.size == to && annotations.is_empty() {
            return false;
        }
        let uid = &which.set.metadata.uid;
        for mine in self.old.iter_mut().chain(&mut self.new).filter(|s| s.set.metadata.uid == *uid) {
            mine.size = to;
        }
        let same = |action: &&mut Action| matches!(action, Action::Scale { set, .. } if set.metadata.uid == *uid);
        match self.actions.iter_mut().find(same) {
            Some(Action::Scale { to: planned, .. }) => *planned = to,
            _ => self.actions.push(Action::Scale { set: which.set.clone(), to, annotations }),
        }
        which.size != to
    }

    fn recreate_down(&mut self) -> bool {
        let active: Vec<_> = self.old.iter().filter(|s| s.size > 0).cloned().collect();
        for set in &active {
            self.scale(set, 0);
        }
        !active.is_empty()
    }

    /// Deletes old, empty sets beyond the history limit.
    fn clean_up(&mut self) {
        let Some(limit) = self.deployment.spec.revision_history_limit else { return };
        let mut old: Vec<_> = self.old.iter().filter(|s| s.set.metadata.deletion_timestamp.is_none()).collect();
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|s| history::revision(&s.set));
        let empty = |s: &&Sized| {
            let status = s.set.status.clone().unwrap_or_default();
            s.size == 0 && status.replicas == 0 && s.set.metadata.generation <= status.observed_generation
        };
        let gone: Vec<_> = old.into_iter().take(excess).filter(empty).map(|s| s.set.clone()).collect();
        self.actions.extend(gone.into_iter().map(Action::Delete));
    }
}

/// Surge and unavailability as counts: never both zero, else nothing could move (`ResolveFenceposts`).
fn fenceposts(deployment: &Deployment, desired: i32) -> (i32, i32) {
    let strategy = deployment.spec.strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("Recreate") {
        return (0, 0);
    }
    let update = strategy.rolling_update.unwrap_or_default();
    let quarter = k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String("25%".into());
    let surge = scaled(Some(update.max_surge.as_ref().unwrap_or(&quarter)), 0, desired, true);
    let unavailable = scaled(Some(update.max_unavailable.as_ref().unwrap_or(&quarter)), 0, desired, false);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    (surge, unavailable.min(desired))
}

#[cfg(test)]
mod tests;
