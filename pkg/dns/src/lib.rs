//! Directory: services and slices to a zone, served by hickory. Knows no kernel.
//!
//! The Kubernetes API is watched, [`zone`] plans records (pure), [`handler`] answers from the zone that is current, and
//! names outside the cluster go to [`upstream`] or are answered empty. Behaviour: Kubernetes DNS specification 1.1.0,
//! with CoreDNS' ports for health, readiness and metrics.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tracing::info;

pub mod counters;
pub mod handler;
pub mod lookup;
pub mod relay;
#[doc(hidden)]
pub mod strangers;
pub mod upstream;
pub mod zone;

mod datagrams;
mod directory;
mod health;
mod short;

use counters::Counters;
use handler::Handler;
use upstream::Upstreams;
use zone::Zone;

/// TCP connections without a query for so long are closed.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// Answers that may wait for a slow TCP client.
const TCP_BACKLOG: usize = 16;

/// Where to listen and what to answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// UDP and TCP address for queries; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Cluster domain without dots at its ends, such as `cluster.local`.
    pub domain: String,
    /// Resolvers for names outside the cluster; without any such names are answered NOERROR and empty.
    pub upstreams: Vec<SocketAddr>,
    /// `/metrics` in Prometheus' text format.
    pub metrics: SocketAddr,
    /// `/health`: the process is alive.
    pub health: SocketAddr,
    /// `/ready`: the zone holds everything that the API listed.
    pub ready: SocketAddr,
}

impl Default for Config {
    /// CoreDNS' ports on every address, `cluster.local`, no upstreams.
    fn default() -> Self {
        let on = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Self {
            listen: on(53),
            domain: "cluster.local".into(),
            upstreams: Vec::new(),
            metrics: on(9153),
            health: on(8080),
            ready: on(8181),
        }
    }
}

/// Addresses separated by commas or blanks; port 53 where none is given.
///
/// # Errors
/// When one is not an address.
pub fn parse_upstreams(text: &str) -> anyhow::Result<Vec<SocketAddr>> {
    text.split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let with_port = part.parse::<SocketAddr>();
            with_port
                .or_else(|_| part.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)))
                .with_context(|| format!("upstream resolver {part:?} is not an address"))
        })
        .collect()
}

/// The zone that queries see; `None` in readiness terms until [`Zone::is_synced`].
pub type SharedZone = Arc<ArcSwap<Zone>>;

/// Serves the cluster's names until `shutdown` completes.
///
/// # Errors
/// When an address cannot be bound, or a socket or watch ends for good.
pub async fn run(config: Config, client: kube::Client, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let zone: SharedZone = Arc::new(ArcSwap::from_pointee(Zone::empty(&config.domain)));
    let counters = Arc::new(Counters::default());
    let mut server = listen(&config, zone.clone(), counters.clone()).await?;
    let address = server.address;
    let endpoints = health::serve(&config, zone.clone(), counters).await?;
    info!(%address, domain = config.domain, upstreams = ?config.upstreams, "DNS answers");
    tokio::select! {
        () = shutdown => {}
        ended = directory::follow(client, zone) => ended.context("follow services, slices and namespaces")?,
        ended = endpoints => ended.context("serve metrics, health and readiness")?,
        ended = server.ended() => ended?,
    }
    server.tcp.shutdown_gracefully().await.context("stop DNS")
}

/// A server that answers until it is dropped.
pub struct Listening {
    /// The address that was bound, for UDP and TCP.
    pub address: SocketAddr,
    tcp: Server<Handler>,
    udp: JoinSet<anyhow::Result<()>>,
}

impl Listening {
    /// Waits for a socket's failure; nothing else ends the server.
    ///
    /// # Errors
    /// That failure.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            ended = self.tcp.block_until_done() => ended.context("serve DNS over TCP"),
            Some(ended) = self.udp.join_next() => ended.context("the task of DNS over UDP")?.context("serve DNS over UDP"),
        }
    }
}

/// Binds UDP and TCP on the same port and answers from `zone`.
///
/// # Errors
/// When an address cannot be bound.
pub async fn listen(config: &Config, zone: SharedZone, counters: Arc<Counters>) -> anyhow::Result<Listening> {
    let tcp = TcpListener::bind(config.listen).await.with_context(|| format!("listen on TCP {}", config.listen))?;
    let address = tcp.local_addr().context("read the address of the TCP listener")?;
    let udp = UdpSocket::bind(address).await.with_context(|| format!("listen on UDP {address}"))?;
    let handler = Handler::new(zone, Upstreams::new(config.upstreams.clone()), counters);
    let mut server = Server::new(handler.clone());
    server.register_listener(tcp, TCP_IDLE, TCP_BACKLOG);
    let mut datagrams = JoinSet::new();
    datagrams.spawn(datagrams::serve(udp, handler));
    Ok(Listening { address, tcp: server, udp: datagrams })
}

#[cfg(test)]
mod tests;
