//! The loop against a small fake of the API: the rules follow lists and watches, damage is repaired, health checks
//! answer, and UDP clients leave an endpoint that left.

#[allow(dead_code)]
mod lab;
#[allow(dead_code)]
mod scenario;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use lab::{Lab, node_address};
use minisvc_kernel::{
    bind_udp, connect_tcp,
    nft::{Family, Protocol, Transaction},
};
use minisvc_proxy::{NodeView, TABLE, connections, plan};
use minisvc_testkit::isolated;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Lists and watches of a few kinds, by path.
#[derive(Clone, Default)]
struct FakeApi {
    objects: Arc<Mutex<BTreeMap<String, BTreeMap<String, Value>>>>,
    watches: Arc<Mutex<BTreeMap<String, UnboundedSender<Bytes>>>>,
}

const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

impl FakeApi {
    fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let answer = fake.answer(request.uri());
            async move { Ok::<_, Infallible>(http::Response::new(answer)) }
        });
        kube::Client::new(service, "default")
    }

    fn answer(&self, uri: &http::Uri) -> BoxBody<Bytes, Infallible> {
        let path = uri.path().to_owned();
        if uri.query().unwrap_or_default().contains("watch=true") {
            let (sender, receiver) = unbounded_channel::<Bytes>();
            self.watches.lock().unwrap().insert(path, sender);
            let frames = futures::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|line| (line, receiver))
            });
            return BodyExt::boxed(StreamBody::new(frames.map(|line| Ok(http_body::Frame::data(line)))));
        }
        let items: Vec<Value> =
            self.objects.lock().unwrap().get(&path).into_iter().flatten().map(|(_, v)| v.clone()).collect();
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
        Full::new(Bytes::from(list.to_string())).boxed()
    }

    /// Stores an object and tells the watch.
    fn set(&self, path: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let mut objects = self.objects.lock().unwrap();
        let old = objects.entry(path.into()).or_default().insert(name, object.clone());
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        if let Some(watch) = self.watches.lock().unwrap().get(path) {
            let _ = watch.send(Bytes::from(format!("{}\n", json!({"type": kind, "object": object}))));
        }
    }
}

fn service(name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "namespace": "default", "resourceVersion": "7"});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}

fn slice(name: &str, port: u16, protocol: &str, endpoints: &[(&str, &str)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node)| json!({"addresses": [address], "nodeName": node, "conditions": {"ready": true}}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-x"), "namespace": "default", "resourceVersion": "8",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": port, "protocol": protocol}],
    })
}

/// Waits for something that must come true.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_node_follows_the_api() {
    isolated(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        let (dns1, dns2) = (Ipv4Addr::new(10, 244, 2, 11), Ipv4Addr::new(10, 244, 2, 12));
        let yellow = Ipv4Addr::new(10, 244, 1, 12);
        let lab = runtime.block_on(Lab::new(&BTreeMap::from([(dns1, 2), (dns2, 2), (yellow, 1)]))).expect("a lab");
        let at = |address: Ipv4Addr| (SocketAddr::from((address, 53)), Protocol::UDP);
        lab.serve(&BTreeSet::from([at(dns1), at(dns2)])).expect("served");

        let api = FakeApi::default();
        let dns = |endpoints: &[(&str, &str)]| slice("dns", 53, "UDP", endpoints);
        let ports = json!([{"port": 53, "protocol": "UDP"}]);
        api.set(
            SERVICES,
            service("dns", json!({"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": ports})),
        );
        let config = scenario::config(1);
        let _entered = runtime.enter();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let netns = lab.node(1).clone();
        let task = runtime.spawn(minisvc_proxy::run(config.clone(), netns, api.client(), async {
            let _ = stopped.await;
        }));

        let held = || {
            let read = lab.rules(1).expect("a way in").read(Family::Ip, TABLE).expect("readable");
            let typed = |path: &str| -> Vec<Value> {
                api.objects.lock().unwrap().get(path).into_iter().flatten().map(|(_, v)| v.clone()).collect()
            };
            let services: Vec<Service> =
                typed(SERVICES).into_iter().map(|v| serde_json::from_value(v).expect("a service")).collect();
            let slices: Vec<EndpointSlice> =
                typed(SLICES).into_iter().map(|v| serde_json::from_value(v).expect("a slice")).collect();
            let wanted = plan(&services, &slices, &NodeView::new(&config, None), &config);
            read.is_some_and(|listing| listing.differences(wanted.table()).is_empty())
        };
        eventually("the first rules", held);

        // A UDP client keeps its port: refused while nobody answers, then the first endpoint, then the other one.
        let client = bind_udp(lab.namespace(yellow), SocketAddr::from((yellow, 4000))).expect("a client");
        client.set_nonblocking(false).expect("blocking");
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        client.connect("10.96.0.10:53").expect("connected");
        let answers = || {
            let mut buffer = [0; 64];
            let got = client.send(b"?").and_then(|_| client.recv(&mut buffer));
            got.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned()).unwrap_or_default()
        };
        eventually("watches", || api.watches.lock().unwrap().len() >= 4);
        assert_eq!(answers(), "");
        api.set(SLICES, dns(&[("10.244.2.11", "node2")]));
        eventually("the first endpoint's answer", || answers().starts_with("10.244.2.11"));
        // On its way out it still serves: what flows to it goes on, though new clients meet the other one.
        let mut leaving = dns(&[("10.244.2.11", "node2"), ("10.244.2.12", "node2")]);
        leaving["endpoints"][0]["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
        api.set(SLICES, leaving);
        eventually("rules without the endpoint that leaves", held);
        let mut answer = String::new();
        eventually("an answer", || {
            answer = answers();
            !answer.is_empty()
        });
        assert!(answer.starts_with("10.244.2.11"), "{answer}");
        api.set(SLICES, dns(&[("10.244.2.12", "node2")]));
        eventually("the other endpoint's answer", || answers().starts_with("10.244.2.12"));
        eventually("rules of the other endpoint", held);
        let counts = connections(&mut lab.rules(1).expect("a way in")).expect("countable");
        let [dns] = counts.as_slice() else { panic!("{counts:?}") };
        assert_eq!(dns.owner, "default/dns");
        assert!(dns.connections >= 2, "{dns:?}");

        // Somebody deletes the table.
        lab.rules(1).expect("a way in").commit(&Transaction::remove(Family::Ip, TABLE)).expect("deleted");
        assert!(!held());
        eventually("repaired rules", held);

        // A health check of policy Local.
        let spec = json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"],
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000, "ports": [{"port": 80, "nodePort": 30080}],
        });
        api.set(SERVICES, service("web", spec));
        api.set(SLICES, slice("web", 80, "TCP", &[("10.244.2.11", "node2")]));
        let check = || {
            let to = SocketAddr::from((node_address(1), 32_000));
            let Ok(mut stream) = connect_tcp(lab.namespace(lab::VM), to, Duration::from_secs(1)) else {
                return String::new();
            };
            let mut text = String::new();
            write!(stream, "GET /healthz HTTP/1.1\r\nHost: node1\r\n\r\n").expect("sent");
            stream.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        };
        eventually("no local endpoint", || check().starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        api.set(SLICES, slice("web", 80, "TCP", &[("10.244.1.12", "node1"), ("10.244.2.11", "node2")]));
        eventually("a local endpoint", || check().starts_with("HTTP/1.1 200 OK\r\n"));
        let text = check();
        assert!(text.contains("X-Load-Balancing-Endpoint-Weight: 1\r\n"), "{text}");
        let body: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        let wanted = json!({
            "service": {"namespace": "default", "name": "web"}, "localEndpoints": 1, "serviceProxyHealthy": true,
        });
        assert_eq!(body, wanted);

        stop.send(()).expect("stopped");
        runtime.block_on(task).expect("joined").expect("a clean end");
        assert!(held(), "the rules stay");
    });
}
