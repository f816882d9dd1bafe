//! The log on made-up clocks and sizes: what compaction takes, what a watch may still start from.

use std::sync::OnceLock;

use serde_json::json;

use super::*;

fn entry(resource: &str, revision: u64, at: u64, since: Instant, size: usize) -> Entry {
    let key = Key::new(resource, "default", format!("o{revision}"));
    let value = Arc::new(json!({"metadata": {}, "data": "x".repeat(size)}));
    let object = Arc::new(Stored { key, revision, value, json: OnceLock::new() });
    object.json();
    Entry { at, since, event: Arc::new(Event { kind: EventKind::Added, revision, object, previous: None }) }
}

#[test]
fn age_follows_a_clock_that_never_jumps() {
    let memory = Memory::new(Vec::new(), Vec::new(), 1, 1);
    let start = Instant::now();
    // The wall clock leaps a year ahead after the first entry, then back to 1970.
    let wall = [1_700_000_000_000, 1_731_536_000_000, 5];
    let seconds = [0, 100, 200];
    let entries = wall.iter().zip(seconds).zip(2..);
    memory.publish(
        entries
            .map(|((at, second), revision)| entry("configmaps", revision, *at, start + Duration::from_secs(second), 1))
            .collect(),
    );
    let keep = Duration::from_secs(300);
    let compactable = |second| memory.read().compactable(start + Duration::from_secs(second), 1000, keep, 1000);
    assert_eq!(compactable(250), 1, "nothing is five minutes old");
    assert_eq!(compactable(301), 2);
    assert_eq!(compactable(401), 3);
    assert_eq!(compactable(501), 4);
}

#[test]
fn a_quiet_resource_goes_on_from_long_ago() {
    let memory = Arc::new(Memory::new(Vec::new(), Vec::new(), 10, 10));
    let now = Instant::now();
    memory.publish(vec![entry("services", 11, 0, now, 1)]);
    memory.publish((12..50).map(|revision| entry("leases", revision, 0, now, 1)).collect());
    memory.compact(40);
    assert_eq!(memory.watch("leases", 39).unwrap_err().oldest, 40);
    assert_eq!(memory.watch("services", 10).unwrap_err().oldest, 40, "its event of revision 11 is gone");
    let mut quiet = memory.watch("services", 11).unwrap();
    memory.publish(vec![entry("services", 50, 0, now, 1)]);
    assert_eq!(quiet.poll_now().unwrap().events.len(), 1);
    // Nobody knows what happened to it before this memory began.
    assert_eq!(memory.watch("secrets", 9).unwrap_err().oldest, 40);
    assert!(memory.watch("secrets", 10).unwrap().poll_now().unwrap().events.is_empty());
    assert_eq!(memory.watch("secrets", 9).unwrap_err().oldest, 40, "nor after somebody looked");
}

#[test]
fn a_batch_holds_a_bounded_number_of_bytes() {
    let memory = Arc::new(Memory::new(Vec::new(), Vec::new(), 1, 1));
    let now = Instant::now();
    memory.publish((2..12).map(|revision| entry("configmaps", revision, 0, now, 100 << 10)).collect());
    let mut watch = memory.watch("configmaps", 1).unwrap();
    let mut seen = Vec::new();
    while let batch = watch.poll_now().unwrap()
        && !batch.events.is_empty()
    {
        assert!(batch.events.len() <= 3, "{} of 100 KiB each", batch.events.len());
        seen.extend(batch.events.iter().map(|event| event.revision));
    }
    assert_eq!(seen, (2..12).collect::<Vec<_>>());
}
