//! What an object looks like once the server filled it in.

use serde_json::json;

use crate::registry::by_kind;

use super::*;

fn filled(group: &str, kind: &str, body: Value, old: Option<&Value>) -> Value {
    let row = by_kind(group, "v1", kind).expect("a row");
    let mut object = (row.prune)(&body).expect("types are right");
    (row.default)(&mut object, old);
    object
}

#[test]
fn services_of_each_type() {
    let ports = json!([{"port": 80}]);
    let spec = |spec: Value| filled("", "Service", json!({"spec": spec}), None)["spec"].clone();
    assert_eq!(
        spec(json!({"ports": ports, "selector": {"a": "b"}})),
        json!({"ports": [{"protocol": "TCP", "port": 80, "targetPort": 80}], "selector": {"a": "b"}, "type": "ClusterIP",
            "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]})
    );
    let balancer = spec(json!({"ports": ports, "type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
    assert_eq!(balancer["allocateLoadBalancerNodePorts"], true);
    assert_eq!(balancer["externalTrafficPolicy"], "Cluster");
    assert_eq!(balancer["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    let external = spec(json!({"type": "ExternalName", "externalName": "a.b", "selector": {"app": "k8s"}}));
    assert_eq!(
        external,
        json!({"selector": {"app": "k8s"}, "type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"})
    );
    let headless = spec(json!({"clusterIP": "None", "selector": {"a": "b"}}));
    assert_eq!((&headless["clusterIPs"], &headless["ipFamilies"]), (&json!(["None"]), &json!(["IPv4"])));
    let free = spec(json!({"clusterIP": "None"}));
    assert_eq!((&free["ipFamilyPolicy"], &free["ipFamilies"]), (&json!("RequireDualStack"), &json!(["IPv4", "IPv6"])));
    let with_address = spec(json!({"ports": ports, "externalIPs": ["1.2.3.4"]}));
    assert_eq!(with_address["externalTrafficPolicy"], "Cluster");
}

#[test]
fn service_updates_keep_what_was_allocated() {
    let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
        "ports": [{"port": 80, "name": "a", "nodePort": 30080}, {"port": 81, "name": "b", "nodePort": 30081}]}});
    let old = filled("", "Service", old, None);
    let new = json!({"spec": {"type": "NodePort", "ports": [{"port": 8080, "name": "a"}, {"port": 82, "name": "c"}]}});
    let new = filled("", "Service", new, Some(&old));
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.96.0.9"]));
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30080, "found by its name");
    assert!(new["spec"]["ports"][1].get("nodePort").is_none());
    let mut cluster = old.clone();
    cluster["spec"]["type"] = "ClusterIP".into();
    let cluster = filled("", "Service", cluster, Some(&old));
    assert!(cluster["spec"]["ports"][0].get("nodePort").is_none());
    assert!(cluster["spec"].get("externalTrafficPolicy").is_none());
    let mut external = old.clone();
    external["spec"]["type"] = "ExternalName".into();
    external["spec"]["externalName"] = "a.b".into();
    let external = filled("", "Service", external, Some(&old));
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy"] {
        assert!(external["spec"].get(field).is_none(), "{field}");
    }
}

#[test]
fn images_as_volumes_are_pulled_like_those_of_containers() {
    let policy = |reference: &str| {
        let volume = json!({"name": "v", "image": {"reference": reference}});
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "volumes": [volume]});
        filled("", "Pod", json!({ "spec": spec }), None)["spec"]["volumes"][0]["image"]["pullPolicy"].clone()
    };
    assert_eq!(["a", "a:latest", "a:1"].map(policy), ["Always", "Always", "IfNotPresent"]);
}

#[test]
fn pods_and_templates() {
    let spec = json!({"containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]});
    let pod = filled("", "Pod", json!({"spec": spec}), None);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(container["terminationMessagePolicy"], "File");
    assert_eq!(container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}]));
    assert_eq!(container["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(
        container["readinessProbe"],
        json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
        ("enableServiceLinks", json!(true)),
        ("serviceAccountName", json!("default")),
        ("serviceAccount", json!("default")),
    ] {
        assert_eq!(pod["spec"][field], value, "{field}");
    }
    let tolerations: Vec<&str> =
        pod["spec"]["tolerations"].as_array().into_iter().flatten().filter_map(|t| t["key"].as_str()).collect();
    assert_eq!(tolerations, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    let deployment = filled("apps", "Deployment", json!({"spec": {"template": {"spec": spec}}}), None);
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(
        deployment["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(
        (&deployment["spec"]["revisionHistoryLimit"], &deployment["spec"]["progressDeadlineSeconds"]),
        (&json!(10), &json!(600))
    );
    let template = &deployment["spec"]["template"]["spec"];
    assert!(template.get("serviceAccountName").is_none() && template.get("enableServiceLinks").is_none());
    assert_eq!(template["restartPolicy"], "Always");
}

#[test]
fn images_by_tag() {
    for (image, policy) in [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("h:5000/a", "Always"),
        ("h:5000/a:1", "IfNotPresent"),
        ("a@sha256:00", "IfNotPresent"),
    ] {
        let pod = filled("", "Pod", json!({"spec": {"containers": [{"name": "c", "image": image}]}}), None);
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn the_other_kinds() {
    let namespace = filled("", "Namespace", json!({"metadata": {"name": "n"}}), None);
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(
        (&namespace["spec"], &namespace["status"]),
        (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"}))
    );
    let deleting =
        json!({"metadata": {"name": "n", "deletionTimestamp": "2024-01-01T00:00:00Z"}, "status": {"phase": "Active"}});
    assert_eq!(filled("", "Namespace", deleting, None)["status"]["phase"], "Terminating");
    let secret = filled("", "Secret", json!({"stringData": {"b": "x"}, "data": {"a": "eQ=="}}), None);
    assert_eq!((&secret["type"], &secret["data"]), (&json!("Opaque"), &json!({"a": "eQ==", "b": "eA=="})));
    assert!(secret.get("stringData").is_none());
    let slice =
        filled("discovery.k8s.io", "EndpointSlice", json!({"addressType": "IPv4", "ports": [{"port": 80}]}), None);
    assert_eq!(slice["ports"], json!([{"name": "", "protocol": "TCP", "port": 80}]));
    let policy =
        filled("networking.k8s.io", "NetworkPolicy", json!({"spec": {"egress": [{"ports": [{"port": 1}]}]}}), None);
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    let class =
        filled("networking.k8s.io", "IngressClass", json!({"spec": {"parameters": {"kind": "K", "name": "n"}}}), None);
    assert_eq!(class["spec"]["parameters"]["scope"], "Cluster");
}
