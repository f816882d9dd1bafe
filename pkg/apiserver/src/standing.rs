//! What stands beside the objects: version, health, metrics, discovery, OpenAPI, the list of paths.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use minisvc_api::aggregation::{self, Remote};
use minisvc_api::discovery;
use minisvc_api::openapi::{self, Document};
use minisvc_api::registry::{Catalog, Row};
use minisvc_api::status::Status;
use serde_json::{Value, json};

use crate::aggregation::Specs;
use crate::flows;
use crate::health;
use crate::http::negotiate::{accept_header, clauses};
use crate::http::path::RequestInfo;
use crate::http::query::Query;
use crate::http::respond;
use crate::server::Inner;

/// The Kubernetes version whose kinds and rules this server follows; it reports `v1.37.0+minisvc`.
pub const VERSION: &str = "1.37.0";

/// Answers a request outside `/api/VERSION/...` and `/apis/GROUP/VERSION/...`.
pub(crate) async fn answer(
    server: &Arc<Inner>,
    method: &Method,
    headers: &HeaderMap,
    info: &RequestInfo,
    query: &Query,
) -> Result<Response, Status> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let path = info.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let catalog = server.catalog();
    let rows = catalog.rows();
    if let Some(place) = health::PLACES.into_iter().find(|place| parts.first() == Some(place)) {
        return Ok(health::answer(server, place, &parts[1..].join("/"), query).await);
    }
    Ok(match parts.as_slice() {
        [] | [""] => respond::indented(&json!({"paths": paths(catalog.rows())})),
        ["version"] => respond::indented(&version(&server.config.build)),
        ["metrics"] => metrics(server),
        ["metrics", "slis"] => respond::text(StatusCode::OK, server.health.metrics()),
        [".well-known", "openid-configuration"] => respond::json(StatusCode::OK, &issuer(server)),
        ["openid", "v1", "jwks"] => {
            let keys = json!({"keys": [server.config.pki.token_key().public_jwk()]});
            respond::bytes(StatusCode::OK, "application/jwk-set+json", Bytes::from(keys.to_string()))
        }
        ["api"] => {
            let address = server.config.fabric.to_string();
            versioned(headers, || discovery::aggregated_core(rows), || Some(discovery::api_versions(rows, &address)))
        }
        ["apis"] => {
            let remotes = server.remotes();
            let new = || {
                let mut all = discovery::aggregated_groups(rows);
                aggregation::add_aggregated(&mut all, &remotes, |remote| server.discovered(remote));
                all
            };
            let old = || {
                let mut all = discovery::api_group_list(rows);
                aggregation::add_groups(&mut all, &remotes);
                Some(all)
            };
            versioned(headers, new, old)
        }
        ["apis", group] => {
            let own = discovery::api_group(rows, group);
            legacy(headers, aggregation::add_group(own, group, &server.remotes()))
        }
        ["api", version] => legacy(headers, discovery::api_resource_list(rows, "", version)),
        ["apis", group, version] => legacy(headers, discovery::api_resource_list(rows, group, version)),
        ["openapi", "v2"] => openapi_v2(catalog.clone(), server.specs(), headers).await,
        ["openapi", "v3", rest @ ..] => {
            openapi_v3(catalog.clone(), server.specs(), headers, rest.join("/"), query.get("hash")).await
        }
        _ => not_found(),
    })
}

/// What an unknown path gets.
pub(crate) fn not_found() -> Response {
    respond::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// Service account issuer discovery (OpenID Connect Discovery 1.0).
fn issuer(server: &Inner) -> Value {
    json!({
        "issuer": server.config.issuer,
        "jwks_uri": format!("https://{}/openid/v1/jwks", server.config.fabric),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn version(build: &str) -> Value {
    let (major, rest) = VERSION.split_once('.').unwrap_or((VERSION, ""));
    let minor = rest.split('.').next().unwrap_or_default();
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": minor,
        "gitVersion": format!("v{VERSION}+{build}"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none (minisvc is written in Rust)", "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn metrics(server: &Inner) -> Response {
    let mut text = String::new();
    let mut gauge = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    let (requests, watches) = (server.requests.load(Ordering::Relaxed), server.watches.load(Ordering::Relaxed));
    gauge("apiserver_request_total", "counter", "Requests answered since the start.", requests);
    gauge("apiserver_longrunning_requests", "gauge", "Watches open now.", watches);
    let lines = server.lines.written();
    gauge(
        "minisvc_watch_lines_written_total",
        "counter",
        "Watch events serialised, each once for all watchers.",
        lines,
    );
    gauge("minisvc_store_revision", "gauge", "Highest committed resource version.", server.store.revision());
    gauge(
        "minisvc_store_oldest_revision",
        "gauge",
        "Oldest revision that a watch may start from.",
        server.store.oldest(),
    );
    flows::metrics(server, &mut text);
    respond::text(StatusCode::OK, text)
}

fn paths(rows: &[&'static Row]) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/"].map(Into::into).into();
    for group in discovery::groups(rows) {
        paths.push(format!("/apis/{group}"));
        paths.extend(discovery::versions(rows, group).iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.extend(["/metrics", "/metrics/slis", "/openid/v1/jwks", "/openapi/v2", "/openapi/v3"].map(Into::into));
    paths.extend(health::paths());
    paths.extend(["/ui/", "/version"].map(Into::into));
    paths.sort_unstable();
    paths
}

/// `/api` and `/apis`: aggregated for those who ask for it first, legacy for the rest.
fn versioned(
    headers: &HeaderMap,
    aggregated: impl FnOnce() -> Value,
    plain: impl FnOnce() -> Option<Value>,
) -> Response {
    let accept = accept_header(headers);
    for clause in clauses(&accept) {
        if !matches!(clause.media, "application/json" | "*/*" | "application/*") {
            continue;
        }
        match (clause.parameter("g"), clause.parameter("v"), clause.parameter("as")) {
            ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => {
                let body = Bytes::from(aggregated().to_string());
                let tag = discovery::etag(&body);
                return tagged(headers, discovery::CONTENT_TYPE_AGGREGATED, body, &tag);
            }
            ("", "", "") => break,
            _ => {}
        }
    }
    legacy(headers, plain())
}

fn legacy(headers: &HeaderMap, document: Option<Value>) -> Response {
    match document {
        Some(document) => {
            let body = Bytes::from(document.to_string());
            let tag = discovery::etag(&body);
            tagged(headers, discovery::CONTENT_TYPE_LEGACY, body, &tag)
        }
        None => not_found(),
    }
}

/// A document with its `ETag`; 304 when the client has it already.
fn tagged(headers: &HeaderMap, media: &'static str, body: Bytes, tag: &str) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = if same {
        respond::bytes(StatusCode::NOT_MODIFIED, media, Bytes::new())
    } else {
        respond::bytes(StatusCode::OK, media, body)
    };
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// Making a document for the first time takes a while: not on a thread that serves others.
async fn document(make: impl FnOnce() -> Option<Document> + Send + 'static) -> Option<Document> {
    tokio::task::spawn_blocking(make).await.ok().flatten()
}

async fn openapi_v2(catalog: Arc<Catalog>, specs: Vec<(Remote, Specs)>, headers: &HeaderMap) -> Response {
    let parts: Vec<Value> = specs.into_iter().filter_map(|(_, specs)| specs.v2).collect();
    let accept = accept_header(headers);
    let protobuf = clauses(&accept).iter().any(|clause| openapi::ACCEPT_V2_PROTOBUF.contains(&clause.media));
    let (media, found) = if protobuf {
        (openapi::CONTENT_TYPE_V2_PROTOBUF, document(move || Some(catalog.documents.v2_protobuf_with(&parts))).await)
    } else {
        (openapi::CONTENT_TYPE_JSON, document(move || Some(catalog.documents.v2_json_with(&parts))).await)
    };
    found.map_or_else(not_found, |document| tagged(headers, media, document.body.clone(), &quoted(&document.hash)))
}

/// A document of version 3. One that is asked for by its hash never changes; a hash of another day leads to today's.
async fn openapi_v3(
    catalog: Arc<Catalog>,
    specs: Vec<(Remote, Specs)>,
    headers: &HeaderMap,
    path: String,
    hash: &str,
) -> Response {
    let of_remotes: Vec<(String, Document)> = specs
        .into_iter()
        .filter_map(|(remote, specs)| Some((remote.path().trim_start_matches('/').to_owned(), specs.v3?)))
        .collect();
    let name = path.clone();
    let found = document(move || match name.as_str() {
        "" => Some(catalog.documents.v3_index_with(&of_remotes)),
        path => match of_remotes.iter().find(|(known, _)| known == path.trim_matches('/')) {
            Some((_, document)) => Some(document.clone()),
            None => catalog.documents.v3_document(path).cloned(),
        },
    });
    let Some(document) = found.await else { return not_found() };
    let by_hash = !hash.is_empty() && !path.is_empty();
    if by_hash && hash != document.hash {
        let mut response = respond::bytes(StatusCode::MOVED_PERMANENTLY, openapi::CONTENT_TYPE_JSON, Bytes::new());
        let target = format!("/openapi/v3/{path}?hash={}", document.hash);
        response.headers_mut().extend(HeaderValue::from_str(&target).ok().map(|value| (header::LOCATION, value)));
        return response;
    }
    let body = document.body.clone();
    let mut response = tagged(headers, openapi::CONTENT_TYPE_JSON, body, &quoted(&document.hash));
    if by_hash {
        let year = jiff::Timestamp::now().saturating_add(jiff::SignedDuration::from_hours(365 * 24));
        let expires = year.unwrap_or(jiff::Timestamp::MAX).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        headers.extend(HeaderValue::from_str(&expires).ok().map(|value| (header::EXPIRES, value)));
    }
    response
}

fn quoted(hash: &str) -> String {
    format!("\"{hash}\"")
}
