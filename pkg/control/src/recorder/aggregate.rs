//! Which notes become a new Event, which raise the count of one, and which are one too many. Pure; the limits are those
//! of client-go's `events_cache.go`: more than 10 similar ones in 10 minutes are combined, 25 at once per object and
//! source, then one in 5 minutes.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::Note;

const SIMILAR: usize = 10;
const WINDOW_S: i64 = 600;
const BURST: f64 = 25.0;
const REFILL_S: f64 = 300.0;
/// Keys remembered before the oldest half is forgotten.
const MEMORY: usize = 4096;

/// An Event as it now stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) message: String,
    pub(super) count: i32,
    pub(super) first: Timestamp,
    last: Timestamp,
}

struct Similar {
    messages: HashSet<String>,
    last: Timestamp,
}

struct Bucket {
    tokens: f64,
    last: Timestamp,
}

/// The memory of one lane.
#[derive(Default)]
pub(super) struct Aggregator {
    records: HashMap<String, Record>,
    similar: HashMap<String, Similar>,
    buckets: HashMap<String, Bucket>,
}

impl Aggregator {
    /// The Event to write for a note: new when its count is 1. `None` when it is one too many.
    pub(super) fn take(&mut self, note: &Note, now: Timestamp) -> Option<Record> {
        self.forget();
        let object = &note.object;
        let subject = format!(
            "{}/{}/{}/{}/{}",
            note.component,
            object.kind.as_deref().unwrap_or_default(),
            object.namespace.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default(),
            object.uid.as_deref().unwrap_or_default()
        );
        let group = format!("{subject}/{}/{}", note.warning, note.reason);
        let similar =
            self.similar.entry(group.clone()).or_insert_with(|| Similar { messages: HashSet::new(), last: now });
        if now.as_second() - similar.last.as_second() > WINDOW_S {
            similar.messages.clear();
        }
        similar.last = now;
        let known = similar.messages.contains(&note.message);
        let combined = !known && similar.messages.len() >= SIMILAR;
        if !known && !combined {
            similar.messages.insert(note.message.clone());
        }
        let (key, message) = if combined {
            (group, format!("(combined from similar events): {}", note.message))
        } else {
            (format!("{group}/{}", note.message), note.message.clone())
        };
        let bucket = self.buckets.entry(subject).or_insert(Bucket { tokens: BURST, last: now });
        #[expect(clippy::cast_precision_loss, reason = "seconds between two events")]
        let passed = (now.as_second() - bucket.last.as_second()).max(0) as f64;
        bucket.tokens = (bucket.tokens + passed / REFILL_S).min(BURST);
        bucket.last = now;
        let record = self.records.entry(key).or_insert_with(|| Record {
            name: format!("{}.{:x}", object.name.as_deref().unwrap_or_default(), now.as_nanosecond()),
            message: message.clone(),
            count: 0,
            first: Timestamp::from_second(now.as_second()).unwrap_or(now),
            last: now,
        });
        record.count += 1;
        record.last = now;
        record.message = message;
        if bucket.tokens < 1.0 {
            return None;
        }
        bucket.tokens -= 1.0;
        Some(record.clone())
    }

    fn forget(&mut self) {
        if self.records.len() > MEMORY {
            let mut times: Vec<_> = self.records.values().map(|r| r.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            self.records.retain(|_, r| r.last > middle);
            self.similar.retain(|_, s| s.last > middle);
            self.buckets.retain(|_, b| b.last > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn note(message: &str) -> Note {
        let object = ObjectReference { name: Some("blue".into()), ..ObjectReference::default() };
        Note { object, component: "c", warning: false, reason: "R".into(), message: message.into() }
    }

    #[test]
    fn repeats_raise_the_count_of_one_event() {
        let mut aggregator = Aggregator::default();
        let now = Timestamp::UNIX_EPOCH;
        let first = aggregator.take(&note("m"), now).unwrap();
        let second = aggregator.take(&note("m"), now).unwrap();
        assert_eq!((first.count, second.count), (1, 2));
        assert_eq!(first.name, second.name);
    }

    #[test]
    fn many_similar_ones_are_combined_and_floods_end() {
        let mut aggregator = Aggregator::default();
        let now = Timestamp::UNIX_EPOCH;
        let records: Vec<_> = (0..100).filter_map(|n| aggregator.take(&note(&format!("pod {n}")), now)).collect();
        assert_eq!(records.len(), 25);
        assert_eq!(records.iter().filter(|r| r.count == 1).count(), 11);
        assert!(records[24].message.starts_with("(combined from similar events): pod 24"));
        let later = Timestamp::from_second(301).unwrap();
        assert!(aggregator.take(&note("again"), later).is_some());
    }
}
