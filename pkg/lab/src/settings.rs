//! What a lab is made of: ranges, counts and names, with the defaults of the lesson. Checked once, here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::private;

/// The settings of one lab, as `up` fixed them; every process of the lab reads them from the run directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Version of the program that started the lab.
    pub version: String,
    /// How many nodes; `node1` is the first.
    pub nodes: u8,
    /// The fabric: nodes have `.11` and up, the API server `.2`, the edge `.1`.
    pub node_cidr: Ipv4Net,
    /// One /24 of it for each node.
    pub pod_cidr: Ipv4Net,
    /// ClusterIPs.
    pub service_cidr: Ipv4Net,
    /// First and last node port.
    pub node_ports: (u16, u16),
    /// Addresses of load balancers.
    pub lb_cidr: Ipv4Net,
    /// The network of the place outside.
    pub outside_cidr: Ipv4Net,
    /// The link between the VM and the edge, a /30.
    pub link_cidr: Ipv4Net,
    /// Name of the VM's end of that link.
    pub link: String,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// How long a load balancer stays pending, in milliseconds.
    pub lb_delay_ms: u64,
    /// Where the API server listens for the VM, TLS.
    pub api: SocketAddr,
    /// Where the page listens, plain HTTP on loopback.
    pub page: SocketAddr,
    /// Name of the kubeconfig context, cluster and user.
    pub context: String,
    /// Resolvers of the VM that outside names are forwarded to; may be empty.
    pub upstreams: Vec<IpAddr>,
    /// Deprecation warnings as a server of this version gives them (Endpoints); off keeps the lesson's output clean.
    pub deprecation_warnings: bool,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} {value}: {reason}")]
pub struct BadSetting {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// What was given.
    pub value: String,
    /// Why it cannot be.
    pub reason: String,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        let net = |text: &str| text.parse().expect("a constant range");
        Settings {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nodes: 3,
            node_cidr: net("172.30.0.0/24"),
            pod_cidr: net("10.244.0.0/16"),
            service_cidr: net("10.96.0.0/12"),
            node_ports: (30000, 32767),
            lb_cidr: net("203.0.113.0/24"),
            outside_cidr: net("198.51.100.0/24"),
            link_cidr: net("172.30.255.0/30"),
            link: "lab0".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            lb_delay_ms: 2000,
            api: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
            page: SocketAddr::from((Ipv4Addr::LOCALHOST, 6480)),
            context: "minisvc".to_owned(),
            upstreams: Vec::new(),
            deprecation_warnings: false,
        }
    }
}

impl Settings {
    /// The settings of the running lab; `None` when there is none.
    ///
    /// # Errors
    /// When they are there but cannot be read.
    pub fn load(places: &Places) -> anyhow::Result<Option<Settings>> {
        read(&places.settings())
    }

    /// The settings of the lab whose store was kept; `None` when there is none.
    ///
    /// # Errors
    /// When they are there but cannot be read.
    pub fn kept(places: &Places) -> anyhow::Result<Option<Settings>> {
        read(&places.kept_settings())
    }

    /// Writes them down for the lab's processes, and beside the store.
    ///
    /// # Errors
    /// When a directory cannot be written.
    pub fn save(&self, places: &Places) -> anyhow::Result<()> {
        for path in [places.settings(), places.kept_settings()] {
            private::write(&path, &serde_json::to_vec_pretty(self)?)
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// `node1`, `node2`, ... in order.
    pub fn node_names(&self) -> Vec<String> {
        (1..=self.nodes).map(|number| format!("node{number}")).collect()
    }

    /// The fabric address of node `number` (from 1): host part 10 + number.
    pub fn node_ip(&self, number: u8) -> Ipv4Addr {
        offset(self.node_cidr, 10 + u32::from(number))
    }

    /// The pod range of node `number` (from 1): the /24 with that index.
    pub fn node_pods(&self, number: u8) -> Ipv4Net {
        let base = u32::from(self.pod_cidr.network()) + (u32::from(number) << 8);
        Ipv4Net::new(Ipv4Addr::from(base), 24).expect("24 is a prefix length")
    }

    /// The API server's address on the fabric.
    pub fn fabric_api(&self) -> SocketAddr {
        SocketAddr::from((offset(self.node_cidr, 2), 6443))
    }

    /// The machine's address on its link to the edge, where pods find the relay to its resolvers.
    pub fn machine_ip(&self) -> Ipv4Addr {
        offset(self.link_cidr, 2)
    }

    /// ClusterIP of `default/kubernetes`: the first of the range.
    pub fn kubernetes_ip(&self) -> Ipv4Addr {
        offset(self.service_cidr, 1)
    }

    /// ClusterIP of `kube-system/kube-dns`: the tenth of the range.
    pub fn dns_ip(&self) -> Ipv4Addr {
        offset(self.service_cidr, 10)
    }

    /// Checks the settings against each other: sizes and overlaps among the lab's own ranges.
    ///
    /// # Errors
    /// Names the flag, what was given and why it cannot be.
    pub fn check(&self) -> Result<(), BadSetting> {
        let bad = |flag, value: String, reason: &str| Err(BadSetting { flag, value, reason: reason.to_owned() });
        if self.nodes == 0 || self.nodes > 200 {
            return bad("nodes", self.nodes.to_string(), "must be between 1 and 200");
        }
        if self.node_cidr.prefix_len() > 24 {
            return bad("node-cidr", self.node_cidr.to_string(), "must be a /24 or larger");
        }
        let room = 1u32.checked_shl(24u32.saturating_sub(u32::from(self.pod_cidr.prefix_len()))).unwrap_or(0);
        if self.pod_cidr.prefix_len() > 24 || room <= u32::from(self.nodes) {
            return bad(
                "pod-cidr",
                self.pod_cidr.to_string(),
                "is too small: each node needs a /24, and the first stays free",
            );
        }
        if self.service_cidr.prefix_len() > 27 {
            return bad("service-cidr", self.service_cidr.to_string(), "must be a /27 or larger");
        }
        if self.lb_cidr.prefix_len() > 30 {
            return bad("lb-cidr", self.lb_cidr.to_string(), "must be a /30 or larger");
        }
        let (first, last) = self.node_ports;
        if first == 0 || first > last {
            return bad("node-port-range", format!("{first}-{last}"), "must be FIRST-LAST with 1 <= FIRST <= LAST");
        }
        if !self.page.ip().is_loopback() || !self.api.ip().is_loopback() {
            return bad("api", self.api.to_string(), "the API and the page listen on loopback only");
        }
        let ranges = self.ranges();
        for (index, (flag, range)) in ranges.iter().enumerate() {
            for (other_flag, other) in &ranges[index + 1..] {
                if range.contains(&other.network()) || other.contains(&range.network()) {
                    let reason = format!("overlaps --{other_flag} {other}");
                    return Err(BadSetting { flag, value: range.to_string(), reason });
                }
            }
        }
        Ok(())
    }

    /// Every range of the lab with its flag.
    pub fn ranges(&self) -> Vec<(&'static str, Ipv4Net)> {
        vec![
            ("node-cidr", self.node_cidr),
            ("pod-cidr", self.pod_cidr),
            ("service-cidr", self.service_cidr),
            ("lb-cidr", self.lb_cidr),
            ("outside-cidr", self.outside_cidr),
            ("link-cidr", self.link_cidr),
        ]
    }
}

fn read(path: &std::path::Path) -> anyhow::Result<Option<Settings>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| format!("parse {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The address `index` past the network's own.
fn offset(range: Ipv4Net, index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()) + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_lessons() {
        let settings = Settings::default();
        settings.check().expect("defaults hold");
        assert_eq!(settings.kubernetes_ip().to_string(), "10.96.0.1");
        assert_eq!(settings.dns_ip().to_string(), "10.96.0.10");
        assert_eq!(settings.node_ip(1).to_string(), "172.30.0.11");
        assert_eq!(settings.node_pods(3).to_string(), "10.244.3.0/24");
        assert_eq!(settings.fabric_api().to_string(), "172.30.0.2:6443");
        assert_eq!(settings.node_names(), ["node1", "node2", "node3"]);
    }

    #[test]
    fn clashes_among_own_ranges_name_both_sides() {
        let settings = Settings { lb_cidr: "10.100.0.0/24".parse().unwrap(), ..Settings::default() };
        let error = settings.check().unwrap_err();
        assert_eq!(error.to_string(), "--service-cidr 10.96.0.0/12: overlaps --lb-cidr 10.100.0.0/24");
    }

    #[test]
    fn sizes_are_checked() {
        let cases: [(Settings, &str); 4] = [
            (Settings { nodes: 0, ..Settings::default() }, "nodes"),
            (Settings { pod_cidr: "10.244.0.0/23".parse().unwrap(), ..Settings::default() }, "pod-cidr"),
            (Settings { node_ports: (40000, 30000), ..Settings::default() }, "node-port-range"),
            (Settings { node_cidr: "172.30.0.0/28".parse().unwrap(), ..Settings::default() }, "node-cidr"),
        ];
        for (settings, flag) in cases {
            assert_eq!(settings.check().unwrap_err().flag, flag);
        }
    }
}
