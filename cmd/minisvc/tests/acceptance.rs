//! The acceptance list of the lesson (letters are the list's own): balancing, reach, load balancer, DNS, endpoints,
//! failure, scaling, terminal, node outage, cold start, clean stop, second run. Run through `cargo xtask test`.

mod lab;

use std::collections::BTreeSet;

use lab::{Lab, column, rows};

/// A lab with `blue` scaled and exposed.
fn blue(replicas: usize) -> (Lab, String) {
    let lab = Lab::started("1.37");
    lab.ok("kubectl create deployment blue --image=jpetazzo/color");
    lab.ok(&format!("kubectl scale deployment blue --replicas={replicas}"));
    lab.ok("kubectl expose deployment blue --port=80");
    ready(&lab, replicas);
    let ip = lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}");
    (lab, ip)
}

fn ready(lab: &Lab, count: usize) {
    lab.until("kubectl get deployment blue", |text| text.contains(&format!(" {count}/{count} ")));
    lab.until("kubectl get endpoints blue -o json", |text| text.matches("\"ip\":").count() == count);
}

fn a_records(lab: &Lab, name: &str) -> BTreeSet<String> {
    let said = lab.sh(&format!("host {name}.default.svc.cluster.local 10.96.0.10"));
    said.out.lines().filter_map(|line| line.split(" has address ").nth(1)).map(str::to_owned).collect()
}

#[test]
fn a_b_every_pod_is_seen() {
    minisvc_testkit::isolated(|| {
        let (lab, ip) = blue(10);
        let (names, failed) = lab.names("", &format!("http://{ip}/"), 200);
        assert_eq!((names.len(), failed), (10, 0));
        lab.ok("kubectl scale deployment blue --replicas=3");
        ready(&lab, 3);
        let (names, failed) = lab.names("", &format!("http://{ip}/"), 60);
        assert_eq!((names.len(), failed), (3, 0));
        // The choice is made for each connection, not for each request.
        let once =
            lab.ok(&format!("curl -s http://{ip}/ http://{ip}/ http://{ip}/ | tr '\\r' '\\n' | grep -o 'pod [^ ]*'"));
        assert_eq!(once.lines().collect::<BTreeSet<_>>().len(), 1, "one connection, one pod: {once}");
    });
}

#[test]
fn c_from_pods_nodes_and_the_backend_itself() {
    minisvc_testkit::isolated(|| {
        let (lab, ip) = blue(1);
        for node in ["node1", "node2", "node3"] {
            let (names, failed) = lab.names(&format!("minisvc shell {node} --"), &format!("http://{ip}/"), 5);
            assert_eq!((names.len(), failed), (1, 0), "{node}");
        }
        // A backend that calls its own service meets itself: hairpin.
        lab.ok("kubectl create deployment self --image=archlinux -- sh -c 'while true; do sleep 1; done'");
        lab.ok("kubectl run web --image=nginx --port=80 && kubectl expose pod web");
        lab.until("kubectl get pod web", |text| text.contains("1/1"));
        let node = lab.ok("kubectl get pod web -o jsonpath={.spec.nodeName}");
        let pod_ip = lab.ok("kubectl get pod web -o jsonpath={.status.podIP}");
        let web = lab.ok("kubectl get svc web -o jsonpath={.spec.clusterIP}");
        let in_pod = format!(
            "minisvc shell {node} -- sh -c 'for p in /proc/[0-9]*; do if nsenter --net=$p/ns/net ip -4 -o addr 2>/dev/null | grep -q \" {pod_ip}/32\"; then exec nsenter --net=$p/ns/net curl -s -m 3 http://{web}/; fi; done; exit 9'"
        );
        let page = lab.until(&in_pod, |text| !text.is_empty());
        assert!(page.contains("Welcome to nginx!"), "{page}");
        // By name, from another pod.
        lab.ok("kubectl run c --image=busybox --restart=Never --command -- sh -c 'curl -s -m 12 http://blue/ && curl -s -m 12 http://blue.default/ && curl -s -m 12 http://blue.default.svc/ && curl -s -m 12 http://blue.default.svc.cluster.local/'");
        lab.until("kubectl get pod c", |text| text.contains("Completed"));
        assert_eq!(lab.ok("minisvc logs default/c").matches("This is pod default/blue-").count(), 4);
    });
}

#[test]
fn d_outside_reaches_neither_pods_nor_cluster_ips() {
    minisvc_testkit::isolated(|| {
        let (lab, ip) = blue(2);
        let pod = lab.ok("kubectl get pods -o jsonpath={.items[0].status.podIP}");
        for address in [ip.as_str(), pod.as_str()] {
            assert_eq!(lab.fails(&format!("minisvc outside -- curl -s -m 1 http://{address}/")).code, 28);
        }
        let dns = lab.fails("minisvc outside -- host -W 1 kubernetes.default.svc.cluster.local 10.96.0.10");
        assert!(dns.out.contains("timed out") || dns.out.contains("no servers could be reached"), "{}", dns.out);
    });
}

#[test]
fn e_every_node_serves_a_node_port() {
    minisvc_testkit::isolated(|| {
        let (lab, _) = blue(2);
        lab.ok("kubectl expose deployment blue --name=np --type=NodePort --port=80");
        let port = lab.ok("kubectl get svc np -o jsonpath={.spec.ports[0].nodePort}");
        let with_pods: BTreeSet<String> = column(&lab.ok("kubectl get pods -o wide"), "NODE").into_iter().collect();
        assert_eq!(with_pods.len(), 2, "two pods leave one node without: {with_pods:?}");
        for node in ["172.30.0.11", "172.30.0.12", "172.30.0.13"] {
            lab.until(&format!("minisvc outside -- curl -s -m 2 http://{node}:{port}/"), |text| !text.is_empty());
            let (names, failed) = lab.names("minisvc outside --", &format!("http://{node}:{port}/"), 40);
            assert_eq!((names.len(), failed), (2, 0), "{node}");
        }
    });
}

#[test]
fn f_the_cloud_off_and_on() {
    minisvc_testkit::isolated(|| {
        let (lab, _) = blue(2);
        lab.ok("minisvc cloud off");
        lab.ok("kubectl expose deployment blue --name=lb --type=LoadBalancer --port=80");
        std::thread::sleep(std::time::Duration::from_secs(6));
        assert_eq!(column(&lab.ok("kubectl get svc lb"), "EXTERNAL-IP"), ["<pending>"]);
        lab.until("kubectl describe svc lb", |text| text.contains("minisvc cloud on"));
        let node_port = lab.ok("kubectl get svc lb -o jsonpath={.spec.ports[0].nodePort}");
        lab.until(&format!("minisvc outside -- curl -s -m 2 http://172.30.0.11:{node_port}/"), |text| !text.is_empty());
        let window = lab.background("kubectl get svc lb -w", "w.txt");
        lab.eventually("the watch begins", || {
            if window.text().contains("<pending>") { Ok(()) } else { Err(window.text()) }
        });
        lab.ok("minisvc cloud on");
        lab.eventually("both rows", || if window.text().contains("203.0.113.") { Ok(()) } else { Err(window.text()) });
    });
}

#[test]
fn g_a_load_balancer_survives_a_node() {
    minisvc_testkit::isolated(|| {
        let (lab, _) = blue(3);
        lab.ok("kubectl expose deployment blue --name=lb --type=LoadBalancer --port=80");
        let address =
            lab.until("kubectl get svc lb -o jsonpath={.status.loadBalancer.ingress[0].ip}", |t| !t.is_empty());
        lab.until(&format!("minisvc outside -- curl -s -m 2 http://{address}/"), |text| !text.is_empty());
        let (names, failed) = lab.names("minisvc outside --", &format!("http://{address}/"), 60);
        assert_eq!((names.len(), failed), (3, 0));
        let pid = lab.ok("minisvc status -o json | python3 -c 'import json,sys; print([p[\"pid\"] for p in json.load(sys.stdin)[\"parts\"] if p[\"name\"]==\"node1\"][0])'");
        lab.ok(&format!("kill -9 {}", pid.trim()));
        lab.until("kubectl get nodes", |text| text.contains("NotReady"));
        lab.eventually("clean answers without node1", || {
            let (_, failed) = lab.names("minisvc outside --", &format!("http://{address}/"), 20);
            if failed == 0 { Ok(()) } else { Err(format!("{failed} of 20 failed")) }
        });
        // The dead node's pod is replaced on another node in time, and the node comes back with `up`.
        lab.until("kubectl get pods -o wide", |text| {
            rows(text)
                .iter()
                .filter(|row| row.contains(&"Running".to_owned()) && !row.contains(&"node1".to_owned()))
                .count()
                == 3
        });
        lab.ok("minisvc up");
        lab.until("kubectl get nodes", |text| text.matches(" Ready ").count() == 3);
    });
}

#[test]
fn i_j_names_and_endpoints() {
    minisvc_testkit::isolated(|| {
        let (lab, ip) = blue(3);
        lab.ok("kubectl expose deployment blue --name=hl --cluster-ip=None --port=80");
        lab.ok("kubectl create service externalname k8s --external-name kubernetes.io");
        let head = "Using domain server:\nName: 10.96.0.10\nAddress: 10.96.0.10#53\nAliases: \n\n";
        let alias = format!("{head}k8s.default.svc.cluster.local is an alias for kubernetes.io.\n");
        lab.until("host k8s.default.svc.cluster.local 10.96.0.10", |text| text == alias);
        let blue = format!("{head}blue.default.svc.cluster.local has address {ip}\n");
        lab.until("host blue.default.svc.cluster.local 10.96.0.10", |text| text == blue);
        lab.eventually("three A records", || {
            let set = a_records(&lab, "hl");
            if set.len() == 3 { Ok(()) } else { Err(format!("{set:?}")) }
        });
        let missing = lab.fails("host nope.default.svc.cluster.local 10.96.0.10");
        assert_eq!(missing.out, format!("{head}Host nope.default.svc.cluster.local not found: 3(NXDOMAIN)\n"));
        // Three views of one set.
        let endpoints = lab.ok("kubectl get endpoints blue -o jsonpath='{.subsets[*].addresses[*].ip}'");
        let slices = lab.ok("kubectl get endpointslices -l kubernetes.io/service-name=blue -o jsonpath='{.items[*].endpoints[*].addresses[0]}'");
        let pods = lab.ok("kubectl get pods -l app=blue -o jsonpath='{.items[*].status.podIP}'");
        let set = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(set(&endpoints), set(&slices));
        assert_eq!(set(&endpoints), set(&pods));
        assert_eq!(set(&pods), a_records(&lab, "hl"));
        // TCP and the reverse way.
        assert!(lab.ok("dig +short +tcp @10.96.0.10 blue.default.svc.cluster.local").contains(&ip));
        assert_eq!(lab.ok(&format!("dig +short @10.96.0.10 -x {ip}")), "blue.default.svc.cluster.local.\n");
    });
}

#[test]
fn k_l_failure_and_scaling() {
    minisvc_testkit::isolated(|| {
        let (lab, ip) = blue(3);
        lab.ok("kubectl expose deployment blue --name=hl --cluster-ip=None --port=80");
        let before = lab.ok("kubectl get pods -o jsonpath='{.items[*].status.podIP}'");
        let loop_ = lab.background(
            &format!(
                "bash -c 'while sleep 0.1; do curl -s -m 1 -o /dev/null -w \"%{{http_code}}\\n\" http://{ip}/; done'"
            ),
            "loop.txt",
        );
        let pod = lab.ok("kubectl get pods -o jsonpath={.items[0].metadata.name}");
        lab.ok(&format!("kubectl delete pod {pod}"));
        ready(&lab, 3);
        let after = lab.ok("kubectl get pods -o jsonpath='{.items[*].status.podIP}'");
        let new: Vec<&str> = after.split(' ').filter(|ip| !before.contains(ip)).collect();
        assert_eq!(new.len(), 1, "the replacement has a new address: {before} -> {after}");
        std::thread::sleep(std::time::Duration::from_secs(1));
        let codes = loop_.text();
        drop(loop_);
        let failed = codes.lines().filter(|code| *code != "200").count();
        assert!(codes.lines().count() > 5 && failed <= 2, "{failed} of {} failed", codes.lines().count());
        for count in [10, 3, 0, 3] {
            lab.ok(&format!("kubectl scale deployment blue --replicas={count}"));
            ready(&lab, count);
            lab.eventually("DNS follows", || {
                let set = a_records(&lab, "hl");
                if set.len() == count { Ok(()) } else { Err(format!("{count} wanted: {set:?}")) }
            });
            // Endpoints are told first, the rules follow within moments.
            let wanted = if count == 0 { 7 } else { 0 };
            lab.eventually("the service follows", || {
                let said = lab.sh(&format!("curl -s -m 2 http://{ip}/"));
                if said.code == wanted {
                    Ok(())
                } else {
                    Err(format!("{count} replicas: curl ended with {}", said.code))
                }
            });
            if count == 0 {
                assert!(lab.fails("host hl.default.svc.cluster.local 10.96.0.10").out.contains("3(NXDOMAIN)"));
            }
        }
    });
}

#[test]
fn m_a_terminal_shows_one_line_for_each_curl() {
    minisvc_testkit::isolated(|| {
        let (lab, ip) = blue(1);
        let raw = lab.ok(&format!("for i in 1 2 3; do curl -s http://{ip}/; done"));
        let mut screen: Vec<Vec<char>> = vec![Vec::new()];
        let mut at = 0;
        for character in raw.chars() {
            match character {
                '\r' => at = 0,
                '\n' => {
                    screen.push(Vec::new());
                    at = 0;
                }
                _ => {
                    let line = screen.last_mut().expect("a line");
                    if at < line.len() {
                        line[at] = character
                    } else {
                        line.push(character)
                    }
                    at += 1;
                }
            }
        }
        let lines: Vec<String> =
            screen.into_iter().map(|line| line.into_iter().collect::<String>()).filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        for line in lines {
            assert!(line.starts_with("🔵This is pod default/blue-") && line.ends_with('.'), "{line}");
            assert!(!line.contains('<'), "HTML shows: {line}");
        }
    });
}

#[test]
fn n_create_deployment_with_old_and_new_kubectl() {
    minisvc_testkit::isolated(|| {
        for version in ["1.20", "1.37"] {
            let lab = Lab::started(version);
            assert_eq!(
                lab.ok("kubectl create deployment blue --image=jpetazzo/color"),
                "deployment.apps/blue created\n"
            );
            lab.until("kubectl get deployment blue", |text| text.contains("1/1"));
        }
    });
}

#[test]
fn t_two_runs_have_the_same_addresses_and_fresh_pods() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let look = || lab.ok("kubectl get svc -A -o jsonpath='{.items[*].spec.clusterIP}'");
        let pods = || lab.ok("kubectl get pods -n kube-system -o jsonpath='{.items[*].metadata.uid}'");
        let (first, first_pods) = (look(), pods());
        lab.ok("minisvc down && minisvc up");
        assert_eq!(look(), first);
        assert_eq!(first, "10.96.0.1 10.96.0.10");
        let second_pods = pods();
        assert!(second_pods.split(' ').all(|uid| !first_pods.contains(uid)), "{first_pods} {second_pods}");
    });
}
