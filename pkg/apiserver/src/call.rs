//! One request about one kind: what every handler is given, and the small steps that they share.
//! Must not hold any handler's logic.

use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use minisvc_api::registry::{Row, Subresource};
use minisvc_api::selector::{FieldSelector, LabelSelector};
use minisvc_api::status::Status;
use minisvc_api::table::IncludeObject;
use minisvc_store::{Key, StoreError, Stored};

use crate::conversion::Conversions;
use crate::http::negotiate::{Accept, Encoding, Shape};
use crate::http::path::RequestInfo;
use crate::http::query::Query;
use crate::http::respond;
use crate::identity::Identity;
use crate::render;
use crate::server::Inner;

/// A request for a resource, authorized, with its body read.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) server: Arc<Inner>,
    /// The stored kind: its rules apply, messages name it.
    pub(crate) row: &'static Row,
    /// The kind as the path asks for it: another view of `row`, or `row` itself.
    pub(crate) view: &'static Row,
    pub(crate) subresource: Option<Subresource>,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) identity: Identity,
    pub(crate) accept: Accept,
    pub(crate) body: Bytes,
    /// What the client should be warned of, gathered on the way.
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
    /// Objects that were needed in other versions.
    pub(crate) conversions: Arc<Conversions>,
}

/// What a list or watch looks for.
pub(crate) struct Filter {
    pub(crate) row: &'static Row,
    pub(crate) view: &'static Row,
    /// Empty: all namespaces.
    pub(crate) namespace: String,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    /// Set by watches of one object on legacy paths; else empty.
    pub(crate) name: String,
}

// === impl Call ===

impl Call {
    /// `services` or `deployments.apps`.
    pub(crate) fn resource(&self) -> String {
        self.row.resource()
    }

    /// The row whose rules apply: the stored kind's, or for a custom kind those of the version that the path asks for.
    pub(crate) fn rules(&self) -> &'static Row {
        if self.view.custom.is_some() { self.view } else { self.row }
    }

    /// The namespace of the path, or empty for cluster-scoped kinds (a Namespace's own path names one as well).
    pub(crate) fn namespace(&self) -> &str {
        if self.row.namespaced { &self.info.namespace } else { "" }
    }

    /// The same call about an object in this namespace.
    pub(crate) fn at(&self, namespace: &str) -> Call {
        let mut call = self.clone();
        call.info.namespace = namespace.into();
        call
    }

    /// Warns the client of something, whatever the answer will be.
    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// All that was noted.
    pub(crate) fn noted(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where an object of this kind lives.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key { resource: self.resource().into(), namespace: self.namespace().into(), name: name.into() }
    }

    /// The object that the path names, as it is stored, or 404.
    pub(crate) fn current(&self) -> Result<Arc<Stored>, Status> {
        self.find(&self.info.name)
    }

    /// An object of this kind by name, as it is stored, or 404.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Stored>, Status> {
        self.server.store.get(&self.key(name)).ok_or_else(|| Status::not_found(&self.resource(), name))
    }

    /// The store's refusal in the API's words.
    pub(crate) fn refusal(&self, error: StoreError) -> Status {
        match error {
            StoreError::NotFound(key) => Status::not_found(&self.resource(), &key.name),
            StoreError::AlreadyExists(key) => Status::already_exists(&self.resource(), &key.name),
            StoreError::Conflict { key, .. } => Status::conflict(&self.resource(), &key.name),
            StoreError::Invalid(errors) => Status::invalid(self.row.kind, self.row.group, &self.info.name, errors),
            StoreError::Broken(cause) => Status::internal(cause),
        }
    }

    /// Answers with an object in the shape the client asked for.
    pub(crate) fn object(&self, code: StatusCode, stored: &Stored) -> Response {
        let plain = self.accept.shape == Shape::Plain && self.accept.encoding == Encoding::Json && !self.accept.pretty;
        if plain && self.view.shows_as_stored(&stored.value) {
            return respond::bytes(code, "application/json", stored.json());
        }
        let value = &stored.value;
        let shaped = match self.accept.shape {
            Shape::Plain => return respond::value(code, &render::viewed(self.view, value), self.accept),
            Shape::Table(version) => {
                let include = IncludeObject::parse(self.query.get("includeObject")).unwrap_or_default();
                render::table(self.view, version, [&**value], include, true, render::list_meta(value))
            }
            Shape::Partial(version) => render::partial(value, version),
        };
        respond::value(code, &shaped, self.accept)
    }

    /// The selectors of a list, watch or deletecollection.
    pub(crate) fn filter(&self, label_selector: &str, field_selector: &str) -> Result<Filter, Status> {
        let labels = LabelSelector::parse(label_selector).map_err(Status::bad_request)?;
        // A view whose fields have names of their own is asked by those.
        let row = if self.view.field_labels.is_empty() { self.rules() } else { self.view };
        let fields = FieldSelector::parse(field_selector, row).map_err(Status::bad_request)?;
        let (namespace, name) = (self.namespace().to_owned(), self.info.name.clone());
        Ok(Filter { row, view: self.view, namespace, labels, fields, name })
    }
}

// === impl Filter ===

impl Filter {
    /// Whether an object is looked for.
    pub(crate) fn matches(&self, stored: &Stored) -> bool {
        (self.namespace.is_empty() || *self.namespace == *stored.key.namespace)
            && (self.name.is_empty() || *self.name == *stored.key.name)
            && self.labels.matches(&stored.value["metadata"]["labels"])
            && self.fields.matches(self.row, &stored.value)
    }

    /// Whether there are no selectors.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The namespace to list, for the store.
    pub(crate) fn place(&self) -> Option<&str> {
        (!self.namespace.is_empty()).then_some(self.namespace.as_str())
    }
}
