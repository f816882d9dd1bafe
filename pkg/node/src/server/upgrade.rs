//! From an HTTP request to a stream: which protocol client and node share, and the 101 answer. Must not know what the
//! stream is for.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::{Body, Refusal};
use crate::stream::websocket;

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// WebSocket with this subprotocol; empty for none.
    WebSocket(&'static str),
    /// SPDY/3.1 with this protocol on top.
    Spdy(&'static str),
}

/// An agreement whose stream begins once the answer is sent.
pub(super) struct Upgrade {
    pub(super) protocol: Protocol,
    on: OnUpgrade,
}

impl Upgrade {
    /// The stream; nothing when the client left.
    pub(super) async fn stream(self) -> Option<TokioIo<Upgraded>> {
        self.on.await.ok().map(TokioIo::new)
    }
}

/// Picks the first of the server's protocols that the client offers.
pub(super) fn agree(
    request: Request<Incoming>,
    websocket: &[&'static str],
    spdy: &[&'static str],
) -> Result<(Upgrade, Response<Body>), Refusal> {
    let (protocol, accept) = choose(request.method(), request.headers(), websocket, spdy)?;
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    match protocol {
        Protocol::WebSocket(name) => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            if !name.is_empty() {
                headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
            }
            if let Ok(accept) = HeaderValue::from_str(&accept) {
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            }
        }
        Protocol::Spdy(name) => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
            headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(name));
        }
    }
    Ok((Upgrade { protocol, on: hyper::upgrade::on(request) }, response))
}

fn choose(
    method: &Method,
    headers: &HeaderMap,
    websocket: &[&'static str],
    spdy: &[&'static str],
) -> Result<(Protocol, String), Refusal> {
    let wanted = tokens(headers, &header::UPGRADE);
    let has = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name));
    if has("websocket") {
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
        let Some(key) = key.filter(|_| method == Method::GET) else {
            return Err((StatusCode::BAD_REQUEST, "not a WebSocket handshake".to_owned()));
        };
        let offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let chosen = pick(&offered, websocket)?;
        return Ok((Protocol::WebSocket(chosen), websocket::accept(key)));
    }
    if has("SPDY/3.1") {
        let chosen = pick(&tokens(headers, &STREAM_PROTOCOL), spdy)?;
        return Ok((Protocol::Spdy(chosen), String::new()));
    }
    let text = format!("unable to upgrade: missing upgrade headers in request: {:?}", wanted);
    Err((StatusCode::BAD_REQUEST, text))
}

fn pick(offered: &[String], known: &[&'static str]) -> Result<&'static str, Refusal> {
    let none = offered.is_empty();
    let found = known.iter().find(|name| (none && name.is_empty()) || offered.iter().any(|offer| offer == *name));
    found.copied().ok_or_else(|| {
        let text = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {known:?}"
        );
        (StatusCode::FORBIDDEN, text)
    })
}

/// The comma-separated words of a header, which may come several times.
fn tokens(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(method: Method, headers: &[(&'static str, &'static str)]) -> Result<Protocol, StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let result = choose(&method, &map, &["v5.channel.k8s.io", "v4.channel.k8s.io"], &["v4.channel.k8s.io"]);
        result.map(|(protocol, _)| protocol).map_err(|(code, _)| code)
    }

    #[test]
    fn the_newest_that_both_know() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let both = [("upgrade", "websocket"), key, ("sec-websocket-protocol", "v4.channel.k8s.io, v5.channel.k8s.io")];
        assert_eq!(chosen(Method::GET, &both), Ok(Protocol::WebSocket("v5.channel.k8s.io")));
        assert_eq!(chosen(Method::POST, &both), Err(StatusCode::BAD_REQUEST));
        assert_eq!(chosen(Method::GET, &both[..2]), Err(StatusCode::FORBIDDEN));
        assert_eq!(pick(&[], &["v4.channel.k8s.io", ""]), Ok(""));
        let spdy = [
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
            ("x-stream-protocol-version", "channel.k8s.io"),
        ];
        assert_eq!(chosen(Method::POST, &spdy), Ok(Protocol::Spdy("v4.channel.k8s.io")));
        let old = [("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "channel.k8s.io")];
        assert_eq!(chosen(Method::POST, &old), Err(StatusCode::FORBIDDEN));
        assert_eq!(chosen(Method::POST, &[]), Err(StatusCode::BAD_REQUEST));
    }
}
