//! Events about pods, written in the background: nothing waits for them, and repeated ones are counted instead of
//! written anew.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;

/// More waiting events than this are dropped: they are news, not records.
const WAITING: usize = 4096;
/// Events of the past that are remembered to count repetitions.
const REMEMBERED: usize = 1024;

/// Writes events. Clones share one queue.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Note>,
}

struct Note {
    about: Arc<ObjectReference>,
    warning: bool,
    reason: Cow<'static, str>,
    message: String,
    at: Timestamp,
}

impl Recorder {
    /// Starts the task that writes; it ends with the last clone.
    pub(crate) fn start(client: kube::Client, node: &str) -> Recorder {
        let (queue, notes) = mpsc::channel(WAITING);
        tokio::spawn(write(client, node.to_owned(), notes));
        Recorder { queue }
    }

    pub(crate) fn normal(
        &self,
        about: &Arc<ObjectReference>,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) {
        self.note(about, false, reason.into(), message.into());
    }

    pub(crate) fn warning(
        &self,
        about: &Arc<ObjectReference>,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) {
        self.note(about, true, reason.into(), message.into());
    }

    fn note(&self, about: &Arc<ObjectReference>, warning: bool, reason: Cow<'static, str>, message: String) {
        let note = Note { about: about.clone(), warning, reason, message, at: Timestamp::now() };
        if let Err(error) = self.queue.try_send(note) {
            tracing::debug!(reason = %error.into_inner().reason, "event dropped: the queue is full");
        }
    }
}

/// What an event about a pod, or about one of its containers (the spec's list and its name), refers to.
pub(crate) fn reference(pod: &Pod, container: Option<(&str, &str)>) -> Arc<ObjectReference> {
    Arc::new(ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: container.map(|(list, name)| format!("spec.{list}{{{name}}}")),
    })
}

/// What makes two events the same: uid, field path, reason, message.
type Key = (Option<String>, Option<String>, Cow<'static, str>, String);

async fn write(client: kube::Client, node: String, mut notes: mpsc::Receiver<Note>) {
    // Name and count of what was written, by what it says.
    let mut written: HashMap<Key, (String, i32)> = HashMap::new();
    while let Some(note) = notes.recv().await {
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".into());
        let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let key = (note.about.uid.clone(), note.about.field_path.clone(), note.reason.clone(), note.message.clone());
        if let Some((name, count)) = written.get_mut(&key) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": Time(note.at)});
            if events.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.is_ok() {
                continue;
            }
        }
        let base = note.about.name.as_deref().unwrap_or_default();
        let name = format!("{base}.{:016x}", fastrand::u64(..));
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace), ..Default::default() },
            involved_object: (*note.about).clone(),
            reason: Some(note.reason.to_string()),
            message: Some(note.message),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.into()),
            count: Some(1),
            first_timestamp: Some(Time(note.at)),
            last_timestamp: Some(Time(note.at)),
            source: Some(EventSource { component: Some("kubelet".into()), host: Some(node.clone()) }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(node.clone()),
            ..Default::default()
        };
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => {
                if written.len() >= REMEMBERED {
                    written.clear();
                }
                written.insert(key, (name, 1));
            }
            // A namespace that is being deleted takes no events; an absent server will not miss one.
            Err(error) => tracing::debug!(%error, reason = %note.reason, "event not written"),
        }
    }
}
