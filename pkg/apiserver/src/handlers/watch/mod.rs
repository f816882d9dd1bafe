//! Watches: the store's log as a stream of JSON lines, or of protobuf's frames. A slow reader reads later: what is kept
//! for it is a position in the log and a few hundred KiB of events on their way.
//!
//! Selector transitions follow apiserver's watch cache: an object that begins to match is ADDED, one that ceases to is
//! DELETED in its previous state with the revision of the change. Times are monotonic.

mod lines;
mod writer;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use minisvc_api::protobuf;
use minisvc_api::status::Status;
use minisvc_api::table::IncludeObject;
use minisvc_store::{Batch, Event, Gone, Stored, Watch};
use tokio::time::{Instant, Interval, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::call::Call;
use crate::conversion;
use crate::http::negotiate::{Accept, Encoding};
use crate::http::query::ListOptions;
use crate::server::Inner;

pub(crate) use lines::Lines;
use writer::{Writer, error};

/// About how often a watch without events says how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Seconds that a watch without `timeoutSeconds` lives: drawn from here, so that many do not end together (apiserver's
/// `min-request-timeout` and its double).
const LIFE: std::ops::Range<u64> = 1800..3600;

/// Bytes of what was there at the beginning that are sent at a time.
const CHUNK: usize = 32 << 10;

/// `GET` with `watch=true`.
pub(crate) async fn watch(call: &Call) -> Result<Response, Status> {
    let options = call.query.list_options(true)?;
    let filter = call.filter(&options.label_selector, &options.field_selector)?;
    let include = IncludeObject::parse(call.query.get("includeObject")).unwrap_or_default();
    let Accept { shape, encoding, .. } = call.accept;
    let writer = Writer { filter, shape, encoding, include, headed: false };
    let now = Instant::now();
    let mut bookmarks = tokio::time::interval_at(now + BOOKMARK_EVERY, BOOKMARK_EVERY);
    bookmarks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let life = options.timeout.unwrap_or_else(|| Duration::from_secs(fastrand::u64(LIFE)));
    // A client's number may be beyond what a clock can count to.
    let deadline = now.checked_add(life).unwrap_or(now + Duration::from_secs(LIFE.end));
    let streaming = Streaming {
        start: begin(call, &options, &writer).await,
        watch: None,
        events: Vec::new().into_iter(),
        writer,
        bookmarks: options.bookmarks.then_some(bookmarks),
        deadline: Box::pin(tokio::time::sleep_until(deadline)),
        shutdown: Box::pin(call.server.shutdown.clone().cancelled_owned()),
        server: Open::new(call.server.clone()),
    };
    let stream = futures::stream::unfold(streaming, |mut streaming| async move {
        streaming.step().await.map(|bytes| (Ok::<Bytes, std::convert::Infallible>(bytes), streaming))
    });
    let mut response = Response::new(Body::from_stream(stream));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let media = match encoding {
        Encoding::Protobuf => protobuf::CONTENT_TYPE_WATCH,
        Encoding::Json | Encoding::Yaml => "application/json",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// What comes before the live events.
enum Start {
    /// Nothing more.
    Done,
    /// These objects, then a bookmark of the revision where it is asked for, then the log.
    Objects(std::vec::IntoIter<Arc<Stored>>, Option<u64>, Watch),
    /// An error, and the end.
    Refused(Status),
}

/// Opens the log where the request wants it, and says what comes before.
async fn begin(call: &Call, options: &ListOptions, writer: &Writer) -> Start {
    let store = &call.server.store;
    let resource = call.resource();
    let revision = options.resource_version.unwrap_or(0);
    let initial = call.query.has("sendInitialEvents");
    let snapshot = if initial { options.send_initial_events } else { revision == 0 };
    let (items, from) = if snapshot {
        let listing = store.list(&resource, writer.filter.place());
        if revision > listing.revision {
            return Start::Refused(Status::too_large_resource_version(revision, listing.revision));
        }
        (listing.items, listing.revision)
    } else {
        (Vec::new(), if revision == 0 { store.revision() } else { revision })
    };
    // The log is opened before anybody is waited for, so that what happens meanwhile is not missed.
    let opened = store.watch(&resource, from);
    let items = match conversion::read(&call.server, call.view, items).await {
        Ok(items) => items,
        Err(status) => return Start::Refused(status),
    };
    match opened {
        Ok(watch) => {
            Start::Objects(items.into_iter(), (snapshot && initial && options.bookmarks).then_some(from), watch)
        }
        Err(gone) => Start::Refused(too_old(from, gone)),
    }
}

fn too_old(from: u64, gone: Gone) -> Status {
    Status::too_old_resource_version(from, gone.oldest)
}

/// A watch in progress.
struct Streaming {
    start: Start,
    /// `None` before the live events, and after an error.
    watch: Option<Watch>,
    /// Read from the log and not yet sent.
    events: std::vec::IntoIter<Arc<Event>>,
    writer: Writer,
    bookmarks: Option<Interval>,
    deadline: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    server: Open,
}

impl Streaming {
    /// The next lines, or the end.
    async fn step(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.starting() {
            return Some(bytes);
        }
        loop {
            // A reader that is always a little behind must meet its end as well.
            if self.deadline.is_elapsed() || self.server.0.shutdown.is_cancelled() {
                return None;
            }
            for event in self.events.by_ref() {
                if let Some(line) = self.writer.event(&event, &self.server.0.lines) {
                    return Some(line);
                }
            }
            let watch = self.watch.as_mut()?;
            let (batch, bookmark) = tokio::select! {
                biased;
                () = self.shutdown.as_mut() => return None,
                () = self.deadline.as_mut() => return None,
                () = tick(self.bookmarks.as_mut()) => (watch.poll_now(), true),
                batch = watch.next() => (batch, false),
            };
            match batch {
                Ok(Batch { events, revision }) => {
                    let quiet = events.is_empty();
                    match conversion::events(&self.server.0, self.writer.filter.view, events).await {
                        Ok(events) => self.events = events.into_iter(),
                        Err(status) => {
                            self.watch = None;
                            return Some(error(&status, self.writer.encoding));
                        }
                    }
                    if bookmark && quiet {
                        return Some(self.writer.bookmark(revision, false));
                    }
                }
                Err(gone) => {
                    self.watch = None;
                    return Some(error(&too_old(0, gone), self.writer.encoding));
                }
            }
        }
    }

    /// What comes before the live events, piece by piece.
    fn starting(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.start, Start::Done) {
            Start::Done => None,
            Start::Refused(status) => Some(error(&status, self.writer.encoding)),
            Start::Objects(mut items, mark, watch) => {
                let mut out = BytesMut::new();
                for item in items.by_ref() {
                    self.writer.initial(&item, &mut out);
                    if out.len() >= CHUNK {
                        self.start = Start::Objects(items, mark, watch);
                        return Some(out.freeze());
                    }
                }
                self.watch = Some(watch);
                if let Some(revision) = mark {
                    out.extend_from_slice(&self.writer.bookmark(revision, true));
                }
                (!out.is_empty()).then(|| out.freeze())
            }
        }
    }
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Counts open watches for `/metrics`.
struct Open(Arc<Inner>);

impl Open {
    fn new(server: Arc<Inner>) -> Open {
        server.watches.fetch_add(1, Ordering::Relaxed);
        Open(server)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
    }
}
