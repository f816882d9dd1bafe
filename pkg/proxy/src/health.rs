//! The small HTTP answers of a service proxy: whether a service has endpoints on this node (the health check that load
//! balancers ask for policy Local), and whether the proxy itself is well. Texts as kube-proxy's
//! (`pkg/proxy/healthcheck`). Must not decide who is healthy.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
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

/// How the proxy is.
#[derive(Clone, Copy, Default)]
struct State {
    /// Whether the kernel holds the rules that are meant.
    well: bool,
    /// When it last was made so.
    updated: Option<Timestamp>,
    /// Whether the node is there to stay.
    eligible: bool,
}

/// A cluster autoscaler is about to remove the node (kube-proxy `healthcheck.ToBeDeletedTaint`).
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Whether load balancers should go on with the node: it is not being deleted, by no autoscaler either (KEP-3836).
pub(crate) fn eligible(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    node.metadata.deletion_timestamp.is_none() && taints.iter().all(|taint| taint.key != TO_BE_DELETED)
}

/// The listeners of one node.
pub(crate) struct HealthServer {
    namespace: Netns,
    state: Arc<Mutex<State>>,
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
        let state = Arc::new(Mutex::new(State::default()));
        let mut server = Self { namespace, state: state.clone(), checks: BTreeMap::new(), own: Vec::new() };
        let now = move || (*state.lock().unwrap_or_else(PoisonError::into_inner), Timestamp::now());
        let proxy: Handler = Arc::new(move |path| match path {
            "/healthz" => proxy_answer(now(), true),
            "/livez" => proxy_answer(now(), false),
            _ => not_found(),
        });
        let mode: Handler = Arc::new(|path| match path {
            "/proxyMode" => plain(WELL, "nftables"),
            "/healthz" => plain(WELL, "ok"),
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the kernel holds the rules that are meant.
    pub(crate) fn set_well(&self, well: bool) {
        let mut state = self.state();
        state.well = well;
        if well {
            state.updated = Some(Timestamp::now());
        }
    }

    /// Whether the node is there to stay ([`eligible`]).
    pub(crate) fn set_eligible(&self, eligible: bool) {
        self.state().eligible = eligible;
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
            let (service, state, endpoints) = (name.clone(), self.state.clone(), count.clone());
            let handler: Handler = Arc::new(move |_| {
                let well = state.lock().unwrap_or_else(PoisonError::into_inner).well;
                service_answer(&service, endpoints.load(Ordering::Relaxed), well)
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

const WELL: &str = "200 OK";
const UNAVAILABLE: &str = "503 Service Unavailable";
const NO_SNIFF: &str = "X-Content-Type-Options: nosniff\r\n";

/// kube-proxy's words for its own health (`healthcheck.ProxyHealth`): `/healthz` asks for the node too, `/livez` does not.
/// One that is well says that it was updated just now.
fn proxy_answer((state, now): (State, Timestamp), ask_node: bool) -> Answer {
    let well = state.well && (state.eligible || !ask_node);
    let never = || "0001-01-01T00:00:00Z".to_owned();
    let at = |time: Option<Timestamp>| time.map_or_else(never, |time| time.to_string());
    let node = if ask_node { format!(",\"nodeEligible\":{}", state.eligible) } else { String::new() };
    let (healthy, rules) = (state.well, at(state.updated));
    let last = if well { now.to_string() } else { rules.clone() };
    let body = format!(
        "{{\"lastUpdated\":\"{last}\",\"currentTime\":\"{now}\"{node},\"healthy\":{healthy},\
         \"status\":{{\"IPv4\":{{\"lastUpdated\":\"{rules}\",\"healthy\":{healthy}}}}}}}"
    );
    Answer { status: if well { WELL } else { UNAVAILABLE }, content: "application/json", more: NO_SNIFF.into(), body }
}

fn plain(status: &'static str, body: &str) -> Answer {
    Answer { status, content: "text/plain; charset=utf-8", more: String::new(), body: body.to_owned() }
}

fn not_found() -> Answer {
    plain("404 Not Found", "404 page not found\n")
}

/// kube-proxy's words for a service's health on this node.
fn service_answer((namespace, name): &Name, count: usize, well: bool) -> Answer {
    let status = if count > 0 && well { WELL } else { UNAVAILABLE };
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\
         \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {well}\n}}"
    );
    let more = format!("{NO_SNIFF}X-Load-Balancing-Endpoint-Weight: {count}\r\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &Answer) -> serde_json::Value {
        serde_json::from_str(&answer.body).expect("JSON")
    }

    #[test]
    fn the_proxy_tells_its_health_in_kube_proxys_words() {
        let (then, now): (Timestamp, Timestamp) =
            ("2026-01-02T03:04:05Z".parse().unwrap(), "2026-01-02T03:05:00Z".parse().unwrap());
        let mut state = State { well: true, updated: Some(then), eligible: true };
        let answer = proxy_answer((state, now), true);
        assert_eq!(answer.status, "200 OK");
        let status = serde_json::json!({ "IPv4": { "lastUpdated": "2026-01-02T03:04:05Z", "healthy": true } });
        assert_eq!(
            body(&answer),
            serde_json::json!({ "lastUpdated": "2026-01-02T03:05:00Z", "currentTime": "2026-01-02T03:05:00Z",
                                "nodeEligible": true, "healthy": true, "status": status })
        );
        // A node that goes away is alive, but no target any more.
        state.eligible = false;
        let answer = proxy_answer((state, now), true);
        assert_eq!((answer.status, body(&answer)["nodeEligible"].as_bool()), (UNAVAILABLE, Some(false)));
        assert_eq!(body(&answer)["lastUpdated"], "2026-01-02T03:04:05Z");
        let answer = proxy_answer((state, now), false);
        assert_eq!((answer.status, body(&answer).get("nodeEligible")), ("200 OK", None));
        let answer = proxy_answer((State::default(), now), false);
        assert_eq!((answer.status, body(&answer)["healthy"].as_bool()), (UNAVAILABLE, Some(false)));
    }

    #[test]
    fn a_node_that_is_to_be_deleted_is_not_eligible() {
        let node = |value| serde_json::from_value::<Node>(value).expect("a node");
        assert!(eligible(&node(serde_json::json!({ "spec": { "taints": [{ "key": "a", "effect": "NoSchedule" }] } }))));
        let taints = serde_json::json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]);
        assert!(!eligible(&node(serde_json::json!({ "spec": { "taints": taints } }))));
        let metadata = serde_json::json!({ "deletionTimestamp": "2026-01-02T03:04:05Z" });
        assert!(!eligible(&node(serde_json::json!({ "metadata": metadata }))));
    }
}
