//! The life of API services: their condition `Available`, what they serve, and when to look again (kube-aggregator
//! `remote_available_controller.go`, `handler_discovery.go`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use minisvc_api::aggregation::{self, RESOURCE, Verdict};
use minisvc_api::discovery;
use minisvc_store::{Key, Write};
use serde_json::{Value, json};

use super::openapi::fetch;
use super::{Known, Seen};
use crate::server::Inner;
use crate::streams::location;

/// How often a service that answers is looked at.
const PERIOD: Duration = Duration::from_secs(30);
/// How soon one that does not is asked again, at first and at last.
const SOON: Duration = Duration::from_millis(250);

impl Inner {
    /// After a write of an API service.
    pub(crate) async fn follow_services(&self) {
        self.aggregator.forget();
        self.register(false).await;
        self.aggregator.bell.notify_one();
    }

    /// After a write of what may stand behind one.
    pub(crate) fn follow_backends(&self, key: &Key) {
        let known = self.aggregator.known(&*self.store);
        if known.iter().any(|one| one.remote.service.0 == *key.namespace) {
            self.aggregator.bell.notify_one();
        }
    }

    /// Looks after all of them until the server ends.
    pub(crate) async fn keep_services(self: Arc<Self>) {
        let mut pause = SOON;
        loop {
            let known = self.aggregator.known(&*self.store);
            let healthy = join_all(known.iter().map(|one| self.look(one))).await;
            self.aggregator.seen.write().retain(|name, _| known.iter().any(|one| one.remote.name == *name));
            let wait = async {
                match (known.is_empty(), healthy.iter().all(|good| *good)) {
                    (true, _) => std::future::pending().await,
                    (false, true) => tokio::time::sleep(PERIOD).await,
                    (false, false) => tokio::time::sleep(pause).await,
                }
            };
            tokio::select! {
                () = wait => pause = (pause * 2).min(PERIOD),
                () = self.aggregator.bell.notified() => pause = SOON,
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// One look at one service; whether it is well.
    async fn look(&self, known: &Known) -> bool {
        let remote = &known.remote;
        let (namespace, name, _) = &remote.service;
        let service = self.store.get(&Key::new("services", namespace.as_str(), name.as_str()));
        let slices = location::slices(&*self.store, namespace, name);
        let slices: Vec<&Value> = slices.iter().map(|slice| &*slice.value).collect();
        let verdict = match aggregation::judge(remote, service.as_ref().map(|found| &*found.value), &slices) {
            Some(verdict) => verdict,
            None => match known.get(self, &remote.path(), "application/json").await {
                Ok(answer) if (200..300).contains(&answer.code) => Verdict::passed(),
                Ok(answer) => Verdict::failed_discovery(format!(
                    "failing or missing response from {url}: bad status from {url}: {}",
                    answer.code,
                    url = answer.url
                )),
                Err(cause) => Verdict::failed_discovery(cause),
            },
        };
        let well = verdict.status == "True";
        let found = if well { self.discover(known).await } else { None };
        {
            let mut seen = self.aggregator.seen.write();
            let entry: &mut Seen = seen.entry(remote.name.clone()).or_default();
            entry.fresh = found.is_some();
            entry.version = found.clone().or(entry.version.take());
        }
        if well {
            let before =
                self.aggregator.seen.read().get(&remote.name).map(|seen| seen.specs.clone()).unwrap_or_default();
            let specs = fetch(self, known, before).await;
            self.aggregator.seen.write().entry(remote.name.clone()).or_default().specs = specs;
        }
        self.tell(&remote.name, &verdict).await;
        well && found.is_some()
    }

    /// Writes the condition where it changed.
    async fn tell(&self, name: &str, verdict: &Verdict) {
        let key = Key::new(RESOURCE, "", name);
        let Some(stored) = self.store.get(&key) else { return };
        if !stored.value["spec"]["service"].is_object() {
            return;
        }
        if let Some(value) = aggregation::with_condition(&stored.value, verdict, Timestamp::now()) {
            self.settle(Write::Update { key, expected: Some(stored.revision), value }).await;
            self.aggregator.forget();
        }
    }

    /// `APIVersionDiscovery` of its version: from its aggregated document, else from the older one.
    async fn discover(&self, known: &Known) -> Option<Value> {
        let remote = &known.remote;
        let answer = known.get(self, "/apis", discovery::CONTENT_TYPE_AGGREGATED).await.ok()?;
        let media =
            answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_new = ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"]
            .iter()
            .all(|wanted| media.split(';').any(|part| part.trim() == *wanted));
        if answer.code == 200 && is_new {
            let document: Value = serde_json::from_slice(&answer.body).ok()?;
            let mut groups = document["items"].as_array()?.iter();
            let group = groups.find(|group| group["metadata"]["name"] == *remote.group);
            let mut versions = group.and_then(|group| group["versions"].as_array()).into_iter().flatten();
            let found = versions.find(|one| one["version"] == *remote.version).cloned();
            return Some(found.unwrap_or_else(|| json!({"version": remote.version})));
        }
        let answer = known.get(self, &remote.path(), "application/json").await.ok()?;
        let document: Value = serde_json::from_slice(&answer.body).ok().filter(|_| answer.code == 200)?;
        let resources = aggregation::resources_of_legacy(&document, &remote.group, &remote.version);
        Some(json!({"version": remote.version, "resources": resources}))
    }
}
