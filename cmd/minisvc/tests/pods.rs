//! What pods ask of their node, in the whole lab with kubectl 1.37: ephemeral containers through `kubectl debug`, the
//! node's network, host ports. Run through `cargo xtask test`. (pkg/node/tests/whole.rs has what one node alone shows.)

mod lab;

use lab::Lab;

#[test]
fn kubectl_debug_adds_an_ephemeral_container() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl run a --image=alpine -- sleep 1000");
        lab.ok("kubectl wait --for=condition=Ready pod/a --timeout=90s");
        lab.ok("kubectl debug a --image=busybox --target=a -c look -- sh -c 'cat /proc/1/comm; exec sleep 600'");
        lab.until("kubectl logs a -c look 2>&1 || true", |text| text == "sleep\n");
        assert_eq!(lab.ok("kubectl exec a -c look -- echo marco"), "marco\n");
        let said =
            lab.ok("printf 'echo polo; exit\\n' | kubectl debug a -i --image=busybox -c talk -- sh 2>&1 || true");
        let logged = lab.ok("kubectl logs a -c talk");
        assert!(said.contains("polo") || logged.contains("polo"), "{said}{logged}");
        let described = lab.ok("kubectl describe pod a");
        assert!(described.contains("Ephemeral Containers:\n  look:"), "{described}");
        assert_eq!(lab.ok("kubectl get pod a -o jsonpath={.metadata.generation}{.status.phase}"), "3Running");
        let fields =
            lab.fails(r#"kubectl patch pod a -p '{"spec":{"ephemeralContainers":[{"name":"x","image":"alpine"}]}}'"#);
        assert!(fields.err.contains("pod updates may not change fields other than"), "{}", fields.err);
        lab.ok("kubectl delete pod a --grace-period=1");
    });
}

/// sig-network "HostPort validates that there is no conflict between pods with same hostPort but different hostIP and
/// protocol", with colors for names.
#[test]
fn host_ports_differ_by_address_and_a_pod_may_use_its_nodes_network() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let node = lab.ok("kubectl get node node1 -o jsonpath={.status.addresses[0].address}");
        lab.ok(&format!(
            r#"kubectl create -f - <<'END'
apiVersion: v1
kind: Pod
metadata: {{name: blue}}
spec:
  nodeName: node1
  containers: [{{name: c, image: jpetazzo/color, ports: [{{containerPort: 80, hostPort: 54323, hostIP: 127.0.0.1}}]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: green}}
spec:
  nodeName: node1
  containers: [{{name: c, image: jpetazzo/color, ports: [{{containerPort: 80, hostPort: 54323, hostIP: {node}}}]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: host}}
spec:
  nodeName: node1
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  containers: [{{name: c, image: alpine, command: [sleep, "1000"]}}]
END"#
        ));
        lab.ok("kubectl wait --for=condition=Ready pod/blue pod/green pod/host --timeout=90s");
        let ask = |arguments: &str| format!("kubectl exec host -- curl -sg --connect-timeout 5 {arguments}");
        lab.until(&ask(&format!("--interface {node} http://127.0.0.1:54323/")), |text| {
            text.contains("pod default/blue")
        });
        lab.until(&ask(&format!("http://{node}:54323/")), |text| text.contains("pod default/green"));
        let addresses =
            lab.ok("kubectl get pod host -o jsonpath={.status.podIP}/{.status.hostIP}/{.status.podIPs[0].ip}");
        assert_eq!(addresses, format!("{node}/{node}/{node}"));
        let resolv = lab.ok("kubectl exec host -- cat /etc/resolv.conf");
        assert!(resolv.starts_with("search default.svc.cluster.local"), "{resolv}");
        assert_eq!(lab.ok("kubectl exec host -- hostname"), "node1\n");
    });
}
