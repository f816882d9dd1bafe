//! One sled database: reading it whole, adding a group of events, building one beside. Every call into sled that may
//! meet damage is caught: it panics where it should fail.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec::{self, FORMAT, FORMAT_KEY, LOG, OBJECTS, STATE_KEY, StateRecord};
use super::files::sync_tree;
use crate::memory::Entry;
use crate::stage::last_state;
use crate::types::{Event, EventKind, Key, Stored};

/// An open database and what is needed to change it without reading it.
#[derive(Debug)]
pub(crate) struct Database {
    db: sled::Db,
    /// sled's data file again: its own flush never reaches the disk's platter.
    data: File,
    data_path: PathBuf,
    state: StateRecord,
    /// Prefixes of objects with more than one piece, and how many.
    long: HashMap<Vec<u8>, usize>,
    /// Lengths of the log's records, oldest first.
    log: VecDeque<u32>,
    live_bytes: u64,
}

/// A database and all that was in it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) database: Database,
    pub(crate) objects: Vec<Arc<Stored>>,
    pub(crate) log: Vec<Entry>,
}

/// Why a database cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// Its bytes are wrong, or it is empty.
    Damaged(String),
    /// Its format is another.
    Version(String),
}

/// How long sled may take to let go of its file after another handle of this process was dropped.
const LET_GO: Duration = Duration::from_secs(5);
/// Records a batch while building.
const BUILD_BATCH: usize = 500;

// === impl Loaded ===

impl Loaded {
    /// Opens and reads a whole database.
    pub(crate) fn open(path: &Path) -> Result<Loaded, Unusable> {
        remove_half_snapshots(path).map_err(|error| Unusable::Damaged(error.to_string()))?;
        let db = open_sled(path).map_err(Unusable::Damaged)?;
        // `db` outlives the caught part, so that it is never dropped while panicking.
        let result = caught(|| load(&db));
        let loaded = match result.map_err(Unusable::Damaged).and_then(|inner| inner) {
            Ok(parts) => parts,
            Err(unusable) => {
                let _ = caught(move || drop(db));
                return Err(unusable);
            }
        };
        let data_path = path.join("db");
        let data = File::open(&data_path).map_err(|error| Unusable::Damaged(error.to_string()))?;
        let Parts { state, long, log_lengths, live_bytes, objects, log } = loaded;
        let database = Database { db, data, data_path, state, long, log: log_lengths, live_bytes };
        Ok(Loaded { database, objects, log })
    }
}

// === impl Database ===

impl Database {
    pub(crate) fn revision(&self) -> u64 {
        self.state.revision
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.state.oldest
    }

    /// Whether the file is longer than `above` and mostly holds what nobody needs.
    pub(crate) fn mostly_dead(&self, above: u64) -> bool {
        let length = fs::metadata(&self.data_path).map_or(0, |metadata| metadata.len());
        length > above && length > self.live_bytes.saturating_mul(8)
    }

    /// Adds a group of events, forgets the log up to `oldest`, and makes both durable, all or nothing. After an error
    /// the database must not be used any more.
    pub(crate) fn commit(&mut self, entries: &[Entry], oldest: u64) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        for entry in entries {
            self.add(&mut batch, entry);
        }
        while self.state.oldest < oldest
            && let Some(length) = self.log.pop_front()
        {
            self.state.oldest += 1;
            self.live_bytes = self.live_bytes.saturating_sub(length.into());
            let prefix = codec::log_prefix(self.state.oldest);
            for piece in 0..codec::pieces(length as usize) {
                batch.remove(codec::piece_key(&prefix, piece));
            }
        }
        batch.insert(STATE_KEY, self.state.encode());
        caught(|| {
            self.db.apply_batch(batch)?;
            self.db.flush()
        })?
        .map_err(|error| format!("write: {error}"))?;
        self.data.sync_data().map_err(|error| format!("sync {}: {error}", self.data_path.display()))
    }

    fn add(&mut self, batch: &mut sled::Batch, entry: &Entry) {
        let Event { kind, revision, object, previous } = &*entry.event;
        let prefix = codec::object_prefix(&object.key);
        let before = self.long.remove(&prefix).unwrap_or(usize::from(previous.is_some()));
        if let Some(previous) = previous {
            self.state.subtract(&previous.key, previous.revision);
            self.live_bytes = self.live_bytes.saturating_sub(previous.json().len() as u64 + 8);
        }
        let mut after = 0;
        if *kind != EventKind::Deleted {
            let record = codec::encode_object(object);
            self.live_bytes += record.len() as u64;
            self.state.add(&object.key, *revision);
            after = put(batch, &prefix, &record);
            if after > 1 {
                self.long.insert(prefix.clone(), after);
            }
        }
        for piece in after..before {
            batch.remove(codec::piece_key(&prefix, piece));
        }
        let record = codec::encode_log(*kind, entry.at, &object.key, previous.as_deref());
        self.live_bytes += record.len() as u64;
        self.log.push_back(u32::try_from(record.len()).expect("records are far below 256 MiB"));
        put(batch, &codec::log_prefix(*revision), &record);
        self.state.revision = *revision;
    }
}

/// What a new database is to hold.
pub(crate) struct Content<'a> {
    pub(crate) objects: &'a [Arc<Stored>],
    /// Every revision after `oldest`, in order.
    pub(crate) log: &'a [Entry],
    pub(crate) oldest: u64,
    pub(crate) revision: u64,
}

/// Writes a whole new database; durable when it returns.
pub(crate) fn build(path: &Path, content: &Content<'_>) -> Result<(), String> {
    let mut state = StateRecord { revision: content.revision, oldest: content.oldest, ..StateRecord::default() };
    let db = open_sled(path)?;
    let fill = || -> sled::Result<()> {
        for objects in content.objects.chunks(BUILD_BATCH) {
            let mut batch = sled::Batch::default();
            for object in objects {
                state.add(&object.key, object.revision);
                put(&mut batch, &codec::object_prefix(&object.key), &codec::encode_object(object));
            }
            db.apply_batch(batch)?;
        }
        for entries in content.log.chunks(BUILD_BATCH) {
            let mut batch = sled::Batch::default();
            for Entry { at, event, .. } in entries {
                let record = codec::encode_log(event.kind, *at, &event.object.key, event.previous.as_deref());
                put(&mut batch, &codec::log_prefix(event.revision), &record);
            }
            db.apply_batch(batch)?;
        }
        let mut batch = sled::Batch::default();
        batch.insert(FORMAT_KEY, FORMAT.to_string().as_bytes());
        batch.insert(STATE_KEY, state.encode());
        db.apply_batch(batch)?;
        db.flush().map(drop)
    };
    let filled = caught(fill);
    caught(move || drop(db))?;
    filled?.map_err(|error| format!("build {}: {error}", path.display()))?;
    sync_tree(path).map_err(|error| format!("sync {}: {error}", path.display()))
}

/// Whether sled has snapshots there: what it may be rid of when they are damaged.
pub(crate) fn has_snapshots(path: &Path) -> bool {
    let names = fs::read_dir(path).into_iter().flatten().flatten();
    names.into_iter().any(|entry| is_snapshot(&entry.file_name().to_string_lossy()))
}

/// Whether a file of a database is a snapshot.
pub(crate) fn is_snapshot(name: &str) -> bool {
    name.starts_with("snap.")
}

struct Parts {
    state: StateRecord,
    long: HashMap<Vec<u8>, usize>,
    log_lengths: VecDeque<u32>,
    live_bytes: u64,
    objects: Vec<Arc<Stored>>,
    log: Vec<Entry>,
}

fn load(db: &sled::Db) -> Result<Parts, Unusable> {
    let damaged = |error: sled::Error| Unusable::Damaged(error.to_string());
    let format = db.get(FORMAT_KEY).map_err(damaged)?.ok_or(Unusable::Damaged("it is empty".into()))?;
    if *format != *FORMAT.to_string().as_bytes() {
        return Err(Unusable::Version(String::from_utf8_lossy(&format).into_owned()));
    }
    let state = db.get(STATE_KEY).map_err(damaged)?.ok_or(Unusable::Damaged("no state record".into()))?;
    let mut state = StateRecord::decode(&state).map_err(Unusable::Damaged)?;
    let mut parts = Parts {
        state,
        long: HashMap::new(),
        log_lengths: VecDeque::new(),
        live_bytes: 0,
        objects: Vec::new(),
        log: Vec::new(),
    };
    let mut found = StateRecord { revision: state.revision, oldest: state.oldest, ..StateRecord::default() };
    for (prefix, record) in scan(db, OBJECTS).map_err(Unusable::Damaged)? {
        let object = codec::decode_object(&prefix, &record).map_err(Unusable::Damaged)?;
        found.add(&object.key, object.revision);
        parts.live_bytes += record.len() as u64;
        if codec::pieces(record.len()) > 1 {
            parts.long.insert(prefix, codec::pieces(record.len()));
        }
        parts.objects.push(Arc::new(object));
    }
    if found != state {
        let Parts { objects, .. } = parts;
        return Err(Unusable::Damaged(format!(
            "{} objects where {} were, or older ones",
            objects.len(),
            state.objects
        )));
    }
    match read_log(db, &state, &parts.objects) {
        Ok((log, lengths)) => {
            parts.live_bytes += lengths.iter().map(|&length| u64::from(length)).sum::<u64>();
            (parts.log, parts.log_lengths) = (log, lengths);
        }
        Err(cause) => {
            // The objects are proven whole; without the log, watches start anew.
            tracing::warn!(cause, "the log of changes cannot be read; watches from before will get 410");
            state.oldest = state.revision;
            forget_log(db, &state).map_err(damaged)?;
        }
    }
    parts.state = state;
    Ok(parts)
}

/// Reads the log newest first: each entry's object is the present one or the next entry's `previous`.
fn read_log(
    db: &sled::Db,
    state: &StateRecord,
    objects: &[Arc<Stored>],
) -> Result<(Vec<Entry>, VecDeque<u32>), String> {
    let mut present: HashMap<Key, Arc<Stored>> =
        objects.iter().map(|object| (object.key.clone(), object.clone())).collect();
    let (mut log, mut lengths) = (Vec::new(), VecDeque::new());
    let (mut revision, since) = (state.revision, Instant::now());
    for (prefix, record) in scan(db, LOG)?.into_iter().rev() {
        if codec::log_revision(&prefix)? != revision {
            return Err(format!("no entry for revision {revision}"));
        }
        let entry = codec::decode_log(&record)?;
        let object = match (entry.kind, &entry.previous) {
            (EventKind::Deleted, Some(previous)) => Arc::new(last_state(previous, revision)),
            _ => present.remove(&entry.key).ok_or(format!("no object for revision {revision}"))?,
        };
        if object.revision != revision {
            return Err(format!("the object of revision {revision} has {}", object.revision));
        }
        if let Some(previous) = &entry.previous {
            present.insert(entry.key, previous.clone());
        }
        let event = Event { kind: entry.kind, revision, object, previous: entry.previous };
        log.push(Entry { at: entry.at, since, event: Arc::new(event) });
        lengths.push_front(u32::try_from(record.len()).map_err(|_| "a record is too long")?);
        revision -= 1;
    }
    if revision != state.oldest {
        return Err(format!("it begins after {revision} instead of {}", state.oldest));
    }
    log.reverse();
    Ok((log, lengths))
}

fn forget_log(db: &sled::Db, state: &StateRecord) -> sled::Result<()> {
    let mut batch = sled::Batch::default();
    for pair in db.scan_prefix([LOG]) {
        batch.remove(pair?.0);
    }
    batch.insert(STATE_KEY, state.encode());
    db.apply_batch(batch)
}

fn scan(db: &sled::Db, kind: u8) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    codec::join(db.scan_prefix([kind]).map(|pair| pair.map_err(|error| error.to_string())))
}

fn put(batch: &mut sled::Batch, prefix: &[u8], record: &[u8]) -> usize {
    let pieces = codec::cut(record);
    let count = pieces.len();
    for (index, piece) in pieces.into_iter().enumerate() {
        batch.insert(codec::piece_key(prefix, index), piece);
    }
    count
}

fn open_sled(path: &Path) -> Result<sled::Db, String> {
    let deadline = Instant::now() + LET_GO;
    loop {
        // We read at start only: a small cache. Its own flusher stays as a second net.
        let config = sled::Config::new().path(path).cache_capacity(8 << 20).flush_every_ms(Some(5_000));
        match caught(|| config.open())? {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn remove_half_snapshots(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_snapshot(&name) && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Runs a closure; a panic becomes an error with its text.
fn caught<T>(closure: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(closure)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        format!("the database panicked: {text}")
    })
}
