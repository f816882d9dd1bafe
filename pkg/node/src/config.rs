//! What a node is told at its start.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use minisvc_images::BusyBox;

/// The settings of one node. [`Config::new`] fills in what the lab uses everywhere.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Node object's name, `node1`.
    pub node_name: String,
    /// The node's address on the fabric; also the source of probes.
    pub node_ip: Ipv4Addr,
    /// The addresses for this node's pods. The network's own address, the first after it and the broadcast are not used.
    pub pod_cidr: Ipv4Net,
    /// The cluster DNS' service address, for pods' resolv.conf.
    pub dns_ip: Ipv4Addr,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// File with further image names (see `minisvc_images`), which may be missing; read again whenever an image is not
    /// found.
    pub image_map: Option<PathBuf>,
    /// Containers' logs live here, as `NAMESPACE_POD_UID/CONTAINER/RESTART.log` (CRI format).
    pub log_dir: PathBuf,
    /// Where folders of provisioned persistent volumes lie, for all nodes.
    pub volumes: PathBuf,
    /// Volumes and other things that may vanish with the node live here.
    pub run_dir: PathBuf,
    /// The program that runs `image PROGRAM ARGS...`; normally this binary itself.
    pub executable: PathBuf,
    /// The control group for this node's pods, below the roots of the control group file systems; without one requests
    /// and limits are recorded only.
    pub cgroup: Option<PathBuf>,
    /// The machine's copy of BusyBox, which then plays the images that are BusyBox.
    pub busybox: Option<BusyBox>,
    /// The resolv.conf of pods with dnsPolicy Default.
    pub host_resolv_conf: PathBuf,
    /// Labels of the Node object beyond those every node has.
    pub labels: BTreeMap<String, String>,
    /// Label `topology.kubernetes.io/zone`; the node's name where not given.
    pub zone: Option<String>,
    /// What the Node object reports as kubelet version, `v1.37.0+minisvc`.
    pub version: String,
    /// How often the node's lease is renewed.
    pub lease_renewal: Duration,
    /// The lease's promise: without renewal for this long the node counts as lost.
    pub lease_duration: Duration,
    /// How long after a deletion the containers still serve, so that endpoints go before the process.
    pub drain: Duration,
    /// A container's log is rotated past this many bytes; one older file is kept.
    pub log_bytes: u64,
    /// What the node's own server (logs, exec, attach, port-forward) needs; without it there is none.
    pub server: Option<ServerKeys>,
}

/// Keys of the node's server on port 10250: what it shows, and whom it lets in.
#[derive(Clone)]
pub struct ServerKeys {
    /// The serving certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
    /// The authority that signs clients' certificates, PEM.
    pub client_ca_pem: String,
    /// The common name of the client that is asked for nothing further: the API server.
    pub client_name: String,
}

impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKeys").field("client_name", &self.client_name).finish_non_exhaustive()
    }
}

impl Config {
    /// A node with the lab's defaults.
    pub fn new(node_name: impl Into<String>, node_ip: Ipv4Addr, pod_cidr: Ipv4Net) -> Config {
        Config {
            node_name: node_name.into(),
            node_ip,
            pod_cidr,
            dns_ip: Ipv4Addr::new(10, 96, 0, 10),
            cluster_domain: "cluster.local".into(),
            image_map: Some("/var/lib/minisvc/images.conf".into()),
            log_dir: "/var/lib/minisvc/logs/pods".into(),
            volumes: "/var/lib/minisvc/volumes".into(),
            run_dir: "/run/minisvc/node".into(),
            executable: std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()),
            cgroup: None,
            busybox: None,
            host_resolv_conf: "/etc/resolv.conf".into(),
            labels: BTreeMap::new(),
            zone: None,
            version: "v1.37.0+minisvc".into(),
            lease_renewal: Duration::from_secs(2),
            lease_duration: Duration::from_secs(10),
            drain: Duration::from_millis(60),
            log_bytes: 10 << 20,
            server: None,
        }
    }
}
