//! What the tasks of one pod share: its newest object, its sheet, its sandbox, its volumes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, ObjectReference, Pod, PodSpec};
use minisvc_kernel::{Cgroup, Netns};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::credentials::Credentials;
use crate::environment::Facts;
use crate::names::namespace;
use crate::node::Node;
use crate::objects::Tokens;
use crate::root::Names;
use crate::running::SharedRunning;
use crate::sandbox::Sandbox;
use crate::status::{Role, Sheet};

/// The order to end: by when everything must be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) deadline: Instant,
}

/// Hears of the order to end; a later order may bring the deadline forward.
pub(crate) type StopSignal = watch::Receiver<Option<Stop>>;

/// Waits until the order to end is there. A sender that is gone means: at once.
pub(crate) async fn stopped(signal: &mut StopSignal) -> Stop {
    match signal.wait_for(Option::is_some).await {
        Ok(stop) => stop.unwrap_or(Stop { deadline: Instant::now() }),
        Err(_) => Stop { deadline: Instant::now() },
    }
}

/// Sleeps, unless the order to end comes: then true.
pub(crate) async fn pause(signal: &mut StopSignal, duration: Duration) -> bool {
    tokio::select! {
        _ = stopped(signal) => true,
        () = tokio::time::sleep(duration) => false,
    }
}

/// The pod's sheet and the bell that tells of its changes.
pub(crate) struct Shared {
    pub(crate) sheet: Mutex<Sheet>,
    pub(crate) changed: Notify,
    /// Containers that run now, by name.
    pub(crate) running: Mutex<BTreeMap<String, SharedRunning>>,
    /// The tokens that its volumes show.
    pub(crate) tokens: Tokens,
    /// The certificates that its volumes show.
    pub(crate) credentials: Credentials,
    /// The pod with the resources that the node granted.
    pub(crate) granted: watch::Sender<Arc<Pod>>,
    /// Rung with the message of an eviction.
    pub(crate) evicted: watch::Sender<Option<String>>,
    /// The sandbox's network; none while there is no sandbox, and none inside on the node's own network.
    pub(crate) network: Mutex<Option<Option<Netns>>>,
}

impl Shared {
    pub(crate) fn new(sheet: Sheet, granted: Arc<Pod>) -> Shared {
        Shared {
            granted: watch::channel(granted).0,
            sheet: Mutex::new(sheet),
            changed: Notify::new(),
            running: Mutex::default(),
            tokens: Tokens::default(),
            credentials: Credentials::default(),
            evicted: watch::channel(None).0,
            network: Mutex::default(),
        }
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Sheet) -> T) -> T {
        let result = change(&mut self.sheet.lock());
        self.changed.notify_one();
        result
    }
}

/// The pod as its tasks see it, once its sandbox stands.
pub(crate) struct PodContext {
    pub(crate) node: Arc<Node>,
    pub(crate) pod: watch::Receiver<Arc<Pod>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sandbox: Sandbox,
    pub(crate) names: Names,
    /// Folder and whether it is read-only, by volume name.
    pub(crate) volumes: BTreeMap<String, (PathBuf, bool)>,
    pub(crate) folder: PathBuf,
}

impl PodContext {
    pub(crate) fn pod(&self) -> Arc<Pod> {
        self.pod.borrow().clone()
    }

    /// The container of that name in the newest spec, with the resources that the node granted.
    pub(crate) fn container(&self, name: &str) -> Option<Container> {
        let newest = find_container(&self.pod.borrow(), name)?;
        let granted = find_container(&self.shared.granted.borrow(), name);
        Some(Container { resources: granted.map_or(newest.resources.clone(), |one| one.resources), ..newest })
    }

    /// What the node granted the pod's containers and it as a whole.
    pub(crate) fn granted(&self) -> PodSpec {
        self.shared.granted.borrow().spec.clone().unwrap_or_default()
    }

    /// The pod's control group, where it has one.
    pub(crate) fn cgroup(&self) -> Option<Cgroup> {
        cgroup(&self.node, &self.pod.borrow())
    }

    pub(crate) fn facts(&self) -> Facts {
        facts(&self.node, Some(self.sandbox.ip))
    }

    pub(crate) fn about(&self, container: &str, role: Role) -> Arc<ObjectReference> {
        let list = match role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::App => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        crate::events::reference(&self.pod.borrow(), Some((list, container)))
    }

    /// `blue-1_default(uid)`, as kubelet names pods in messages.
    pub(crate) fn pod_words(&self) -> String {
        let pod = self.pod.borrow();
        let word = |value: &Option<String>| value.clone().unwrap_or_default();
        format!("{}_{}({})", word(&pod.metadata.name), namespace(&pod), word(&pod.metadata.uid))
    }
}

/// Facts for the downward API.
pub(crate) fn facts(node: &Node, ip: Option<std::net::Ipv4Addr>) -> Facts {
    Facts {
        pod_ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        host_ip: node.config.node_ip.to_string(),
        node_name: node.config.node_name.clone(),
    }
}

/// The container of that name in the newest spec.
pub(crate) fn find_container(pod: &Pod, name: &str) -> Option<Container> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.find(|container| container.name == name).cloned().or_else(|| {
        let mut others = spec.ephemeral_containers.iter().flatten();
        others.find(|container| container.name == name).map(ephemeral)
    })
}

/// An ephemeral container as a container: all fields but its target have the same names.
pub(crate) fn ephemeral(container: &EphemeralContainer) -> Container {
    let container = container.clone();
    Container {
        args: container.args,
        command: container.command,
        env: container.env,
        env_from: container.env_from,
        image: container.image,
        image_pull_policy: container.image_pull_policy,
        name: container.name,
        security_context: container.security_context,
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        termination_message_path: container.termination_message_path,
        termination_message_policy: container.termination_message_policy,
        tty: container.tty,
        volume_mounts: container.volume_mounts,
        working_dir: container.working_dir,
        ..Container::default()
    }
}

/// The container whose processes an ephemeral container of that name sees.
pub(crate) fn target_of(pod: &Pod, name: &str) -> Option<String> {
    let mut all = pod.spec.as_ref()?.ephemeral_containers.iter().flatten();
    let target = all.find(|container| container.name == name)?.target_container_name.clone();
    target.filter(|target| !target.is_empty())
}

/// The control group of a pod whose containers ask for something or are limited.
pub(crate) fn cgroup(node: &Node, pod: &Pod) -> Option<Cgroup> {
    let counted = pod.spec.as_ref().is_some_and(crate::resources::counted);
    let uid = pod.metadata.uid.as_deref().unwrap_or("unknown");
    node.cgroup.as_ref().filter(|_| counted).map(|group| group.child(&format!("pod{uid}")))
}

/// Where a pod's volumes and files live on the node.
pub(crate) fn pod_folder(node: &Node, pod: &Pod) -> PathBuf {
    let uid = pod.metadata.uid.as_deref().unwrap_or("unknown");
    // A uid is the server's; still it must not lead elsewhere.
    let uid: String = uid.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    Path::new(&node.config.run_dir).join("pods").join(uid)
}
