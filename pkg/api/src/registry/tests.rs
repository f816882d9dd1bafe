//! The table itself: names that belong together, columns that fit their cells.

use serde_json::json;

use super::*;
use crate::messages::message;

#[test]
fn rows_are_whole() {
    assert_eq!(rows().len(), 65);
    let now: Timestamp = "2024-01-01T00:00:00Z".parse().expect("a time");
    for row in rows() {
        assert!(message(row.schema).is_some(), "{row:?} has no schema {}", row.schema);
        assert_eq!(row.list_kind, format!("{}List", row.kind));
        assert_eq!(row.schema.rsplit('.').next(), Some(row.kind));
        assert!(row.plural == row.plural.to_lowercase() && !row.singular.is_empty(), "{row:?}");
        assert!(std::ptr::eq(*row, find(row.group, row.version, row.plural).expect("found by plural")));
        assert!(std::ptr::eq(*row, by_kind(row.group, row.version, row.kind).expect("found by kind")));
        let cells = (row.cells)(&json!({"metadata": {"name": "x"}}), now);
        assert_eq!(cells.len(), row.columns.len(), "{row:?}");
        assert!((row.prune)(&json!({"metadata": {"name": "x"}})).is_ok());
        for label in row.field_labels {
            let _: String = (row.field)(&json!({}), label);
        }
    }
    assert!(find("", "v1", "endpoint").is_none());
    assert!(find("apps", "v1", "petsets").is_none());
}

#[test]
fn names_in_messages_and_store() {
    let service = find("", "v1", "services").expect("services");
    assert_eq!((service.resource(), service.api_version()), ("services".into(), "v1".into()));
    let deployment = by_kind("apps", "v1", "Deployment").expect("deployments");
    assert_eq!((deployment.resource(), deployment.api_version()), ("deployments.apps".into(), "apps/v1".into()));
    assert!(deployment.has(Subresource::Scale) && !service.has(Subresource::Scale));
    let events = find("events.k8s.io", "v1", "events").expect("events");
    assert_eq!(events.stored().resource(), "events");
    assert_eq!(service.stored().resource(), "services");
    assert_eq!(find("", "v1", "endpoints").map(|r| r.singular), Some("endpoints"));
}

fn trust_anchor() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate").pem()
}

/// In base64.
fn signing_request() -> String {
    use base64::Engine as _;
    let request = rcgen::CertificateParams::default().serialize_request(&rcgen::KeyPair::generate().expect("a key"));
    base64::engine::general_purpose::STANDARD.encode(request.expect("a request").der())
}

#[test]
fn defaults_are_a_fixpoint_and_pruning_keeps_them() {
    let pod = json!({"containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}}}], "volumes": [{"name": "v"}]});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod});
    let workload = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let bodies = [
        ("Service", json!({"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}})),
        ("Pod", json!({"spec": pod})),
        ("Deployment", json!({"spec": workload})),
        ("ReplicaSet", json!({"spec": workload})),
        ("DaemonSet", json!({"spec": workload})),
        ("NetworkPolicy", json!({"spec": {"podSelector": {}, "egress": [{}]}})),
        ("EndpointSlice", json!({"addressType": "IPv4", "ports": [{}], "endpoints": []})),
        ("Namespace", json!({})),
        ("Secret", json!({"stringData": {"a": "b"}})),
        ("Endpoints", json!({"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}]})),
        ("Ingress", json!({"spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}})),
        ("RoleBinding", json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]})),
    ];
    let once = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": pod["containers"]}});
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let more = [
        ("StatefulSet", {
            let mut spec = workload.clone();
            spec["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim}]);
            spec["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
            json!({"spec": spec})
        }),
        ("ControllerRevision", json!({"revision": 1, "data": {"a": 1}})),
        ("Job", json!({"spec": {"template": once}})),
        (
            "CronJob",
            json!({"spec": {"schedule": "*/5 * * * *", "timeZone": "Europe/Berlin",
            "jobTemplate": {"spec": {"template": once}}}}),
        ),
        ("ReplicationController", json!({"spec": {"template": template}})),
        ("PodTemplate", json!({"template": template})),
        ("ResourceQuota", json!({"spec": {"hard": {"pods": "2", "limits.cpu": "1500m", "count/jobs.batch": "1"}}})),
        (
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}]}}),
        ),
        (
            "PersistentVolume",
            json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"],
            "nfs": {"server": "s", "path": "/p"}}}),
        ),
        ("PersistentVolumeClaim", json!({"spec": claim})),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 3, "behavior": {"scaleUp": {}},
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}}),
        ),
        ("PodDisruptionBudget", json!({"spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}})),
        ("PriorityClass", json!({"value": 1000})),
        ("RuntimeClass", json!({"handler": "runc"})),
        ("ServiceCIDR", json!({"spec": {"cidrs": ["10.0.0.0/24", "2001:db8::/64"]}})),
        ("IPAddress", json!({"spec": {"parentRef": {"resource": "services", "name": "s", "namespace": "n"}}})),
        ("DeviceClass", json!({"spec": {"selectors": [{"cel": {"expression": "true"}}]}})),
        ("DeviceTaintRule", json!({"spec": {"taint": {"key": "k", "effect": "NoSchedule"}}})),
        (
            "ResourceClaim",
            json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "d.example.com"}}]}}}),
        ),
        (
            "ResourceClaimTemplate",
            json!({"spec": {"spec": {"devices": {"requests": [{"name": "r",
            "firstAvailable": [{"name": "a", "deviceClassName": "d.example.com"}]}]}}}}),
        ),
        (
            "ResourceSlice",
            json!({"spec": {"driver": "d.example.com", "nodeName": "n", "devices": [{"name": "gpu-0",
            "taints": [{"key": "k", "effect": "NoExecute"}]}],
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}}),
        ),
        ("ClusterTrustBundle", json!({"spec": {"trustBundle": trust_anchor()}})),
        (
            "PodCertificateRequest",
            json!({"spec": {"signerName": "example.com/s", "podName": "p", "podUID": "1", "serviceAccountName": "s",
            "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "stubPKCS10Request": signing_request()}}),
        ),
        (
            "FlowSchema",
            json!({"spec": {"priorityLevelConfiguration": {"name": "l"}, "rules": [{
            "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "n"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}]}}),
        ),
        (
            "PriorityLevelConfiguration",
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}),
        ),
        (
            "APIService",
            json!({"metadata": {"name": "v1.g"}, "spec": {"group": "g", "version": "v1", "groupPriorityMinimum": 1,
            "versionPriority": 1, "service": {"name": "s", "namespace": "n"}}}),
        ),
        ("StorageVersionMigration", json!({"spec": {"resource": {"group": "g", "resource": "things"}}})),
        ("StorageClass", json!({"provisioner": "example.com/p"})),
        ("VolumeAttributesClass", json!({"driverName": "d.example.com", "parameters": {"a": "b"}})),
        ("CSIDriver", json!({"spec": {}})),
        ("CSINode", json!({"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n1"}]}})),
        ("CSIStorageCapacity", json!({"storageClassName": "fast", "capacity": "1Gi"})),
        (
            "VolumeAttachment",
            json!({"spec": {"attacher": "d.example.com", "nodeName": "n",
            "source": {"persistentVolumeName": "v"}}}),
        ),
    ];
    for (kind, mut body) in bodies.into_iter().chain(more) {
        let row = rows().iter().find(|r| r.kind == kind).expect(kind);
        let name = body["metadata"]["name"].as_str().unwrap_or("x").to_owned();
        body["metadata"] = json!({"name": name, "namespace": "n", "uid": "u"});
        let mut object = (row.prune)(&body).expect(kind);
        (row.default)(&mut object, None);
        let pruned = (row.prune)(&object).expect(kind);
        assert_eq!(pruned, object, "{kind}: defaults survive pruning");
        let mut again = object.clone();
        (row.default)(&mut again, None);
        assert_eq!(again, object, "{kind}: defaulting twice");
        assert_eq!((row.validate)(&object, None), Vec::new(), "{kind}");
        let mut updated = object.clone();
        (row.default)(&mut updated, Some(&object));
        assert_eq!(updated, object, "{kind}: defaulting an unchanged update");
        assert_eq!((row.validate)(&updated, Some(&object)), Vec::new(), "{kind}");
    }
}
