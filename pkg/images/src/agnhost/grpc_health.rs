//! `agnhost grpc-health-checking`: the gRPC health service (grpc.health.v1) for one service name, which turns unhealthy
//! after a while or when told so over HTTP.

use std::cell::Cell;
use std::convert::Infallible;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Local, Mode};
use crate::flags::{Flag, Flags};
use crate::{go, tls, web};

/// The largest request that is read, bytes.
const LIMIT: usize = 64 << 10;

/// gRPC's codes.
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// The service's answers.
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

pub(super) const MODE: Mode = Mode {
    name: "grpc-health-checking",
    about: "Starts a simple grpc health checking endpoint",
    flags: &[
        Flag::int("port", "5000"),
        Flag::int("http-port", "8080"),
        Flag::int("delay-unhealthy-sec", "-1"),
        Flag::text("service", ""),
        Flag::text("tls-cert-file", ""),
        Flag::text("tls-private-key-file", ""),
    ],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

/// What is said of the service.
struct Health {
    service: String,
    started: Instant,
    started_text: String,
    /// Seconds after which it is unhealthy; negative: never.
    delay: i64,
    /// What somebody asked for over HTTP.
    told: Cell<Option<u8>>,
}

impl Health {
    /// The status of `service`, or gRPC's code and words.
    fn check(&self, service: &str) -> Result<u8, (u32, &'static str)> {
        if service != self.service {
            return Err((NOT_FOUND, "unknown service"));
        }
        let late = u64::try_from(self.delay).is_ok_and(|delay| self.started.elapsed().as_secs() >= delay);
        Ok(match self.told.get() {
            _ if late => NOT_SERVING,
            Some(told) => told,
            None => SERVING,
        })
    }
}

async fn serve(flags: Flags) -> ExitCode {
    let (certificate, key) = (flags.text("tls-cert-file"), flags.text("tls-private-key-file"));
    if certificate.is_empty() != key.is_empty() {
        go::fatal("Both --tls-cert-file and --tls-private-key-file must be set");
    }
    let port = |name: &str| {
        let wrong = || go::fatal(format_args!("listen tcp: address {}: invalid port", flags.int(name)));
        flags.port(name).unwrap_or_else(wrong)
    };
    let started = Instant::now();
    let health = Rc::new(Health {
        service: flags.text("service").to_owned(),
        started,
        started_text: go::now(started),
        delay: flags.int("delay-unhealthy-sec"),
        told: Cell::new(None),
    });
    let http_port = port("http-port");
    go::log(format_args!("Http server starting to listen on :{http_port}"));
    tokio::task::spawn_local(listen_to_orders(super::listen(http_port), health.clone()));
    let listener = super::listen(port("port"));
    let acceptor = (!certificate.is_empty()).then(|| {
        let made = tls::acceptor_of(certificate, key, Some("h2"), None);
        made.unwrap_or_else(|error| go::fatal(format_args!("Failed to generate credentials {error}")))
    });
    go::log(format_args!("gRPC server starting to listen on :{}", port("port")));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => go::fatal(format_args!("Error while starting the gRPC server: {}", go::errno(&error))),
        };
        let (acceptor, health) = (acceptor.clone(), health.clone());
        tokio::task::spawn_local(async move {
            match acceptor {
                None => converse(stream, health).await,
                // A client that fails the handshake is its own business.
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        converse(stream, health).await;
                    }
                }
            }
        });
    }
}

async fn listen_to_orders(listener: tokio::net::TcpListener, health: Rc<Health>) {
    web::serve_forever(listener, None, move |asked| {
        let told = match asked.path() {
            "/make-serving" => Some((SERVING, "Mark as healthy")),
            "/make-not-serving" => Some((NOT_SERVING, "Mark as unhealthy")),
            _ => None,
        };
        std::future::ready(match told {
            Some((status, words)) => {
                go::log(words);
                health.told.set(Some(status));
                web::ok(go::duration(health.started.elapsed()))
            }
            None => web::not_found(),
        })
    })
    .await;
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn converse<S>(stream: S, health: Rc<Health>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let health = health.clone();
        async move { Ok::<_, Infallible>(answer(request, &health).await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(Local).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, health: &Health) -> Response<Body> {
    match request.uri().path() {
        "/grpc.health.v1.Health/Check" => {}
        "/grpc.health.v1.Health/Watch" | "/grpc.health.v1.Health/List" => {
            return failure(UNIMPLEMENTED, "unimplemented");
        }
        other => {
            let service = other.trim_start_matches('/').rsplit_once('/').map_or("", |(service, _)| service);
            return failure(UNIMPLEMENTED, &format!("unknown service {service}"));
        }
    }
    go::log(format_args!("Serving the Check request for health check, started at {}", health.started_text));
    let body = Limited::new(request.into_body(), LIMIT).collect().await.map(|body| body.to_bytes());
    let Some(service) = body.ok().and_then(|body| service_of(&body)) else {
        return failure(INTERNAL, "grpc: error unmarshalling request");
    };
    match health.check(&service) {
        Ok(status) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("grpc-message", HeaderValue::from_static(""));
            let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
            grpc(Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync())
        }
        Err((code, words)) => failure(code, words),
    }
}

/// An answer of trailers alone, which then are its headers.
fn failure(code: u32, words: &str) -> Response<Body> {
    let mut answer = grpc(Empty::new().boxed_unsync());
    answer.headers_mut().insert("grpc-status", code.into());
    if let Ok(words) = HeaderValue::from_str(words) {
        answer.headers_mut().insert("grpc-message", words);
    }
    answer
}

fn grpc(body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// The service that a length-prefixed HealthCheckRequest asks for: its field 1.
fn service_of(framed: &[u8]) -> Option<String> {
    let (head, message) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    if head[0] != 0 || message.len() != length {
        return None;
    }
    match message.split_first() {
        None => Some(String::new()),
        Some((0x0a, rest)) => {
            let end = rest.iter().position(|byte| byte & 0x80 == 0)?;
            let size = rest[..=end].iter().rev().fold(0, |size, byte| (size << 7) | usize::from(byte & 0x7f));
            String::from_utf8(rest.get(end + 1..end + 1 + size)?.to_vec()).ok()
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_a_service() {
        assert_eq!(service_of(&[0, 0, 0, 0, 0]).as_deref(), Some(""));
        assert_eq!(service_of(&[0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']).as_deref(), Some("ab"));
        let mut long = vec![0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01];
        long.extend([b'x'; 200]);
        assert_eq!(service_of(&long), Some("x".repeat(200)));
        for wrong in [&[0, 0, 0, 0][..], &[0, 0, 0, 0, 1], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 0x0a, 9]] {
            assert_eq!(service_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn health_follows_the_clock_and_orders() {
        let health = |delay: i64| Health {
            service: "s".to_owned(),
            started: Instant::now(),
            started_text: String::new(),
            delay,
            told: Cell::new(None),
        };
        let calm = health(-1);
        assert_eq!((calm.check("s"), calm.check("t")), (Ok(SERVING), Err((NOT_FOUND, "unknown service"))));
        calm.told.set(Some(NOT_SERVING));
        assert_eq!(calm.check("s"), Ok(NOT_SERVING));
        assert_eq!(health(0).check("s"), Ok(NOT_SERVING));
        assert_eq!(health(60).check("s"), Ok(SERVING));
    }
}
