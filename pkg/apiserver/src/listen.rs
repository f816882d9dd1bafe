//! Listeners given from outside: TLS, unix socket, plain loopback. Limits, handshakes and graceful ends; must not look
//! into requests.

use std::future::Future;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::at_work::Counted;
use crate::identity::{Identity, Peer};
use crate::patience::{Patient, Unhurried};
use crate::pki;
use crate::server::ApiServer;
use crate::streams::Lasting;

/// Bytes of a request's line and headers on HTTP/1, and of what is buffered for a slow reader.
const HEADER_BYTES: usize = 128 << 10;
/// Bytes of a request's headers on HTTP/2.
const HEADER_LIST: u32 = 64 << 10;
/// Bytes buffered for a slow reader of an HTTP/2 stream.
const SEND_BYTES: usize = 64 << 10;
/// How often a connection is looked at for whether anything is at work on it.
const IDLE: Duration = Duration::from_secs(60);
/// How long answers may still take after [`ApiServer::shutdown`].
const DRAIN: Duration = Duration::from_secs(5);

/// Why a listener ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket could not be used.
    #[error("listen on {socket}: {cause}")]
    Socket {
        /// Its address.
        socket: String,
        /// Why.
        cause: std::io::Error,
    },
    /// The keys could not be used.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
}

impl ApiServer {
    /// Serves HTTPS (HTTP/2 and 1.1) on a bound, listening socket until [`ApiServer::shutdown`]. May be called again
    /// at any time for a further socket.
    pub async fn serve_tls(&self, listener: StdTcpListener) -> Result<(), ServeError> {
        let socket = listener.local_addr().map_or_else(|_| "tcp".into(), |address| address.to_string());
        let failed = |cause| ServeError::Socket { socket: socket.clone(), cause };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let acceptor = TlsAcceptor::from(self.inner.config.pki.server_config()?);
        let accept = || async {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            Ok(stream)
        };
        let handshake = self.inner.config.limits.handshake;
        let upgrade = move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let stream = tokio::time::timeout(handshake, acceptor.accept(stream)).await.ok()?.ok()?;
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let peer = match certificate.and_then(|der| pki::subject(der)) {
                    Some((user, groups)) => Peer::Certificate(Identity::new(user, groups)),
                    None => Peer::Unknown,
                };
                Some((stream, peer))
            }
        };
        self.accept_loop(accept, upgrade).await;
        Ok(())
    }

    /// Serves plain HTTP on a unix socket. Peers of this process' own user, or root, are administrators.
    pub async fn serve_unix(&self, listener: StdUnixListener) -> Result<(), ServeError> {
        let failed = |cause| ServeError::Socket { socket: "unix socket".into(), cause };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let own = std::fs::metadata("/proc/self").map_err(failed)?.uid();
        let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
        let upgrade = move |stream: tokio::net::UnixStream| async move {
            let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
            let peer = if uid == Some(own) || uid == Some(0) { Peer::Owner } else { Peer::Unknown };
            Some((stream, peer))
        };
        self.accept_loop(accept, upgrade).await;
        Ok(())
    }

    /// Serves plain HTTP for the dashboard on a loopback socket: its files are public, the API needs a bearer token.
    pub async fn serve_plain(&self, listener: StdTcpListener) -> Result<(), ServeError> {
        let socket = listener.local_addr().map_or_else(|_| "tcp".into(), |address| address.to_string());
        let failed = |cause| ServeError::Socket { socket: socket.clone(), cause };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let accept = || async {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            Ok(stream)
        };
        self.accept_loop(accept, |stream| async { Some((stream, Peer::Dashboard)) }).await;
        Ok(())
    }

    async fn accept_loop<A, S, U, T>(&self, mut accept: impl FnMut() -> A, upgrade: impl Fn(S) -> U)
    where
        A: Future<Output = std::io::Result<S>>,
        U: Future<Output = Option<(T, Peer)>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Connections end with their listener: one that lived on would hold the namespace it was accepted in.
        let mut connections = JoinSet::new();
        let room = Arc::new(Semaphore::new(self.inner.config.limits.connections));
        let shutdown = self.inner.shutdown.clone();
        loop {
            let permit = tokio::select! {
                permit = room.clone().acquire_owned() => permit,
                () = shutdown.cancelled() => break,
            };
            let accepted = tokio::select! {
                accepted = accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(cause) => {
                    tracing::warn!(%cause, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (upgraded, server) = (upgrade(stream), self.clone());
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                let _permit = permit;
                if let Some((stream, peer)) = upgraded.await {
                    server.connection(stream, peer).await;
                }
            });
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, drained).await;
    }

    async fn connection<T>(&self, stream: T, peer: Peer)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.inner.config.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.headers)
            .max_headers(128)
            .max_buf_size(HEADER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(HEADER_LIST)
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(4 << 20)
            .max_send_buf_size(SEND_BYTES)
            .keep_alive_interval(Duration::from_secs(30));
        let (unhurried, at_work) = (Unhurried::default(), Arc::new(AtomicUsize::new(0)));
        let service = service_fn(|request: Request<Incoming>| {
            let (server, peer) = (self.clone(), peer.clone());
            let (unhurried, counted) = (unhurried.clone(), Counted::new(at_work.clone()));
            async move {
                let alone = request.version() < Version::HTTP_2;
                let response = server.answer(request.map(Body::new), peer).await;
                // HTTP/2 stops a stream, not the connection, for a reader that pauses.
                unhurried.set(alone && response.extensions().get::<Lasting>().is_some());
                let (parts, body) = response.into_parts();
                let response = Response::from_parts(parts, Body::new(counted.around(body)));
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let stream = Patient::new(stream, limits.headers, limits.stall, unhurried.clone());
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut look = tokio::time::interval_at(Instant::now() + IDLE, IDLE);
        let (mut idle, mut ending) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(cause) = ended {
                        tracing::debug!(%cause, "connection ended");
                    }
                    return;
                }
                () = self.inner.shutdown.cancelled(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick(), if !ending => {
                    // Twice in a row without a request: nobody needs it. HTTP/1 is cut by its header timer before.
                    let now_idle = at_work.load(Ordering::Relaxed) == 0;
                    if idle && now_idle {
                        ending = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    idle = now_idle;
                }
            }
        }
    }
}
