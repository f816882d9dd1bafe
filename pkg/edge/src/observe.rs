//! Watching the Kubernetes API: each kind's stream becomes whole lists and single changes in one channel. Must not judge
//! what it sees, except that services that cannot matter here are left out.

use std::fmt::Debug;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, task::JoinSet};

use crate::planner::CLEANUP;

/// Where `minisvc cloud on` and `off` write: a ConfigMap's namespace, name and key.
pub const SWITCH: (&str, &str, &str) = ("kube-system", "minisvc-cloud", "enabled");

/// What happened to one kind.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// These are all that there are.
    All(Vec<K>),
    /// This one is new or changed.
    Apply(K),
    /// This one is gone.
    Delete(K),
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Update {
    Services(Box<Change<Service>>),
    Nodes(Box<Change<Node>>),
    Slices(Box<Change<EndpointSlice>>),
    Switch(Box<Change<ConfigMap>>),
}

/// Starts watching services, nodes and the switch.
pub(crate) fn watch(client: &Client, updates: &mpsc::UnboundedSender<Update>, tasks: &mut JoinSet<()>) {
    let all = watcher::Config::default;
    let (services, nodes, switch) = (updates.clone(), updates.clone(), updates.clone());
    tasks.spawn(follow(Api::<Service>::all(client.clone()), all(), move |change| {
        services.send(Update::Services(Box::new(relevant(change)))).is_ok()
    }));
    tasks.spawn(follow(Api::<Node>::all(client.clone()), all(), move |change| {
        nodes.send(Update::Nodes(Box::new(change))).is_ok()
    }));
    let one = all().fields(&format!("metadata.name={}", SWITCH.1));
    tasks.spawn(follow(Api::<ConfigMap>::namespaced(client.clone(), SWITCH.0), one, move |change| {
        switch.send(Update::Switch(Box::new(change))).is_ok()
    }));
}

/// Starts watching endpoint slices.
pub(crate) fn watch_slices(client: &Client, updates: mpsc::UnboundedSender<Update>, tasks: &mut JoinSet<()>) {
    tasks.spawn(follow(Api::<EndpointSlice>::all(client.clone()), watcher::Config::default(), move |change| {
        updates.send(Update::Slices(Box::new(change))).is_ok()
    }));
}

async fn follow<K>(api: Api<K>, config: watcher::Config, mut tell: impl FnMut(Change<K>) -> bool)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events =
        watcher(api, config).backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch())).boxed();
    let mut list = Vec::new();
    loop {
        let go_on = match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => {
                list.clear();
                true
            }
            Ok(Some(watcher::Event::InitApply(object))) => {
                list.push(object);
                true
            }
            Ok(Some(watcher::Event::InitDone)) => tell(Change::All(std::mem::take(&mut list))),
            Ok(Some(watcher::Event::Apply(object))) => tell(Change::Apply(object)),
            Ok(Some(watcher::Event::Delete(object))) => tell(Change::Delete(object)),
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(%error, "watch");
                true
            }
        };
        if !go_on {
            return;
        }
    }
}

/// Leaves out services that are no load balancer and carry neither an address nor the finalizer of one; one that became such is as good as gone.
fn relevant(change: Change<Service>) -> Change<Service> {
    let matters = |service: &Service| {
        let balancer = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let guarded = service.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == CLEANUP);
        balancer || guarded || status.and_then(|one| one.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
    };
    match change {
        Change::All(services) => Change::All(services.into_iter().filter(matters).collect()),
        Change::Apply(service) if !matters(&service) => Change::Delete(service),
        other => other,
    }
}
