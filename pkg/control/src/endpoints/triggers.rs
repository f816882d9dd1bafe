//! When the change happened that endpoints follow: written on slices and Endpoints so that one can measure how long it
//! took. Bookkeeping only; follows Kubernetes' `endpointslice/util/trigger_time_tracker.go`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::mirror::Key;
use crate::pods;

/// The annotation (RFC 3339).
pub(super) const ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What was seen of a service, and what its objects have yet to tell.
#[derive(Default)]
struct Known {
    service: Option<Timestamp>,
    /// When each pod became ready or unready.
    pods: HashMap<String, Timestamp>,
    slices: Option<Timestamp>,
    endpoints: Option<Timestamp>,
}

/// Services by key.
#[derive(Default)]
pub(super) struct Triggers(HashMap<Key, Known>);

fn earlier(one: Option<Timestamp>, two: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(two).min()
}

impl Triggers {
    /// Looks at a service and its pods; what changed since is to be told.
    pub(super) fn see(&mut self, key: &Key, service: &Service, pods: &[Arc<Pod>]) {
        let made = service.metadata.creation_timestamp.as_ref().map(|t| t.0);
        let changed = |pod: &Arc<Pod>| {
            let since = pods::condition(pod, "Ready")?.last_transition_time.as_ref()?.0;
            Some((pod.metadata.name.clone()?, since))
        };
        let now: HashMap<_, _> = pods.iter().filter_map(changed).collect();
        let fresh = !self.0.contains_key(key);
        let known = self.0.entry(key.clone()).or_default();
        let trigger = if fresh {
            made
        } else {
            let later = now.iter().filter(|(name, since)| known.pods.get(*name).is_none_or(|t| t < since));
            earlier(later.map(|(_, since)| *since).min(), made.filter(|t| known.service.is_none_or(|s| s < *t)))
        };
        known.slices = earlier(known.slices, trigger);
        known.endpoints = earlier(known.endpoints, trigger);
        (known.pods, known.service) = (now, made);
    }

    /// What slices have to tell now; nothing is left of it.
    pub(super) fn slices(&mut self, key: &Key) -> Option<Timestamp> {
        self.0.get_mut(key)?.slices.take()
    }

    /// The same for the Endpoints object.
    pub(super) fn endpoints(&mut self, key: &Key) -> Option<Timestamp> {
        self.0.get_mut(key)?.endpoints.take()
    }

    /// The service is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// Writes the annotation, or takes it off when there is nothing to tell.
pub(super) fn stamp(meta: &mut ObjectMeta, trigger: Option<Timestamp>) {
    match trigger {
        Some(trigger) => {
            meta.annotations.get_or_insert_default().insert(ANNOTATION.to_owned(), trigger.to_string());
        }
        None => {
            if let Some(annotations) = &mut meta.annotations {
                annotations.remove(ANNOTATION);
            }
            meta.annotations.take_if(|a| a.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, pod, service};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn the_earliest_change_since_the_last_look_is_told_once() {
        let mut triggers = Triggers::default();
        let key = ("default".to_owned(), "web".to_owned());
        let mut web = service("web");
        web.metadata.creation_timestamp = Some(Time(at(100)));
        let ready = |name: &str, since: i64| pod(name).ready(since).build();
        let mut tell = |pods: &[Arc<Pod>]| {
            triggers.see(&key, &web, pods);
            (triggers.slices(&key), triggers.endpoints(&key))
        };
        // A service that is new tells when it was made, whatever its pods say.
        assert_eq!(tell(&[ready("a", 50)]), (Some(at(100)), Some(at(100))));
        assert_eq!(tell(&[ready("a", 50)]), (None, None));
        assert_eq!(tell(&[ready("a", 130), ready("b", 120)]).0, Some(at(120)));
        assert_eq!(tell(&[ready("b", 120)]).0, None, "a pod that went away says nothing");
        triggers.see(&key, &web, &[ready("b", 150)]);
        assert_eq!(triggers.slices(&key), Some(at(150)));
        triggers.see(&key, &web, &[ready("b", 160)]);
        assert_eq!(
            (triggers.slices(&key), triggers.endpoints(&key)),
            (Some(at(160)), Some(at(150))),
            "not written yet"
        );
        triggers.forget(&key);
        triggers.see(&key, &web, &[]);
        assert_eq!(triggers.endpoints(&key), Some(at(100)));
    }

    #[test]
    fn the_annotation_comes_and_goes() {
        let mut meta = ObjectMeta::default();
        stamp(&mut meta, Some(at(0)));
        assert_eq!(meta.annotations.as_ref().unwrap()[ANNOTATION], "1970-01-01T00:00:00Z");
        stamp(&mut meta, None);
        assert_eq!(meta, ObjectMeta::default());
    }
}
