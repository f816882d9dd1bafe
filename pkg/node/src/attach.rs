//! A running container's output, for those who attach: everything from now on, in order. Must not slow the container
//! for somebody who left.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// Chunks that may wait for one listener.
const QUEUE: usize = 64;
/// How long a container's output waits for a listener who does not take it.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is kept for the first listener of an interactive container.
const BACKLOG: usize = 64 * 1024;

/// Where a chunk of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

type Chunk = (Source, Bytes);

/// The output of one container's run.
#[derive(Debug)]
pub(crate) struct Output {
    state: Mutex<State>,
    over: Notify,
}

#[derive(Debug)]
struct State {
    listeners: Vec<mpsc::Sender<Chunk>>,
    /// What an interactive container said before anybody attached: its prompt. Else nothing is kept.
    backlog: Option<Vec<Chunk>>,
    /// Streams that have not ended.
    open: usize,
}

impl Output {
    /// Output that comes in `open` streams; an interactive container's beginning is kept for its first listener.
    pub(crate) fn new(open: usize, interactive: bool) -> Output {
        let state = State { listeners: Vec::new(), backlog: interactive.then(Vec::new), open };
        Output { state: Mutex::new(state), over: Notify::new() }
    }

    /// Whether a chunk would go anywhere.
    pub(crate) fn is_heard(&self) -> bool {
        let state = self.state.lock();
        state.backlog.is_some() || !state.listeners.is_empty()
    }

    /// Hands a chunk to every listener.
    pub(crate) async fn say(&self, source: Source, bytes: Bytes) {
        let listeners = {
            let mut state = self.state.lock();
            if let Some(backlog) = &mut state.backlog {
                backlog.push((source, bytes.clone()));
                while backlog.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > BACKLOG {
                    backlog.remove(0);
                }
            }
            state.listeners.clone()
        };
        for listener in listeners {
            if tokio::time::timeout(PATIENCE, listener.send((source, bytes.clone())))
                .await
                .is_ok_and(|sent| sent.is_ok())
            {
                continue;
            }
            self.state.lock().listeners.retain(|other| !other.same_channel(&listener));
        }
    }

    /// Somebody read the log: its whole lines need not be said again to the first listener.
    pub(crate) fn read_from_log(&self) {
        let mut state = self.state.lock();
        let Some(backlog) = &mut state.backlog else { return };
        let ends = |bytes: &Bytes| bytes.iter().rposition(|byte| *byte == b'\n');
        let Some(last) = backlog.iter().rposition(|(_, bytes)| ends(bytes).is_some()) else { return };
        let (source, bytes) = backlog[last].clone();
        let rest = bytes.slice(ends(&bytes).map_or(0, |end| end + 1)..);
        backlog.drain(..=last);
        if !rest.is_empty() {
            backlog.insert(0, (source, rest));
        }
    }

    /// One stream has ended; after the last one listeners hear the end.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.open = state.open.saturating_sub(1);
        if state.open == 0 {
            state.listeners.clear();
            self.over.notify_waiters();
        }
    }

    /// Waits until every stream has ended; by then the log holds all of it.
    pub(crate) async fn ended(&self) {
        loop {
            // Made before the look, so that an end right after it is not missed.
            let over = self.over.notified();
            if self.state.lock().open == 0 {
                return;
            }
            over.await;
        }
    }

    /// Listens from now on, or from the beginning for the first listener of an interactive container.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Chunk> {
        let mut state = self.state.lock();
        let earlier = state.backlog.take().unwrap_or_default();
        let (sender, receiver) = mpsc::channel(QUEUE + earlier.len());
        for chunk in earlier {
            // There is room for all of them.
            let _ = sender.try_send(chunk);
        }
        if state.open > 0 {
            state.listeners.push(sender);
        }
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_listener_hears_the_prompt_and_all_hear_the_end() {
        let output = Output::new(2, true);
        output.say(Source::Stdout, Bytes::from_static(b"$ ")).await;
        let mut first = output.listen();
        let mut second = output.listen();
        output.say(Source::Stderr, Bytes::from_static(b"oh")).await;
        assert_eq!(first.recv().await, Some((Source::Stdout, Bytes::from_static(b"$ "))));
        for listener in [&mut first, &mut second] {
            assert_eq!(listener.recv().await, Some((Source::Stderr, Bytes::from_static(b"oh"))));
        }
        drop(second);
        output.say(Source::Stdout, Bytes::from_static(b"!")).await;
        output.end();
        output.end();
        assert_eq!(first.recv().await, Some((Source::Stdout, Bytes::from_static(b"!"))));
        assert_eq!(first.recv().await, None);
        output.ended().await;
        assert_eq!(output.listen().recv().await, None);
    }

    #[tokio::test]
    async fn what_the_log_has_told_is_not_said_again() {
        let output = Output::new(1, true);
        output.say(Source::Stdout, Bytes::from_static(b"one\n")).await;
        output.say(Source::Stdout, Bytes::from_static(b"two\n$ ")).await;
        output.read_from_log();
        assert_eq!(output.listen().recv().await, Some((Source::Stdout, Bytes::from_static(b"$ "))));
    }

    #[tokio::test]
    async fn nothing_is_kept_where_nobody_types() {
        let output = Output::new(1, false);
        output.say(Source::Stdout, Bytes::from_static(b"gone")).await;
        let mut late = output.listen();
        output.end();
        assert_eq!(late.recv().await, None);
    }
}
