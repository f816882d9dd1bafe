//! A work queue of keys, as client-go's: a key waits at most once, is never worked on twice at a time, and may wait for
//! a time to come. `drive` works it off. It knows nothing of what the keys mean.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

struct State<K> {
    ready: VecDeque<K>,
    /// Keys that must be worked on (again).
    dirty: HashSet<K>,
    busy: HashSet<K>,
    later: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

/// Keys that wait for work.
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    bell: Notify,
}

impl<K: Clone + Ord + Hash + Debug> Queue<K> {
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            busy: HashSet::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        };
        Arc::new(Self { state: Mutex::new(state), bell: Notify::new() })
    }

    /// Asks for work on a key as soon as possible.
    pub(crate) fn add(&self, key: K) {
        self.state.lock().add(key);
        self.bell.notify_one();
    }

    /// Asks for work on a key after a while; an earlier time already asked for stands.
    pub(crate) fn add_after(&self, key: K, wait: Duration) {
        if wait.is_zero() {
            return self.add(key);
        }
        let mut state = self.state.lock();
        let at = Instant::now() + wait;
        match state.due.get(&key) {
            Some(due) if *due <= at => return,
            Some(due) => {
                let due = *due;
                state.later.remove(&(due, key.clone()));
            }
            None => {}
        }
        state.due.insert(key.clone(), at);
        state.later.insert((at, key));
        drop(state);
        self.bell.notify_one();
    }

    /// The next key to work on, or when there will be one.
    fn next(&self, now: Instant) -> Result<K, Option<Instant>> {
        let mut state = self.state.lock();
        while let Some((at, key)) = state.later.first().cloned() {
            if at > now {
                break;
            }
            state.later.pop_first();
            state.due.remove(&key);
            state.add(key);
        }
        match state.ready.pop_front() {
            Some(key) => {
                state.dirty.remove(&key);
                state.busy.insert(key.clone());
                Ok(key)
            }
            None => Err(state.later.first().map(|(at, _)| *at)),
        }
    }

    fn done(&self, key: &K) {
        let mut state = self.state.lock();
        state.busy.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
        }
    }

    fn failed(&self, key: &K) -> Duration {
        let mut state = self.state.lock();
        let failures = state.failures.entry(key.clone()).or_insert(0);
        *failures += 1;
        Duration::from_millis(5).saturating_mul(1 << (*failures).min(13)).min(Duration::from_secs(20))
    }

    fn succeeded(&self, key: &K) {
        self.state.lock().failures.remove(key);
    }
}

impl<K: Clone + Ord + Hash> State<K> {
    fn add(&mut self, key: K) {
        if self.dirty.insert(key.clone()) && !self.busy.contains(&key) {
            self.ready.push_back(key);
        }
    }
}

/// Works the queue off for ever, at most `workers` keys at a time. `sync` says when the key wants to be seen again; a
/// failure is tried again with growing pauses.
pub(crate) async fn drive<K, F, Fut>(name: &'static str, queue: Arc<Queue<K>>, workers: usize, sync: F)
where
    K: Clone + Ord + Hash + Debug,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Option<Duration>, kube::Error>>,
{
    let mut running = FuturesUnordered::new();
    loop {
        let mut wake = None;
        while running.len() < workers {
            match queue.next(Instant::now()) {
                Ok(key) => {
                    let work = sync(key.clone());
                    running.push(async move { (key, work.await) });
                }
                Err(at) => {
                    wake = at;
                    break;
                }
            }
        }
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((key, outcome)) = running.next(), if !running.is_empty() => {
                match outcome {
                    Ok(again) => {
                        queue.succeeded(&key);
                        if let Some(wait) = again {
                            queue.add_after(key.clone(), wait);
                        }
                    }
                    Err(error) => {
                        let wait = queue.failed(&key);
                        if crate::world::is_conflict(&error) {
                            tracing::debug!(part = name, ?key, "changed under our hands, once more");
                        } else {
                            tracing::warn!(part = name, ?key, %error, ?wait, "failed, will try again");
                        }
                        queue.add_after(key.clone(), wait);
                    }
                }
                queue.done(&key);
                // Work that never waits must not keep others from theirs.
                tokio::task::consume_budget().await;
            }
            () = queue.bell.notified() => {}
            () = timer => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_once_and_is_not_worked_on_twice_at_a_time() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next(Instant::now()), Ok("a"));
        queue.add("a");
        assert_eq!(queue.next(Instant::now()), Err(None));
        queue.done(&"a");
        assert_eq!(queue.next(Instant::now()), Ok("a"));
        queue.done(&"a");
        assert_eq!(queue.next(Instant::now()), Err(None));
    }

    #[test]
    fn the_earliest_time_asked_for_stands() {
        let queue = Queue::new();
        let start = Instant::now();
        for seconds in [500, 200, 900] {
            queue.add_after("a", Duration::from_secs(seconds));
        }
        assert!(queue.next(start).is_err());
        assert_eq!(queue.next(start + Duration::from_secs(300)), Ok("a"));
        queue.done(&"a");
        assert_eq!(queue.next(start + Duration::from_secs(3000)), Err(None));
    }
}
