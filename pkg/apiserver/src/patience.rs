//! A connection that loses patience: with a peer that says nothing at first, and with one that takes nothing of what
//! waits for it. Times are monotonic. Must not look into the bytes.

use std::future::Future as _;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Set while a connection carries something that may pause as long as it likes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unhurried(Arc<AtomicBool>);

/// Bytes of HTTP/2's preface (RFC 9113 section 3.4): with fewer, nobody knows yet which protocol is spoken, and neither
/// protocol's own timers run. No request that lasts is shorter.
const PREFACE: usize = 24;

/// The stream with its timers.
pub(crate) struct Patient<T> {
    inner: T,
    /// Bytes that came, up to [`PREFACE`].
    heard: usize,
    /// Runs until that many have come.
    silence: Option<Pin<Box<Sleep>>>,
    stall: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    unhurried: Unhurried,
}

// === impl Unhurried ===

impl Unhurried {
    pub(crate) fn set(&self, unhurried: bool) {
        self.0.store(unhurried, Ordering::Relaxed);
    }
}

// === impl Patient ===

impl<T> Patient<T> {
    /// Waits `first` for the first bytes, and `stall` for the peer to take some of what is written.
    pub(crate) fn new(inner: T, first: Duration, stall: Duration, unhurried: Unhurried) -> Patient<T> {
        let silence = Some(Box::pin(tokio::time::sleep(first)));
        Patient { inner, heard: 0, silence, stall, stalled: None, unhurried }
    }

    /// Passes an outcome of writing on, or fails when there has been none for too long.
    fn judge<R>(&mut self, outcome: Poll<Result<R>>, context: &mut Context<'_>) -> Poll<Result<R>> {
        if outcome.is_ready() || self.unhurried.0.load(Ordering::Relaxed) {
            self.stalled = None;
            return outcome;
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the peer takes no bytes")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        if outcome.is_ready() {
            self.heard = self.heard.saturating_add(buffer.filled().len().saturating_sub(before));
            if self.heard >= PREFACE {
                self.silence = None;
            }
        } else if let Some(timer) = &mut self.silence {
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the peer says nothing")));
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judge(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.judge(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.judge(outcome, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const FIRST: Duration = Duration::from_secs(5);
    const STALL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn silence_at_first_ends_it_and_later_silence_does_not() {
        let (_peer, ours) = tokio::io::duplex(16);
        let mut quiet = Patient::new(ours, FIRST, STALL, Unhurried::default());
        assert_eq!(quiet.read_u8().await.unwrap_err().kind(), ErrorKind::TimedOut);

        let (mut peer, ours) = tokio::io::duplex(16);
        let mut slow = Patient::new(ours, FIRST, STALL, Unhurried::default());
        peer.write_all(&[1; 8]).await.unwrap();
        slow.read_exact(&mut [0; 8]).await.unwrap();
        assert!(tokio::time::timeout(FIRST / 2, slow.read_u8()).await.is_err());
        peer.write_all(&[1; 16]).await.unwrap();
        slow.read_exact(&mut [0; 16]).await.unwrap();
        assert!(tokio::time::timeout(FIRST * 100, slow.read_u8()).await.is_err(), "cut although it had spoken");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_and_who_takes_little_is_not() {
        let (mut peer, ours) = tokio::io::duplex(16);
        let mut writer = Patient::new(ours, FIRST, STALL, Unhurried::default());
        for _ in 0..20 {
            writer.write_all(&[0; 16]).await.unwrap();
            tokio::time::sleep(STALL - Duration::from_secs(1)).await;
            peer.read_exact(&mut [0; 16]).await.unwrap();
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(writer.write_all(&[0; 64]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() < STALL * 2);

        let unhurried = Unhurried::default();
        unhurried.set(true);
        let (_peer, ours) = tokio::io::duplex(16);
        let mut reader_of_logs = Patient::new(ours, FIRST, STALL, unhurried);
        assert!(tokio::time::timeout(STALL * 100, reader_of_logs.write_all(&[0; 64])).await.is_err());
    }
}
