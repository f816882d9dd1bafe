//! One step of a StatefulSet: which pods to create, delete or mend now, and its status. Pure; follows the order of
//! Kubernetes' `stateful_set_control.go`, with maxUnavailable (KEP-961), whose gate is on in v1.37.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::ResourceExt;

use super::identity::{self, in_range, ordinal, parallel, replicas_of, start};
use super::retention::{self, Judgement};
use crate::intstr::scaled;
use crate::revisions::{self, HASH};
use crate::{owners, pods};

/// Something to do, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// A claim of a pod, before that pod.
    Claim {
        pod: String,
        claim: Box<PersistentVolumeClaim>,
    },
    Create(Box<Pod>),
    /// A pod that cannot be created, and why.
    Refuse {
        pod: String,
        why: String,
    },
    /// A pod that lost its identity gets it back.
    Update(Box<Pod>),
    /// A claim gets other owners.
    Own(Box<PersistentVolumeClaim>),
    /// A claim that has another controller: the policy is not kept.
    Foreign(String),
    Delete(Arc<Pod>),
}

/// A step.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: StatefulSetStatus,
}

/// What a step is planned from.
pub(super) struct Scene<'a> {
    pub(super) set: &'a StatefulSet,
    /// The revision that pods are at, and the one they should come to.
    pub(super) current: &'a ControllerRevision,
    pub(super) update: &'a ControllerRevision,
    pub(super) collisions: i32,
    /// Pods that the set controls.
    pub(super) pods: &'a [Arc<Pod>],
    /// A claim of the set's namespace by name.
    pub(super) claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    pub(super) now: Timestamp,
}

/// A pod that is there, or the one that should be.
enum Replica {
    There(Arc<Pod>),
    Missing(Box<Pod>),
}

impl Replica {
    fn there(&self) -> Option<&Arc<Pod>> {
        match self {
            Replica::There(pod) => Some(pod),
            Replica::Missing(_) => None,
        }
    }
}

/// Plans a step.
pub(super) fn plan(scene: &Scene<'_>) -> Plan {
    let mut step = Step { scene, actions: Vec::new() };
    let set = scene.set;
    let mut replicas: Vec<Option<Arc<Pod>>> = vec![None; usize::try_from(replicas_of(set)).unwrap_or(0)];
    let mut condemned: Vec<(i32, Arc<Pod>)> = Vec::new();
    for pod in scene.pods {
        let Some(ordinal) = ordinal(set, pod) else { continue };
        if in_range(set, ordinal) {
            replicas[usize::try_from(ordinal - start(set)).unwrap_or(0)] = Some(pod.clone());
        } else {
            condemned.push((ordinal, pod.clone()));
        }
    }
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    let condemned: Vec<_> = condemned.into_iter().map(|(_, pod)| pod).collect();
    let replicas: Vec<Replica> = (start(set)..)
        .zip(replicas)
        .map(|(ordinal, pod)| match pod {
            Some(pod) => Replica::There(pod),
            None => Replica::Missing(Box::new(scene.versioned(ordinal))),
        })
        .collect();
    if set.metadata.deletion_timestamp.is_none() {
        step.run(&replicas, &condemned);
    }
    let deleted = step.actions.iter().filter(|a| matches!(a, Action::Delete(p) if scene.rolled(p, &replicas))).count();
    let status = scene.status(deleted);
    Plan { actions: step.actions, status }
}

struct Step<'a> {
    scene: &'a Scene<'a>,
    actions: Vec<Action>,
}

impl Step<'_> {
    fn run(&mut self, replicas: &[Replica], condemned: &[Arc<Pod>]) {
        let scene = self.scene;
        let monotonic = !parallel(scene.set);
        for replica in replicas {
            if self.replica(replica, monotonic) && monotonic {
                return;
            }
        }
        for pod in condemned {
            self.own(pod);
        }
        let unavailable = |p: &&Arc<Pod>| scene.unavailable(p);
        let living = replicas.iter().filter_map(Replica::there).find(unavailable);
        let first = living.or_else(|| condemned.iter().rev().find(unavailable)).map(|p| p.metadata.uid.clone());
        for pod in condemned {
            if pods::terminating(pod) {
                if monotonic {
                    return;
                }
                continue;
            }
            let excused = first.as_ref() == Some(&pod.metadata.uid);
            if monotonic && !excused && !(running_and_ready(pod) && scene.available(pod)) {
                return;
            }
            self.actions.push(Action::Delete(pod.clone()));
            if monotonic {
                return;
            }
        }
        let strategy = scene.set.spec.update_strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete") {
            self.roll(replicas);
        }
    }

    /// Looks after one wanted pod; true when it keeps the ones after it waiting.
    fn replica(&mut self, replica: &Replica, monotonic: bool) -> bool {
        let scene = self.scene;
        let pod = match replica {
            Replica::Missing(pod) => return self.create(pod, monotonic),
            Replica::There(pod) => pod,
        };
        if pods::terminal(pod) {
            if !pods::terminating(pod) {
                self.actions.push(Action::Delete(pod.clone()));
            }
            return true;
        }
        if pods::phase(pod) == "Pending" {
            self.missing_claims(pod);
        }
        if monotonic && (pods::terminating(pod) || !running_and_ready(pod) || !scene.available(pod)) {
            return true;
        }
        let number = ordinal(scene.set, pod).unwrap_or(0);
        if let Some(mended) = identity::repaired(scene.set, pod, number) {
            self.missing_claims(pod);
            self.actions.push(Action::Update(Box::new(mended)));
        }
        self.own(pod);
        false
    }

    fn create(&mut self, pod: &Pod, monotonic: bool) -> bool {
        let scene = self.scene;
        let name = pod.name_any();
        let claims = identity::claims(scene.set, ordinal(scene.set, pod).unwrap_or(0));
        let there: Vec<_> = claims.iter().filter_map(|(_, c)| (scene.claim)(&c.name_any())).collect();
        if there.iter().any(|claim| retention::stale(scene.set, claim, pod)) {
            return true;
        }
        if let Some(dying) = there.iter().find(|c| c.metadata.deletion_timestamp.is_some()) {
            let why = format!("pvc {} is being deleted", dying.name_any());
            self.actions.push(Action::Refuse { pod: name, why });
            return true;
        }
        self.missing_claims(pod);
        self.actions.push(Action::Create(Box::new(pod.clone())));
        monotonic
    }

    fn missing_claims(&mut self, pod: &Pod) {
        let scene = self.scene;
        for (_, claim) in identity::claims(scene.set, ordinal(scene.set, pod).unwrap_or(0)) {
            if (scene.claim)(&claim.name_any()).is_none() {
                self.actions.push(Action::Claim { pod: pod.name_any(), claim: Box::new(claim) });
            }
        }
    }

    /// Brings the owners of a pod's claims in line with the retention policy.
    fn own(&mut self, pod: &Pod) {
        let scene = self.scene;
        for (_, claim) in identity::claims(scene.set, ordinal(scene.set, pod).unwrap_or(0)) {
            let Some(claim) = (scene.claim)(&claim.name_any()) else { continue };
            match retention::judge(scene.set, pod, &claim) {
                Judgement::Fine => {}
                Judgement::Foreign => self.actions.push(Action::Foreign(claim.name_any())),
                Judgement::Owners(owners) => {
                    let mut claim = (*claim).clone();
                    claim.metadata.owner_references = (!owners.is_empty()).then_some(owners);
                    self.actions.push(Action::Own(Box::new(claim)));
                }
            }
        }
    }

    /// The rolling update: the highest ordinals first, as many as maxUnavailable leaves room for.
    fn roll(&mut self, replicas: &[Replica]) {
        let scene = self.scene;
        let rolling = scene.set.spec.update_strategy.clone().and_then(|s| s.rolling_update).unwrap_or_default();
        let most = scaled(rolling.max_unavailable.as_ref(), 1, replicas_of(scene.set), false).max(1);
        let from = usize::try_from(scene.partition()).unwrap_or(0);
        let there = |r: &Replica| r.there().cloned();
        let down = |r: &Replica| r.there().is_none_or(|p| scene.unavailable(p));
        let missing = i32::try_from(replicas.iter().filter(|r| down(r)).count()).unwrap_or(i32::MAX);
        let mut room = most.saturating_sub(missing);
        let mut candidates: Vec<_> = replicas.iter().skip(from).filter_map(there).collect();
        candidates.reverse();
        candidates.retain(|p| !pods::terminating(p) && scene.revision(p) != scene.update.name_any());
        if parallel(scene.set) {
            // Those that are unavailable anyway cost nothing.
            let broken: Vec<_> = candidates.extract_if(.., |p| !scene.available(p)).collect();
            self.actions.extend(broken.into_iter().map(Action::Delete));
        }
        for pod in candidates {
            if room <= 0 {
                return;
            }
            room -= 1;
            self.actions.push(Action::Delete(pod));
        }
    }
}

impl Scene<'_> {
    fn partition(&self) -> i32 {
        let rolling = self.set.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        rolling.and_then(|r| r.partition).unwrap_or(0)
    }

    fn template(&self, revision: &ControllerRevision) -> PodTemplateSpec {
        revisions::template(revision).unwrap_or_else(|| self.set.spec.template.clone())
    }

    /// The pod of an ordinal at the revision that the rollout has reached there.
    fn versioned(&self, ordinal: i32) -> Pod {
        let strategy = self.set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|s| s.type_.as_deref()).is_none_or(|t| t == "RollingUpdate");
        let old = match strategy.and_then(|s| s.rolling_update.as_ref()) {
            _ if !rolling => 0,
            Some(_) => self.partition(),
            None => self.set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0),
        };
        let revision = if ordinal < start(self.set) + old { self.current } else { self.update };
        identity::pod(self.set, &self.template(revision), &revision.name_any(), ordinal)
    }

    fn revision(&self, pod: &Pod) -> String {
        pod.labels().get(HASH).cloned().unwrap_or_default()
    }

    fn available(&self, pod: &Pod) -> bool {
        pods::available(pod, self.set.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn unavailable(&self, pod: &Pod) -> bool {
        pods::terminating(pod) || !self.available(pod)
    }

    /// A wanted pod of the current revision that the step deletes no longer counts as current.
    fn rolled(&self, pod: &Arc<Pod>, replicas: &[Replica]) -> bool {
        !pods::terminal(pod)
            && self.revision(pod) == self.current.name_any()
            && replicas.iter().filter_map(Replica::there).any(|p| p.metadata.uid == pod.metadata.uid)
    }

    fn status(&self, deleted: usize) -> StatefulSetStatus {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let mine = || self.pods.iter().filter(|p| owners::controlled_by(&p.metadata, &self.set.metadata));
        let at = |name: &str| mine().filter(|p| !pods::terminating(p) && self.revision(p) == name).count();
        let ready = mine().filter(|p| running_and_ready(p)).count();
        let available = mine().filter(|p| running_and_ready(p) && self.available(p)).count();
        let (mut current, update) = (self.current.name_any(), self.update.name_any());
        let (replicas, updated) = (mine().count(), at(&update));
        let mut currents = at(&current).saturating_sub(deleted);
        let wanted = usize::try_from(replicas_of(self.set)).unwrap_or(0);
        if updated == wanted && ready == wanted && replicas == wanted {
            (currents, current) = (updated, update.clone());
        }
        // Zero counts are left out of the JSON where Go's omitempty does so.
        let some = |n: usize| (n > 0).then(|| count(n));
        StatefulSetStatus {
            available_replicas: Some(count(available)),
            collision_count: Some(self.collisions),
            conditions: self.set.status.as_ref().and_then(|s| s.conditions.clone()),
            current_replicas: some(currents),
            current_revision: Some(current),
            observed_generation: self.set.metadata.generation,
            ready_replicas: some(ready),
            replicas: count(replicas),
            update_revision: Some(update),
            updated_replicas: some(updated),
        }
    }
}

fn running_and_ready(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::ready(pod)
}

#[cfg(test)]
mod tests;
