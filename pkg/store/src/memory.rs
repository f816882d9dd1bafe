//! The in-memory copy that serves every read: objects by resource, the log of changes, one bell per resource.
//! Changes only by [`Memory::publish`], after the disk has them. Knows no disk.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::Notify;

use crate::types::{Event, EventKind, Gone, Key, Listing, Stored};
use crate::watch::{Batch, Watch};

/// Namespace and name: the order of lists.
type ObjectName = (Arc<str>, Arc<str>);

/// All objects and the kept part of the log, behind one lock, so that every read is one snapshot.
#[derive(Debug)]
pub(crate) struct Memory {
    state: RwLock<State>,
}

/// One snapshot. Every revision is exactly one event of exactly one resource.
#[derive(Debug)]
pub(crate) struct State {
    revision: u64,
    /// Events after this one are kept.
    oldest: u64,
    /// What `oldest` was when this memory began: of a resource unknown then, nothing later is missing.
    begun: u64,
    resources: BTreeMap<Arc<str>, Resource>,
    /// The kept log across resources, oldest first: `order[i]` is revision `oldest + 1 + i`.
    order: VecDeque<Entry>,
}

/// A log entry with what compaction and the disk need of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// When it was committed, milliseconds since 1970: for people. A clock that jumps must not compact the log.
    pub(crate) at: u64,
    /// When this process committed or read it: what its age is counted from.
    pub(crate) since: Instant,
    /// What happened.
    pub(crate) event: Arc<Event>,
}

#[derive(Debug, Default)]
struct Resource {
    objects: BTreeMap<ObjectName, Arc<Stored>>,
    log: VecDeque<Arc<Event>>,
    /// The newest event of this resource that the log no longer has.
    compacted: u64,
    bell: Arc<Notify>,
}

// === impl Memory ===

impl Memory {
    /// A memory with what the disk had. `log` must hold every revision after `oldest`, in order.
    pub(crate) fn new(objects: Vec<Arc<Stored>>, log: Vec<Entry>, oldest: u64, revision: u64) -> Memory {
        let mut state = State { revision, oldest, begun: oldest, resources: BTreeMap::new(), order: VecDeque::new() };
        for object in objects {
            let name = (object.key.namespace.clone(), object.key.name.clone());
            state.resource(&object.key.resource).objects.insert(name, object);
        }
        for entry in log {
            state.resource(&entry.event.object.key.resource).log.push_back(entry.event.clone());
            state.order.push_back(entry);
        }
        for resource in state.resources.values_mut() {
            resource.compacted = oldest;
        }
        Memory { state: RwLock::new(state) }
    }

    /// The state, held still. Readers must be short.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Takes over committed events (revisions without gaps, following the present one) and rings the bells.
    pub(crate) fn publish(&self, entries: Vec<Entry>) {
        let mut bells: Vec<Arc<Notify>> = Vec::new();
        let mut state = self.state.write();
        for entry in entries {
            let event = &entry.event;
            debug_assert_eq!(event.revision, state.revision + 1, "revisions rise by one");
            state.revision = event.revision;
            let key = &event.object.key;
            let name = (key.namespace.clone(), key.name.clone());
            let resource = state.resource(&key.resource);
            match event.kind {
                EventKind::Deleted => resource.objects.remove(&name),
                EventKind::Added | EventKind::Modified => resource.objects.insert(name, event.object.clone()),
            };
            resource.log.push_back(event.clone());
            if !bells.iter().any(|bell| Arc::ptr_eq(bell, &resource.bell)) {
                bells.push(resource.bell.clone());
            }
            state.order.push_back(entry);
        }
        drop(state);
        for bell in bells {
            bell.notify_waiters();
        }
    }

    /// Forgets the log up to and including revision `to`.
    pub(crate) fn compact(&self, to: u64) {
        let mut state = self.state.write();
        while state.order.front().is_some_and(|entry| entry.event.revision <= to) {
            let entry = state.order.pop_front().expect("front was there");
            let resource = state.resource(&entry.event.object.key.resource);
            resource.log.pop_front();
            resource.compacted = entry.event.revision;
            state.oldest = entry.event.revision;
        }
    }

    /// Up to `limit` events of `resource` after `seen` with about `bytes` of objects (at least one event, where there is
    /// one), and how far that reaches.
    pub(crate) fn events_after(&self, resource: &str, seen: u64, limit: usize, bytes: usize) -> Result<Batch, Gone> {
        let state = self.state.read();
        let current = state.revision.max(seen);
        let Some(resource) = state.resources.get(resource) else {
            return Ok(Batch { events: Vec::new(), revision: current });
        };
        if seen < resource.compacted {
            return Err(Gone { oldest: state.oldest });
        }
        let start = resource.log.partition_point(|event| event.revision <= seen);
        let mut room = Some(bytes);
        let fits = |event: &&Arc<Event>| {
            let fits = room.is_some();
            room = room.and_then(|room| room.checked_sub(event.weight()));
            fits
        };
        let events: Vec<_> = resource.log.range(start..).take(limit).take_while(fits).cloned().collect();
        let more = start + events.len() < resource.log.len();
        let revision = if more { events.last().map_or(seen, |event| event.revision) } else { current };
        Ok(Batch { events, revision })
    }

    /// A watch from `from`; makes the resource's bell when there is none yet.
    pub(crate) fn watch(self: &Arc<Self>, resource: &str, from: u64) -> Result<Watch, Gone> {
        let known = {
            let state = self.state.read();
            let found = state.resources.get_key_value(resource);
            // What was compacted of other resources is no loss: a quiet resource's watch may go on from long ago.
            if from < found.map_or(state.begun, |(_, found)| found.compacted) {
                return Err(Gone { oldest: state.oldest });
            }
            found.map(|(name, found)| (name.clone(), found.bell.clone()))
        };
        let (resource, bell) = known.unwrap_or_else(|| {
            let name: Arc<str> = resource.into();
            (name.clone(), self.state.write().resource(&name).bell.clone())
        });
        Ok(Watch { memory: self.clone(), resource, seen: from, bell })
    }
}

// === impl State ===

impl State {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.resources.get(&key.resource)?.objects.get(&(key.namespace.clone(), key.name.clone()))
    }

    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> Listing {
        let items = match self.resources.get(resource) {
            None => Vec::new(),
            Some(resource) => match namespace {
                None => resource.objects.values().cloned().collect(),
                Some(namespace) => of_namespace(&resource.objects, namespace).cloned().collect(),
            },
        };
        Listing { items, revision: self.revision }
    }

    /// The list at an older revision: the present one with the later events undone, newest first.
    pub(crate) fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Listing, Gone> {
        if revision < self.oldest {
            return Err(Gone { oldest: self.oldest });
        }
        let Some(found) = self.resources.get(resource) else {
            return Ok(Listing { items: Vec::new(), revision: revision.min(self.revision) });
        };
        let start = found.log.partition_point(|event| event.revision <= revision);
        if start == found.log.len() {
            let mut listing = self.list(resource, namespace);
            listing.revision = revision.min(self.revision);
            return Ok(listing);
        }
        let mut objects: BTreeMap<ObjectName, &Arc<Stored>> = match namespace {
            None => found.objects.iter().map(|(name, object)| (name.clone(), object)).collect(),
            Some(namespace) => {
                of_namespace(&found.objects, namespace).map(|object| (name_of(object), object)).collect()
            }
        };
        for event in found.log.range(start..).rev() {
            if namespace.is_some_and(|namespace| *namespace != *event.object.key.namespace) {
                continue;
            }
            match &event.previous {
                Some(previous) => objects.insert(name_of(previous), previous),
                None => objects.remove(&name_of(&event.object)),
            };
        }
        Ok(Listing { items: objects.into_values().cloned().collect(), revision })
    }

    pub(crate) fn resources(&self) -> Vec<Arc<str>> {
        let live = self.resources.iter().filter(|(_, resource)| !resource.objects.is_empty());
        live.map(|(name, _)| name.clone()).collect()
    }

    /// Every object, by resource, namespace and name.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.resources.values().flat_map(|resource| resource.objects.values())
    }

    /// The kept log, oldest first.
    pub(crate) fn log(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter()
    }

    /// Up to which revision the log may be forgotten: entries too many or too old, at most `limit` at a time.
    /// Age is counted on a clock that never jumps.
    pub(crate) fn compactable(&self, now: Instant, keep_entries: usize, keep: Duration, limit: usize) -> u64 {
        let too_many = self.order.len().saturating_sub(keep_entries);
        let old = |entry: &&Entry| now.saturating_duration_since(entry.since) > keep;
        let too_old = self.order.iter().take(limit).take_while(old).count();
        self.oldest + too_many.max(too_old).min(limit) as u64
    }

    fn resource(&mut self, name: &Arc<str>) -> &mut Resource {
        // Not `entry`: the name is nearly always there, and cloning the Arc for each look-up is waste.
        if !self.resources.contains_key(name) {
            let made = Resource { compacted: self.begun, ..Resource::default() };
            self.resources.insert(name.clone(), made);
        }
        self.resources.get_mut(name).expect("just made")
    }
}

fn name_of(object: &Stored) -> ObjectName {
    (object.key.namespace.clone(), object.key.name.clone())
}

fn of_namespace<'a>(
    objects: &'a BTreeMap<ObjectName, Arc<Stored>>,
    namespace: &str,
) -> impl Iterator<Item = &'a Arc<Stored>> {
    let namespace: Arc<str> = namespace.into();
    let first = (namespace.clone(), Arc::from(""));
    let range = objects.range((Bound::Included(first), Bound::Unbounded));
    range.take_while(move |((found, _), _)| *found == namespace).map(|(_, object)| object)
}

#[cfg(test)]
mod tests;
