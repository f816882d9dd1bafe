//! One write against the present state: what becomes of it, without making it so. Pure but for the random choice that
//! is passed in; the writer persists and publishes the outcome.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use minisvc_api::field::{FieldError, FieldErrorKind};
use serde_json::{Value, json};

use crate::alloc::{Allocations, Change, RANGES, SERVICES};
use crate::memory::State;
use crate::types::{Event, EventKind, Key, StoreError, Stored, Write};

/// The committed state with the changes of the group that is being built on top.
pub(crate) struct View<'a> {
    pub(crate) committed: &'a State,
    pub(crate) staged: &'a HashMap<Key, Option<Arc<Stored>>>,
}

/// What a write comes to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing changes; here is what there is.
    Unchanged(Arc<Stored>),
    /// One event, and what changes hands with it.
    Changed(Arc<Event>, Change),
}

impl View<'_> {
    fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        match self.staged.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.committed.get(key),
        }
    }

    /// What `write` comes to as revision `revision`.
    pub(crate) fn stage(
        &self,
        write: Write,
        revision: u64,
        allocations: &Allocations,
        rng: &mut fastrand::Rng,
    ) -> Result<Outcome, StoreError> {
        match write {
            Write::Create { key, value } => {
                if self.get(&key).is_some() {
                    return Err(StoreError::AlreadyExists(key));
                }
                changed(EventKind::Added, key, value, None, revision, allocations, rng)
            }
            Write::Update { key, expected, value } => {
                let previous = self.expect(&key, expected)?;
                changed(EventKind::Modified, key, value, Some(previous), revision, allocations, rng)
            }
            Write::Delete { key, expected } => {
                let previous = self.expect(&key, expected)?;
                let change = match &*key.resource {
                    SERVICES => allocations.plan(None, Some(&previous.value), rng).map_err(StoreError::Invalid)?,
                    RANGES => allocations.plan_range(&key.name, None),
                    _ => Change::default(),
                };
                let object = Arc::new(last_state(previous, revision));
                let event = Event { kind: EventKind::Deleted, revision, object, previous: Some(previous.clone()) };
                Ok(Outcome::Changed(Arc::new(event), change))
            }
        }
    }

    fn expect(&self, key: &Key, expected: Option<u64>) -> Result<&Arc<Stored>, StoreError> {
        let found = self.get(key).ok_or_else(|| StoreError::NotFound(key.clone()))?;
        match expected {
            Some(expected) if expected != found.revision => {
                Err(StoreError::Conflict { key: key.clone(), current: found.revision })
            }
            _ => Ok(found),
        }
    }
}

/// The object of a removal's event: the last state under the removal's revision.
pub(crate) fn last_state(previous: &Stored, revision: u64) -> Stored {
    let mut value = Value::clone(&previous.value);
    value["metadata"]["resourceVersion"] = json!(revision.to_string());
    Stored { key: previous.key.clone(), revision, value: Arc::new(value), json: OnceLock::new() }
}

/// What a dry run answers: the object as it would be, without a revision that nobody wrote. As kube-apiserver does: a
/// create has none, an update and a delete keep the present one.
pub(crate) fn unwritten(event: &Event) -> Arc<Stored> {
    let mut value = Value::clone(&event.object.value);
    let revision = event.previous.as_ref().map_or(0, |previous| previous.revision);
    if let Some(metadata) = value["metadata"].as_object_mut() {
        match revision {
            0 => drop(metadata.shift_remove("resourceVersion")),
            _ => drop(metadata.insert("resourceVersion".into(), json!(revision.to_string()))),
        }
    }
    Arc::new(Stored { key: event.object.key.clone(), revision, value: Arc::new(value), json: OnceLock::new() })
}

fn changed(
    kind: EventKind,
    key: Key,
    mut value: Value,
    previous: Option<&Arc<Stored>>,
    revision: u64,
    allocations: &Allocations,
    rng: &mut fastrand::Rng,
) -> Result<Outcome, StoreError> {
    let mut change = Change::default();
    if *key.resource == *SERVICES {
        let old = previous.map(|previous| &*previous.value);
        change = allocations.plan(Some(&mut value), old, rng).map_err(StoreError::Invalid)?;
    }
    if *key.resource == *RANGES {
        change = allocations.plan_range(&key.name, Some(&value));
    }
    if let Some(previous) = previous {
        set_revision(&mut value, previous.revision)?;
        if value == *previous.value {
            return Ok(Outcome::Unchanged(previous.clone()));
        }
    }
    set_revision(&mut value, revision)?;
    let object = Arc::new(Stored { key, revision, value: Arc::new(value), json: OnceLock::new() });
    let event = Event { kind, revision, object, previous: previous.cloned() };
    Ok(Outcome::Changed(Arc::new(event), change))
}

fn set_revision(value: &mut Value, revision: u64) -> Result<(), StoreError> {
    match value.get_mut("metadata").and_then(Value::as_object_mut) {
        Some(metadata) => {
            metadata.insert("resourceVersion".into(), json!(revision.to_string()));
            Ok(())
        }
        None => {
            let (kind, field) = (FieldErrorKind::Required, "metadata".to_owned());
            Err(StoreError::Invalid(vec![FieldError { kind, field, value: None, detail: String::new() }]))
        }
    }
}
