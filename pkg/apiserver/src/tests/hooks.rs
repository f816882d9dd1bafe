//! A webhook on a socket of its own: answers what it is told to, and remembers what it was asked. Holds no assertions about
//! the API.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A webhook that answers.
pub(super) struct Hook {
    address: SocketAddr,
    certificate: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    /// A webhook that gives `answer(path, request)` as its response, to reviews of either kind.
    pub(super) async fn start(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Hook {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = made.cert.pem();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (remembered, answer) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, asked, answer) = (acceptor.clone(), remembered.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: hyper::Request<Incoming>| {
                        let (asked, answer) = (asked.clone(), answer.clone());
                        async move {
                            let path = request.uri().path().to_owned();
                            let body = request.into_body().collect().await?.to_bytes();
                            let review: Value = serde_json::from_slice(&body).expect("a review");
                            let request = review["request"].clone();
                            asked.lock().expect("remembered").push(request.clone());
                            if path == "/slow" {
                                tokio::time::sleep(std::time::Duration::from_secs(3)).await;
                            }
                            let mut response = answer(&path, &request);
                            response["uid"] = request["uid"].clone();
                            let (kind, version) = (&review["kind"], &review["apiVersion"]);
                            let whole = json!({"kind": kind, "apiVersion": version, "response": response});
                            Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from(whole.to_string()))))
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Hook { address, certificate, asked }
    }

    /// How a configuration names it.
    pub(super) fn client_config(&self, path: &str) -> Value {
        json!({"url": format!("https://{}{path}", self.address), "caBundle": STANDARD.encode(&self.certificate)})
    }

    /// What it was asked since the last look.
    pub(super) fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().expect("remembered"))
    }
}

/// A response that changes the object.
pub(super) fn patched(patch: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())})
}
