//! The environment on values.

use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": "p", "namespace": "shop", "uid": "u1", "labels": {"app": "blue"}},
        "spec": {"containers": []}}),
    )
    .unwrap()
}

fn facts() -> Facts {
    Facts { pod_ip: "10.244.1.2".into(), host_ip: "172.30.0.11".into(), node_name: "node1".into() }
}

fn run(container: serde_json::Value, services: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
    let container: Container = serde_json::from_value(container).unwrap();
    let mut sources = Sources::default();
    let map = json!({"metadata": {"name": "conf", "namespace": "shop"}, "data": {"a": "1", "b": "2"}});
    sources.config_maps.insert("conf".into(), serde_json::from_value(map).unwrap());
    sources.config_maps.insert("gone".into(), None);
    let secret = json!({"metadata": {"name": "hush", "namespace": "shop"}, "data": {"key": "c2VjcmV0"}});
    sources.secrets.insert("hush".into(), serde_json::from_value(secret).unwrap());
    let services = services.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Ok(variables(&pod(), &container, services, &sources, &facts())?.into_iter().collect())
}

#[test]
fn expansion_is_kubernetes() {
    let value = |name: &str| (name == "A").then(|| "x".to_owned());
    for (text, expected) in [
        ("$(A)", "x"),
        ("a-$(A)-$(B)", "a-x-$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$x"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("", ""),
    ] {
        assert_eq!(expand(text, value), expected, "{text}");
    }
}

#[test]
fn own_variables_see_earlier_ones_and_services_and_win_over_them() {
    let found = run(
        json!({"name": "c", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(HOST)$(LATER)"}, {"name": "LATER", "value": "x"},
            {"name": "PORT", "value": "mine"}, {"name": "EMPTY"}]}),
        &[("HOST", "h"), ("PORT", "theirs")],
    )
    .unwrap();
    assert_eq!(found["B"], "1h$(LATER)");
    assert_eq!(found["PORT"], "mine");
    assert_eq!(found["HOST"], "h");
    assert_eq!(found["EMPTY"], "");
}

#[test]
fn sources_are_read() {
    let found = run(
        json!({"name": "c",
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "conf"}}, {"configMapRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "b"}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "hush", "key": "key"}}},
                {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "b", "optional": true}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}]}),
        &[],
    )
    .unwrap();
    for (name, value) in
        [("P_a", "1"), ("K", "2"), ("S", "secret"), ("IP", "10.244.1.2"), ("L", "blue"), ("CPU", "2"), ("MEM", "64")]
    {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!found.contains_key("O"));
}

#[test]
fn missing_sources_are_named_as_kubelet_does() {
    let reference = |name: &str, key: &str| json!({"name": "c", "env": [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}]});
    assert_eq!(run(reference("gone", "k"), &[]).unwrap_err(), "configmap \"gone\" not found");
    assert_eq!(run(reference("conf", "k"), &[]).unwrap_err(), "couldn't find key k in ConfigMap shop/conf");
}

#[test]
fn service_variables_follow_docker_links() {
    let service: Service = serde_json::from_value(json!({"metadata": {"name": "kube-dns"}, "spec": {
        "clusterIP": "10.96.0.10", "ports": [{"name": "dns", "protocol": "UDP", "port": 53}, {"port": 9153}]}}))
    .unwrap();
    let address = ServiceAddress::of(&service).unwrap();
    let all: BTreeMap<_, _> = service_variables([&address].into_iter()).into_iter().collect();
    for (name, value) in [
        ("KUBE_DNS_SERVICE_HOST", "10.96.0.10"),
        ("KUBE_DNS_SERVICE_PORT", "53"),
        ("KUBE_DNS_SERVICE_PORT_DNS", "53"),
        ("KUBE_DNS_PORT", "udp://10.96.0.10:53"),
        ("KUBE_DNS_PORT_9153_TCP", "tcp://10.96.0.10:9153"),
        ("KUBE_DNS_PORT_9153_TCP_PROTO", "tcp"),
        ("KUBE_DNS_PORT_53_UDP_ADDR", "10.96.0.10"),
        ("KUBE_DNS_PORT_53_UDP_PORT", "53"),
    ] {
        assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
    }
    let headless: Service =
        serde_json::from_value(json!({"metadata": {"name": "h"}, "spec": {"clusterIP": "None"}})).unwrap();
    assert_eq!(ServiceAddress::of(&headless), None);
}
