//! A mirror of one kind: what the watch delivered plus our own writes, indexed, with hooks for those who must know.
//! It holds no rules about any kind and never talks to the API server itself; `feed` does that.
//!
//! Our own writes enter at once (their answers carry the object), so that a controller never acts on a state older than
//! what it did itself. An answer is taken only when its resourceVersion is newer than everything the watch delivered:
//! resourceVersions are one order per server (KEP-5504), so whatever is older has been seen already.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Namespace (empty for cluster-scoped kinds) and name.
pub(crate) type Key = (String, String);

/// The key of an object.
pub(crate) fn key_of(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// The global revision of an object; 0 when it has none.
pub(crate) fn revision(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Told of every change: the object before and after. Runs under the mirror's order lock, so it must only take notes.
type Hook<K> = Box<dyn Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync>;

/// Gives the index entries of an object, such as `owner/<uid>`.
type Indexer<K> = fn(&K, &mut Vec<String>);

struct Inner<K> {
    objects: HashMap<String, BTreeMap<String, Arc<K>>>,
    index: HashMap<String, BTreeSet<Key>>,
    /// The newest revision that the watch delivered.
    seen: u64,
    /// Uids of objects that we removed and whose deletion the watch has yet to deliver.
    removed: HashSet<String>,
}

/// All objects of one kind.
pub(crate) struct Mirror<K> {
    inner: RwLock<Inner<K>>,
    /// Held over a change and its hooks, so that hooks see changes in order.
    order: Mutex<()>,
    hooks: RwLock<Vec<Hook<K>>>,
    indexer: Indexer<K>,
    synced: watch::Sender<bool>,
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + 'static> Mirror<K> {
    pub(crate) fn new(indexer: Indexer<K>) -> Self {
        let inner = Inner { objects: HashMap::new(), index: HashMap::new(), seen: 0, removed: HashSet::new() };
        Self {
            inner: RwLock::new(inner),
            order: Mutex::new(()),
            hooks: RwLock::new(Vec::new()),
            indexer,
            synced: watch::Sender::new(false),
        }
    }

    /// Adds a hook. Objects already here are reported to it first.
    pub(crate) fn hook(&self, hook: impl Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync + 'static) {
        let _order = self.order.lock();
        for object in self.all() {
            hook(None, Some(&object));
        }
        self.hooks.write().push(Box::new(hook));
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.inner.read().objects.get(namespace)?.get(name).cloned()
    }

    pub(crate) fn get_key(&self, key: &Key) -> Option<Arc<K>> {
        self.get(&key.0, &key.1)
    }

    /// Every object of a namespace (empty for cluster-scoped kinds), by name.
    pub(crate) fn list(&self, namespace: &str) -> Vec<Arc<K>> {
        self.inner.read().objects.get(namespace).map(|m| m.values().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.inner.read().objects.values().flat_map(|m| m.values().cloned()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.read().objects.values().map(BTreeMap::len).sum()
    }

    /// Objects with an index entry, by namespace and name.
    pub(crate) fn indexed(&self, entry: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        let keys = inner.index.get(entry).into_iter().flatten();
        keys.filter_map(|key| inner.objects.get(&key.0)?.get(&key.1).cloned()).collect()
    }

    /// How many objects have an index entry.
    pub(crate) fn indexed_len(&self, entry: &str) -> usize {
        self.inner.read().index.get(entry).map_or(0, BTreeSet::len)
    }

    /// Waits for the first full list.
    pub(crate) async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives in `self`, so this cannot fail while we are borrowed.
        let _ = synced.wait_for(|done| *done).await;
    }

    /// Takes an object from the answer to one of our writes.
    pub(crate) fn wrote(&self, object: &K) -> Arc<K> {
        let object = Arc::new(object.clone());
        let _order = self.order.lock();
        let fresh = revision(object.meta()) > self.inner.read().seen;
        if fresh {
            self.put(object.clone());
        }
        object
    }

    /// Takes note that our write removed the object with this uid.
    pub(crate) fn removed(&self, key: &Key, uid: &str) {
        let _order = self.order.lock();
        let here = self.get_key(key).is_some_and(|o| o.meta().uid.as_deref() == Some(uid));
        if here {
            self.inner.write().removed.insert(uid.to_owned());
            self.take(key);
        }
    }

    /// Takes one event of the watch.
    pub(crate) fn observe(&self, event: Event<K>, listing: &mut Vec<Arc<K>>) {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(object) => listing.push(Arc::new(object)),
            Event::InitDone => {
                let _order = self.order.lock();
                let listed = std::mem::take(listing);
                let keep: HashSet<Key> = listed.iter().map(|o| key_of(o.meta())).collect();
                let gone = self.all().into_iter().map(|o| key_of(o.meta())).filter(|k| !keep.contains(k));
                for key in gone.collect::<Vec<_>>() {
                    self.take(&key);
                }
                {
                    let mut inner = self.inner.write();
                    inner.removed.clear();
                    let newest = listed.iter().map(|o| revision(o.meta())).max().unwrap_or(0);
                    inner.seen = inner.seen.max(newest);
                }
                for object in listed {
                    self.put(object);
                }
                self.synced.send_replace(true);
            }
            Event::Apply(object) => {
                let _order = self.order.lock();
                {
                    let mut inner = self.inner.write();
                    inner.seen = inner.seen.max(revision(object.meta()));
                    if object.meta().uid.as_ref().is_some_and(|uid| inner.removed.contains(uid)) {
                        return;
                    }
                }
                self.put(Arc::new(object));
            }
            Event::Delete(object) => {
                let _order = self.order.lock();
                {
                    let mut inner = self.inner.write();
                    inner.seen = inner.seen.max(revision(object.meta()));
                    if let Some(uid) = &object.meta().uid {
                        inner.removed.remove(uid);
                    }
                }
                let key = key_of(object.meta());
                // A successor of the same name may be here already, from the answer to our own create.
                if self.get_key(&key).is_some_and(|o| o.meta().uid == object.meta().uid) {
                    self.take(&key);
                }
            }
        }
    }

    fn put(&self, object: Arc<K>) {
        let key = key_of(object.meta());
        let mut entries = Vec::new();
        (self.indexer)(&object, &mut entries);
        let old = {
            let mut inner = self.inner.write();
            let old = inner.objects.get(&key.0).and_then(|m| m.get(&key.1)).cloned();
            let same_life = old.as_ref().is_some_and(|o| o.meta().uid == object.meta().uid);
            if same_life && old.as_ref().is_some_and(|o| revision(o.meta()) >= revision(object.meta())) {
                return;
            }
            if let Some(old) = &old {
                self.unindex(&mut inner, old, &key);
            }
            for entry in entries {
                inner.index.entry(entry).or_default().insert(key.clone());
            }
            inner.objects.entry(key.0).or_default().insert(key.1, object.clone());
            old
        };
        let hooks = self.hooks.read();
        let successor = old.as_ref().is_some_and(|o| o.meta().uid != object.meta().uid);
        for hook in hooks.iter() {
            if successor {
                hook(old.as_ref(), None);
                hook(None, Some(&object));
            } else {
                hook(old.as_ref(), Some(&object));
            }
        }
    }

    fn take(&self, key: &Key) {
        let old = {
            let mut inner = self.inner.write();
            let Some(names) = inner.objects.get_mut(&key.0) else { return };
            let Some(old) = names.remove(&key.1) else { return };
            if names.is_empty() {
                inner.objects.remove(&key.0);
            }
            self.unindex(&mut inner, &old, key);
            old
        };
        for hook in self.hooks.read().iter() {
            hook(Some(&old), None);
        }
    }

    fn unindex(&self, inner: &mut Inner<K>, old: &K, key: &Key) {
        let mut entries = Vec::new();
        (self.indexer)(old, &mut entries);
        for entry in entries {
            if let Some(keys) = inner.index.get_mut(&entry) {
                keys.remove(key);
                if keys.is_empty() {
                    inner.index.remove(&entry);
                }
            }
        }
    }
}

/// Fills a mirror from a watch, for ever.
pub(crate) async fn feed<K>(mirror: Arc<Mirror<K>>, api: Api<K>, config: watcher::Config) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut stream =
        watcher::watcher(api, config).backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch())).boxed();
    let mut listing = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => mirror.observe(event, &mut listing),
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch broken, starting it again"),
        }
    }
    anyhow::bail!("the watch of {} ended", K::plural(&()))
}

/// The index entry of objects controlled by an owner.
pub(crate) fn owner_entry(uid: &str) -> String {
    format!("owner/{uid}")
}

/// The index entry of pods on a node.
pub(crate) fn node_entry(name: &str) -> String {
    format!("node/{name}")
}

/// The index entry of objects with a label, in a namespace.
pub(crate) fn label_entry(namespace: &str, key: &str, value: &str) -> String {
    format!("label/{namespace}/{key}={value}")
}

/// Index entry by controlling owner; what most kinds need.
pub(crate) fn by_owner<K: Resource>(object: &K, entries: &mut Vec<String>) {
    if let Some(owner) = crate::owners::controller(object.meta()) {
        entries.push(owner_entry(&owner.uid));
    }
}

/// No index at all.
pub(crate) fn unindexed<K>(_object: &K, _entries: &mut Vec<String>) {}

/// Index entries by controlling owner and by every label.
pub(crate) fn by_owner_and_labels<K: Resource>(object: &K, entries: &mut Vec<String>) {
    by_owner(object, entries);
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    entries.extend(object.labels().iter().map(|(k, v)| label_entry(namespace, k, v)));
}

#[cfg(test)]
mod tests;
