//! OpenAPI of what the server serves: version 3 per group and version, version 2 as one document in JSON and protobuf.
//!
//! `kubectl apply -f`, `edit`, `explain` and helm read these. Documents are made on first use and kept; nothing is built
//! at start. Schemas come from k8s-openapi under their upstream names, with what patches need from [`crate::messages`].
//! Must not negotiate or serve: the server asks for bytes.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::discovery;
use crate::registry::{Row, rows};

mod gnostic;
mod operations;
mod schemas;

pub(crate) use schemas::COMPONENTS;
use schemas::Form;

/// Media type of version 3 and of version 2 as JSON.
pub const CONTENT_TYPE_JSON: &str = "application/json";

/// What clients put into `Accept` for version 2 as protobuf, the older name first; the only form kubectl 1.20 takes.
pub const ACCEPT_V2_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// Media type under which kube-apiserver sends that protobuf.
pub const CONTENT_TYPE_V2_PROTOBUF: &str = "application/octet-stream";

/// A document and its hash.
#[derive(Debug, Clone)]
pub struct Document {
    /// The body.
    pub body: Bytes,
    /// SHA-256 of the body in upper-case hexadecimal, without quotes: the `hash` parameter and the `ETag`.
    pub hash: String,
}

impl Document {
    /// A body with its hash.
    pub fn new(body: Vec<u8>) -> Self {
        let hash = format!("{:X}", Sha256::digest(&body));
        Self { body: body.into(), hash }
    }
}

/// One lazily made document of version 3.
struct Entry {
    group: &'static str,
    version: &'static str,
    document: OnceLock<Document>,
}

fn index(entries: &BTreeMap<String, Entry>) -> Map<String, Value> {
    let paths = entries.iter().map(|(path, entry)| {
        let url = format!("/openapi/v3/{path}?hash={}", entry.get().hash);
        (path.clone(), json!({"serverRelativeURL": url}))
    });
    paths.collect()
}

/// The documents of what one server serves, made on first use: the built-in ones, which all servers share, and those of
/// custom kinds.
#[derive(Debug)]
pub struct Documents {
    custom: Vec<&'static Row>,
    v3: BTreeMap<String, OnceLock<Document>>,
    v3_index: OnceLock<Document>,
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
}

impl Documents {
    /// The documents of the built-in rows and these.
    pub fn new(custom: Vec<&'static Row>) -> Self {
        let paths = custom.iter().map(|row| format!("apis/{}/{}", row.group, row.version));
        let v3 = paths.map(|path| (path, OnceLock::new())).collect();
        let (v3_index, v2_json, v2_protobuf) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { custom, v3, v3_index, v2_json, v2_protobuf }
    }

    /// `GET /openapi/v3`: where each document is, with its hash. Makes all of them on the first call.
    pub fn v3_index(&self) -> &Document {
        if self.custom.is_empty() {
            return &V3_INDEX;
        }
        self.v3_index.get_or_init(|| {
            let mut paths = index(&V3);
            for path in self.v3.keys() {
                let hash = self.v3_document(path).map(|document| document.hash.clone()).unwrap_or_default();
                paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
            }
            paths.sort_keys();
            Document::new(json!({"paths": paths}).to_string().into_bytes())
        })
    }

    /// `GET /openapi/v3/PATH`, such as `api/v1` or `apis/apps/v1`; `None` when not served.
    pub fn v3_document(&self, path: &str) -> Option<&Document> {
        let path = path.trim_matches('/');
        let Some(slot) = self.v3.get(path) else { return V3.get(path).map(Entry::get) };
        Some(slot.get_or_init(|| {
            let (group, version) = path.trim_start_matches("apis/").split_once('/').unwrap_or_default();
            if V3.contains_key(path) {
                // Custom kinds beside built-in ones of the same group and version.
                let all: Vec<&'static Row> = rows().iter().chain(&self.custom).copied().collect();
                return v3(&all, group, version);
            }
            v3(&self.custom, group, version)
        }))
    }

    /// `GET /openapi/v2` as JSON.
    pub fn v2_json(&self) -> &Document {
        if self.custom.is_empty() {
            return &V2_JSON;
        }
        self.v2_json.get_or_init(|| Document::new(self.v2().to_string().into_bytes()))
    }

    /// `GET /openapi/v2` as gnostic's protobuf.
    pub fn v2_protobuf(&self) -> &Document {
        if self.custom.is_empty() {
            return &V2_PROTOBUF;
        }
        self.v2_protobuf.get_or_init(|| Document::new(gnostic::encode(&self.v2())))
    }

    /// [`Self::v3_index`] with the documents of API services among its own, by path.
    pub fn v3_index_with(&self, more: &[(String, Document)]) -> Document {
        let own = self.v3_index();
        if more.is_empty() {
            return own.clone();
        }
        let mut index: Value = serde_json::from_slice(&own.body).unwrap_or_default();
        for (path, document) in more {
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            index["paths"][path] = json!({"serverRelativeURL": url});
        }
        index.sort_all_objects();
        Document::new(index.to_string().into_bytes())
    }

    /// [`Self::v2_json`] with `paths` and `definitions` of API services; what this server defines itself stays.
    pub fn v2_json_with(&self, more: &[Value]) -> Document {
        match more {
            [] => self.v2_json().clone(),
            more => Document::new(self.v2_with(more).to_string().into_bytes()),
        }
    }

    /// The same as gnostic's protobuf.
    pub fn v2_protobuf_with(&self, more: &[Value]) -> Document {
        match more {
            [] => self.v2_protobuf().clone(),
            more => Document::new(gnostic::encode(&self.v2_with(more))),
        }
    }

    fn v2_with(&self, more: &[Value]) -> Value {
        let mut document = self.v2();
        for more in more {
            for part in ["paths", "definitions"] {
                if let (Value::Object(part), Some(more)) = (&mut document[part], more[part].as_object()) {
                    for (key, value) in more {
                        part.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
        }
        document
    }

    fn v2(&self) -> Value {
        let mut document = v2();
        let served: Vec<(&str, &str)> = self.custom.iter().map(|row| (row.group, row.version)).collect();
        let mut served_once = served.clone();
        served_once.sort_unstable();
        served_once.dedup();
        let operations: Vec<_> =
            served_once.iter().flat_map(|(group, version)| operations::of(&self.custom, group, version)).collect();
        let schemas = schemas::reachable(&self.custom, &served_once, Form::V2);
        let more = [("paths", operations::paths_v2(&operations)), ("definitions", schemas::to_v2(schemas))];
        for (part, more) in more {
            if let (Value::Object(part), Value::Object(more)) = (&mut document[part], more) {
                for (key, value) in more {
                    part.entry(key).or_insert(value);
                }
            }
        }
        document
    }
}

/// One document of version 3.
fn v3(rows: &[&'static Row], group: &str, version: &str) -> Document {
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": operations::paths_v3(&operations::of(rows, group, version)),
        "components": {"schemas": schemas::reachable(rows, &[(group, version)], Form::V3)},
    });
    Document::new(document.to_string().into_bytes())
}

/// `api/v1`, `apis/apps/v1`, ... to their documents.
static V3: LazyLock<BTreeMap<String, Entry>> = LazyLock::new(|| {
    let mut entries = BTreeMap::new();
    for group in std::iter::once("").chain(discovery::groups(rows())) {
        for version in discovery::versions(rows(), group) {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            entries.insert(path, Entry { group, version, document: OnceLock::new() });
        }
    }
    entries
});

static V3_INDEX: LazyLock<Document> =
    LazyLock::new(|| Document::new(json!({"paths": index(&V3)}).to_string().into_bytes()));

static V2_JSON: LazyLock<Document> = LazyLock::new(|| Document::new(v2().to_string().into_bytes()));

static V2_PROTOBUF: LazyLock<Document> = LazyLock::new(|| Document::new(gnostic::encode(&v2())));

impl Entry {
    fn get(&self) -> &Document {
        self.document.get_or_init(|| v3(rows(), self.group, self.version))
    }
}

fn v2() -> Value {
    let served: Vec<(&str, &str)> = V3.values().map(|entry| (entry.group, entry.version)).collect();
    let operations: Vec<_> =
        served.iter().flat_map(|(group, version)| operations::of(rows(), group, version)).collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": operations::paths_v2(&operations),
        "definitions": schemas::to_v2(schemas::reachable(rows(), &served, Form::V2)),
    })
}

#[cfg(test)]
mod tests;
