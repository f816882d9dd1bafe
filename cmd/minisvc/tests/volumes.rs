//! Persistent volumes in a whole lab with kubectl 1.37: what pods write stays when they go, goes when its claim goes, and
//! leaves nothing behind. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

fn create(lab: &Lab, text: &str) {
    lab.ok(&format!("kubectl create -f - <<'END'\n{text}\nEND"));
}

fn claim(lab: &Lab, name: &str, more: &str) {
    create(
        lab,
        &format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{accessModes: [ReadWriteOnce], \
             resources: {{requests: {{storage: 1Gi}}}}{more}}}}}"
        ),
    );
}

/// A pod that sleeps, on a node where one is named, with a claim's volume at /data.
fn pod(lab: &Lab, name: &str, node: &str, claim: &str, mount: &str) {
    let node =
        if node.is_empty() { String::new() } else { format!("nodeSelector: {{kubernetes.io/hostname: {node}}}, ") };
    create(
        lab,
        &format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{node}terminationGracePeriodSeconds: 0, \
             containers: [{{name: c, image: busybox, command: [sleep, 1h], volumeMounts: [{{name: v, mountPath: /data{mount}}}]}}], \
             volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]}}}}"
        ),
    );
}

fn ready(lab: &Lab, pods: &str) {
    lab.ok(&format!("kubectl wait --for=condition=Ready {pods} --timeout=90s"));
}

/// Folders of provisioned volumes on the machine.
fn folders(lab: &Lab) -> String {
    lab.ok("ls $MINISVC_STATE_DIR/volumes 2>/dev/null || true")
}

#[test]
fn what_pods_write_stays_until_the_claim_goes() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let classes = lab.ok("kubectl get sc --no-headers");
        let words: Vec<_> = classes.split_whitespace().collect();
        assert_eq!(words[..6], ["standard", "(default)", "minisvc.io/folder", "Delete", "Immediate", "false"]);
        claim(&lab, "data", "");
        lab.ok("kubectl wait --for=jsonpath={.status.phase}=Bound pvc/data --timeout=90s");
        let row = lab.ok("kubectl get pvc data --no-headers");
        let words: Vec<_> = row.split_whitespace().collect();
        assert!(words[2].starts_with("pvc-"), "{row}");
        assert_eq!((words[1], &words[3..6]), ("Bound", &["1Gi", "RWO", "standard"][..]));
        let volume = words[2].to_owned();
        let row = lab.ok("kubectl get pv --no-headers");
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words[..7], [&volume, "1Gi", "RWO", "Delete", "Bound", "default/data", "standard"]);

        pod(&lab, "writer", "node1", "data", "");
        ready(&lab, "pod/writer");
        lab.ok("kubectl exec writer -- sh -c 'mkdir /data/deep && echo hello > /data/deep/greeting'");
        assert_eq!(folders(&lab), format!("{volume}\n"));
        lab.ok("kubectl delete pod writer");
        // Another pod, on another node; one that only reads, and one that sees a part.
        pod(&lab, "reader", "node2", "data", ", readOnly: true");
        pod(&lab, "part", "node3", "data", ", subPath: deep");
        ready(&lab, "pod/reader pod/part");
        assert_eq!(lab.ok("kubectl exec reader -- cat /data/deep/greeting"), "hello\n");
        assert_eq!(lab.ok("kubectl exec part -- cat /data/greeting"), "hello\n");
        let refused = lab.fails("kubectl exec reader -- touch /data/x");
        assert!(refused.err.contains("Read-only file system"), "{}", refused.err);

        // In use, the claim waits for its pods; then all of it goes.
        lab.ok("kubectl delete pvc data --wait=false");
        assert!(lab.ok("kubectl get pvc data --no-headers").contains("Terminating"));
        lab.ok("kubectl delete pod reader");
        assert!(lab.ok("kubectl get pvc data --no-headers").contains("Terminating"));
        lab.ok("kubectl delete pod part");
        lab.until("kubectl get pvc,pv -o name", str::is_empty);
        assert_eq!(folders(&lab), "");

        // `reset` takes files along, `down` leaves no folder.
        claim(&lab, "again", "");
        pod(&lab, "writer", "", "again", "");
        ready(&lab, "pod/writer");
        lab.ok("kubectl exec writer -- touch /data/x");
        assert_ne!(folders(&lab), "");
        lab.ok("minisvc reset");
        assert_eq!(folders(&lab), "");
        claim(&lab, "last", "");
        pod(&lab, "writer", "", "last", "");
        ready(&lab, "pod/writer");
        lab.ok("minisvc down && test ! -e $MINISVC_STATE_DIR/volumes");
    });
}

const SET: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  selector: {matchLabels: {app: web}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: busybox, command: [sleep, 1h], volumeMounts: [{name: www, mountPath: /www}]}]
  volumeClaimTemplates:
  - metadata: {name: www}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";

#[test]
fn each_pod_of_a_stateful_set_has_its_own_files() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        create(&lab, SET);
        lab.ok("kubectl rollout status statefulset/web --timeout=90s");
        for pod in ["web-0", "web-1"] {
            lab.ok(&format!("kubectl exec {pod} -- sh -c 'hostname > /www/name'"));
        }
        lab.ok("kubectl delete pod web-0 web-1");
        lab.ok("kubectl rollout status statefulset/web --timeout=90s");
        for pod in ["web-0", "web-1"] {
            assert_eq!(lab.ok(&format!("kubectl exec {pod} -- cat /www/name")), format!("{pod}\n"));
        }
        // Scaled down and up, the files are there again.
        lab.ok("kubectl scale statefulset/web --replicas=1 && kubectl wait --for=delete pod/web-1 --timeout=90s");
        assert_eq!(lab.ok("kubectl get pvc -o name | wc -l").trim(), "2");
        lab.ok("kubectl scale statefulset/web --replicas=2 && kubectl rollout status statefulset/web --timeout=90s");
        assert_eq!(lab.ok("kubectl exec web-1 -- cat /www/name"), "web-1\n");
        lab.ok("kubectl delete statefulset web");
        lab.until("kubectl get pvc,pv -o name", str::is_empty);
        assert_eq!(folders(&lab), "");
    });
}

const BY_HAND: &str = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Pod
metadata: {name: maker}
spec:
  nodeSelector: {kubernetes.io/hostname: node2}
  restartPolicy: Never
  containers: [{name: c, image: busybox, command: [sh, -c, echo disk > /disk/label], volumeMounts: [{name: d, mountPath: /disk}]}]
  volumes: [{name: d, hostPath: {path: /mnt/disk, type: DirectoryOrCreate}}]
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 2Gi}
  storageClassName: local
  local: {path: /mnt/disk}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node2]}]}]}}";

#[test]
fn local_volumes_wait_for_their_consumer_and_draw_it_to_them() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        create(&lab, BY_HAND);
        lab.ok("kubectl wait --for=jsonpath={.status.phase}=Succeeded pod/maker --timeout=90s");
        claim(&lab, "data", ", storageClassName: local");
        lab.until("kubectl describe pvc data", |text| {
            text.contains("WaitForFirstConsumer")
                && text.contains("waiting for first consumer to be created before binding")
        });
        assert!(lab.ok("kubectl get pvc data --no-headers").contains("Pending"));
        pod(&lab, "early", "", "missing", "");
        lab.until("kubectl describe pod early", |text| {
            text.contains("0/3 nodes are available: persistentvolumeclaim \"missing\" not found.")
        });
        pod(&lab, "elsewhere", "node1", "data", "");
        lab.until("kubectl describe pod elsewhere", |text| {
            text.contains("1 node(s) didn't find available persistent volumes to bind")
        });
        lab.ok("kubectl delete pod early elsewhere");
        pod(&lab, "here", "", "data", "");
        ready(&lab, "pod/here");
        assert_eq!(lab.ok("kubectl get pod here -o jsonpath={.spec.nodeName}"), "node2");
        assert_eq!(lab.ok("kubectl exec here -- cat /data/label"), "disk\n");
        // Kept as its policy says, and not given to the next.
        lab.ok("kubectl delete pod here && kubectl delete pvc data");
        lab.until("kubectl get pv disk --no-headers", |text| text.contains("Retain") && text.contains("Released"));
    });
}
