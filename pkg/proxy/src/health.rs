//! The small HTTP answers of a service proxy: whether a service has endpoints on this node (the health check that load
//! balancers ask for policy Local), and whether the proxy itself is well. Texts as kube-proxy's
//! (`pkg/proxy/healthcheck`). Must not decide who is healthy.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use minisvc_kernel::{Netns, listen_tcp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::{planner::Name, service::HealthCheck};

/// The port where kube-proxy tells whether it is well.
const PROXY_HEALTH: u16 = 10_256;
/// The port on loopback where kube-proxy tells its mode.
const PROXY_STATUS: u16 = 10_249;

const HEAD_LIMIT: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer: status line's rest, content type, further header lines, body.
struct Answer {
    status: &'static str,
    content: &'static str,
    more: String,
    body: String,
}

type Handler = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// The listeners of one node.
pub(crate) struct HealthServer {
    namespace: Netns,
    well: Arc<AtomicBool>,
    checks: BTreeMap<Name, Check>,
    own: Vec<JoinHandle<()>>,
}

struct Check {
    port: u16,
    local_endpoints: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl HealthServer {
    /// Opens the proxy's own ports in the namespace.
    pub(crate) fn new(namespace: Netns) -> Self {
        let well = Arc::new(AtomicBool::new(false));
        let mut server = Self { namespace, well: well.clone(), checks: BTreeMap::new(), own: Vec::new() };
        let proxy: Handler = Arc::new(move |path| match path {
            "/healthz" | "/livez" => {
                let (status, yes) = if well.load(Ordering::Relaxed) { ("200 OK", true) } else { UNAVAILABLE };
                let body = format!("{{\"nodeEligible\": true, \"healthy\": {yes}}}");
                Answer { status, content: "application/json", more: String::new(), body }
            }
            _ => not_found(),
        });
        let mode: Handler = Arc::new(|path| match path {
            "/proxyMode" => plain("200 OK", "nftables"),
            "/healthz" => plain("200 OK", "ok"),
            _ => not_found(),
        });
        for (address, handler) in [
            (SocketAddr::from((Ipv4Addr::UNSPECIFIED, PROXY_HEALTH)), proxy),
            (SocketAddr::from((Ipv4Addr::LOCALHOST, PROXY_STATUS)), mode),
        ] {
            let task = server.listen(address, handler);
            server.own.extend(task);
        }
        server
    }

    /// Whether the kernel holds the rules that are meant.
    pub(crate) fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }

    /// Serves exactly these checks from now on.
    pub(crate) fn set_checks(&mut self, wanted: &BTreeMap<Name, HealthCheck>) {
        self.checks.retain(|name, check| {
            let stays = wanted.get(name).is_some_and(|each| each.port == check.port);
            if !stays {
                check.task.abort();
            }
            stays
        });
        for (name, check) in wanted {
            if let Some(known) = self.checks.get(name) {
                known.local_endpoints.store(check.local_endpoints, Ordering::Relaxed);
                continue;
            }
            let count = Arc::new(AtomicUsize::new(check.local_endpoints));
            let (service, well, endpoints) = (name.clone(), self.well.clone(), count.clone());
            let handler: Handler = Arc::new(move |_| {
                service_answer(&service, endpoints.load(Ordering::Relaxed), well.load(Ordering::Relaxed))
            });
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, check.port));
            if let Some(task) = self.listen(address, handler) {
                self.checks.insert(name.clone(), Check { port: check.port, local_endpoints: count, task });
            }
        }
    }

    fn listen(&self, address: SocketAddr, handler: Handler) -> Option<JoinHandle<()>> {
        let listener = listen_tcp(&self.namespace, address).map_err(anyhow::Error::from);
        match listener.and_then(|listener| Ok(TcpListener::from_std(listener)?)) {
            Ok(listener) => Some(tokio::spawn(accept(listener, handler))),
            Err(error) => {
                tracing::warn!("proxy: no health answers on {address}: {error:#}");
                None
            }
        }
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.checks.values().map(|check| &check.task).chain(&self.own).for_each(JoinHandle::abort);
    }
}

const UNAVAILABLE: (&str, bool) = ("503 Service Unavailable", false);

fn plain(status: &'static str, body: &str) -> Answer {
    Answer { status, content: "text/plain; charset=utf-8", more: String::new(), body: body.to_owned() }
}

fn not_found() -> Answer {
    plain("404 Not Found", "404 page not found\n")
}

/// kube-proxy's words for a service's health on this node.
fn service_answer((namespace, name): &Name, count: usize, well: bool) -> Answer {
    let status = if count > 0 && well { "200 OK" } else { UNAVAILABLE.0 };
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\
         \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {well}\n}}"
    );
    let more = format!("X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: {count}\r\n");
    Answer { status, content: "application/json", more, body }
}

async fn accept(listener: TcpListener, handler: Handler) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, &handler)).await;
                });
            }
            Err(error) => {
                tracing::debug!("proxy: accept for a health check: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One request, one answer, then the connection ends.
async fn answer(mut stream: TcpStream, handler: &Handler) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or("/"));
    let path = target.split('?').next().unwrap_or("/");
    let Answer { status, content, more, body } = match method {
        "GET" | "HEAD" => handler(path),
        _ => plain("405 Method Not Allowed", "405 method not allowed\n"),
    };
    let length = body.len();
    let body = if method == "HEAD" { "" } else { &body };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
