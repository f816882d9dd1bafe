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

mod gnostic;
mod operations;
mod schemas;

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
    fn new(body: Vec<u8>) -> Self {
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

/// `api/v1`, `apis/apps/v1`, ... to their documents.
static V3: LazyLock<BTreeMap<String, Entry>> = LazyLock::new(|| {
    let mut entries = BTreeMap::new();
    for group in std::iter::once("").chain(discovery::groups()) {
        for version in discovery::versions(group) {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            entries.insert(path, Entry { group, version, document: OnceLock::new() });
        }
    }
    entries
});

static V3_INDEX: LazyLock<Document> = LazyLock::new(|| {
    let paths: Map<String, Value> = V3
        .iter()
        .map(|(path, entry)| {
            let url = format!("/openapi/v3/{path}?hash={}", entry.get().hash);
            (path.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    Document::new(json!({"paths": paths}).to_string().into_bytes())
});

static V2_JSON: LazyLock<Document> = LazyLock::new(|| Document::new(v2().to_string().into_bytes()));

static V2_PROTOBUF: LazyLock<Document> = LazyLock::new(|| Document::new(gnostic::encode(&v2())));

/// `GET /openapi/v3`: where each document is, with its hash. Makes all of them on the first call.
pub fn v3_index() -> &'static Document {
    &V3_INDEX
}

/// `GET /openapi/v3/PATH`, such as `api/v1` or `apis/apps/v1`; `None` when not served.
pub fn v3_document(path: &str) -> Option<&'static Document> {
    V3.get(path.trim_matches('/')).map(Entry::get)
}

/// `GET /openapi/v2` as JSON.
pub fn v2_json() -> &'static Document {
    &V2_JSON
}

/// `GET /openapi/v2` as gnostic's protobuf.
pub fn v2_protobuf() -> &'static Document {
    &V2_PROTOBUF
}

impl Entry {
    fn get(&self) -> &Document {
        self.document.get_or_init(|| {
            let operations = operations::of(self.group, self.version);
            let schemas = schemas::reachable(&[(self.group, self.version)]);
            let document = json!({
                "openapi": "3.0.0",
                "info": {"title": "Kubernetes", "version": "unversioned"},
                "paths": operations::paths_v3(&operations),
                "components": {"schemas": schemas},
            });
            Document::new(document.to_string().into_bytes())
        })
    }
}

fn v2() -> Value {
    let served: Vec<(&str, &str)> = V3.values().map(|entry| (entry.group, entry.version)).collect();
    let operations: Vec<_> = served.iter().flat_map(|(group, version)| operations::of(group, version)).collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": operations::paths_v2(&operations),
        "definitions": schemas::to_v2(schemas::reachable(&served)),
    })
}

#[cfg(test)]
mod tests;
