//! The server's parts in one place, and the order in which a request meets them: identity, rights, handler.
//! Must not know any kind.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::future::BoxFuture;
use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use minisvc_store::Store;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::aftermath::Aftermath;
use crate::aggregation::Aggregator;
use crate::authn::StaticToken;
use crate::definitions::Definitions;
use crate::flows::Flows;
use crate::handlers::Lines;
use crate::health::Health;
use crate::identity::{Identity, MASTERS, Peer};
use crate::limits::{Gate, Limits};
use crate::pki::Pki;
use crate::policies::Policies;
use crate::streams::NodeClient;
use crate::webhooks::{Trust, Webhooks};

/// What the server is told at its start.
pub struct Config {
    /// Authority, serving certificate and token key.
    pub pki: Arc<Pki>,
    /// Where nodes and pods reach the server: the endpoint of Service `default/kubernetes`.
    pub fabric: SocketAddr,
    /// The range of ClusterIPs, as the store was opened with.
    pub service_cidr: ipnet::Ipv4Net,
    /// ClusterIP of `default/kubernetes`.
    pub kubernetes_service: IpAddr,
    /// ClusterIP of `kube-system/kube-dns`.
    pub dns_service: IpAddr,
    /// Resolvers for names outside the cluster, as pods reach them; may be empty.
    pub dns_upstreams: Vec<IpAddr>,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// Issuer and audience of service-account tokens.
    pub issuer: String,
    /// Tokens that are configured rather than issued.
    pub tokens: Vec<StaticToken>,
    /// Answer requests for Endpoints with the deprecation warning of Kubernetes 1.33 and later.
    pub endpoints_warning: bool,
    /// Build metadata of the reported version, after `v1.37.0+`.
    pub build: String,
    /// How much strangers may ask for.
    pub limits: Limits,
}

/// The API server. Clones share it.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) inner: Arc<Inner>,
    router: Router,
}

/// What handlers share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    /// What writers leave to be done.
    pub(crate) aftermath: Aftermath,
    /// Ends watches and listeners.
    pub(crate) shutdown: CancellationToken,
    pub(crate) requests: AtomicU64,
    pub(crate) watches: AtomicU64,
    /// Requests at work.
    pub(crate) gate: Gate,
    /// Watch events as they go out, written once for all who ask for the same.
    pub(crate) lines: Lines,
    /// This server as a client of the nodes' own servers.
    pub(crate) node_client: NodeClient,
    /// The kinds that stored definitions add.
    pub(crate) definitions: Definitions,
    /// The admission policies that are bound.
    pub(crate) policies: Policies,
    /// The API services that others answer.
    pub(crate) aggregator: Aggregator,
    /// What requests are sorted by.
    pub(crate) flows: Flows,
    /// The admission webhooks that are configured.
    pub(crate) webhooks: Webhooks,
    /// Whom webhooks' certificates are believed.
    pub(crate) trust: Trust,
    /// How the health checks went.
    pub(crate) health: Health,
}

// === impl Config ===

impl Config {
    /// The lab's defaults around these keys.
    pub fn new(pki: Arc<Pki>) -> Config {
        let cluster_domain = "cluster.local".to_owned();
        Config {
            pki,
            fabric: SocketAddr::from(([172, 30, 0, 2], 6443)),
            service_cidr: minisvc_store::Options::default().service_cidr,
            kubernetes_service: IpAddr::from([10, 96, 0, 1]),
            dns_service: IpAddr::from([10, 96, 0, 10]),
            dns_upstreams: Vec::new(),
            issuer: format!("https://kubernetes.default.svc.{cluster_domain}"),
            cluster_domain,
            tokens: Vec::new(),
            endpoints_warning: false,
            build: "minisvc".into(),
            limits: Limits::default(),
        }
    }
}

// === impl ApiServer ===

impl ApiServer {
    /// A server over `store`. It listens nowhere until told to.
    pub fn new(config: Config, store: Arc<dyn Store>) -> ApiServer {
        let inner = Arc::new(Inner {
            gate: Gate::new(&config.limits),
            lines: Lines::default(),
            config,
            store,
            aftermath: Aftermath::default(),
            shutdown: CancellationToken::new(),
            requests: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            node_client: NodeClient::default(),
            definitions: Definitions::default(),
            policies: Policies::default(),
            flows: Flows::default(),
            webhooks: Webhooks::default(),
            trust: Trust::default(),
            health: Health::default(),
            aggregator: Aggregator::default(),
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        ApiServer { inner, router }
    }

    /// A client of this very process as `user`: requests go to the router without a socket.
    pub fn client<G: Into<String>>(&self, user: &str, groups: impl IntoIterator<Item = G>) -> kube::Client {
        let direct = InProcess { router: self.router.clone(), identity: Identity::new(user, groups) };
        kube::Client::new(direct, "default")
    }

    /// A client of this very process as the server itself.
    pub(crate) fn own_client(&self) -> kube::Client {
        let identity = Identity { is_server: true, ..Identity::new("system:apiserver", [MASTERS]) };
        kube::Client::new(InProcess { router: self.router.clone(), identity }, "default")
    }

    /// Ends watches and makes every listener finish what it is answering and stop.
    pub fn shutdown(&self) {
        self.inner.shutdown.cancel();
    }

    pub(crate) async fn answer(&self, mut request: Request<Body>, peer: Peer) -> Response {
        request.extensions_mut().insert(peer);
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

async fn answer(State(server): State<Arc<Inner>>, request: Request<Body>) -> Response {
    server.requests.fetch_add(1, Ordering::Relaxed);
    crate::dispatch::dispatch(server, request).await
}

/// The router as kube's transport, with the identity put in.
#[derive(Clone)]
struct InProcess {
    router: Router,
    identity: Identity,
}

impl tower::Service<Request<kube::client::Body>> for InProcess {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as tower::Service<Request<Body>>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let mut request = request.map(Body::new);
        // A program's name for the owners of fields, as every client on a socket gives one.
        let name = self.identity.user.rsplit(':').next().unwrap_or_default();
        if let (false, Ok(agent)) = (request.headers().contains_key(USER_AGENT), HeaderValue::from_str(name)) {
            request.headers_mut().insert(USER_AGENT, agent);
        }
        request.extensions_mut().insert(Peer::InProcess(self.identity.clone()));
        Box::pin(tower::Service::call(&mut self.router, request))
    }
}
