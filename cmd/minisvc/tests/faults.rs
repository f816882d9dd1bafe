//! Bad input and faults, with nothing lost: each gives a clear answer. Run through `cargo xtask test`.

mod lab;

use lab::{Lab, column};

fn pids(lab: &Lab, part: &str) -> String {
    let script = format!(
        "minisvc status -o json | python3 -c 'import json,sys; print(*[p[\"pid\"] for p in json.load(sys.stdin)[\"parts\"] if p[\"name\"].startswith(\"{part}\") and p[\"pid\"]])'"
    );
    lab.sh(&script).out.trim().to_owned()
}

#[test]
fn up_twice_down_when_nothing_runs() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::new("1.37");
        assert!(lab.ok("minisvc down").contains("No lab runs here"));
        assert_eq!(lab.sh("minisvc status").code, 4);
        assert!(lab.ok("minisvc up").contains("The lab is up: 3 nodes Ready"));
        let first = pids(&lab, "");
        assert!(lab.ok("minisvc up").contains("was up already"));
        assert_eq!(pids(&lab, ""), first, "a second up starts nothing");
        let other = lab.fails("minisvc up --nodes 2");
        assert!(other.err.contains("a lab with other settings runs already"), "{}", other.err);
        assert_eq!(lab.sh("minisvc status").code, 0);
        assert!(lab.ok("minisvc down").contains("The lab is down"));
        assert!(lab.ok("minisvc down").contains("No lab runs here"));
    });
}

#[test]
fn without_privilege_up_says_what_is_missing() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::new("1.37");
        let said = lab
            .fails("setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all minisvc up");
        assert!(said.err.contains("root") && said.err.contains("sudo"), "{}", said.err);
        assert!(lab.sh("setpriv --reuid=65534 --regid=65534 --clear-groups minisvc doctor").out.contains("remedy"));
        lab.ok("minisvc up");
        for verb in ["status", "down", "logs", "shell node1 -- true"] {
            let said = lab.fails(&format!("setpriv --reuid=65534 --regid=65534 --clear-groups minisvc {verb}"));
            assert!(said.err.contains("is closed to this user") && said.err.contains("sudo"), "{verb}: {}", said.err);
        }
    });
}

#[test]
fn a_taken_port_and_a_clashing_range_are_named() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::new("1.37");
        let _holder = std::net::TcpListener::bind("127.0.0.1:6443").expect("bind");
        let said = lab.fails("minisvc up");
        assert!(said.err.contains("127.0.0.1:6443 is taken") && said.err.contains("--api"), "{}", said.err);
        drop(_holder);
        // A VPN that owns 10.0.0.0/8 clashes with pods and services: an error that names both sides and the flag.
        lab.ok("ip link add vpn0 type veth peer name vpn1 && ip addr add 10.100.0.5/16 dev vpn0 && ip link set vpn0 up && ip link set vpn1 up");
        let said = lab.fails("minisvc up");
        for part in ["10.96.0.0/12", "10.100.0.0/16", "--service-cidr"] {
            assert!(said.err.contains(part), "{part}: {}", said.err);
        }
        lab.ok("ip addr del 10.100.0.5/16 dev vpn0 && ip addr add 172.30.0.77/24 dev vpn0");
        // Docker's ranges only move the lab's own: it says so.
        let said = lab.ok("minisvc up");
        assert!(said.contains("note:") && said.contains("172.30.0.0/24"), "{said}");
        let nodes = lab.ok("kubectl get nodes -o wide");
        assert!(!column(&nodes, "INTERNAL-IP").iter().any(|ip| ip.starts_with("172.30.0.")), "{nodes}");
        lab.ok("minisvc down && ip link del vpn0");
    });
}

#[test]
fn the_store_survives_and_refuses_strangers() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create configmap keep --from-literal=a=b");
        lab.ok("kubectl create deployment blue --image=jpetazzo/color");
        lab.ok("kubectl expose deployment blue --port=80");
        let ip = lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}");
        // kill -9 of the control plane: pods answer, rules stand.
        lab.until(&format!("curl -s -m 2 http://{ip}/"), |text| !text.is_empty());
        let nodes = pids(&lab, "node");
        lab.ok(&format!("kill -9 {}", pids(&lab, "serve")));
        assert!(lab.ok(&format!("curl -s -m 2 http://{ip}/")).contains("default/blue-"));
        lab.ok("minisvc up");
        assert_eq!(pids(&lab, "node"), nodes, "nodes are adopted");
        assert_eq!(lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}"), ip);
        assert!(lab.ok(&format!("curl -s -m 2 http://{ip}/")).contains("default/blue-"));
        // kill -9 of everything: the same objects, the same service addresses.
        lab.ok(&format!("kill -9 {}", pids(&lab, "")));
        lab.ok("minisvc up");
        assert_eq!(lab.ok("kubectl get configmap keep -o jsonpath={.data.a}"), "b");
        assert_eq!(lab.ok("kubectl get svc blue -o jsonpath={.spec.clusterIP}"), ip);
        lab.until(&format!("curl -s -m 2 http://{ip}/"), |text| text.contains("default/blue-"));
        // One node.
        lab.ok(&format!("kill -9 {}", pids(&lab, "node2")));
        lab.ok("minisvc up");
        lab.until("kubectl get nodes", |text| text.matches(" Ready ").count() == 3);
        // Kept over down.
        lab.ok("minisvc down --keep-state && minisvc up");
        assert_eq!(lab.ok("kubectl get configmap keep -o jsonpath={.data.a}"), "b");
        // A damaged store: `down` wrote a last export, which lacks nothing, so it is restored by itself.
        let damage = "for f in $(find $MINISVC_STATE_DIR/store -name db -type f); do truncate -s 4096 $f; done; find $MINISVC_STATE_DIR/store -name 'snap.*' -delete";
        lab.ok("minisvc down --keep-state");
        lab.ok(damage);
        lab.ok("minisvc up");
        assert_eq!(lab.ok("kubectl get configmap keep -o jsonpath={.data.a}"), "b", "restored from the export");
        // After a crash the export lacks what came last: refused, and lost only when that is accepted by name.
        lab.ok("kubectl create configmap late --from-literal=a=b");
        lab.ok(&format!("kill -9 {}", pids(&lab, "")));
        lab.ok(damage);
        let said = lab.fails("minisvc up");
        assert!(said.err.contains("--restore-export"), "{}", said.err);
        lab.ok("minisvc up --restore-export");
        assert_eq!(lab.ok("kubectl get configmap keep -o jsonpath={.data.a}"), "b");
    });
}

#[test]
fn bad_requests_lose_nothing() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let api = "curl -s --unix-socket $MINISVC_RUN_DIR/api.sock";
        let post = |body: &str, path: &str| {
            lab.ok(&format!("{api} -X POST -H 'Content-Type: application/json' -d '{body}' http://minisvc{path}"))
        };
        for (body, path, text) in [
            ("{", "/api/v1/namespaces/default/services", "BadRequest"),
            ("[]", "/api/v1/namespaces/default/services", "BadRequest"),
            (
                r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}"#,
                "/api/v1/namespaces/default/services",
                "BadRequest",
            ),
            (
                r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"ports":7}}"#,
                "/api/v1/namespaces/default/services",
                "BadRequest",
            ),
            (
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}"#,
                "/api/v1/namespaces/nowhere/configmaps",
                "namespaces \\\"nowhere\\\" not found",
            ),
            (
                r#"{"apiVersion":"v1","kind":"Thing","metadata":{"name":"x"}}"#,
                "/api/v1/namespaces/default/things",
                "the server could not find the requested resource",
            ),
        ] {
            let said = post(body, path);
            assert!(said.replace(": ", ":").contains(&text.replace(": ", ":")), "{body} -> {said}");
        }
        let strict = post(
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"dada":{}}"#,
            "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
        );
        assert!(strict.contains("unknown field") && strict.contains("dada"), "{strict}");
        let large = lab.ok(&format!("head -c 4000000 /dev/zero | tr '\\0' 'a' | {api} -o /dev/null -w '%{{http_code}}' -X POST -H 'Content-Type: application/json' --data-binary @- http://minisvc/api/v1/namespaces/default/configmaps"));
        assert_eq!(large, "413");
        assert_eq!(lab.ok("kubectl get configmap -o name"), "configmap/kube-root-ca.crt\n");
        // Who is not known may read the version and nothing else.
        assert!(lab.ok("curl -sk https://127.0.0.1:6443/version").contains("gitVersion"));
        let anonymous = lab.ok("curl -sk https://10.96.0.1/");
        assert!(anonymous.contains("system:anonymous") && anonymous.contains("403"), "{anonymous}");
        assert!(
            lab.ok("curl -sk -H 'Authorization: Bearer nonsense' https://127.0.0.1:6443/api/v1/pods")
                .contains("Unauthorized")
        );
        // Range and port errors in Kubernetes' words.
        let far = lab.fails("kubectl create service clusterip far --tcp=80 --clusterip=1.2.3.4");
        assert!(far.err.contains("is not in the valid range. The range of valid IPs is 10.96.0.0/12"), "{}", far.err);
        let taken = lab.fails("kubectl create service clusterip taken --tcp=80 --clusterip=10.96.0.10");
        assert!(taken.err.contains("provided IP is already allocated"), "{}", taken.err);
    });
}

#[test]
fn an_unknown_image_says_what_there_is() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create deployment x --image=nowhere/nothing:3");
        lab.until("kubectl get pods", |text| text.contains("ErrImagePull") || text.contains("ImagePullBackOff"));
        lab.until("kubectl describe pods", |text| text.contains("jpetazzo/color"));
        lab.ok("kubectl create deployment blue --image=jpetazzo/color");
        lab.ok("kubectl create service clusterip bleu --tcp=80");
        lab.until("kubectl describe svc bleu", |text| text.contains("did you mean"));
    });
}

#[test]
fn reset_goes_back_to_the_start() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create ns extra && kubectl create deployment blue --image=jpetazzo/color && kubectl expose deployment blue --port=80");
        let nodes = pids(&lab, "node");
        lab.ok("minisvc reset");
        assert_eq!(pids(&lab, "node"), nodes);
        assert_eq!(column(&lab.ok("kubectl get svc"), "NAME"), ["kubernetes"]);
        assert_eq!(
            column(&lab.ok("kubectl get ns"), "NAME"),
            ["default", "kube-node-lease", "kube-public", "kube-system"]
        );
        lab.ok("kubectl create deployment blue --image=jpetazzo/color");
        lab.until("kubectl get deployment blue", |text| text.contains("1/1"));
    });
}

#[test]
fn two_labs_side_by_side() {
    minisvc_testkit::isolated(|| {
        let first = Lab::started("1.37");
        let second = Lab::new("1.37");
        second.ok("minisvc up --link lab1 --node-cidr 172.31.0.0/24 --pod-cidr 10.245.0.0/16 --service-cidr 10.112.0.0/12 --lb-cidr 203.0.112.0/24 --outside-cidr 198.51.101.0/24 --link-cidr 172.31.255.0/30 --api 127.0.0.1:7443 --page 127.0.0.1:7480 --context second");
        assert!(first.ok("kubectl get svc kubernetes").contains("10.96.0.1"));
        assert!(second.ok("kubectl get svc kubernetes").contains("10.112.0.1"));
    });
}

#[test]
fn the_page_reads_everything_but_secrets() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let page =
            lab.ok("minisvc status -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"page\"])'");
        let (address, token) = page.trim().split_once("/#token=").expect("an address with a token");
        assert!(lab.ok(&format!("curl -s {address}/")).contains("/ui/app.js"));
        assert!(lab.ok(&format!("curl -s {address}/ui/app.js")).contains("endpointslices"));
        let ask = |path: &str| {
            lab.ok(&format!(
                "curl -s -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {token}' {address}{path}"
            ))
        };
        for path in ["/api/v1/nodes", "/api/v1/pods", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"] {
            assert_eq!(ask(path), "200", "{path}");
        }
        assert_eq!(ask("/api/v1/secrets"), "403");
        let bare = lab.ok(&format!("curl -s -o /dev/null -w '%{{http_code}}' {address}/api/v1/pods"));
        assert_eq!(bare, "401", "without the token");
        let write = lab.ok(&format!("curl -s -o /dev/null -w '%{{http_code}}' -X DELETE -H 'Authorization: Bearer {token}' {address}/api/v1/namespaces/default/services/kubernetes"));
        assert_eq!(write, "403");
    });
}
