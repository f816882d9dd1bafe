//! Which services a change of a Service, Pod, Node, Endpoints or slice touches: hooks that put their keys into the queue.
//! Must not plan.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use parking_lot::Mutex;

use super::{CONTROLLER, MIRRORING, SERVICE_NAME, hints, managed_by, selector};
use crate::labels::{Labels, map_matches};
use crate::mirror::{Key, key_of, label_entry, node_entry};
use crate::pods;
use crate::queue::Queue;
use crate::world::World;

/// Services by one pair of their selector, so that a pod finds those that may want it without asking all.
#[derive(Default)]
struct Selectors {
    by_pair: HashMap<String, BTreeSet<String>>,
}

impl Selectors {
    fn entry(service: &Service) -> Option<String> {
        let (key, value) = selector(service)?.iter().next()?;
        Some(label_entry(service.metadata.namespace.as_deref().unwrap_or_default(), key, value))
    }

    fn change(&mut self, old: Option<&Service>, new: Option<&Service>) {
        if let Some((entry, old)) = old.and_then(|s| Some((Self::entry(s)?, s)))
            && let Some(names) = self.by_pair.get_mut(&entry)
        {
            names.remove(old.metadata.name.as_deref().unwrap_or_default());
            if names.is_empty() {
                self.by_pair.remove(&entry);
            }
        }
        if let Some((entry, new)) = new.and_then(|s| Some((Self::entry(s)?, s))) {
            self.by_pair.entry(entry).or_default().insert(new.metadata.name.clone().unwrap_or_default());
        }
    }

    fn candidates(&self, namespace: &str, labels: &Labels) -> Vec<String> {
        let entries = labels.iter().map(|(k, v)| label_entry(namespace, k, v));
        entries.filter_map(|e| self.by_pair.get(&e)).flatten().cloned().collect()
    }
}

/// What of a pod endpoints depend on.
fn face(pod: &Pod) -> impl PartialEq + use<> {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    (
        pod.metadata.labels.clone(),
        (pods::ready(pod), pods::terminating(pod), pods::terminal(pod)),
        status.map(|s| (s.pod_ip.clone(), s.pod_ips.clone())),
        spec.map(|s| (s.node_name.clone(), s.hostname.clone(), s.subdomain.clone())),
        pod.metadata.uid.clone(),
    )
}

/// Hooks the queue to all that endpoints depend on. Services that were deleted are noted in `gone`.
pub(super) fn follow(world: &World, queue: &Arc<Queue<Key>>, gone: &Arc<Mutex<HashSet<Key>>>) {
    let selectors = Arc::new(Mutex::new(Selectors::default()));
    let (q, s, gone) = (queue.clone(), selectors.clone(), gone.clone());
    world.services.hook(move |old, new| {
        s.lock().change(old.map(|o| &**o), new.map(|n| &**n));
        if let Some(service) = new.or(old) {
            let key = key_of(&service.metadata);
            if new.is_none() {
                gone.lock().insert(key.clone());
            }
            q.add(key);
        }
    });
    let (q, s, services, pods) = (queue.clone(), selectors.clone(), world.services.clone(), world.pods.clone());
    world.nodes.hook(move |old, new| {
        let zone = |node: &Node| node.metadata.labels.as_ref().and_then(|labels| labels.get(hints::ZONE)).cloned();
        if old.map(|node| hints::capacity(node)) != new.map(|node| hints::capacity(node)) {
            let sharing = services.all().into_iter().filter(|s| hints::wish(s) == hints::Wish::Shares);
            sharing.for_each(|service| q.add(key_of(&service.metadata)));
        }
        // Slices say in which zone an endpoint is.
        let Some(node) = new.filter(|new| old.is_some_and(|old| zone(old) != zone(new))) else { return };
        for pod in pods.indexed(&node_entry(node.metadata.name.as_deref().unwrap_or_default())) {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            let Some(labels) = &pod.metadata.labels else { continue };
            let names = s.lock().candidates(&namespace, labels);
            names.into_iter().for_each(|name| q.add((namespace.clone(), name)));
        }
    });
    let (q, services) = (queue.clone(), world.services.clone());
    world.pods.hook(move |old, new| {
        if old.is_some() && old.map(|p| face(p)) == new.map(|p| face(p)) {
            return;
        }
        for pod in [old, new].into_iter().flatten() {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let Some(labels) = &pod.metadata.labels else { continue };
            for name in selectors.lock().candidates(namespace, labels) {
                let service = services.get(namespace, &name);
                if service.is_some_and(|s| selector(&s).is_some_and(|s| map_matches(s, Some(labels)))) {
                    q.add((namespace.to_owned(), name));
                }
            }
        }
    });
    let q = queue.clone();
    world.endpoints.hook(move |old, new| {
        if let Some(endpoints) = new.or(old) {
            q.add(key_of(&endpoints.metadata));
        }
    });
    let q = queue.clone();
    world.slices.hook(move |old, new| {
        if let Some(slice) = new.or(old) {
            let name = slice.metadata.labels.as_ref().and_then(|l| l.get(SERVICE_NAME));
            if let Some(name) = name.filter(|_| managed_by(slice, CONTROLLER) || managed_by(slice, MIRRORING)) {
                q.add((slice.metadata.namespace.clone().unwrap_or_default(), name.clone()));
            }
        }
    });
}
