//! The one writer: a thread that takes many requests at once, stages them in order, makes them durable together,
//! publishes them and only then answers. Also keeps the house: compaction of the log, rebuilds, exports.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use crate::alloc::{Allocations, RANGES, SERVICES};
use crate::disk::{Disk, export, files::Layout};
use crate::memory::{Entry, Memory};
use crate::stage::{Outcome, View, unwritten};
use crate::store::Options;
use crate::types::{EventKind, Key, StoreError, Stored, Write};

/// The answer to a commit.
pub(crate) type Answer = Result<Arc<Stored>, StoreError>;

/// What the writer can be asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Make a change.
    Commit(Write, bool, oneshot::Sender<Answer>),
    /// Finish, export and let go of the directory.
    Close(oneshot::Sender<Result<(), StoreError>>),
    /// Let go of the directory without an export.
    Stop,
}

/// Requests that share one flush.
const GROUP: usize = 256;
/// Log entries forgotten with one group.
const COMPACT: usize = 1_000;

/// The writer's own state.
pub(crate) struct Writer {
    memory: Arc<Memory>,
    disk: Disk,
    allocations: Allocations,
    rng: fastrand::Rng,
    options: Options,
    exporter: Option<(Sender<()>, JoinHandle<()>)>,
    /// Set once the disk failed; nothing is written any more.
    broken: Option<String>,
    tended: Instant,
}

type Pending = (oneshot::Sender<Answer>, Answer);

// === impl Writer ===

impl Writer {
    pub(crate) fn new(memory: Arc<Memory>, disk: Disk, options: Options) -> Writer {
        let mut allocations = Allocations::new(&options);
        for range in memory.read().list(RANGES, None).items {
            allocations.adopt_range(&range.key.name, &range.value);
        }
        for service in memory.read().list(SERVICES, None).items {
            allocations.adopt(&service.value);
        }
        let rng = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let exporter = start_exporter(memory.clone(), disk.layout().clone(), options.export_every);
        Writer {
            memory,
            disk,
            allocations,
            rng,
            options,
            exporter: Some(exporter),
            broken: None,
            tended: Instant::now(),
        }
    }

    /// Serves requests until told to end.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let mut ending = None;
            let mut group = Vec::new();
            match requests.recv_timeout(self.options.tend_every) {
                Err(RecvTimeoutError::Disconnected) => return self.stop_exporter(),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(first) => {
                    for request in [first].into_iter().chain(requests.try_iter()) {
                        match request {
                            Request::Commit(write, dry_run, answer) => group.push((write, dry_run, answer)),
                            end => ending = Some(end),
                        }
                        if ending.is_some() || group.len() == GROUP {
                            break;
                        }
                    }
                }
            }
            self.group(group);
            match ending {
                Some(Request::Close(answer)) => return self.close(answer),
                Some(_) => return self.stop_exporter(),
                None => self.tend(),
            }
        }
    }

    /// Stages, persists, publishes and answers a group.
    fn group(&mut self, group: Vec<(Write, bool, oneshot::Sender<Answer>)>) {
        if let Some(cause) = &self.broken {
            for (_, _, answer) in group {
                let _ = answer.send(Err(StoreError::Broken(cause.clone())));
            }
            return;
        }
        if group.is_empty() {
            return;
        }
        // A panic while staging would leave the group half done: treat it as a broken disk.
        let staged = catch_unwind(AssertUnwindSafe(|| self.stage(group)));
        let Ok((entries, pending)) = staged else {
            self.break_with("staging a group of writes panicked".into());
            return;
        };
        let persisted = if entries.is_empty() { Ok(()) } else { self.persist(entries) };
        for (answer, outcome) in pending {
            // Nobody waits any more when the request was dropped; the write stands.
            let _ = match &persisted {
                Ok(()) => answer.send(outcome),
                Err(cause) => answer.send(Err(StoreError::Broken(cause.clone()))),
            };
        }
    }

    fn stage(&mut self, group: Vec<(Write, bool, oneshot::Sender<Answer>)>) -> (Vec<Entry>, Vec<Pending>) {
        let committed = self.memory.read();
        let mut staged: HashMap<Key, Option<Arc<Stored>>> = HashMap::new();
        let (mut entries, mut pending) = (Vec::new(), Vec::new());
        let (mut revision, at, since) = (committed.revision(), now(), Instant::now());
        for (write, dry_run, answer) in group {
            let view = View { committed: &committed, staged: &staged };
            let outcome = match view.stage(write, revision + 1, &self.allocations, &mut self.rng) {
                Ok(Outcome::Unchanged(object)) => Ok(object),
                Ok(Outcome::Changed(event, _)) if dry_run => Ok(unwritten(&event)),
                Ok(Outcome::Changed(event, change)) => {
                    revision += 1;
                    self.allocations.apply(&change);
                    let object = event.object.clone();
                    let live = (event.kind != EventKind::Deleted).then(|| object.clone());
                    staged.insert(object.key.clone(), live);
                    entries.push(Entry { at, since, event });
                    Ok(object)
                }
                Err(error) => Err(error),
            };
            pending.push((answer, outcome));
        }
        (entries, pending)
    }

    /// Disk first, then memory: nothing is seen before it is durable.
    fn persist(&mut self, entries: Vec<Entry>) -> Result<(), String> {
        let oldest = self.compactable();
        if let Err(cause) = self.disk.commit(&entries, oldest) {
            self.break_with(cause.clone());
            return Err(cause);
        }
        self.memory.publish(entries);
        self.memory.compact(oldest);
        Ok(())
    }

    fn compactable(&self) -> u64 {
        let Options { log_keep_entries, log_keep, .. } = self.options;
        self.memory.read().compactable(Instant::now(), log_keep_entries, log_keep, COMPACT)
    }

    /// Compaction by age, and a rebuild of a file that is mostly dead.
    fn tend(&mut self) {
        if self.broken.is_some() || self.tended.elapsed() < self.options.tend_every {
            return;
        }
        self.tended = Instant::now();
        let oldest = self.compactable();
        if oldest > self.memory.read().oldest() && self.persist(Vec::new()).is_err() {
            return;
        }
        if self.disk.mostly_dead(self.options.rebuild_above) {
            let started = Instant::now();
            match self.disk.rebuild(&self.memory) {
                Ok(()) => tracing::info!(took = ?started.elapsed(), "rebuilt the database, it was mostly dead"),
                Err(cause) if self.disk.is_open() => tracing::warn!(cause, "the database was not rebuilt"),
                Err(cause) => self.break_with(cause),
            }
        }
    }

    fn break_with(&mut self, cause: String) {
        tracing::error!(cause, "the store writes no more; reads go on from memory");
        self.broken = Some(cause);
    }

    fn close(mut self, answer: oneshot::Sender<Result<(), StoreError>>) {
        self.stop_exporter();
        let closed = match &self.broken {
            Some(cause) => Err(StoreError::Broken(cause.clone())),
            None => export_now(&self.memory, self.disk.layout()).map(drop),
        };
        // The directory is free before anybody hears of it.
        drop(self);
        let _ = answer.send(closed);
    }

    fn stop_exporter(&mut self) {
        if let Some((stop, exporter)) = self.exporter.take() {
            drop(stop);
            let _ = exporter.join();
        }
    }
}

/// Exports now and then, in a thread of its own: the writer never waits for it.
fn start_exporter(memory: Arc<Memory>, layout: Layout, every: Duration) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = std::sync::mpsc::channel();
    let mut exported = export::newest_revision(&layout);
    let body = move || {
        let mut wait = every;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
            if memory.read().revision() == exported {
                continue;
            }
            let started = Instant::now();
            match export_now(&memory, &layout) {
                Ok(revision) => exported = revision,
                Err(error) => tracing::warn!(%error, "no export"),
            }
            wait = every.max(started.elapsed() * 100);
        }
    };
    let thread = std::thread::Builder::new().name("store-exporter".into()).spawn(body).expect("a thread starts");
    (stop, thread)
}

fn export_now(memory: &Memory, layout: &Layout) -> Result<u64, StoreError> {
    let (objects, revision) = {
        let state = memory.read();
        (state.objects().cloned().collect::<Vec<_>>(), state.revision())
    };
    let failed = |error| StoreError::Broken(format!("export to {}: {error}", layout.dir().display()));
    export::write(layout, revision, &objects).map_err(failed).map(|()| revision)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
