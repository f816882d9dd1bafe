//! A pod's sandbox: a network namespace joined to the node by a routed veth pair. The node's end answers as
//! 169.254.1.1 for every pod; there is no bridge.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::core::v1::Pod;
use minisvc_kernel::{Error, Links, Netns, Route, Scope, set_sysctls};

use crate::node::Node;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The network of one pod. `netns` is none on the node's own network.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) netns: Option<Netns>,
    pub(crate) ip: Ipv4Addr,
    veth: Option<String>,
}

/// Why a pod has no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    #[error("no addresses left in this node's range {0}")]
    Addresses(Ipv4Net),
    #[error(transparent)]
    Kernel(#[from] Error),
    #[error("the thread that makes namespaces failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl Sandbox {
    /// Makes the sandbox of `pod`.
    pub(crate) async fn create(node: &Node, pod: &Pod) -> Result<Sandbox, SandboxError> {
        let spec = pod.spec.as_ref();
        if spec.and_then(|spec| spec.host_network) == Some(true) {
            return Ok(Sandbox { netns: None, ip: node.config.node_ip, veth: None });
        }
        let ip = node.addresses.lock().take().ok_or(SandboxError::Addresses(node.config.pod_cidr))?;
        let sysctls = spec.and_then(|spec| spec.security_context.as_ref()).and_then(|context| context.sysctls.as_ref());
        let sysctls = sysctls.into_iter().flatten().map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect();
        match wire(node, ip, sysctls).await {
            Ok((netns, veth)) => Ok(Sandbox { netns: Some(netns), ip, veth: Some(veth) }),
            Err(error) => {
                node.addresses.lock().release(ip);
                Err(error)
            }
        }
    }

    /// Removes the link and gives the address back. The namespace ends with its last process.
    pub(crate) async fn destroy(&self, node: &Node) {
        let Some(veth) = &self.veth else { return };
        if let Err(error) = node.links.delete(veth).await {
            tracing::debug!(%error, "remove a pod's link");
        }
        node.addresses.lock().release(self.ip);
    }
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
