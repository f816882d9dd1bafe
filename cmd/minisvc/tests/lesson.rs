//! The lesson "Exposing containers", sections 1 to 20, line by line with real kubectl (1.20 and 1.37), curl and host.
//! Section numbers are the lesson's own. Run through `cargo xtask test`, which fetches the programs.

mod lab;

use lab::{Lab, column, rows};

const COLOR_LINE: &str = "🔵This is pod default/blue-";

#[test]
fn lesson_with_kubectl_1_37() {
    minisvc_testkit::isolated(|| lesson("1.37"));
}

#[test]
fn lesson_with_kubectl_1_20() {
    minisvc_testkit::isolated(|| lesson("1.20"));
}

fn lesson(kubectl: &str) {
    let lab = Lab::started(kubectl);
    before_line_one(&lab);
    s8_to_s10_deployment_and_service(&lab);
    s1_to_s3_pods_and_failure(&lab);
    s5_cluster_ip(&lab);
    s11_layer_four(&lab);
    s12_testing(&lab);
    s7_node_port(&lab);
    s6_load_balancer(&lab);
    s13_external_name(&lab);
    s14_external_ips(&lab);
    s15_s16_headless(&lab);
    s4_kinds(&lab);
    s17_to_s19_endpoints(&lab, kubectl);
    s20_dns(&lab);
}

fn before_line_one(lab: &Lab) {
    let namespaces = lab.ok("kubectl get ns");
    assert_eq!(column(&namespaces, "NAME"), ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let services = lab.ok("kubectl get svc");
    assert_eq!(rows(&services)[1][..5], ["kubernetes", "ClusterIP", "10.96.0.1", "<none>", "443/TCP"]);
    let nodes = lab.ok("kubectl get nodes -o wide");
    assert_eq!(column(&nodes, "NAME"), ["node1", "node2", "node3"]);
    assert!(column(&nodes, "STATUS").iter().all(|status| status == "Ready"), "{nodes}");
    assert_eq!(column(&nodes, "INTERNAL-IP"), ["172.30.0.11", "172.30.0.12", "172.30.0.13"]);
    let empty = lab.sh("kubectl get pods");
    assert_eq!(empty.err.trim(), "No resources found in default namespace.");
}

fn s8_to_s10_deployment_and_service(lab: &Lab) {
    // 9.1: the other window
    let window = lab.background("kubectl get pods -w", "watch.txt");
    // 9.2
    assert_eq!(lab.ok("kubectl create deployment blue --image=jpetazzo/color"), "deployment.apps/blue created\n");
    let twice = lab.fails("kubectl create deployment blue --image=jpetazzo/color");
    assert!(twice.err.contains(r#"deployments.apps "blue" already exists"#), "{}", twice.err);
    let one = lab.until("kubectl get pods --show-labels", |text| text.contains("Running"));
    let labels = &column(&one, "LABELS")[0];
    assert!(labels.contains("app=blue") && labels.contains("pod-template-hash="), "{labels}");
    assert_eq!(lab.ok("kubectl get pods -o jsonpath={.items[0].spec.containers[0].name}"), "color");
    // 9.3
    assert!(lab.ok("kubectl scale deployment blue --replicas=10").contains("deployment.apps/blue scaled"));
    assert!(
        lab.ok("kubectl wait deploy blue --for condition=available").contains("deployment.apps/blue condition met")
    );
    let ten = lab.until("kubectl get pods -o wide", |text| text.matches(" 1/1 ").count() == 10);
    let addresses: std::collections::BTreeSet<String> = column(&ten, "IP").into_iter().collect();
    assert_eq!(addresses.len(), 10, "{ten}");
    let nodes: std::collections::BTreeSet<String> = column(&ten, "NODE").into_iter().collect();
    assert_eq!(nodes.len(), 3, "ten pods spread over all nodes: {ten}");
    let seen = lab.eventually("the watch tells each phase", || {
        let text = window.text();
        let all = ["NAME", "0/1     Pending", "0/1     ContainerCreating", "1/1     Running"];
        if all.iter().all(|part| text.contains(part)) { Ok(text) } else { Err(text) }
    });
    assert_eq!(seen.matches("NAME").count(), 1, "one heading only:\n{seen}");
    // 10.1
    let no_port = lab.fails("kubectl expose deployment blue");
    assert!(no_port.err.contains("couldn't find port via --port flag or introspection"), "{}", no_port.err);
    assert_eq!(lab.ok("kubectl expose deployment blue --port=80"), "service/blue exposed\n");
    let again = lab.fails("kubectl expose deployment blue --port=80");
    assert_eq!(again.err.trim(), r#"Error from server (AlreadyExists): services "blue" already exists"#);
    // 10.2
    let services = lab.ok("kubectl get service");
    assert_eq!(column(&services, "NAME"), ["blue", "kubernetes"]);
    let blue = &rows(&services)[1];
    assert_eq!((blue[1].as_str(), blue[3].as_str(), blue[4].as_str()), ("ClusterIP", "<none>", "80/TCP"));
    assert!(blue[2].starts_with("10."), "{services}");
}

fn s1_to_s3_pods_and_failure(lab: &Lab) {
    // 1.1, 1.2
    let pods = lab.ok("kubectl get pods -o wide");
    assert_eq!(
        rows(&pods)[0],
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    );
    let (pod, ip) = (column(&pods, "NAME")[0].clone(), column(&pods, "IP")[0].clone());
    let line = lab.ok(&format!("curl -s -m 3 http://{ip}/ | tr '\\r' '\\n' | tail -n 1"));
    assert!(line.contains(&format!("This is pod default/{pod} on linux/")), "{line}");
    assert!(line.contains("serving / for 172.30.255.2:"), "the pod sees the VM itself: {line}");
    // 1.5, 2.1, 3.4: a pod fails; its replacement has another name and address, the service keeps its own
    let before = lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}");
    lab.ok(&format!("kubectl delete pod {pod} --wait=false"));
    let after =
        lab.until("kubectl get pods -o wide", |text| text.matches(" 1/1 ").count() == 10 && !text.contains(&pod));
    assert!(!column(&after, "IP").contains(&ip), "the replacement took the old address at once:\n{after}");
    assert_eq!(lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}"), before);
    // 2.2, 2.3
    lab.ok("kubectl create deployment my-little-deploy --image=jpetazzo/color");
    assert_eq!(lab.ok("kubectl expose deployment my-little-deploy --port=80"), "service/my-little-deploy exposed\n");
    assert_eq!(lab.ok("kubectl get svc my-little-deploy -o jsonpath='{.spec.selector} {.spec.ports[0].targetPort} {.metadata.labels.app}'"),
        r#"{"app":"my-little-deploy"} 80 my-little-deploy"#);
    lab.ok("kubectl wait deploy my-little-deploy --for condition=available");
    lab.ok("kubectl run client --image=archlinux --restart=Never --command -- sh -c 'for i in 1 2 3 4 5; do curl -s -m 12 http://my-little-deploy/ > /tmp/said && break; sleep 1; done; grep -q my-little-deploy /tmp/said'");
    lab.until("kubectl get pod client", |text| text.contains("Completed"));
    lab.ok("kubectl delete pod client");
}

fn s5_cluster_ip(lab: &Lab) {
    let ip = lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}");
    let links = lab.ok("ip -4 addr; minisvc shell node1 -- ip -4 addr");
    assert!(!links.contains(&format!("{ip}/")), "a ClusterIP is on no interface");
    for place in ["", "minisvc shell node1 --", "minisvc shell node2 --", "minisvc shell node3 --"] {
        let line = lab.ok(&format!("{place} curl -s -m 3 http://{ip}/ | tr '\\r' '\\n' | tail -n 1"));
        assert!(line.starts_with(COLOR_LINE), "{place}: {line}");
    }
    let outside = lab.fails(&format!("minisvc outside -- curl -s -m 2 http://{ip}/"));
    assert_eq!(outside.code, 28, "silence, not an answer: {}", outside.err);
}

fn s11_layer_four(lab: &Lab) {
    let ip = lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}");
    assert_eq!(lab.sh(&format!("curl -s -m 2 http://{ip}:81/")).code, 7, "refused on another port");
    let none = lab.fails("kubectl create -f - <<< '{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"noport\"},\"spec\":{\"selector\":{\"app\":\"blue\"}}}'");
    assert!(none.err.contains("spec.ports: Required value"), "{}", none.err);
}

fn s12_testing(lab: &Lab) {
    // 12.1
    let ip = lab.ok("kubectl get svc blue -o go-template --template '{{ .spec.clusterIP }}'");
    assert!(ip.parse::<std::net::Ipv4Addr>().is_ok(), "bare address, no newline: {ip:?}");
    // 12.2
    let answer = lab.ok(&format!("curl -s http://{ip}:80/"));
    assert_eq!(answer.matches('\n').count(), 1, "only the visible line ends in LF");
    let visible = answer.rsplit('\r').next().unwrap_or("");
    assert!(visible.starts_with(COLOR_LINE) && visible.contains(" on linux/"), "{visible}");
    assert!(visible.contains(", serving / for "), "{visible}");
    // 12.3
    let (names, failed) = lab.names("", &format!("http://{ip}/"), 200);
    assert_eq!((names.len(), failed), (10, 0), "{names:?}");
}

fn s7_node_port(lab: &Lab) {
    assert!(lab.ok("kubectl expose deployment blue --name=blue-np --type=NodePort --port=80").contains("exposed"));
    let row = rows(&lab.ok("kubectl get svc blue-np"))[1].clone();
    assert_eq!((row[1].as_str(), row[3].as_str()), ("NodePort", "<none>"));
    let port: u16 = row[4].strip_prefix("80:").and_then(|p| p.strip_suffix("/TCP")).expect("80:N/TCP").parse().unwrap();
    assert!((30000..=32767).contains(&port), "{port}");
    for node in ["172.30.0.11", "172.30.0.12", "172.30.0.13"] {
        for place in ["", "minisvc outside --", "minisvc shell node2 --"] {
            let line = lab
                .until(&format!("{place} curl -s -m 3 http://{node}:{port}/ | tr '\\r' '\\n' | tail -n 1"), |t| {
                    !t.is_empty()
                });
            assert!(line.starts_with(COLOR_LINE), "{place} {node}: {line}");
        }
        assert_eq!(lab.sh(&format!("curl -s -m 2 http://{node}:80/")).code, 7, "7.3: the original port is refused");
    }
    let far = lab.fails("kubectl create service nodeport far --tcp=80 --node-port=80");
    assert!(
        far.err.contains("provided port is not in the valid range. The range of valid ports is 30000-32767"),
        "{}",
        far.err
    );
    let taken = lab.fails(&format!("kubectl create service nodeport taken --tcp=80 --node-port={port}"));
    assert!(taken.err.contains("provided port is already allocated"), "{}", taken.err);
}

fn s6_load_balancer(lab: &Lab) {
    let window = lab.background("kubectl get svc blue-lb -w", "lb.txt");
    lab.ok("kubectl expose deployment blue --name=blue-lb --type=LoadBalancer --port=80");
    let _late = lab.background("kubectl get svc blue-lb -w", "lb2.txt");
    let first = rows(&lab.ok("kubectl get svc blue-lb"))[1].clone();
    assert_eq!((first[1].as_str(), first[3].as_str()), ("LoadBalancer", "<pending>"));
    assert!(first[4].starts_with("80:3"), "{first:?}");
    drop(window);
    let then = lab.until("kubectl get svc blue-lb", |text| text.contains("203.0.113."));
    let address = column(&then, "EXTERNAL-IP")[0].clone();
    let both = lab.eventually("get -w prints both rows", || {
        let text = _late.text();
        if text.contains("<pending>") && text.contains(&address) { Ok(text) } else { Err(text) }
    });
    assert_eq!(both.matches("blue-lb").count(), 2, "{both}");
    lab.until(&format!("minisvc outside -- curl -s -m 2 http://{address}/ | tr '\\r' '\\n' | tail -n 1"), |t| {
        t.starts_with(COLOR_LINE)
    });
    let (names, failed) = lab.names("minisvc outside --", &format!("http://{address}/"), 200);
    assert_eq!((names.len(), failed), (10, 0), "{names:?}");
    // 6.3: each has its own address
    lab.ok("kubectl expose deployment blue --name=blue-lb2 --type=LoadBalancer --port=80");
    let second =
        lab.until("kubectl get svc blue-lb2 -o jsonpath={.status.loadBalancer.ingress[0].ip}", |t| !t.is_empty());
    assert_ne!(second, address);
    lab.ok("kubectl delete svc blue-lb2");
}

fn s13_external_name(lab: &Lab) {
    assert_eq!(
        lab.ok("kubectl create service externalname k8s --external-name kubernetes.io"),
        "service/k8s created\n"
    );
    assert_eq!(
        rows(&lab.ok("kubectl get svc k8s"))[1][..5],
        ["k8s", "ExternalName", "<none>", "kubernetes.io", "<none>"]
    );
    let described = lab.ok("kubectl describe svc k8s");
    assert!(described.contains("External Name:") && described.contains("kubernetes.io"), "{described}");
    assert!(!described.contains("Endpoints:") && !described.contains("Port:"), "{described}");
    let dns = lab.until("host k8s.default.svc.cluster.local 10.96.0.10", |t| t.contains("alias"));
    assert!(dns.ends_with("k8s.default.svc.cluster.local is an alias for kubernetes.io.\n"), "{dns}");
}

fn s14_external_ips(lab: &Lab) {
    lab.ok("kubectl expose deploy my-little-deploy --name=ext --port=80 --external-ip=1.2.3.4");
    assert_eq!(rows(&lab.ok("kubectl get svc ext"))[1][3..5], ["1.2.3.4", "80/TCP"]);
    let described = lab.ok("kubectl describe svc ext");
    assert!(described.contains("1.2.3.4"), "{described}");
    lab.until("minisvc shell node2 -- curl -s -m 2 http://1.2.3.4/ | tr '\\r' '\\n' | tail -n 1", |t| {
        t.contains("my-little-deploy")
    });
    lab.ok("kubectl expose deploy my-little-deploy --name=ext2 --port=80 --external-ip=172.30.0.12");
    lab.until("minisvc outside -- curl -s -m 2 http://172.30.0.12/ | tr '\\r' '\\n' | tail -n 1", |t| {
        t.contains("my-little-deploy")
    });
    lab.ok("kubectl delete svc ext2");
}

fn s15_s16_headless(lab: &Lab) {
    assert!(
        lab.ok("kubectl expose deployment blue --name=hl --cluster-ip=None --port=80").contains("service/hl exposed")
    );
    lab.ok("kubectl expose deployment blue --name=hl2 --cluster-ip=None");
    assert_eq!(rows(&lab.ok("kubectl get svc hl"))[1][2], "None");
    assert_eq!(rows(&lab.ok("kubectl get svc hl2"))[1][4], "<none>");
    let pods: std::collections::BTreeSet<String> =
        column(&lab.ok("kubectl get pods -l app=blue -o wide"), "IP").into_iter().collect();
    for name in ["hl", "hl2"] {
        let set = lab.eventually("one A record for each pod", || {
            let text = lab.sh(&format!("host {name}.default.svc.cluster.local 10.96.0.10")).out;
            let set: std::collections::BTreeSet<String> =
                text.lines().filter_map(|l| l.split(" has address ").nth(1)).map(str::to_owned).collect();
            if set.len() == 10 { Ok(set) } else { Err(text) }
        });
        assert_eq!(set, pods);
    }
    // 15.1: no NAT on the way; 15.2: any port; 15.3: any protocol
    let client = "kubectl run direct --image=archlinux --restart=Never --command -- sh -c";
    lab.ok(&format!(
        "{client} 'curl -s -m 12 http://hl/; hostname -i; curl -s -m 12 -o /dev/null http://hl:81/; echo rc=$?'"
    ));
    lab.until("kubectl get pod direct", |text| text.contains("Completed"));
    let ip = lab.ok("kubectl get pod direct -o jsonpath={.status.podIP}");
    let log = lab.ok("minisvc logs default/direct");
    assert!(log.contains(&format!("serving / for {ip}:")), "the client's own address: {log}");
    assert!(log.contains("rc=7"), "another port goes to the pod itself, which refuses: {log}");
    lab.ok("kubectl delete pod direct");
}

fn s4_kinds(lab: &Lab) {
    let services = lab.ok("kubectl get svc");
    assert_eq!(
        column(&services, "NAME"),
        ["blue", "blue-lb", "blue-np", "ext", "hl", "hl2", "k8s", "kubernetes", "my-little-deploy"]
    );
    assert!(lab.sh("kubectl get ingress").err.contains("No resources found in default namespace."));
}

fn s17_to_s19_endpoints(lab: &Lab, kubectl: &str) {
    // 17.2: kubectl itself cuts after three
    let described = lab.ok("kubectl describe service blue");
    let endpoints = described.lines().find(|l| l.starts_with("Endpoints:")).expect("Endpoints line");
    assert!(endpoints.ends_with(" + 7 more..."), "{endpoints}");
    if kubectl == "1.37" {
        for line in ["IP Family Policy:", "IP Families:", "Session Affinity:", "Internal Traffic Policy:"] {
            assert!(described.contains(line), "{line} is missing:\n{described}");
        }
        assert!(!described.contains("IP Families:              <none>"), "{described}");
    }
    // 18.1
    let table = lab.ok("kubectl get endpoints");
    let row = rows(&table).into_iter().find(|row| row[0] == "blue").expect("blue");
    assert!(row[1].ends_with(" + 7 more...") && row[1].matches(":80").count() == 3, "{row:?}");
    let row = rows(&table).into_iter().find(|row| row[0] == "kubernetes").expect("kubernetes");
    assert_eq!(row[1], "172.30.0.2:6443");
    // 18.2
    let described = lab.ok("kubectl describe endpoints blue");
    let addresses =
        described.lines().find_map(|l| l.trim().strip_prefix("Addresses:")).expect("Addresses").trim().to_owned();
    let listed: std::collections::BTreeSet<&str> = addresses.split(',').collect();
    assert_eq!(listed.len(), 10, "{described}");
    assert!(described.contains("NotReadyAddresses:  <none>"), "{described}");
    // 18.3
    let yaml = lab.ok("kubectl get endpoints blue -o yaml");
    for field in ["ip: ", "nodeName: node", "kind: Pod", "name: blue-", "namespace: default", "uid: "] {
        assert!(yaml.contains(field), "{field} is missing:\n{yaml}");
    }
    // 18.4
    let pods: std::collections::BTreeSet<String> =
        column(&lab.ok("kubectl get pods -l app=blue -o wide"), "IP").into_iter().collect();
    assert_eq!(listed.iter().map(|s| (*s).to_owned()).collect::<std::collections::BTreeSet<_>>(), pods);
    // 19
    let singular = lab.fails("kubectl get endpoint");
    assert_eq!(singular.err.trim(), r#"error: the server doesn't have a resource type "endpoint""#);
    assert_eq!(singular.code, 1);
    assert!(lab.ok("kubectl get ep").contains("blue"));
    // 17.1
    let window = lab.background("kubectl get endpoints my-little-deploy -w", "ep.txt");
    lab.ok("kubectl scale deployment my-little-deploy --replicas=3");
    lab.eventually("the watch follows the pods", || {
        let text = window.text();
        let now = "kubectl get endpoints my-little-deploy; kubectl get pods -l app=my-little-deploy -o wide; kubectl get endpointslices -l kubernetes.io/service-name=my-little-deploy; kubectl get events | tail -n 8";
        if text.lines().any(|l| l.matches(":80").count() == 3) { Ok(()) } else { Err(text + &lab.sh(now).out) }
    });
}

fn s20_dns(lab: &Lab) {
    let services = lab.ok("kubectl get services -n kube-system");
    let row = rows(&services).into_iter().find(|row| row[0] == "kube-dns").expect("kube-dns");
    assert_eq!(row[1..5], ["ClusterIP", "10.96.0.10", "<none>", "53/UDP,53/TCP,9153/TCP"]);
    let ip = lab.ok("kubectl -n kube-system get svc kube-dns -o jsonpath={.spec.clusterIP}");
    assert_eq!(ip, "10.96.0.10");
    let blue = lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}");
    assert_eq!(
        lab.ok(&format!("host blue.default.svc.cluster.local {ip}")),
        format!(
            "Using domain server:\nName: 10.96.0.10\nAddress: 10.96.0.10#53\nAliases: \n\nblue.default.svc.cluster.local has address {blue}\n"
        )
    );
    let missing = lab.fails(&format!("host nope.default.svc.cluster.local {ip}"));
    assert!(missing.out.ends_with("Host nope.default.svc.cluster.local not found: 3(NXDOMAIN)\n"), "{}", missing.out);
    assert_eq!(missing.code, 1);
}
