//! The edge as a whole: real wires in private namespaces, the real API server, and people outside who knock. Nodes are
//! played by sockets in their namespaces; there is no service proxy. Long because every test shares the lab below.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Service};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use minisvc_apiserver::{
    ApiServer,
    pki::{Pki, ServingNames},
};
use minisvc_edge::{
    Config, SWITCH, run,
    wiring::{Plan, Ranges, lay_edge, lay_node, lay_vm},
};
use minisvc_kernel::{Links, Netns, Scope, connect_tcp, listen_tcp};
use minisvc_store::{Options, SledStore};
use minisvc_testkit::isolated;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::oneshot, task::JoinHandle};

/// How long a test waits before it says that something never happens.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection that is dropped on the way is waited for.
const SILENCE: Duration = Duration::from_millis(400);

struct Lab {
    plan: Plan,
    vm: Netns,
    outside: Netns,
    nodes: Vec<Netns>,
    client: Client,
    edge: Client,
    _server: ApiServer,
    _folder: tempfile::TempDir,
}

/// The process' own namespace is the edge.
impl Lab {
    async fn new(nodes: u8) -> Self {
        let plan = Plan::new(Ranges::default(), nodes, "lab0").expect("plan");
        let make = || Netns::create().expect("namespace");
        let (edge, vm, outside) = (Netns::current().expect("edge"), make(), make());
        lay_edge(&plan, &edge, &outside).await.expect("edge");
        lay_vm(&plan, &vm, &edge).await.expect("vm");
        let nodes: Vec<Netns> = (0..nodes).map(|_| make()).collect();
        for (number, node) in (1..).zip(&nodes) {
            lay_node(&plan, number, &edge, node).await.expect("node");
        }
        let folder = tempfile::tempdir().expect("folder");
        let store = SledStore::open(&folder.path().join("store"), Options::default()).expect("store");
        let names = ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", &[]);
        let pki = Arc::new(Pki::load_or_create(&folder.path().join("pki"), &names).expect("keys"));
        let server = ApiServer::new(minisvc_apiserver::Config::new(pki), Arc::new(store));
        server.bootstrap().await.expect("bootstrap");
        let client = server.client("admin", ["system:masters"]);
        let edge = server.client("system:minisvc:edge", ["system:minisvc", "system:authenticated"]);
        let lab = Self { plan, vm, outside, nodes, client, edge, _server: server, _folder: folder };
        for number in 1..=lab.nodes.len() {
            lab.node(number, true).await;
        }
        lab
    }

    /// Makes or changes a node's object.
    async fn node(&self, number: usize, ready: bool) {
        let api: Api<Node> = Api::all(self.client.clone());
        let name = format!("node{number}");
        if api.get_opt(&name).await.expect("get").is_none() {
            let node = serde_json::from_value(json!({ "metadata": { "name": name } })).expect("node");
            api.create(&PostParams::default(), &node).await.expect("create node");
        }
        let now = "2026-01-01T00:00:00Z";
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": self.plan.nodes[number - 1].address.to_string() }],
            "conditions": [{
                "type": "Ready", "status": if ready { "True" } else { "Unknown" },
                "reason": "Test", "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        } });
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("node status");
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn expose(&self, name: &str, node_port: u16, more: Value) {
        let mut object = json!({
            "metadata": { "name": name },
            "spec": {
                "type": "LoadBalancer",
                "selector": { "app": name },
                "ports": [{ "port": 80, "nodePort": node_port }],
            },
        });
        for (field, value) in more.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        let service = serde_json::from_value(object).expect("service");
        self.services().create(&PostParams::default(), &service).await.expect("create service");
    }

    async fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let service = self.services().get(name).await.expect("get");
        let ingress = service.status?.load_balancer?.ingress?;
        let [one] = ingress.as_slice() else { panic!("{ingress:?}") };
        assert_eq!(one.ip_mode.as_deref(), Some("VIP"));
        one.ip.as_ref()?.parse().ok()
    }

    async fn address_in_the_end(&self, name: &str) -> Ipv4Addr {
        until(&format!("{name} gets an address"), async || self.address(name).await.is_some()).await;
        self.address(name).await.expect("an address")
    }

    /// Reasons and messages of the Events about a service.
    async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let list = events.list(&ListParams::default()).await.expect("events");
        let about = list.items.into_iter().filter(|event| {
            event.involved_object.kind.as_deref() == Some("Service")
                && event.involved_object.name.as_deref() == Some(name)
        });
        about.map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default())).collect()
    }

    async fn switch(&self, on: bool) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), SWITCH.0);
        let data = json!({ "data": { SWITCH.2: on.to_string() } });
        if api.get_opt(SWITCH.1).await.expect("get").is_none() {
            let map = serde_json::from_value(json!({ "metadata": { "name": SWITCH.1 } })).expect("map");
            api.create(&PostParams::default(), &map).await.expect("create switch");
        }
        api.patch(SWITCH.1, &PatchParams::default(), &Patch::Merge(&data)).await.expect("switch");
    }

    /// Starts the cloud; send or drop to stop it.
    fn start(&self, delay: Duration) -> (oneshot::Sender<()>, JoinHandle<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let probe_interval = Duration::from_millis(100);
        let config = Config { delay, probe_interval, ..Config::new(self.plan.clone()) };
        let running = run(config, self.edge.clone(), async {
            let _stopped = stopped.await;
        });
        (stop, tokio::spawn(async { running.await.expect("the cloud runs") }))
    }

    /// A server at a node that answers with its name and the client's address.
    fn serve(&self, number: usize, address: Ipv4Addr, port: u16) -> JoinHandle<()> {
        let listener = listen_tcp(&self.nodes[number - 1], SocketAddr::from((address, port))).expect("listen");
        let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
        tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                let _sent = stream.write_all(format!("node{number} {}", peer.ip()).as_bytes()).await;
            }
        })
    }

    fn serve_at_node(&self, number: usize, port: u16) -> JoinHandle<()> {
        self.serve(number, self.plan.nodes[number - 1].address, port)
    }
}

/// What a client in `from` hears.
async fn knock(from: &Netns, address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    let from = from.clone();
    tokio::task::spawn_blocking(move || {
        let mut stream =
            connect_tcp(&from, SocketAddr::from((address, port)), SILENCE).map_err(|error| error.kind())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.kind())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(|error| error.kind())?;
        Ok(text)
    })
    .await
    .expect("knock")
}

/// Everything that 24 clients in turn hear.
async fn hear(from: &Netns, address: Ipv4Addr, port: u16) -> BTreeSet<Result<String, ErrorKind>> {
    let mut heard = BTreeSet::new();
    for _ in 0..24 {
        heard.insert(knock(from, address, port).await);
    }
    heard
}

fn answers<const N: usize>(texts: [&str; N]) -> BTreeSet<Result<String, ErrorKind>> {
    texts.map(|text| Ok(text.to_owned())).into()
}

/// Waits for a condition; a minute without it is a failure, whatever the machine's load.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn test(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("runtime").block_on(body);
}

const OUTSIDE: &str = "198.51.100.10";
const VM: &str = "172.30.255.2";

#[test]
fn a_load_balancer_is_pending_then_reaches_every_healthy_node() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (_stop, _cloud) = lab.start(Duration::from_millis(500));
            let one = lab.serve_at_node(1, 30080);
            let _two = lab.serve_at_node(2, 30080);
            lab.expose("red", 30080, json!({})).await;
            until("its work is announced", async || !lab.events("red").await.is_empty()).await;
            assert_eq!(lab.address("red").await, None, "pending for a visible moment");
            let address = lab.address_in_the_end("red").await;
            assert_eq!(address, Ipv4Addr::new(203, 0, 113, 1));
            until("both Events", async || lab.events("red").await.len() == 2).await;
            let mut events = lab.events("red").await;
            events.sort();
            let said = |reason: &str, text: &str| (reason.to_owned(), text.to_owned());
            assert_eq!(
                events,
                [
                    said("EnsuredLoadBalancer", "Ensured load balancer"),
                    said("EnsuringLoadBalancer", "Ensuring load balancer")
                ]
            );

            let both = answers([&format!("node1 {OUTSIDE}"), &format!("node2 {OUTSIDE}")]);
            assert_eq!(hear(&lab.outside, address, 80).await, both);
            assert_eq!(hear(&lab.vm, address, 80).await, answers([&format!("node1 {VM}"), &format!("node2 {VM}")]));
            assert_eq!(knock(&lab.outside, address, 81).await, Err(ErrorKind::ConnectionRefused), "wrong port");
            let nobodys = Ipv4Addr::new(203, 0, 113, 99);
            assert_eq!(knock(&lab.outside, nobodys, 80).await, Err(ErrorKind::TimedOut));

            one.abort();
            until("node1 leaves", async || {
                hear(&lab.outside, address, 80).await == answers([&format!("node2 {OUTSIDE}")])
            })
            .await;
            let _one = lab.serve_at_node(1, 30080);
            until("node1 is back", async || hear(&lab.outside, address, 80).await == both).await;
            lab.node(2, false).await;
            until("node2 is not Ready", async || {
                hear(&lab.outside, address, 80).await == answers([&format!("node1 {OUTSIDE}")])
            })
            .await;
            assert_eq!(lab.events("red").await.len(), 2, "readiness is no news of hosts");
            let left_out =
                json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}});
            let nodes: Api<Node> = Api::all(lab.client.clone());
            nodes.patch("node2", &PatchParams::default(), &Patch::Merge(&left_out)).await.expect("label");
            let news = said("UpdatedLoadBalancer", "Updated load balancer with new hosts");
            until("its new hosts are told of", async || lab.events("red").await.contains(&news)).await;

            lab.services().delete("red", &DeleteParams::default()).await.expect("delete");
            until("its address is nobody's", async || {
                knock(&lab.outside, address, 80).await == Err(ErrorKind::TimedOut)
            })
            .await;
            lab.expose("blue", 30081, json!({})).await;
            assert_eq!(lab.address_in_the_end("blue").await, address, "and free for the next one");
        });
    });
}

#[test]
fn outside_reaches_nodes_but_never_pods_cluster_ips_or_the_vm() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (pod, service) = (Ipv4Addr::new(10, 244, 2, 5), Ipv4Addr::new(10, 96, 0, 99));
            for (number, address) in [(2, pod), (1, service), (2, service)] {
                let links = Links::open(&lab.nodes[number - 1]).await.expect("links");
                let address: ipnet::IpNet = format!("{address}/32").parse().expect("address");
                links.add_address("lo", address, Scope::Universe).await.expect("address");
            }
            let _servers = [
                lab.serve(2, pod, 80),
                lab.serve(1, service, 80),
                lab.serve(2, service, 80),
                lab.serve_at_node(1, 30080),
            ];
            let vm_server = listen_tcp(&lab.vm, SocketAddr::from((lab.plan.vm_address, 22))).expect("listen");
            // The guard stands before the cloud runs, and while it runs.
            for round in ["before the cloud", "with the cloud"] {
                assert_eq!(knock(&lab.vm, pod, 80).await, Ok(format!("node2 {VM}")), "{round}");
                assert_eq!(knock(&lab.vm, service, 80).await, Ok(format!("node1 {VM}")), "{round}");
                let node = lab.plan.nodes[0].address;
                assert_eq!(knock(&lab.outside, node, 30080).await, Ok(format!("node1 {OUTSIDE}")), "{round}");
                for (address, port) in [(pod, 80), (service, 80), (lab.plan.vm_address, 22)] {
                    assert_eq!(
                        knock(&lab.outside, address, port).await,
                        Err(ErrorKind::TimedOut),
                        "{round}: {address}"
                    );
                }
                // A pod may ask outside, and hears the answer.
                let answering = listen_tcp(&lab.outside, SocketAddr::from((lab.plan.outside, 8080))).expect("listen");
                assert!(knock_from(&lab.nodes[1], pod, lab.plan.outside, 8080).await, "{round}");
                drop(answering);
                if round == "before the cloud" {
                    let (stop, cloud) = lab.start(Duration::ZERO);
                    lab.expose("any", 30099, json!({})).await;
                    lab.address_in_the_end("any").await;
                    // Node 1 dies: ClusterIPs go through node 2.
                    let edge = Links::open(&Netns::current().expect("edge")).await.expect("links");
                    edge.set_down("n1").await.expect("down");
                    until("ClusterIPs go through node2", async || {
                        knock(&lab.vm, service, 80).await == Ok(format!("node2 {VM}"))
                    })
                    .await;
                    edge.set_up("n1").await.expect("up");
                    lab.node(2, false).await;
                    until("and back through node1", async || {
                        knock(&lab.vm, service, 80).await == Ok(format!("node1 {VM}"))
                    })
                    .await;
                    drop(stop);
                    cloud.await.expect("ends when told");
                }
            }
            drop(vm_server);
        });
    });
}

/// Whether a connection with this source address comes about.
async fn knock_from(node: &Netns, source: Ipv4Addr, to: Ipv4Addr, port: u16) -> bool {
    let bound = node.run(|| {
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        socket.bind(SocketAddr::from((source, 0))).expect("bind");
        socket
    });
    let connecting = bound.expect("enter").connect(SocketAddr::from((to, port)));
    matches!(tokio::time::timeout(PATIENCE, connecting).await, Ok(Ok(_)))
}

#[test]
fn while_the_cloud_is_off_services_stay_pending_and_say_why() {
    isolated(|| {
        test(async {
            let lab = Lab::new(1).await;
            lab.switch(false).await;
            let (_stop, _cloud) = lab.start(Duration::ZERO);
            lab.expose("blue", 31234, json!({})).await;
            until("it says why", async || !lab.events("blue").await.is_empty()).await;
            let events = lab.events("blue").await;
            assert_eq!(events[0].0, "CloudOff");
            assert!(
                events[0].1.contains("minisvc cloud on") && events[0].1.contains("172.30.0.11:31234"),
                "{events:?}"
            );
            assert_eq!(lab.address("blue").await, None);
            lab.switch(true).await;
            lab.address_in_the_end("blue").await;
        });
    });
}

#[test]
fn requests_classes_policies_and_ranges_are_honoured() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (stop, cloud) = lab.start(Duration::ZERO);
            let _servers = [lab.serve_at_node(1, 30080), lab.serve_at_node(2, 30080)];
            lab.expose("theirs", 30070, json!({ "loadBalancerClass": "example.com/lb" })).await;
            lab.expose("far", 30071, json!({ "loadBalancerIP": "8.8.8.8" })).await;
            lab.expose("wish", 30072, json!({ "loadBalancerIP": "203.0.113.77" })).await;
            lab.expose("narrow", 30080, json!({ "loadBalancerSourceRanges": ["172.30.255.0/30"] })).await;
            assert_eq!(lab.address_in_the_end("wish").await, Ipv4Addr::new(203, 0, 113, 77));
            let narrow = lab.address_in_the_end("narrow").await;
            assert_eq!(hear(&lab.vm, narrow, 80).await, answers([&format!("node1 {VM}"), &format!("node2 {VM}")]));
            assert_eq!(knock(&lab.outside, narrow, 80).await, Err(ErrorKind::TimedOut));
            until("far says why", async || {
                lab.events("far").await.iter().any(|(reason, text)| {
                    reason == "SyncLoadBalancerFailed" && text.contains("8.8.8.8 is not in the load balancers' range")
                })
            })
            .await;
            assert_eq!((lab.address("far").await, lab.address("theirs").await), (None, None));

            // No load balancer any more: the address is taken away.
            let change = json!({ "spec": { "type": "ClusterIP", "ports": [{ "port": 80, "nodePort": null }] } });
            lab.services().patch("wish", &PatchParams::default(), &Patch::Merge(&change)).await.expect("patch");
            until("it has no address", async || lab.address("wish").await.is_none()).await;

            // The cloud starts again: statuses are the truth.
            drop(stop);
            cloud.await.expect("ends");
            let (_stop, _cloud) = lab.start(Duration::ZERO);
            lab.expose("next", 30073, json!({})).await;
            let next = lab.address_in_the_end("next").await;
            assert_ne!(next, narrow);
            assert_eq!(lab.address("narrow").await, Some(narrow));
        });
    });
}

#[test]
fn policy_local_reaches_only_nodes_that_say_so_and_pods_directly_without_node_ports() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (_stop, _cloud) = lab.start(Duration::ZERO);
            let _servers = [lab.serve_at_node(1, 30080), lab.serve_at_node(2, 30080)];
            lab.expose("red", 30080, json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000 })).await;
            let address = lab.address_in_the_end("red").await;
            assert_eq!(knock(&lab.outside, address, 80).await, Err(ErrorKind::ConnectionRefused), "nobody is healthy");
            let health = SocketAddr::from((lab.plan.nodes[1].address, 31000));
            let listener = listen_tcp(&lab.nodes[1], health).expect("listen");
            let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
            let _health = tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
            until("node2 alone answers", async || {
                hear(&lab.outside, address, 80).await == answers([&format!("node2 {OUTSIDE}")])
            })
            .await;

            // Straight to pods, which outside cannot reach by itself.
            let pod = Ipv4Addr::new(10, 244, 1, 5);
            let links = Links::open(&lab.nodes[0]).await.expect("links");
            links.add_address("lo", "10.244.1.5/32".parse().expect("address"), Scope::Universe).await.expect("address");
            let _pod = lab.serve(1, pod, 8080);
            let ports = json!([{ "port": 80, "targetPort": 8080 }]);
            lab.expose("direct", 0, json!({ "allocateLoadBalancerNodePorts": false, "ports": ports })).await;
            let slice = serde_json::from_value(json!({
                "metadata": { "name": "direct-1", "labels": { "kubernetes.io/service-name": "direct" } },
                "addressType": "IPv4",
                "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
                "endpoints": [{ "addresses": ["10.244.1.5"], "conditions": { "ready": true } }],
            }))
            .expect("slice");
            let slices: Api<k8s_openapi::api::discovery::v1::EndpointSlice> =
                Api::namespaced(lab.client.clone(), "default");
            slices.create(&PostParams::default(), &slice).await.expect("create slice");
            let direct = lab.address_in_the_end("direct").await;
            until("the pod answers", async || knock(&lab.outside, direct, 80).await == Ok(format!("node1 {OUTSIDE}")))
                .await;
            assert_eq!(knock(&lab.outside, pod, 8080).await, Err(ErrorKind::TimedOut));
        });
    });
}
