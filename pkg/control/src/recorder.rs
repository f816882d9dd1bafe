//! Events: what controllers tell people. One recorder aggregates repeats and keeps floods away, then writes v1 Events
//! as `kubectl describe` reads them. It never makes a controller wait: when it cannot keep up, events are dropped.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;

mod aggregate;
use aggregate::{Aggregator, Record};

/// Lanes that write side by side; events of one object stay in one lane, so in order.
const LANES: usize = 8;
/// Events waiting in a lane before new ones are dropped.
const LANE_LENGTH: usize = 1024;

/// One thing to tell.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) object: ObjectReference,
    pub(crate) component: &'static str,
    pub(crate) warning: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Takes notes from everywhere.
#[derive(Clone)]
pub(crate) struct Recorder {
    lanes: Arc<Vec<mpsc::Sender<Note>>>,
}

impl Recorder {
    /// The recorder and the loops that write for it.
    pub(crate) fn new(client: &Client) -> (Self, Vec<impl Future<Output = ()> + Send + 'static>) {
        let (mut lanes, mut loops) = (Vec::new(), Vec::new());
        for _ in 0..LANES {
            let (sender, receiver) = mpsc::channel(LANE_LENGTH);
            lanes.push(sender);
            loops.push(write(client.clone(), receiver));
        }
        (Self { lanes: Arc::new(lanes) }, loops)
    }

    pub(crate) fn normal<K>(&self, object: &K, component: &'static str, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.note(reference(object), component, false, reason, message.into());
    }

    pub(crate) fn warning<K>(&self, object: &K, component: &'static str, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.note(reference(object), component, true, reason, message.into());
    }

    fn note(&self, object: ObjectReference, component: &'static str, warning: bool, reason: &str, message: String) {
        let mut hasher = DefaultHasher::new();
        object.uid.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        let note = Note { object, component, warning, reason: reason.to_owned(), message };
        if let Err(error) = self.lanes[lane].try_send(note) {
            tracing::debug!(%error, "an event is dropped");
        }
    }
}

/// What an Event says of the object it is about.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

async fn write(client: Client, mut notes: mpsc::Receiver<Note>) {
    let mut aggregator = Aggregator::default();
    while let Some(note) = notes.recv().await {
        let now = Timestamp::now();
        let Some(record) = aggregator.take(&note, now) else { continue };
        let namespace = note.object.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
        let api: Api<Event> = Api::namespaced(client.clone(), namespace);
        if record.count > 1 {
            let at = Time(crate::world::now());
            let patch = json!({ "count": record.count, "lastTimestamp": at, "message": record.message });
            match api.patch(&record.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Err(error) if crate::world::is_not_found(&error) => {}
                Err(error) => {
                    tracing::debug!(%error, reason = note.reason, "event not updated");
                    continue;
                }
                Ok(_) => continue,
            }
        }
        if let Err(error) = api.create(&PostParams::default(), &event(&note, &record, namespace)).await {
            tracing::debug!(%error, reason = note.reason, "event not written");
        }
    }
}

fn event(note: &Note, record: &Record, namespace: &str) -> Event {
    let mut event = Event {
        involved_object: note.object.clone(),
        reason: Some(note.reason.clone()),
        message: Some(record.message.clone()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        count: Some(record.count),
        first_timestamp: Some(Time(record.first)),
        last_timestamp: Some(Time(crate::world::now())),
        source: Some(EventSource { component: Some(note.component.to_owned()), host: None }),
        reporting_component: Some(note.component.to_owned()),
        reporting_instance: Some(String::new()),
        ..Event::default()
    };
    event.metadata.namespace = Some(namespace.to_owned());
    event.metadata.name = Some(record.name.clone());
    event
}
