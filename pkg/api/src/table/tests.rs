//! Cells as kubectl prints them, and the frame of a Table.

use serde_json::json;

use super::*;
use crate::registry::by_kind;

fn now() -> Timestamp {
    "2024-01-01T01:00:00Z".parse().expect("a time")
}

fn cells(group: &str, kind: &str, mut object: Value) -> Vec<String> {
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    object["metadata"]["name"] = "x".into();
    object["metadata"]["creationTimestamp"] = "2024-01-01T00:58:55Z".into();
    let row = by_kind(group, "v1", kind).expect("a row");
    (row.cells)(&object, now())
        .into_iter()
        .map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
        .collect()
}

#[test]
fn services_as_the_lesson_shows_them() {
    let ports = json!([{"port": 80, "protocol": "TCP"}]);
    let cases = [
        (
            json!({"type": "ClusterIP", "clusterIPs": ["10.97.1.18"], "ports": ports}),
            ["ClusterIP", "10.97.1.18", "<none>", "80/TCP"],
        ),
        (
            json!({"type": "ClusterIP", "clusterIPs": ["10.97.1.20"], "externalIPs": ["1.2.3.4"], "ports": ports}),
            ["ClusterIP", "10.97.1.20", "1.2.3.4", "80/TCP"],
        ),
        (json!({"type": "ClusterIP", "clusterIPs": ["None"]}), ["ClusterIP", "None", "<none>", "<none>"]),
        (
            json!({"type": "ExternalName", "externalName": "kubernetes.io"}),
            ["ExternalName", "<none>", "kubernetes.io", "<none>"],
        ),
        (
            json!({"type": "LoadBalancer", "clusterIPs": ["10.97.1.24"], "ports": [{"port": 80, "nodePort": 30024, "protocol": "TCP"}]}),
            ["LoadBalancer", "10.97.1.24", "<pending>", "80:30024/TCP"],
        ),
        (
            json!({"type": "NodePort", "clusterIPs": ["10.97.1.23"], "ports": [{"port": 53, "nodePort": 30023, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}]}),
            ["NodePort", "10.97.1.23", "<none>", "53:30023/UDP,80/TCP"],
        ),
    ];
    for (spec, wanted) in cases {
        let found = cells("", "Service", json!({"spec": spec}));
        assert_eq!(found[1..5], wanted);
        assert_eq!((found[5].as_str(), found[6].as_str()), ("65s", "<none>"));
    }
    let balancer = json!({"spec": {"type": "LoadBalancer", "selector": {"b": "2", "a": "1"}, "externalIPs": ["9.9.9.9"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}});
    let found = cells("", "Service", balancer);
    assert_eq!((found[3].as_str(), found[6].as_str()), ("203.0.113.1,9.9.9.9", "a=1,b=2"));
}

#[test]
fn endpoints_are_cut_to_three() {
    let addresses: Vec<Value> = (1..=10).map(|n| json!({"ip": format!("10.244.1.{n}")})).collect();
    let object = json!({"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
    assert_eq!(cells("", "Endpoints", object)[1], "10.244.1.1:80,10.244.1.2:80,10.244.1.3:80 + 7 more...");
    assert_eq!(cells("", "Endpoints", json!({}))[1], "<none>");
    let headless = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]});
    assert_eq!(cells("", "Endpoints", headless)[1], "10.0.0.1");
    let slice = json!({"addressType": "IPv4", "ports": [{"name": "", "port": 80}],
        "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}, {"addresses": ["1.1.1.3"]}, {"addresses": ["1.1.1.4"]}]});
    assert_eq!(
        cells("discovery.k8s.io", "EndpointSlice", slice)[1..4],
        ["IPv4", "80", "1.1.1.1,1.1.1.2,1.1.1.3 + 1 more..."]
    );
    assert_eq!(cells("discovery.k8s.io", "EndpointSlice", json!({}))[2..4], ["<unset>", "<unset>"]);
}

#[test]
fn pods_in_every_state() {
    let container = |state: Value| json!([{"name": "c", "restartCount": 0, "ready": false, "state": state}]);
    let cases = [
        ("pending", json!({"phase": "Pending"}), ["0/1", "Pending", "0"]),
        (
            "creating",
            json!({"phase": "Pending", "containerStatuses": container(json!({"waiting": {"reason": "ContainerCreating"}}))}),
            ["0/1", "ContainerCreating", "0"],
        ),
        (
            "running",
            json!({"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 0, "state": {"running": {}}}]}),
            ["1/1", "Running", "0"],
        ),
        (
            "restarted",
            json!({"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2024-01-01T00:55:00Z"}}}]}),
            ["1/1", "Running", "2 (5m ago)"],
        ),
        (
            "crashing",
            json!({"phase": "Running", "containerStatuses": [{"ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            ["0/1", "CrashLoopBackOff", "3"],
        ),
        (
            "exit code",
            json!({"phase": "Failed", "containerStatuses": container(json!({"terminated": {"exitCode": 3}}))}),
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            "signal",
            json!({"phase": "Failed", "containerStatuses": container(json!({"terminated": {"exitCode": 137, "signal": 9}}))}),
            ["0/1", "Signal:9", "0"],
        ),
        (
            "completed",
            json!({"phase": "Succeeded", "containerStatuses": container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))}),
            ["0/1", "Completed", "0"],
        ),
        (
            "init",
            json!({"phase": "Pending", "initContainerStatuses": [{"restartCount": 0, "state": {"running": {}}}]}),
            ["0/1", "Init:0/2", "0"],
        ),
        (
            "init failed",
            json!({"phase": "Pending", "initContainerStatuses": [{"restartCount": 1, "state": {"terminated": {"exitCode": 2}}}]}),
            ["0/1", "Init:ExitCode:2", "1"],
        ),
        ("evicted", json!({"phase": "Failed", "reason": "Evicted"}), ["0/1", "Evicted", "0"]),
    ];
    for (name, status, wanted) in cases {
        let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let found = cells("", "Pod", json!({"spec": spec, "status": status}));
        assert_eq!(found[1..4], wanted, "{name}");
    }
    let going = json!({"metadata": {"deletionTimestamp": "t"}, "spec": {"containers": [{}], "nodeName": "node1"}, "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}});
    assert_eq!(
        cells("", "Pod", going)[1..],
        ["0/1", "Terminating", "0", "65s", "10.0.0.1", "node1", "<none>", "<none>"]
    );
}

#[test]
fn the_remaining_kinds() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}});
    let deployment = json!({"spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template}, "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}});
    assert_eq!(cells("apps", "Deployment", deployment.clone())[1..], ["1/3", "2", "1", "65s", "a,b", "i,j", "app=x"]);
    assert_eq!(cells("apps", "ReplicaSet", deployment)[1..], ["3", "0", "1", "65s", "a,b", "i,j", "app=x"]);
    assert_eq!(
        cells("apps", "DaemonSet", json!({"status": {"desiredNumberScheduled": 3}}))[1..8],
        ["3", "0", "0", "0", "0", "<none>", "65s"]
    );
    let node = json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}, "spec": {"unschedulable": true}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "172.30.0.11"}],
        "nodeInfo": {"kubeletVersion": "v1.37.0", "kernelVersion": "6.1", "architecture": "amd64"}}});
    assert_eq!(
        cells("", "Node", node)[1..],
        [
            "Ready,SchedulingDisabled",
            "worker",
            "65s",
            "v1.37.0",
            "172.30.0.11",
            "<none>",
            "<unknown>",
            "6.1 (amd64)",
            "<unknown>"
        ]
    );
    assert_eq!(cells("", "Node", json!({}))[1..3], ["Unknown", "<none>"]);
    let event = json!({"type": "Normal", "reason": "Pulled", "message": " m\n", "count": 2, "involvedObject": {"kind": "Pod", "name": "p"},
        "source": {"component": "kubelet", "host": "node1"}, "firstTimestamp": "2024-01-01T00:50:00Z", "lastTimestamp": "2024-01-01T00:59:50Z"});
    assert_eq!(
        cells("", "Event", event),
        ["10s", "Normal", "Pulled", "pod/p", "", "kubelet, node1", "m", "10m", "2", "x"]
    );
    let ingress = json!({"spec": {"ingressClassName": "c", "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}], "tls": [{}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
    assert_eq!(
        cells("networking.k8s.io", "Ingress", ingress)[1..],
        ["c", "a,b,c + 1 more...", "1.2.3.4", "80, 443", "65s"]
    );
    assert_eq!(
        cells("networking.k8s.io", "Ingress", json!({"spec": {"rules": [{}]}}))[1..5],
        ["<none>", "*", "", "80"]
    );
    let class = json!({"metadata": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}, "spec": {"controller": "a.io/b", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}});
    assert_eq!(cells("networking.k8s.io", "IngressClass", class), ["x (default)", "a.io/b", "K.g/n", "65s"]);
    assert_eq!(cells("networking.k8s.io", "NetworkPolicy", json!({"spec": {"podSelector": {}}}))[1], "<none>");
    assert_eq!(cells("", "ConfigMap", json!({"data": {"a": "1"}, "binaryData": {"b": ""}}))[1], "2");
    assert_eq!(cells("", "Secret", json!({"type": "Opaque", "data": {"a": ""}}))[1..3], ["Opaque", "1"]);
    assert_eq!(cells("coordination.k8s.io", "Lease", json!({"spec": {"holderIdentity": "h"}}))[1], "h");
    assert_eq!(cells("rbac.authorization.k8s.io", "Role", json!({}))[1], "2024-01-01T00:58:55Z");
    let binding = json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "User", "name": "u"}]});
    assert_eq!(cells("rbac.authorization.k8s.io", "RoleBinding", binding)[1..], ["Role/r", "65s", "u", "", "n/s"]);
}

#[test]
fn the_frame() {
    let row = by_kind("", "v1", "ConfigMap").expect("a row");
    let object = json!({"kind": "ConfigMap", "metadata": {"name": "x", "resourceVersion": "7"}, "data": {}});
    let first = single(row, &object, IncludeObject::Metadata, true, now());
    assert_eq!(first["metadata"], json!({"resourceVersion": "7"}));
    assert_eq!(first["columnDefinitions"][0]["format"], "name");
    assert_eq!(
        first["rows"][0]["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
    );
    let later = single(row, &object, IncludeObject::Object, false, now());
    assert_eq!((&later["columnDefinitions"], &later["rows"][0]["object"]), (&Value::Null, &object));
    let none = table(row, [&object], json!({"resourceVersion": "9"}), IncludeObject::None, true, now());
    assert_eq!((&none["rows"][0]["object"], &none["kind"]), (&Value::Null, &json!("Table")));
    let pods = by_kind("", "v1", "Pod").expect("a row");
    let done = table_row(pods, &json!({"metadata": {}, "status": {"phase": "Succeeded"}}), IncludeObject::None, now());
    assert_eq!(done["conditions"][0]["reason"], "Succeeded");
    assert_eq!(IncludeObject::parse("Foo"), None);
}
