//! Connections to places behind this server: TCP, TLS where asked for, HTTP/1.1 on top.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::belief::Belief;

/// Time for a connection to stand.
const CONNECT: Duration = Duration::from_secs(5);

/// A place that cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("dial tcp {0}: connect: {reason}", reason = reason(.1))]
    Connect(SocketAddr, std::io::Error),
    #[error("dial tcp {0}: i/o timeout")]
    Timeout(SocketAddr),
    #[error("tls handshake with {0}: {1}")]
    Tls(SocketAddr, std::io::Error),
    #[error("http with {0}: {1}")]
    Http(SocketAddr, hyper::Error),
}

/// The system's reason without its number, as Go prints it.
fn reason(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Connects; with `tls` by that configuration, the certificate being for the address.
pub(super) async fn connect(
    address: IpAddr,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
) -> Result<SendRequest<Body>, Unreachable> {
    establish(address, port, tls.map(|tls| (tls, ServerName::IpAddress(address.into())))).await
}

/// Connects over TLS to who shows a certificate for `name`.
pub(crate) async fn connect_as(
    address: IpAddr,
    port: u16,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<SendRequest<Body>, Unreachable> {
    establish(address, port, Some((tls, name))).await
}

async fn establish(
    address: IpAddr,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
) -> Result<SendRequest<Body>, Unreachable> {
    let address = SocketAddr::from((address, port));
    let connecting = async {
        let stream = TcpStream::connect(address).await.map_err(|cause| Unreachable::Connect(address, cause))?;
        let _ = stream.set_nodelay(true);
        let Some((tls, name)) = tls else { return http(address, stream).await };
        let connector = tokio_rustls::TlsConnector::from(tls);
        let stream = connector.connect(name, stream).await;
        http(address, stream.map_err(|cause| Unreachable::Tls(address, cause))?).await
    };
    tokio::time::timeout(CONNECT, connecting).await.map_err(|_| Unreachable::Timeout(address))?
}

async fn http<S>(address: SocketAddr, stream: S) -> Result<SendRequest<Body>, Unreachable>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|cause| Unreachable::Http(address, cause))?;
    tokio::spawn(async move {
        if let Err(cause) = connection.with_upgrades().await {
            tracing::debug!(%cause, "a connection behind this server ended");
        }
    });
    Ok(sender)
}

/// TLS to pods, whose certificates nobody here can judge: any will do, as in Kubernetes' proxy.
pub(super) fn any_certificate() -> Arc<ClientConfig> {
    static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let builder = Belief::anybody().client().expect("the provider knows the default versions");
        Arc::new(builder.with_no_client_auth())
    });
    CONFIG.clone()
}
