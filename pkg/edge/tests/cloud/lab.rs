//! The lab that all tests share: the edge's wires, an API server, nodes that are sockets, and clients who knock.

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
    api::{ListParams, Patch, PatchParams, PostParams},
};
use minisvc_apiserver::{
    ApiServer,
    pki::{Pki, ServingNames},
};
use minisvc_edge::{
    Config, SWITCH, run,
    wiring::{Plan, Ranges, lay_edge, lay_node, lay_vm},
};
use minisvc_kernel::{Netns, connect_tcp, listen_tcp};
use minisvc_store::{Options, SledStore};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::oneshot, task::JoinHandle};

/// How long a test waits before it says that something never happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection that is dropped on the way is waited for.
const SILENCE: Duration = Duration::from_millis(400);

pub(crate) struct Lab {
    pub(crate) plan: Plan,
    pub(crate) vm: Netns,
    pub(crate) outside: Netns,
    pub(crate) nodes: Vec<Netns>,
    pub(crate) client: Client,
    edge: Client,
    _server: ApiServer,
    _folder: tempfile::TempDir,
}

/// The process' own namespace is the edge.
impl Lab {
    pub(crate) async fn new(nodes: u8) -> Self {
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
    pub(crate) async fn node(&self, number: usize, ready: bool) {
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

    pub(crate) fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) async fn expose(&self, name: &str, node_port: u16, more: Value) {
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

    pub(crate) async fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let service = self.services().get(name).await.expect("get");
        let ingress = service.status?.load_balancer?.ingress?;
        let [one] = ingress.as_slice() else { panic!("{ingress:?}") };
        assert_eq!(one.ip_mode.as_deref(), Some("VIP"));
        one.ip.as_ref()?.parse().ok()
    }

    pub(crate) async fn address_in_the_end(&self, name: &str) -> Ipv4Addr {
        until(&format!("{name} gets an address"), async || self.address(name).await.is_some()).await;
        self.address(name).await.expect("an address")
    }

    /// Reasons and messages of the Events about a service.
    pub(crate) async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let list = events.list(&ListParams::default()).await.expect("events");
        let about = list.items.into_iter().filter(|event| {
            event.involved_object.kind.as_deref() == Some("Service")
                && event.involved_object.name.as_deref() == Some(name)
        });
        about.map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default())).collect()
    }

    pub(crate) async fn switch(&self, on: bool) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), SWITCH.0);
        let data = json!({ "data": { SWITCH.2: on.to_string() } });
        if api.get_opt(SWITCH.1).await.expect("get").is_none() {
            let map = serde_json::from_value(json!({ "metadata": { "name": SWITCH.1 } })).expect("map");
            api.create(&PostParams::default(), &map).await.expect("create switch");
        }
        api.patch(SWITCH.1, &PatchParams::default(), &Patch::Merge(&data)).await.expect("switch");
    }

    /// Starts the cloud; send or drop to stop it.
    pub(crate) fn start(&self, delay: Duration) -> (oneshot::Sender<()>, JoinHandle<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let probe_interval = Duration::from_millis(100);
        let config = Config { delay, probe_interval, ..Config::new(self.plan.clone()) };
        let running = run(config, self.edge.clone(), async {
            let _stopped = stopped.await;
        });
        (stop, tokio::spawn(async { running.await.expect("the cloud runs") }))
    }

    /// A server at a node that answers with its name and the client's address.
    pub(crate) fn serve(&self, number: usize, address: Ipv4Addr, port: u16) -> JoinHandle<()> {
        let listener = listen_tcp(&self.nodes[number - 1], SocketAddr::from((address, port))).expect("listen");
        let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
        tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                let _sent = stream.write_all(format!("node{number} {}", peer.ip()).as_bytes()).await;
            }
        })
    }

    pub(crate) fn serve_at_node(&self, number: usize, port: u16) -> JoinHandle<()> {
        self.serve(number, self.plan.nodes[number - 1].address, port)
    }
}

/// What a client in `from` hears.
pub(crate) async fn knock(from: &Netns, address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
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
pub(crate) async fn hear(from: &Netns, address: Ipv4Addr, port: u16) -> BTreeSet<Result<String, ErrorKind>> {
    let mut heard = BTreeSet::new();
    for _ in 0..24 {
        heard.insert(knock(from, address, port).await);
    }
    heard
}

pub(crate) fn answers<const N: usize>(texts: [&str; N]) -> BTreeSet<Result<String, ErrorKind>> {
    texts.map(|text| Ok(text.to_owned())).into()
}

/// Waits for a condition; a minute without it is a failure, whatever the machine's load.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn test(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("runtime").block_on(body);
}

/// Who knocks from outside, and from the machine.
pub(crate) const OUTSIDE: &str = "198.51.100.10";
pub(crate) const VM: &str = "172.30.255.2";
