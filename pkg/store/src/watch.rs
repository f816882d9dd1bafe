//! A reader of the log that waits on the bell. Keeps a position, never a buffer: a slow watcher reads later.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::memory::Memory;
use crate::types::{Event, Gone};

/// At most this many events a batch, so that one slow watcher's catching up does not hold the lock for long.
pub(crate) const BATCH_EVENTS: usize = 1_000;
/// And with about this many bytes of objects: a reader that does not go on keeps no more than that alive.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

/// Some events of one resource, in order of revision.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The events; empty only from [`Watch::poll_now`].
    pub events: Vec<Arc<Event>>,
    /// Every event up to here has been handed out: what a bookmark may say.
    pub revision: u64,
}

/// A position in the log of one resource. See [`crate::Store::watch`].
#[derive(Debug)]
pub struct Watch {
    pub(crate) memory: Arc<Memory>,
    pub(crate) resource: Arc<str>,
    pub(crate) seen: u64,
    pub(crate) bell: Arc<Notify>,
}

impl Watch {
    /// Waits for events of the resource. Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Gone`] when events not yet read were compacted away.
    pub async fn next(&mut self) -> Result<Batch, Gone> {
        let bell = self.bell.clone();
        loop {
            let mut rung = pin!(bell.notified());
            // Take the bell before reading: what is committed after the read rings it.
            rung.as_mut().enable();
            let batch = self.poll_now()?;
            if !batch.events.is_empty() {
                return Ok(batch);
            }
            rung.await;
        }
    }

    /// What there is now, without waiting. The batch may be empty; its revision still moves on with writes to other
    /// resources, which is what bookmarks need.
    ///
    /// # Errors
    /// [`Gone`] when events not yet read were compacted away.
    pub fn poll_now(&mut self) -> Result<Batch, Gone> {
        let batch = self.memory.events_after(&self.resource, self.seen, BATCH_EVENTS, BATCH_BYTES)?;
        self.seen = batch.revision;
        Ok(batch)
    }
}
