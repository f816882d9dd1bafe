//! The durable side: opening with every guard that sled needs, group commits, rebuilds. The only folder that sees sled.

mod codec;
mod database;
pub(crate) mod export;
pub(crate) mod files;
mod open;
mod recorded;

use std::fs;

use self::database::{Content, Database, Loaded};
use self::files::{Hold, Layout};
use self::recorded::Recorded;
use crate::memory::{Entry, Memory};
use crate::types::Stored;
use std::sync::Arc;

/// An open store directory. Fields are dropped in order: the lock goes last.
#[derive(Debug)]
pub(crate) struct Disk {
    database: Option<Database>,
    recorded: Recorded,
    layout: Layout,
    _hold: Hold,
}

// === impl Disk ===

impl Disk {
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes a group of events durable and forgets the log up to `oldest`. After an error nothing more may be
    /// committed: what is on disk is known only after opening anew.
    pub(crate) fn commit(&mut self, entries: &[Entry], oldest: u64) -> Result<(), String> {
        let database = self.database.as_mut().ok_or("there is no database any more")?;
        database.commit(entries, oldest)?;
        // After the data, never before: a recorded revision promises that the data is there.
        let recorded = self.layout.recorded();
        self.recorded.write(database.revision()).map_err(|error| format!("write {}: {error}", recorded.display()))
    }

    /// Whether commits are possible.
    pub(crate) fn is_open(&self) -> bool {
        self.database.is_some()
    }

    /// Whether the database file should be rebuilt.
    pub(crate) fn mostly_dead(&self, above: u64) -> bool {
        self.database.as_ref().is_some_and(|database| database.mostly_dead(above))
    }

    /// Exports, builds a new database beside from what lives, swaps it in and reads it back. After an error see
    /// [`Disk::is_open`]: without a database the store must be opened anew.
    pub(crate) fn rebuild(&mut self, memory: &Memory) -> Result<(), String> {
        let (objects, log, oldest, revision) = {
            let state = memory.read();
            let objects: Vec<Arc<Stored>> = state.objects().cloned().collect();
            (objects, state.log().cloned().collect::<Vec<Entry>>(), state.oldest(), state.revision())
        };
        self.replace(&Content { objects: &objects, log: &log, oldest, revision })
    }

    /// Forgets every object and the log, at a revision above all before: whoever watches from an older one is told
    /// that it is gone, and lists anew.
    pub(crate) fn empty(&mut self) -> Result<(), String> {
        let revision = self.recorded.revision() + 1;
        self.replace(&Content { objects: &[], log: &[], oldest: revision, revision })?;
        let recorded = self.layout.recorded();
        self.recorded.write(revision).map_err(|error| format!("write {}: {error}", recorded.display()))
    }

    /// Exports the content, builds a new database beside from it, swaps it in and reads it back.
    fn replace(&mut self, content: &Content<'_>) -> Result<(), String> {
        let revision = content.revision;
        let failed = |error: std::io::Error| format!("rebuild: {error}");
        export::write(&self.layout, revision, content.objects).map_err(failed)?;
        let (current, next, replaced) = (self.layout.database(), self.layout.next(), self.layout.replaced());
        files::remove_tree(&next).map_err(failed)?;
        files::remove_tree(&replaced).map_err(failed)?;
        database::build(&next, content)?;
        self.database = None;
        let swap = || {
            fs::rename(&current, &replaced)?;
            fs::rename(&next, &current)?;
            files::sync_dir(self.layout.dir())
        };
        swap().map_err(failed)?;
        match Loaded::open(&current) {
            Ok(loaded) if loaded.database.revision() == revision => {
                self.database = Some(loaded.database);
                files::remove_tree(&replaced).map_err(failed)
            }
            other => Err(format!("the rebuilt database does not read back: {:?}", other.err())),
        }
    }
}
