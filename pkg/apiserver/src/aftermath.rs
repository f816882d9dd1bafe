//! What follows a write: the IPAddresses of a Service's ClusterIPs, the state of ServiceCIDRs, the rules of roles that
//! gather others, certificates that were asked for, the order of flows, what stands behind API services, and the status of
//! quotas. Must not decide whether the write is allowed.

mod addresses;
mod certificates;
mod ranges;
mod roles;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use minisvc_api::{aggregation, flow};
use minisvc_store::{StoreError, Stored, Write};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::admission::quota;
use crate::server::Inner;

const SERVICES: &str = "services";
const ENDPOINT_SLICES: &str = "endpointslices.discovery.k8s.io";

/// What writers leave behind to be done.
#[derive(Default)]
pub(crate) struct Aftermath {
    /// Taken in turn by those who make something where there are quotas.
    pub(crate) turns: tokio::sync::Mutex<()>,
    /// Namespaces whose quotas are to be counted anew.
    namespaces: Mutex<BTreeSet<String>>,
    bell: Notify,
}

impl Inner {
    /// Makes a change durable and sees to what follows from it.
    pub(crate) async fn commit(&self, write: Write, dry_run: bool) -> Result<Arc<Stored>, StoreError> {
        let (gone, key) = match &write {
            Write::Create { key, .. } | Write::Update { key, .. } => (false, key),
            Write::Delete { key, .. } => (true, key),
        };
        let before = if *key.resource == *SERVICES { self.addresses_of(key) } else { Vec::new() };
        let stored = self.store.commit(write, dry_run).await?;
        if !dry_run {
            match &*stored.key.resource {
                SERVICES => {
                    self.follow_service(&before, &stored, gone).await;
                    self.follow_backends(&stored.key);
                }
                ranges::RESOURCE => self.follow_ranges().await,
                certificates::RESOURCE if !gone => self.sign(&stored).await,
                roles::RESOURCE => self.gather_rules().await,
                aggregation::RESOURCE => self.follow_services().await,
                ENDPOINT_SLICES => self.follow_backends(&stored.key),
                flow::SCHEMAS | flow::LEVELS => self.follow_flows().await,
                _ => {}
            }
            self.recount(&stored.key.namespace);
        }
        Ok(stored)
    }

    /// A write of the server's own: when somebody was faster, what follows from that write does it.
    pub(crate) async fn settle(&self, write: Write) {
        match self.store.commit(write, false).await {
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound(_) | StoreError::AlreadyExists(_)) => {}
            Err(error) => tracing::warn!(%error, "what follows from a write could not be written"),
        }
    }

    /// Asks for the quotas of a namespace to be counted anew.
    fn recount(&self, namespace: &str) {
        if !quota::quotas(&*self.store, namespace).is_empty() {
            self.aftermath.namespaces.lock().insert(namespace.to_owned());
            self.aftermath.bell.notify_one();
        }
    }

    /// At start: what an earlier run may have left undone.
    pub(crate) async fn catch_up(&self) {
        self.settle_addresses().await;
        self.follow_ranges().await;
        self.restore_flows().await;
        for asked in self.store.list(certificates::RESOURCE, None).items {
            self.sign(&asked).await;
        }
        for found in self.store.list("resourcequotas", None).items {
            self.recount(&found.key.namespace);
        }
    }

    /// Keeps the status of quotas, until the server ends.
    pub(crate) async fn keep_quotas(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.aftermath.bell.notified() => {}
                () = self.shutdown.cancelled() => return,
            }
            let due = std::mem::take(&mut *self.aftermath.namespaces.lock());
            for namespace in due {
                for found in quota::quotas(&*self.store, &namespace) {
                    self.write_use(&found).await;
                }
            }
        }
    }

    async fn write_use(&self, found: &Stored) {
        let mut value = (*found.value).clone();
        let used = quota::used(&*self.store, &found.key.namespace, &value, Timestamp::now());
        let used: Map<String, Value> =
            used.into_iter().map(|(name, amount)| (name, amount.to_string().into())).collect();
        let hard = value["spec"].get("hard").cloned().unwrap_or_else(|| json!({}));
        value["status"] = json!({"hard": hard, "used": used});
        let write = Write::Update { key: found.key.clone(), expected: Some(found.revision), value };
        match self.store.commit(write, false).await {
            // Somebody was faster: count again.
            Err(StoreError::Conflict { .. }) => self.recount(&found.key.namespace),
            Err(StoreError::NotFound(_)) | Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the use of a quota could not be written"),
        }
    }
}
