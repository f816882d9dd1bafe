//! Which pods this node runs: a watch on its own pods, one driver for each. And the services that pods' environments
//! name.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;

use crate::driver;
use crate::environment::ServiceAddress;
use crate::node::Node;

/// Watches this node's pods and keeps a driver for each, for ever.
pub(crate) async fn dispatch(node: Arc<Node>) {
    let api: Api<Pod> = Api::all(node.client.clone());
    let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", node.config.node_name));
    let mut events =
        watcher(api, mine).backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch())).boxed();
    let mut drivers: HashMap<String, watch::Sender<Arc<Pod>>> = HashMap::new();
    let mut listed: Vec<String> = Vec::new();
    let mut again = false;
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => {
                listed.clear();
                // The server may know less than before (a reset lab): say everything anew.
                if std::mem::replace(&mut again, true) {
                    node.say_anew.notify_one();
                }
            }
            Ok(Some(watcher::Event::InitApply(pod))) => {
                listed.extend(pod.metadata.uid.clone());
                apply(&node, &mut drivers, pod);
            }
            // Dropping the sender tells the driver that the object is gone.
            Ok(Some(watcher::Event::InitDone)) => {
                drivers.retain(|uid, _| listed.contains(uid));
                sweep(&node, &listed);
            }
            Ok(Some(watcher::Event::Apply(pod))) => apply(&node, &mut drivers, pod),
            Ok(Some(watcher::Event::Delete(pod))) => {
                drivers.remove(pod.metadata.uid.as_deref().unwrap_or_default());
            }
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "watching pods; trying again"),
        }
    }
}

/// Removes the folders of pods that went while nobody watched.
fn sweep(node: &Node, listed: &[String]) {
    let folders = std::fs::read_dir(node.config.run_dir.join("pods")).into_iter().flatten().flatten();
    for folder in folders.filter(|folder| !listed.iter().any(|uid| folder.file_name() == uid.as_str())) {
        let removed = std::fs::remove_dir_all(folder.path());
        tracing::debug!(folder = %folder.path().display(), ?removed, "a lost pod's folder");
    }
}

fn apply(node: &Arc<Node>, drivers: &mut HashMap<String, watch::Sender<Arc<Pod>>>, mut pod: Pod) {
    let Some(uid) = pod.metadata.uid.clone() else { return };
    // The largest part of many objects, and nothing that a node reads.
    pod.metadata.managed_fields = None;
    match drivers.get(&uid) {
        Some(driver) => drop(driver.send_replace(Arc::new(pod))),
        None => {
            let (sender, receiver) = watch::channel(Arc::new(pod));
            tokio::spawn(driver::drive(node.clone(), receiver));
            drivers.insert(uid, sender);
        }
    }
}

/// Keeps the services' addresses, for ever; `known` turns true with the first list.
pub(crate) async fn follow_services(node: Arc<Node>, known: watch::Sender<bool>) {
    let api: Api<Service> = Api::all(node.client.clone());
    let mut events = watcher(api, watcher::Config::default())
        .backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch()))
        .boxed();
    let mut fresh = std::collections::BTreeMap::new();
    let key = |service: &Service| {
        let word = |value: &Option<String>| value.clone().unwrap_or_default();
        (word(&service.metadata.namespace), word(&service.metadata.name))
    };
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => fresh.clear(),
            Ok(Some(watcher::Event::InitApply(service))) => {
                if let Some(address) = ServiceAddress::of(&service) {
                    fresh.insert(key(&service), address);
                }
            }
            Ok(Some(watcher::Event::InitDone)) => {
                *node.services.write() = std::mem::take(&mut fresh);
                known.send_replace(true);
            }
            Ok(Some(watcher::Event::Apply(service))) => {
                let mut services = node.services.write();
                match ServiceAddress::of(&service) {
                    Some(address) => services.insert(key(&service), address),
                    None => services.remove(&key(&service)),
                };
            }
            Ok(Some(watcher::Event::Delete(service))) => {
                node.services.write().remove(&key(&service));
            }
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "watching services; trying again"),
        }
    }
}
