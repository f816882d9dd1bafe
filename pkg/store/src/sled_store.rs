//! The store on sled: hands writes to the one writer thread, answers reads from memory. Must not touch sled itself.

use std::path::Path;
use std::sync::Arc;

use crate::memory::Memory;
use crate::store::{BoxFuture, OpenError, Options, Store};
use crate::types::{Gone, Key, Listing, StoreError, Stored, Write};
use crate::watch::Watch;

/// A store in a directory of its own. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct SledStore {
    memory: Arc<Memory>,
}

impl SledStore {
    /// Opens the store in `dir`, or makes it. Blocks: reads everything into memory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, _options: Options) -> Result<SledStore, OpenError> {
        let source = std::io::ErrorKind::Unsupported.into();
        Err(OpenError::Io { operation: "open store", path: dir.into(), source })
    }

    /// Lets queued writes finish, writes a last export and gives the directory free. Later writes are refused; reads
    /// go on from memory.
    ///
    /// # Errors
    /// What the last export said, as text.
    pub async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Store for SledStore {
    fn revision(&self) -> u64 {
        self.memory.read().revision()
    }

    fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.memory.read().get(key).cloned()
    }

    fn list(&self, resource: &str, namespace: Option<&str>) -> Listing {
        self.memory.read().list(resource, namespace)
    }

    fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Listing, Gone> {
        self.memory.read().list_at(resource, namespace, revision)
    }

    fn commit(&self, _write: Write, _dry_run: bool) -> BoxFuture<'static, Result<Arc<Stored>, StoreError>> {
        Box::pin(async { Err(StoreError::Broken("the writer is not built yet".into())) })
    }

    fn watch(&self, resource: &str, from: u64) -> Result<Watch, Gone> {
        self.memory.watch(resource, from)
    }

    fn oldest(&self) -> u64 {
        self.memory.read().oldest()
    }

    fn resources(&self) -> Vec<Arc<str>> {
        self.memory.read().resources()
    }
}
