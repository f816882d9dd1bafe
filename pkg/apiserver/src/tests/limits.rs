//! Strangers who ask for too much or take too long: sizes, times, numbers.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use minisvc_testkit::isolated;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::lab::{Lab, config_map};
use crate::identity::{Identity, MASTERS, Peer};
use crate::limits::Limits;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn run(body: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(body);
}

/// A lab on a unix socket; its peers are administrators.
async fn on_socket(limits: Limits) -> (Lab, tempfile::TempDir, std::path::PathBuf) {
    let lab = Lab::with(limits).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let (listener, server) = (UnixListener::bind(&path).unwrap(), lab.server.clone());
    tokio::spawn(async move { server.serve_unix(listener).await });
    (lab, folder, path)
}

/// Writes, then reads to the end; an error while writing is none, when the answer can still be read.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(length: usize, extra: &str) -> String {
    format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {extra}Content-Length: {length}\r\n\r\n"
    )
}

#[test]
fn sizes() {
    isolated(|| {
        run(async {
            let (lab, _folder, path) = on_socket(Limits::default()).await;
            let connect = || async { UnixStream::connect(&path).await.unwrap() };
            let before = lab.get(CONFIG_MAPS).await.json()["metadata"]["resourceVersion"].clone();
            // A client that writes all of it before it reads sees the answer.
            let mut large = post((3 << 20) + 1, "").into_bytes();
            large.extend(vec![b' '; (3 << 20) + 1]);
            let answer = exchange(connect().await, &large).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:.300}");
            assert!(answer.contains(r#""reason":"RequestEntityTooLarge""#), "{answer:.600}");
            assert!(answer.contains("Request entity too large: limit is 3145728"), "{answer:.600}");
            // At the limit it is read, and found to be no object.
            let mut fits = post(3 << 20, "").into_bytes();
            fits.extend(vec![b' '; 3 << 20]);
            let answer = exchange(connect().await, &fits).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:.300}");

            let long = format!("GET /api/v1/{} HTTP/1.1\r\nHost: m\r\n\r\n", "x".repeat(70_000));
            let answer = exchange(connect().await, long.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 414 "), "{answer:.300}");
            let wide = format!("GET /version HTTP/1.1\r\nHost: m\r\nX-Wide: {}\r\n\r\n", "x".repeat(200_000));
            let answer = exchange(connect().await, wide.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:.300}");
            let many: String = (0..200).map(|n| format!("X-Many-{n}: 1\r\n")).collect();
            let answer = exchange(connect().await, format!("GET /version HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:.300}");
            let good =
                exchange(connect().await, b"GET /healthz HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").await;
            assert!(good.ends_with("ok"), "{good}");
            assert_eq!(lab.get(CONFIG_MAPS).await.json()["metadata"]["resourceVersion"], before);
        });
    });
}

#[test]
fn those_who_dawdle_are_sent_away() {
    isolated(|| {
        run(async {
            let short = Duration::from_millis(500);
            let limits = Limits { handshake: short, headers: short, request: short, ..Limits::default() };
            let (lab, _folder, path) = on_socket(limits).await;
            let (tls, plain) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
            let (tls_at, plain_at) = (tls.local_addr().unwrap(), plain.local_addr().unwrap());
            let (one, two) = (lab.server.clone(), lab.server.clone());
            tokio::spawn(async move { one.serve_tls(tls).await });
            tokio::spawn(async move { two.serve_plain(plain).await });
            // No handshake; no first byte; half a request line; headers without an end.
            for (at, words) in [
                (tls_at, ""),
                (tls_at, "\x16\x03\x01"),
                (plain_at, ""),
                (plain_at, "GET /hea"),
                (plain_at, "GET /healthz HTTP/1.1\r\nHost: m\r\n"),
                (plain_at, "PRI * HTTP/2.0\r\n"),
            ] {
                let begun = Instant::now();
                let answer = exchange(TcpStream::connect(at).await.unwrap(), words.as_bytes()).await;
                assert!(begun.elapsed() < Duration::from_secs(10), "{words:?} was waited for: {answer}");
                assert!(!answer.contains("200 OK"), "{words:?}: {answer}");
            }
            // A body that never comes is answered in Kubernetes' words.
            for query in ["", "?timeout=100ms", "?timeout=1h"] {
                let request = post(100, "").replacen(" HTTP", &format!("{query} HTTP"), 1) + "{";
                let begun = Instant::now();
                let answer = exchange(UnixStream::connect(&path).await.unwrap(), request.as_bytes()).await;
                assert!(answer.starts_with("HTTP/1.1 504 "), "{query}: {answer}");
                let said = "Timeout: request did not complete within the allotted timeout";
                assert!(answer.contains(said) && answer.contains(r#""reason":"Timeout""#), "{answer}");
                assert!(begun.elapsed() < Duration::from_secs(10), "{query}");
            }
            let bad = lab.get(&format!("{CONFIG_MAPS}?timeout=soon")).await;
            assert_eq!(bad.code, 400);
            assert_eq!(
                bad.json()["message"],
                r#"invalid timeout specified in the request URL - time: invalid duration "soon""#
            );
            // Watches have no such end.
            let uri = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=2&timeout=100ms");
            let begun = Instant::now();
            assert_eq!(lab.get(&uri).await.code, 200);
            assert!(begun.elapsed() >= Duration::from_secs(2));
        });
    });
}

#[test]
fn connections_beyond_the_limit_wait_their_turn() {
    isolated(|| {
        run(async {
            let (_lab, _folder, path) = on_socket(Limits { connections: 2, ..Limits::default() }).await;
            let idle = [UnixStream::connect(&path).await.unwrap(), UnixStream::connect(&path).await.unwrap()];
            let third = UnixStream::connect(&path).await.unwrap();
            let words = b"GET /healthz HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
            let mut third = Box::pin(exchange(third, words));
            assert!(tokio::time::timeout(Duration::from_millis(500), &mut third).await.is_err(), "served too early");
            drop(idle);
            assert!(third.await.ends_with("ok"));
        });
    });
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_again() {
    let lab = Lab::with(Limits { writing: 1, reading: 1, ..Limits::default() }).await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "staff"}, "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "staff"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}});
    lab.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &role).await.ok();
    let ann = || Identity::new("ann", ["staff"]);
    let json = [("content-type", "application/json")];
    // One write whose body does not come.
    let (hold, server) = (futures::stream::pending::<Result<Bytes, std::io::Error>>(), lab.server.clone());
    let request = ::http::Request::post(CONFIG_MAPS).header("content-type", "application/json");
    let request = request.body(Body::from_stream(hold)).unwrap();
    let held = tokio::spawn(async move { server.answer(request, Peer::InProcess(ann())).await });
    // It asks first.
    tokio::task::yield_now().await;
    let mut code = 0;
    for _ in 0..100 {
        code = lab.send_as(ann(), "POST", CONFIG_MAPS, &json, config_map("probe").to_string()).await.code;
        if code == 429 {
            break;
        }
        assert!(matches!(code, 201 | 409), "{code}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(code, 429);
    let busy = lab.send_as(ann(), "POST", CONFIG_MAPS, &json, config_map("a").to_string()).await;
    assert_eq!((busy.code, busy.headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(&busy.body[..], b"Too many requests, please try again later.\n");
    assert_eq!(lab.send_as(ann(), "GET", CONFIG_MAPS, &[], Body::empty()).await.code, 200, "reads are counted apart");
    let watch = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1");
    assert_eq!(lab.send_as(ann(), "GET", &watch, &[], Body::empty()).await.code, 200);
    let root = Identity::new("root", [MASTERS]);
    let made = lab.send_as(root, "POST", CONFIG_MAPS, &json, config_map("b").to_string()).await;
    assert_eq!(made.code, 201, "masters always get in");
    held.abort();
    let _ = held.await;
    assert_eq!(lab.send_as(ann(), "POST", CONFIG_MAPS, &json, config_map("a").to_string()).await.code, 201);
}
