//! Events to the lines, or frames, of one watcher's shape. Must not wait for anything.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use minisvc_api::meta;
use minisvc_api::protobuf;
use minisvc_api::status::Status;
use minisvc_api::table::IncludeObject;
use minisvc_store::{Event, EventKind, Stored};
use serde_json::{Value, json};

use super::lines::{Form, Lines};
use crate::call::Filter;
use crate::http::negotiate::{Encoding, Shape};
use crate::render;

/// One watcher's shape, and what it has been sent of it.
pub(super) struct Writer {
    pub(super) filter: Filter,
    pub(super) shape: Shape,
    pub(super) encoding: Encoding,
    pub(super) include: IncludeObject,
    /// Whether a Table with column definitions was already sent.
    pub(super) headed: bool,
}

impl Writer {
    /// The line that this watcher sees of an event, if it sees any.
    pub(super) fn event(&mut self, event: &Event, lines: &Lines) -> Option<Bytes> {
        let matches = self.filter.matches(&event.object);
        let matched = || event.previous.as_ref().is_some_and(|previous| self.filter.matches(previous));
        let kind = match (event.kind, matches) {
            (EventKind::Added, true) => "ADDED",
            (EventKind::Deleted, true) => "DELETED",
            (EventKind::Modified, true) if matched() => "MODIFIED",
            (EventKind::Modified, true) => "ADDED",
            (EventKind::Modified, false) if matched() => "DELETED",
            (_, false) => return None,
        };
        let headers = matches!(self.shape, Shape::Table(_)) && !std::mem::replace(&mut self.headed, true);
        let view = self.filter.view;
        let form = Form {
            revision: event.revision,
            kind,
            view: (view.group, view.version, view.kind),
            shape: self.shape,
            encoding: self.encoding,
            include: self.include,
            headers,
        };
        Some(lines.get(form, || {
            let mut out = BytesMut::new();
            match &event.previous {
                Some(previous) if !matches => {
                    let mut last = (*previous.value).clone();
                    meta::set_resource_version(&mut last, event.revision);
                    self.value(kind, &Arc::new(last), headers, &mut out);
                }
                _ => self.stored(kind, &event.object, headers, &mut out),
            }
            out.freeze()
        }))
    }

    /// An object that was there when the watch began; nothing when it is not looked for.
    pub(super) fn initial(&mut self, stored: &Stored, out: &mut BytesMut) {
        if self.filter.matches(stored) {
            let headers = matches!(self.shape, Shape::Table(_)) && !std::mem::replace(&mut self.headed, true);
            self.stored("ADDED", stored, headers, out);
        }
    }

    fn stored(&self, kind: &str, stored: &Stored, headers: bool, out: &mut BytesMut) {
        let json = self.encoding != Encoding::Protobuf;
        if json && self.shape == Shape::Plain && self.filter.view.shows_as_stored(&stored.value) {
            return line(kind, &stored.json(), out);
        }
        self.value(kind, &stored.value, headers, out);
    }

    fn value(&self, kind: &str, value: &Arc<Value>, headers: bool, out: &mut BytesMut) {
        let shaped = match self.shape {
            Shape::Plain => {
                let value = render::viewed(self.filter.view, value);
                return put(kind, &value, self.encoding, out);
            }
            Shape::Partial(version) => render::partial(value, version),
            Shape::Table(version) => {
                let metadata = render::list_meta(value);
                render::table(self.filter.view, version, [&**value], self.include, headers, metadata)
            }
        };
        put(kind, &shaped, self.encoding, out);
    }

    /// How far the watch has come; `initial_end`: what was there at its beginning is complete.
    pub(super) fn bookmark(&mut self, revision: u64, initial_end: bool) -> Bytes {
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
        let mut out = BytesMut::new();
        put("BOOKMARK", &object, self.encoding, &mut out);
        out.freeze()
    }
}

/// The line that ends a watch.
pub(super) fn error(status: &Status, encoding: Encoding) -> Bytes {
    let mut out = BytesMut::new();
    put("ERROR", &status.to_value(), encoding, &mut out);
    out.freeze()
}

/// An event as a line of JSON, or as a frame of protobuf.
fn put(kind: &str, object: &Value, encoding: Encoding, out: &mut BytesMut) {
    if encoding != Encoding::Protobuf {
        return line(kind, object.to_string().as_bytes(), out);
    }
    let frame = protobuf::encode_event(kind, object).or_else(|cause| {
        let status = Status::internal(format!("cannot write protobuf: {cause}"));
        protobuf::encode_event("ERROR", &status.to_value())
    });
    match frame {
        Ok(frame) => out.put_slice(&frame),
        Err(cause) => tracing::error!(%cause, "a status cannot be written as protobuf"),
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
