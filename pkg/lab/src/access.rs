//! Keys for the lab's own parts: writes one kubeconfig for each of them, and makes clients from those files.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::USER_AGENT;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use minisvc_apiserver::pki::{self, Pki, ServingNames};
use tower::{BoxError, ServiceBuilder};

use crate::kubeconfig::Access;
use crate::places::Places;
use crate::private;
use crate::settings::Settings;

/// Loads or makes the certificate authority and a kubeconfig for `admin`, `edge` and every node. Keys that exist stay.
///
/// # Errors
/// When the key folder cannot be read or written.
pub fn prepare(places: &Places, settings: &Settings) -> Result<Pki> {
    let pki = load(places, settings)?;
    let fabric = format!("https://{}", settings.fabric_api());
    let local = format!("https://{}", settings.api);
    let mut users = vec![
        ("admin".to_owned(), "minisvc:admin".to_owned(), "system:masters", &local),
        ("edge".to_owned(), "system:minisvc:edge".to_owned(), "system:minisvc:edge", &fabric),
    ];
    for node in settings.node_names() {
        users.push((node.clone(), format!("system:node:{node}"), "system:nodes", &fabric));
    }
    for (name, user, group, server) in users {
        let client = pki.client(&name, &user, group)?;
        write(&places.kubeconfig_of(&name), &pki::kubeconfig(&settings.context, server, pki.ca_pem(), &client)?)?;
    }
    for (number, node) in (1..).zip(settings.node_names()) {
        let names = ServingNames { names: vec![node.clone()], addresses: vec![settings.node_ip(number).into()] };
        pki.serving(&serving_name(&node), &format!("system:node:{node}"), &names)?;
    }
    Ok(pki)
}

/// The keys of a node's own server, from the files that [`prepare`] wrote: certificate, key and authority, PEM.
///
/// # Errors
/// When a file cannot be read.
pub fn node_server(places: &Places, node: &str) -> Result<[String; 3]> {
    let read = |name: &str| {
        let path = places.pki().join(name);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let name = serving_name(node);
    Ok([read(&format!("{name}.crt"))?, read(&format!("{name}.key"))?, read("ca.crt")?])
}

fn serving_name(node: &str) -> String {
    format!("{node}-server")
}

/// Loads or makes the certificate authority alone.
///
/// # Errors
/// When the key folder cannot be read or written.
pub fn load(places: &Places, settings: &Settings) -> Result<Pki> {
    let fabric = settings.fabric_api().ip();
    let names = ServingNames::standard(
        fabric,
        IpAddr::V4(settings.kubernetes_ip()),
        &settings.cluster_domain,
        &[settings.api.ip()],
    );
    Ok(Pki::load_or_create(&places.pki(), &names)?)
}

/// What the user's kubeconfig needs to reach this lab as its administrator.
///
/// # Errors
/// When the administrator's certificate cannot be read or made.
pub fn administrator(pki: &Pki, settings: &Settings) -> Result<Access> {
    let client = pki.client("admin", "minisvc:admin", "system:masters")?;
    Ok(Access {
        context: settings.context.clone(),
        server: format!("https://{}", settings.api),
        ca: STANDARD.encode(pki.ca_pem()),
        certificate: STANDARD.encode(&client.certificate_pem),
        key: STANDARD.encode(client.ec_key_pem()?),
    })
}

/// A client from one of the files that [`prepare`] wrote. Opens no connection yet.
///
/// # Errors
/// When the file cannot be read or is no kubeconfig.
pub async fn client(path: &Path) -> Result<kube::Client> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let kubeconfig = Kubeconfig::from_yaml(&text).with_context(|| format!("parse {}", path.display()))?;
    patient_client(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// A client that notices within moments when the other end of a quiet watch is gone: after a killed edge the old
/// connections lead nowhere, and a watch that only listens would wait for minutes. Ignores proxies of the environment.
///
/// # Errors
/// When the configuration's certificates cannot be used.
pub fn patient_client(mut config: kube::Config) -> Result<kube::Client> {
    // By this name managed fields tell who wrote.
    let agent = HeaderValue::from_static(concat!("minisvc/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(Duration::from_secs(5)));
    http.set_keepalive(Some(Duration::from_secs(1)));
    http.set_keepalive_interval(Some(Duration::from_secs(1)));
    http.set_keepalive_retries(Some(4));
    let https = config.rustls_https_connector_with_connector(http)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https));
    Ok(kube::Client::new(service, config.default_namespace))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    private::write(path, text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
