//! `kubectl explain` of everything that `api-resources` lists, with kubectl 1.20 (OpenAPI 2 as protobuf) and 1.37
//! (OpenAPI 3): every kind and field has its type, and what upstream says of it. Run through `cargo xtask test`.

mod lab;

use lab::{Lab, tools};

fn clients() -> [(&'static str, String); 2] {
    ["1.20", "1.37"]
        .map(|version| (version, tools().join("bin").join(format!("kubectl-{version}")).display().to_string()))
}

#[test]
fn every_kind_is_explained() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        for (version, kubectl) in clients() {
            // NAME [SHORTNAMES] APIVERSION NAMESPACED KIND
            let listed = lab.ok(&format!("{kubectl} api-resources --no-headers"));
            let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
            assert!(rows.len() >= 40, "{listed}");
            for wanted in [
                ("statefulsets", "apps/v1"),
                ("cronjobs", "batch/v1"),
                ("horizontalpodautoscalers", "autoscaling/v2"),
                ("poddisruptionbudgets", "policy/v1"),
                ("priorityclasses", "scheduling.k8s.io/v1"),
                ("ipaddresses", "networking.k8s.io/v1"),
                ("servicecidrs", "networking.k8s.io/v1"),
                ("csistoragecapacities", "storage.k8s.io/v1"),
                ("runtimeclasses", "node.k8s.io/v1"),
                ("localsubjectaccessreviews", "authorization.k8s.io/v1"),
                ("resourcequotas", "v1"),
            ] {
                let there = rows.iter().any(|row| row[0] == wanted.0 && row[row.len() - 3] == wanted.1);
                assert!(there, "{wanted:?} is not in\n{listed}");
            }
            for row in &rows {
                let (name, group_version) = (row[0], row[row.len() - 3]);
                let text = lab.ok(&format!("{kubectl} explain {name} --api-version={group_version} --recursive"));
                let told = format!("{version} {name} of {group_version}:\n{text}");
                assert!(text.contains("KIND:") && text.contains("VERSION:"), "{told}");
                assert!(text.contains("metadata\t<"), "no metadata: {told}");
                assert!(!text.contains("<empty>"), "not described: {told}");
            }
        }
    });
}

#[test]
fn fields_are_explained_in_full() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let cases = [
            ("pod.spec.containers.ports", "containerPort", "Number of port to expose on the pod's IP address"),
            ("pod.spec.containers.ports", "protocol", "Protocol for port. Must be UDP, TCP, or SCTP."),
            ("statefulset.spec", "serviceName", "serviceName is the name of the service that governs this StatefulSet"),
            ("cronjob.spec", "schedule", "The schedule in Cron format"),
            ("pdb.spec", "maxUnavailable", "an eviction is allowed if at most"),
            ("resourcequota.spec", "hard", "hard is the set of desired hard limits for each named resource"),
            ("limitrange.spec.limits", "maxLimitRequestRatio", "MaxLimitRequestRatio if specified"),
            ("ipaddress.spec", "parentRef", "parentRef references the resource that an IPAddress is attached to"),
            ("priorityclass", "globalDefault", "globalDefault specifies whether this PriorityClass"),
            ("pvc.spec", "accessModes", "accessModes contains the desired access modes the volume should have"),
        ];
        for (version, kubectl) in clients() {
            for (path, field, words) in cases {
                // Words are wrapped where the terminal ends.
                let text = lab.ok(&format!("{kubectl} explain {path}"));
                let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.contains(&format!("{field} <")), "{version} {path}.{field}:\n{text}");
                assert!(flat.contains(words), "{version} {path}.{field}:\n{text}");
            }
        }
        let old = lab.ok("kubectl explain hpa --api-version=autoscaling/v1 --recursive");
        assert!(old.contains("targetCPUUtilizationPercentage"), "{old}");
        let new = lab.ok("kubectl explain hpa.spec.metrics.resource.target");
        assert!(new.contains("averageUtilization"), "{new}");
    });
}
