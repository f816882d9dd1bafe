//! The kinds beyond the lesson's with kubectl 1.20 and 1.37: made, listed, scaled, limited, refused in Kubernetes' words.
//! Run through `cargo xtask test`.

mod lab;

use lab::{Lab, column, tools};

fn kubectl(version: &str) -> String {
    tools().join("bin").join(format!("kubectl-{version}")).display().to_string()
}

const OBJECTS: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
  volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "0 3 * * *"
  suspend: true
  timeZone: Europe/Berlin
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}}}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec: {replicas: 0, template: {metadata: {labels: {app: old}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 1024Mi}, accessModes: [ReadWriteOnce, ReadOnlyMany], hostPath: {path: /data}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], storageClassName: slow, resources: {requests: {storage: 1Gi}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: calm}
spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: slow, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: example.com/slow
"#;

#[test]
fn kubectl_prints_the_new_kinds() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        std::fs::write(lab.folder().join("home/objects.yaml"), OBJECTS).expect("write objects");
        lab.ok("kubectl apply -f objects.yaml");
        lab.ok("kubectl autoscale statefulset web --min=1 --max=3 --cpu=50%");
        for version in ["1.20", "1.37"] {
            let kubectl = kubectl(version);
            let applied = lab.ok(&format!("{kubectl} apply -f objects.yaml"));
            // The others have lists that are replaced whole, or quantities that read otherwise in the cluster; kubectl 1.20
            // does not know batch/v1 CronJob and replaces its lists too.
            let mut same = vec!["replicationcontroller/old", "persistentvolumeclaim/claim"];
            if version != "1.20" {
                same.push("cronjob.batch/tick");
            }
            for same in same {
                assert!(applied.contains(&format!("{same} unchanged")), "{version}: {applied}");
            }
            let get = |what: &str| lab.ok(&format!("{kubectl} get {what}"));
            assert_eq!(column(&get("sts"), "READY"), ["0/0"]);
            assert_eq!(column(&get("cj"), "SCHEDULE"), ["0 3 * * *"]);
            assert_eq!(column(&get("rc"), "DESIRED"), ["0"]);
            let volume = get("pv");
            assert_eq!(column(&volume, "CAPACITY"), ["1Gi"]);
            assert_eq!(column(&volume, "ACCESS MODES"), ["RWO,ROX"]);
            assert_eq!(column(&volume, "STATUS"), ["Available"]);
            assert_eq!(column(&get("sc"), "NAME"), ["slow (default)", "standard (default)"]);
            assert_eq!(column(&get("pdb"), "MIN AVAILABLE"), ["50%"]);
            assert_eq!(column(&get("hpa"), "REFERENCE"), ["StatefulSet/web"]);
            assert_eq!(column(&get("cs"), "STATUS"), ["Healthy", "Healthy", "Healthy"]);
            let classes = get("pc");
            assert!(classes.contains("system-node-critical") && classes.contains("2000001000"), "{classes}");
            // kubectl 1.20 describes these two by their beta versions alone.
            let newer: &[&str] = if version == "1.20" { &[] } else { &["cj tick", "pdb calm"] };
            for what in ["sts web", "rc old", "pv disk", "pvc claim", "hpa web", "sc slow"].iter().chain(newer) {
                let told = lab.ok(&format!("{kubectl} describe {what}"));
                assert!(told.contains("Name:"), "{version} {what}:\n{told}");
            }
        }
        let cidr =
            lab.ok("kubectl get servicecidr kubernetes -o jsonpath='{.spec.cidrs[0]} {.status.conditions[0].type}'");
        assert_eq!(cidr, "10.96.0.0/12 Ready");
        let address = lab.ok("kubectl get ip 10.96.0.1 --no-headers");
        assert!(address.contains("services/default/kubernetes"), "{address}");
        lab.ok("kubectl delete -f objects.yaml --wait=false && kubectl delete hpa web");
    });
}

#[test]
fn quotas_limits_and_rights() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create ns tight");
        lab.ok("kubectl create quota q -n tight --hard=pods=1,configmaps=2,requests.cpu=1");
        lab.until("kubectl get quota q -n tight -o jsonpath={.status.used.configmaps}", |text| text == "1");
        let silent = lab.fails("kubectl run a -n tight --image=nginx");
        assert!(silent.err.contains("failed quota: q: must specify requests.cpu for: a"), "{}", silent.err);
        lab.ok(r#"kubectl create -n tight -f - <<'END'
apiVersion: v1
kind: LimitRange
metadata: {name: l}
spec: {limits: [{type: Container, defaultRequest: {cpu: 100m}, default: {cpu: 200m}}]}
END"#);
        lab.ok("kubectl run a -n tight --image=nginx");
        let second = lab.fails("kubectl run b -n tight --image=nginx");
        let words = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
        assert!(second.err.contains(words), "{}", second.err);
        lab.until(
            "kubectl get quota q -n tight -o jsonpath='{.status.used.pods} {.status.used.requests\\.cpu}'",
            |text| text == "1 100m",
        );
        lab.ok("kubectl delete pod a -n tight");
        lab.until("kubectl get quota q -n tight -o jsonpath={.status.used.pods}", |text| text == "0");

        lab.ok("kubectl create rolebinding v -n tight --clusterrole=view --user=eve");
        let eve = "kubectl --as=eve -n tight";
        assert_eq!(lab.sh(&format!("{eve} auth can-i list deployments")).out.trim(), "yes");
        assert_eq!(lab.sh(&format!("{eve} auth can-i get secrets")).out.trim(), "no");
        let list = lab.ok(&format!("{eve} auth can-i --list"));
        assert!(list.contains("selfsubjectaccessreviews.authorization.k8s.io"), "{list}");
        assert!(
            list.lines().any(|line| line.starts_with("deployments.apps ") && line.contains("[get list watch]")),
            "{list}"
        );
    });
}
