//! The HTTP/1 server under the built-in web programs: one thread, one task per connection, keep-alive, HTTP/1.0, HEAD,
//! pipelining, TLS. Knows nothing of what is served.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a site answers.
pub(crate) type Answer = Response<Full<Bytes>>;

/// How a program ends at SIGTERM, SIGINT or SIGQUIT.
#[derive(Clone, Copy)]
pub(crate) enum AtSignal {
    /// Ends with this code.
    Exit(u8),
    /// As a program without handlers: the signal kills it. PID 1 has no default actions, so there it ends with this
    /// code instead (what Go's runtime does, with 2).
    DieOrExit(u8),
}

/// A program that serves one site.
pub(crate) struct Server<F> {
    pub(crate) port: u16,
    pub(crate) at_signal: AtSignal,
    /// Called once the port is bound.
    pub(crate) started: fn(u16),
    /// Says in the program's own words why it cannot listen.
    pub(crate) cannot_listen: fn(u16, &io::Error),
    /// Called with each request and its peer; an IPv4 peer is given as such also over the dual-stack socket.
    pub(crate) answer: F,
}

impl<F> Server<F>
where
    F: Fn(&Request<Incoming>, SocketAddr) -> Answer + 'static,
{
    /// Serves until a signal ends it. Answers 1 where the port cannot be bound.
    pub(crate) fn run(self) -> ExitCode {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() else {
            return ExitCode::FAILURE;
        };
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let listener = match listen(self.port) {
                Ok(listener) => listener,
                Err(error) => {
                    (self.cannot_listen)(self.port, &error);
                    return ExitCode::FAILURE;
                }
            };
            let ended = match self.at_signal {
                AtSignal::Exit(code) => Some((code, ends())),
                AtSignal::DieOrExit(code) if std::process::id() == 1 => Some((code, ends())),
                AtSignal::DieOrExit(_) => None,
            };
            (self.started)(self.port);
            // The sender is kept, so nothing stops the serving but a signal.
            let (_never, stop) = watch::channel(false);
            let answer = self.answer;
            let answer = move |request: Request<Incoming>, peer| std::future::ready(answer(&request, peer));
            let serving = accept(listener, None, stop, Rc::new(answer));
            match ended {
                None => {
                    serving.await;
                    ExitCode::FAILURE
                }
                Some((code, Ok(ended))) => tokio::select! {
                    () = serving => ExitCode::FAILURE,
                    () = any(ended) => ExitCode::from(code),
                },
                Some((_, Err(error))) => {
                    eprintln!("cannot listen for signals: {error}");
                    ExitCode::FAILURE
                }
            }
        })
    }
}

/// Runs `work` on one thread until SIGTERM, SIGINT or SIGQUIT; then ends with 0. Work that ends by itself is a failure.
pub(crate) fn until_terminated(work: impl Future<Output = ()>) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        match ends() {
            Ok(ended) => tokio::select! { () = work => ExitCode::FAILURE, () = any(ended) => ExitCode::SUCCESS },
            Err(error) => {
                eprintln!("cannot listen for signals: {error}");
                ExitCode::FAILURE
            }
        }
    })
}

fn ends() -> io::Result<[Signal; 3]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::quit())?])
}

async fn any([mut a, mut b, mut c]: [Signal; 3]) {
    tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
}

/// Listens on all addresses of both families, or of IPv4 alone where the kernel has no IPv6.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let open = |socket: TcpSocket, address: SocketAddr| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(4096)
    };
    match TcpSocket::new_v6() {
        Ok(socket) => match open(socket, (Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                open(TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into())
            }
            outcome => outcome,
        },
        Err(_) => open(TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into()),
    }
}

/// Serves what comes in at `listener`, over TLS where `tls` is given, until `stop` turns true; then lets the connections
/// that are busy finish and closes the idle ones.
pub(crate) async fn accept<F, A>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
    answer: Rc<F>,
) where
    F: Fn(Request<Incoming>, SocketAddr) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            Ok(_) = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // Out of file descriptors or memory: connections wait in the backlog meanwhile.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (answer, tls, stop) = (answer.clone(), tls.clone(), stop.clone());
        connections.spawn_local(async move {
            match tls {
                None => converse(stream, peer, stop, answer).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, peer, stop, answer).await,
                    Ok(Err(error)) => eprintln!("http: TLS handshake error from {peer}: {error}"),
                    Err(_) => eprintln!("http: TLS handshake error from {peer}: i/o timeout"),
                },
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse<S, F, A>(stream: S, peer: SocketAddr, mut stop: watch::Receiver<bool>, answer: Rc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>, SocketAddr) -> A,
    A: Future<Output = Answer>,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    // Without pipeline_flush: it would keep back the 400 that answers what is no HTTP, which `nc` waits for.
    http.title_case_headers(true).half_close(true).max_buf_size(64 * 1024);
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = answer(request, peer);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // A client that breaks off is its own business.
    tokio::select! {
        _ = connection.as_mut() => return,
        Ok(_) = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
