//! Follows Services, EndpointSlices and Namespaces and swaps the zone after every batch of changes. Keeps of each object
//! only what names need.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt as _};
use tracing::{debug, warn};

use crate::SharedZone;
use crate::zone::{ServiceKey, SliceEndpoints, Zone, plan_service, plan_slice};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Changes that are planned before the zone is swapped once.
const BATCH: usize = 1024;

/// Namespace and name of any object.
type Key = (Arc<str>, Arc<str>);

/// One event of any of the three watches.
enum Change {
    Service(Box<Event<Service>>),
    Slice(Box<Event<EndpointSlice>>),
    Namespace(Box<Event<Namespace>>),
}

/// Watches until an error that cannot be retried; failures of the API are retried for ever, the zone staying as it is.
pub(crate) async fn follow(client: Client, shared: SharedZone) -> anyhow::Result<()> {
    let services = changes(Api::<Service>::all(client.clone()), Change::Service);
    let slices = changes(Api::<EndpointSlice>::all(client.clone()), Change::Slice);
    let namespaces = changes(Api::<Namespace>::all(client), Change::Namespace);
    let all = stream::select(services, stream::select(slices, namespaces)).ready_chunks(BATCH);
    let mut all = pin!(all);
    let mut directory = Directory::default();
    while let Some(batch) = all.next().await {
        for change in batch {
            directory.note(change);
        }
        let mut zone = Zone::clone(&shared.load());
        if directory.apply(&mut zone) {
            debug!(serial = zone.serial(), services = zone.service_count(), "zone swapped");
            shared.store(Arc::new(zone));
        }
    }
    anyhow::bail!("the watches ended")
}

fn changes<K>(api: Api<K>, wrap: fn(Box<Event<K>>) -> Change) -> impl Stream<Item = Change>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&());
    watch(api, watcher::Config::default())
        .backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch()))
        .filter_map(move |event| {
            let event = event.inspect_err(|error| warn!(%error, %kind, "watch failed; trying again"));
            std::future::ready(event.ok().map(|event| wrap(Box::new(event))))
        })
}

/// What is known of each object, and which services must be planned anew.
#[derive(Default)]
pub(crate) struct Directory {
    services: Listing<Service>,
    slices: Listing<(Arc<str>, SliceEndpoints)>,
    by_service: HashMap<ServiceKey, HashSet<Key>>,
    namespaces: Listing<()>,
    dirty: HashSet<ServiceKey>,
    namespaces_changed: bool,
}

/// Objects of one kind, through relists.
struct Listing<T> {
    objects: HashMap<Key, T>,
    /// During a list: what was known before and has not come yet.
    missing: HashSet<Key>,
    synced: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), missing: HashSet::new(), synced: false }
    }
}

impl<T> Listing<T> {
    /// Takes an event over. Returns the keys that changed, with the values they had.
    fn note<K: Resource>(&mut self, event: Event<K>, reduce: impl FnOnce(K) -> T) -> Vec<(Key, Option<T>)> {
        match event {
            Event::Init => {
                self.missing = self.objects.keys().cloned().collect();
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let key = key(&object);
                self.missing.remove(&key);
                let old = self.objects.insert(key.clone(), reduce(object));
                vec![(key, old)]
            }
            Event::Delete(object) => {
                let key = key(&object);
                let old = self.objects.remove(&key);
                vec![(key, old)]
            }
            Event::InitDone => {
                self.synced = true;
                let gone: Vec<Key> = self.missing.drain().collect();
                gone.into_iter().map(|key| (key.clone(), self.objects.remove(&key))).collect()
            }
        }
    }
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.as_deref().unwrap_or_default().into(), meta.name.as_deref().unwrap_or_default().into())
}

impl Directory {
    fn note(&mut self, change: Change) {
        match change {
            Change::Service(event) => {
                let changed = self.services.note(*event, reduce_service);
                self.dirty.extend(changed.into_iter().map(|(key, _)| key));
            }
            Change::Slice(event) => {
                let changed = self.slices.note(*event, |slice| {
                    let service = slice.labels().get(SERVICE_NAME).map(String::as_str).unwrap_or_default();
                    (service.into(), plan_slice(&slice))
                });
                for (key, old) in changed {
                    self.note_slice(key, old);
                }
            }
            Change::Namespace(event) => {
                let changed = self.namespaces.note(*event, |_| ());
                self.namespaces_changed |= !changed.is_empty();
            }
        }
    }

    fn note_slice(&mut self, key: Key, old: Option<(Arc<str>, SliceEndpoints)>) {
        if let Some((service, _)) = old {
            let owner = (key.0.clone(), service);
            if let Some(slices) = self.by_service.get_mut(&owner) {
                slices.remove(&key);
                if slices.is_empty() {
                    self.by_service.remove(&owner);
                }
            }
            self.dirty.insert(owner);
        }
        if let Some((service, _)) = self.slices.objects.get(&key) {
            let owner = (key.0.clone(), service.clone());
            self.by_service.entry(owner.clone()).or_default().insert(key);
            self.dirty.insert(owner);
        }
    }

    /// Plans what changed into `zone`; false when nothing did.
    fn apply(&mut self, zone: &mut Zone) -> bool {
        let mut changed = !self.dirty.is_empty();
        for owner in std::mem::take(&mut self.dirty) {
            let records = self.services.objects.get(&owner).and_then(|service| {
                let slices = self.by_service.get(&owner).into_iter().flatten();
                let endpoints = slices.filter_map(|slice| self.slices.objects.get(slice)).map(|(_, planned)| planned);
                plan_service(service, endpoints)
            });
            zone.set_service(&owner, records);
        }
        if std::mem::take(&mut self.namespaces_changed) {
            let names: BTreeSet<Arc<str>> = self.namespaces.objects.keys().map(|(_, name)| name.clone()).collect();
            zone.set_namespaces(names);
            changed = true;
        }
        let synced = self.services.synced && self.slices.synced && self.namespaces.synced;
        if synced && !zone.is_synced() {
            zone.set_synced();
            changed = true;
        }
        changed
    }
}

/// Only what [`plan_service`] reads.
fn reduce_service(service: Service) -> Service {
    let spec = service.spec.map(|spec| k8s_openapi::api::core::v1::ServiceSpec {
        cluster_ip: spec.cluster_ip,
        cluster_ips: spec.cluster_ips,
        external_name: spec.external_name,
        ports: spec.ports,
        type_: spec.type_,
        ..Default::default()
    });
    Service { spec, ..Service::default() }
}

#[cfg(test)]
mod tests;
