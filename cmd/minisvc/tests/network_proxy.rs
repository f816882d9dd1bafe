//! Pods and services reached through the API server, and pods that dial each other, as `[sig-network] Proxy`, `Networking
//! Granular Checks`, `EndpointSlice` and `HostPort` conformance tests look at them. Run through `cargo xtask test`;
//! `BEHAVIOUR=text` picks by name.

mod lab;

use lab::Lab;
use lab::place::{AGNHOST, Behaviour, Place, show};
use serde_json::{Value, json};

#[test]
fn ways_between_pods_as_conformance_sees_them() {
    minisvc_testkit::isolated(|| show(&Lab::started("1.37"), WAYS));
}

const WAYS: &[Behaviour] = &[
    ("should proxy through a service and a pod", forms),
    ("A set of valid responses are returned for both pod and service Proxy", |place| methods(place, "")),
    ("A set of valid responses are returned for both pod and service ProxyWithPath", |place| {
        methods(place, "/some/path/with/");
    }),
    ("should function for intra-pod communication: http", |place| between(place, "http", 8083)),
    ("should function for intra-pod communication: udp", |place| between(place, "udp", 8081)),
    ("should function for node-pod communication: http", |place| from_node(place, "http")),
    ("should function for node-pod communication: udp", |place| from_node(place, "udp")),
    ("should create Endpoints and EndpointSlices for Pods matching a Service", slices),
    ("should mirror a custom Endpoints resource through create update and delete", mirrored),
    ("should have Endpoints and EndpointSlices pointing to API Server", api_server),
];

fn forms(place: &Place<'_>) {
    let port = |name: &str, port: u16, target: Value| json!({"name": name, "port": port, "targetPort": target});
    place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {
        "selector": {"app": "porter"},
        "ports": [port("portname1", 80, json!("dest1")), port("portname2", 81, json!(162)),
            port("tlsportname1", 443, json!("tlsdest1")), port("tlsportname2", 444, json!(462))],
    }}));
    let served = [
        ("SERVE_PORT_80", r#"<a href="/rewriteme">test</a>"#),
        ("SERVE_PORT_1080", r#"<a href="/rewriteme">test</a>"#),
        ("SERVE_PORT_160", "foo"),
        ("SERVE_PORT_162", "bar"),
        ("SERVE_TLS_PORT_443", r#"<a href="/tlsrewriteme">test</a>"#),
        ("SERVE_TLS_PORT_460", "tls baz"),
        ("SERVE_TLS_PORT_462", "tls qux"),
    ];
    let env: Vec<Value> = served.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    place.pod("p", json!({"app": "porter"}), json!({"containers": [{
        "name": "c", "image": AGNHOST, "command": ["/agnhost", "porter"], "env": env,
        "ports": [{"containerPort": 80}, {"name": "dest1", "containerPort": 160}, {"name": "dest2", "containerPort": 162},
            {"name": "tlsdest1", "containerPort": 460}, {"name": "tlsdest2", "containerPort": 462}],
        "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 1},
    }]}));
    place.ready("p");
    place.endpoints("s", 1);
    let path = |kind: &str, name: &str| format!("/api/v1/namespaces/{}/{kind}/{name}/proxy", place.name);
    let link = |name: &str, to: &str| format!(r#"<a href="{}/{to}">test</a>"#, path("pods", name));
    let table = [
        ("services", "s:portname1", "foo".to_owned()),
        ("services", "http:s:portname1", "foo".to_owned()),
        ("services", "s:portname2", "bar".to_owned()),
        ("services", "http:s:portname2", "bar".to_owned()),
        ("services", "https:s:tlsportname1", "tls baz".to_owned()),
        ("services", "https:s:tlsportname2", "tls qux".to_owned()),
        ("pods", "p", link("p", "rewriteme")),
        ("pods", "p:1080", link("p:1080", "rewriteme")),
        ("pods", "http:p:1080", link("http:p:1080", "rewriteme")),
        ("pods", "p:160", "foo".to_owned()),
        ("pods", "http:p:160", "foo".to_owned()),
        ("pods", "p:162", "bar".to_owned()),
        ("pods", "http:p:162", "bar".to_owned()),
        ("pods", "https:p:443", link("https:p:443", "tlsrewriteme")),
        ("pods", "https:p:460", "tls baz".to_owned()),
        ("pods", "https:p:462", "tls qux".to_owned()),
    ];
    let first = format!("{}/", path("services", "s:portname1"));
    place.lab.eventually(&first, || match place.raw(&first) {
        said if said.out == "foo" => Ok(()),
        said => Err(said.out + &said.err),
    });
    for (kind, name, wanted) in table {
        let said = place.raw(&format!("{}/", path(kind, name)));
        assert_eq!((said.code, said.out.as_str()), (0, wanted.as_str()), "{kind} {name}: {}", said.err);
    }
}

fn methods(place: &Place<'_>, more: &str) {
    place.service("s", "a", &[("", 80, 80, "TCP")], json!({}));
    place.pod(
        "agnhost",
        json!({"app": "a"}),
        json!({"containers": [{
            "name": "agnhost", "image": AGNHOST, "command": ["/agnhost", "porter", "--json-response"],
            "env": [{"name": "SERVE_PORT_80", "value": "foo"}], "ports": [{"containerPort": 80}],
        }]}),
    );
    place.ready("agnhost");
    place.endpoints("s", 1);
    let own = &place.name;
    // kubectl proxy hands every method on, with the person's rights.
    let port = 20_000 + own.bytes().map(u16::from).sum::<u16>() % 1000;
    let _proxy = place.lab.background(&format!("kubectl proxy --port={port}"), &format!("{own}-proxy.txt"));
    let base = format!("http://127.0.0.1:{port}/api/v1/namespaces/{own}");
    for object in ["pods/agnhost", "services/s"] {
        for method in ["DELETE", "OPTIONS", "PATCH", "POST", "PUT", "GET", "HEAD"] {
            // Without a slash at its end, a GET is sent on to the path that has one.
            let head = if method == "HEAD" { "-I" } else { "" };
            let path = if more.is_empty() && matches!(method, "GET" | "HEAD") { "/" } else { more };
            let url = format!(
                "{base}/{object}/proxy{path}{}",
                if more.is_empty() { String::new() } else { method.to_owned() }
            );
            let line = format!("curl -s {head} -X {method} -w '\n%{{http_code}}' '{url}?method={method}'");
            let out = place.lab.until(&line, |out| out.ends_with("\n200"));
            if method != "HEAD" {
                let answer: Value = serde_json::from_str(out.lines().next().unwrap_or_default()).expect("JSON");
                assert_eq!((&answer["Method"], &answer["Body"]), (&json!(method), &json!("foo")), "{line}");
            }
        }
        for method in ["GET", "HEAD"] {
            let head = if method == "HEAD" { "-I" } else { "" };
            let line =
                format!("curl -s {head} -o /dev/null -w '%{{http_code}}' '{base}/{object}/proxy?method={method}'");
            assert_eq!(place.lab.ok(&line), "301", "{line}");
        }
    }
}

/// A server pod on each node, as the granular checks have them.
fn servers(place: &Place<'_>) -> Vec<(String, String)> {
    let mut pods = Vec::new();
    for node in 1..=3 {
        let name = format!("netserver-{node}");
        let healthy = json!({"httpGet": {"path": "/healthz", "port": 8083}, "periodSeconds": 1});
        place.pod(&name, json!({"app": "netserver"}), json!({
            "nodeSelector": {"kubernetes.io/hostname": format!("node{node}")},
            "containers": [{"name": "webserver", "image": AGNHOST,
                "args": ["netexec", "--http-port=8083", "--udp-port=8081"],
                "ports": [{"name": "http", "containerPort": 8083}, {"name": "udp", "containerPort": 8081, "protocol": "UDP"}],
                "livenessProbe": healthy, "readinessProbe": healthy}],
        }));
        pods.push(name);
    }
    place.ready(&pods.join(" "));
    let address =
        |pod: &String| place.get(&format!("pod {pod}"))["status"]["podIP"].as_str().expect("an address").to_owned();
    pods.iter().map(|pod| (pod.clone(), address(pod))).collect()
}

fn between(place: &Place<'_>, protocol: &str, port: u16) {
    let servers = servers(place);
    place.agnhost("test-container-pod", json!({}), &["netexec", "--http-port=9080", "--udp-port=8081"]);
    place.exec_pod();
    place.ready("test-container-pod");
    let dialler = place.get("pod test-container-pod")["status"]["podIP"].as_str().expect("an address").to_owned();
    for (name, address) in &servers {
        let url = format!(
            "http://{dialler}:9080/dial?request=hostname&protocol={protocol}&host={address}&port={port}&tries=1"
        );
        let wanted = json!({"responses": [name]}).to_string();
        place.until("execpod", &format!("curl -g -q -s '{url}'"), |out| out == wanted);
    }
}

fn from_node(place: &Place<'_>, protocol: &str) {
    let servers = servers(place);
    place.pod(
        "host-test-container-pod",
        json!({}),
        json!({
            "hostNetwork": true, "containers": [{"name": "agnhost", "image": AGNHOST, "args": ["pause"]}],
        }),
    );
    place.ready("host-test-container-pod");
    for (name, address) in &servers {
        let script = match protocol {
            "udp" => format!("echo hostName | nc -w 1 -u {address} 8081 | grep -v '^\\s*$'"),
            _ => format!("curl -g -q -s --max-time 15 --connect-timeout 1 http://{address}:8083/hostName"),
        };
        place.until("host-test-container-pod", &script, |out| out.trim() == name);
    }
}

fn slices(place: &Place<'_>) {
    let container = |port: u16| {
        json!({"containers": [{"name": "c", "image": AGNHOST, "args": ["netexec", format!("--http-port={port}")],
            "ports": [{"name": "example-name", "containerPort": port}]}]})
    };
    place.pod("pod1", json!({"app": "both"}), container(3000));
    place.pod("pod2", json!({"app": "both"}), container(3001));
    place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "named"}, "spec": {
        "selector": {"app": "both"}, "ports": [{"name": "n", "port": 80, "targetPort": "example-name"}]}}));
    place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "none"}, "spec": {
        "selector": {"app": "nobody"}, "ports": [{"name": "n", "port": 80}]}}));
    place.ready("pod1 pod2");
    place.endpoints("named", 2);
    // One name, two numbers: two slices, and two subsets.
    let slices = place.get("endpointslices -l kubernetes.io/service-name=named");
    assert_eq!(slices["items"].as_array().map(Vec::len), Some(2), "{slices}");
    let mut ports: Vec<u64> = (0..2).filter_map(|one| slices["items"][one]["ports"][0]["port"].as_u64()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [3000, 3001]);
    let subsets = |service: &str| place.get(&format!("endpoints {service}"))["subsets"].as_array().map_or(0, Vec::len);
    place.lab.eventually("two subsets", || match subsets("named") {
        2 => Ok(()),
        count => Err(count.to_string()),
    });
    // A selector that matches nobody still has an empty slice and empty Endpoints.
    place.lab.eventually("an empty slice", || {
        let slices = place.get("endpointslices -l kubernetes.io/service-name=none");
        match slices["items"].as_array().map(Vec::len) {
            Some(1) if slices["items"][0]["endpoints"].as_array().is_none_or(Vec::is_empty) => Ok(()),
            _ => Err(slices.to_string()),
        }
    });
    assert_eq!(subsets("none"), 0);
    place.kubectl("delete service none");
    place.lab.eventually("no slice", || {
        let slices = place.get("endpointslices -l kubernetes.io/service-name=none");
        match slices["items"].as_array().map(Vec::len) {
            Some(0) => Ok(()),
            _ => Err(slices.to_string()),
        }
    });
}

fn mirrored(place: &Place<'_>) {
    place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "custom"},
        "spec": {"ports": [{"name": "example", "port": 80, "protocol": "TCP"}]}}));
    place.create(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "custom"},
        "subsets": [{"ports": [{"name": "example", "port": 80}], "addresses": [{"ip": "10.1.2.3"}]}]}));
    let becomes = |addresses: &[&str]| {
        place.lab.eventually(&format!("{addresses:?}"), || {
            let slices = place.get("endpointslices -l kubernetes.io/service-name=custom");
            let seen: Vec<String> = slices["items"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
                .filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned))
                .collect();
            if seen == addresses { Ok(slices) } else { Err(slices.to_string()) }
        })
    };
    let slices = becomes(&["10.1.2.3"]);
    let labels = &slices["items"][0]["metadata"]["labels"];
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io");
    place.update("endpoints custom", |endpoints| endpoints["subsets"][0]["addresses"] = json!([{"ip": "10.2.3.4"}]));
    becomes(&["10.2.3.4"]);
    place.kubectl("delete endpoints custom");
    becomes(&[]);
}

fn api_server(place: &Place<'_>) {
    let get = |what: &str| -> Value {
        serde_json::from_str(&place.lab.ok(&format!("kubectl -n default get {what} -o json"))).expect("JSON")
    };
    let endpoints = get("endpoints kubernetes");
    assert_eq!(endpoints["subsets"].as_array().map(Vec::len), Some(1), "{endpoints}");
    let slices = get("endpointslices -l kubernetes.io/service-name=kubernetes");
    let slice = &slices["items"][0];
    assert_eq!(slice["endpoints"][0]["addresses"][0], endpoints["subsets"][0]["addresses"][0]["ip"], "{slices}");
    assert_eq!(slice["ports"][0]["port"], endpoints["subsets"][0]["ports"][0]["port"], "{slices}");
}
