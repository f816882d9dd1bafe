//! The rolling update as a state machine on values: steps are planned, applied and pods become available, until
//! nothing changes; the promises about surge and availability hold in every state on the way.

use serde_json::json;

use super::*;
use crate::deployment::history::{MAXIMUM, REVISION};
use crate::fixtures::{at, deployment, object};

/// A little world: a deployment, its sets, pods that need a step to become available.
struct Rollout {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    now: i64,
}

impl Rollout {
    fn new(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), now: 1000 }
    }

    fn sets(&self) -> Vec<Arc<ReplicaSet>> {
        self.sets.iter().cloned().map(Arc::new).collect()
    }

    fn plan(&self) -> Plan {
        let alive = |set: &ReplicaSet| set.status.as_ref().is_some_and(|s| s.replicas > 0);
        plan(&self.deployment, &self.sets(), alive, at(self.now))
    }

    /// Applies a plan; true when it changed anything.
    fn apply(&mut self, plan: Plan) -> bool {
        let mut changed = !plan.actions.is_empty();
        for action in plan.actions {
            match action {
                Action::Create(mut set) => {
                    set.metadata.uid = set.metadata.name.clone();
                    set.metadata.creation_timestamp = Some(object(json!(at(self.now).to_string())));
                    set.metadata.generation = Some(1);
                    self.sets.push(*set);
                }
                Action::Scale { set, to, annotations } => {
                    let mine = self.find(&set);
                    mine.spec.replicas = Some(to);
                    mine.metadata.annotations.get_or_insert_default().extend(annotations);
                }
                Action::Annotate { set, annotations, .. } => {
                    self.find(&set).metadata.annotations.get_or_insert_default().extend(annotations);
                }
                Action::Delete(set) => self.sets.retain(|s| s.metadata.uid != set.metadata.uid),
                Action::Revision(revision) => {
                    let annotations = self.deployment.metadata.annotations.get_or_insert_default();
                    annotations.insert(REVISION.into(), revision);
                }
            }
        }
        changed |= self.deployment.status.as_ref() != Some(&plan.status);
        self.deployment.status = Some(plan.status);
        changed
    }

    fn find(&mut self, set: &ReplicaSet) -> &mut ReplicaSet {
        self.sets.iter_mut().find(|s| s.metadata.uid == set.metadata.uid).unwrap()
    }

    /// ReplicaSets follow their size; with `healthy`, one more pod of each becomes available.
    fn live(&mut self, healthy: impl Fn(&ReplicaSet) -> bool) -> bool {
        let before = self.sets.clone();
        for set in &mut self.sets {
            let size = set.spec.replicas.unwrap();
            let healthy = healthy(set);
            let status = set.status.get_or_insert_default();
            status.observed_generation = Some(1);
            status.replicas = size;
            let available = status.available_replicas.unwrap_or(0);
            let next = if healthy { (available + 1).min(size) } else { available.min(size) };
            status.available_replicas = Some(next);
            status.ready_replicas = Some(next);
        }
        self.now += 1;
        before != self.sets
    }

    fn size(&self) -> (i32, i32) {
        let total = self.sets.iter().map(|s| s.spec.replicas.unwrap()).sum();
        let available = self.sets.iter().filter_map(|s| s.status.as_ref()?.available_replicas).sum();
        (total, available)
    }

    /// Runs until nothing changes, checking every state; returns how many steps it took.
    fn settle(&mut self, healthy: impl Fn(&ReplicaSet) -> bool, check: impl Fn(&Self)) -> usize {
        for step in 0..500 {
            let plan = self.plan();
            let planned = self.apply(plan);
            check(self);
            let lived = self.live(&healthy);
            check(self);
            if !planned && !lived {
                return step;
            }
        }
        panic!("never settles: {:?}", self.sets);
    }

    fn image(&mut self, image: &str) {
        let spec = &mut self.deployment.spec;
        spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.into());
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn condition(&self, kind: &str) -> (String, String, String) {
        let status = self.deployment.status.as_ref().unwrap();
        let c = status.conditions.as_ref().unwrap().iter().find(|c| c.type_.as_deref() == Some(kind)).unwrap().clone();
        (c.status.unwrap(), c.reason.unwrap(), c.message.unwrap())
    }

    fn strategy(&mut self, strategy: serde_json::Value) {
        self.deployment.spec.strategy = object(strategy);
    }
}

fn all(_: &ReplicaSet) -> bool {
    true
}

#[test]
fn first_rollout_names_labels_and_conditions() {
    let mut rollout = Rollout::new(deployment("blue", 3));
    rollout.settle(all, |_| {});
    let set = &rollout.sets[0];
    let hash = set.metadata.labels.as_ref().unwrap()["pod-template-hash"].clone();
    assert_eq!(set.metadata.name, Some(format!("blue-{hash}")));
    assert_eq!(set.spec.selector.match_labels.as_ref().unwrap()["pod-template-hash"], hash);
    assert_eq!(set.metadata.annotations.as_ref().unwrap()[MAXIMUM], "4");
    assert_eq!(rollout.deployment.metadata.annotations.as_ref().unwrap()[REVISION], "1");
    let (status, reason, message) = rollout.condition("Progressing");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NewReplicaSetAvailable"));
    assert_eq!(message, format!("ReplicaSet \"blue-{hash}\" has successfully progressed."));
    assert_eq!(rollout.condition("Available").1, "MinimumReplicasAvailable");
    assert_eq!(rollout.deployment.status.as_ref().unwrap().available_replicas, Some(3));
}

#[test]
fn rolling_update_keeps_its_promises() {
    for (replicas, surge, unavailable) in
        [(10, json!("25%"), json!("25%")), (3, json!(1), json!(0)), (4, json!(0), json!(1)), (1, json!(0), json!(0))]
    {
        let mut rollout = Rollout::new(deployment("blue", replicas));
        rollout.strategy(json!({ "type": "RollingUpdate",
                                 "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } }));
        rollout.settle(all, |_| {});
        rollout.image("other");
        let (surge, unavailable) = fenceposts(&rollout.deployment, replicas);
        rollout.settle(all, |r| {
            let (total, available) = r.size();
            assert!(total <= replicas + surge, "{total} pods");
            assert!(available >= replicas - unavailable, "{available} available");
        });
        assert_eq!(rollout.sets.len(), 2);
        let sizes: Vec<_> = rollout.sets.iter().map(|s| s.spec.replicas.unwrap()).collect();
        assert_eq!(sizes, [0, replicas]);
        assert_eq!(rollout.deployment.metadata.annotations.as_ref().unwrap()[REVISION], "2");
    }
}

#[test]
fn a_bad_image_stops_halfway_and_the_deadline_says_so() {
    let mut rollout = Rollout::new(deployment("blue", 4));
    rollout.settle(all, |_| {});
    rollout.image("broken");
    let old = rollout.sets[0].metadata.name.clone();
    rollout.settle(|s| s.metadata.name == old, |r| assert!(r.size().1 >= 3));
    assert_eq!(rollout.size().1, 3);
    rollout.now += 700;
    let plan = rollout.plan();
    rollout.apply(plan);
    let (status, reason, message) = rollout.condition("Progressing");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ProgressDeadlineExceeded"));
    assert!(message.ends_with("has timed out progressing."), "{message}");
    // The good template again: its old set is used anew, with a new revision.
    rollout.image("jpetazzo/color");
    rollout.settle(all, |_| {});
    assert_eq!(rollout.sets[0].metadata.annotations.as_ref().unwrap()[REVISION], "3");
    assert_eq!(
        rollout.sets[0].metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision-history"],
        "1"
    );
    assert_eq!(rollout.sets[0].spec.replicas, Some(4));
    assert_eq!(rollout.condition("Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn recreate_never_mixes_templates() {
    let mut rollout = Rollout::new(deployment("blue", 3));
    rollout.strategy(json!({ "type": "Recreate" }));
    rollout.settle(all, |_| {});
    rollout.image("other");
    rollout.settle(all, |r| {
        let alive = r.sets.iter().filter(|s| s.spec.replicas != Some(0)).count();
        assert!(alive <= 1);
    });
    assert_eq!(rollout.size(), (3, 3));
}

#[test]
fn scaling_in_the_middle_is_proportional() {
    let mut rollout = Rollout::new(deployment("blue", 10));
    rollout.settle(all, |_| {});
    rollout.image("broken");
    let old = rollout.sets[0].metadata.name.clone();
    rollout.settle(|s| s.metadata.name == old, |_| {});
    let before: Vec<_> = rollout.sets.iter().map(|s| s.spec.replicas.unwrap()).collect();
    assert_eq!(before, [8, 5]);
    rollout.deployment.spec.replicas = Some(20);
    let plan = rollout.plan();
    rollout.apply(plan);
    let after: Vec<_> = rollout.sets.iter().map(|s| s.spec.replicas.unwrap()).collect();
    assert_eq!(after, [15, 10]);
}

#[test]
fn paused_scales_but_does_not_roll() {
    let mut rollout = Rollout::new(deployment("blue", 2));
    rollout.settle(all, |_| {});
    rollout.deployment.spec.paused = Some(true);
    rollout.image("other");
    rollout.deployment.spec.replicas = Some(5);
    rollout.settle(all, |_| {});
    assert_eq!(rollout.sets.len(), 1);
    assert_eq!(rollout.size(), (5, 5));
    assert_eq!(rollout.condition("Progressing").1, "DeploymentPaused");
    rollout.deployment.spec.paused = Some(false);
    rollout.settle(all, |_| {});
    assert_eq!(rollout.sets.len(), 2);
    assert_eq!(rollout.condition("Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn history_is_limited() {
    let mut rollout = Rollout::new(deployment("blue", 1));
    rollout.deployment.spec.revision_history_limit = Some(2);
    for n in 0..5 {
        rollout.image(&format!("v{n}"));
        rollout.settle(all, |_| {});
    }
    let revisions: Vec<_> = rollout.sets.iter().map(history::revision).collect();
    assert_eq!(revisions, [3, 4, 5]);
}

#[test]
fn a_settled_plan_is_a_fixpoint() {
    let mut rollout = Rollout::new(deployment("blue", 7));
    rollout.settle(all, |_| {});
    let plan = rollout.plan();
    assert!(plan.actions.is_empty(), "{:?}", plan.actions);
    assert_eq!(Some(plan.status), rollout.deployment.status);
}
