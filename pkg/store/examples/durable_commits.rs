//! Measures durable commits a second with 1 and 64 writers, and listing 10,000 services. Run with `--release`, on the
//! disk that matters: `cargo run --release -p minisvc-store --example durable_commits -- <scratch directory>`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minisvc_store::{Key, Options, SledStore, Store, Write};
use serde_json::{Value, json};

const SERVICES: usize = 10_000;
const SPAN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).expect("a scratch directory");
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    for writers in [1, 64] {
        let path = dir.path().join(writers.to_string());
        let store = SledStore::open(&path, Options::default()).expect("the store opens");
        let started = Instant::now();
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let mut count = 0;
                while started.elapsed() < SPAN {
                    create(&store, "configmaps", format!("w{writer}-{count}")).await;
                    count += 1;
                }
                count
            }));
        }
        let mut total = 0;
        for task in tasks {
            total += task.await.expect("a writer ends");
        }
        println!("{writers} writers: {:.0} durable creates/s", f64::from(total) / started.elapsed().as_secs_f64());
    }
    let store = SledStore::open(&dir.path().join("list"), Options::default()).expect("the store opens");
    let started = Instant::now();
    let creates = (0..SERVICES).map(|index| {
        let store = store.clone();
        tokio::spawn(async move { create(&store, "services", format!("s{index}")).await })
    });
    for task in creates.collect::<Vec<_>>() {
        task.await.expect("a writer ends");
    }
    println!("{SERVICES} services created at once in {:?}", started.elapsed());
    let started = Instant::now();
    let listing = store.list("services", None);
    println!("{} services listed in {:?}", listing.items.len(), started.elapsed());
    let started = Instant::now();
    let older = store.list_at("services", None, listing.revision - 5_000).expect("kept");
    println!("{} services listed as of 5,000 revisions ago in {:?}", older.items.len(), started.elapsed());
    let mut watches: Vec<_> = (0..1_000).map(|_| store.watch("services", listing.revision).expect("kept")).collect();
    let started = Instant::now();
    let waiting: Vec<_> = watches
        .drain(..)
        .map(|mut watch| tokio::spawn(async move { watch.next().await.expect("kept").events.len() }))
        .collect();
    create(&store, "services", "one-more".into()).await;
    for task in waiting {
        task.await.expect("a watcher ends");
    }
    println!("1,000 watchers told of one event {:?} after it was asked for", started.elapsed());
    drop(store);
    let started = Instant::now();
    let store = SledStore::open(&dir.path().join("list"), Options::default()).expect("the store opens again");
    println!("reopened {} objects in {:?}", store.list("services", None).items.len(), started.elapsed());
}

async fn create(store: &SledStore, resource: &str, name: String) {
    let key = Key::new(resource, "default", &*name);
    let value: Value = json!({
        "apiVersion": "v1", "kind": "Any", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": "x"}, "filler": "x".repeat(1500)},
    });
    let _: Arc<_> = store.commit(Write::Create { key, value }, false).await.expect("a create");
}
