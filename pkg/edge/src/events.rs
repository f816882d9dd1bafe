//! Events on services, as `kubectl describe` shows them: one object per thing said, counted when it is said again.
//! Must not hold anything up: a lost Event is only logged.

use std::collections::HashMap;

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference, Service},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

/// The name under which cloud controllers speak (cloud-provider `controllers/service/controller.go`).
const COMPONENT: &str = "service-controller";

/// Writes Events.
pub(crate) struct Recorder {
    client: Client,
    /// By uid of the service, reason and message: the Event's name and how often it was said.
    said: HashMap<(String, &'static str, String), (String, i32)>,
}

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Normal,
    Warning,
}

impl Recorder {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, said: HashMap::new() }
    }

    /// Says `message` about the service.
    pub(crate) fn say(&mut self, service: &Service, mood: Mood, reason: &'static str, message: &str) {
        let meta = &service.metadata;
        let (Some(namespace), Some(name)) = (meta.namespace.clone(), meta.name.clone()) else { return };
        let uid = meta.uid.clone().unwrap_or_default();
        let now = Timestamp::now();
        let fresh = format!("{name}.{:016x}", now.as_nanosecond() as u64);
        let said = self.said.entry((uid.clone(), reason, message.to_owned())).or_insert((fresh, 0));
        said.1 += 1;
        let (event_name, count) = said.clone();
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(event_name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Service".into()),
                name: Some(name),
                namespace: Some(namespace),
                resource_version: meta.resource_version.clone(),
                uid: Some(uid),
                ..ObjectReference::default()
            },
            type_: Some(format!("{mood:?}")),
            reason: Some(reason.into()),
            message: Some(message.into()),
            source: Some(EventSource { component: Some(COMPONENT.into()), host: None }),
            reporting_component: Some(COMPONENT.into()),
            reporting_instance: Some(String::new()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(count),
            ..Event::default()
        };
        tokio::spawn(async move {
            let again = json!({ "count": count, "lastTimestamp": event.last_timestamp });
            let patched = if count > 1 {
                events.patch(&event_name, &PatchParams::default(), &Patch::Merge(&again)).await.is_ok()
            } else {
                false
            };
            // One that expired is written anew.
            if !patched && let Err(error) = events.create(&PostParams::default(), &event).await {
                tracing::debug!(%error, "write event");
            }
        });
    }

    /// Forgets what was said about services that are gone.
    pub(crate) fn keep(&mut self, there: impl Fn(&str) -> bool) {
        self.said.retain(|(uid, ..), _| there(uid));
    }
}
