//! Passing requests and bytes on: headers that travel, answers that come back, connections spliced together. Must not
//! know where to.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

/// Bytes on their way in one direction of a spliced connection.
const ROOM: usize = 64 * 1024;

/// Headers of one hop (RFC 9110 section 7.6.1), and credentials, which are for this server only.
const OWN: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    header::AUTHORIZATION,
];

/// Whether a request may change the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// `Connection` and `Upgrade` travel.
    WithUpgrade,
    /// They do not.
    Plain,
}

/// The headers that go on.
pub(crate) fn travelling(headers: &HeaderMap, mode: Headers) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_lowercase())
        .collect();
    let mut all = headers.clone();
    for name in &OWN {
        all.remove(name);
    }
    for name in headers.keys() {
        if name.as_str().starts_with("impersonate-") || named.iter().any(|named| named == name.as_str()) {
            all.remove(name);
        }
    }
    if mode == Headers::WithUpgrade {
        for upgrade in headers.get_all(header::UPGRADE) {
            all.append(header::UPGRADE, upgrade.clone());
        }
        all.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    all
}

/// Whether the client asks for another protocol.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let mut words = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(header::UPGRADE)
        && words.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
}

/// Sends the request; where both sides change the protocol, their connections become one until `shutdown`.
pub(crate) async fn send(
    mut backend: SendRequest<Body>,
    request: Request<Body>,
    client: Option<OnUpgrade>,
    shutdown: &CancellationToken,
) -> Result<Response, hyper::Error> {
    let mut response = backend.send_request(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // The answer's own framing is not ours; what an upgrade of a client without one would mean is neither.
        let headers = response.headers_mut();
        for name in OWN.iter().filter(|name| **name != header::PROXY_AUTHENTICATE) {
            headers.remove(name);
        }
        return Ok(response.map(Body::new));
    }
    let behind = hyper::upgrade::on(&mut response);
    let shutdown = shutdown.clone();
    if let Some(client) = client {
        tokio::spawn(async move {
            let (Ok(client), Ok(behind)) = tokio::join!(client, behind) else { return };
            let (mut client, mut behind) = (TokioIo::new(client), TokioIo::new(behind));
            tokio::select! {
                copied = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut behind, ROOM, ROOM) => {
                    tracing::debug!(?copied, "a stream ended");
                }
                () = shutdown.cancelled() => {}
            }
        });
    }
    Ok(response.map(|_| Body::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_single_hops_stay_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("connection", "keep-alive, x-own, Upgrade"),
            ("upgrade", "websocket"),
            ("x-own", "1"),
            ("impersonate-user", "somebody"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert!(wants_upgrade(&headers));
        let plain = travelling(&headers, Headers::Plain);
        assert_eq!(plain.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
        let upgrade = travelling(&headers, Headers::WithUpgrade);
        assert_eq!(
            (&upgrade["connection"], &upgrade["upgrade"]),
            (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        assert!(!upgrade.contains_key("authorization") && !wants_upgrade(&plain));
    }
}
