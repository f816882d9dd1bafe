//! The CronJob controller: a Job at every time of a schedule. `plan` judges; this loop starts and removes Jobs. It
//! sleeps until the next time is due.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::PropagationPolicy;

use crate::mirror::{Key, key_of, owner_entry};
use crate::owners;
use crate::podset::text;
use crate::queue::{Queue, drive};
use crate::recorder::reference;
use crate::world::{World, is_conflict, now, or_gone};

mod plan;
mod schedule;
use plan::plan;

const COMPONENT: &str = "cronjob-controller";

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.cron_jobs.hook(move |_, new| {
        if let Some(new) = new {
            q.add(key_of(&new.metadata));
        }
    });
    let q = queue.clone();
    world.jobs.hook(move |old, new| {
        for job in [old, new].into_iter().flatten() {
            if let Some(owner) = owners::controller(&job.metadata).filter(|o| o.kind == "CronJob") {
                q.add((job.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()));
            }
        }
    });
    drive("cronjob", queue, 5, |key| sync(&world, key)).await;
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(cron) = world.cron_jobs.get_key(&key) else { return Ok(None) };
    let jobs = world.jobs.indexed(&owner_entry(cron.metadata.uid.as_deref().unwrap_or_default()));
    let plan = plan(&cron, &jobs, |name| world.jobs.get(&key.0, name).is_some(), now());
    for (warning, reason, message) in plan.told {
        match warning {
            true => world.recorder.warning(&*cron, COMPONENT, reason, message),
            false => world.recorder.normal(&*cron, COMPONENT, reason, message),
        }
    }
    let mut status = plan.status;
    for job in &plan.remove {
        if let Err(error) = world.delete_with(&**job, PropagationPolicy::Background).await {
            let message = format!("Deleted job: {}", text(&error));
            world.recorder.warning(&*cron, COMPONENT, "FailedDelete", message);
            return Err(error);
        }
        if let Some(active) = &mut status.active {
            active.retain(|a| a.uid != job.metadata.uid);
        }
        let message = format!("Deleted job {}", job.name_any());
        world.recorder.normal(&*cron, COMPONENT, "SuccessfulDelete", message);
    }
    let mut failure = None;
    if let Some((job, at)) = plan.start {
        match start(world, &cron, &job).await {
            Ok(Some(job)) => {
                status.active.get_or_insert_default().push(reference(&*job));
                status.last_schedule_time = Some(Time(at));
            }
            Ok(None) => {}
            Err(error) => failure = Some(error),
        }
    }
    status.active = status.active.filter(|a| !a.is_empty());
    if cron.status.as_ref() != Some(&status) {
        let mut changed = (*cron).clone();
        changed.status = Some(status);
        or_gone(world.replace_status(&changed).await)?;
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(plan.again),
    }
}

/// Starts a Job, or finds it started before its record was written; `None` when the name is another's.
async fn start(world: &World, cron: &CronJob, job: &Job) -> Result<Option<Arc<Job>>, kube::Error> {
    match world.create(job).await {
        Ok(made) => {
            world.recorder.normal(cron, COMPONENT, "SuccessfulCreate", format!("Created job {}", made.name_any()));
            Ok(Some(made))
        }
        Err(error) if is_conflict(&error) => {
            let there = world.jobs.get(&job.namespace().unwrap_or_default(), &job.name_any());
            Ok(there.filter(|j| owners::controlled_by(&j.metadata, &cron.metadata)))
        }
        Err(error) => {
            let message = format!("Error creating job: {}", text(&error));
            world.recorder.warning(cron, COMPONENT, "FailedCreate", message);
            Err(error)
        }
    }
}
