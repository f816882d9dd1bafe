//! The node's own server on port 10250, as a kubelet's: logs (one container's, or as files), exec, attach, port-forward,
//! metrics. TLS; the API server is known by the name in its certificate, everybody else needs the rights that `access` asks
//! it for. Requests are routed here; must not know how streams are carried.

mod access;
mod command;
mod files;
mod forward;
mod logs;
mod metrics;
mod query;
mod remote;
mod upgrade;
mod usage;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::api::core::v1::Pod;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::access::User;
pub(crate) use self::metrics::Ends;
use self::query::Query;
pub(crate) use self::usage::Occupant;
use crate::config::ServerKeys;
use crate::logs::folder_name;
use crate::node::Node;
use crate::roster::Resident;
use crate::running::SharedRunning;

/// The kubelet's port.
pub(crate) const PORT: u16 = 10250;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for a request's headers, and for an idle connection.
const HEADERS: Duration = Duration::from_secs(90);

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A refusal: its code and its text, which the API server passes on.
type Refusal = (StatusCode, String);

/// Serves for ever; without keys it waits for ever.
///
/// # Errors
/// When the port is taken or the keys cannot be used.
pub(crate) async fn serve(node: Arc<Node>) -> anyhow::Result<()> {
    let Some(keys) = &node.config.server else { return std::future::pending().await };
    let tls = TlsAcceptor::from(Arc::new(tls(keys).context("set up the node's server")?));
    let address = SocketAddr::from((node.config.node_ip, PORT));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(node.clone(), tls.clone(), stream))),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn tls(keys: &ServerKeys) -> anyhow::Result<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(keys.client_ca_pem.as_bytes())?)?;
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let clients = clients.allow_unauthenticated().build()?;
    let certificate = CertificateDer::from_pem_slice(keys.certificate_pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(keys.key_pem.as_bytes())?;
    Ok(rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)?)
}

async fn connection(node: Arc<Node>, tls: TlsAcceptor, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a client of the node's server is refused"),
        Err(_) => return,
    };
    let user = stream.get_ref().1.peer_certificates().and_then(|chain| User::of_certificate(chain.first()?));
    let service = service_fn(move |request| {
        let (node, user) = (node.clone(), user.clone());
        async move {
            let answer = match access::check(&node, user, &request).await {
                Ok(()) => answer(&node, request).await,
                Err(refusal) => Err(refusal),
            };
            Ok::<_, Infallible>(answer.unwrap_or_else(|(code, text)| self::text(code, text)))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::debug!(%error, "a connection to the node's server ended");
    }
}

async fn answer(node: &Arc<Node>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let streams = [Method::GET, Method::POST].contains(request.method());
    match parts[..] {
        ["healthz"] => Ok(text(StatusCode::OK, "ok".to_owned())),
        ["metrics"] => {
            let ends = node.ends.lock().clone();
            Ok(text(StatusCode::OK, metrics::page(&node.config.node_name, &node.roster.objects(), &ends)))
        }
        ["metrics", "resource"] => {
            let occupants = node.roster.occupants();
            let looking = tokio::task::spawn_blocking(move || usage::page(&usage::processes(), &occupants));
            let page = looking.await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
            Ok(text(StatusCode::OK, page))
        }
        ["pods"] => {
            let list = serde_json::json!({
                "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": node.roster.objects(),
            });
            let mut response = text(StatusCode::OK, list.to_string());
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            Ok(response)
        }
        ["logs", ..] if request.method() == Method::GET => {
            let folder = |pod: &Pod| {
                let of = |text: &Option<String>| text.clone().unwrap_or_default();
                let (namespace, name, uid) =
                    (of(&pod.metadata.namespace), of(&pod.metadata.name), of(&pod.metadata.uid));
                folder_name(&namespace, &name, &uid)
            };
            let folders = node.roster.objects().iter().map(folder).collect();
            files::answer(&node.config.log_dir, folders, path.strip_prefix("/logs/").unwrap_or_default()).await
        }
        ["containerLogs", namespace, pod, container] if request.method() == Method::GET => {
            logs::answer(node, &resident(node, namespace, pod)?, namespace, pod, container, &query).await
        }
        ["exec", namespace, pod, container] if streams => {
            command::exec(running(&resident(node, namespace, pod)?, container)?, &query, request)
        }
        ["attach", namespace, pod, container] if streams => {
            let resident = resident(node, namespace, pod)?;
            let once = crate::context::find_container(&resident.pod(), container)
                .is_some_and(|container| container.stdin_once == Some(true));
            command::attach(running(&resident, container)?, once, &query, request)
        }
        ["portForward", namespace, pod] if streams => {
            forward::answer(&resident(node, namespace, pod)?, namespace, pod, &query, request)
        }
        _ => Err((StatusCode::NOT_FOUND, "404 page not found".to_owned())),
    }
}

fn resident(node: &Node, namespace: &str, pod: &str) -> Result<Resident, Refusal> {
    let found = node.roster.find(namespace, pod);
    found.ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod \"{pod}\" does not exist")))
}

fn running(resident: &Resident, container: &str) -> Result<SharedRunning, Refusal> {
    let found = resident.running(container);
    found.ok_or_else(|| (StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{container}\")")))
}

fn text(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
