//! A whole control plane in one process: API server over a temporary store, controllers, and pods that run because the
//! test says so. Waits on watches; nothing here sleeps to hope.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use minisvc_apiserver::pki::{Pki, ServingNames};
use minisvc_apiserver::{ApiServer, Config};
use minisvc_store::{Options, SledStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How long a test waits before it says that something never happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running control plane.
pub(crate) struct Lab {
    pub(crate) client: Client,
    pub(crate) controllers: JoinHandle<anyhow::Result<()>>,
    _server: ApiServer,
    _folder: tempfile::TempDir,
}

/// Anything with a watch.
pub(crate) trait Object:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}
impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl Lab {
    /// A control plane whose nodes may be silent for `grace`.
    pub(crate) async fn new(grace: Duration) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let store = SledStore::open(&folder.path().join("store"), Options::default()).unwrap();
        let names = ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", &[]);
        let pki = Arc::new(Pki::load_or_create(&folder.path().join("pki"), &names).unwrap());
        let server = ApiServer::new(Config::new(pki), Arc::new(store));
        server.bootstrap().await.unwrap();
        let config = minisvc_control::Config {
            root_ca: "the root".into(),
            node_grace: grace,
            default_toleration_seconds: 1,
            ..minisvc_control::Config::default()
        };
        let ours = server.client("system:kube-controller-manager", ["system:masters"]);
        let controllers = tokio::spawn(minisvc_control::run(config, ours, std::future::pending()));
        let client = server.client("admin", ["system:masters"]);
        Lab { client, controllers, _server: server, _folder: folder }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Makes ready nodes `node1`...
    pub(crate) async fn nodes(&self, count: usize) {
        let api: Api<Node> = Api::all(self.client.clone());
        for n in 1..=count {
            let name = format!("node{n}");
            let node = object(json!({ "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } } }));
            api.create(&PostParams::default(), &node).await.unwrap();
            self.beat(&name).await;
        }
    }

    /// A sign of life of a node.
    pub(crate) async fn beat(&self, name: &str) {
        let api: Api<Node> = Api::all(self.client.clone());
        let status = json!({ "status": {
            "allocatable": { "cpu": "64", "memory": "64Gi", "pods": "1000" },
            "capacity": { "cpu": "64", "memory": "64Gi", "pods": "1000" },
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady",
                             "lastHeartbeatTime": jiff::Timestamp::now().to_string(), "message": "" }],
        } });
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Stands in for the nodes: bound pods run and are ready, marked ones go. Those with image `broken` only run, those
    /// with image `ends` or `fails` end at once.
    pub(crate) fn kubelets(&self) -> JoinHandle<()> {
        let client = self.client.clone();
        tokio::spawn(async move {
            let all: Api<Pod> = Api::all(client.clone());
            let mut events = pin!(watcher(all, watcher::Config::default()).applied_objects());
            let mut next = 0_usize;
            while let Some(event) = events.next().await {
                let pod = event.unwrap();
                let Some(spec) = &pod.spec else { continue };
                let phase = pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
                let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
                let name = pod.name_any();
                if pod.metadata.deletion_timestamp.is_some() {
                    tokio::spawn(async move {
                        let params = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
                        drop(api.delete(&name, &params).await);
                    });
                } else if spec.node_name.is_some() && phase == "Pending" {
                    next += 1;
                    let image = spec.containers[0].image.clone().unwrap_or_default();
                    let ip = format!("10.244.{}.{}", next / 250 + 1, next % 250 + 1);
                    tokio::spawn(async move {
                        match image.as_str() {
                            "ends" => drop(end(&api, &name, "Succeeded", 0).await),
                            "fails" => drop(end(&api, &name, "Failed", 1).await),
                            image => drop(run(&api, &name, &ip, image != "broken").await),
                        }
                    });
                }
            }
        })
    }

    /// Waits until the objects of a kind that `selector` selects are as they should be.
    pub(crate) async fn until<K: Object>(&self, api: Api<K>, what: &str, done: impl Fn(&[K]) -> bool) -> Vec<K> {
        let mut events = pin!(watcher(api, watcher::Config::default()));
        let mut all: std::collections::BTreeMap<String, K> = std::collections::BTreeMap::new();
        let mut listed = false;
        let work = async {
            while let Some(event) = events.next().await {
                match event.unwrap() {
                    watcher::Event::Init => all.clear(),
                    watcher::Event::InitDone => listed = true,
                    watcher::Event::InitApply(o) | watcher::Event::Apply(o) => drop(all.insert(key(&o), o)),
                    watcher::Event::Delete(o) => drop(all.remove(&key(&o))),
                }
                let now: Vec<_> = all.values().cloned().collect();
                if listed && done(&now) {
                    return now;
                }
            }
            panic!("watch ended while waiting until {what}")
        };
        let outcome = tokio::time::timeout(PATIENCE, work).await;
        match outcome {
            Ok(objects) => objects,
            Err(_) => panic!("never: {what}; at the end {}", serde_json::to_string_pretty(&all).unwrap()),
        }
    }
}

fn key<K: Object>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

async fn run(api: &Api<Pod>, name: &str, ip: &str, ready: bool) -> kube::Result<Pod> {
    let now = jiff::Timestamp::now().to_string();
    let status = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    set_ready(api, name, ready, &now).await
}

async fn end(api: &Api<Pod>, name: &str, phase: &str, code: i32) -> kube::Result<Pod> {
    let now = jiff::Timestamp::now().to_string();
    let container = json!({ "name": "c", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": code, "finishedAt": now } } });
    let status = json!({ "status": { "phase": phase, "containerStatuses": [container] } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await
}

async fn set_ready(api: &Api<Pod>, name: &str, ready: bool, now: &str) -> kube::Result<Pod> {
    let truth = if ready { "True" } else { "False" };
    let status =
        json!({ "status": { "conditions": [{ "type": "Ready", "status": truth, "lastTransitionTime": now }] } });
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await
}

/// Makes a pod ready or not.
pub(crate) async fn ready(api: &Api<Pod>, name: &str, ready: bool) {
    set_ready(api, name, ready, &jiff::Timestamp::now().to_string()).await.unwrap();
}

/// Any object from JSON.
pub(crate) fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// The Ready condition is True.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A Deployment with selector and label `app=<name>`.
pub(crate) fn deployment(name: &str, replicas: i32, image: &str) -> k8s_openapi::api::apps::v1::Deployment {
    object(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } },
                  "template": { "metadata": { "labels": { "app": name } },
                                "spec": { "containers": [{ "name": "color", "image": image }] } } },
    }))
}
