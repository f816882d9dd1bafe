//! Port-forward: connections to ports on the loopback of a pod's network, carried over SPDY (plain or inside a WebSocket)
//! or over WebSocket channels.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use minisvc_kernel::{Netns, connect_tcp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::query::Query;
use super::upgrade::{self, Protocol};
use super::{Body, Refusal};
use crate::roster::Resident;
use crate::stream::channels::{Channels, Dialect};
use crate::stream::spdy::{Session, Stream};
use crate::stream::{Inlet, Outlet, tunnel};

/// SPDY inside a WebSocket (KEP-4006).
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Two channels for every port.
const CHANNELS: &str = "v4.channel.k8s.io";
/// SPDY's own.
const PLAIN: &str = "portforward.k8s.io";

/// Streams that wait for their other half at a time.
const UNPAIRED: usize = 1024;
/// Time for the connection inside the pod.
const CONNECT: Duration = Duration::from_secs(10);

/// The pod whose ports are meant.
#[derive(Clone)]
struct Target {
    /// None: the node's own network.
    network: Option<Netns>,
    /// `default/blue`, for messages.
    name: String,
    uid: String,
}

/// `portForward`.
pub(super) fn answer(
    resident: &Resident,
    namespace: &str,
    pod: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let network = resident.shared.as_ref().and_then(|shared| shared.network.lock().clone());
    let Some(network) = network else {
        return Err((StatusCode::INTERNAL_SERVER_ERROR, format!("pod not found (\"{pod}_{namespace}\")")));
    };
    let uid = resident.pod().metadata.uid.clone().unwrap_or_default();
    let target = Target { network, name: format!("{namespace}/{pod}"), uid };
    let ports: Vec<u16> =
        query.all("ports").flat_map(|list| list.split(',')).filter_map(|port| port.parse().ok()).collect();
    let (upgrade, response) = upgrade::agree(request, &[TUNNEL, CHANNELS], &[PLAIN])?;
    tokio::spawn(async move {
        let protocol = upgrade.protocol;
        let Some(io) = upgrade.stream().await else { return };
        match protocol {
            Protocol::WebSocket(TUNNEL) => streams(Session::start(tunnel::open(io)), target).await,
            Protocol::WebSocket(_) => channels(io, &ports, target).await,
            Protocol::Spdy(_) => streams(Session::start(io), target).await,
        }
    });
    Ok(response)
}

/// Pairs every connection's data and error streams by their request, and forwards each pair.
async fn streams(mut session: Session, target: Target) {
    let mut waiting: HashMap<String, Stream> = HashMap::new();
    let mut forwards = JoinSet::new();
    while let Some(stream) = session.accept().await {
        let word = |name: &str| stream.headers.get(name).cloned().unwrap_or_default();
        let (kind, port) = (word("streamtype"), word("port"));
        let request = format!("{}/{port}", word("requestid"));
        let Ok(port @ 1..) = port.parse::<u16>() else {
            let text = format!("unable to parse \"port\" header \"{port}\"");
            let _ = stream.outlet.send(text.as_bytes()).await;
            stream.outlet.finish().await;
            continue;
        };
        let (data, error) = match (kind.as_str(), waiting.remove(&request)) {
            ("data", Some(error)) => (stream, error),
            ("error", Some(data)) => (data, stream),
            (_, None) if waiting.len() < UNPAIRED => {
                waiting.insert(request, stream);
                continue;
            }
            (_, None) => return tracing::debug!("too many streams without their other half"),
            (_, Some(_)) => continue,
        };
        let target = target.clone();
        forwards.spawn(async move {
            let given_up = || data.reset.load(Ordering::Relaxed);
            forward(&target, port, data.inlet, &data.outlet, &error.outlet, given_up).await;
        });
        while forwards.try_join_next().is_some() {}
    }
}

/// Forwards the ports of the query: each has a channel for data and one for errors, both begun with its number.
async fn channels(io: TokioIo<Upgraded>, ports: &[u16], target: Target) {
    let ports = &ports[..ports.len().min(usize::from(u8::MAX / 2))];
    let numbers: Vec<u8> = (0..ports.len() as u8).map(|place| 2 * place).collect();
    let mut channels = Channels::start(io, &numbers, Dialect::default());
    let mut forwards = JoinSet::new();
    for (port, number) in ports.iter().copied().zip(numbers) {
        let (data, error) = (channels.outlet(number), channels.outlet(number + 1));
        let Some(inlet) = channels.inlet(number) else { continue };
        let target = target.clone();
        forwards.spawn(async move {
            for outlet in [&data, &error] {
                if outlet.send(&port.to_le_bytes()).await.is_err() {
                    return;
                }
            }
            forward(&target, port, inlet, &data, &error, || false).await;
        });
    }
    tokio::select! {
        () = channels.connection.gone() => {}
        () = async { while forwards.join_next().await.is_some() {} } => channels.connection.close().await,
    }
}

/// One connection into the pod, from its beginning to both ends.
async fn forward(
    target: &Target,
    port: u16,
    mut inlet: Inlet,
    data: &Outlet,
    error: &Outlet,
    given_up: impl Fn() -> bool,
) {
    let stream = match connect(target, port).await {
        Ok(stream) => stream,
        Err(text) => {
            let text = format!("error forwarding port {port} to pod {}, uid {} : {text}", target.name, target.uid);
            let _ = error.send(text.as_bytes()).await;
            error.finish().await;
            data.finish().await;
            return;
        }
    };
    let (mut from, mut to) = stream.into_split();
    let inwards = async {
        while let Some(bytes) = inlet.next().await {
            if to.write_all(&bytes).await.is_err() {
                return false;
            }
        }
        let _ = to.shutdown().await;
        given_up()
    };
    let outwards = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if data.send(&buffer[..read]).await.is_err() {
                break;
            }
        }
        data.finish().await;
    };
    let mut outwards = std::pin::pin!(outwards);
    tokio::select! {
        // The pod has said all; what the client still says is of no use.
        () = &mut outwards => {}
        given_up = inwards => if !given_up { outwards.await },
    }
    error.finish().await;
}

async fn connect(target: &Target, port: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |why: &dyn std::fmt::Display| format!("failed to connect to localhost:{port} inside the pod: {why}");
    let Some(network) = target.network.clone() else {
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await;
        return stream.map_err(|_| failed(&"no answer"))?.map_err(|error| failed(&error));
    };
    let connecting = tokio::task::spawn_blocking(move || connect_tcp(&network, address, CONNECT));
    let stream = connecting.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).map_err(|error| failed(&error))
}
