//! A small HTTP/1.1 client for programs that ask others: one request, one answer, redirects followed, all within a time.
//! Errors in the words of Go's net/http.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::go;

/// The largest answer that is read, bytes.
const LIMIT: usize = 64 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// GETs `url`, at most `limit` long.
pub(crate) async fn get(url: &str, limit: Duration) -> Result<Got, String> {
    send(Method::GET, url, Bytes::new(), "Go-http-client/1.1", limit).await
}

/// Sends one request; at most ten redirects are followed.
pub(crate) async fn send(method: Method, url: &str, body: Bytes, agent: &str, limit: Duration) -> Result<Got, String> {
    let verb = match method {
        Method::POST => "Post",
        _ => "Get",
    };
    match tokio::time::timeout(limit, follow(method, url, body, agent)).await {
        Ok(Ok(got)) => Ok(got),
        Ok(Err(reason)) => Err(format!("{verb} {}: {reason}", go::quote(url))),
        Err(_) => Err(format!(
            "{verb} {}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            go::quote(url)
        )),
    }
}

async fn follow(mut method: Method, url: &str, mut body: Bytes, agent: &str) -> Result<Got, String> {
    let mut url = url.to_owned();
    for _ in 0..10 {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let got = once(method.clone(), &uri, body.clone(), agent).await?;
        let location = got.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        match (got.status.as_u16(), location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                url = match location.contains("://") {
                    true => location.to_owned(),
                    false => {
                        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
                        format!("http://{authority}/{}", location.trim_start_matches('/'))
                    }
                };
                if got.status.as_u16() < 304 && method != Method::HEAD {
                    (method, body) = (Method::GET, Bytes::new());
                }
            }
            _ => return Ok(got),
        }
    }
    Err("stopped after 10 redirects".to_owned())
}

async fn once(method: Method, uri: &Uri, body: Bytes, agent: &str) -> Result<Got, String> {
    match uri.scheme_str() {
        Some("http") | None => {}
        Some(other) => return Err(format!("unsupported protocol scheme {}", go::quote(other))),
    }
    let authority = uri.authority().ok_or("http: no Host in request URL")?;
    let port = authority.port_u16().unwrap_or(80);
    let address = resolve(authority.host().trim_matches(['[', ']']), port).await?;
    let stream = dial(address).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(method)
        .uri(if path.is_empty() { "/" } else { path })
        .header(HOST, authority.as_str())
        .header(USER_AGENT, agent)
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    talk(stream, request).await
}

async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: connect: {}", go::errno(&error)))
}

/// GETs an `https` URL as whoever the bearer token says.
pub(crate) async fn get_with_token(url: &str, tls: &TlsConnector, token: &str, limit: Duration) -> Result<Got, String> {
    get_over_tls(url, tls, Some(token), limit).await
}

/// GETs an `https` URL over TLS of the caller's making.
pub(crate) async fn get_over_tls(
    url: &str,
    tls: &TlsConnector,
    token: Option<&str>,
    limit: Duration,
) -> Result<Got, String> {
    send_over_tls(Method::GET, url, tls, token, None, limit).await
}

/// Sends one request to an `https` URL, with a body of JSON where one is given.
pub(crate) async fn send_over_tls(
    method: Method,
    url: &str,
    tls: &TlsConnector,
    token: Option<&str>,
    body: Option<Bytes>,
    limit: Duration,
) -> Result<Got, String> {
    let verb = match method {
        Method::DELETE => "Delete",
        Method::POST => "Post",
        Method::PUT => "Put",
        _ => "Get",
    };
    let asked = async {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or("http: no Host in request URL")?;
        let host = authority.host().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = dial(resolve(host, authority.port_u16().unwrap_or(443)).await?).await?;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, authority.as_str())
            .header(USER_AGENT, "Go-http-client/1.1");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|error| error.to_string())?;
        talk(stream, request).await
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(outcome) => outcome.map_err(|reason: String| format!("{verb} {}: {reason}", go::quote(url))),
        Err(_) => Err(format!("{verb} {}: context deadline exceeded", go::quote(url))),
    }
}

/// One request over a connection, and its answer.
async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Got, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| words(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LIMIT).collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Got { status: head.status, headers: head.headers, body })
    };
    // The connection is driven beside the exchange and dropped with it.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        got = &mut exchange => got,
        ended = connection => match ended {
            // What was read to the end of the connection is still handed over.
            Ok(()) => exchange.await,
            Err(error) => Err(words(&error)),
        },
    }
}

fn words(error: &hyper::Error) -> String {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match source {
        Some(error) => format!("read: {}", go::errno(error)),
        None if error.is_incomplete_message() => "EOF".to_owned(),
        None => error.to_string(),
    }
}

/// The first address of `host`, IPv4 before IPv6, in Go's words where there is none.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let missing = || format!("lookup {host}: no such host");
    let all: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(|_| missing())?.collect();
    all.iter().find(|address| address.is_ipv4()).or(all.first()).copied().ok_or_else(missing)
}
