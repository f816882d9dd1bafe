//! Services: each refusal in its words, and what an update may change.

use serde_json::{Value, json};

use super::{errors, update_errors};

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
            "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,",
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
