//! All other kinds: one row per refusal, and the fields that are sealed.

use serde_json::{Value, json};

use super::{errors, update_errors};

#[test]
fn other_kinds_are_refused_in_kubernetes_words() {
    let slice = |endpoints: Value| json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": endpoints});
    let ingress = |path: Value| json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [path]}}]}});
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let cases: Vec<(&str, Value, &str)> = vec![
        (
            "ConfigMap",
            json!({"data": {"a/b": "x"}}),
            "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of",
        ),
        (
            "ConfigMap",
            json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        ("Secret", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "eA=="}}), "data[tls.key]: Required value"),
        (
            "Endpoints",
            json!({"subsets": [{}]}),
            "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
        ),
        (
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]}),
            "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        ("EndpointSlice", json!({"endpoints": []}), "addressType: Required value"),
        (
            "EndpointSlice",
            slice(json!([{"addresses": []}])),
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
        (
            "EndpointSlice",
            slice(json!([{"addresses": ["::5"]}])),
            "endpoints[0].addresses: Invalid value: \"::5\": must be an IPv4 address",
        ),
        (
            "EndpointSlice",
            json!({"addressType": "IPv4", "endpoints": [], "ports": [{"port": 1}, {"port": 2}]}),
            "ports[1].name: Duplicate value: \"\"",
        ),
        (
            "Ingress",
            json!({"spec": {}}),
            "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
        ),
        (
            "Ingress",
            ingress(json!({"path": "/", "backend": backend})),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            "Ingress",
            ingress(json!({"path": "a", "pathType": "Prefix", "backend": backend})),
            "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path",
        ),
        (
            "Ingress",
            ingress(json!({"path": "/", "pathType": "Prefix", "backend": {}})),
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
        ),
        (
            "Ingress",
            ingress(json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s"}}})),
            "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
        ),
        (
            "IngressClass",
            json!({"spec": {"controller": "x"}}),
            "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{"from": [{}]}]}}),
            "spec.ingress[0].from[0]: Required value: must specify a peer",
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}}),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "X"}]}}}),
            "spec.podSelector.matchExpressions[0].operator: Invalid value: \"X\": not a valid selector operator",
        ),
        (
            "Lease",
            json!({"spec": {"leaseDurationSeconds": 0}}),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            "Node",
            json!({"spec": {"taints": [{"key": "a", "effect": "X"}]}}),
            "metadata.taints[0].effect: Unsupported value: \"X\"",
        ),
        (
            "Event",
            json!({"involvedObject": {"namespace": "other"}}),
            "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace",
        ),
        (
            "Role",
            json!({"rules": [{"verbs": ["get"], "resources": ["pods"]}]}),
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            "ClusterRoleBinding",
            json!({"roleRef": {"kind": "Role", "name": "r"}}),
            "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
        ),
        (
            "RoleBinding",
            json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "X", "name": "n"}]}),
            "subjects[0].kind: Unsupported value: \"X\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
        ),
    ];
    for (kind, body, wanted) in cases {
        let found = errors(kind, body);
        assert_eq!(found.len(), 1, "{kind} {wanted}: {found:?}");
        assert!(found[0].starts_with(wanted), "{kind} {wanted}: {found:?}");
    }
}

#[test]
fn what_is_sealed_stays() {
    assert_eq!(
        update_errors("ConfigMap", json!({"immutable": true, "data": {"a": "1"}}), json!({"data": {"a": "2"}})),
        [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set"
        ]
    );
    assert_eq!(
        update_errors("Secret", json!({"type": "a"}), json!({"type": "b"})),
        ["type: Invalid value: \"b\": field is immutable"]
    );
    assert_eq!(
        update_errors(
            "EndpointSlice",
            json!({"addressType": "IPv4", "endpoints": []}),
            json!({"addressType": "IPv6", "endpoints": []})
        ),
        ["addressType: Invalid value: \"IPv6\": field is immutable"]
    );
    assert_eq!(
        update_errors(
            "Node",
            json!({"spec": {"podCIDRs": ["10.244.1.0/24"]}}),
            json!({"spec": {"podCIDRs": ["10.244.2.0/24"]}})
        ),
        ["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"]
    );
}
