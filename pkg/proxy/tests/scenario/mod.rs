//! A scenario's folder: objects, the packet table and the rules that each node must have.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
};

use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use minisvc_kernel::nft::Protocol;
use minisvc_proxy::{Config, From, NodeView, Outcome, Packet, Planner, Ruleset, Tracer};

use crate::lab::{Answer, NODES, OUTSIDE, VM, node_address};

/// Where the scenarios are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios")
}

/// The lab's ranges, as a node is told them.
pub(crate) fn config(node: u8) -> Config {
    Config {
        node: format!("node{node}"),
        addresses: vec![node_address(node)],
        cluster_cidr: "10.244.0.0/16".parse().expect("a range"),
        service_cidr: "10.96.0.0/12".parse().expect("a range"),
    }
}

/// One row of the packet table.
pub(crate) struct Row {
    /// The row as written.
    pub(crate) text: String,
    /// Who connects.
    pub(crate) from: Ipv4Addr,
    /// Over what.
    pub(crate) protocol: Protocol,
    /// To where.
    pub(crate) to: SocketAddrV4,
    /// What must be met: all of these and nothing else.
    pub(crate) expected: BTreeSet<Answer>,
}

/// A scenario, read.
#[derive(Default)]
pub(crate) struct Scenario {
    pub(crate) path: PathBuf,
    pub(crate) services: Vec<Service>,
    pub(crate) slices: Vec<EndpointSlice>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) rows: Vec<Row>,
    /// Addresses by name: pods, nodes, vm, outside.
    pub(crate) names: BTreeMap<String, Ipv4Addr>,
    /// Each pod's address and node.
    pub(crate) places: BTreeMap<Ipv4Addr, u8>,
    /// Who answers where.
    pub(crate) endpoints: BTreeSet<(SocketAddr, Protocol)>,
}

fn protocol(name: &str) -> Protocol {
    match name.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        other => panic!("no protocol {other}"),
    }
}

impl Scenario {
    /// Reads the scenario called `name`.
    pub(crate) fn read(name: &str) -> Self {
        let mut scenario = Self { path: folder().join(name), ..Self::default() };
        scenario.names.extend([("vm".to_owned(), VM), ("outside".to_owned(), OUTSIDE)]);
        scenario.names.extend((1..=NODES).map(|number| (format!("node{number}"), node_address(number))));
        let text = |file: &str| {
            let path = scenario.path.join(file);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let (objects, packets) = (text("objects.yaml"), text("packets.txt"));
        for document in objects.split("\n---\n") {
            let value: serde_json::Value =
                serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{name}: {error}"));
            let kind = value["kind"].as_str().expect("a kind").to_owned();
            let wrong = |error| panic!("{name}, {kind}: {error}");
            match kind.as_str() {
                "Service" => scenario.services.push(serde_json::from_value(value).unwrap_or_else(wrong)),
                "EndpointSlice" => {
                    scenario.slices.push(serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}")))
                }
                "Pod" => scenario.pods.push(serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}"))),
                other => panic!("{name}: no kind {other} here"),
            }
        }
        scenario.place();
        for line in packets.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let row = scenario.row(line);
            scenario.rows.push(row);
        }
        assert!(!scenario.rows.is_empty(), "{name} has no packets");
        scenario
    }

    /// Finds out who is where.
    fn place(&mut self) {
        let number = |node: &str| node.strip_prefix("node").and_then(|n| n.parse().ok()).expect("node1 to node3");
        let slices = std::mem::take(&mut self.slices);
        for slice in &slices {
            for endpoint in slice.endpoints.iter().flatten() {
                let address: Ipv4Addr = endpoint.addresses[0].parse().expect("an address");
                if let Some(target) = &endpoint.target_ref {
                    self.names.entry(target.name.clone().expect("a name")).or_insert(address);
                }
                if address.octets()[..2] == [10, 244] {
                    let node = endpoint.node_name.as_deref().map_or(address.octets()[2], number);
                    self.places.insert(address, node);
                }
                for port in slice.ports.iter().flatten() {
                    let at = SocketAddr::from((address, port.port.expect("a port") as u16));
                    self.endpoints.insert((at, protocol(port.protocol.as_deref().unwrap_or("TCP"))));
                }
            }
        }
        self.slices = slices;
        let pods = std::mem::take(&mut self.pods);
        for pod in &pods {
            let address: Ipv4Addr =
                pod.status.as_ref().and_then(|s| s.pod_ip.as_ref()).expect("an address").parse().expect("IPv4");
            let spec = pod.spec.as_ref().expect("a spec");
            self.names.insert(pod.metadata.name.clone().expect("a name"), address);
            self.places.insert(address, number(spec.node_name.as_deref().expect("a node")));
            for port in spec.containers.iter().flat_map(|container| container.ports.iter().flatten()) {
                let at = SocketAddr::from((address, port.container_port as u16));
                self.endpoints.insert((at, protocol(port.protocol.as_deref().unwrap_or("TCP"))));
            }
        }
        self.pods = pods;
    }

    fn address(&self, name: &str) -> Ipv4Addr {
        self.names
            .get(name)
            .copied()
            .or_else(|| name.parse().ok())
            .unwrap_or_else(|| panic!("{}: nobody is called {name}", self.path.display()))
    }

    fn target(&self, text: &str) -> SocketAddrV4 {
        let (name, port) = text.split_once(':').unwrap_or_else(|| panic!("{text} has no port"));
        SocketAddrV4::new(self.address(name), port.parse().expect("a port"))
    }

    /// `who protocol where: what` with `what` of `refused`, `silent`, `unreachable` or `endpoint:port@source` ….
    fn row(&self, line: &str) -> Row {
        let (head, tail) = line.split_once(" -> ").unwrap_or_else(|| panic!("{line}: no arrow"));
        let [from, over, to] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}: wants who, protocol, where")
        };
        let expected = tail
            .split_whitespace()
            .map(|word| match word {
                "refused" => Answer::Refused,
                "silent" => Answer::Silent,
                "unreachable" => Answer::Unreachable,
                word => {
                    let (endpoint, source) = word.split_once('@').unwrap_or_else(|| panic!("{line}: {word}"));
                    Answer::Endpoint(SocketAddr::V4(self.target(endpoint)), self.address(source))
                }
            })
            .collect();
        Row { text: line.to_owned(), from: self.address(from), protocol: protocol(over), to: self.target(to), expected }
    }

    /// Plans a node as the proxy's loop does.
    pub(crate) fn planner(&self, node: u8) -> Planner {
        let config = config(node);
        let mut planner = Planner::new(&config, NodeView::new(&config, None));
        for service in &self.services {
            let name = (
                service.metadata.namespace.clone().unwrap_or_default(),
                service.metadata.name.clone().unwrap_or_default(),
            );
            let own = self.slices.iter().filter(|slice| {
                slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"))
                    == Some(&name.1)
            });
            planner.set_service(&name, Some(service), own);
        }
        for pod in &self.pods {
            let name =
                (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default());
            planner.set_pod(&name, Some(pod));
        }
        planner
    }

    /// Where a row's packet can end by the rules of all nodes it passes.
    pub(crate) fn traced(&self, row: &Row, rules: &BTreeMap<u8, Ruleset>) -> BTreeSet<Answer> {
        let node_of = |address| (1..=NODES).find(|number| node_address(*number) == address);
        let (mut at, from) = match (node_of(row.from), self.places.get(&row.from)) {
            (Some(node), _) => (node, From::Here),
            (None, Some(node)) => (*node, From::Link),
            (None, None) => (node_of(*row.to.ip()).unwrap_or(1), From::Link),
        };
        let mut packet = Packet {
            from,
            // Loopback talks to itself.
            source: if row.to.ip().is_loopback() { *row.to.ip() } else { row.from },
            source_port: 40_000,
            destination: *row.to.ip(),
            port: row.to.port(),
            protocol: row.protocol,
            link: None,
        };
        let mut answers = BTreeSet::new();
        // A packet to another node's address meets that node's rules too.
        loop {
            let mut onward = None;
            for outcome in Tracer::new(rules[&at].table(), [node_address(at)]).outcomes(&packet) {
                match outcome {
                    Outcome::Rejected => answers.insert(Answer::Refused),
                    Outcome::Dropped => answers.insert(Answer::Silent),
                    Outcome::Delivered { address, port, source, translated } => {
                        let to = SocketAddr::from((address, port));
                        let next = node_of(address).filter(|next| *next != at && !translated);
                        if let Some(next) = next {
                            onward = Some((next, source));
                            continue;
                        }
                        let serves = self.endpoints.contains(&(to, row.protocol));
                        answers.insert(if serves {
                            Answer::Endpoint(to, source)
                        } else if address.is_loopback()
                            || node_of(address).is_some()
                            || self.places.contains_key(&address)
                        {
                            Answer::Refused
                        } else {
                            Answer::Unreachable
                        })
                    }
                };
            }
            match onward {
                Some((next, source)) => {
                    (at, packet) = (next, Packet { from: From::Link, source, ..packet });
                }
                None => return answers,
            }
        }
    }
}
