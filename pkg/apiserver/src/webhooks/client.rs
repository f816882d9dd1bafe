//! Calls of webhooks: from a place to an address, TLS, one JSON document there and one back. Failures are told in the words
//! of Kubernetes' client, which people search for. Must not know what is asked.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::SendRequest;
use minisvc_api::webhook::{Place, Remote};
use minisvc_store::Key;
use rustls::pki_types::ServerName;
use serde_json::Value;

use crate::belief;
use crate::server::Inner;
use crate::streams::backend::{self, Unreachable};
use crate::streams::location::{self, Target};

/// Bytes of the longest answer that is read.
const LONGEST: usize = 64 << 20;
/// Endpoints of a service that are tried, each after the other's refusal.
const TRIES: usize = 3;
/// Who asks.
const AGENT: &str = "kube-apiserver-admission";

/// What went wrong: on the way, which is told with the address, or with the answer.
enum Failure {
    Way(String),
    Answer(String),
}

/// The answer of a webhook to a document.
///
/// # Errors
/// Why there is none, as Kubernetes' client would say it.
pub(crate) async fn post(server: &Inner, remote: &Remote, document: &Value, limit: Duration) -> Result<Value, String> {
    let target = remote.target(limit.as_secs());
    let told = |why: String| format!("Post \"https://{}{target}\": {why}", remote.authority());
    match tokio::time::timeout(limit, exchange(server, remote, &target, document)).await {
        Err(_late) => Err(told("context deadline exceeded".to_owned())),
        Ok(Err(Failure::Way(why))) => Err(told(why)),
        Ok(Err(Failure::Answer(why))) => Err(why),
        Ok(Ok(answer)) => Ok(answer),
    }
}

async fn exchange(server: &Inner, remote: &Remote, target: &str, document: &Value) -> Result<Value, Failure> {
    let way = |why: String| Failure::Way(why);
    let mut request = Request::new(Body::from(document.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.parse().map_err(|cause| way(format!("{cause}")))?;
    let host = HeaderValue::from_str(&remote.authority()).map_err(|cause| way(cause.to_string()))?;
    for (name, value) in [
        (header::HOST, host),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ACCEPT, HeaderValue::from_static("application/json, */*")),
        (header::USER_AGENT, HeaderValue::from_static(AGENT)),
    ] {
        request.headers_mut().insert(name, value);
    }
    let mut connection = reach(server, remote).await.map_err(way)?;
    let answer = connection.send_request(request).await.map_err(|cause| way(cause.to_string()))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map_err(|cause| way(cause.to_string()))?.to_bytes();
    if !status.is_success() {
        return Err(Failure::Answer(refused(status, &body)));
    }
    serde_json::from_slice(&body)
        .map_err(|cause| Failure::Answer(format!("couldn't get version/kind; json parse error: {cause}")))
}

/// An answer that is no success (client-go `transformResponse`, apimachinery `NewGenericServerResponse`).
fn refused(status: StatusCode, body: &Bytes) -> String {
    if let Ok(told) = serde_json::from_slice::<Value>(body)
        && told["kind"] == "Status"
        && let Some(message) = told["message"].as_str()
    {
        return message.to_owned();
    }
    let text = String::from_utf8_lossy(body);
    let text = if text.trim().is_empty() { "unknown" } else { text.trim() };
    match status.as_u16() {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 | 415 => text.to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        409 => "the server reported a conflict".to_owned(),
        422 => "the server rejected our request due to an error in our request".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned()
        }
        code if code >= 500 => format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

/// A connection to one of the webhook's addresses.
async fn reach(server: &Inner, remote: &Remote) -> Result<SendRequest<Body>, String> {
    let tls = server.trust.config(&remote.authorities)?;
    let expected = remote.server_name();
    let name = ServerName::try_from(expected.clone()).map_err(|_| format!("{expected:?} is no name of a server"))?;
    let mut last = "no place to go to".to_owned();
    for (address, port) in addresses(server, &remote.place).await? {
        match backend::connect_as(address, port, tls.clone(), name.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(Unreachable::Tls(_, cause)) => return Err(belief::words(&cause, &expected)),
            Err(cause) => last = cause.to_string(),
        }
    }
    Err(last)
}

async fn addresses(server: &Inner, place: &Place) -> Result<Vec<(IpAddr, u16)>, String> {
    match place {
        Place::Url { host, port, .. } => look_up(host, *port).await,
        Place::Service { namespace, name, port, .. } => {
            let service = server.store.get(&Key::new("services", namespace.as_str(), name.as_str()));
            let service = service.ok_or_else(|| format!("service {name:?} not found"))?;
            if let Some(other) = service.value["spec"]["externalName"].as_str()
                && service.value["spec"]["type"] == "ExternalName"
            {
                return look_up(other, *port).await;
            }
            let slices = location::slices(&*server.store, namespace, name);
            let slices: Vec<&Value> = slices.iter().map(|slice| &*slice.value).collect();
            let port = port.to_string();
            let target = Target { tls: true, name, port: &port };
            let found = location::of_service(&service.value, &slices, target);
            let mut found = found.map_err(|status| status.message)?;
            fastrand::shuffle(&mut found);
            Ok(found.into_iter().take(TRIES).map(|at| (at.address, at.port)).collect())
        }
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<(IpAddr, u16)>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![(address, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await.map(|found| found.take(TRIES).collect::<Vec<_>>());
    match found {
        Ok(found) if !found.is_empty() => Ok(found.into_iter().map(|at| (at.ip(), at.port())).collect()),
        _ => Err(format!("dial tcp: lookup {host}: no such host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_no_success_are_told_as_the_client_does() {
        let told = |code: u16, body: &'static str| refused(StatusCode::from_u16(code).unwrap(), &Bytes::from(body));
        assert_eq!(told(404, "404 page not found\n"), "the server could not find the requested resource");
        assert_eq!(told(500, "oops"), "an error on the server (\"oops\") has prevented the request from succeeding");
        assert_eq!(told(500, r#"{"kind":"Status","message":"mine"}"#), "mine");
        assert_eq!(told(418, ""), "the server responded with the status code 418 but did not return more information");
    }
}
