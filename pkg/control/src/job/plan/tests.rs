//! Job plans on values: a stage where plans are applied as the loop applies them, and pods end as the test says.

use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{at, object};
use k8s_openapi::api::batch::v1::JobSpec;
use kube::ResourceExt;
use serde_json::{Value, json};

struct Stage {
    job: Job,
    pods: BTreeMap<String, Arc<Pod>>,
    backoff: Backoff,
    now: i64,
    born: usize,
}

impl Stage {
    fn new(spec: Value) -> Self {
        let mut all = json!({ "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed",
            "selector": { "matchLabels": { "job": "pi" } },
            "template": { "metadata": { "labels": { "job": "pi" } },
                          "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "x" }] } } });
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let job = object(json!({ "metadata": { "name": "pi", "namespace": "default", "uid": "job" }, "spec": all }));
        Self { job, pods: BTreeMap::new(), backoff: Backoff::default(), now: 1000, born: 0 }
    }

    fn spec(&self) -> &JobSpec {
        self.job.spec.as_ref().unwrap()
    }

    fn mine(&self) -> Vec<Arc<Pod>> {
        self.pods.values().cloned().collect()
    }

    fn plan(&self) -> Plan {
        let pods = self.mine();
        plan(&Scene { job: &self.job, spec: self.spec(), pods: &pods, now: at(self.now) }, self.backoff)
    }

    fn edit(&mut self, name: &str, change: impl FnOnce(&mut Pod)) {
        let mut pod = (*self.pods[name]).clone();
        change(&mut pod);
        let leaves = pod.metadata.deletion_timestamp.is_some() && !tracked(&pod);
        if leaves { drop(self.pods.remove(name)) } else { drop(self.pods.insert(name.into(), Arc::new(pod))) }
    }

    fn untrack(&mut self, pods: &[Arc<Pod>]) {
        for pod in pods {
            self.edit(&pod.name_any(), |p| p.metadata.finalizers = None);
        }
    }

    /// Plans and applies once; true when it ended the Job.
    fn step(&mut self) -> bool {
        let mut plan = self.plan();
        self.untrack(&plan.stop);
        plan.stop.append(&mut plan.end);
        for pod in &plan.stop {
            if self.pods.contains_key(&pod.name_any()) {
                self.edit(&pod.name_any(), |p| p.metadata.deletion_timestamp = Some(Time(at(0))));
            }
        }
        for mut pod in plan.start {
            self.born += 1;
            let name = format!("{}{}", pod.metadata.generate_name.take().unwrap(), self.born);
            pod.metadata.uid = Some(name.clone());
            pod.metadata.name = Some(name.clone());
            pod.metadata.creation_timestamp = Some(Time(at(self.now)));
            pod.status = Some(object(json!({ "phase": "Running" })));
            self.pods.insert(name, Arc::new(pod));
        }
        let mut status = plan.status;
        self.backoff = plan.backoff;
        self.untrack(&plan.untrack);
        let ended = settle(&mut status, &self.mine(), plan.finish.as_ref().filter(|_| !plan.more), at(self.now));
        self.job.status = Some(status);
        ended
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            let before = (self.job.status.clone(), self.pods.clone());
            if self.step() || before == (self.job.status.clone(), self.pods.clone()) {
                return;
            }
        }
        panic!("never settles: {:?}", self.job.status);
    }

    fn active(&self) -> Vec<String> {
        self.pods.values().filter(|p| pods::active(p)).map(|p| p.name_any()).collect()
    }

    /// Active pods end with a code.
    fn end(&mut self, names: &[String], code: i32) {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let end = at(self.now).to_string();
        let status = json!({ "phase": phase, "containerStatuses": [{
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": code, "finishedAt": end } } }] });
        for name in names {
            self.edit(name, |p| p.status = Some(object(status.clone())));
        }
    }

    fn status(&self) -> &JobStatus {
        self.job.status.as_ref().unwrap()
    }

    fn conditions(&self) -> Vec<(String, String)> {
        let all = self.status().conditions.iter().flatten();
        all.map(|c| (c.type_.clone(), c.reason.clone().unwrap_or_default())).collect()
    }

    fn counts(&self) -> (i32, i32, i32) {
        let s = self.status();
        (s.active.unwrap_or(0), s.succeeded.unwrap_or(0), s.failed.unwrap_or(0))
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn pods_run_until_enough_have_succeeded() {
    let mut stage = Stage::new(json!({ "completions": 4, "parallelism": 2 }));
    stage.settle();
    assert_eq!(stage.counts(), (2, 0, 0));
    assert!(stage.pods.values().all(|p| tracked(p)));
    for _ in 0..2 {
        stage.end(&stage.active(), 0);
        stage.settle();
    }
    assert_eq!(stage.counts(), (0, 4, 0));
    assert_eq!(
        stage.conditions(),
        pairs(&[("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")])
    );
    assert!(finished(&stage.job) && stage.status().completion_time.is_some());
    assert!(stage.pods.values().all(|p| !tracked(p)), "all are counted");
    assert_eq!(stage.status().uncounted_terminated_pods, Some(Default::default()));
}

#[test]
fn without_completions_one_success_starts_the_end() {
    let mut stage = Stage::new(json!({ "completions": null, "parallelism": 3 }));
    stage.settle();
    stage.end(&stage.active()[..1], 0);
    stage.settle();
    assert_eq!(stage.counts(), (2, 1, 0));
    stage.end(&stage.active(), 0);
    stage.settle();
    assert_eq!(stage.counts(), (0, 3, 0));
    assert!(finished(&stage.job));
}

#[test]
fn failures_are_retried_with_pauses_up_to_the_limit() {
    let mut stage = Stage::new(json!({ "backoffLimit": 2 }));
    stage.settle();
    for (failures, pause) in [(1, 10), (2, 20)] {
        stage.end(&stage.active(), 1);
        stage.settle();
        assert_eq!(stage.counts(), (0, 0, failures));
        assert_eq!(stage.plan().again, Some(Duration::from_secs(pause)));
        stage.now += i64::try_from(pause).unwrap();
        stage.settle();
        assert_eq!(stage.active().len(), 1);
    }
    stage.end(&stage.active(), 1);
    stage.settle();
    assert_eq!(
        stage.conditions(),
        pairs(&[("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")])
    );
    assert_eq!(stage.counts(), (0, 0, 3));
}

#[test]
fn no_pod_is_counted_twice_whatever_dies_in_between() {
    let mut stage = Stage::new(json!({ "completions": 3, "parallelism": 3 }));
    stage.settle();
    stage.end(&stage.active(), 0);
    // The status is written, then everything stops; the finalizers are still there.
    stage.job.status = Some(stage.plan().status);
    let uncounted = stage.status().uncounted_terminated_pods.clone().unwrap();
    assert_eq!(uncounted.succeeded.map(|all| all.len()), Some(3));
    // Once more, and the finalizers go, but the second write is lost.
    let plan = stage.plan();
    assert_eq!(plan.status, *stage.status(), "nothing new to say");
    stage.untrack(&plan.untrack);
    stage.settle();
    assert_eq!(stage.counts(), (0, 3, 0));
    assert!(finished(&stage.job));
}

#[test]
fn indexed_jobs_give_every_index_a_pod() {
    let mut stage = Stage::new(json!({ "completionMode": "Indexed", "completions": 4, "parallelism": 2 }));
    stage.settle();
    let pod = stage.pods.values().next().unwrap().clone();
    assert_eq!(pod.labels()[made::INDEX], "0");
    assert_eq!(pod.annotations()[made::INDEX], "0");
    let spec = pod.spec.clone().unwrap();
    assert_eq!(spec.hostname.as_deref(), Some("pi-0"));
    let env = &spec.containers[0].env.as_ref().unwrap()[0];
    assert_eq!(env.name, "JOB_COMPLETION_INDEX");
    assert!(pod.name_any().starts_with("pi-0-"));
    // Index 1 ends first, then a failed index 0 comes again.
    let one: Vec<_> = stage.active().into_iter().filter(|n| n.starts_with("pi-1-")).collect();
    stage.end(&one, 0);
    stage.settle();
    assert_eq!(stage.status().completed_indexes.as_deref(), Some("1"));
    stage.end(&stage.active(), 1);
    stage.settle();
    stage.now += 100;
    stage.settle();
    assert!(stage.active().iter().any(|n| n.starts_with("pi-0-")));
    for _ in 0..3 {
        stage.end(&stage.active(), 0);
        stage.settle();
    }
    assert_eq!(stage.status().completed_indexes.as_deref(), Some("0-3"));
    assert_eq!(stage.counts(), (0, 4, 2));
    assert!(finished(&stage.job));
}

#[test]
fn each_index_may_have_its_own_limit() {
    let mut stage = Stage::new(
        json!({ "completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimit": 100, "backoffLimitPerIndex": 1 }),
    );
    stage.settle();
    for _ in 0..2 {
        let zero: Vec<_> = stage.active().into_iter().filter(|n| n.starts_with("pi-0-")).collect();
        assert_eq!(zero.len(), 1);
        stage.end(&zero, 1);
        stage.settle();
        stage.now += 1000;
        stage.settle();
    }
    assert_eq!(stage.status().failed_indexes.as_deref(), Some("0"));
    assert!(stage.active().iter().all(|n| n.starts_with("pi-1-")));
    stage.end(&stage.active(), 0);
    stage.settle();
    assert_eq!(stage.conditions(), pairs(&[("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes")]));
    assert_eq!(stage.status().completed_indexes.as_deref(), Some("1"));
}

#[test]
fn the_policies_end_a_job_early() {
    let mut stage = Stage::new(json!({ "completions": 3, "parallelism": 3, "podFailurePolicy": { "rules": [
        { "action": "FailJob", "onExitCodes": { "operator": "In", "values": [42] } }] } }));
    stage.settle();
    stage.end(&stage.active()[..1], 42);
    stage.settle();
    assert_eq!(stage.conditions()[0], ("FailureTarget".into(), "PodFailurePolicy".into()));
    assert!(stage.active().is_empty());
    let mut stage = Stage::new(json!({ "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": { "rules": [{ "succeededIndexes": "1" }] } }));
    stage.settle();
    let one: Vec<_> = stage.active().into_iter().filter(|n| n.starts_with("pi-1-")).collect();
    stage.end(&one, 0);
    stage.settle();
    assert_eq!(stage.conditions(), pairs(&[("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")]));
    assert_eq!(stage.counts(), (0, 1, 0), "pods that were stopped for success are no failures");
}

#[test]
fn a_deadline_ends_a_job() {
    let mut stage = Stage::new(json!({ "activeDeadlineSeconds": 30 }));
    stage.settle();
    assert_eq!(stage.plan().again, Some(Duration::from_secs(30)));
    stage.now += 30;
    stage.settle();
    assert_eq!(stage.conditions()[1], ("Failed".into(), "DeadlineExceeded".into()));
    assert!(stage.pods.values().all(|p| !pods::active(p)));
}

#[test]
fn suspended_jobs_have_no_pods_and_start_anew() {
    let mut stage = Stage::new(json!({ "suspend": true }));
    stage.settle();
    assert_eq!((stage.active().len(), stage.conditions()), (0, pairs(&[("Suspended", "JobSuspended")])));
    assert_eq!(stage.status().start_time, None);
    stage.job.spec.as_mut().unwrap().suspend = Some(false);
    stage.now += 50;
    stage.settle();
    assert_eq!(stage.status().start_time, Some(Time(at(1050))));
    assert_eq!(stage.active().len(), 1);
    stage.job.spec.as_mut().unwrap().suspend = Some(true);
    stage.settle();
    assert!(stage.active().is_empty());
    assert_eq!(stage.counts(), (0, 0, 0), "stopped pods are no failures");
}

#[test]
fn fewer_pods_when_parallelism_shrinks() {
    let mut stage = Stage::new(json!({ "completions": 10, "parallelism": 5 }));
    stage.settle();
    stage.job.spec.as_mut().unwrap().parallelism = Some(2);
    stage.settle();
    assert_eq!(stage.counts(), (2, 0, 0));
}

#[test]
fn a_job_waits_for_its_last_pods_to_go() {
    let mut stage = Stage::new(json!({ "activeDeadlineSeconds": 30 }));
    stage.settle();
    stage.now += 31;
    // Another finalizer keeps the pod on its way out.
    let name = stage.active()[0].clone();
    let plan = stage.plan();
    stage.edit(&name, |p| p.metadata.deletion_timestamp = Some(Time(at(0))));
    let mut status = plan.status;
    stage.edit(&name, |p| p.metadata.finalizers = Some(vec![made::TRACKING.into()]));
    let leaving: Vec<_> = stage.mine();
    status.uncounted_terminated_pods = Some(Default::default());
    assert!(!settle(&mut status, &leaving, plan.finish.as_ref(), at(stage.now)));
    assert_eq!(status.terminating, Some(1));
    assert!(settle(&mut status, &[], plan.finish.as_ref(), at(stage.now)));
}
