//! Jobs that ended go after `ttlSecondsAfterFinished` (KEP-592), with their pods. `left` judges; this loop deletes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PropagationPolicy;

use crate::mirror::{Key, key_of};
use crate::queue::{Queue, drive};
use crate::world::{World, now};

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.jobs.hook(move |_, new| {
        if let Some(job) = new.filter(|j| left(j, Timestamp::UNIX_EPOCH).is_some()) {
            q.add(key_of(&job.metadata));
        }
    });
    drive("ttl after finished", queue, 4, |key| sync(&world, key)).await;
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(job) = world.jobs.get_key(&key) else { return Ok(None) };
    match left(&job, now()) {
        None => Ok(None),
        Some(left) if !left.is_zero() => Ok(Some(left)),
        Some(_) => {
            world.delete_with(&*job, PropagationPolicy::Foreground).await?;
            Ok(None)
        }
    }
}

/// How long an ended Job may stay; `None` when it has no such limit or has not ended.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions.iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    let due = end.last_transition_time.as_ref()?.0.as_second() + i64::from(ttl);
    Some(Duration::from_secs(u64::try_from(due - now.as_second()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, object};
    use serde_json::json;

    #[test]
    fn time_left() {
        let job = |spec: serde_json::Value, kind: &str| -> Job {
            let conditions = json!([{ "type": kind, "status": "True", "lastTransitionTime": at(100).to_string() }]);
            object(json!({ "metadata": {}, "spec": spec, "status": { "conditions": conditions } }))
        };
        let limited = || json!({ "ttlSecondsAfterFinished": 30, "template": {} });
        assert_eq!(left(&job(limited(), "Complete"), at(110)), Some(Duration::from_secs(20)));
        assert_eq!(left(&job(limited(), "Failed"), at(130)), Some(Duration::ZERO));
        assert_eq!(left(&job(limited(), "Suspended"), at(130)), None);
        assert_eq!(left(&job(json!({ "template": {} }), "Complete"), at(130)), None);
    }
}
