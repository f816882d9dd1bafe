//! `agnhost nettest`: a web server that writes to its siblings behind a service and counts who wrote to it. Siblings are
//! read from the API with the pod's own account.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{client, go};

pub(super) const MODE: Mode = Mode {
    name: "nettest",
    about: "Starts a tiny web server for checking networking connectivity",
    flags: &[
        Flag::int("port", "8080"),
        Flag::int("peers", "8"),
        Flag::text("service", "nettest"),
        Flag::text("namespace", "default"),
        Flag::int("delay-shutdown", "0"),
    ],
    words: Some(0),
    run: |flags| super::block_on(run(flags)),
};

/// Where the pod's account is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The longest log that is kept, lines.
const LINES: usize = 500;
/// The largest answer of the API, bytes.
const LIMIT: usize = 16 << 20;
/// Time between two looks at the siblings.
const PAUSE: Duration = Duration::from_secs(5);
/// Time to wait for all of them.
const PATIENCE: Duration = Duration::from_secs(300);

/// What `/read` shows.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    hostname: String,
    sent: Option<BTreeMap<String, u64>>,
    received: Option<BTreeMap<String, u64>>,
    errors: Option<Vec<String>>,
    log: Option<Vec<String>>,
    still_contacting_peers: bool,
}

/// What one writes to another.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Letter {
    source: String,
    dest: String,
}

impl State {
    fn log(&mut self, line: String) {
        let lines = self.log.get_or_insert_default();
        lines.push(line);
        if lines.len() > LINES {
            lines.remove(0);
        }
    }

    /// Counts a letter, or says what is wrong with it.
    fn write(&mut self, body: &[u8]) {
        let letter: Letter = serde_json::from_slice(body).unwrap_or_else(|error| {
            self.errors.get_or_insert_default().push(error.to_string());
            Letter::default()
        });
        if letter.source.is_empty() {
            let text = format!("{}: Got request with no source", self.hostname);
            self.errors.get_or_insert_default().push(text);
        } else {
            *self.received.get_or_insert_default().entry(letter.source).or_default() += 1;
        }
    }

    fn status(&self, peers: usize) -> &'static str {
        let heard = |all: &Option<BTreeMap<String, u64>>| all.as_ref().map_or(0, BTreeMap::len) >= peers;
        match (heard(&self.sent) && heard(&self.received), self.still_contacting_peers) {
            (true, _) => "pass",
            (false, true) => "running",
            (false, false) => "fail",
        }
    }
}

async fn run(flags: Flags) -> ExitCode {
    let (Some(port), service) = (flags.port("port"), flags.text("service").to_owned()) else {
        go::fatal(format_args!("listen tcp: address {}: invalid port", flags.int("port")));
    };
    if service.is_empty() {
        go::fatal("Must provide -service flag.");
    }
    let peers = usize::try_from(flags.int("peers")).unwrap_or_default();
    let state =
        Rc::new(RefCell::new(State { hostname: go::hostname(), still_contacting_peers: true, ..State::default() }));
    if let delay @ 1.. = flags.int("delay-shutdown") {
        tokio::task::spawn_local(async move {
            super::terminated().await;
            go::log(format_args!("Sleeping {delay} seconds before exit ..."));
            tokio::time::sleep(Duration::from_secs(delay.unsigned_abs())).await;
            std::process::exit(0);
        });
    }
    let path = format!("/api/v1/namespaces/{}/endpoints/{service}", flags.text("namespace"));
    tokio::task::spawn_local(contact_all(state.clone(), path, peers));
    web::serve_forever(super::listen(port), None, move |asked| std::future::ready(answer(&state, &asked, peers))).await;
    ExitCode::SUCCESS
}

fn answer(state: &RefCell<State>, asked: &Asked, peers: usize) -> Answer {
    match asked.path() {
        "/quit" => std::process::exit(0),
        "/read" => match serde_json::to_vec_pretty(&*state.borrow()) {
            Ok(text) => web::ok(text),
            Err(error) => web::failure(http::StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        "/write" => {
            let mut state = state.borrow_mut();
            state.write(&asked.body);
            web::ok(format!("{}\n", serde_json::json!({"Hostname": state.hostname})))
        }
        "/status" => web::ok(state.borrow().status(peers)),
        _ => web::not_found(),
    }
}

/// Waits until the siblings are there, then writes to each, again and again.
async fn contact_all(state: Rc<RefCell<State>>, path: String, peers: usize) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let found = siblings(&state, &path).await;
        if found.len() >= peers {
            break;
        }
        let text = format!("{path} has {} endpoints, which is less than {peers} as expected.", found.len());
        state.borrow_mut().log(text);
        tokio::time::sleep(PAUSE).await;
    }
    for _ in 0..15 {
        for sibling in siblings(&state, &path).await {
            contact(&state, &sibling).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    state.borrow_mut().still_contacting_peers = false;
}

async fn contact(state: &RefCell<State>, sibling: &str) {
    let source = state.borrow().hostname.clone();
    let letter = serde_json::json!(Letter { source, dest: sibling.to_owned() }).to_string();
    let url = format!("{sibling}/write");
    let sent = client::send(Method::POST, &url, letter.into(), "Go-http-client/1.1", PAUSE).await;
    let mut state = state.borrow_mut();
    match sent.map(|got| serde_json::from_slice::<Value>(&got.body)) {
        Ok(Ok(answer)) => {
            let name = answer["Hostname"].as_str().unwrap_or_default().to_owned();
            *state.sent.get_or_insert_default().entry(name).or_default() += 1;
        }
        Ok(Err(error)) => state.log(format!("Warning: unable to unmarshal response from '{sibling}': '{error}'")),
        Err(error) => state.log(format!("Warning: unable to contact the endpoint \"{sibling}\": {error}")),
    }
}

async fn siblings(state: &RefCell<State>, path: &str) -> Vec<String> {
    match tokio::time::timeout(PAUSE, ask(path)).await.unwrap_or_else(|_| Err("timeout".to_owned())) {
        Ok(endpoints) => addresses(&endpoints),
        Err(error) => {
            state.borrow_mut().log(format!("Unable to read {path}: {error}."));
            Vec::new()
        }
    }
}

/// `http://ADDRESS:PORT` of every ready address of an Endpoints object.
fn addresses(endpoints: &Value) -> Vec<String> {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut all = Vec::new();
    for subset in items(&endpoints["subsets"]) {
        for address in items(&subset["addresses"]) {
            for port in items(&subset["ports"]) {
                let ip = address["ip"].as_str().unwrap_or_default();
                all.push(format!("http://{ip}:{}", port["port"]));
            }
        }
    }
    all
}

/// GETs a path of the API server with the pod's account.
async fn ask(path: &str) -> Result<Value, String> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let read = |name: &str| std::fs::read(format!("{ACCOUNT}/{name}")).map_err(|error| format!("{name}: {error}"));
    let token = String::from_utf8_lossy(&read("token")?).trim().to_owned();
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read("ca.crt")?) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(format!("{host}:{port}")).await.map_err(|error| go::errno(&error))?;
    let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
    let handshake = hyper::client::conn::http1::handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::task::spawn_local(async move { drop(connection.await) });
    let request = Request::get(path).header("host", host).header("authorization", format!("Bearer {token}"));
    let request = request.body(Full::new(Bytes::new())).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LIMIT).collect().await.map_err(|error| error.to_string())?.to_bytes();
    match status.is_success() {
        true => serde_json::from_slice(&body).map_err(|error| error.to_string()),
        false => Err(String::from_utf8_lossy(&body).trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// "PreStop should call prestop when killing a pod" writes `{"Source": "prestop"}` and reads `Received`.
    #[test]
    fn letters_are_counted_and_shown() {
        let mut state = State { hostname: "server".into(), still_contacting_peers: true, ..State::default() };
        state.write(br#"{"Source": "prestop"}"#);
        let shown = serde_json::to_value(&state).unwrap();
        assert_eq!(shown["Received"], json!({"prestop": 1}));
        assert_eq!((&shown["Sent"], &shown["StillContactingPeers"]), (&Value::Null, &json!(true)));
        assert_eq!((state.status(1), state.status(0)), ("running", "pass"));
        state.write(b"{}");
        assert_eq!(state.errors.as_ref().unwrap(), &["server: Got request with no source"]);
        state.still_contacting_peers = false;
        assert_eq!(state.status(1), "fail");
    }

    #[test]
    fn every_ready_address_is_a_sibling() {
        let endpoints = json!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "notReadyAddresses": [{"ip": "10.0.0.3"}],
             "ports": [{"port": 8080}]},
        ]});
        assert_eq!(addresses(&endpoints), ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]);
    }
}
