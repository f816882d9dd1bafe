//! Over real sockets, alone in a private namespace: TLS with certificates and tokens, unix socket, dashboard.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use base64::Engine as _;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use minisvc_testkit::isolated;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::lab::{Lab, VIEWER_TOKEN, config_map};
use crate::pki;

fn run(body: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(body);
}

#[test]
fn kubeconfig_over_tls() {
    isolated(|| {
        run(async {
            let lab = Lab::new().await;
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("https://{}", listener.local_addr().unwrap());
            let server = lab.server.clone();
            let serving = tokio::spawn(async move { server.serve_tls(listener).await });
            let admin = lab.pki.client("admin", "kubernetes-admin", "system:masters").unwrap();
            let config =
                Kubeconfig::from_yaml(&pki::kubeconfig("minisvc", &url, lab.pki.ca_pem(), &admin).unwrap()).unwrap();
            let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
            let client = kube::Client::try_from(config).unwrap();
            let services: Api<Service> = Api::all(client.clone());
            assert_eq!(services.list(&ListParams::default()).await.unwrap().items.len(), 2);
            let edge = lab.pki.issue_client("system:minisvc:edge", "system:minisvc").unwrap();
            let config =
                Kubeconfig::from_yaml(&pki::kubeconfig("edge", &url, lab.pki.ca_pem(), &edge).unwrap()).unwrap();
            let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
            let edge = kube::Client::try_from(config).unwrap();
            Api::<Service>::all(edge.clone()).list(&ListParams::default()).await.unwrap();
            let refused = Api::<Service>::default_namespaced(edge).delete("kubernetes", &Default::default()).await;
            assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
            lab.server.shutdown();
            drop(client);
            serving.await.unwrap().unwrap();
        });
    });
}

#[test]
fn a_watch_speaks_websocket_to_who_asks_for_it() {
    isolated(|| {
        run(async {
            let lab = Lab::new().await;
            let plain = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = plain.local_addr().unwrap();
            let server = lab.server.clone();
            tokio::spawn(async move { server.serve_plain(plain).await });
            // A browser names itself in a subprotocol.
            let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(VIEWER_TOKEN);
            let watch = async |token: &str| {
                let mut request = format!("ws://{address}/api/v1/namespaces/default/configmaps?watch=true")
                    .into_client_request()
                    .unwrap();
                let protocols = format!("base64url.bearer.authorization.k8s.io.{token},any");
                request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                tokio_tungstenite::client_async(request, stream).await
            };
            let refused = watch("bm9ib2R5").await.unwrap_err();
            assert!(matches!(refused, WsError::Http(answer) if answer.status() == 401));
            let (mut socket, answer) = watch(&token).await.unwrap();
            assert_eq!(answer.headers()["sec-websocket-protocol"], "any");
            for name in ["a", "b"] {
                lab.post("/api/v1/namespaces/default/configmaps", &config_map(name)).await.ok();
            }
            for name in ["a", "b"] {
                let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("no text") };
                let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&"ADDED".into(), &name.into()));
            }
            socket.close(None).await.unwrap();
        });
    });
}

#[test]
fn unix_socket_and_dashboard() {
    isolated(|| {
        run(async {
            let lab = Lab::new().await;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("api.sock");
            let unix = UnixListener::bind(&path).unwrap();
            let plain = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = plain.local_addr().unwrap();
            let (one, two) = (lab.server.clone(), lab.server.clone());
            tokio::spawn(async move { one.serve_unix(unix).await });
            tokio::spawn(async move { two.serve_plain(plain).await });
            let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            assert!(ask(stream, "/api/v1/secrets", "").await.starts_with("HTTP/1.1 200 OK"));
            let connect = || async { tokio::net::TcpStream::connect(address).await.unwrap() };
            assert!(ask(connect().await, "/api/v1/pods", "").await.starts_with("HTTP/1.1 401"));
            let token = format!("Authorization: Bearer {VIEWER_TOKEN}\r\n");
            assert!(ask(connect().await, "/api/v1/pods", &token).await.starts_with("HTTP/1.1 200 OK"));
            let page = ask(connect().await, "/", "").await;
            assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("text/html"), "{page}");
            assert!(ask(connect().await, "/ui/nothing.js", "").await.starts_with("HTTP/1.1 404"));
        });
    });
}

async fn ask(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    path: &str,
    headers: &str,
) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: minisvc\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
