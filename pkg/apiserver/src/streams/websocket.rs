//! A stream of bytes as WebSocket messages to a client that only listens: logs, as `kubectl logs`' cousins in browsers
//! read them (k8s.io/streaming `wsstream.Reader`), and watches, as fabric8's clients ask for them (apiserver
//! `endpoints/handlers/watch.go`, `HandleWS`). Whatever the client says but its farewell is ignored.

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

/// How a stream is cut into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Bytes as they come, after an empty message by which the client sees that it is served.
    Bytes,
    /// The same in base64, as text.
    Base64,
    /// One text for each line.
    Lines,
}

/// Whether a request asks for WebSocket.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    relay::wants_upgrade(headers) && upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// The subprotocols that a client offers, in its order.
pub(crate) fn offered(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|offered| !offered.is_empty()).collect()
}

/// Answers the handshake and sends the bytes of `body` until it ends, the client leaves, or `shutdown`.
///
/// # Errors
/// 400 for a handshake without a key, on another HTTP version, or with none of the subprotocols.
pub(super) fn bytes(
    headers: &HeaderMap,
    client: Option<OnUpgrade>,
    body: Body,
    shutdown: &CancellationToken,
) -> Result<Response, Status> {
    let protocol = protocol(&offered(headers))?;
    let framing = if protocol == Some(ENCODED) { Framing::Base64 } else { Framing::Bytes };
    answer(headers, client, body, shutdown, protocol, framing)
}

/// Answers the handshake and sends each line of `body`, whose pieces end where lines end, as a message of its own.
///
/// # Errors
/// 400 for a handshake without a key, on another HTTP version, or with several subprotocols, of which none is known.
pub(crate) fn lines(
    headers: &HeaderMap,
    client: Option<OnUpgrade>,
    body: Body,
    shutdown: &CancellationToken,
) -> Result<Response, Status> {
    match offered(headers).as_slice() {
        [] => answer(headers, client, body, shutdown, None, Framing::Lines),
        [any] => answer(headers, client, body, shutdown, Some(any), Framing::Lines),
        _ => Err(Status::bad_request("missing or bad WebSocket-Protocol")),
    }
}

fn answer(
    headers: &HeaderMap,
    client: Option<OnUpgrade>,
    body: Body,
    shutdown: &CancellationToken,
    protocol: Option<&str>,
    framing: Framing,
) -> Result<Response, Status> {
    let key =
        headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| Status::bad_request("missing or bad WebSocket-Key"))?;
    let client = client.ok_or_else(|| Status::bad_request("the connection cannot change its protocol"))?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|cause| Status::internal(cause.to_string()));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answers.insert(header::SEC_WEBSOCKET_ACCEPT, value(&derive_accept_key(key.as_bytes()))?);
    if let Some(protocol) = protocol {
        answers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocol)?);
    }
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = client.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! {
            sent = send(socket, body, framing) => tracing::debug!(?sent, "a stream of messages ended"),
            () = shutdown.cancelled() => {}
        }
    });
    Ok(response)
}

/// The first of the client's subprotocols that is known; none where it names none.
fn protocol(offered: &[&str]) -> Result<Option<&'static str>, Status> {
    if offered.is_empty() {
        return Ok(None);
    }
    let known = offered.iter().find_map(|offered| [PLAIN, ENCODED].into_iter().find(|known| known == offered));
    let words = || format!("requested protocol(s) are not supported: {offered:?}; supports {:?}", ["", PLAIN, ENCODED]);
    known.map(Some).ok_or_else(|| Status::bad_request(words()))
}

/// The messages of one piece of a stream.
fn messages(mut piece: Bytes, framing: Framing) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        if piece.is_empty() {
            return None;
        }
        let length = match framing {
            Framing::Lines => piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |end| end + 1),
            Framing::Bytes | Framing::Base64 => piece.len().min(MESSAGE),
        };
        Some(message(piece.split_to(length), framing))
    })
}

fn message(bytes: Bytes, framing: Framing) -> Message {
    match framing {
        Framing::Bytes => Message::Binary(bytes),
        Framing::Base64 => Message::text(base64::engine::general_purpose::STANDARD.encode(&bytes)),
        Framing::Lines => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn send(socket: Socket, body: Body, framing: Framing) -> Result<(), Error> {
    let (mut to, mut from) = socket.split();
    if framing != Framing::Lines {
        to.send(message(Bytes::new(), framing)).await?;
    }
    let mut body = body.into_data_stream();
    let copying = async {
        while let Some(Ok(piece)) = body.next().await {
            for message in messages(piece, framing) {
                to.send(message).await?;
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
        let of = |words: &'static str| protocol(&offered(&headers(&[("sec-websocket-protocol", words)])));
        assert_eq!(of("binary.k8s.io").unwrap(), Some(PLAIN));
        assert_eq!(of("x, base64.binary.k8s.io,binary.k8s.io").unwrap(), Some(ENCODED));
        assert_eq!(protocol(&offered(&HeaderMap::new())).unwrap(), None);
        assert_eq!(of("v4.channel.k8s.io").unwrap_err().code, 400);
    }

    #[test]
    fn a_stream_is_cut_into_lines_or_pieces() {
        let cut = |text: &str, framing| messages(Bytes::from(text.to_owned()), framing).collect::<Vec<_>>();
        assert_eq!(cut("a\nbc\n", Framing::Lines), [Message::text("a\n"), Message::text("bc\n")]);
        assert_eq!(cut("abc", Framing::Base64), [Message::text("YWJj")]);
        assert_eq!(cut(&"x".repeat(5000), Framing::Bytes).len(), 3);
    }

    #[test]
    fn an_upgrade_to_something_else_is_not_this() {
        assert!(is_asked_for(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!is_asked_for(&headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])));
        assert!(!is_asked_for(&headers(&[("upgrade", "websocket")])));
    }
}
