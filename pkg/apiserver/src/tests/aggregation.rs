//! Aggregation end to end: a small API server of another group over real TLS, from its registration to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use base64::Engine as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use minisvc_testkit::isolated;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::lab::Lab;
use crate::identity::Identity;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAME: &str = "v1.wardle.example.com";
const OURS: &str = "/apis/wardle.example.com/v1";
const NEW: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What the other server answers.
async fn wardle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let answer = match path.as_str() {
        OURS => json!({"kind": "APIResourceList", "groupVersion": "wardle.example.com/v1", "resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get", "list"]}]}),
        "/openapi/v3" => {
            json!({"paths": {"apis/wardle.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1?hash=A"}}})
        }
        "/openapi/v3/apis/wardle.example.com/v1" => json!({"openapi": "3.0.0", "info": {"title": "wardle"}}),
        "/openapi/v2" => json!({"paths": {format!("{OURS}/"): {"get": {"schema": {"$ref": "#/definitions/W"}}}},
                                "definitions": {"W": {"type": "object"}, "X": {}}}),
        path if path.starts_with(OURS) => {
            let header = |name: &str| -> Vec<String> {
                request.headers().get_all(name).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect()
            };
            let (user, groups, extra) =
                (header("x-remote-user"), header("x-remote-group"), header("x-remote-extra-a%2fb"));
            let (secret, host) = (header("authorization"), header("host"));
            let (method, uri) = (request.method().to_string(), request.uri().to_string());
            let body = request.into_body().collect().await.map(|all| all.to_bytes()).unwrap_or_default();
            json!({"method": method, "uri": uri, "user": user, "groups": groups, "extra": extra, "secret": secret,
                   "host": host, "body": String::from_utf8_lossy(&body)})
        }
        _ => return Ok(Response::builder().status(404).body(Full::default()).expect("an answer")),
    };
    let answer = Response::builder().header("content-type", "application/json").body(Full::from(answer.to_string()));
    Ok(answer.expect("an answer"))
}

/// A server for `api.default.svc` that lets in only whom the front proxy's authority certified; its authority's PEM.
async fn serve(address: SocketAddr, front_proxy_ca: &str) -> (String, tokio::task::JoinHandle<()>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::from_ca_cert_pem(&ca, key).unwrap();
    let own = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["api.default.svc".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(front_proxy_ca.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await.expect("an address of our own");
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(wardle))
                    .await;
            });
        }
    });
    (ca, serving)
}

/// Waits until the condition has this reason; answers its message.
async fn reason(lab: &Lab, wanted: &str) -> String {
    let start = Instant::now();
    loop {
        let object = lab.get(&format!("{SERVICES}/{NAME}")).await.ok();
        let condition = &object["status"]["conditions"][0];
        if condition["reason"] == *wanted {
            return condition["message"].as_str().unwrap_or_default().to_owned();
        }
        assert!(start.elapsed() < Duration::from_secs(30), "never {wanted}: {object}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn discovered(lab: &Lab) -> Value {
    let all = lab.send("GET", "/apis", &[("accept", NEW)], Body::empty()).await.ok();
    let groups = all["items"].as_array().expect("groups");
    groups.iter().find(|group| group["metadata"]["name"] == "wardle.example.com").expect("the group")["versions"][0]
        .clone()
}

#[test]
fn another_servers_group_is_served_from_its_registration_to_its_end() {
    isolated(|| {
        let added = Command::new("ip").args(["address", "add", "172.29.0.1/32", "dev", "lo"]).status().expect("run ip");
        assert!(added.success(), "cannot give the private loopback an address");
        tokio::runtime::Runtime::new().expect("a runtime").block_on(story());
    });
}

async fn story() {
    let lab = Lab::new().await;
    let trust = lab.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").await.ok();
    let front_proxy_ca = trust["data"]["requestheader-client-ca-file"].as_str().expect("an authority").to_owned();
    assert_ne!(front_proxy_ca, lab.pki.ca_pem());
    let (ca, serving) = serve(SocketAddr::from(([172, 29, 0, 1], 4443)), &front_proxy_ca).await;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&ca);
    let object = json!({"metadata": {"name": NAME}, "spec": {"group": "wardle.example.com", "version": "v1",
        "groupPriorityMinimum": 2000, "versionPriority": 200, "caBundle": bundle, "service": {"namespace": "default", "name": "api"}}});
    let wrong = lab.post(SERVICES, &json!({"metadata": {"name": "x"}, "spec": object["spec"]})).await;
    assert_eq!(wrong.code, 422, "{wrong:?}");
    assert_eq!(lab.post(SERVICES, &object).await.ok()["spec"]["service"]["port"], 443);
    assert_eq!(reason(&lab, "ServiceNotFound").await, "service/api in \"default\" is not present");
    let away = lab.get(&format!("{OURS}/flunders")).await;
    assert_eq!((away.code, &*away.body), (503, &b"service unavailable\n"[..]));
    assert_eq!((discovered(&lab).await["freshness"].clone(), lab.get(OURS).await.code), (json!("Stale"), 503));

    behind(&lab).await;
    assert_eq!(reason(&lab, "Passed").await, "all checks passed");
    ask(&lab).await;
    documents(&lab).await;

    serving.abort();
    let _ = serving.await;
    lab.merge(&format!("{SERVICES}/{NAME}"), &json!({"metadata": {"labels": {"look": "again"}}})).await.ok();
    let message = reason(&lab, "FailedDiscoveryCheck").await;
    let url = format!("https://172.29.0.1:4443{OURS}");
    let words = format!(
        "failing or missing response from {url}: Get \"{url}\": dial tcp 172.29.0.1:4443: connect: connection refused"
    );
    assert_eq!(message, words);
    let version = discovered(&lab).await;
    assert_eq!((&version["freshness"], &version["resources"][0]["resource"]), (&json!("Stale"), &json!("flunders")));
    assert_eq!(lab.get(&format!("{OURS}/flunders")).await.code, 503);
    lab.delete(&format!("{SERVICES}/{NAME}")).await.ok();
    assert_eq!(lab.get(&format!("{OURS}/flunders")).await.code, 404);
    lab.server.shutdown();
}

/// The Service, and by hand what controllers would write.
async fn behind(lab: &Lab) {
    let service = json!({"metadata": {"name": "api"}, "spec": {"ports": [{"port": 443, "name": "https"}]}});
    lab.post("/api/v1/namespaces/default/services", &service).await.ok();
    assert_eq!(reason(lab, "EndpointsNotFound").await, "cannot find endpointslices for service/api in \"default\"");
    let slice = json!({"metadata": {"name": "api-1", "labels": {"kubernetes.io/service-name": "api"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["172.29.0.1"], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": 4443}]});
    lab.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await.ok();
}

/// Requests arrive as they were, with the caller's name and without secrets.
async fn ask(lab: &Lab) {
    let mut ann = Identity::new("ann", ["system:masters"]);
    ann.extra.insert("a/b".into(), vec!["1".into(), "2".into()]);
    let headers = [("authorization", "Bearer secret"), ("x-remote-user", "evil"), ("x-remote-extra-c", "evil")];
    let path = format!("{OURS}/namespaces/default/flunders?dryRun=All");
    let heard = lab.send_as(ann, "POST", &path, &headers, "a body").await.ok();
    assert_eq!((&heard["method"], &heard["uri"], &heard["body"]), (&json!("POST"), &json!(path), &json!("a body")));
    assert_eq!((&heard["user"], &heard["extra"]), (&json!(["ann"]), &json!(["1", "2"])));
    assert_eq!(heard["groups"], json!(["system:masters", "system:authenticated"]));
    assert_eq!((&heard["secret"], &heard["host"]), (&json!([]), &json!(["api.default.svc"])));
    let bob = lab.send_as(Identity::new("bob", [""; 0]), "GET", &path, &[], Body::empty()).await;
    assert_eq!(bob.code, 403);
    let words = bob.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        words.starts_with("flunders.wardle.example.com is forbidden: User \"bob\" cannot list resource"),
        "{words}"
    );
}

/// Discovery and OpenAPI hold what the other server serves.
async fn documents(lab: &Lab) {
    let old = lab.get("/apis").await.ok();
    let names: Vec<&str> =
        old["groups"].as_array().unwrap().iter().filter_map(|group| group["name"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"apiregistration.k8s.io"), Some(&"wardle.example.com")));
    assert_eq!(lab.get("/apis/wardle.example.com").await.ok()["preferredVersion"]["version"], "v1");
    assert_eq!(lab.get(OURS).await.ok()["resources"][0]["name"], "flunders");
    let version = discovered(lab).await;
    assert_eq!((&version["freshness"], &version["resources"][0]["scope"]), (&json!("Current"), &json!("Namespaced")));
    let index = lab.get("/openapi/v3").await.ok();
    let place = index["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"].as_str().expect("a place").to_owned();
    assert_eq!(lab.get(&place).await.ok()["info"]["title"], "wardle");
    let whole = lab.get("/openapi/v2").await.ok();
    assert!(whole["paths"][format!("{OURS}/")].is_object() && whole["definitions"]["W"].is_object());
    assert!(whole["definitions"]["X"].is_null() && whole["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
    let accept = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = lab.send("GET", SERVICES, &accept, Body::empty()).await.ok();
    let rows: Vec<(&Value, &Value, &Value)> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["cells"][0], &row["cells"][1], &row["cells"][2]))
        .collect();
    assert!(rows.contains(&(&json!("v1."), &json!("Local"), &json!("True"))), "{rows:?}");
    assert!(rows.contains(&(&json!(NAME), &json!("default/api"), &json!("True"))), "{rows:?}");
}

#[tokio::test]
async fn custom_kinds_are_registered_as_long_as_they_are_served() {
    let lab = Lab::new().await;
    let name = format!("{SERVICES}/v1.example.com");
    let definition = json!({
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    lab.post(definitions, &definition).await.ok();
    let object = lab.get(&name).await.ok();
    assert_eq!(object["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "true");
    assert_eq!(
        (&object["spec"]["groupPriorityMinimum"], &object["status"]["conditions"][0]["reason"]),
        (&json!(1000), &json!("Local"))
    );
    lab.delete(&name).await.ok();
    assert_eq!(lab.get(&name).await.code, 200, "it is made again");
    lab.delete(&format!("{definitions}/foos.example.com")).await.ok();
    assert_eq!(lab.get(&name).await.code, 404);
}
