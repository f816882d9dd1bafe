//! The gRPC health check (`grpc.health.v1.Health/Check`), spoken by hand: one string in, one number out.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

const SERVING: u8 = 1;

/// The service answers SERVING.
pub(crate) async fn grpc(address: IpAddr, port: u16, service: &str) -> Result<(), String> {
    let target = format!("{address}:{port}");
    let unreachable = |error: String| format!("timeout: failed to connect service \"{target}\": {error}");
    let stream = TcpStream::connect((address, port)).await.map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{target}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.37")
        .body(Full::new(message(service)))
        .map_err(|error| error.to_string())?;
    let failed = |error: hyper::Error| format!("service unhealthy (responded with \"{error}\")");
    let answer = sender.send_request(request).await.map_err(failed)?;
    let headers = answer.headers().clone();
    let body = answer.into_body().collect().await.map_err(failed)?;
    connection.abort();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or(headers.get("grpc-status")).and_then(|status| status.to_str().ok());
    if let Some(status) = status.filter(|status| *status != "0") {
        return Err(format!("service unhealthy (gRPC status {status})"));
    }
    match serving_status(&body.to_bytes()) {
        Some(SERVING) => Ok(()),
        Some(2) => Err("service unhealthy (responded with \"NOT_SERVING\")".into()),
        other => Err(format!("service unhealthy (responded with {other:?})")),
    }
}

/// A length-prefixed HealthCheckRequest: field 1 is the service's name.
fn message(service: &str) -> Bytes {
    let mut request = Vec::new();
    if !service.is_empty() {
        request.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            request.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        request.push(length as u8);
        request.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(request.len() as u32).to_be_bytes());
    framed.extend_from_slice(&request);
    framed.into()
}

/// Field 1 of a HealthCheckResponse; an absent field is 0, UNKNOWN.
fn serving_status(framed: &[u8]) -> Option<u8> {
    let body = framed.get(5..)?;
    match body {
        [] => Some(0),
        [0x08, status, ..] => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0]), None);
    }
}
