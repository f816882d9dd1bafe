//! `minisvc serve`: the control plane, put together. Store, API server, controllers and listeners in one visible order;
//! a part that ends ends the process with its name.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use minisvc_apiserver::{ApiServer, Config, Limits, StaticToken, VIEWERS};
use minisvc_kernel::{Netns, PidFd, listen_tcp};
use minisvc_lab::access;
use minisvc_lab::edge_note::EdgeNote;
use minisvc_lab::places::Places;
use minisvc_lab::settings::Settings;
use minisvc_store::{Options, SledStore};

/// Bytes of a worker's stack: bodies nest up to 128 deep, and unoptimised the YAML decoder takes 25 kB for each level.
const STACK: usize = 8 << 20;

pub(super) fn run(places: &Places, restore_export: bool) -> Result<ExitCode> {
    crate::logging::start();
    let settings = Settings::load(places)?.context("serve is started by `minisvc up`")?;
    // A watcher is an open file; the usual thousand is soon used up.
    let files = minisvc_kernel::raise_file_limit()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_stack_size(STACK).enable_all().build()?;
    runtime.block_on(serve(places, &settings, restore_export, files))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(places: &Places, settings: &Settings, restore_export: bool, files: u64) -> Result<()> {
    let options = Options {
        service_cidr: settings.service_cidr,
        node_port_range: settings.node_ports.0..=settings.node_ports.1,
        restore_lossy: restore_export,
        ..Options::default()
    };
    let store = Arc::new(SledStore::open(&places.store(), options)?);
    let pki = Arc::new(access::load(places, settings)?);
    let ca = pki.ca_pem().to_owned();
    let page_token = std::fs::read_to_string(places.page_token()).context("read the page's token")?;
    let config = Config {
        fabric: settings.fabric_api(),
        service_cidr: settings.service_cidr.trunc(),
        kubernetes_service: IpAddr::V4(settings.kubernetes_ip()),
        dns_service: IpAddr::V4(settings.dns_ip()),
        dns_upstreams: (!settings.upstreams.is_empty())
            .then(|| IpAddr::V4(settings.machine_ip()))
            .into_iter()
            .collect(),
        cluster_domain: settings.cluster_domain.clone(),
        issuer: format!("https://kubernetes.default.svc.{}", settings.cluster_domain),
        tokens: vec![page_viewer(page_token.trim())],
        endpoints_warning: settings.deprecation_warnings,
        limits: limits(files),
        ..Config::new(pki)
    };
    let api = ApiServer::new(config, store.clone());
    api.bootstrap().await.context("make what must exist")?;

    let control = minisvc_control::Config {
        root_ca: ca,
        pod_cidr: settings.pod_cidr,
        volumes: places.volumes(),
        ..Default::default()
    };
    let client = api.client("system:kube-controller-manager", ["system:masters"]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let until_stopped = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let controllers = minisvc_control::run(control, client, until_stopped(stopped.clone()));
    let local = api.serve_tls(TcpListener::bind(settings.api).with_context(|| format!("listen on {}", settings.api))?);
    let page =
        api.serve_plain(TcpListener::bind(settings.page).with_context(|| format!("listen on {}", settings.page))?);
    let socket = api.serve_unix(unix_listener(places)?);
    let fabric = serve_fabric(&api, places, settings);
    let relay = relay_names(settings);
    tracing::info!("serving on https://{}", settings.api);
    let outcome = tokio::select! {
        ended = controllers => ended.and_then(|()| ended_early("controllers")),
        ended = local => ended.map_err(Into::into).and_then(|()| ended_early("the API's listener")),
        ended = page => ended.map_err(Into::into).and_then(|()| ended_early("the page's listener")),
        ended = socket => ended.map_err(Into::into).and_then(|()| ended_early("the API's socket")),
        ended = fabric => ended,
        ended = relay => ended,
        asked = super::asked_to_stop() => asked,
    };
    let _ = stop.send(true);
    api.shutdown();
    let closed = store.close().await.context("close the store");
    outcome.and(closed)
}

/// Four listeners share the files that this process may open, and leave some for the store and the nodes.
fn limits(files: u64) -> Limits {
    let all = Limits::default();
    let connections = usize::try_from(files / 5).map_or(all.connections, |share| share.clamp(16, all.connections));
    Limits { connections, ..all }
}

/// The live page's user: may read everything but Secrets.
fn page_viewer(token: &str) -> StaticToken {
    StaticToken { token: token.to_owned(), user: "minisvc:page".to_owned(), groups: vec![VIEWERS.to_owned()] }
}

fn ended_early(part: &str) -> Result<()> {
    bail!("{part} ended by itself")
}

/// The socket for its owner only, whatever an earlier process left there.
fn unix_listener(places: &Places) -> Result<UnixListener> {
    let path = places.api_socket();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).context("protect the API's socket")?;
    Ok(listener)
}

/// Serves the API's address on the fabric, in the edge's namespace; begins anew with every new edge.
async fn serve_fabric(api: &ApiServer, places: &Places, settings: &Settings) -> Result<()> {
    loop {
        if let Some((edge, listener)) = fabric_listener(places, settings) {
            tokio::select! {
                ended = api.serve_tls(listener) => { ended?; return ended_early("the fabric's listener"); }
                _ = edge.wait_exit() => tracing::warn!("the edge has ended; waiting for the next"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Relays outside names to the machine's resolvers, at the machine's end of the lab's link; waits for the link. Where the
/// port is taken the lab goes on without: outside names are then not answered, and the log says why.
async fn relay_names(settings: &Settings) -> Result<()> {
    let here = SocketAddr::from((settings.machine_ip(), 53));
    let resolvers: Vec<SocketAddr> = settings.upstreams.iter().map(|address| (*address, 53).into()).collect();
    while !resolvers.is_empty() {
        match (tokio::net::UdpSocket::bind(here).await, tokio::net::TcpListener::bind(here).await) {
            (Ok(udp), Ok(tcp)) => {
                minisvc_dns::relay::relay(udp, tcp, resolvers.clone())
                    .await
                    .context("relay to the machine's resolvers")?;
            }
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::AddrInUse => {
                tracing::warn!("no relay for names outside the cluster: {here}: {error}");
                break;
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    std::future::pending().await
}

fn fabric_listener(places: &Places, settings: &Settings) -> Option<(PidFd, TcpListener)> {
    let note = EdgeNote::of_living(places)?;
    let edge = PidFd::open(note.pid).ok()?;
    let namespace = Netns::of_process(note.pid).ok()?;
    match listen_tcp(&namespace, settings.fabric_api()) {
        Ok(listener) => Some((edge, listener)),
        Err(error) => {
            tracing::debug!("{error}");
            None
        }
    }
}
