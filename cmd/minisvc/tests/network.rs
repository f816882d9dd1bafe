//! Services as the `[sig-network] Services` conformance tests look at them, each behaviour under that test's name, with
//! the same pods and the same questions. Run through `cargo xtask test`; `BEHAVIOUR=text` picks by name.

mod lab;

use lab::Lab;
use lab::place::{Behaviour, Place, show};
use serde_json::{Value, json};

const SERVE_HOSTNAME: &[&str] = &["serve-hostname"];
const NETEXEC: &[&str] = &["netexec", "--http-port=80", "--udp-port=80"];
const HTTP: &[(&str, u16, u16, &str)] = &[("http", 80, 9376, "TCP")];

#[test]
fn services_as_conformance_sees_them() {
    minisvc_testkit::isolated(|| show(&Lab::started("1.37"), SERVICES));
}

const SERVICES: &[Behaviour] = &[
    ("should provide secure master service", secure_master),
    ("should serve a basic endpoint from pods", basic_endpoint),
    ("should serve multiport endpoints from pods", multiport),
    ("should be able to create a functioning NodePort service", node_port),
    ("should serve endpoints on same port and different protocols", same_port),
    ("should be able to change the type from ExternalName to ClusterIP", external_to_cluster),
    ("should be able to change the type from ExternalName to NodePort", external_to_node),
    ("should be able to change the type from ClusterIP to ExternalName", cluster_to_external),
    ("should be able to change the type from NodePort to ExternalName", node_to_external),
    ("should have session affinity work for service with type clusterIP", |place| affinity(place, "ClusterIP")),
    ("should have session affinity work for NodePort service", |place| affinity(place, "NodePort")),
    ("should be able to switch session affinity for service with type clusterIP", |place| switch(place, "ClusterIP")),
    ("should be able to switch session affinity for NodePort service", |place| switch(place, "NodePort")),
    ("should have session affinity timeout work for service with type clusterIP", affinity_timeout),
    ("should allow pods to hairpin back to themselves through services", hairpin),
    ("should be rejected when no endpoints exist", rejected),
    ("should create endpoints for unready pods", unready),
    ("should implement service.kubernetes.io/headless", |place| label(place, "service.kubernetes.io/headless")),
    ("should implement service.kubernetes.io/service-proxy-name", |place| {
        label(place, "service.kubernetes.io/service-proxy-name");
    }),
    ("should preserve source pod IP for traffic thru service cluster IP", source_kept),
    ("should be able to preserve UDP traffic when server pod cycles for a ClusterIP service", udp_cycles),
    ("should route traffic to an endpoint in the same zone when using PreferSameZone", |place| {
        near(place, "PreferSameZone");
    }),
    ("should route traffic to an endpoint on the same node when using PreferSameNode", |place| {
        near(place, "PreferSameNode");
    }),
    ("should proxy localhost NodePort traffic to backends across nodes", localhost),
];

fn secure_master(place: &Place<'_>) {
    let service: Value =
        serde_json::from_str(&place.lab.ok("kubectl -n default get service kubernetes -o json")).expect("JSON");
    assert_eq!(
        (&service["spec"]["ports"][0]["name"], &service["spec"]["ports"][0]["port"]),
        (&json!("https"), &json!(443))
    );
}

fn basic_endpoint(place: &Place<'_>) {
    place.service("s", "p", &[("", 80, 80, "TCP")], json!({}));
    place.endpoints("s", 0);
    place.exec_pod();
    for (name, count) in [("p1", 1), ("p2", 2)] {
        place.agnhost(name, json!({"app": "p"}), NETEXEC);
        place.endpoints("s", count);
        place.reachable("s", 80, "TCP");
    }
    place.kubectl("delete pod p1 --now");
    place.endpoints("s", 1);
    place.reachable("s", 80, "TCP");
    place.kubectl("delete pod p2 --now");
    place.endpoints("s", 0);
}

fn multiport(place: &Place<'_>) {
    let ports = [("portname1", 80, 100, "TCP"), ("portname2", 81, 101, "TCP")];
    let service = place.service("s", "p", &ports, json!({}));
    place.exec_pod();
    place.agnhost("p1", json!({"app": "p"}), &["netexec", "--http-port=100", "--udp-port=-1"]);
    place.agnhost("p2", json!({"app": "p"}), &["netexec", "--http-port=101", "--udp-port=-1"]);
    place.ready("p1 p2");
    place.endpoints("s", 2);
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    // Both pods are behind both ports; each answers on one of them.
    for port in [80, 81] {
        place
            .until("execpod", &format!("curl -s --connect-timeout 2 {address}:{port}/hostname"), |out| !out.is_empty());
    }
    place.kubectl("delete pod p1 p2 --now");
    place.endpoints("s", 0);
}

fn node_port(place: &Place<'_>) {
    let service = place.service("s", "h", HTTP, json!({"type": "NodePort"}));
    place.hostnames("h", 2, SERVE_HOSTNAME);
    place.exec_pod();
    place.reachable("s", 80, "TCP");
    place.reachable(service["spec"]["clusterIP"].as_str().expect("an address"), 80, "TCP");
    for node in place.nodes() {
        place.reachable(&node, service["spec"]["ports"][0]["nodePort"].as_u64().expect("a port"), "TCP");
    }
}

fn same_port(place: &Place<'_>) {
    let ports = [("tcp", 80, 80, "TCP"), ("udp", 80, 80, "UDP")];
    let service = place.service("s", "p", &ports, json!({}));
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    place.exec_pod();
    place.agnhost("p1", json!({"app": "p"}), NETEXEC);
    place.ready("p1");
    place.endpoints("s", 1);
    place.reachable(address, 80, "TCP");
    place.reachable(address, 80, "UDP");
    place.update("service s", |service| {
        service["spec"]["ports"].as_array_mut().expect("ports").retain(|port| port["protocol"] == "TCP");
    });
    place.reachable(address, 80, "TCP");
    place.until("execpod", &format!("echo hostName | nc -u -w 1 {address} 80; true"), str::is_empty);
    place.update("service s", |service| service["spec"]["ports"][0]["protocol"] = json!("UDP"));
    place.reachable(address, 80, "UDP");
    place.until("execpod", &format!("/agnhost connect --timeout=3s {address}:80 2>&1; true"), |out| !out.is_empty());
}

/// A service that an ExternalName may point to, with pods behind it.
fn target(place: &Place<'_>) -> String {
    place.service("target", "h", HTTP, json!({}));
    place.hostnames("h", 2, SERVE_HOSTNAME);
    place.endpoints("target", 2);
    place.exec_pod();
    format!("target.{}.svc.cluster.local", place.name)
}

fn external(place: &Place<'_>) {
    place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"type": "ExternalName", "externalName": "foo.example.com"}}));
}

fn external_to_cluster(place: &Place<'_>) {
    target(place);
    external(place);
    let service = place.update("service s", |service| {
        service["spec"]["type"] = json!("ClusterIP");
        service["spec"]["externalName"] = json!("");
        service["spec"]["selector"] = json!({"app": "h"});
        service["spec"]["ports"] = json!([{"port": 80, "name": "http", "protocol": "TCP", "targetPort": 9376}]);
    });
    place.reachable("s", 80, "TCP");
    place.reachable(service["spec"]["clusterIP"].as_str().expect("an address"), 80, "TCP");
}

fn external_to_node(place: &Place<'_>) {
    target(place);
    external(place);
    let service = place.update("service s", |service| {
        service["spec"]["type"] = json!("NodePort");
        service["spec"]["externalName"] = json!("");
        service["spec"]["selector"] = json!({"app": "h"});
        service["spec"]["ports"] = json!([{"port": 80, "name": "http", "protocol": "TCP", "targetPort": 9376}]);
    });
    place.reachable("s", 80, "TCP");
    for node in place.nodes() {
        place.reachable(&node, service["spec"]["ports"][0]["nodePort"].as_u64().expect("a port"), "TCP");
    }
}

fn to_external(place: &Place<'_>, kind: &str) {
    let name = target(place);
    let before = place.service("s", "h", HTTP, json!({"type": kind}));
    let after = place.update("service s", |service| {
        service["spec"]["type"] = json!("ExternalName");
        service["spec"]["externalName"] = json!(name);
    });
    assert!(before["spec"]["clusterIP"].is_string() && after["spec"]["clusterIP"].is_null(), "{after}");
    assert!(after["spec"]["ports"][0]["nodePort"].is_null(), "{after}");
    let alias = format!("nslookup s.{}.svc.cluster.local", place.name);
    place.until("execpod", &alias, |out| out.contains(&format!("canonical name = {name}.")));
}

fn cluster_to_external(place: &Place<'_>) {
    to_external(place, "ClusterIP");
}

fn node_to_external(place: &Place<'_>) {
    to_external(place, "NodePort");
}

/// Three pods behind a service with affinity, and where it is reached.
fn sticky(place: &Place<'_>, kind: &str, seconds: u32) -> String {
    let spec = json!({
        "type": kind, "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}},
    });
    let service = place.service("s", "h", HTTP, spec);
    place.hostnames("h", 3, SERVE_HOSTNAME);
    place.endpoints("s", 3);
    place.exec_pod();
    let spec = &service["spec"];
    let url = match kind {
        "NodePort" => format!("http://{}:{}/", place.nodes()[0], spec["ports"][0]["nodePort"]),
        _ => format!("http://{}:80/", spec["clusterIP"].as_str().expect("an address")),
    };
    place.until("execpod", &format!("curl -s --connect-timeout 2 {url}"), |out| !out.is_empty());
    url
}

fn affinity(place: &Place<'_>, kind: &str) {
    let url = sticky(place, kind, 10_800);
    let seen = place.answers("execpod", &url, 16);
    assert_eq!(seen.len(), 1, "{seen:?}");
}

fn switch(place: &Place<'_>, kind: &str) {
    let url = sticky(place, kind, 10_800);
    let set = |affinity: &str| {
        place.update("service s", |service| {
            service["spec"]["sessionAffinity"] = json!(affinity);
            if affinity == "None" {
                service["spec"].as_object_mut().expect("a spec").remove("sessionAffinityConfig");
            }
        });
    };
    let becomes = |what: &str, good: fn(usize) -> bool| {
        place.lab.eventually(what, || {
            let seen = place.answers("execpod", &url, 16);
            if good(seen.len()) { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    };
    set("None");
    becomes("different pods answer", |count| count > 1);
    set("ClientIP");
    becomes("one pod answers", |count| count == 1);
}

fn affinity_timeout(place: &Place<'_>) {
    let url = sticky(place, "ClusterIP", 2);
    assert_eq!(place.answers("execpod", &url, 10).len(), 1);
    // After the timeout another pod may answer; drawn anew often enough, one does.
    let script = format!(
        "curl -q -s {url} >/tmp/first; for i in $(seq 25); do sleep 3; curl -q -s {url} >/tmp/now; cmp -s /tmp/first /tmp/now || break; done; cat /tmp/first; echo; cat /tmp/now"
    );
    let said = place.exec("execpod", &script);
    let (first, last) = said.out.split_once('\n').expect("two answers");
    assert!(!first.is_empty() && !last.is_empty() && first != last, "always {first:?}: {}", said.err);
}

fn hairpin(place: &Place<'_>) {
    let service = place.service("s", "h", &[("http", 8080, 8080, "TCP")], json!({}));
    place.agnhost("p", json!({"app": "h"}), &["netexec"]);
    place.ready("p");
    place.endpoints("s", 1);
    for host in ["s", service["spec"]["clusterIP"].as_str().expect("an address")] {
        place.until("p", &format!("curl -s --connect-timeout 2 {host}:8080/hostname"), |out| out == "p");
    }
}

fn rejected(place: &Place<'_>) {
    place.service("s", "nobody", &[("http", 80, 80, "TCP")], json!({"type": "NodePort"}));
    place.exec_pod();
    let refused = "/agnhost connect --timeout=3s s:80 2>&1; true";
    place.until("execpod", refused, |out| out == "REFUSED\n");
}

fn unready(place: &Place<'_>) {
    place.service("tolerant", "u", &[("http", 80, 80, "TCP")], json!({"publishNotReadyAddresses": true}));
    place.service("strict", "u", &[("http", 80, 80, "TCP")], json!({}));
    let never = json!({"exec": {"command": ["/bin/false"]}});
    place.pod(
        "u",
        json!({"app": "u"}),
        json!({"containers": [{"name": "u", "image": lab::place::AGNHOST,
        "args": ["netexec", "--http-port=80"], "readinessProbe": never}]}),
    );
    place.exec_pod();
    place.until("execpod", "curl -q -s --connect-timeout 2 http://tolerant:80/hostname", |out| out == "u");
    place.until("execpod", "/agnhost connect --timeout=3s strict:80 2>&1; true", |out| out == "REFUSED\n");
}

/// Services with the label are nobody's; without it they are served again.
fn label(place: &Place<'_>, label: &str) {
    let service = place.service("s", "h", HTTP, json!({}));
    let marked = place.create(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "marked", "labels": {label: "foo-bar"}},
        "spec": {"selector": {"app": "h"}, "ports": [{"port": 80, "targetPort": 9376}]}}));
    place.hostnames("h", 2, SERVE_HOSTNAME);
    place.exec_pod();
    let address = |service: &Value| service["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    place.reachable(&address(&service), 80, "TCP");
    let silent = format!("curl -s --connect-timeout 1 -m 2 http://{}:80 && echo served; true", address(&marked));
    assert_eq!(place.exec("execpod", &silent).out, "");
    place.kubectl(&format!("label service marked {label}-"));
    place.reachable(&address(&marked), 80, "TCP");
    place.kubectl(&format!("label service marked {label}=foo"));
    place.until("execpod", &silent, str::is_empty);
}

fn source_kept(place: &Place<'_>) {
    let service = place.service("s", "e", &[("http", 80, 8080, "TCP")], json!({}));
    place.agnhost("e", json!({"app": "e"}), &["netexec"]);
    place.exec_pod();
    place.ready("e");
    place.endpoints("s", 1);
    let own = place.get("pod execpod")["status"]["podIP"].as_str().expect("an address").to_owned();
    let url = format!(
        "curl -s --connect-timeout 2 {}:80/clientip",
        service["spec"]["clusterIP"].as_str().expect("an address")
    );
    place.until("execpod", &url, |out| out.split(':').next() == Some(own.as_str()));
}

fn udp_cycles(place: &Place<'_>) {
    let service = place.service("s", "u", &[("udp", 80, 80, "UDP")], json!({}));
    place.exec_pod();
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    // One socket's worth of traffic: the same source port every time.
    let ask = format!("echo hostname | nc -w 1 -W 1 -u -p 12345 {address} 80; true");
    for server in ["first", "second"] {
        place.agnhost(server, json!({"app": "u"}), NETEXEC);
        place.ready(server);
        place.until("execpod", &ask, |out| out == server);
        place.kubectl(&format!("delete pod {server} --now"));
    }
}

/// A pod on this node of the lab.
fn on_node(place: &Place<'_>, node: &str, name: &str, more: Value) {
    let container = json!({"name": "agnhost", "image": lab::place::AGNHOST, "args": SERVE_HOSTNAME});
    let mut spec = json!({"nodeName": node, "containers": [container]});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let app = name.split('-').next().unwrap_or_default();
    place.pod(name, json!({"app": app}), spec);
    place.ready(name);
}

/// Each of the lab's nodes is a zone.
fn near(place: &Place<'_>, distribution: &str) {
    let service = place.service("s", "server", HTTP, json!({"trafficDistribution": distribution}));
    for node in ["node1", "node2"] {
        on_node(place, node, &format!("server-{node}"), json!({}));
    }
    for node in ["node1", "node2", "node3"] {
        on_node(place, node, &format!("client-{node}"), json!({}));
    }
    place.endpoints("s", 2);
    let url = format!("http://{}:80/", service["spec"]["clusterIP"].as_str().expect("an address"));
    let heard = |client: &str, wanted: &[&str]| {
        place.lab.eventually(&format!("{client} hears {wanted:?}"), || {
            let seen = place.answers(client, &url, 20);
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    };
    heard("client-node1", &["server-node1"]);
    heard("client-node2", &["server-node2"]);
    heard("client-node3", &["server-node1", "server-node2"]);
    place.kubectl("delete pod server-node1 --now");
    heard("client-node1", &["server-node2"]);
    place.update("service s", |service| {
        service["spec"].as_object_mut().expect("a spec").remove("trafficDistribution");
    });
    on_node(place, "node3", "server-node3", json!({}));
    heard("client-node2", &["server-node2", "server-node3"]);
}

fn localhost(place: &Place<'_>) {
    let service = place.service("s", "server", HTTP, json!({"type": "NodePort"}));
    on_node(place, "node1", "server-node1", json!({}));
    place.endpoints("s", 1);
    let ask = format!("curl -s --connect-timeout 2 http://127.0.0.1:{}/", service["spec"]["ports"][0]["nodePort"]);
    for node in ["node1", "node3"] {
        let client = json!({"name": "agnhost", "image": lab::place::AGNHOST, "args": ["pause"]});
        on_node(place, node, &format!("host-{node}"), json!({"hostNetwork": true, "containers": [client]}));
        place.until(&format!("host-{node}"), &ask, |out| out == "server-node1");
    }
}
