//! Listeners given from outside: TLS, unix socket, plain loopback. Limits, handshakes and graceful ends; must not look
//! into requests.

use std::future::Future;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::identity::{Identity, Peer};
use crate::pki;
use crate::server::ApiServer;

/// Connections that one listener serves at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for the headers of a request on HTTP/1; as long as Go's servers keep an idle connection, because the wait for
/// the next request counts as well.
const HEADERS: Duration = Duration::from_secs(90);
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
        let upgrade = move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await.ok()?.ok()?;
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
        let graceful = GracefulShutdown::new();
        // Connections end with their listener: one that lived on would hold the namespace it was accepted in.
        let mut connections = JoinSet::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let shutdown = self.inner.shutdown.clone();
        loop {
            let permit = room.clone().acquire_owned().await;
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
            let (upgraded, server, watcher) = (upgrade(stream), self.clone(), graceful.watcher());
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                let _permit = permit;
                if let Some((stream, peer)) = upgraded.await {
                    server.connection(stream, peer, watcher).await;
                }
            });
        }
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }

    async fn connection<T>(&self, stream: T, peer: Peer, watcher: hyper_util::server::graceful::Watcher)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_headers(128);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(1000)
            .max_header_list_size(64 * 1024)
            .keep_alive_interval(Duration::from_secs(30));
        let service = service_fn(|request: Request<Incoming>| {
            let (server, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(server.answer(request.map(Body::new), peer).await) }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        if let Err(cause) = watcher.watch(connection).await {
            tracing::debug!(%cause, "connection ended");
        }
    }
}
