//! The Job controller: pods until enough have succeeded. `plan` judges one step; this loop applies it in the order that
//! counts every pod once, and lets go of pods that no Job counts any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use parking_lot::Mutex;
use serde_json::json;

use crate::labels::selects;
use crate::mirror::{Key, key_of};
use crate::owners;
use crate::podset::Owner;
use crate::queue::{Queue, drive};
use crate::replicaset::{claim_pods_if, owned};
use crate::world::{World, now, or_gone};

mod backoff;
mod ending;
mod indexed;
mod indexes;
mod made;
mod plan;
mod policy;
use backoff::Backoff;
use plan::{Plan, Scene};

const COMPONENT: &str = "job-controller";
/// The value of `managedBy` that means this controller.
const OURSELVES: &str = "kubernetes.io/job-controller";

struct Controller {
    world: Arc<World>,
    /// Failures since the last success, by the Job's uid.
    backoffs: Mutex<HashMap<String, Backoff>>,
}

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let controller = Arc::new(Controller { world: world.clone(), backoffs: Mutex::default() });
    let (q, c) = (queue.clone(), controller.clone());
    world.jobs.hook(move |old, new| {
        if let Some(job) = new.or(old) {
            q.add(key_of(&job.metadata));
        }
        if let (Some(old), None) = (old, new) {
            c.backoffs.lock().remove(&old.uid().unwrap_or_default());
        }
    });
    let (q, jobs) = (queue.clone(), world.jobs.clone());
    world.pods.hook(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            match owners::controller(&pod.metadata) {
                Some(owner) if owner.kind == "Job" => q.add((namespace, owner.name.clone())),
                Some(_) => {}
                None => {
                    for job in jobs.list(&namespace).iter().filter(|j| job_selects(j, pod)) {
                        q.add(key_of(&job.metadata));
                    }
                    if made::tracked(pod) {
                        // Nobody's: the empty name stands for the orphans of a namespace.
                        q.add((namespace, String::new()));
                    }
                }
            }
        }
    });
    drive("job", queue, 8, |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    })
    .await;
}

fn job_selects(job: &Job, pod: &Pod) -> bool {
    let selector = job.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|s| selects(s, pod.metadata.labels.as_ref()))
}

fn ours(job: &Job) -> bool {
    job.spec.as_ref().and_then(|s| s.managed_by.as_deref()).is_none_or(|m| m == OURSELVES)
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Option<Duration>, kube::Error> {
        let world = &self.world;
        let Some(job) = world.jobs.get_key(&key) else { return self.orphans(&key).await };
        if !ours(&job) {
            return Ok(None);
        }
        let mine = || owned(world, &job.metadata);
        if plan::finished(&job) {
            self.backoffs.lock().remove(&job.uid().unwrap_or_default());
            self.untrack(&mine().into_iter().filter(|p| made::tracked(p)).collect::<Vec<_>>()).await?;
            return Ok(None);
        }
        let Some(spec) = &job.spec else { return Ok(None) };
        let Some(selector) = &spec.selector else { return Ok(None) };
        let pods = claim_pods_if(world, &*job, &job.metadata, selector, &|_| true, Some(made::TRACKING)).await?;
        let uid = job.uid().unwrap_or_default();
        let backoff = self.backoffs.lock().get(&uid).copied().unwrap_or_default();
        let plan = plan::plan(&Scene { job: &job, spec, pods: &pods, now: now() }, backoff);
        let again = self.apply(&job, plan).await?;
        Ok(again)
    }

    async fn apply(&self, job: &Arc<Job>, mut plan: Plan) -> Result<Option<Duration>, kube::Error> {
        let world = &self.world;
        let owner = Owner { object: &**job, component: COMPONENT };
        self.untrack(&plan.stop).await?;
        plan.stop.append(&mut plan.end);
        if let Some((_, error)) = owner.delete(world, &plan.stop).await {
            return Err(error);
        }
        let failure = owner.create(world, &plan.start).await;
        for (reason, message) in &plan.told {
            world.recorder.normal(&**job, COMPONENT, reason, *message);
        }
        let mine = || owned(world, &job.metadata);
        let mut status = plan.status;
        plan::living(&mut status, &mine());
        let job = self.report(job.clone(), &status).await?;
        self.backoffs.lock().insert(job.uid().unwrap_or_default(), plan.backoff);
        self.untrack(&plan.untrack).await?;
        let finish = plan.finish.filter(|_| !plan.more && failure.is_none());
        let ended = plan::settle(&mut status, &mine(), finish.as_ref(), now());
        let job = self.report(job, &status).await?;
        if let Some(end) = finish.filter(|_| ended) {
            self.tell(&job, &end);
        }
        match failure {
            Some((_, error)) => Err(error),
            None if plan.more => Ok(Some(Duration::ZERO)),
            None => Ok(plan.again),
        }
    }

    fn tell(&self, job: &Job, end: &k8s_openapi::api::batch::v1::JobCondition) {
        let recorder = &self.world.recorder;
        if end.type_ != "Complete" {
            let reason = end.reason.as_deref().unwrap_or_default();
            return recorder.warning(job, COMPONENT, reason, end.message.clone().unwrap_or_default());
        }
        let succeeded = job.status.as_ref().and_then(|s| s.succeeded).unwrap_or(0);
        if job.spec.as_ref().and_then(|s| s.completions).is_some_and(|asked| succeeded > asked) {
            let message = "Too many succeeded pods running after completion count reached";
            recorder.warning(job, COMPONENT, "TooManySucceededPods", message);
        }
        recorder.normal(job, COMPONENT, "Completed", "Job completed");
    }

    /// Writes a status if it says something new; the Job with it.
    async fn report(&self, job: Arc<Job>, status: &JobStatus) -> Result<Arc<Job>, kube::Error> {
        if job.status.as_ref() == Some(status) {
            return Ok(job);
        }
        let mut changed = (*job).clone();
        changed.status = Some(status.clone());
        self.world.replace_status(&changed).await
    }

    /// Takes the finalizer off pods that have it.
    async fn untrack(&self, pods: &[Arc<Pod>]) -> Result<(), kube::Error> {
        let release = pods.iter().filter(|p| made::tracked(p)).map(|pod| async {
            let patch = json!({ "metadata": {
                "uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [made::TRACKING] } });
            match self.world.patch_strategic(&**pod, patch).await {
                // Another life of that name.
                Err(error) if crate::world::is_conflict(&error) => Ok(()),
                outcome => or_gone(outcome),
            }
        });
        join_all(release).await.into_iter().collect()
    }

    /// Lets go of pods whose Job is gone, or that have no controller at all.
    async fn orphans(&self, key: &Key) -> Result<Option<Duration>, kube::Error> {
        let jobs = self.world.jobs.list(&key.0);
        let orphan = |pod: &Arc<Pod>| {
            made::tracked(pod)
                && match owners::controller(&pod.metadata) {
                    Some(owner) => owner.kind == "Job" && owner.name == key.1,
                    None => key.1.is_empty() && !jobs.iter().any(|j| !plan::finished(j) && job_selects(j, pod)),
                }
        };
        let orphans: Vec<_> = self.world.pods.list(&key.0).into_iter().filter(orphan).collect();
        self.untrack(&orphans).await?;
        Ok(None)
    }
}
