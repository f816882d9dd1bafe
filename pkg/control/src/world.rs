//! What every controller shares: the mirrors, the client, the recorder, and writes that enter the mirrors at once.
//! No judgement here.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController,
    Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::Config;
use crate::mirror::{self, Mirror, feed, key_of};
use crate::recorder::Recorder;

/// Name of the ConfigMap with the authority's certificate in every namespace.
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";

/// The shared state of all controllers.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) pods: Arc<Mirror<Pod>>,
    pub(crate) nodes: Arc<Mirror<Node>>,
    pub(crate) services: Arc<Mirror<Service>>,
    pub(crate) endpoints: Arc<Mirror<Endpoints>>,
    pub(crate) slices: Arc<Mirror<EndpointSlice>>,
    pub(crate) replica_sets: Arc<Mirror<ReplicaSet>>,
    pub(crate) deployments: Arc<Mirror<Deployment>>,
    pub(crate) daemon_sets: Arc<Mirror<DaemonSet>>,
    pub(crate) stateful_sets: Arc<Mirror<StatefulSet>>,
    pub(crate) revisions: Arc<Mirror<ControllerRevision>>,
    pub(crate) replication_controllers: Arc<Mirror<ReplicationController>>,
    pub(crate) jobs: Arc<Mirror<Job>>,
    pub(crate) cron_jobs: Arc<Mirror<CronJob>>,
    pub(crate) claims: Arc<Mirror<PersistentVolumeClaim>>,
    pub(crate) volumes: Arc<Mirror<PersistentVolume>>,
    pub(crate) classes: Arc<Mirror<StorageClass>>,
    pub(crate) budgets: Arc<Mirror<PodDisruptionBudget>>,
    pub(crate) autoscalers: Arc<Mirror<HorizontalPodAutoscaler>>,
    pub(crate) namespaces: Arc<Mirror<Namespace>>,
    pub(crate) migrations: Arc<Mirror<StorageVersionMigration>>,
    pub(crate) accounts: Arc<Mirror<ServiceAccount>>,
    /// Only those named `kube-root-ca.crt`.
    pub(crate) root_cas: Arc<Mirror<ConfigMap>>,
    /// Only those of nodes.
    pub(crate) leases: Arc<Mirror<Lease>>,
}

/// A kind that the world mirrors.
pub(crate) trait Mirrored:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    fn mirror(world: &World) -> &Arc<Mirror<Self>>;
    fn api(client: &Client, namespace: &str) -> Api<Self>;
}

macro_rules! mirrored {
    ($($kind:ty => $field:ident, $api:expr;)*) => {$(
        impl Mirrored for $kind {
            fn mirror(world: &World) -> &Arc<Mirror<Self>> {
                &world.$field
            }
            fn api(client: &Client, namespace: &str) -> Api<Self> {
                let make: fn(Client, &str) -> Api<Self> = $api;
                make(client.clone(), namespace)
            }
        }
    )*};
}

mirrored! {
    Pod => pods, Api::namespaced;
    Node => nodes, |client, _| Api::all(client);
    Service => services, Api::namespaced;
    Endpoints => endpoints, Api::namespaced;
    EndpointSlice => slices, Api::namespaced;
    ReplicaSet => replica_sets, Api::namespaced;
    Deployment => deployments, Api::namespaced;
    DaemonSet => daemon_sets, Api::namespaced;
    StatefulSet => stateful_sets, Api::namespaced;
    ControllerRevision => revisions, Api::namespaced;
    ReplicationController => replication_controllers, Api::namespaced;
    Job => jobs, Api::namespaced;
    CronJob => cron_jobs, Api::namespaced;
    PersistentVolumeClaim => claims, Api::namespaced;
    PersistentVolume => volumes, |client, _| Api::all(client);
    StorageClass => classes, |client, _| Api::all(client);
    PodDisruptionBudget => budgets, Api::namespaced;
    HorizontalPodAutoscaler => autoscalers, Api::namespaced;
    Namespace => namespaces, |client, _| Api::all(client);
    StorageVersionMigration => migrations, |client, _| Api::all(client);
    ServiceAccount => accounts, Api::namespaced;
    ConfigMap => root_cas, Api::namespaced;
    Lease => leases, Api::namespaced;
}

fn pod_entries(pod: &Pod, entries: &mut Vec<String>) {
    mirror::by_owner_and_labels(pod, entries);
    if let Some(node) = crate::pods::node(pod) {
        entries.push(mirror::node_entry(node));
    }
}

fn slice_entries(slice: &EndpointSlice, entries: &mut Vec<String>) {
    let meta = &slice.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    if let Some(service) = meta.labels.as_ref().and_then(|l| l.get(crate::endpoints::SERVICE_NAME)) {
        entries.push(mirror::label_entry(namespace, crate::endpoints::SERVICE_NAME, service));
    }
}

impl World {
    pub(crate) fn new(config: Config, client: Client, recorder: Recorder) -> Arc<Self> {
        Arc::new(Self {
            config,
            client,
            recorder,
            pods: Arc::new(Mirror::new(pod_entries)),
            nodes: Arc::new(Mirror::new(mirror::unindexed)),
            services: Arc::new(Mirror::new(mirror::unindexed)),
            endpoints: Arc::new(Mirror::new(mirror::unindexed)),
            slices: Arc::new(Mirror::new(slice_entries)),
            replica_sets: Arc::new(Mirror::new(mirror::by_owner)),
            deployments: Arc::new(Mirror::new(mirror::unindexed)),
            daemon_sets: Arc::new(Mirror::new(mirror::unindexed)),
            stateful_sets: Arc::new(Mirror::new(mirror::unindexed)),
            revisions: Arc::new(Mirror::new(mirror::unindexed)),
            replication_controllers: Arc::new(Mirror::new(mirror::unindexed)),
            jobs: Arc::new(Mirror::new(mirror::by_owner)),
            cron_jobs: Arc::new(Mirror::new(mirror::unindexed)),
            claims: Arc::new(Mirror::new(mirror::unindexed)),
            volumes: Arc::new(Mirror::new(mirror::unindexed)),
            classes: Arc::new(Mirror::new(mirror::unindexed)),
            budgets: Arc::new(Mirror::new(mirror::unindexed)),
            autoscalers: Arc::new(Mirror::new(mirror::unindexed)),
            namespaces: Arc::new(Mirror::new(mirror::unindexed)),
            migrations: Arc::new(Mirror::new(mirror::unindexed)),
            accounts: Arc::new(Mirror::new(mirror::unindexed)),
            root_cas: Arc::new(Mirror::new(mirror::unindexed)),
            leases: Arc::new(Mirror::new(mirror::unindexed)),
        })
    }

    /// Starts the watches that fill the mirrors.
    pub(crate) fn feed(&self, parts: &mut JoinSet<(&'static str, anyhow::Result<()>)>) {
        let all = watcher::Config::default();
        let client = &self.client;
        macro_rules! start {
            ($name:literal, $field:ident, $api:expr, $config:expr) => {{
                let work = feed(self.$field.clone(), $api, $config);
                parts.spawn(async move { (concat!("watch of ", $name), work.await) });
            }};
        }
        start!("pods", pods, Api::all(client.clone()), all.clone());
        start!("nodes", nodes, Api::all(client.clone()), all.clone());
        start!("services", services, Api::all(client.clone()), all.clone());
        start!("endpoints", endpoints, Api::all(client.clone()), all.clone());
        start!("endpointslices", slices, Api::all(client.clone()), all.clone());
        start!("replicasets", replica_sets, Api::all(client.clone()), all.clone());
        start!("deployments", deployments, Api::all(client.clone()), all.clone());
        start!("daemonsets", daemon_sets, Api::all(client.clone()), all.clone());
        start!("statefulsets", stateful_sets, Api::all(client.clone()), all.clone());
        start!("controllerrevisions", revisions, Api::all(client.clone()), all.clone());
        start!("replicationcontrollers", replication_controllers, Api::all(client.clone()), all.clone());
        start!("jobs", jobs, Api::all(client.clone()), all.clone());
        start!("cronjobs", cron_jobs, Api::all(client.clone()), all.clone());
        start!("persistentvolumeclaims", claims, Api::all(client.clone()), all.clone());
        start!("persistentvolumes", volumes, Api::all(client.clone()), all.clone());
        start!("storageclasses", classes, Api::all(client.clone()), all.clone());
        start!("poddisruptionbudgets", budgets, Api::all(client.clone()), all.clone());
        start!("horizontalpodautoscalers", autoscalers, Api::all(client.clone()), all.clone());
        start!("storageversionmigrations", migrations, Api::all(client.clone()), all.clone());
        start!("namespaces", namespaces, Api::all(client.clone()), all.clone());
        start!("serviceaccounts", accounts, Api::all(client.clone()), all.clone());
        let named = all.clone().fields(&format!("metadata.name={ROOT_CA}"));
        start!("configmaps", root_cas, Api::all(client.clone()), named);
        start!("leases", leases, Api::namespaced(client.clone(), "kube-node-lease"), all);
    }

    /// Waits until every mirror has its first list.
    pub(crate) async fn synced(&self) {
        self.pods.synced().await;
        self.nodes.synced().await;
        self.services.synced().await;
        self.endpoints.synced().await;
        self.slices.synced().await;
        self.replica_sets.synced().await;
        self.deployments.synced().await;
        self.daemon_sets.synced().await;
        self.stateful_sets.synced().await;
        self.revisions.synced().await;
        self.replication_controllers.synced().await;
        self.jobs.synced().await;
        self.cron_jobs.synced().await;
        self.claims.synced().await;
        self.volumes.synced().await;
        self.classes.synced().await;
        self.budgets.synced().await;
        self.autoscalers.synced().await;
        self.namespaces.synced().await;
        self.migrations.synced().await;
        self.accounts.synced().await;
        self.root_cas.synced().await;
        self.leases.synced().await;
    }

    /// The namespace is there and not on its way out, so that things may be created in it.
    pub(crate) fn namespace_lives(&self, name: &str) -> bool {
        self.namespaces.get("", name).is_some_and(|n| n.metadata.deletion_timestamp.is_none())
    }

    pub(crate) async fn create<K: Mirrored>(&self, object: &K) -> Result<Arc<K>, kube::Error> {
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        let made = K::api(&self.client, namespace).create(&PostParams::default(), object).await?;
        Ok(K::mirror(self).wrote(&made))
    }

    /// Replaces an object; its resourceVersion guards against changes by others.
    pub(crate) async fn replace<K: Mirrored>(&self, object: &K) -> Result<Arc<K>, kube::Error> {
        let (namespace, name) = key_of(object.meta());
        let made = K::api(&self.client, &namespace).replace(&name, &PostParams::default(), object).await?;
        Ok(K::mirror(self).wrote(&made))
    }

    /// Replaces an object's status; its resourceVersion guards against changes by others.
    pub(crate) async fn replace_status<K: Mirrored>(&self, object: &K) -> Result<Arc<K>, kube::Error> {
        let (namespace, name) = key_of(object.meta());
        let made = K::api(&self.client, &namespace).replace_status(&name, &PostParams::default(), object).await?;
        Ok(K::mirror(self).wrote(&made))
    }

    /// Merge-patches an object; put a uid into the patch's metadata to address one life of it only.
    pub(crate) async fn patch<K: Mirrored>(&self, object: &K, patch: Value) -> Result<Arc<K>, kube::Error> {
        let (namespace, name) = key_of(object.meta());
        let api = K::api(&self.client, &namespace);
        let made = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(K::mirror(self).wrote(&made))
    }

    /// As [`World::patch`], by a strategic merge patch.
    pub(crate) async fn patch_strategic<K: Mirrored>(&self, object: &K, patch: Value) -> Result<Arc<K>, kube::Error> {
        let (namespace, name) = key_of(object.meta());
        let api = K::api(&self.client, &namespace);
        let made = api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(K::mirror(self).wrote(&made))
    }

    /// Deletes this life of an object; one that is gone already is fine.
    pub(crate) async fn delete<K: Mirrored>(&self, object: &K, grace: Option<u32>) -> Result<(), kube::Error> {
        self.remove(object, DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() }).await
    }

    /// As [`World::delete`], and says what becomes of those that the object owns.
    pub(crate) async fn delete_with<K: Mirrored>(
        &self,
        object: &K,
        dependents: PropagationPolicy,
    ) -> Result<(), kube::Error> {
        self.remove(object, DeleteParams { propagation_policy: Some(dependents), ..DeleteParams::default() }).await
    }

    async fn remove<K: Mirrored>(&self, object: &K, mut params: DeleteParams) -> Result<(), kube::Error> {
        let key = key_of(object.meta());
        let uid = object.meta().uid.clone().unwrap_or_default();
        let now = params.grace_period_seconds == Some(0);
        params.preconditions = Some(Preconditions { uid: Some(uid.clone()), resource_version: None });
        match K::api(&self.client, &key.0).delete(&key.1, &params).await.map(|answer| answer.left()) {
            // Marked only: someone has to let go of it first.
            Ok(Some(left)) if left.meta().deletion_timestamp.is_some() && !(now && is_free(left.meta())) => {
                K::mirror(self).wrote(&left);
            }
            Ok(_) => K::mirror(self).removed(&key, &uid),
            Err(error) if is_not_found(&error) || is_conflict(&error) => K::mirror(self).removed(&key, &uid),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_free(meta: &ObjectMeta) -> bool {
    meta.finalizers.as_ref().is_none_or(Vec::is_empty)
}

/// The code of an API error.
pub(crate) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    code(error) == Some(404)
}

/// A write that lost against another, or a create of what exists.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    code(error) == Some(409)
}

/// Fine when the object is gone already.
pub(crate) fn or_gone<T>(outcome: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Now, cut to whole seconds as Kubernetes' `Time` is.
pub(crate) fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}
