//! The HTTP/1 server under the built-in web programs: one thread, one task per connection, keep-alive, HTTP/1.0, HEAD,
//! pipelining. Knows nothing of what is served.

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
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};

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
            let serving = accept(listener, Rc::new(self.answer));
            match ended {
                None => serving.await,
                Some((code, Ok(ended))) => tokio::select! {
                    code_of_serving = serving => code_of_serving,
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

fn ends() -> io::Result<[Signal; 3]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::quit())?])
}

async fn any([mut a, mut b, mut c]: [Signal; 3]) {
    tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
}

/// Listens on all addresses of both families, or of IPv4 alone where the kernel has no IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
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

async fn accept<F>(listener: TcpListener, answer: Rc<F>) -> ExitCode
where
    F: Fn(&Request<Incoming>, SocketAddr) -> Answer + 'static,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.title_case_headers(true).half_close(true).pipeline_flush(true).max_buf_size(64 * 1024);
    loop {
        let (stream, peer) = match listener.accept().await {
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
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answered = answer(&request, peer);
            async move { Ok::<_, Infallible>(answered) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::task::spawn_local(async move {
            // A client that breaks off is its own business.
            let _ = connection.await;
        });
    }
}
