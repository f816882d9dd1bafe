//! StatefulSet plans on values: single steps, and whole rollouts in a world of values where each plan is applied and
//! pods become ready one by one.

use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{at, object, stateful_set};
use serde_json::json;

/// Pods, claims and revisions as values.
struct Stage {
    set: StatefulSet,
    revisions: Vec<Arc<ControllerRevision>>,
    pods: BTreeMap<String, Arc<Pod>>,
    claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    born: usize,
    /// The largest number of wanted pods that were unavailable at a time during a rollout.
    worst: usize,
}

impl Stage {
    fn new(set: StatefulSet) -> Self {
        let first = Arc::new(revisions::new(&set, &set.spec.template, 1, 0));
        let (pods, claims) = (BTreeMap::new(), BTreeMap::new());
        Self { set, revisions: vec![first], pods, claims, born: 0, worst: 0 }
    }

    fn image(&mut self, image: &str) {
        self.set.spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.into());
        match revisions::judge(&self.revisions, &self.set.spec.template) {
            revisions::Step::Create(n) => {
                self.revisions.push(Arc::new(revisions::new(&self.set, &self.set.spec.template, n, 0)));
            }
            revisions::Step::Renumber(equal, _) => {
                self.revisions.retain(|r| r.metadata.name != equal.metadata.name);
                self.revisions.push(equal);
            }
            revisions::Step::Stands(_) => {}
        }
    }

    fn plan(&self) -> Plan {
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let update = self.revisions.last().unwrap();
        let known = self.set.status.as_ref().and_then(|s| s.current_revision.clone());
        let current = self.revisions.iter().find(|r| r.metadata.name == known).unwrap_or(update);
        plan(&Scene {
            set: &self.set,
            current,
            update,
            collisions: 0,
            pods: &pods,
            claim: &|name| self.claims.get(name).cloned(),
            now: at(1000),
        })
    }

    /// Applies a plan; true when it did something.
    fn step(&mut self) -> bool {
        let plan = self.plan();
        let busy = !plan.actions.is_empty() || self.set.status.as_ref() != Some(&plan.status);
        for action in plan.actions {
            match action {
                Action::Claim { claim, .. } | Action::Own(claim) => {
                    self.claims.insert(claim.name_any(), Arc::new(*claim));
                }
                Action::Create(mut pod) => {
                    self.born += 1;
                    pod.metadata.uid = Some(format!("uid-{}", self.born));
                    pod.status = Some(object(json!({ "phase": "Pending" })));
                    assert!(self.pods.insert(pod.name_any(), Arc::new(*pod)).is_none());
                }
                Action::Update(pod) => drop(self.pods.insert(pod.name_any(), Arc::new(*pod))),
                Action::Delete(pod) => drop(self.pods.remove(&pod.name_any()).unwrap()),
                Action::Refuse { .. } | Action::Foreign(_) => {}
            }
        }
        self.set.status = Some(plan.status);
        busy
    }

    /// The first pod that is not ready becomes so; false when all are.
    fn ready_one(&mut self) -> bool {
        let Some(pod) = self.pods.values_mut().find(|p| !pods::ready(p)) else { return false };
        let mut ready = (**pod).clone();
        ready.status = Some(object(json!({ "phase": "Running", "conditions": [
            { "type": "Ready", "status": "True", "lastTransitionTime": at(0).to_string() }] })));
        *pod = Arc::new(ready);
        true
    }

    /// Runs until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..500 {
            let mut busy = self.step();
            let wanted = usize::try_from(replicas_of(&self.set)).unwrap();
            self.worst = self.worst.max(wanted.saturating_sub(self.pods.values().filter(|p| pods::ready(p)).count()));
            busy |= self.ready_one();
            if !busy {
                assert!(self.plan().actions.is_empty(), "a plan applied is a fixpoint");
                return;
            }
        }
        panic!("never settles");
    }

    fn names(&self) -> Vec<&str> {
        self.pods.keys().map(String::as_str).collect()
    }

    fn images(&self) -> Vec<&str> {
        self.pods.values().map(|p| p.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()).collect()
    }
}

fn names(actions: &[Action]) -> Vec<String> {
    let told = |a: &Action| match a {
        Action::Create(pod) => format!("+{}", pod.name_any()),
        Action::Delete(pod) => format!("-{}", pod.name_any()),
        Action::Claim { claim, .. } => format!("claim {}", claim.name_any()),
        other => format!("{other:?}"),
    };
    actions.iter().map(told).collect()
}

#[test]
fn pods_come_in_order_each_after_the_one_before() {
    let mut stage = Stage::new(stateful_set("web", 3));
    assert_eq!(names(&stage.plan().actions), ["+web-0"]);
    stage.step();
    assert!(names(&stage.plan().actions).is_empty(), "web-0 is not ready");
    stage.ready_one();
    assert_eq!(names(&stage.plan().actions), ["+web-1"]);
    stage.settle();
    assert_eq!(stage.names(), ["web-0", "web-1", "web-2"]);
    let status = stage.set.status.unwrap();
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, Some(3), Some(3)));
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(3), Some(3)));
    assert_eq!(status.current_revision, status.update_revision);
}

#[test]
fn a_pod_knows_who_it_is() {
    let stage = Stage::new(stateful_set("web", 1));
    let Some(Action::Create(pod)) = stage.plan().actions.into_iter().next() else { panic!("no pod") };
    assert_eq!(pod.labels()[identity::POD_NAME], "web-0");
    assert_eq!(pod.labels()[identity::POD_INDEX], "0");
    assert_eq!(pod.labels()[HASH], stage.revisions[0].name_any());
    let spec = pod.spec.unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("web-0"), Some("web")));
}

#[test]
fn parallel_pods_come_and_go_at_once() {
    let mut stage = Stage::new(stateful_set("web", 3));
    stage.set.spec.pod_management_policy = Some("Parallel".into());
    assert_eq!(names(&stage.plan().actions), ["+web-0", "+web-1", "+web-2"]);
    stage.settle();
    stage.set.spec.replicas = Some(0);
    assert_eq!(names(&stage.plan().actions), ["-web-2", "-web-1", "-web-0"]);
}

#[test]
fn scaling_down_takes_the_highest_first_and_waits_for_the_others() {
    let mut stage = Stage::new(stateful_set("web", 3));
    stage.settle();
    stage.set.spec.replicas = Some(1);
    assert_eq!(names(&stage.plan().actions), ["-web-2"]);
    let mut dying = (*stage.pods["web-2"]).clone();
    dying.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    stage.pods.insert("web-2".into(), Arc::new(dying));
    assert!(names(&stage.plan().actions).is_empty(), "web-2 is still there");
    stage.pods.remove("web-2");
    assert_eq!(names(&stage.plan().actions), ["-web-1"]);
    stage.settle();
    assert_eq!(stage.names(), ["web-0"]);
}

#[test]
fn unready_pods_stop_scaling_up_and_down() {
    let mut stage = Stage::new(stateful_set("web", 3));
    stage.settle();
    for name in ["web-0", "web-1", "web-2"] {
        let mut broken = (*stage.pods[name]).clone();
        broken.status.as_mut().unwrap().conditions = None;
        stage.pods.insert(name.into(), Arc::new(broken));
    }
    for replicas in [0, 1, 5] {
        stage.set.spec.replicas = Some(replicas);
        let actions = names(&stage.plan().actions);
        assert!(actions.is_empty(), "{replicas}: {actions:?}");
    }
    // The lowest unready pod does not stand in its own way.
    stage.set.spec.replicas = Some(0);
    stage.pods.remove("web-1");
    stage.pods.remove("web-2");
    assert_eq!(names(&stage.plan().actions), ["-web-0"]);
}

#[test]
fn ordinals_may_start_elsewhere() {
    let mut stage = Stage::new(stateful_set("web", 2));
    stage.settle();
    stage.set.spec.ordinals = Some(object(json!({ "start": 5 })));
    stage.settle();
    assert_eq!(stage.names(), ["web-5", "web-6"]);
}

#[test]
fn a_rollout_goes_from_the_top_and_stops_at_the_partition() {
    let mut stage = Stage::new(stateful_set("web", 3));
    stage.settle();
    stage.set.spec.update_strategy =
        Some(object(json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } })));
    stage.image("nginx");
    assert_eq!(names(&stage.plan().actions), ["-web-2"]);
    stage.worst = 0;
    stage.settle();
    assert_eq!(stage.images(), ["jpetazzo/color", "nginx", "nginx"]);
    assert_eq!(stage.worst, 1);
    let status = stage.set.status.clone().unwrap();
    assert_ne!(status.current_revision, status.update_revision);
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(1), Some(2)));
    // A pod below the partition comes back as it was.
    stage.pods.remove("web-0");
    stage.settle();
    assert_eq!(stage.images(), ["jpetazzo/color", "nginx", "nginx"]);
    stage.set.spec.update_strategy =
        Some(object(json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } })));
    stage.settle();
    assert_eq!(stage.images(), ["nginx"; 3]);
    let status = stage.set.status.clone().unwrap();
    assert_eq!(status.current_revision, status.update_revision);
    // And back.
    stage.image("jpetazzo/color");
    stage.settle();
    assert_eq!(stage.images(), ["jpetazzo/color"; 3]);
}

#[test]
fn no_rollout_takes_more_than_may_be_unavailable() {
    for policy in ["OrderedReady", "Parallel"] {
        for most in 1..=5 {
            let mut stage = Stage::new(stateful_set("web", 5));
            stage.set.spec.pod_management_policy = Some(policy.into());
            let strategy =
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0, "maxUnavailable": most } });
            stage.set.spec.update_strategy = Some(object(strategy));
            stage.settle();
            stage.image("nginx");
            stage.worst = 0;
            stage.settle();
            assert_eq!(stage.images(), ["nginx"; 5]);
            assert_eq!(stage.worst, most, "{policy} {most}");
        }
    }
}

#[test]
fn on_delete_waits_for_people() {
    let mut stage = Stage::new(stateful_set("web", 2));
    stage.set.spec.update_strategy = Some(object(json!({ "type": "OnDelete" })));
    stage.settle();
    stage.image("nginx");
    stage.settle();
    assert_eq!(stage.images(), ["jpetazzo/color"; 2]);
    stage.pods.remove("web-0");
    stage.settle();
    assert_eq!(stage.images(), ["nginx", "jpetazzo/color"]);
}

#[test]
fn failed_pods_are_replaced_under_their_name() {
    let mut stage = Stage::new(stateful_set("web", 2));
    stage.settle();
    let mut failed = (*stage.pods["web-0"]).clone();
    failed.status = Some(object(json!({ "phase": "Failed" })));
    stage.pods.insert("web-0".into(), Arc::new(failed));
    assert_eq!(names(&stage.plan().actions), ["-web-0"]);
    stage.settle();
    assert_eq!(stage.names(), ["web-0", "web-1"]);
}

#[test]
fn claims_are_made_before_pods_and_outlive_them() {
    let mut stage = Stage::new(stateful_set("web", 2));
    stage.set.spec.volume_claim_templates = Some(vec![object(json!({
        "metadata": { "name": "data" }, "spec": { "resources": { "requests": { "storage": "1Gi" } } } }))]);
    assert_eq!(names(&stage.plan().actions), ["claim data-web-0", "+web-0"]);
    stage.settle();
    assert_eq!(stage.claims.keys().collect::<Vec<_>>(), ["data-web-0", "data-web-1"]);
    assert_eq!(stage.claims["data-web-0"].labels()["app"], "web");
    let volume = &stage.pods["web-1"].spec.as_ref().unwrap().volumes.as_ref().unwrap()[0];
    assert_eq!(volume.persistent_volume_claim.as_ref().unwrap().claim_name, "data-web-1");
    stage.set.spec.replicas = Some(0);
    stage.settle();
    assert_eq!(stage.claims.len(), 2);
}

#[test]
fn pods_that_became_ready_lately_are_not_available() {
    let mut stage = Stage::new(stateful_set("web", 2));
    stage.set.spec.min_ready_seconds = Some(2000);
    stage.step();
    stage.ready_one();
    let plan = stage.plan();
    assert!(plan.actions.is_empty());
    assert_eq!((plan.status.ready_replicas, plan.status.available_replicas), (Some(1), Some(0)));
}
