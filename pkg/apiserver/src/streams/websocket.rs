//! A stream of bytes as WebSocket messages to a client that only listens, as `kubectl logs`' cousins in browsers do
//! (k8s.io/streaming `wsstream.Reader`). Whatever the client says but its farewell is ignored.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use minisvc_api::status::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::relay;

/// Bytes of the stream in one message.
const MESSAGE: usize = 2048;

/// The subprotocols: bytes as they are, and bytes as text in base64. Without one they come as they are.
const PLAIN: &str = "binary.k8s.io";
const ENCODED: &str = "base64.binary.k8s.io";

/// Whether a request asks for WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    relay::wants_upgrade(headers) && upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// Answers the handshake and sends `body` until it ends, the client leaves, or `shutdown`.
///
/// # Errors
/// 400 for a handshake without a key, on another HTTP version, or with none of the subprotocols.
pub(super) fn answer(
    headers: &HeaderMap,
    client: Option<OnUpgrade>,
    body: Body,
    shutdown: &CancellationToken,
) -> Result<Response, Status> {
    let key =
        headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| Status::bad_request("missing or bad WebSocket-Key"))?;
    let client = client.ok_or_else(|| Status::bad_request("the connection cannot change its protocol"))?;
    let protocol = protocol(headers)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    answers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.map_err(|cause| Status::internal(cause.to_string()))?);
    if let Some(protocol) = protocol {
        answers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = client.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! {
            sent = send(socket, body, protocol == Some(ENCODED)) => tracing::debug!(?sent, "a stream of messages ended"),
            () = shutdown.cancelled() => {}
        }
    });
    Ok(response)
}

/// The first of the client's subprotocols that is known; none where it names none.
fn protocol(headers: &HeaderMap) -> Result<Option<&'static str>, Status> {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if offered.is_empty() {
        return Ok(None);
    }
    let known = offered.iter().find_map(|offered| [PLAIN, ENCODED].into_iter().find(|known| known == offered));
    let words = || format!("requested protocol(s) are not supported: {offered:?}; supports {:?}", ["", PLAIN, ENCODED]);
    known.map(Some).ok_or_else(|| Status::bad_request(words()))
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn send(socket: Socket, body: Body, encoded: bool) -> Result<(), Error> {
    let message = |bytes: Bytes| match encoded {
        true => Message::text(base64::engine::general_purpose::STANDARD.encode(&bytes)),
        false => Message::Binary(bytes),
    };
    let (mut to, mut from) = socket.split();
    // An empty message first: the client sees at once that it is served.
    to.send(message(Bytes::new())).await?;
    let mut body = body.into_data_stream();
    let copying = async {
        while let Some(Ok(mut chunk)) = body.next().await {
            while !chunk.is_empty() {
                let first = chunk.split_to(chunk.len().min(MESSAGE));
                to.send(message(first)).await?;
            }
        }
        to.close().await
    };
    let leaving = async { while let Some(Ok(_)) = from.next().await {} };
    tokio::select! {
        copied = copying => copied,
        () = leaving => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_first_known_subprotocol_is_taken() {
        let of = |offered: &'static str| protocol(&headers(&[("sec-websocket-protocol", offered)]));
        assert_eq!(of("binary.k8s.io").unwrap(), Some(PLAIN));
        assert_eq!(of("x, base64.binary.k8s.io,binary.k8s.io").unwrap(), Some(ENCODED));
        assert_eq!(protocol(&HeaderMap::new()).unwrap(), None);
        assert_eq!(of("v4.channel.k8s.io").unwrap_err().code, 400);
    }

    #[test]
    fn an_upgrade_to_something_else_is_not_this() {
        assert!(is_asked_for(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!is_asked_for(&headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])));
        assert!(!is_asked_for(&headers(&[("upgrade", "websocket")])));
    }
}
