//! Counts what is at work, to the last byte of its answer. Must not know requests.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// One thing at work, until it is dropped.
pub(crate) struct Counted(Arc<AtomicUsize>);

/// A body that counts until it is read or dropped.
pub(crate) struct CountedBody {
    body: Body,
    _counted: Counted,
}

// === impl Counted ===

impl Counted {
    pub(crate) fn new(number: Arc<AtomicUsize>) -> Counted {
        number.fetch_add(1, Ordering::Relaxed);
        Counted(number)
    }

    /// Goes on counting while `body` is sent.
    pub(crate) fn around(self, body: Body) -> CountedBody {
        CountedBody { body, _counted: self }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl CountedBody ===

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
