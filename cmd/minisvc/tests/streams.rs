//! Streams to pods with kubectl 1.20 (SPDY) and 1.37 (WebSocket, and SPDY when told): logs, exec, cp, attach, run,
//! port-forward, proxy, and who is let in. Run through `cargo xtask test`.

mod lab;

use lab::{Lab, tools};

/// Every client, as the beginning of a line of shell.
fn clients() -> [String; 3] {
    let kubectl = |version: &str| tools().join("bin").join(format!("kubectl-{version}")).display().to_string();
    let spdy = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false";
    [kubectl("1.20"), kubectl("1.37"), format!("{spdy} {}", kubectl("1.37"))]
}

/// A lab with pod `a` (a shell), pod `two` (two containers, an init container, one that crashes) and deployment `blue`
/// with its Service.
fn lab() -> Lab {
    let lab = Lab::started("1.37");
    lab.ok("kubectl run a --image=archlinux -- sh -c 'echo first; echo second; exec sleep 1000'");
    lab.ok("kubectl create deployment blue --image=jpetazzo/color && kubectl expose deployment blue --port=80");
    lab.ok(r#"kubectl create -f - <<'END'
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  initContainers: [{name: i, image: alpine, command: [sh, -c, "echo from i"]}]
  containers:
  - {name: a, image: alpine, command: [sh, -c, "echo from a; exec sleep 1000"]}
  - {name: b, image: alpine, command: [sh, -c, "echo from b; exit 1"]}
END"#);
    lab.ok("kubectl wait --for=condition=Ready pod/a --timeout=90s");
    lab.ok("kubectl rollout status deployment/blue --timeout=90s");
    lab.until("kubectl get endpoints blue -o jsonpath={.subsets[0].addresses[0].ip}", |text| !text.is_empty());
    lab
}

#[test]
fn logs_of_every_kind() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        lab.until("kubectl get pod two", |text| text.contains("CrashLoopBackOff"));
        for kubectl in clients() {
            assert_eq!(lab.ok(&format!("{kubectl} logs a")), "first\nsecond\n");
            assert_eq!(lab.ok(&format!("{kubectl} logs a --tail=1")), "second\n");
            assert_eq!(lab.ok(&format!("{kubectl} logs a --since=1h --limit-bytes=8")), "first\nse");
            let timed = lab.ok(&format!("{kubectl} logs a --timestamps --tail=1"));
            let (time, text) = timed.split_once(' ').expect("a time");
            assert!(time.ends_with('Z') && text == "second\n", "{timed}");
            assert_eq!(lab.ok(&format!("{kubectl} logs a --since-time=2099-01-01T00:00:00Z")), "");
            assert!(lab.ok(&format!("{kubectl} logs deploy/blue")).contains("listening on port 80"));
            let all = lab.ok(&format!("{kubectl} logs two --all-containers"));
            assert!(["from i", "from a", "from b"].iter().all(|line| all.contains(line)), "{all}");
            assert_eq!(lab.ok(&format!("{kubectl} logs two -c b --previous")), "from b\n");
            let none = lab.fails(&format!("{kubectl} logs two -c a --previous"));
            assert!(none.err.contains(r#"previous terminated container "a" in pod "two" not found"#), "{}", none.err);
        }
        let which = lab.fails("kubectl get --raw /api/v1/namespaces/default/pods/two/log");
        let words =
            "a container name must be specified for pod two, choose one of: [a b] or one of the init containers: [i]";
        assert!(which.err.contains(words), "{}", which.err);
        let wrong = lab.fails("kubectl get --raw '/api/v1/namespaces/default/pods/a/log?tailLines=-1'");
        assert!(wrong.err.contains("must be greater than or equal to 0"), "{}", wrong.err);
        lab.ok("kubectl run bad --image=nosuch");
        let waiting = lab.until("kubectl logs bad 2>&1 || true", |text| text.contains("is waiting to start: trying"));
        let words = r#"container "bad" in pod "bad" is waiting to start: trying and failing to pull image"#;
        assert!(waiting.contains(words), "{waiting}");
    });
}

#[test]
fn logs_are_followed_to_the_containers_end() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        for (number, kubectl) in clients().iter().enumerate() {
            let script = "echo begin; while ! test -e /tmp/go; do sleep 0.1; done; echo end";
            lab.ok(&format!("kubectl run f{number} --image=alpine --restart=Never -- sh -c '{script}'"));
            lab.ok(&format!("kubectl wait --for=condition=Ready pod/f{number} --timeout=90s"));
            let follower = lab.background(&format!("{} logs -f f{number}", env(kubectl)), "follow.txt");
            let seen = |text: &'static str| {
                lab.eventually(text, || {
                    let now = follower.text();
                    if now == text { Ok(()) } else { Err(now) }
                });
            };
            seen("begin\n");
            lab.ok(&format!("{kubectl} exec f{number} -- touch /tmp/go"));
            seen("begin\nend\n");
            // A log of a container that ended is not followed for ever.
            assert_eq!(lab.ok(&format!("timeout 10 {} logs -f f{number}", env(kubectl))), "begin\nend\n");
        }
    });
}

/// The client where a program's name is expected (after exec, timeout).
fn env(kubectl: &str) -> String {
    format!("env {kubectl}")
}

#[test]
fn commands_in_containers() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        std::fs::write(lab.folder().join("home/big"), vec![7; 3_000_000]).expect("a file");
        for kubectl in clients() {
            let said = lab.fails(&format!("{kubectl} exec a -- sh -c 'echo out; echo err >&2; exit 3'"));
            assert_eq!((said.code, said.out.as_str()), (3, "out\n"));
            assert_eq!(said.err.replace("command terminated with exit code 3\n", ""), "err\n");
            // The end of input arrives.
            assert_eq!(lab.ok(&format!("printf 'some words' | {kubectl} exec -i a -- wc -c")).trim(), "10");
            let sums = lab.ok(&format!(
                "cksum < big; {kubectl} exec -i a -- cksum < big; {kubectl} exec -i a -- cat < big | cksum"
            ));
            let sums: Vec<&str> = sums.lines().collect();
            assert!(sums.len() == 3 && sums[0] == sums[1] && sums[0] == sums[2], "{sums:?}");
            assert_eq!(
                lab.ok(&format!("{kubectl} exec two -c a -- sh -c 'hostname; cat /proc/1/comm'")),
                "two\nsleep\n"
            );
            let tty =
                lab.ok(&format!("script -qec \"{} exec -it a -- sh -c 'tty; echo \\$TERM'\" /dev/null", env(&kubectl)));
            assert!(tty.contains("/dev/pts/") && tty.contains("xterm"), "{tty}");
            let coded = lab.sh(&format!("script -qec \"{} exec -it a -- sh -c 'exit 4'\" /dev/null", env(&kubectl)));
            assert_eq!(coded.code, 4, "{coded:?}");
            lab.ok(&format!(
                "{kubectl} cp big a:/tmp/copy && {kubectl} cp a:/tmp/copy back && cmp big back && rm back"
            ));
            let none = lab.fails(&format!("{kubectl} exec a -- nosuch"));
            assert!(none.err.contains(r#"exec: "nosuch": executable file not found in $PATH"#), "{}", none.err);
            let bare = lab.fails(&format!("{kubectl} exec deploy/blue -- ls"));
            assert!(bare.err.contains("this image holds nothing but its own program"), "{}", bare.err);
            let wrong = lab.fails(&format!("{kubectl} exec a -c zz -- ls"));
            assert!(wrong.err.contains("container zz is not valid for pod a"), "{}", wrong.err);
            let missing = lab.fails(&format!("{kubectl} exec nosuch -- ls"));
            assert!(missing.err.contains(r#"pods "nosuch" not found"#), "{}", missing.err);
        }
    });
}

#[test]
fn attach_and_interactive_runs() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        for (number, kubectl) in clients().iter().enumerate() {
            let run = format!("{} run -it --rm --restart=Never --image=archlinux x{number} -- sh", env(kubectl));
            // The lines wait in the terminal until the shell reads them.
            let typed = r"printf 'echo word-$((6*7))\ntty\nexit 7\n'";
            let said = lab.sh(&format!("{typed} | script -qec '{run}' /dev/null"));
            assert!(said.out.contains("word-42") && said.out.contains("/dev/console"), "{said:?}");
            assert_eq!(said.code, 7, "{said:?}");
            assert!(lab.fails(&format!("kubectl get pod x{number}")).err.contains("not found"));

            let said = lab.fails(&format!(
                "echo typed in | {kubectl} run --rm -i --restart=Never --image=centos y{number} -- sh -c 'cat; exit 5'"
            ));
            assert_eq!(said.code, 5, "{said:?}");
            assert!(said.out.contains("typed in\n"), "{said:?}");
            let said = lab.ok(&format!("{kubectl} run --rm -i --restart=Never --image=centos z{number} -- echo fast"));
            assert!(said.contains("fast"), "{said}");

            lab.ok(&format!("kubectl run w{number} --image=alpine --stdin --leave-stdin-open --attach=false -- sh -c 'while read l; do echo got $l; done'"));
            lab.ok(&format!("kubectl wait --for=condition=Ready pod/w{number} --timeout=90s"));
            let said = lab.until(
                // The end of what is typed ends the attach: nobody has to break it off.
                &format!("(echo once; sleep 1) | timeout 60 {} attach -i w{number}", env(kubectl)),
                |text| text.contains("got once"),
            );
            assert!(said.contains("got once"));
            // The container's input stays open for the next.
            assert!(lab.ok(&format!("kubectl get pod w{number}")).contains("1/1"));
        }
    });
}

/// Speaks the WebSocket channel protocol of port-forward, which kubectl does not use, through `kubectl proxy` at 18001.
const CHANNELS: &str = r#"
import base64, os, socket, struct
s = socket.create_connection(("127.0.0.1", 18001))
s.sendall(("GET /api/v1/namespaces/default/pods/POD/portforward?ports=80 HTTP/1.1\r\nHost: 127.0.0.1:18001\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    + base64.b64encode(os.urandom(16)).decode() + "\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n").encode())
f = s.makefile("rb")
assert b" 101 " in f.readline()
while f.readline().strip(): pass
body = b"\x00GET / HTTP/1.0\r\n\r\n"
s.sendall(bytes([0x82, 0x80 | len(body)]) + bytes(4) + body)
text = b""
while b"This is pod" not in text:
    first, length = f.read(2)
    assert first == 0x82, first
    if length == 126: length = struct.unpack(">H", f.read(2))[0]
    message = f.read(length)
    if message[1:] == struct.pack("<H", 80): continue
    assert message[0] == 0, message
    text += message[1:]
print("reached")
"#;

#[test]
fn ports_and_proxies() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        let pod = lab.ok("kubectl get pods -l app=blue -o jsonpath={.items[0].metadata.name}");
        for kubectl in clients() {
            for what in [format!("pod/{pod}"), "service/blue".to_owned(), "deployment/blue".to_owned()] {
                let forward = lab.background(&format!("{} port-forward {what} 18080:80", env(&kubectl)), "forward.txt");
                lab.eventually("the forward begins", || match forward.text() {
                    text if text.contains("Forwarding from 127.0.0.1:18080 -> 80") => Ok(()),
                    text => Err(text),
                });
                for _ in 0..3 {
                    let page = lab.ok("curl -s -m 5 http://127.0.0.1:18080/path");
                    assert!(
                        page.contains(&format!("This is pod default/{pod}")) && page.contains("serving /path"),
                        "{page}"
                    );
                }
                // Side by side over one connection.
                let pages = lab.ok("for i in $(seq 20); do curl -s -m 5 http://127.0.0.1:18080/$i & done; wait");
                assert_eq!(pages.matches("This is pod").count(), 20);
            }
            let closed = lab.background(&format!("{} port-forward pod/a 18081:81", env(&kubectl)), "closed.txt");
            lab.eventually("the forward begins", || match closed.text() {
                text if text.contains("Forwarding") => Ok(()),
                text => Err(text),
            });
            lab.fails("curl -s -m 5 http://127.0.0.1:18081/");
        }
        let proxy = lab.background("kubectl proxy --port=18001", "proxy.txt");
        lab.eventually("the proxy begins", || match proxy.text() {
            text if text.contains("Starting to serve") => Ok(()),
            text => Err(text),
        });
        let base = "http://127.0.0.1:18001/api/v1";
        let of = |path: &str| format!("{base}/namespaces/default/{path}");
        for place in [
            "services/blue",
            "services/blue:80",
            "services/http:blue:80",
            &format!("pods/{pod}"),
            &format!("pods/http:{pod}:80"),
        ] {
            let page = lab.ok(&format!("curl -s -m 5 {}", of(&format!("{place}/proxy/some/path?q=1"))));
            assert!(
                page.contains("This is pod default/blue-") && page.contains("serving /some/path"),
                "{place}: {page}"
            );
        }
        let bare = lab
            .ok(&format!("curl -s -o /dev/null -w '%{{http_code}} %{{redirect_url}}' {}", of("services/blue/proxy")));
        assert_eq!(bare, format!("301 {}", of("services/blue/proxy/")));
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let line = format!("curl -s -m 5 -X {method} -d x {}", of("services/blue/proxy/m"));
            assert!(lab.ok(&line).contains("This is pod"), "{method}");
        }
        let closed = lab.ok(&format!("curl -s -m 5 {}", of("pods/a:81/proxy/")));
        assert!(
            closed.contains("error trying to reach service: dial tcp")
                && closed.contains("connect: connection refused"),
            "{closed}"
        );
        let port = lab.ok(&format!("curl -s -m 5 {}", of("services/blue:81/proxy/")));
        assert!(port.contains("no service port 81 found for service \\\"blue\\\""), "{port}");
        assert_eq!(lab.ok(&format!("curl -s -m 5 {base}/nodes/node1/proxy/healthz")), "ok");
        std::fs::write(lab.folder().join("home/channels.py"), CHANNELS.replace("POD", &pod)).expect("a script");
        assert_eq!(lab.ok("timeout 10 python3 channels.py"), "reached\n");
    });
}

#[test]
fn nobody_else_is_let_in() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        assert_eq!(
            lab.ok("kubectl get node node1 -o jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}"),
            "10250"
        );
        // From a pod, from the machine, from another node: nobody is nobody.
        let asked = "curl -sk -m 10 -w :%{http_code} https://172.30.0.11:10250";
        for prefix in ["kubectl exec a -- ", "", "minisvc shell node2 -- "] {
            assert_eq!(lab.ok(&format!("{prefix}{asked}/pods")), "Unauthorized:401");
        }
        assert_eq!(lab.ok(&format!("{asked}/pods -H 'Authorization: Bearer none'")), "Unauthorized:401");
        // A node's own certificate is the authority's, but not the API server's.
        let node = "--cert $MINISVC_STATE_DIR/pki/node2.crt --key $MINISVC_STATE_DIR/pki/node2.key";
        assert_eq!(
            lab.ok(&format!("{asked}/pods {node}")),
            "Forbidden (user=system:node:node2, verb=get, resource=nodes, subresource(s)=[pods proxy]):403"
        );
        // An account is what the API server says of it.
        lab.ok("kubectl create serviceaccount scraper");
        let token = lab.ok("kubectl create token scraper");
        let scraped = format!("{asked}/metrics -H 'Authorization: Bearer {}'", token.trim());
        assert_eq!(
            lab.ok(&scraped),
            "Forbidden (user=system:serviceaccount:default:scraper, verb=get, resource=nodes, \
             subresource(s)=[metrics]):403"
        );
        lab.ok("kubectl create clusterrole scrape --verb=get --resource=nodes/metrics");
        lab.ok("kubectl create clusterrolebinding scrape --clusterrole=scrape --serviceaccount=default:scraper");
        let said = lab.until(&scraped, |text| text.ends_with(":200"));
        assert!(said.contains("kubelet_node_name{node=\"node1\"} 1"), "{said}");
        assert!(lab.ok(&scraped.replace("/metrics", "/pods")).ends_with(":403"));
        let used = lab.ok(&scraped.replace("/metrics", "/metrics/resource"));
        assert!(
            used.contains("\nnode_cpu_usage_seconds_total ") && used.ends_with("resource_scrape_error 0\n:200"),
            "{used}"
        );
        let own = "--cert $MINISVC_STATE_DIR/pki/apiserver-node-client.crt --key $MINISVC_STATE_DIR/pki/apiserver-node-client.key";
        let said = lab
            .ok(&format!("curl -s -m 5 --cacert $MINISVC_STATE_DIR/pki/ca.crt {own} https://172.30.0.11:10250/pods"));
        assert!(said.contains("\"PodList\""), "{said}");
        for kubectl in clients() {
            let refused = lab.fails(&format!("{kubectl} --as=joe exec a -- ls"));
            assert!(refused.err.contains(r#"User "joe" cannot"#), "{}", refused.err);
        }
        // Reading is not enough for a stream, whichever method asks for it.
        lab.ok("kubectl create clusterrole look --verb=get --resource=pods,pods/exec");
        lab.ok("kubectl create clusterrolebinding look --clusterrole=look --user=joe");
        let refused = lab.fails("kubectl --as=joe exec a -- ls");
        assert!(refused.err.contains("cannot create resource \"pods/exec\""), "{}", refused.err);
    });
}
