//! Which kinds' metadata is watched: those there are at the start, and those that definitions and API services add, change
//! and take away while the collector runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use tokio::task::{AbortHandle, JoinSet};

use super::{Collector, is_mirrored};
use crate::kinds::{self, Kind, Kinds};

/// How long definitions that come together are waited for, and how long after a discovery that failed.
const TOGETHER: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_secs(1);

/// A watch at work.
struct Watch {
    /// The version it asks for.
    version: String,
    kind: usize,
    handle: AbortHandle,
}

impl Collector {
    /// Keeps one watch for every kind, for ever.
    pub(super) async fn follow(self: Arc<Self>) -> anyhow::Result<()> {
        let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.world.client.clone());
        let definitions = watcher::watcher(definitions, watcher::Config::default())
            .backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch()))
            .map(|event| event.map(drop));
        let services: Api<PartialObjectMeta<APIService>> = Api::all(self.world.client.clone());
        let services = watcher::watcher(services, watcher::Config::default())
            .backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch()))
            .map(|event| event.map(drop));
        let mut changes = futures::stream::select(definitions.boxed(), services.boxed());
        let mut watches: HashMap<(String, String), Watch> = HashMap::new();
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let first = self.kinds.read().clone();
        self.adopt(Kinds { all: first, stale: Vec::new() }, &mut watches, &mut tasks);
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::warn!(%error, "watch of definitions or API services broken, starting it again");
                        continue;
                    }
                    None => bail!("the watches of definitions and API services ended"),
                },
                Some(ended) = tasks.join_next() => match ended {
                    Err(error) if error.is_cancelled() => continue,
                    ended => return ended.context("a watch of metadata")?,
                },
            }
            // What comes together is looked at once.
            while let Ok(Some(_)) = tokio::time::timeout(TOGETHER, changes.next()).await {}
            loop {
                match kinds::discover(&self.world.client).await {
                    Ok(kinds) => break self.adopt(kinds, &mut watches, &mut tasks),
                    Err(error) => tracing::debug!(%error, "discovery failed, will try again"),
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Starts the watches that are missing and ends those of kinds that are gone.
    fn adopt(
        self: &Arc<Self>,
        found: Kinds,
        watches: &mut HashMap<(String, String), Watch>,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) {
        let name = |kind: &Kind| (kind.resource.group.clone(), kind.resource.plural.clone());
        let Kinds { all: kinds, stale } = found;
        // What a service that does not answer holds is still there.
        let blind = |group: &str| stale.iter().any(|gv| super::group_of(gv) == group);
        let is_gone = |key: &&(String, String)| !blind(&key.0) && !kinds.iter().any(|kind| name(kind) == **key);
        let gone: Vec<_> = watches.keys().filter(is_gone).cloned().collect();
        for key in gone {
            let Some(watch) = watches.remove(&key) else { continue };
            watch.handle.abort();
            let left = self.graph.lock().of_kind(watch.kind);
            left.iter().for_each(|uid| self.lost(uid));
        }
        for kind in kinds.into_iter().filter(|kind| kind.deletable && kind.watchable && !is_mirrored(kind)) {
            let (key, version) = (name(&kind), kind.resource.api_version.clone());
            match watches.get(&key) {
                Some(watch) if watch.version == version => continue,
                Some(watch) => watch.handle.abort(),
                None => {}
            }
            let index = {
                let mut known = self.kinds.write();
                match known.iter().position(|known| name(known) == key) {
                    Some(index) => {
                        known[index] = kind;
                        index
                    }
                    None => {
                        known.push(kind);
                        known.len() - 1
                    }
                }
            };
            // Owners of this kind could not be asked after before.
            let resource = self.kind(index).resource;
            let dependents = self.graph.lock().owned_by(&resource.group, &resource.kind);
            dependents.into_iter().for_each(|uid| self.queue.add(uid));
            let handle = tasks.spawn(self.clone().watch(index));
            watches.insert(key, Watch { version, kind: index, handle });
        }
    }
}
