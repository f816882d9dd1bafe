//! Watches: the store's log as a stream of JSON lines. A slow reader reads later; nothing is buffered for it.
//!
//! Selector transitions follow apiserver's watch cache: an object that begins to match is ADDED, one that ceases to is
//! DELETED in its previous state with the revision of the change.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_api::table::IncludeObject;
use minisvc_store::{Batch, Event, EventKind, Gone, Stored, Watch};
use serde_json::{Value, json};
use tokio::time::{Instant, Interval};

use crate::call::{Call, Filter};
use crate::http::negotiate::Shape;
use crate::http::query::ListOptions;
use crate::render;
use crate::server::Inner;

/// About how often a watch without events says how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// The longest that a watch without `timeoutSeconds` lives (apiserver's `min-request-timeout` doubled).
const LONGEST: Duration = Duration::from_secs(3600);

/// `GET` with `watch=true`.
pub(crate) fn watch(call: &Call) -> Result<Response, Status> {
    let options = call.query.list_options(true)?;
    let filter = call.filter(&options.label_selector, &options.field_selector)?;
    let include = IncludeObject::parse(call.query.get("includeObject")).unwrap_or_default();
    let mut writer = Writer { filter, shape: call.accept.shape, include, headed: false };
    let mut first = BytesMut::new();
    let watch = begin(call, &options, &mut writer, &mut first);
    let now = Instant::now();
    let mut bookmarks = tokio::time::interval_at(now + BOOKMARK_EVERY, BOOKMARK_EVERY);
    bookmarks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stream = Streaming {
        first: Some(first.freeze()).filter(|bytes| !bytes.is_empty()),
        watch,
        writer,
        bookmarks: options.bookmarks.then_some(bookmarks),
        deadline: now + options.timeout.unwrap_or(LONGEST),
        server: Counted::new(call.server.clone()),
    };
    let stream = futures::stream::unfold(stream, |mut stream| async move {
        stream.step().await.map(|bytes| (Ok::<Bytes, std::convert::Infallible>(bytes), stream))
    });
    let mut response = Response::new(Body::from_stream(stream));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// Writes what comes before the live events and opens the log there. `None`: an error was written and nothing follows.
fn begin(call: &Call, options: &ListOptions, writer: &mut Writer, out: &mut BytesMut) -> Option<Watch> {
    let store = &call.server.store;
    let resource = call.resource();
    let revision = options.resource_version.unwrap_or(0);
    let initial = call.query.has("sendInitialEvents");
    let snapshot = if initial { options.send_initial_events } else { revision == 0 };
    if snapshot {
        let listing = store.list(&resource, writer.filter.place());
        if revision > listing.revision {
            writer.error(&Status::too_large_resource_version(revision, listing.revision), out);
            return None;
        }
        for item in &listing.items {
            if writer.filter.matches(item) {
                writer.object("ADDED", item, out);
            }
        }
        if initial && options.bookmarks {
            writer.bookmark(listing.revision, true, out);
        }
        return match store.watch(&resource, listing.revision) {
            Ok(watch) => Some(watch),
            Err(gone) => writer.gone(listing.revision, gone, out),
        };
    }
    let from = if revision == 0 { store.revision() } else { revision };
    match store.watch(&resource, from) {
        Ok(watch) => Some(watch),
        Err(gone) => writer.gone(from, gone, out),
    }
}

/// A watch in progress.
struct Streaming {
    first: Option<Bytes>,
    watch: Option<Watch>,
    writer: Writer,
    bookmarks: Option<Interval>,
    deadline: Instant,
    server: Counted,
}

impl Streaming {
    /// The next lines, or the end.
    async fn step(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let watch = self.watch.as_mut()?;
            let mut out = BytesMut::new();
            let (batch, bookmark) = tokio::select! {
                batch = watch.next() => (batch, false),
                () = tick(self.bookmarks.as_mut()) => (watch.poll_now(), true),
                () = tokio::time::sleep_until(self.deadline) => return None,
                () = self.server.0.shutdown.cancelled() => return None,
            };
            match batch {
                Ok(Batch { events, revision }) => {
                    events.iter().for_each(|event| self.writer.event(event, &mut out));
                    if bookmark {
                        self.writer.bookmark(revision, false, &mut out);
                    }
                }
                Err(gone) => self.watch = self.writer.gone(0, gone, &mut out),
            }
            if !out.is_empty() {
                return Some(out.freeze());
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
struct Counted(Arc<Inner>);

impl Counted {
    fn new(server: Arc<Inner>) -> Counted {
        server.watches.fetch_add(1, Ordering::Relaxed);
        Counted(server)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Turns events into lines of one watcher's shape.
struct Writer {
    filter: Filter,
    shape: Shape,
    include: IncludeObject,
    /// Whether a Table with column definitions was already sent.
    headed: bool,
}

impl Writer {
    fn event(&mut self, event: &Event, out: &mut BytesMut) {
        let matches = self.filter.matches(&event.object);
        let matched = event.previous.as_ref().is_some_and(|previous| self.filter.matches(previous));
        match (event.kind, matched, matches) {
            (EventKind::Added, _, true) => self.object("ADDED", &event.object, out),
            (EventKind::Deleted, _, true) => self.object("DELETED", &event.object, out),
            (EventKind::Modified, true, true) => self.object("MODIFIED", &event.object, out),
            (EventKind::Modified, false, true) => self.object("ADDED", &event.object, out),
            (EventKind::Modified, true, false) => {
                if let Some(previous) = &event.previous {
                    let mut last = (*previous.value).clone();
                    meta::set_resource_version(&mut last, event.revision);
                    self.value("DELETED", &Arc::new(last), out);
                }
            }
            (_, _, false) => {}
        }
    }

    fn object(&mut self, kind: &str, stored: &Stored, out: &mut BytesMut) {
        if self.shape == Shape::Plain && self.filter.view.shows_as_stored(&stored.value) {
            return line(kind, &stored.json(), out);
        }
        self.value(kind, &stored.value, out);
    }

    fn value(&mut self, kind: &str, value: &Arc<Value>, out: &mut BytesMut) {
        let shaped = match self.shape {
            Shape::Plain => {
                let value = render::viewed(self.filter.view, value);
                return line(kind, value.to_string().as_bytes(), out);
            }
            Shape::Partial(version) => render::partial(value, version),
            Shape::Table(version) => {
                let metadata = render::list_meta(value);
                let headers = !std::mem::replace(&mut self.headed, true);
                render::table(self.filter.view, version, [&**value], self.include, headers, metadata)
            }
        };
        line(kind, shaped.to_string().as_bytes(), out);
    }

    fn bookmark(&mut self, revision: u64, initial_end: bool, out: &mut BytesMut) {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let row = self.filter.view;
        let object = match self.shape {
            Shape::Plain => json!({"kind": row.kind, "apiVersion": row.api_version(), "metadata": metadata}),
            Shape::Partial(version) => render::partial(&json!({"metadata": metadata}), version),
            Shape::Table(version) => {
                let object = render::partial(&json!({"metadata": metadata}), version);
                let headers = !std::mem::replace(&mut self.headed, true);
                let metadata = json!({"resourceVersion": revision.to_string()});
                let mut table = render::table(row, version, [], self.include, headers, metadata);
                table["rows"] = json!([{"cells": vec![Value::Null; self.filter.row.columns.len()], "object": object}]);
                table
            }
        };
        line("BOOKMARK", object.to_string().as_bytes(), out);
    }

    fn gone(&self, from: u64, gone: Gone, out: &mut BytesMut) -> Option<Watch> {
        self.error(&Status::too_old_resource_version(from, gone.oldest), out);
        None
    }

    fn error(&self, status: &Status, out: &mut BytesMut) {
        line("ERROR", status.to_value().to_string().as_bytes(), out);
    }
}

fn line(kind: &str, object: &[u8], out: &mut BytesMut) {
    out.reserve(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}
