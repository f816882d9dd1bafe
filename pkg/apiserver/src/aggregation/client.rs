//! This server as a client of API services: the endpoint of a service, TLS with the front proxy's certificate, the headers
//! that say on whose behalf (client-go `SetAuthProxyHeaders`). Must not decide what is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::SendRequest;
use minisvc_store::Key;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;

use super::{Known, tls};
use crate::belief;
use crate::identity::{Identity, MASTERS};
use crate::server::Inner;
use crate::streams::backend::{self, Unreachable};
use crate::streams::location::{self, Location, Target};

/// Endpoints that are tried, each after the other's refusal.
const TRIES: usize = 3;

/// Time for one of this server's own questions.
const TIME: Duration = Duration::from_secs(5);

/// Bytes of a document.
const DOCUMENT: usize = 32 << 20;

/// What a key of extra attributes keeps as it is in a header's name (RFC 9110 token, without `%`).
const EXTRA: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A document as it came.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Where it came from, as messages name it.
    pub(super) url: String,
}

/// Puts the caller into the headers, and whoever a client claimed to be out of them.
pub(super) fn on_behalf(headers: &mut HeaderMap, identity: &Identity) {
    let claimed: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &identity.user);
    if !identity.uid.is_empty() {
        add("x-remote-uid", &identity.uid);
    }
    for group in &identity.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &identity.extra {
        let name = format!("x-remote-extra-{}", utf8_percent_encode(key, EXTRA));
        for value in values {
            add(&name, value);
        }
    }
}

impl Known {
    /// TLS to it, made once.
    fn tls(&self, server: &Inner) -> Result<Arc<ClientConfig>, String> {
        self.tls.get_or_init(|| tls::config(&server.config.pki, &self.remote)).clone()
    }

    /// The endpoints behind its Service, in no order.
    ///
    /// # Errors
    /// Why there is none, in the words of upstream's resolver.
    pub(super) fn places(&self, server: &Inner) -> Result<Vec<Location>, String> {
        let (namespace, name, port) = &self.remote.service;
        let service = server.store.get(&Key::new("services", namespace.as_str(), name.as_str()));
        let service = service.ok_or_else(|| format!("service {name:?} not found"))?;
        let kind = service.value["spec"]["type"].as_str().unwrap_or_default();
        if !["ClusterIP", "LoadBalancer", "NodePort"].contains(&kind) {
            return Err(format!("unsupported service type {kind:?}"));
        }
        let slices = location::slices(&*server.store, namespace, name);
        let slices: Vec<&Value> = slices.iter().map(|slice| &*slice.value).collect();
        let port = port.to_string();
        let target = Target { tls: true, name, port: &port };
        let mut places = location::of_service(&service.value, &slices, target).map_err(|status| status.message)?;
        fastrand::shuffle(&mut places);
        places.truncate(TRIES);
        Ok(places)
    }

    /// A connection to the first endpoint that takes one.
    pub(super) async fn connect(&self, server: &Inner, places: &[Location]) -> Result<SendRequest<Body>, String> {
        let tls = self.tls(server)?;
        let expected = self.remote.server_name();
        let name = ServerName::try_from(expected.clone()).map_err(|cause| cause.to_string())?;
        let mut last = String::new();
        for place in places {
            match backend::connect_as(place.address, place.port, tls.clone(), name.clone()).await {
                Ok(connection) => return Ok(connection),
                Err(Unreachable::Tls(_, cause)) => last = belief::words(&cause, &expected),
                Err(cause) => last = cause.to_string(),
            }
        }
        Err(last)
    }

    /// Asks for a document in the name of the aggregator itself.
    ///
    /// # Errors
    /// In the words of the condition `Available`.
    pub(super) async fn get(&self, server: &Inner, path: &str, accept: &str) -> Result<Answer, String> {
        let places = self.places(server)?;
        let [place, ..] = &places[..] else { return Err("no place to go to".to_owned()) };
        let url = format!("https://{}:{}{path}", place.address, place.port);
        let asked = async {
            let mut connection = self.connect(server, &places).await?;
            let mut request = Request::get(path).body(Body::empty()).map_err(|cause| cause.to_string())?;
            let groups = vec![MASTERS.to_owned()];
            let own = Identity { user: "system:kube-aggregator".into(), groups, ..Identity::default() };
            on_behalf(request.headers_mut(), &own);
            request.headers_mut().extend(HeaderValue::from_str(accept).ok().map(|value| (header::ACCEPT, value)));
            let host = HeaderValue::from_str(&self.remote.server_name()).ok();
            request.headers_mut().extend(host.map(|value| (header::HOST, value)));
            let response = connection.send_request(request).await.map_err(|cause| cause.to_string())?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, DOCUMENT).collect().await.map_err(|cause| cause.to_string())?.to_bytes();
            Ok(Answer { code: head.status.as_u16(), headers: head.headers, body, url: url.clone() })
        };
        let outcome = tokio::time::timeout(TIME, asked).await;
        let failed = |cause: String| format!("failing or missing response from {url}: Get \"{url}\": {cause}");
        match outcome {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_authenticated_user_is_told() {
        let mut headers = HeaderMap::new();
        for name in ["x-remote-user", "x-remote-group", "x-remote-extra-a", "x-remote-uid", "x-remotely"] {
            headers.append(name, HeaderValue::from_static("evil"));
        }
        let mut ann = Identity::new("ann", ["staff"]);
        ann.extra.insert("example.com/a b".into(), vec!["1".into(), "2".into()]);
        on_behalf(&mut headers, &ann);
        let all = |name: &str| headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>();
        assert_eq!((all("x-remote-user"), all("x-remote-group")), (vec!["ann"], vec!["staff", "system:authenticated"]));
        assert_eq!(all("x-remote-extra-example.com%2fa%20b"), ["1", "2"]);
        assert!(all("x-remote-extra-a").is_empty() && all("x-remote-uid").is_empty() && !all("x-remotely").is_empty());
    }
}
