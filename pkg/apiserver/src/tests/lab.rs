//! A server over a fresh store, and requests to it. Holds no assertions about the API.

use std::sync::Arc;

use ::http::{HeaderMap, Request};
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use minisvc_store::{Options, SledStore, Store as _};
use serde_json::{Value, json};

use crate::identity::{Identity, MASTERS, Peer};
use crate::pki::{Pki, ServingNames};
use crate::{ApiServer, Config, Limits, StaticToken, VIEWERS};

/// A running server with its folder.
pub(super) struct Lab {
    pub(super) server: ApiServer,
    pub(super) pki: Arc<Pki>,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The dashboard's token in every lab.
pub(super) const VIEWER_TOKEN: &str = "viewer-secret";

impl Lab {
    /// A bootstrapped server with the service account `default/default`.
    pub(super) async fn new() -> Lab {
        Lab::with(Limits::default()).await
    }

    /// The same with other limits.
    pub(super) async fn with(limits: Limits) -> Lab {
        let folder = tempfile::tempdir().expect("make a folder");
        let store = SledStore::open(&folder.path().join("store"), Options::default()).expect("open a store");
        assert!(store.revision() >= 1);
        let names = ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", &[]);
        let pki = Arc::new(Pki::load_or_create(&folder.path().join("pki"), &names).expect("make keys"));
        let mut config = Config { limits, ..Config::new(pki.clone()) };
        let viewer = StaticToken { token: VIEWER_TOKEN.into(), user: "dashboard".into(), groups: vec![VIEWERS.into()] };
        config.tokens.push(viewer);
        let server = ApiServer::new(config, Arc::new(store));
        server.bootstrap().await.expect("bootstrap");
        let lab = Lab { server, pki, _folder: folder };
        let account = json!({"metadata": {"name": "default"}});
        let made = lab.post("/api/v1/namespaces/default/serviceaccounts", &account).await;
        assert_eq!(made.code, 201, "{made:?}");
        lab
    }

    /// A request by an administrator.
    pub(super) async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.send_as(Identity::new("admin", [MASTERS]), method, uri, headers, body).await
    }

    /// A request by somebody.
    pub(super) async fn send_as(
        &self,
        identity: Identity,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.send_from(Peer::InProcess(identity), method, uri, headers, body).await
    }

    /// A request over some kind of connection.
    pub(super) async fn send_from(
        &self,
        peer: Peer,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.server.answer(request.body(body.into()).expect("a request"), peer).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("read the answer").to_bytes();
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(super) async fn get(&self, uri: &str) -> Answer {
        self.send("GET", uri, &[], Body::empty()).await
    }

    pub(super) async fn post(&self, uri: &str, body: &Value) -> Answer {
        self.send("POST", uri, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(super) async fn put(&self, uri: &str, body: &Value) -> Answer {
        self.send("PUT", uri, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(super) async fn merge(&self, uri: &str, body: &Value) -> Answer {
        self.send("PATCH", uri, &[("content-type", "application/merge-patch+json")], body.to_string()).await
    }

    pub(super) async fn delete(&self, uri: &str) -> Answer {
        self.send("DELETE", uri, &[], Body::empty()).await
    }
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|cause| panic!("{cause}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as JSON of a successful answer.
    #[track_caller]
    pub(super) fn ok(&self) -> Value {
        assert!(self.code < 300, "{}: {}", self.code, String::from_utf8_lossy(&self.body));
        self.json()
    }
}

/// A Deployment body.
pub(super) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "color", "image": "jpetazzo/color"}]},
            },
        },
    })
}

/// A Service body.
pub(super) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    })
}

/// A Pod body.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    })
}

/// A ConfigMap body.
pub(super) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}
