//! A pod's sandbox: a network namespace joined to the node by a routed veth pair (the node's end answers as
//! 169.254.1.1 for every pod; there is no bridge), an ipc namespace, and where wanted one set of process numbers.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use minisvc_images::Image;
use minisvc_kernel::{
    Child, Error, Links, NamespaceKind, Namespaces, Netns, RootFs, Route, Scope, Spawn, new_ipc_namespace,
    open_namespace, set_sysctls,
};

use crate::admission::dotted;
use crate::names;
use crate::node::Node;
use crate::root;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// What the containers of one pod share. `netns` is none on the node's own network.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) netns: Option<Netns>,
    pub(crate) ip: Ipv4Addr,
    veth: Option<String>,
    /// None where the pod uses the node's.
    ipc: Option<OwnedFd>,
    /// The first process of all containers together (`shareProcessNamespace`).
    first: Option<Child>,
}

/// Why a pod has no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    #[error("no addresses left in this node's range {0}")]
    Addresses(Ipv4Net),
    #[error("{0}")]
    Name(String),
    #[error(transparent)]
    Kernel(#[from] Error),
    #[error("the thread that makes namespaces failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl Sandbox {
    /// Makes the sandbox of `pod`.
    pub(crate) async fn create(node: &Node, pod: &Pod) -> Result<Sandbox, SandboxError> {
        names::full_hostname(pod, &node.config.node_name, &node.config.cluster_domain).map_err(SandboxError::Name)?;
        let none = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&none);
        let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
        let sysctls = sysctls.map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone()));
        let (net, others): (Vec<_>, Vec<_>) = sysctls.partition(|(name, _)| name.starts_with("net."));
        let host_ipc = spec.host_ipc == Some(true);
        let ipc = tokio::task::spawn_blocking(move || -> Result<Option<OwnedFd>, Error> {
            if host_ipc {
                return Ok(None);
            }
            let others: Vec<_> = others.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            new_ipc_namespace(&others).map(Some)
        })
        .await??;
        let mut sandbox = Sandbox { netns: None, ip: node.config.node_ip, veth: None, ipc, first: None };
        if spec.host_network != Some(true) {
            let ip = node.addresses.lock().take().ok_or(SandboxError::Addresses(node.config.pod_cidr))?;
            match wire(node, ip, net).await {
                Ok((netns, veth)) => (sandbox.netns, sandbox.ip, sandbox.veth) = (Some(netns), ip, Some(veth)),
                Err(error) => {
                    node.addresses.lock().release(ip);
                    return Err(error);
                }
            }
        }
        if spec.share_process_namespace == Some(true) && spec.host_pid != Some(true) {
            match first_process(node).await {
                Ok(first) => sandbox.first = Some(first),
                Err(error) => {
                    sandbox.destroy(node).await;
                    return Err(error);
                }
            }
        }
        Ok(sandbox)
    }

    /// The namespaces that every container enters; its network is apart.
    pub(crate) fn join(&self) -> Result<Vec<OwnedFd>, Error> {
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(|error| Error::new("share", "ipc namespace", error));
        let mut all: Vec<OwnedFd> = self.ipc.as_ref().map(clone).transpose()?.into_iter().collect();
        if let Some(first) = &self.first {
            all.push(open_namespace(first.pid, NamespaceKind::Pid)?);
        }
        Ok(all)
    }

    /// Whether all containers see each other's processes.
    pub(crate) fn shares_processes(&self) -> bool {
        self.first.is_some()
    }

    /// Removes the link and gives the address back. The namespaces end with their last process.
    pub(crate) async fn destroy(&self, node: &Node) {
        if let Some(first) = &self.first {
            let _ = first.signal(9);
            let _ = first.wait().await;
        }
        let Some(veth) = &self.veth else { return };
        if let Err(error) = node.links.delete(veth).await {
            tracing::debug!(%error, "remove a pod's link");
        }
        node.addresses.lock().release(self.ip);
    }
}

/// A process that does nothing but be the first and collect the orphans of the others.
async fn first_process(node: &Node) -> Result<Child, SandboxError> {
    let catalogue = node.catalogue();
    let pause = catalogue.resolve("registry.k8s.io/pause").map_err(|error| SandboxError::Name(error.to_string()))?.1;
    let Image::Builtin(program) = pause else { return Err(SandboxError::Name("no image is called pause".into())) };
    let mounts = root::mounts(pause, &node.config.executable, &root::Names::default(), &[]);
    let spawn = Spawn {
        new: Namespaces::CONTAINER,
        root: Some(RootFs::empty(mounts)),
        new_session: true,
        disown_children: true,
        capabilities: Some(Vec::new()),
        no_new_privileges: true,
        seccomp: true,
        ..Spawn::new(root::BINARY).args(["image", &program.program])
    };
    let _permit = node.hands.acquire().await;
    Ok(tokio::task::spawn_blocking(move || spawn.spawn()).await??)
}

async fn wire(node: &Node, ip: Ipv4Addr, more: Vec<(String, String)>) -> Result<(Netns, String), SandboxError> {
    let _permit = node.hands.acquire().await;
    let netns = tokio::task::spawn_blocking(move || -> Result<Netns, Error> {
        let netns = Netns::create()?;
        // Any user may listen on port 80 and ping, as in containerd's pods.
        let mut all = vec![("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
        all.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        set_sysctls(&netns, &all)?;
        Ok(netns)
    })
    .await??;
    let veth = loop {
        let name = format!("veth{:08x}", fastrand::u32(..));
        match node.links.create_veth(&name, "eth0", &netns).await {
            Ok(()) => break name,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error.into()),
        }
    };
    let host = |address: Ipv4Addr| IpNet::V4(Ipv4Net::from(address));
    let wired = async {
        node.links.add_address(&veth, host(GATEWAY), Scope::Link).await?;
        node.links.set_up(&veth).await?;
        let mut route = Route::on_link(host(ip), veth.clone());
        route.source = Some(IpAddr::V4(node.config.node_ip));
        let inside = Links::open(&netns).await?;
        inside.add_address("eth0", host(ip), Scope::Universe).await?;
        inside.set_up("eth0").await?;
        inside.replace_route(&Route::on_link(host(GATEWAY), "eth0")).await?;
        let default = IpNet::V4(Ipv4Net::default());
        inside.replace_route(&Route::via(default, IpAddr::V4(GATEWAY))).await?;
        node.links.replace_route(&route).await
    };
    match wired.await {
        Ok(()) => Ok((netns, veth)),
        Err(error) => {
            let _ = node.links.delete(&veth).await;
            Err(error.into())
        }
    }
}
