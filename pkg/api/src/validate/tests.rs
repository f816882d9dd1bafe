//! Each rule's exact words. Objects go through pruning and defaulting first, as in the server.

use serde_json::{Value, json};

use crate::registry::{Row, rows};

fn row(kind: &str) -> &'static Row {
    rows().iter().find(|r| r.kind == kind).expect("a known kind")
}

fn prepare(kind: &str, mut body: Value, old: Option<&Value>) -> Value {
    body["metadata"] = json!({"name": "x", "namespace": "n"});
    let mut object = (row(kind).prune)(&body).expect("types are right");
    (row(kind).default)(&mut object, old);
    object
}

fn errors(kind: &str, body: Value) -> Vec<String> {
    let object = prepare(kind, body, None);
    (row(kind).validate)(&object, None).iter().map(ToString::to_string).collect()
}

fn update_errors(kind: &str, old: Value, new: Value) -> Vec<String> {
    let old = prepare(kind, old, None);
    let new = prepare(kind, new, Some(&old));
    (row(kind).validate)(&new, Some(&old)).iter().map(ToString::to_string).collect()
}

fn service(spec: Value) -> Value {
    let mut whole = json!({"ports": [{"port": 80}]});
    for (key, value) in spec.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    json!({"spec": whole})
}

#[test]
fn services_are_refused_in_kubernetes_words() {
    let cases: Vec<(Value, &str)> = vec![
        (json!({"ports": []}), "spec.ports: Required value"),
        (json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}), "spec.ports[0].name: Required value"),
        (
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}),
            "spec.ports[1].name: Duplicate value: \"a\"",
        ),
        (
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
            "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}",
        ),
        (
            json!({"ports": [{"port": 70000, "targetPort": 80}]}),
            "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"ports": [{"port": 80, "targetPort": 70000}]}),
            "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"ports": [{"port": 80, "targetPort": "a_b"}]}),
            "spec.ports[0].targetPort: Invalid value: \"a_b\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            json!({"ports": [{"port": 80, "protocol": "ICMP"}]}),
            "spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            json!({"ports": [{"port": 80, "nodePort": 30080}]}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "name": "a"}, {"port": 81, "nodePort": 30080, "name": "b"}]}),
            "spec.ports[1].nodePort: Duplicate value: 30080",
        ),
        (
            json!({"type": "Foo"}),
            "spec.type: Unsupported value: \"Foo\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ),
        (
            json!({"sessionAffinity": "X"}),
            "spec.sessionAffinity: Unsupported value: \"X\": supported values: \"ClientIP\", \"None\"",
        ),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}),
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
        ),
        (
            json!({"clusterIP": "None", "type": "NodePort"}),
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
        ),
        (
            json!({"clusterIP": "1.2.3"}),
            "spec.clusterIPs[0]: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.8"]}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.8\"]: first value must match `clusterIP`",
        ),
        (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
        (
            json!({"type": "ExternalName", "externalName": "k8s.io", "clusterIP": "10.96.0.9"}),
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        ),
        (
            json!({"externalIPs": ["127.0.0.1"]}),
            "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            json!({"externalTrafficPolicy": "Local"}),
            "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
        ),
        (
            json!({"type": "NodePort", "externalTrafficPolicy": "X"}),
            "spec.externalTrafficPolicy: Unsupported value: \"X\": supported values: \"Cluster\", \"Local\"",
        ),
        (
            json!({"internalTrafficPolicy": "X"}),
            "spec.internalTrafficPolicy: Unsupported value: \"X\": supported values: \"Cluster\", \"Local\"",
        ),
        (
            json!({"healthCheckNodePort": 30000}),
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
        (
            json!({"loadBalancerClass": "a.io/b"}),
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            json!({"allocateLoadBalancerNodePorts": true}),
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["1.2.3.4/8"]}),
            "spec.LoadBalancerSourceRanges[0]: Invalid value: \"1.2.3.4/8\": must be in canonical form (\"1.0.0.0/8\")",
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        ),
        (
            json!({"ipFamilies": ["IPv6"]}),
            "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
        ),
        (
            json!({"trafficDistribution": "X"}),
            "spec.trafficDistribution: Unsupported value: \"X\": supported values: \"PreferClose\", \"PreferSameNode\", \"PreferSameZone\"",
        ),
        (json!({"selector": {"a b": "c"}}), "spec.selector: Invalid value: \"a b\": name part must consist of"),
    ];
    for (spec, wanted) in cases {
        let found = errors("Service", service(spec));
        assert_eq!(found.len(), 1, "{wanted}: {found:?}");
        assert!(found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
    for good in [
        json!({"clusterIP": "None", "ports": []}),
        json!({"type": "ExternalName", "externalName": "kubernetes.io.", "ports": []}),
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerClass": "a.io/b"}),
        json!({"externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Local"}),
        json!({"ipFamilyPolicy": "PreferDualStack"}),
    ] {
        assert_eq!(errors("Service", service(good.clone())), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn services_change_type_and_keep_their_address() {
    let cluster = json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]});
    assert_eq!(
        update_errors(
            "Service",
            service(cluster.clone()),
            service(json!({"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"]}))
        ),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.8\"]: may not change once set"]
    );
    assert_eq!(
        update_errors("Service", service(cluster.clone()), service(json!({"clusterIP": "10.96.0.8"}))),
        ["spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: first value must match `clusterIP`"]
    );
    for new in [
        json!({}),
        json!({"clusterIP": ""}),
        json!({"type": "NodePort"}),
        json!({"type": "LoadBalancer"}),
        json!({"type": "ExternalName", "externalName": "a.b"}),
        json!({"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
    ] {
        assert_eq!(
            update_errors("Service", service(cluster.clone()), service(new.clone())),
            Vec::<String>::new(),
            "{new}"
        );
    }
    let balancer = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001});
    assert_eq!(
        update_errors(
            "Service",
            service(balancer.clone()),
            service(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30002}))
        ),
        ["spec.healthCheckNodePort: Forbidden: field is immutable"]
    );
    let mut cluster_again = balancer;
    cluster_again["type"] = "ClusterIP".into();
    cluster_again["allocateLoadBalancerNodePorts"] = true.into();
    let old = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001});
    assert_eq!(update_errors("Service", service(old), service(cluster_again)), Vec::<String>::new());
}

fn pod(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    change(&mut pod["spec"]);
    pod
}

#[test]
fn pods_are_refused_in_kubernetes_words() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (|s| s["containers"] = json!([]), "spec.containers: Required value"),
        (|s| s["containers"][0]["name"] = "".into(), "spec.containers[0].name: Required value"),
        (
            |s| s["containers"][0]["name"] = "A".into(),
            "spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label",
        ),
        (|s| s["containers"][0]["image"] = "".into(), "spec.containers[0].image: Required value"),
        (
            |s| s["containers"] = json!([{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]),
            "spec.containers[1].name: Duplicate value: \"c\"",
        ),
        (
            |s| s["containers"][0]["ports"] = json!([{"containerPort": 0}]),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            |s| s["containers"][0]["ports"] = json!([{"containerPort": 1, "protocol": "X"}]),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"X\"",
        ),
        (|s| s["containers"][0]["env"] = json!([{"value": "1"}]), "spec.containers[0].env[0].name: Required value"),
        (
            |s| s["containers"][0]["env"] = json!([{"name": "a", "valueFrom": {}}]),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of",
        ),
        (
            |s| s["containers"][0]["imagePullPolicy"] = "X".into(),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"X\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            |s| s["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/a"}]),
            "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            |s| s["containers"][0]["readinessProbe"] = json!({}),
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
        ),
        (
            |s| s["containers"][0]["livenessProbe"] = json!({"tcpSocket": {"port": 1}, "successThreshold": 2}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            |s| s["restartPolicy"] = "X".into(),
            "spec.restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ),
        (
            |s| s["dnsPolicy"] = "None".into(),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (|s| s["hostname"] = "a.b".into(), "spec.hostname: Invalid value: \"a.b\""),
        (
            |s| s["volumes"] = json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            |s| {
                s["containers"][0]["ports"] =
                    json!([{"containerPort": 1, "hostPort": 8}, {"containerPort": 2, "hostPort": 8}])
            },
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//8\"",
        ),
    ];
    for (change, wanted) in cases {
        let found = errors("Pod", pod(change));
        assert_eq!(found.len(), 1, "{wanted}: {found:?}");
        assert!(found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
}

#[test]
fn a_pods_spec_hardly_changes() {
    let old = prepare("Pod", pod(|_| {}), None);
    let update = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new["spec"]);
        (row("Pod").default)(&mut new, Some(&old));
        (row("Pod").validate)(&new, Some(&old)).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    type Change = fn(&mut Value);
    let allowed: &[Change] = &[
        |s| s["containers"][0]["image"] = "j".into(),
        |s| s["activeDeadlineSeconds"] = 5.into(),
        |s| s["tolerations"][2] = json!({"key": "a", "operator": "Exists"}),
        |s| s["priority"] = Value::Null,
    ];
    for (i, change) in allowed.iter().enumerate() {
        let change = |spec: &mut Value| {
            if i == 2 {
                spec["tolerations"].as_array_mut().expect("defaulted").push(Value::Null);
            }
            change(spec);
        };
        assert_eq!(update(&change), Vec::<String>::new(), "{i}");
    }
    let found = update(&|s| s["hostname"] = "h".into());
    assert!(
        found[0]
            .starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"),
        "{found:?}"
    );
    let mut new = old.clone();
    new["spec"]["tolerations"] = json!([]);
    let found = (row("Pod").validate)(&new, Some(&old));
    assert_eq!(
        found[0].to_string(),
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    );
    let found = update(&|s| s["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]));
    assert!(
        found.contains(&"spec.containers: Forbidden: pod updates may not add or remove containers".to_owned()),
        "{found:?}"
    );
}

fn workload(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    change(&mut object["spec"]);
    object
}

#[test]
fn workloads_are_refused_in_kubernetes_words() {
    for kind in ["Deployment", "ReplicaSet", "DaemonSet"] {
        assert_eq!(errors(kind, workload(|_| {})), Vec::<String>::new(), "{kind}");
        assert_eq!(
            errors(kind, workload(|s| s["template"]["metadata"]["labels"]["a"] = "x".into())),
            [
                "spec.template.metadata.labels: Invalid value: {\"a\":\"x\"}: `selector` does not match template `labels`"
            ]
        );
        let other = workload(|s| {
            s["selector"]["matchLabels"] = json!({"c": "d"});
            s["template"]["metadata"]["labels"]["c"] = "d".into();
        });
        assert_eq!(
            update_errors(kind, workload(|_| {}), other),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"c\":\"d\"}}: field is immutable"]
        );
        let once = workload(|s| s["template"]["spec"]["restartPolicy"] = "Never".into());
        assert_eq!(
            errors(kind, once),
            ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
        );
    }
    assert_eq!(
        errors("Deployment", workload(|s| s["replicas"] = (-1).into())),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert!(
        errors("Deployment", workload(|s| s["selector"] = Value::Null))
            .contains(&"spec.selector: Required value".to_owned())
    );
    let stuck = workload(|s| s["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}));
    assert_eq!(
        errors("Deployment", stuck),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
}

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
