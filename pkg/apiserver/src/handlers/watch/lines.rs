//! Events as they go out, written once for all watchers who ask for the same form. Bounded; must not know watchers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use minisvc_api::table::IncludeObject;

use crate::http::negotiate::{Encoding, Shape};

/// Lines kept at most; a watcher further behind writes its own.
const KEPT: usize = 1024;
/// Bytes kept at most.
const KEPT_BYTES: usize = 8 << 20;
/// How long a Table's line may be used: its ages are written out.
const TABLE_LIFE: Duration = Duration::from_secs(1);

/// What makes two watchers' lines the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// Of the event; no two events share one.
    pub(super) revision: u64,
    /// `ADDED`, ...
    pub(super) kind: &'static str,
    /// `apiVersion` and kind, which say how the object is shown.
    pub(super) view: (&'static str, &'static str, &'static str),
    pub(super) shape: Shape,
    pub(super) encoding: Encoding,
    pub(super) include: IncludeObject,
    /// Whether column definitions come along.
    pub(super) headers: bool,
}

/// The newest lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    kept: Mutex<Kept>,
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    slots: HashMap<Form, Arc<Slot>>,
    order: VecDeque<Form>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    line: OnceLock<Bytes>,
    made: Instant,
}

// === impl Lines ===

impl Lines {
    /// The line of this form; `write` is called when nobody has asked for it yet, and by one of those who ask at once.
    pub(super) fn get(&self, form: Form, write: impl FnOnce() -> Bytes) -> Bytes {
        let slot = self.kept.lock().unwrap_or_else(PoisonError::into_inner).slot(&form);
        let mut new = false;
        let line = slot.line.get_or_init(|| {
            new = true;
            self.written.fetch_add(1, Ordering::Relaxed);
            write()
        });
        if new {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).grown(line.len());
        }
        line.clone()
    }

    /// How many lines were written, ever.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Kept {
    fn slot(&mut self, form: &Form) -> Arc<Slot> {
        let lasting = !matches!(form.shape, Shape::Table(_));
        if let Some(slot) = self.slots.get(form)
            && (lasting || slot.made.elapsed() < TABLE_LIFE)
        {
            return slot.clone();
        }
        let slot = Arc::new(Slot { line: OnceLock::new(), made: Instant::now() });
        match self.slots.insert(form.clone(), slot.clone()) {
            Some(old) => self.bytes = self.bytes.saturating_sub(old.line.get().map_or(0, Bytes::len)),
            None => self.order.push_back(form.clone()),
        }
        slot
    }

    fn grown(&mut self, bytes: usize) {
        self.bytes += bytes;
        while self.order.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(slot) = self.slots.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(slot.line.get().map_or(0, Bytes::len));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(revision: u64) -> Form {
        let include = IncludeObject::default();
        let view = ("", "v1", "ConfigMap");
        Form { revision, kind: "ADDED", view, shape: Shape::Plain, encoding: Encoding::Json, include, headers: false }
    }

    #[test]
    fn a_line_is_written_once_and_the_oldest_go() {
        let lines = Lines::default();
        let big = Bytes::from(vec![b'x'; 1 << 20]);
        for round in 0..3 {
            for revision in 1..=4 {
                let line = lines.get(form(revision), || big.clone());
                assert_eq!((line.len(), lines.written()), (1 << 20, if round == 0 { revision } else { 4 }));
            }
        }
        for revision in 5..100 {
            lines.get(form(revision), || big.clone());
        }
        let kept = lines.kept.lock().unwrap();
        assert!(kept.bytes <= KEPT_BYTES && kept.slots.len() <= 8, "{} bytes, {}", kept.bytes, kept.slots.len());
        drop(kept);
        for revision in 100..5000 {
            lines.get(form(revision), || Bytes::from_static(b"x"));
        }
        let kept = lines.kept.lock().unwrap();
        assert!(kept.slots.len() <= KEPT && kept.order.len() == kept.slots.len());
    }
}
