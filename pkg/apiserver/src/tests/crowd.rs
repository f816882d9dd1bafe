//! A thousand watchers of one kind over real sockets, one of whom never reads: all the others see every event in order,
//! each event is serialised once for each form, and the one is cut.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use minisvc_testkit::isolated;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::lab::Lab;
use crate::limits::Limits;
use crate::pki;

const OVER_UNIX: usize = 899;
const OVER_TLS: usize = 100;
const EVENTS: usize = 40;
const URI: &str = "/api/v1/namespaces/default/configmaps";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// The number after `"resourceVersion":"`.
fn revision_of(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(r#""resourceVersion":""#)?;
    rest.split('"').next()?.parse().ok()
}

async fn open(path: &std::path::Path, from: &str, accept: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).await.expect("connect");
    let uri = format!("{URI}?watch=true&resourceVersion={from}");
    let request = format!("GET {uri} HTTP/1.1\r\nHost: m\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("ask");
    stream
}

/// The revisions of the next events.
async fn follow(stream: UnixStream) -> Vec<u64> {
    let mut reader = BufReader::with_capacity(32 << 10, stream);
    let (mut line, mut seen) = (String::new(), Vec::new());
    while seen.len() < EVENTS {
        line.clear();
        if reader.read_line(&mut line).await.expect("read") == 0 {
            break;
        }
        if line.starts_with('{') {
            seen.push(revision_of(&line).expect("a revision"));
        }
    }
    seen
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

async fn crowd() {
    let lab = Lab::with(Limits { stall: Duration::from_secs(5), ..Limits::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let (unix, tls) = (UnixListener::bind(&path).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("https://{}", tls.local_addr().unwrap());
    let (one, two) = (lab.server.clone(), lab.server.clone());
    tokio::spawn(async move { one.serve_unix(unix).await });
    tokio::spawn(async move { two.serve_tls(tls).await });
    let from = lab.get(URI).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();

    let before = resident();
    let mut stuck = open(&path, &from, "application/json").await;
    let mut readers = JoinSet::new();
    for number in 0..OVER_UNIX {
        let stream = open(&path, &from, if number % 10 == 0 { PARTIAL } else { "application/json" }).await;
        readers.spawn(follow(stream));
    }
    // All of these share one HTTP/2 connection.
    let admin = lab.pki.client("admin", "kubernetes-admin", "system:masters").unwrap();
    let config = Kubeconfig::from_yaml(&pki::kubeconfig("minisvc", &url, lab.pki.ca_pem(), &admin).unwrap()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(kube::Client::try_from(config).unwrap(), "default");
    for _ in 0..OVER_TLS {
        let events = api.watch(&WatchParams::default(), &from).await.unwrap();
        readers.spawn(async move {
            let events = events.try_filter_map(async |event| match event {
                WatchEvent::Added(map) | WatchEvent::Modified(map) => {
                    Ok(map.metadata.resource_version.and_then(|text| text.parse::<u64>().ok()))
                }
                _ => Ok(None),
            });
            let events = std::pin::pin!(events);
            futures::StreamExt::take(events, EVENTS).try_collect().await.unwrap()
        });
    }
    let open_now = || usize::try_from(lab.server.inner.watches.load(Ordering::Relaxed)).unwrap();
    let begun = Instant::now();
    while open_now() < OVER_UNIX + OVER_TLS + 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "only {} watches are open", open_now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Both ends and their tasks are in this process: an upper bound of what the server needs.
    let each = resident().saturating_sub(before) / (OVER_UNIX + OVER_TLS + 1) as u64;
    println!("{each} bytes for each watcher, both ends");
    assert!(each < 128 << 10, "{each} bytes for each watcher");

    let written = lab.server.inner.lines.written();
    let mut expected = Vec::new();
    for number in 0..EVENTS {
        let (name, text) = (format!("m{}", number % 7), format!("{number} {}", "x".repeat(16 << 10)));
        let body = json!({"metadata": {"name": name}, "data": {"text": text}});
        let answer = match lab.put(&format!("{URI}/{name}"), &body).await {
            missing if missing.code == 404 => lab.post(URI, &body).await,
            put => put,
        };
        expected.push(revision_of(&answer.ok().to_string()).unwrap());
    }
    let mut seen = 0;
    while let Some(revisions) = readers.join_next().await {
        assert_eq!(revisions.unwrap(), expected);
        seen += 1;
    }
    assert_eq!(seen, OVER_UNIX + OVER_TLS);
    let written = lab.server.inner.lines.written() - written;
    assert_eq!(written, 2 * EVENTS as u64, "each event once whole and once as metadata");

    // Who never read is cut, and finds an unfinished answer.
    let begun = Instant::now();
    while open_now() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} watches are still open", open_now());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut left = Vec::new();
    let _ = stuck.read_to_end(&mut left).await;
    assert!(left.starts_with(b"HTTP/1.1 200") && !left.ends_with(b"0\r\n\r\n"), "{} bytes", left.len());
}

#[test]
fn a_thousand_watchers_and_one_who_never_reads() {
    isolated(|| {
        minisvc_kernel::raise_file_limit().expect("raise the limit of open files");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(240), crowd()).await.expect("it takes far too long");
        });
    });
}
