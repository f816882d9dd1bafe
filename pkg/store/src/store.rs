//! What the API server knows of the store: one trait, its options and the ways in which opening may fail. Holds no
//! state and names no database, so that another engine can stand behind it.

use std::future::Future;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::types::{Gone, Key, Listing, StoreError, Stored, Write};
use crate::watch::Watch;

/// A boxed future, as the trait's methods return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything the API server asks of its memory. Reads come from memory and never wait for the disk.
pub trait Store: Send + Sync + 'static {
    /// The highest committed revision; 1 in a store that was never written to (as in etcd, so that 0 keeps its
    /// special meaning on the wire).
    fn revision(&self) -> u64;

    /// The object, when it is there.
    fn get(&self, key: &Key) -> Option<Arc<Stored>>;

    /// All objects of a resource (of one namespace, where given), and the revision of that very snapshot.
    fn list(&self, resource: &str, namespace: Option<&str>) -> Listing;

    /// The list as it was at `revision`. A revision of the future gives the present list: compare the listing's
    /// revision and answer "too large" where that matters.
    ///
    /// # Errors
    /// [`Gone`] when that state was compacted away.
    fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Listing, Gone>;

    /// Makes one change, durable when it answers. Nothing happens before the first poll; once polled, the change
    /// goes on even when the future is dropped. A delete answers the last state with the removal's revision.
    /// `dry_run` does all but write: its answer carries no new revision (0 for a create).
    fn commit(&self, write: Write, dry_run: bool) -> BoxFuture<'static, Result<Arc<Stored>, StoreError>>;

    /// The events of a resource after revision `from`, in order. A `from` of the future waits for it.
    ///
    /// # Errors
    /// [`Gone`] when `from` is older than [`Store::oldest`].
    fn watch(&self, resource: &str, from: u64) -> Result<Watch, Gone>;

    /// The oldest revision that a watch may start from, or a list be taken at.
    fn oldest(&self) -> u64;

    /// Names of the resources with live objects (what the deletion of a namespace must look through).
    fn resources(&self) -> Vec<Arc<str>>;
}

/// How to open a store. `Default` gives the lab's values.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where ClusterIPs come from; network and broadcast address are never given out.
    pub service_cidr: Ipv4Net,
    /// Where node ports and health-check node ports come from.
    pub node_port_range: RangeInclusive<u16>,
    /// How many log entries to keep at most; older watches get 410.
    pub log_keep_entries: usize,
    /// How long to keep log entries (kube-apiserver compacts etcd every five minutes).
    pub log_keep: Duration,
    /// The least time between two exports; a slow export waits a hundred times its own length.
    pub export_every: Duration,
    /// The database file is rebuilt when it is longer than this (bytes) and eight times longer than what lives in it.
    pub rebuild_above: u64,
    /// How often to look whether the log is to be compacted by age, or the file to be rebuilt.
    pub tend_every: Duration,
    /// After damage: accept the loss of the newest writes and go on with the newest state that can be read.
    /// Without it only a restore that loses nothing is done by itself.
    pub restore_lossy: bool,
    /// Seed of the random choice of addresses and ports; `None` takes one from the system.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            service_cidr: Ipv4Net::new_assert([10, 96, 0, 0].into(), 12),
            node_port_range: 30000..=32767,
            log_keep_entries: 20_000,
            log_keep: Duration::from_secs(300),
            export_every: Duration::from_secs(60),
            rebuild_above: 64 << 20,
            tend_every: Duration::from_secs(5),
            restore_lossy: false,
            seed: None,
        }
    }
}

/// Why the store did not open. Nothing of what is on disk was thrown away.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another handle in this one) has it.
    #[error("the store in {} is held by process {pid}; stop that one first", .dir.display())]
    Held {
        /// Which store.
        dir: PathBuf,
        /// Who holds it; 0 when it did not say.
        pid: u32,
    },
    /// A newer program wrote it.
    #[error("the store in {} has format {found}, this program knows format {known}: use the program that wrote it", .dir.display())]
    Version {
        /// Which store.
        dir: PathBuf,
        /// What the disk says.
        found: String,
        /// What this program reads and writes.
        known: u32,
    },
    /// It cannot be read, and restoring without loss is not possible.
    #[error("the store in {} is damaged ({cause}); {next}", .dir.display())]
    Damaged {
        /// Which store.
        dir: PathBuf,
        /// What was found.
        cause: String,
        /// What to do now.
        next: String,
    },
    /// It reads well but lacks writes that were acknowledged.
    #[error("the store in {} ends at revision {found}, but revision {recorded} was acknowledged; {next}", .dir.display())]
    BelowRecorded {
        /// Which store.
        dir: PathBuf,
        /// The highest revision in it; 0 when it is empty.
        found: u64,
        /// The highest revision that was ever acknowledged.
        recorded: u64,
        /// What to do now.
        next: String,
    },
    /// The file system said no.
    #[error("{operation} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
}
