//! A map in parts that clones share until one changes: a new zone copies only the parts that an update touches.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

/// With 10,000 services an update copies about 80 entries.
const PARTS: usize = 128;

/// A copy-on-write hash map.
#[derive(Debug, Clone)]
pub(super) struct Shards<K, V> {
    hasher: RandomState,
    parts: Arc<[Arc<HashMap<K, V>>]>,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), parts: vec![Arc::default(); PARTS].into() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0)
    }

    /// The value of a key.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[self.part(key)].get(key)
    }

    /// Lets `change` edit the value of a key; the entry stays only when it returns true and leaves a value.
    pub(super) fn update(&mut self, key: K, change: impl FnOnce(&mut Option<V>) -> bool) {
        let part = self.part(&key);
        let part = Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[part]);
        let mut slot = part.remove(&key);
        if change(&mut slot)
            && let Some(value) = slot
        {
            part.insert(key, value);
        }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}
