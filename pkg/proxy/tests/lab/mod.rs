//! A small copy of the lab's network in private namespaces, for packet tables: the test's own namespace plays the VM,
//! with an edge router, three nodes, outside, and a namespace per pod. Must run inside `minisvc_testkit::isolated`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};
use minisvc_kernel::{
    Links, Netns, Route, Scope, bind_udp, connect_tcp, listen_tcp,
    nft::{Connection, Protocol},
    set_sysctls,
};

/// The VM's address.
pub(crate) const VM: Ipv4Addr = Ipv4Addr::new(172, 30, 255, 2);
/// A person on the internet.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// How many nodes there are.
pub(crate) const NODES: u8 = 3;

/// A node's address.
pub(crate) fn node_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, 10 + number)
}

/// What a connection attempt met.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Answer {
    /// An endpoint, and the source address that it saw.
    Endpoint(SocketAddr, Ipv4Addr),
    /// Refused at once.
    Refused,
    /// Nothing came back.
    Silent,
    /// The network said that there is no way.
    Unreachable,
}

/// The namespaces.
pub(crate) struct Lab {
    vm: Netns,
    edge: Netns,
    edge_links: Links,
    outside: Netns,
    nodes: BTreeMap<u8, Netns>,
    pods: BTreeMap<Ipv4Addr, Netns>,
    over: Arc<AtomicBool>,
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn host(address: Ipv4Addr) -> IpNet {
    IpNet::V4(Ipv4Net::from(address))
}

impl Lab {
    /// Builds the network with one namespace per pod: its address, and its node's number.
    pub(crate) async fn new(pods: &BTreeMap<Ipv4Addr, u8>) -> minisvc_kernel::Result<Self> {
        let (vm, edge, outside) = (Netns::current()?, Netns::create()?, Netns::create()?);
        let vm_links = Links::open(&vm).await?;
        let edge_links = Links::open(&edge).await?;
        let default = net("0.0.0.0/0");
        vm_links.create_veth("lab0", "host0", &edge).await?;
        connect(&vm_links, "lab0", net("172.30.255.2/30"), None).await?;
        connect(&edge_links, "host0", net("172.30.255.1/30"), None).await?;
        for range in ["172.30.0.0/24", "10.244.0.0/16", "10.96.0.0/12", "203.0.113.0/24"] {
            vm_links.replace_route(&Route::via(net(range), Ipv4Addr::new(172, 30, 255, 1))).await?;
        }
        edge_links.create_veth("out0", "eth0", &outside).await?;
        connect(&edge_links, "out0", net("198.51.100.1/24"), None).await?;
        let gateway = Route::via(default, Ipv4Addr::new(198, 51, 100, 1));
        connect(&Links::open(&outside).await?, "eth0", net("198.51.100.10/24"), Some(gateway)).await?;
        edge_links.create_bridge("fabric").await?;
        connect(&edge_links, "fabric", net("172.30.0.1/24"), None).await?;
        set_sysctls(&edge, &[("net.ipv4.ip_forward", "1")])?;
        let mut lab =
            Self { vm, edge, edge_links, outside, nodes: BTreeMap::new(), pods: BTreeMap::new(), over: Arc::default() };
        for number in 1..=NODES {
            lab.add_node(number).await?;
        }
        // As the lab does it: service addresses and load balancers' addresses enter at node1.
        for range in ["10.96.0.0/12", "203.0.113.0/24"] {
            lab.edge_links.replace_route(&Route::via(net(range), node_address(1))).await?;
        }
        for (address, number) in pods {
            lab.add_pod(*address, *number).await?;
        }
        Ok(lab)
    }

    async fn add_node(&mut self, number: u8) -> minisvc_kernel::Result<()> {
        let node = Netns::create()?;
        let link = format!("n{number}");
        self.edge_links.create_veth(&link, "eth0", &node).await?;
        self.edge_links.set_master(&link, "fabric").await?;
        self.edge_links.set_up(&link).await?;
        let links = Links::open(&node).await?;
        let address = IpNet::V4(Ipv4Net::new(node_address(number), 24).expect("24 fits"));
        let gateway = Route::via(net("0.0.0.0/0"), Ipv4Addr::new(172, 30, 0, 1));
        connect(&links, "eth0", address, Some(gateway)).await?;
        // Refusals are ICMP messages: their default rate of one a second would turn some of them into silence.
        let localnet = ("net.ipv4.conf.all.route_localnet", "1");
        set_sysctls(&node, &[("net.ipv4.ip_forward", "1"), ("net.ipv4.icmp_ratelimit", "0"), localnet])?;
        let pods = |of: u8| IpNet::V4(Ipv4Net::new(Ipv4Addr::new(10, 244, of, 0), 24).expect("24 fits"));
        self.edge_links.replace_route(&Route::via(pods(number), node_address(number))).await?;
        for other in (1..=NODES).filter(|other| *other != number) {
            links.replace_route(&Route::via(pods(other), node_address(other))).await?;
        }
        self.nodes.insert(number, node);
        Ok(())
    }

    async fn add_pod(&mut self, address: Ipv4Addr, number: u8) -> minisvc_kernel::Result<()> {
        let pod = Netns::create()?;
        let links = Links::open(&self.nodes[&number]).await?;
        let [.., last] = address.octets();
        let link = format!("veth{last}");
        let gateway = Ipv4Addr::new(169, 254, 1, 1);
        links.create_veth(&link, "eth0", &pod).await?;
        links.add_address(&link, host(gateway), Scope::Link).await?;
        links.set_up(&link).await?;
        links.replace_route(&Route::on_link(host(address), link)).await?;
        let inside = Links::open(&pod).await?;
        connect(&inside, "eth0", host(address), None).await?;
        inside.replace_route(&Route::on_link(host(gateway), "eth0")).await?;
        inside.replace_route(&Route::via(net("0.0.0.0/0"), gateway)).await?;
        self.pods.insert(address, pod);
        Ok(())
    }

    /// A way to a node's nftables.
    pub(crate) fn rules(&self, node: u8) -> minisvc_kernel::Result<Connection> {
        Connection::open(&self.nodes[&node])
    }

    /// A node's namespace.
    pub(crate) fn node(&self, number: u8) -> &Netns {
        &self.nodes[&number]
    }

    /// The namespace that has an address.
    pub(crate) fn namespace(&self, address: Ipv4Addr) -> &Netns {
        if address == VM {
            return &self.vm;
        }
        if address == OUTSIDE {
            return &self.outside;
        }
        let node = (1..=NODES).find(|number| node_address(*number) == address);
        match node {
            Some(number) => &self.nodes[&number],
            None => self.pods.get(&address).unwrap_or(&self.edge),
        }
    }

    /// Lets every endpoint answer on its port, with the client's address as it sees it.
    pub(crate) fn serve(&self, endpoints: &BTreeSet<(SocketAddr, Protocol)>) -> minisvc_kernel::Result<()> {
        for &(address, protocol) in endpoints {
            let SocketAddr::V4(v4) = address else { continue };
            let namespace = self.namespace(*v4.ip());
            let over = self.over.clone();
            match protocol {
                Protocol::TCP => {
                    let listener = listen_tcp(namespace, address)?;
                    thread::spawn(move || {
                        while !over.load(Ordering::Relaxed) {
                            match listener.accept() {
                                Ok((mut stream, peer)) => {
                                    let _ = write!(stream, "{address} {}", peer.ip());
                                }
                                Err(_) => thread::sleep(Duration::from_millis(1)),
                            }
                        }
                    });
                }
                Protocol::UDP => {
                    let socket = bind_udp(namespace, address)?;
                    thread::spawn(move || {
                        let mut buffer = [0; 64];
                        while !over.load(Ordering::Relaxed) {
                            match socket.recv_from(&mut buffer) {
                                Ok((_, peer)) => {
                                    let _ = socket.send_to(format!("{address} {}", peer.ip()).as_bytes(), peer);
                                }
                                Err(_) => thread::sleep(Duration::from_millis(1)),
                            }
                        }
                    });
                }
                // SCTP: no sockets for it here; its rows are only traced.
                _ => {}
            }
        }
        Ok(())
    }

    /// Connects from one address to another and tells what happened. Silence is half a second of nothing.
    pub(crate) fn ask(&self, from: Ipv4Addr, protocol: Protocol, to: SocketAddr) -> Answer {
        let namespace = self.namespace(from);
        let patience = Duration::from_millis(500);
        let text = if protocol == Protocol::UDP {
            let socket = bind_udp(namespace, SocketAddr::from((from, 0))).expect("bind the client");
            socket.set_nonblocking(false).expect("blocking");
            socket.set_read_timeout(Some(patience)).expect("timeout");
            let mut buffer = [0; 64];
            socket
                .connect(to)
                .and_then(|()| socket.send(b"?"))
                .and_then(|_| socket.recv(&mut buffer))
                .map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
                .map_err(|error| error.kind())
        } else {
            connect_tcp(namespace, to, patience).map_err(|error| error.kind()).and_then(|mut stream| {
                let mut text = String::new();
                stream.set_read_timeout(Some(patience)).expect("timeout");
                stream.read_to_string(&mut text).map(|_| text).map_err(|error| error.kind())
            })
        };
        match text {
            Ok(text) => {
                let (endpoint, source) = text.split_once(' ').expect("endpoint and source");
                Answer::Endpoint(endpoint.parse().expect("an endpoint"), source.parse().expect("a source"))
            }
            Err(ErrorKind::ConnectionRefused) => Answer::Refused,
            Err(ErrorKind::TimedOut | ErrorKind::WouldBlock) => Answer::Silent,
            Err(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Answer::Unreachable,
            Err(other) => panic!("{from} to {to}: {other}"),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

async fn connect(links: &Links, link: &str, address: IpNet, gateway: Option<Route>) -> minisvc_kernel::Result<()> {
    links.add_address(link, address, Scope::Universe).await?;
    links.set_up(link).await?;
    match gateway {
        Some(route) => links.replace_route(&route).await,
        None => Ok(()),
    }
}
