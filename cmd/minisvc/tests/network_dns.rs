//! Names as the `[sig-network] DNS` conformance tests look at them: the same probing pods, and results read through the
//! pod proxy. Run through `cargo xtask test`; `BEHAVIOUR=text` picks by name.

mod lab;

use lab::Lab;
use lab::place::{AGNHOST, Behaviour, Place, show};
use serde_json::{Value, json};

#[test]
fn names_as_conformance_sees_them() {
    minisvc_testkit::isolated(|| show(&Lab::started("1.37"), NAMES));
}

const NAMES: &[Behaviour] = &[
    ("should provide DNS for the cluster", cluster),
    ("should provide /etc/hosts entries for the cluster", hosts),
    ("should provide DNS for services", services),
    ("should resolve DNS of partial qualified names for services", partial),
    ("should provide DNS for pods for Hostname", hostname),
    ("should provide DNS for pods for Subdomain", subdomain),
    ("should provide DNS for ExternalName services", external_name),
    ("should support configurable pod DNS nameservers", nameservers),
    ("should support configurable pod resolv.conf", resolv_conf),
];

/// The probing pod: a web server of its files, and a container per C library that asks until all is answered.
fn prober(place: &Place<'_>, labels: Value, hostname: &str, subdomain: &str, script: &str) {
    let script = |prefix: &str| script.replace("PREFIX", prefix);
    let mounts = json!([{"name": "results", "mountPath": "/results"}]);
    let asking = |name: &str, image: &str| json!({"name": format!("{name}-querier"), "image": image, "command": ["sh", "-c", script(name)], "volumeMounts": mounts});
    let web = json!({"name": "webserver", "image": AGNHOST, "args": ["test-webserver"], "volumeMounts": mounts});
    let mut spec = json!({
        "containers": [web, asking("musl", AGNHOST),
            asking("glibc", "registry.k8s.io/e2e-test-images/glibc-dns-testing:2.1.1")],
        "volumes": [{"name": "results", "emptyDir": {}}],
    });
    if !hostname.is_empty() {
        spec["hostname"] = json!(hostname);
        spec["subdomain"] = json!(subdomain);
    }
    place.pod("dns-test", labels, spec);
    place.ready("dns-test");
}

/// The script for these names and hosts, as the tests write it; `$$` is Kubernetes' way to write `$`.
fn probe(names: &[String], hosts: &[String], reverse: Option<&str>) -> (String, Vec<String>) {
    let (mut script, mut files) = (String::from("for i in `seq 1 600`; do "), Vec::new());
    let mut dig = |question: &str, file: &str| {
        for (way, option) in [("udp", "+notcp"), ("tcp", "+tcp")] {
            let file = format!("PREFIX_{way}@{file}");
            script += &format!(
                r#"check="$$(dig {option} +noall +answer +search {question})" && test -n "$$check" && echo OK > /results/{file};"#
            );
            files.push(file);
        }
    };
    for name in names {
        dig(&format!("{name} {}", if name.starts_with('_') { "SRV" } else { "A" }), name);
    }
    if let Some(address) = reverse {
        let turned: Vec<&str> = address.rsplit('.').collect();
        dig(&format!("{}.in-addr.arpa. PTR", turned.join(".")), "PTR");
    }
    for host in hosts {
        let file = format!("PREFIX_hosts@{host}");
        script += &format!(r#"test -n "$$(getent hosts {host})" && echo OK > /results/{file};"#);
        files.push(file);
    }
    (script + "sleep 1; done", files)
}

/// Waits until every file of both containers is there with this content.
fn results(place: &Place<'_>, files: &[String], content: &str) {
    for prefix in ["musl", "glibc"] {
        for file in files {
            let path = format!(
                "/api/v1/namespaces/{}/pods/dns-test/proxy/results/{}",
                place.name,
                file.replace("PREFIX", prefix)
            );
            place.lab.eventually(&path, || {
                let said = place.raw(&path);
                if said.code == 0 && said.out.trim() == content { Ok(()) } else { Err(said.out + &said.err) }
            });
        }
    }
}

fn probed(place: &Place<'_>, names: &[String], hosts: &[String], reverse: Option<&str>) {
    let (script, files) = probe(names, hosts, reverse);
    prober(place, json!({"dns-test": "true"}), "dns-querier-1", "dns-test-service", &script);
    results(place, &files, "OK");
}

/// A headless service and one with an address, both over the probing pod; answers the address.
fn two_services(place: &Place<'_>) -> String {
    let service = |name: &str, more: Value| {
        let mut spec =
            json!({"selector": {"dns-test": "true"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}))
    };
    service("dns-test-service", json!({"clusterIP": "None"}));
    let regular = service("test-service-2", json!({}));
    regular["spec"]["clusterIP"].as_str().expect("an address").to_owned()
}

fn cluster(place: &Place<'_>) {
    probed(place, &["kubernetes.default.svc.cluster.local".to_owned()], &[], None);
}

fn hosts(place: &Place<'_>) {
    two_services(place);
    let hosts =
        [format!("dns-querier-1.dns-test-service.{}.svc.cluster.local", place.name), "dns-querier-1".to_owned()];
    probed(place, &[], &hosts, None);
}

fn services(place: &Place<'_>) {
    let address = two_services(place);
    let domain = format!("{}.svc.cluster.local", place.name);
    let names = [
        format!("dns-test-service.{domain}"),
        format!("_http._tcp.dns-test-service.{domain}"),
        format!("_http._tcp.test-service-2.{domain}"),
    ];
    probed(place, &names, &[], Some(&address));
}

fn partial(place: &Place<'_>) {
    let address = two_services(place);
    let own = &place.name;
    let names = [
        "dns-test-service".to_owned(),
        format!("dns-test-service.{own}"),
        format!("dns-test-service.{own}.svc"),
        format!("_http._tcp.dns-test-service.{own}.svc"),
        format!("_http._tcp.test-service-2.{own}.svc"),
    ];
    probed(place, &names, &[], Some(&address));
}

fn hostname(place: &Place<'_>) {
    two_services(place);
    let full = format!("dns-querier-1.dns-test-service.{}.svc.cluster.local", place.name);
    probed(place, &[], &[full, "dns-querier-1".to_owned()], None);
}

fn subdomain(place: &Place<'_>) {
    two_services(place);
    let domain = format!("dns-test-service.{}.svc.cluster.local", place.name);
    probed(place, &[format!("dns-querier-1.{domain}"), domain], &[], None);
}

fn external_name(place: &Place<'_>) {
    place.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ext"},
        "spec": {"type": "ExternalName", "externalName": "foo.example.com"}}));
    let name = format!("ext.{}.svc.cluster.local", place.name);
    let script = |kind: &str| {
        format!("for i in `seq 1 60`; do dig +short {name} {kind} > /results/PREFIX_udp@{name}; sleep 1; done")
    };
    let files = [format!("PREFIX_udp@{name}")];
    prober(place, json!({}), "", "", &script("CNAME"));
    results(place, &files, "foo.example.com.");
    place.update("service ext", |service| service["spec"]["externalName"] = json!("bar.example.com"));
    results(place, &files, "bar.example.com.");
    place.kubectl("delete pod dns-test --now");
    let service = place.update("service ext", |service| {
        service["spec"] = json!({"type": "ClusterIP", "ports": [{"port": 80, "name": "http", "protocol": "TCP"}]});
    });
    prober(place, json!({}), "", "", &script("A"));
    results(place, &files, service["spec"]["clusterIP"].as_str().expect("an address"));
}

fn nameservers(place: &Place<'_>) {
    place.pod(
        "test-dns-nameservers",
        json!({}),
        json!({
            "containers": [{"name": "agnhost", "image": AGNHOST, "args": ["pause"]}],
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]},
        }),
    );
    place.ready("test-dns-nameservers");
    for (word, wanted) in [("dns-suffix", "resolv.conf.local\n"), ("dns-server-list", "1.1.1.1\n")] {
        let said = place.lab.sh(&format!("kubectl -n {} exec test-dns-nameservers -- /agnhost {word}", place.name));
        assert_eq!((said.code, said.out.as_str()), (0, wanted), "{}", said.err);
    }
}

/// A DNS server of one's own, from a Corefile, and a pod that asks nobody else.
fn resolv_conf(place: &Place<'_>) {
    let corefile = ". {\n\thosts {\n\t\t1.1.1.1 notexistname.resolv.conf.local\n\t}\n\tlog\n}";
    place.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own"},
        "data": {"Corefile": corefile}}));
    let server = json!({"name": "server", "image": AGNHOST, "command": ["/coredns"],
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": true}]});
    let volume = json!({"name": "config", "configMap": {"name": "own"}});
    place.pod("server", json!({}), json!({"containers": [server], "volumes": [volume], "dnsPolicy": "Default"}));
    place.ready("server");
    let address = place.get("pod server")["status"]["podIP"].clone();
    place.pod(
        "asker",
        json!({}),
        json!({
            "containers": [{"name": "agnhost", "image": AGNHOST, "args": ["pause"]}],
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": [address], "searches": ["resolv.conf.local"],
                "options": [{"name": "ndots", "value": "2"}]},
        }),
    );
    place.ready("asker");
    assert!(place.exec("asker", "cat /etc/resolv.conf").out.contains("ndots:2"));
    place.until("asker", "dig +short +search notexistname", |out| out.trim() == "1.1.1.1");
    let told = "\"A IN notexistname.resolv.conf.local. udp";
    place.lab.eventually("the question is told", || {
        let log = place.kubectl("logs server");
        if log.contains(told) { Ok(()) } else { Err(log) }
    });
}
