//! The store's words: keys, stored objects, events, writes and errors. No behaviour beyond construction.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use minisvc_api::field::FieldError;
use serde_json::Value;

/// Where an object lives: `resource` is `plural` for the core group and `plural.group` otherwise (no version: every
/// version of a kind shares one record); `namespace` is empty for cluster-scoped kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `services`, `deployments.apps`, ...
    pub resource: Arc<str>,
    /// Namespace, or empty.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

/// One object as committed. `value` carries its own `metadata.resourceVersion`, equal to `revision`.
#[derive(Debug)]
pub struct Stored {
    /// Where it lives.
    pub key: Key,
    /// The revision of its last change.
    pub revision: u64,
    /// The object as JSON, with `apiVersion` and `kind`.
    pub value: Arc<Value>,
    pub(crate) json: OnceLock<Bytes>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It was removed; the event's object is the last state, with the removal's own revision.
    Deleted,
}

/// One entry of the log. Events of all resources share one sequence of revisions.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The revision of this change.
    pub revision: u64,
    /// The object after the change (for `Deleted`: its last state).
    pub object: Arc<Stored>,
    /// The object before the change; what a selector's watcher needs to know whether it saw it.
    pub previous: Option<Arc<Stored>>,
}

/// A list and the revision it was taken at, both of one snapshot. Sorted by namespace, then name.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The objects.
    pub items: Vec<Arc<Stored>>,
    /// The revision of the snapshot.
    pub revision: u64,
}

/// One change to make. The store fills `metadata.resourceVersion`; everything else of the metadata is the caller's.
#[derive(Debug, Clone)]
pub enum Write {
    /// Create it; [`StoreError::AlreadyExists`] when it is there.
    Create {
        /// Where.
        key: Key,
        /// The whole object.
        value: Value,
    },
    /// Replace it; [`StoreError::Conflict`] when its revision is not `expected` (where given). A write that changes
    /// nothing takes no revision and rings no bell.
    Update {
        /// Where.
        key: Key,
        /// The revision it must still have.
        expected: Option<u64>,
        /// The whole new object.
        value: Value,
    },
    /// Remove it.
    Delete {
        /// Where.
        key: Key,
        /// The revision it must still have.
        expected: Option<u64>,
    },
}

/// Why the store did not do it. The API server maps these to `Status`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No such object.
    #[error("{} \"{}\" not found", .0.resource, .0.name)]
    NotFound(Key),
    /// There is one already.
    #[error("{} \"{}\" already exists", .0.resource, .0.name)]
    AlreadyExists(Key),
    /// Its revision is another by now.
    #[error("{} \"{}\" has been modified", .key.resource, .key.name)]
    Conflict {
        /// Which object.
        key: Key,
        /// The revision it has.
        current: u64,
    },
    /// An allocation cannot be made: address or port taken, out of range, or none free.
    #[error("invalid: {0:?}")]
    Invalid(Vec<FieldError>),
    /// The disk or the database failed; nothing was acknowledged.
    #[error("store: {0}")]
    Broken(String),
}

/// A revision older than the oldest entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version; the oldest kept is {oldest}")]
pub struct Gone {
    /// The oldest revision that a watch may start from.
    pub oldest: u64,
}

/// What an object that nobody has serialised yet counts as.
const UNKNOWN_WEIGHT: usize = 4096;

// === impl Stored ===

impl Stored {
    /// The same object at the same revision in another form.
    pub fn with_value(&self, value: Arc<Value>) -> Stored {
        Stored { key: self.key.clone(), revision: self.revision, value, json: OnceLock::new() }
    }

    /// The object serialised once, shared by every reader.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| Bytes::from(serde_json::to_vec(&*self.value).expect("JSON values serialise"))).clone()
    }
}

// === impl Event ===

impl Event {
    /// The event's object serialised once, shared by every watcher.
    pub fn json(&self) -> Bytes {
        self.object.json()
    }

    /// About how many bytes its object has as JSON, without writing it.
    pub(crate) fn weight(&self) -> usize {
        let known = |stored: &Arc<Stored>| stored.json.get().map(Bytes::len);
        known(&self.object).or_else(|| self.previous.as_ref().and_then(known)).unwrap_or(UNKNOWN_WEIGHT)
    }
}

// === impl Key ===

impl Key {
    /// A key; an empty namespace for cluster-scoped kinds.
    pub fn new(resource: impl Into<Arc<str>>, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Key {
        Key { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}
