//! Aggregation: requests for the groups and versions of API services go to the services themselves, and what those serve
//! is shown among this server's own (kube-aggregator). `forward` passes requests on, `keep` looks after conditions and
//! fetches documents, `client` asks. Must not know how groups are ordered: the API room does.

mod client;
mod forward;
mod keep;
mod local;
mod openapi;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use minisvc_api::aggregation::{RESOURCE, Remote};
use minisvc_store::Store;
use parking_lot::RwLock;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::http::path::RequestInfo;
use crate::server::Inner;

pub(crate) use forward::{Forward, forward};
pub(crate) use openapi::Specs;

/// The API services with a Service behind them, and what was last seen of each.
#[derive(Default)]
pub(crate) struct Aggregator {
    /// Made anew after each write of an API service.
    known: RwLock<Option<Arc<Vec<Arc<Known>>>>>,
    /// By the API service's name.
    seen: RwLock<HashMap<String, Seen>>,
    /// Rung when something may have become available or not.
    bell: Notify,
}

/// One of them.
pub(crate) struct Known {
    pub(crate) remote: Remote,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// What it served when it was last asked.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// `APIVersionDiscovery` without its freshness.
    version: Option<Value>,
    fresh: bool,
    specs: Specs,
}

impl Aggregator {
    /// All of them now.
    pub(crate) fn known(&self, store: &dyn Store) -> Arc<Vec<Arc<Known>>> {
        if let Some(known) = &*self.known.read() {
            return known.clone();
        }
        // As with flows: whoever writes forgets after the commit.
        let mut kept = self.known.write();
        let remotes = store.list(RESOURCE, None).items;
        let remotes = remotes.iter().filter_map(|stored| Remote::of(&stored.value));
        let known =
            Arc::new(remotes.map(|remote| Arc::new(Known { remote, tls: OnceLock::new() })).collect::<Vec<_>>());
        *kept = Some(known.clone());
        known
    }

    fn forget(&self) {
        *self.known.write() = None;
    }
}

impl Inner {
    /// The service that answers a request: one for its resource, or for the document of a group and version.
    pub(crate) fn aggregated(&self, info: &RequestInfo) -> Option<Arc<Known>> {
        let known = self.aggregator.known(&*self.store);
        if known.is_empty() {
            return None;
        }
        let (group, version) = match info.resource_request {
            true => (info.group.as_str(), info.version.as_str()),
            false => {
                let parts: Vec<&str> = info.path.trim_matches('/').split('/').collect();
                let ["apis", group, version] = parts[..] else { return None };
                (group, version)
            }
        };
        known.iter().find(|one| one.remote.group == group && one.remote.version == version).cloned()
    }

    /// All remotes, as the API room wants them.
    pub(crate) fn remotes(&self) -> Vec<Remote> {
        self.aggregator.known(&*self.store).iter().map(|known| known.remote.clone()).collect()
    }

    /// What aggregated discovery says of a remote's version.
    pub(crate) fn discovered(&self, remote: &Remote) -> Value {
        let seen = self.aggregator.seen.read().get(&remote.name).cloned().unwrap_or_default();
        let mut version = seen.version.unwrap_or_else(|| json!({"version": remote.version}));
        version["freshness"] = if seen.fresh { "Current" } else { "Stale" }.into();
        version
    }

    /// What each remote serves as OpenAPI.
    pub(crate) fn specs(&self) -> Vec<(Remote, Specs)> {
        let seen = self.aggregator.seen.read();
        let all = self.remotes();
        all.into_iter().filter_map(|remote| Some((remote.clone(), seen.get(&remote.name)?.specs.clone()))).collect()
    }
}
