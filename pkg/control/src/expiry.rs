//! What is old goes: Events an hour after they were last written, as kube-apiserver's `--event-ttl` has it, and requests for
//! certificates, which `certificates` judges.

mod certificates;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, PodCertificateRequest};
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::world::{World, is_conflict, or_gone};

/// How long an Event is kept, in seconds.
const KEPT_S: i64 = 3600;
/// How often we look at Events and at pods' requests.
const OFTEN: Duration = Duration::from_secs(300);
/// How often we look at other requests.
const SELDOM: Duration = Duration::from_secs(3600);
/// Objects read at a time.
const PAGE: u32 = 500;

/// Runs for ever.
pub(crate) async fn run(world: Arc<World>) {
    let client = &world.client;
    tokio::join!(
        every::<Event>(client, OFTEN, "events", within, expired),
        every::<PodCertificateRequest>(client, OFTEN, "podcertificaterequests", within, certificates::of_pod),
        every::<CertificateSigningRequest>(
            client,
            SELDOM,
            "certificatesigningrequests",
            |client, _| Api::all(client.clone()),
            certificates::signing
        ),
    );
}

fn within<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}

/// Looks at all objects of a kind now and again, and deletes the old ones.
async fn every<K>(
    client: &Client,
    pause: Duration,
    what: &str,
    of: fn(&Client, &str) -> Api<K>,
    old: fn(&K, Timestamp) -> bool,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut clock = tokio::time::interval(pause);
    loop {
        clock.tick().await;
        if let Err(error) = sweep(client, of, |object| old(object, Timestamp::now())).await {
            tracing::warn!(%error, what, "what is old is not removed");
        }
    }
}

async fn sweep<K>(client: &Client, of: fn(&Client, &str) -> Api<K>, old: impl Fn(&K) -> bool) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let all: Api<K> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = all.list(&page).await?;
        for object in list.items.iter().filter(|object| old(object)) {
            let api = of(client, &object.namespace().unwrap_or_default());
            let guard = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
            let params = DeleteParams { preconditions: Some(guard), ..DeleteParams::default() };
            match or_gone(api.delete(&object.name_any(), &params).await) {
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
