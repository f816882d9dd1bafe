//! The dashboard's files, compiled in from `web/`. Public and static: what they show they ask the API for, with a token.

use ::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use rust_embed::RustEmbed;

use crate::http::respond;
use crate::identity::Peer;

#[derive(RustEmbed)]
#[folder = "../../web"]
struct Files;

/// The file that a path names: everything below `/ui/`, and on the dashboard's own listener `/` as well.
pub(crate) fn file(method: &Method, path: &str, peer: &Peer) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let name = match path {
        "/ui" | "/ui/" => "index.html",
        "/" | "/index.html" | "/favicon.ico" if matches!(peer, Peer::Dashboard) => match path {
            "/" => "index.html",
            other => &other[1..],
        },
        other => other.strip_prefix("/ui/")?,
    };
    if path == "/ui" {
        let mut response = respond::text(StatusCode::MOVED_PERMANENTLY, "");
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/ui/"));
        return Some(response);
    }
    let Some(file) = Files::get(name) else {
        return Some(respond::text(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    let mut response = respond::bytes(StatusCode::OK, "application/octet-stream", Bytes::from(file.data.into_owned()));
    let headers = response.headers_mut();
    if let Ok(media) = HeaderValue::from_str(file.metadata.mimetype()) {
        headers.insert(header::CONTENT_TYPE, media);
    }
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}
