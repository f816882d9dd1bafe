//! What all parts of a node share, and the Node object with its lease.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use minisvc_images::Catalogue;
use minisvc_kernel::{Cgroup, Cgroups, Links, Netns, set_sysctl, until_beat};
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::sync::{Notify, Semaphore, watch};

use crate::address::Addresses;
use crate::config::Config;
use crate::environment::ServiceAddress;
use crate::events::Recorder;
use crate::machine;
use crate::room::Ledger;
use crate::roster::Roster;
use crate::server::Ends;

/// Namespaces and processes being made at once: such work blocks a thread each.
const HANDS: usize = 4;
/// Status writes on their way at once; each may hold a connection.
const WRITES: usize = 8;

/// How often the node's status is written though nothing happened (kubelet's nodeStatusReportFrequency).
const STATUS_INTERVAL: Duration = Duration::from_secs(300);

/// What the parts of one node share.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) client: kube::Client,
    pub(crate) links: Links,
    pub(crate) addresses: Mutex<Addresses>,
    /// The group of all pods; none where the machine has no control groups, or refuses.
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) recorder: Recorder,
    /// Services with addresses, by namespace and name.
    pub(crate) services: RwLock<BTreeMap<(String, String), ServiceAddress>>,
    /// Turns true once the first list of services is in.
    pub(crate) services_known: watch::Receiver<bool>,
    catalogue: RwLock<Arc<Catalogue>>,
    pub(crate) hands: Semaphore,
    pub(crate) writes: Semaphore,
    /// ConfigMaps with the API's certificate authority, by namespace, and since when they are known.
    pub(crate) authorities: Mutex<HashMap<String, (tokio::time::Instant, core::ConfigMap)>>,
    /// Tokens that nothing waits for are fetched one at a time.
    pub(crate) later: Semaphore,
    /// Rung when the pods had to be listed again.
    pub(crate) say_anew: Notify,
    /// The pods that live here, for whoever asks by name.
    pub(crate) roster: Roster,
    /// What they hold of the node's resources.
    pub(crate) ledger: Ledger,
    /// How the containers here ended.
    pub(crate) ends: Mutex<Ends>,
}

impl Node {
    pub(crate) async fn new(
        config: Config,
        client: kube::Client,
        services_known: watch::Receiver<bool>,
    ) -> anyhow::Result<Arc<Node>> {
        let netns = Netns::current()?;
        set_sysctl(&netns, "net.ipv4.ip_forward", "1")?;
        let links = Links::open(&netns).await?;
        let catalogue = RwLock::new(Arc::new(read_catalogue(&config)));
        Ok(Arc::new(Node {
            links,
            addresses: Mutex::new(Addresses::new(config.pod_cidr)),
            cgroup: own_cgroup(&config),
            recorder: Recorder::start(client.clone(), &config.node_name),
            services: RwLock::default(),
            services_known,
            catalogue,
            hands: Semaphore::new(HANDS),
            writes: Semaphore::new(WRITES),
            authorities: Mutex::default(),
            later: Semaphore::new(1),
            say_anew: Notify::new(),
            roster: Roster::default(),
            ledger: Ledger::new(&resources(&config)),
            ends: Mutex::default(),
            config,
            client,
        }))
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.read().clone()
    }

    /// Reads the image map again: somebody may have added the name that was missing.
    pub(crate) fn reread_catalogue(&self) {
        if self.config.image_map.is_some() {
            *self.catalogue.write() = Arc::new(read_catalogue(&self.config));
        }
    }
}

/// The node's group, empty: what an earlier life of the node left holds no process any more.
fn own_cgroup(config: &Config) -> Option<Cgroup> {
    let group = Cgroups::of_machine()?.group(config.cgroup.clone()?);
    match group.remove().and_then(|()| group.make()) {
        Ok(()) => Some(group),
        Err(error) => {
            tracing::warn!(%error, "no control groups: requests and limits are recorded only");
            None
        }
    }
}

fn read_catalogue(config: &Config) -> Catalogue {
    let mut catalogue = minisvc_images::catalogue();
    if let Some(own) = &config.busybox {
        catalogue.play_busybox(own);
    }
    if let Some(path) = config.image_map.as_deref().filter(|path| path.exists())
        && let Err(error) = catalogue.read_map(path)
    {
        tracing::warn!(%error, "image map not read to its end");
    }
    catalogue
}

/// Registers the node and keeps its lease and status alive, for ever.
pub(crate) async fn keep_registered(node: Arc<Node>) {
    let mut registered = None;
    let mut posted = tokio::time::Instant::now();
    let mut renewed = posted;
    loop {
        let uid = match &registered {
            Some(uid) => uid,
            None => match tokio::time::timeout(node.config.lease_duration, register(&node)).await {
                Ok(Ok(uid)) => {
                    tracing::debug!(node = node.config.node_name, "registered");
                    posted = tokio::time::Instant::now();
                    renewed = posted;
                    registered.insert(uid)
                }
                failed => {
                    let error = failed.map_or_else(
                        |_| Some("no answer".to_owned()),
                        |failed| failed.err().map(|error| error.to_string()),
                    );
                    tracing::warn!(error, "cannot register the node; trying again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
        };
        // A cut link answers nothing at all.
        let renewal = tokio::time::timeout(node.config.lease_duration / 2, renew(&node, uid)).await;
        let gap = renewed.elapsed();
        match renewal {
            Ok(Ok(())) => {
                renewed = tokio::time::Instant::now();
                // After a gap the control plane may have called the node lost, so everything is said anew.
                if gap > node.config.lease_duration || posted.elapsed() > STATUS_INTERVAL {
                    registered = None;
                    continue;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "lease not renewed");
                registered = None;
            }
            Err(_) => {
                tracing::warn!("lease not renewed: no answer");
                registered = None;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(until_beat(node.config.lease_renewal)) => {}
            () = node.say_anew.notified() => registered = None,
        }
    }
}

/// Creates the Node object, or brings an existing one up to date. Answers its uid.
async fn register(node: &Node) -> kube::Result<String> {
    let nodes: Api<core::Node> = Api::all(node.client.clone());
    let object = node_object(node);
    let found = match nodes.create(&PostParams::default(), &object).await {
        Ok(created) => created,
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patch =
                json!({"metadata": {"labels": object.metadata.labels, "annotations": object.metadata.annotations}});
            nodes.patch(&node.config.node_name, &PatchParams::default(), &Patch::Merge(patch)).await?
        }
        Err(error) => return Err(error),
    };
    tell(node, found.status.and_then(|status| status.conditions).unwrap_or_default()).await?;
    Ok(found.metadata.uid.unwrap_or_default())
}

/// Writes the node's status; conditions that say what they said keep their transition times.
async fn tell(node: &Node, old: Vec<core::NodeCondition>) -> kube::Result<()> {
    let nodes: Api<core::Node> = Api::all(node.client.clone());
    let mut status = node_object(node).status.unwrap_or_default();
    for condition in status.conditions.iter_mut().flatten() {
        let same = old.iter().find(|old| old.type_ == condition.type_ && old.status == condition.status);
        if let Some(since) = same.and_then(|old| old.last_transition_time.clone()) {
            condition.last_transition_time = Some(since);
        }
    }
    let patch = Patch::Strategic(json!({"status": status}));
    nodes.patch_status(&node.config.node_name, &PatchParams::default(), &patch).await.map(drop)
}

async fn renew(node: &Node, uid: &str) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), "kube-node-lease");
    let name = &node.config.node_name;
    let now = MicroTime(Timestamp::now());
    let patch = json!({"spec": {"renewTime": now}});
    match leases.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => return other.map(drop),
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Node".into(),
                name: name.clone(),
                uid: uid.to_owned(),
                ..Default::default()
            }]),
            ..Default::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(node.config.lease_duration.as_secs().max(1) as i32),
            renew_time: Some(now),
            ..Default::default()
        }),
    };
    leases.create(&PostParams::default(), &lease).await.map(drop)
}

/// What the node has, all of it for pods.
fn resources(config: &Config) -> BTreeMap<String, Quantity> {
    [
        ("cpu", std::thread::available_parallelism().map_or(1, |cores| cores.get()).to_string()),
        ("memory", format!("{}Ki", machine::memory_bytes() / 1024)),
        ("ephemeral-storage", "20Gi".to_owned()),
        ("hugepages-2Mi", "0".to_owned()),
        ("pods", Addresses::new(config.pod_cidr).capacity().to_string()),
    ]
    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
    .into()
}

fn node_object(node: &Node) -> core::Node {
    let config = &node.config;
    let zone = config.zone.clone().unwrap_or_else(|| config.node_name.clone());
    let mut labels: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", std::env::consts::OS),
        ("kubernetes.io/arch", machine::architecture()),
        ("beta.kubernetes.io/os", std::env::consts::OS),
        ("beta.kubernetes.io/arch", machine::architecture()),
        ("topology.kubernetes.io/zone", zone.as_str()),
        ("topology.kubernetes.io/region", "minisvc"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    labels.extend(config.labels.clone());
    let resources = resources(config);
    let now = Time(Timestamp::now());
    let condition = |kind: &str, status: &str, reason: &str, message: &str| core::NodeCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    let address = |kind: &str, address: String| core::NodeAddress { type_: kind.into(), address };
    let machine_id = machine::line("/etc/machine-id");
    core::Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels),
            annotations: Some(
                [("minisvc.dev/emulated".to_owned(), "network and process namespaces of one machine".to_owned())]
                    .into(),
            ),
            ..Default::default()
        },
        spec: Some(core::NodeSpec {
            pod_cidr: Some(config.pod_cidr.to_string()),
            pod_cidrs: Some(vec![config.pod_cidr.to_string()]),
            ..Default::default()
        }),
        status: Some(core::NodeStatus {
            addresses: Some(vec![
                address("InternalIP", config.node_ip.to_string()),
                address("Hostname", config.node_name.clone()),
            ]),
            daemon_endpoints: config.server.is_some().then(|| core::NodeDaemonEndpoints {
                kubelet_endpoint: Some(core::DaemonEndpoint { port: crate::server::PORT.into() }),
            }),
            capacity: Some(resources.clone()),
            allocatable: Some(resources),
            conditions: Some(vec![
                condition(
                    "MemoryPressure",
                    "False",
                    "KubeletHasSufficientMemory",
                    "kubelet has sufficient memory available",
                ),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            ]),
            node_info: Some(core::NodeSystemInfo {
                architecture: machine::architecture().into(),
                boot_id: machine::line("/proc/sys/kernel/random/boot_id"),
                container_runtime_version: format!("minisvc://{}", env!("CARGO_PKG_VERSION")),
                kernel_version: machine::line("/proc/sys/kernel/osrelease"),
                // Empty since KEP-4004: nobody on a node knows the proxy's version.
                kube_proxy_version: String::new(),
                kubelet_version: config.version.clone(),
                machine_id: machine_id.clone(),
                operating_system: std::env::consts::OS.into(),
                os_image: machine::os_image(),
                system_uuid: machine_id,
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}
