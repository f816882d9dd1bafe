//! Requests on their way to an API service and the answers back (kube-aggregator `handler_proxy.go`).

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use super::Known;
use super::client::on_behalf;
use crate::http::respond;
use crate::identity::Identity;
use crate::server::Inner;
use crate::streams::{Lasting, relay};

/// An authorized request with its body unread.
pub(crate) struct Forward<'a> {
    pub(crate) server: Arc<Inner>,
    pub(crate) known: Arc<Known>,
    pub(crate) parts: &'a Parts,
    pub(crate) identity: &'a Identity,
    pub(crate) body: Body,
    /// The client's connection, where it asked for another protocol.
    pub(crate) upgrade: Option<OnUpgrade>,
}

/// Passes it on. What fails on the way is told as plain text, as upstream does.
pub(crate) async fn forward(asked: Forward<'_>) -> Response {
    let Forward { server, known, parts, identity, body, upgrade } = asked;
    if !known.remote.available {
        return text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
    }
    let Ok(places) = known.places(&server) else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
    };
    let upgrades = relay::wants_upgrade(&parts.headers);
    let mode = if upgrades { relay::Headers::WithUpgrade } else { relay::Headers::Plain };
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match path.parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(cause) => return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("not a path: {cause}")),
    }
    *request.headers_mut() = relay::travelling(&parts.headers, mode);
    on_behalf(request.headers_mut(), identity);
    if let Ok(host) = HeaderValue::from_str(&known.remote.server_name()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let failed =
        |cause: String| text(StatusCode::SERVICE_UNAVAILABLE, &format!("error trying to reach service: {cause}"));
    let connection = match known.connect(&server, &places).await {
        Ok(connection) => connection,
        Err(cause) => {
            // The next look comes at once.
            server.aggregator.bell.notify_one();
            return failed(cause);
        }
    };
    match relay::send(connection, request, upgrade.filter(|_| upgrades), &server.shutdown).await {
        Ok(mut response) => {
            // A watch is read as slowly as its reader likes.
            response.extensions_mut().insert(Lasting);
            response
        }
        Err(cause) => failed(cause.to_string()),
    }
}

/// As Go's `http.Error` writes it.
fn text(code: StatusCode, text: &str) -> Response {
    let mut response = respond::text(code, format!("{text}\n"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
