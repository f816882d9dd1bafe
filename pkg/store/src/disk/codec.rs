//! The bytes in the database: keys, records in pieces, the state record. Pure.
//!
//! * `f` → format number as text
//! * `s` → the state record: revision, oldest, count and digest of the objects (four big-endian u64)
//! * `o` resource 0 namespace 0 name 0 piece → an object: revision, JSON
//! * `l` revision piece → a log entry: kind, time, key, and the object *before* the change. What came after is in the
//!   next entry of that object, or in the object itself.
//!
//! Records are cut into pieces, because sled moves what is longer than a quarter of a segment (a value, or sixteen
//! values of one leaf) into files of its own that it never syncs.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::types::{EventKind, Key, Stored};

/// The only format there is so far.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const FORMAT_KEY: &[u8] = b"f";
pub(crate) const STATE_KEY: &[u8] = b"s";
pub(crate) const OBJECTS: u8 = b'o';
pub(crate) const LOG: u8 = b'l';
/// Seventeen of these stay below the 128 KiB that sled keeps inline.
pub(crate) const PIECE_BYTES: usize = 4096;

/// What the database says of itself; read back it must agree with what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StateRecord {
    pub(crate) revision: u64,
    pub(crate) oldest: u64,
    pub(crate) objects: u64,
    /// Sum of [`fingerprint`] over all objects.
    pub(crate) digest: u64,
}

/// A log entry as stored.
#[derive(Debug)]
pub(crate) struct LogRecord {
    pub(crate) kind: EventKind,
    pub(crate) at: u64,
    pub(crate) key: Key,
    pub(crate) previous: Option<Arc<Stored>>,
}

// === impl StateRecord ===

impl StateRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.revision, self.oldest, self.objects, self.digest].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<StateRecord, String> {
        let numbers: Vec<u64> = bytes.chunks_exact(8).map(be64).collect();
        match numbers[..] {
            [revision, oldest, objects, digest] if bytes.len() == 32 => {
                Ok(StateRecord { revision, oldest, objects, digest })
            }
            _ => Err("the state record has another length".into()),
        }
    }

    /// Counts an object in.
    pub(crate) fn add(&mut self, key: &Key, revision: u64) {
        self.objects += 1;
        self.digest = self.digest.wrapping_add(fingerprint(key, revision));
    }

    /// Counts an object out.
    pub(crate) fn subtract(&mut self, key: &Key, revision: u64) {
        self.objects = self.objects.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(fingerprint(key, revision));
    }
}

/// A number that stands for "this object at this revision"; summed up it notices a lost or revived object.
pub(crate) fn fingerprint(key: &Key, revision: u64) -> u64 {
    let digest = Sha256::new_with_prefix(key_bytes(key)).chain_update(revision.to_be_bytes()).finalize();
    be64(&digest[..8])
}

/// The prefix of an object's pieces.
pub(crate) fn object_prefix(key: &Key) -> Vec<u8> {
    let mut bytes = vec![OBJECTS];
    bytes.extend(key_bytes(key));
    bytes.push(0);
    bytes
}

/// The prefix of a log entry's pieces.
pub(crate) fn log_prefix(revision: u64) -> Vec<u8> {
    let mut bytes = vec![LOG];
    bytes.extend(revision.to_be_bytes());
    bytes
}

/// The key of one piece.
pub(crate) fn piece_key(prefix: &[u8], piece: usize) -> Vec<u8> {
    let mut key = prefix.to_vec();
    key.extend(u16::try_from(piece).expect("records are far below 256 MiB").to_be_bytes());
    key
}

/// How many pieces a record of this length has.
pub(crate) fn pieces(length: usize) -> usize {
    // The count itself is the first two bytes.
    (length + 2).div_ceil(PIECE_BYTES)
}

/// Cuts a record into pieces: the first two bytes are their number.
pub(crate) fn cut(record: &[u8]) -> Vec<Vec<u8>> {
    let count = u16::try_from(pieces(record.len())).expect("records are far below 256 MiB");
    let mut all = Vec::with_capacity(record.len() + 2);
    all.extend(count.to_be_bytes());
    all.extend(record);
    all.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect()
}

/// Puts pieces together again, in the order of their keys. Gives prefix → record.
pub(crate) fn join<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    pairs: impl Iterator<Item = Result<(K, V), String>>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut found: BTreeMap<Vec<u8>, (usize, Vec<u8>)> = BTreeMap::new();
    for pair in pairs {
        let (key, value) = pair?;
        let (key, value) = (key.as_ref(), value.as_ref());
        let Some((prefix, piece)) = key.split_last_chunk::<2>() else {
            return Err("a key is too short".into());
        };
        let (count, record) = found.entry(prefix.to_vec()).or_default();
        if usize::from(u16::from_be_bytes(*piece)) != *count {
            return Err(format!("a piece of {} is missing", String::from_utf8_lossy(prefix)));
        }
        *count += 1;
        record.extend(value);
    }
    let whole = |(prefix, (count, record)): (Vec<u8>, (usize, Vec<u8>))| match record.split_first_chunk::<2>() {
        Some((wanted, rest)) if usize::from(u16::from_be_bytes(*wanted)) == count => Ok((prefix, rest.to_vec())),
        _ => Err(format!("the last piece of {} is missing", String::from_utf8_lossy(&prefix))),
    };
    found.into_iter().map(whole).collect()
}

/// An object's record.
pub(crate) fn encode_object(object: &Stored) -> Vec<u8> {
    let mut record = object.revision.to_be_bytes().to_vec();
    record.extend(&object.json());
    record
}

/// Reads what [`encode_object`] wrote, under the prefix of its pieces.
pub(crate) fn decode_object(prefix: &[u8], record: &[u8]) -> Result<Stored, String> {
    let key = prefix.strip_prefix(&[OBJECTS]).and_then(|key| key.strip_suffix(&[0])).ok_or("no object's key")?;
    decode_state(parse_key(key)?, record)
}

/// A log entry's record.
pub(crate) fn encode_log(kind: EventKind, at: u64, key: &Key, previous: Option<&Stored>) -> Vec<u8> {
    let key = key_bytes(key);
    let mut record = vec![match kind {
        EventKind::Added => 0,
        EventKind::Modified => 1,
        EventKind::Deleted => 2,
    }];
    record.extend(at.to_be_bytes());
    record.extend(u16::try_from(key.len()).expect("names are short").to_be_bytes());
    record.extend(key);
    if let Some(previous) = previous {
        record.extend(encode_object(previous));
    }
    record
}

/// Reads what [`encode_log`] wrote.
pub(crate) fn decode_log(record: &[u8]) -> Result<LogRecord, String> {
    let short = "a log entry is too short";
    let (kind, rest) = record.split_first().ok_or(short)?;
    let (at, rest) = rest.split_first_chunk::<8>().ok_or(short)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
    let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(short)?;
    let kind = match kind {
        0 => EventKind::Added,
        1 => EventKind::Modified,
        2 => EventKind::Deleted,
        other => return Err(format!("a log entry has kind {other}")),
    };
    let key = parse_key(key)?;
    let previous = match (kind, rest.is_empty()) {
        (EventKind::Added, true) => None,
        (EventKind::Modified | EventKind::Deleted, false) => Some(Arc::new(decode_state(key.clone(), rest)?)),
        _ => return Err("a log entry's kind and content disagree".into()),
    };
    Ok(LogRecord { kind, at: u64::from_be_bytes(*at), key, previous })
}

/// The revision in a log entry's prefix.
pub(crate) fn log_revision(prefix: &[u8]) -> Result<u64, String> {
    match prefix {
        [LOG, revision @ ..] if revision.len() == 8 => Ok(be64(revision)),
        _ => Err("no log entry's key".into()),
    }
}

fn decode_state(key: Key, record: &[u8]) -> Result<Stored, String> {
    let (revision, json) = record.split_first_chunk::<8>().ok_or("an object's record is too short")?;
    let revision = u64::from_be_bytes(*revision);
    let value: Value = serde_json::from_slice(json).map_err(|error| format!("object {key:?}: {error}"))?;
    if value["metadata"]["resourceVersion"].as_str() != Some(revision.to_string().as_str()) {
        return Err(format!("object {key:?} does not carry its revision {revision}"));
    }
    Ok(Stored { key, revision, value: Arc::new(value), json: OnceLock::new() })
}

fn key_bytes(key: &Key) -> Vec<u8> {
    [key.resource.as_bytes(), key.namespace.as_bytes(), key.name.as_bytes()].join(&0)
}

fn parse_key(bytes: &[u8]) -> Result<Key, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a key is not text")?;
    match text.split('\0').collect::<Vec<_>>()[..] {
        [resource, namespace, name] => Ok(Key::new(resource, namespace, name)),
        _ => Err("a key has not three parts".into()),
    }
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
