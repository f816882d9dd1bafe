//! Bearer tokens of browsers' WebSockets, which can set no header but the list of subprotocols (apiserver
//! `authentication/request/websocket/protocol.go`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use minisvc_api::status::Status;

use crate::streams::websocket;

/// What a subprotocol that is a token begins with; the token follows in base64url without padding.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Moves a token among the subprotocols of a WebSocket request to where other requests have theirs. A request that has
/// one there already keeps it.
///
/// # Errors
/// 401 for several tokens, one that cannot be read, or one without a further subprotocol that can be answered.
pub(crate) fn take_token(headers: &mut HeaderMap) -> Result<(), Status> {
    if headers.contains_key(header::AUTHORIZATION) || !websocket::is_asked_for(headers) {
        return Ok(());
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        websocket::offered(headers).into_iter().partition(|offered| offered.starts_with(PREFIX));
    let [token] = tokens.as_slice() else {
        return if tokens.is_empty() { Ok(()) } else { Err(Status::unauthorized()) };
    };
    let token = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).ok().and_then(|token| String::from_utf8(token).ok());
    let bearer = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    let others = HeaderValue::from_str(&others.join(",")).ok().filter(|others| !others.is_empty());
    let (Some(bearer), Some(others)) = (bearer, others) else { return Err(Status::unauthorized()) };
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(protocols: &'static str) -> Result<(String, String), u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols));
        take_token(&mut headers).map_err(|status| status.code)?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok((text(header::AUTHORIZATION), text(header::SEC_WEBSOCKET_PROTOCOL)))
    }

    #[test]
    fn a_token_is_moved_and_its_protocol_not_answered() {
        let moved = taken("base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io,channel.k8s.io");
        assert_eq!(moved, Ok(("Bearer secret".into(), "v4.channel.k8s.io,channel.k8s.io".into())));
        assert_eq!(taken("v4.channel.k8s.io"), Ok((String::new(), "v4.channel.k8s.io".into())));
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for protocols in [
            "base64url.bearer.authorization.k8s.io.c2VjcmV0",
            "base64url.bearer.authorization.k8s.io.c2Vjc!,x",
            "base64url.bearer.authorization.k8s.io.YQ,base64url.bearer.authorization.k8s.io.YQ,x",
        ] {
            assert_eq!(taken(protocols), Err(401), "{protocols}");
        }
    }
}
