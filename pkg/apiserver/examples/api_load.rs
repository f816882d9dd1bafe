//! Load for benchmarks, against any Kubernetes API server: `api_load KUBECONFIG creates CLIENTS SECONDS`, `... services
//! COUNT`, `... list RUNS`, `... watch WATCHERS WRITES`, `... hold WATCHERS`, and `api_load - key` for a fresh key. Prints
//! one JSON line. Not part of the product.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::TryStreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("{text} is no number"));
    let answer = match words[..] {
        ["-", "key"] => {
            let key = rcgen::KeyPair::generate()?;
            // The public half too: kube-apiserver takes it from no PKCS #8.
            print!("{}{}", key.serialize_pem(), key.public_key_pem());
            return Ok(());
        }
        [config, "creates", clients, seconds] => {
            creates(&Clients::new(config).await?, number(clients)?, number(seconds)? as u64).await?
        }
        [config, "services", count] => services(&Clients::new(config).await?, number(count)?).await?,
        [config, "list", runs] => list(&Clients::new(config).await?, number(runs)?).await?,
        [config, "watch", watchers, writes] => {
            watch(&Clients::new(config).await?, number(watchers)?, number(writes)?).await?
        }
        [config, "hold", watchers] => hold(&Clients::new(config).await?, number(watchers)?).await?,
        _ => bail!("see the head of the source for what to say"),
    };
    println!("{answer}");
    Ok(())
}

/// Makes clients, each with a connection of its own.
struct Clients(kube::Config);

impl Clients {
    async fn new(path: &str) -> Result<Clients> {
        let config = Kubeconfig::read_from(path)?;
        let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        config.read_timeout = None;
        Ok(Clients(config))
    }

    fn client(&self) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.0.clone())?)
    }
}

async fn post(client: &kube::Client, uri: &str, object: &Value) -> Result<()> {
    let request = Request::post(uri)
        .header("content-type", "application/json")
        .body(Body::from(object.to_string().into_bytes()))?;
    let response = client.send(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

async fn creates(clients: &Clients, count: usize, seconds: u64) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut workers, stamp) = (JoinSet::new(), std::process::id());
    for worker in 0..count {
        let client = clients.client()?;
        workers.spawn(async move {
            let mut made = 0_u64;
            while Instant::now() < until {
                let name = format!("c{stamp}-{count}-{worker}-{made}");
                post(&client, MAPS, &json!({"metadata": {"name": name}, "data": {"k": "v"}})).await?;
                made += 1;
            }
            Ok::<u64, anyhow::Error>(made)
        });
    }
    let begun = Instant::now();
    let mut made = 0;
    while let Some(worker) = workers.join_next().await {
        made += worker??;
    }
    Ok(json!({"rate": made as f64 / begun.elapsed().as_secs_f64()}))
}

async fn services(clients: &Clients, count: usize) -> Result<Value> {
    let (next, mut workers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..64 {
        let (client, next) = (clients.client()?, next.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<(), anyhow::Error>(());
                }
                let spec = json!({"selector": {"app": format!("a{number}")}, "ports": [{"port": 80}]});
                post(&client, SERVICES, &json!({"metadata": {"name": format!("s{number}")}, "spec": spec})).await?;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(json!({"made": count}))
}

async fn list(clients: &Clients, runs: usize) -> Result<Value> {
    let client = clients.client()?;
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..runs {
        let begun = Instant::now();
        let response =
            client.send(Request::get(SERVICES).header("accept", "application/json").body(Body::empty())?).await?;
        ensure!(response.status().is_success(), "{}", response.status());
        bytes = response.into_body().collect().await?.to_bytes().len();
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(json!({"ms": times, "bytes": bytes}))
}

/// Opens watches that each report the revisions they see, when.
async fn open(clients: &Clients, count: usize) -> Result<mpsc::UnboundedReceiver<(u64, Instant)>> {
    let client = clients.client()?;
    let listing: Value = client.request(Request::get(format!("{MAPS}?limit=1")).body(Vec::new())?).await?;
    let from = listing["metadata"]["resourceVersion"].as_str().context("no revision")?.to_owned();
    let (seen, seer) = mpsc::unbounded_channel();
    for _ in 0..count {
        let uri = format!("{MAPS}?watch=true&resourceVersion={from}");
        let request = Request::get(uri).header("accept", "application/json").body(Body::empty())?;
        let (client, seen) = (clients.client()?, seen.clone());
        let response = client.send(request).await?;
        ensure!(response.status().is_success(), "{}", response.status());
        tokio::spawn(async move {
            let body = response.into_body().into_data_stream().map_err(std::io::Error::other);
            let mut lines = pin!(tokio_util::io::StreamReader::new(body));
            let mut line = String::new();
            while let Ok(1..) = lines.read_line(&mut line).await {
                let at = Instant::now();
                let mark = "\"resourceVersion\":\"";
                let revision = line.split_once(mark).and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
                if seen.send((revision.unwrap_or(0), at)).is_err() {
                    break;
                }
                line.clear();
            }
            drop(client);
        });
    }
    Ok(seer)
}

/// From the start of a write to the last watcher's line.
async fn watch(clients: &Clients, watchers: usize, writes: usize) -> Result<Value> {
    let mut seen = open(clients, watchers).await?;
    let client = clients.client()?;
    let (mut times, stamp) = (Vec::new(), std::process::id());
    for number in 0..writes {
        let begun = Instant::now();
        post(
            &client,
            MAPS,
            &json!({"metadata": {"name": format!("w{stamp}-{watchers}-{number}")}, "data": {"k": "v"}}),
        )
        .await?;
        let mut last = begun;
        for _ in 0..watchers {
            let event =
                tokio::time::timeout(Duration::from_secs(30), seen.recv()).await.context("an event is missing")?;
            last = last.max(event.context("every watch has ended")?.1);
        }
        times.push((last - begun).as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(json!({"ms": times}))
}

/// Opens watches, says so, and keeps them until standard input ends.
async fn hold(clients: &Clients, watchers: usize) -> Result<Value> {
    let _seen = open(clients, watchers).await?;
    println!("READY");
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
    Ok(json!({}))
}
