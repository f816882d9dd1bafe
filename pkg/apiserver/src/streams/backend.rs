//! Connections to places behind this server: TCP, TLS where asked for, HTTP/1.1 on top.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

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
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .dangerous()
            .with_custom_certificate_verifier(anybody(provider))
            .with_no_client_auth();
        Arc::new(config)
    });
    CONFIG.clone()
}

/// A verifier that believes every certificate, but not every signature.
pub(crate) fn anybody(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anybody(provider))
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
