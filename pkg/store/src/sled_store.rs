//! The store on sled: hands writes to the one writer thread, answers reads from memory. Must not touch sled itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::disk::Disk;
use crate::memory::Memory;
use crate::store::{BoxFuture, OpenError, Options, Store};
use crate::types::{Gone, Key, Listing, StoreError, Stored, Write};
use crate::watch::Watch;
use crate::writer::{Request, Writer};

/// A store in a directory of its own. Clones share it; the last one to go waits for queued writes and gives the
/// directory free.
#[derive(Debug, Clone)]
pub struct SledStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: Arc<Memory>,
    requests: Sender<Request>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl SledStore ===

impl SledStore {
    /// Opens the store in `dir`, or makes it. Blocks: reads everything into memory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, options: Options) -> Result<SledStore, OpenError> {
        let (disk, memory) = Disk::open(dir, &options)?;
        let memory = Arc::new(memory);
        let writer = Writer::new(memory.clone(), disk, options);
        let (requests, received) = channel();
        let thread = std::thread::Builder::new().name("store-writer".into());
        let writer = thread.spawn(move || writer.run(&received)).map_err(|source| OpenError::Io {
            operation: "start the writer of",
            path: dir.into(),
            source,
        })?;
        Ok(SledStore { shared: Arc::new(Shared { memory, requests, writer: Mutex::new(Some(writer)) }) })
    }

    /// Empties the store in `dir`, which nobody may have open. Revisions go on above the old ones, so watches from
    /// before are told to list anew. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn reset(dir: &Path, options: &Options) -> Result<(), OpenError> {
        let (mut disk, _) = Disk::open(dir, options)?;
        disk.empty().map_err(|cause| OpenError::Io {
            operation: "empty the store in",
            path: dir.into(),
            source: std::io::Error::other(cause),
        })
    }

    /// Lets queued writes finish, writes a last export and gives the directory free. Later writes are refused; reads
    /// go on from memory.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the store was broken or closed already, or the export could not be written.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.shared.requests.send(Request::Close(answer)).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

impl Store for SledStore {
    fn revision(&self) -> u64 {
        self.shared.memory.read().revision()
    }

    fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.shared.memory.read().get(key).cloned()
    }

    fn list(&self, resource: &str, namespace: Option<&str>) -> Listing {
        self.shared.memory.read().list(resource, namespace)
    }

    fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Listing, Gone> {
        self.shared.memory.read().list_at(resource, namespace, revision)
    }

    fn commit(&self, write: Write, dry_run: bool) -> BoxFuture<'static, Result<Arc<Stored>, StoreError>> {
        let requests = self.shared.requests.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            requests.send(Request::Commit(write, dry_run, answer)).map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }

    fn watch(&self, resource: &str, from: u64) -> Result<Watch, Gone> {
        self.shared.memory.watch(resource, from)
    }

    fn oldest(&self) -> u64 {
        self.shared.memory.read().oldest()
    }

    fn resources(&self) -> Vec<Arc<str>> {
        self.shared.memory.read().resources()
    }
}

// === impl Shared ===

impl Drop for Shared {
    fn drop(&mut self) {
        // Fails when the writer has ended already, which is what we want.
        let _ = self.requests.send(Request::Stop);
        if let Some(writer) = self.writer.get_mut().take() {
            let _ = writer.join();
        }
    }
}

fn closed() -> StoreError {
    StoreError::Broken("it is closed".into())
}
