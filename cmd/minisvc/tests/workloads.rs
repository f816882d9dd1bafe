//! Workloads beyond Deployments in a whole lab with kubectl 1.37: sets with stable names in DNS, roll-outs and back,
//! jobs, schedules, and a drain that a budget holds up. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

const SET: &str = r#"kubectl create -f - <<'END'
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: jpetazzo/color}]}
END"#;

/// The image that every pod with a label runs.
fn images(label: &str) -> String {
    format!("kubectl get pods -l {label} -o jsonpath={{.items[*].spec.containers[0].image}}")
}

#[test]
fn a_stateful_set_has_names_in_dns_and_rolls_back() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok(SET);
        lab.ok("kubectl rollout status statefulset/web --timeout=90s");
        assert_eq!(lab.ok("kubectl get pods -l app=web -o name"), "pod/web-0\npod/web-1\n");
        // Each name has its pod's address, and keeps it for the pod that comes back.
        for pod in ["web-0", "web-1"] {
            let ip = lab.ok(&format!("kubectl get pod {pod} -o jsonpath={{.status.podIP}}"));
            let host = format!("host {pod}.web.default.svc.cluster.local 10.96.0.10");
            lab.until(&host, |text| text.contains(&format!("has address {ip}")));
        }
        lab.ok("kubectl delete pod web-1");
        lab.ok("kubectl wait --for=condition=Ready pod/web-1 --timeout=90s");
        let ip = lab.ok("kubectl get pod web-1 -o jsonpath={.status.podIP}");
        let host = "host web-1.web.default.svc.cluster.local 10.96.0.10";
        lab.until(host, |text| text.contains(&format!("has address {ip}")));

        lab.ok("kubectl set image statefulset/web c=nginx && kubectl rollout status statefulset/web --timeout=90s");
        assert_eq!(lab.ok(&images("app=web")), "nginx nginx");
        let history = lab.ok("kubectl rollout history statefulset/web");
        assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
        lab.ok("kubectl rollout undo statefulset/web && kubectl rollout status statefulset/web --timeout=90s");
        assert_eq!(lab.ok(&images("app=web")), "jpetazzo/color jpetazzo/color");
        lab.ok("kubectl scale statefulset/web --replicas=0");
        lab.until("kubectl get pods -l app=web -o name", str::is_empty);
    });
}

#[test]
fn a_daemon_set_rolls_back() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok(r#"kubectl create -f - <<'END'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: rng}
spec:
  selector: {matchLabels: {app: rng}}
  template:
    metadata: {labels: {app: rng}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: jpetazzo/color}]}
END"#);
        lab.ok("kubectl rollout status daemonset/rng --timeout=90s");
        lab.ok("kubectl set image daemonset/rng c=nginx && kubectl rollout status daemonset/rng --timeout=90s");
        assert_eq!(lab.ok(&images("app=rng")), "nginx nginx nginx");
        lab.ok("kubectl rollout undo daemonset/rng && kubectl rollout status daemonset/rng --timeout=90s");
        assert_eq!(lab.ok(&images("app=rng")), "jpetazzo/color jpetazzo/color jpetazzo/color");
    });
}

#[test]
fn jobs_run_to_their_end() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create job hello --image=busybox -- echo hello");
        lab.ok("kubectl wait --for=condition=Complete job/hello --timeout=90s");
        assert_eq!(lab.ok("kubectl logs job/hello"), "hello\n");
        lab.ok(r#"kubectl create -f - <<'END'
apiVersion: batch/v1
kind: Job
metadata: {name: three}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox, command: [hostname]}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: never}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox, command: [sh, -c, exit 3]}]}}
END"#);
        lab.ok("kubectl wait --for=condition=Complete job/three --timeout=90s");
        assert_eq!(lab.ok("kubectl get job three -o jsonpath={.status.completedIndexes}"), "0-2");
        lab.ok("kubectl wait --for=condition=Failed job/never --timeout=90s");
        let failed = lab.ok("kubectl get job never -o jsonpath='{.status.conditions[?(@.type==\"Failed\")].reason}'");
        assert_eq!(failed, "BackoffLimitExceeded");
        let names = lab.ok("kubectl logs -l job-name=three --tail=-1 | sort");
        assert_eq!(names, "three-0\nthree-1\nthree-2\n");
        // By hand from a schedule that never comes by itself.
        lab.ok("kubectl create cronjob yearly --image=busybox --schedule='0 0 1 1 *' -- echo happy new year");
        lab.ok("kubectl create job early --from=cronjob/yearly");
        lab.ok("kubectl wait --for=condition=Complete job/early --timeout=90s");
        assert_eq!(lab.ok("kubectl logs job/early"), "happy new year\n");
        lab.ok("kubectl delete job hello three never early && kubectl delete cronjob yearly");
        lab.until("kubectl get pods -o name", str::is_empty);
    });
}

#[test]
fn a_drain_waits_for_the_budget() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create deployment blue --image=jpetazzo/color --replicas=2");
        lab.ok("kubectl rollout status deployment/blue --timeout=90s");
        lab.ok("kubectl create pdb blue --selector=app=blue --min-available=2");
        lab.until("kubectl get pdb blue -o jsonpath={.status.currentHealthy}", |text| text == "2");
        let node = lab.ok("kubectl get pods -l app=blue -o jsonpath={.items[0].spec.nodeName}");
        let drain = format!("kubectl drain {node} --ignore-daemonsets --timeout");
        let held = lab.fails(&format!("{drain}=3s"));
        let words = "Cannot evict pod as it would violate the pod's disruption budget.";
        assert!(held.err.contains(words), "{}", held.err);
        // One more pod elsewhere, and the node empties.
        lab.ok("kubectl scale deployment/blue --replicas=3 && kubectl rollout status deployment/blue --timeout=90s");
        lab.until("kubectl get pdb blue -o jsonpath={.status.disruptionsAllowed}", |text| text == "1");
        lab.ok(&format!("{drain}=60s"));
        let left = format!("kubectl get pods -l app=blue --field-selector spec.nodeName={node} -o name");
        assert_eq!(lab.ok(&left), "");
        lab.ok(&format!("kubectl uncordon {node}"));
    });
}
