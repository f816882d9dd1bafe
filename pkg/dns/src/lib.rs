//! Directory: services and slices to a zone, served by hickory. Knows no kernel.
//!
//! The Kubernetes API is watched, [`zone`] plans records (pure), [`handler`] answers from the zone that is current, and
//! names outside the cluster go to [`upstream`] or are answered empty; a [`corefile`] says otherwise where there is one. Behaviour: Kubernetes DNS specification 1.1.0,
//! with CoreDNS' ports for health, readiness and metrics.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tracing::info;

pub mod corefile;
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
mod hosts;
mod short;

use corefile::{Block, Corefile};
use counters::Counters;
use handler::Handler;
use zone::Zone;

/// TCP connections without a query for so long are closed.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// Answers that may wait for a slow TCP client.
const TCP_BACKLOG: usize = 16;

/// Where to listen and what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// UDP and TCP address for queries; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What is answered, and where `/health` (the process is alive), `/ready` (the zone holds everything that the API
    /// listed) and `/metrics` (Prometheus' text format) are.
    pub corefile: Corefile,
    /// The file that it was read from, which is read again as its `reload` says.
    pub path: Option<PathBuf>,
}

impl Config {
    /// Answers as a Corefile says, on every address; `path` is where it was read from.
    pub fn new(corefile: Corefile, path: Option<PathBuf>) -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, corefile.port)), corefile, path }
    }
}

impl Corefile {
    /// The cluster's own DNS for a domain such as `cluster.local`, with CoreDNS' ports: resolvers for all other names;
    /// without any such names are answered NOERROR and empty.
    pub fn cluster(domain: &str, upstreams: Vec<SocketAddr>) -> Self {
        let on = |port| Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        let forward = if upstreams.is_empty() { Vec::new() } else { vec![(String::new(), upstreams)] };
        let block = Block {
            zones: vec![String::new()],
            kubernetes: Some(domain.trim_matches('.').to_ascii_lowercase()),
            forward,
            ..Block::default()
        };
        Self { blocks: vec![block], port: 53, health: on(8080), ready: on(8181), metrics: on(9153), reload: None }
    }
}

/// Reads a Corefile with the files that it names.
///
/// # Errors
/// When it cannot be read, or something in it cannot be honoured.
pub fn read_corefile(path: &Path) -> anyhow::Result<Corefile> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
    Corefile::parse(&text, &|path| std::fs::read_to_string(path)).context(shown)
}

/// Reads the Corefile again and again, and answers by the newest that can be honoured.
async fn reload(config: &Config, handler: Handler) -> anyhow::Result<()> {
    let (Some(path), Some(mut every)) = (&config.path, config.corefile.reload) else {
        return std::future::pending().await;
    };
    let (mut current, mut trouble) = (config.corefile.clone(), String::new());
    loop {
        tokio::time::sleep(every).await;
        let new = match read_corefile(path) {
            Ok(new) if new == current => continue,
            Ok(new) if current.can_become(&new) => new,
            other => {
                let told = match other {
                    Ok(_) => "other ports or another domain need a restart".to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                if told != trouble {
                    tracing::error!("the Corefile as it was stays: {told}");
                    trouble = told;
                }
                continue;
            }
        };
        info!("the Corefile is read again");
        every = new.reload.unwrap_or(every);
        current = new.clone();
        handler.set(new);
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

/// Answers until `shutdown` completes. The client follows services, where some block answers for the cluster's domain; it is
/// made only then.
///
/// # Errors
/// When an address cannot be bound, there is no client, or a socket or watch ends for good.
pub async fn run(
    config: Config,
    client: impl FnOnce() -> anyhow::Result<kube::Client>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let domain = config.corefile.domain().map(str::to_owned);
    let mut empty = Zone::empty(domain.as_deref().unwrap_or_default());
    if domain.is_none() {
        empty.set_synced();
    }
    let zone: SharedZone = Arc::new(ArcSwap::from_pointee(empty));
    let client = domain.is_some().then(client).transpose()?;
    let counters = Arc::new(Counters::default());
    let mut server = listen(&config, zone.clone(), counters.clone()).await?;
    let address = server.address;
    let endpoints = health::serve(&config.corefile, zone.clone(), counters).await?;
    info!(%address, domain, blocks = config.corefile.blocks.len(), "DNS answers");
    let follow = async {
        match client {
            Some(client) => directory::follow(client, zone).await,
            None => std::future::pending().await,
        }
    };
    let reloading = reload(&config, server.handler.clone());
    tokio::select! {
        () = shutdown => {}
        ended = reloading => ended.context("read the Corefile again")?,
        ended = follow => ended.context("follow services, slices and namespaces")?,
        ended = endpoints => ended.context("serve metrics, health and readiness")?,
        ended = server.ended() => ended?,
    }
    server.tcp.shutdown_gracefully().await.context("stop DNS")
}

/// A server that answers until it is dropped.
pub struct Listening {
    /// The address that was bound, for UDP and TCP.
    pub address: SocketAddr,
    handler: Handler,
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
    let handler = Handler::new(zone, config.corefile.clone(), counters);
    let mut server = Server::new(handler.clone());
    server.register_listener(tcp, TCP_IDLE, TCP_BACKLOG);
    let mut datagrams = JoinSet::new();
    datagrams.spawn(datagrams::serve(udp, handler.clone()));
    Ok(Listening { address, handler, tcp: server, udp: datagrams })
}

#[cfg(test)]
mod tests;
