//! Old Events go: an hour after they were last written, as kube-apiserver's `--event-ttl` has it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, ResourceExt};

use crate::world::{World, is_conflict, or_gone};

/// How long an Event is kept, in seconds.
const KEPT_S: i64 = 3600;
/// How often we look.
const EVERY: Duration = Duration::from_secs(300);
/// Events read at a time.
const PAGE: u32 = 500;

/// Runs for ever.
pub(crate) async fn run(world: Arc<World>) {
    let mut clock = tokio::time::interval(EVERY);
    loop {
        clock.tick().await;
        if let Err(error) = sweep(&world, Timestamp::now()).await {
            tracing::warn!(%error, "old events are not removed");
        }
    }
}

async fn sweep(world: &World, now: Timestamp) -> Result<(), kube::Error> {
    let all: Api<Event> = Api::all(world.client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = all.list(&page).await?;
        for event in list.items.iter().filter(|e| expired(e, now)) {
            let api: Api<Event> = Api::namespaced(world.client.clone(), &event.namespace().unwrap_or_default());
            let guard = Preconditions { uid: event.uid(), resource_version: event.resource_version() };
            let params = DeleteParams { preconditions: Some(guard), ..DeleteParams::default() };
            match or_gone(api.delete(&event.name_any(), &params).await) {
                // Written again meanwhile: it stays.
                Err(error) if is_conflict(&error) => {}
                outcome => outcome?,
            }
        }
        match list.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// Whether an Event was last written too long ago.
fn expired(event: &Event, now: Timestamp) -> bool {
    let series = event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
    let times = [
        event.metadata.creation_timestamp.as_ref().map(|t| t.0),
        event.last_timestamp.as_ref().map(|t| t.0),
        event.event_time.as_ref().map(|t| t.0),
        series,
    ];
    let last = times.into_iter().flatten().max();
    last.is_some_and(|t| now.as_second() - t.as_second() > KEPT_S)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, object};

    #[test]
    fn the_last_write_counts() {
        let event = |last: &str| -> Event {
            object(
                json!({ "metadata": { "creationTimestamp": "1970-01-01T00:00:00Z" }, "involvedObject": {}, "lastTimestamp": last }),
            )
        };
        assert!(expired(&event("1970-01-01T00:10:00Z"), at(600 + 3601)));
        assert!(!expired(&event("1970-01-01T00:10:00Z"), at(600 + 3600)));
        assert!(!expired(&Event::default(), at(9999)));
    }
}
