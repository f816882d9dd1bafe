//! Where a request goes: the container that is meant, the address of a pod, service or node. Pure over objects, in
//! Kubernetes' words (registry/core/pod/strategy.go, registry/core/service/storage/storage.go).

use std::net::IpAddr;
use std::sync::Arc;

use minisvc_api::status::Status;
use minisvc_store::{Store, Stored};
use serde_json::Value;

/// An address to forward to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) tls: bool,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// `[scheme:]name[:port]` taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) tls: bool,
    pub(crate) name: &'a str,
    pub(crate) port: &'a str,
}

impl<'a> Target<'a> {
    /// Nothing for a scheme that is neither `http` nor `https`, or an empty name.
    pub(crate) fn parse(text: &'a str) -> Option<Target<'a>> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let known = matches!(scheme, "" | "http" | "https");
        (known && !name.is_empty()).then_some(Target { tls: scheme == "https", name, port })
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn names(list: &Value) -> Vec<&str> {
    items(list).filter_map(|container| container["name"].as_str()).collect()
}

/// The container that is meant: the only one where none is named.
pub(crate) fn container<'a>(pod: &'a Value, named: &'a str) -> Result<&'a str, Status> {
    let spec = &pod["spec"];
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let (apps, inits) = (names(&spec["containers"]), names(&spec["initContainers"]));
    if !named.is_empty() {
        let known =
            apps.contains(&named) || inits.contains(&named) || names(&spec["ephemeralContainers"]).contains(&named);
        return match known {
            true => Ok(named),
            false => Err(Status::bad_request(format!("container {named} is not valid for pod {name}"))),
        };
    }
    match apps[..] {
        [only] => Ok(only),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => {
            let mut text =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", apps.join(" "));
            if !inits.is_empty() {
                text.push_str(&format!(" or one of the init containers: [{}]", inits.join(" ")));
            }
            Err(Status::bad_request(text))
        }
    }
}

/// Where a pod is: the port that is named or numbered, else its first.
pub(crate) fn of_pod(pod: &Value, target: Target<'_>) -> Result<Location, Status> {
    let containers = || items(&pod["spec"]["containers"]).chain(items(&pod["spec"]["initContainers"]));
    let number = |port: &Value| port["containerPort"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = match target.port {
        "" => containers().find_map(|container| number(&container["ports"][0])).unwrap_or(if target.tls {
            443
        } else {
            80
        }),
        text => match text.parse() {
            Ok(port) => port,
            Err(_) => {
                let mut ports = containers().flat_map(|container| items(&container["ports"]));
                ports.find(|port| port["name"] == *text).and_then(number).ok_or_else(|| {
                    Status::service_unavailable(format!("no port named {text:?} found for pod {:?}", target.name))
                })?
            }
        },
    };
    let address = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()).filter(proxyable);
    let address = address.ok_or_else(|| Status::bad_request("address not allowed"))?;
    Ok(Location { tls: target.tls, address, port })
}

/// The EndpointSlices of a service.
pub(crate) fn slices(store: &dyn Store, namespace: &str, service: &str) -> Vec<Arc<Stored>> {
    let mut all = store.list("endpointslices.discovery.k8s.io", Some(namespace)).items;
    all.retain(|slice| slice.value["metadata"]["labels"]["kubernetes.io/service-name"] == *service);
    all
}

/// A slice with those of its endpoints alone that are pods of the namespace, at an address of that pod: a slice is
/// written by whoever may write slices, the proxy reaches pods only (`isValidAddress`). `pod` finds one by its name.
pub(crate) fn of_pods(slice: &Value, namespace: &str, pod: impl Fn(&str) -> Option<Arc<Value>>) -> Value {
    let own = |endpoint: &Value| {
        let target = &endpoint["targetRef"];
        let name = target["name"].as_str().filter(|_| target["namespace"] == namespace);
        let found = name.and_then(&pod);
        found.is_some_and(|pod| items(&pod["status"]["podIPs"]).any(|ip| ip["ip"] == endpoint["addresses"][0]))
    };
    let mut slice = slice.clone();
    if let Some(endpoints) = slice.get_mut("endpoints").and_then(Value::as_array_mut) {
        endpoints.retain(own);
    }
    slice
}

/// The ready endpoints behind a service's port, by its EndpointSlices (apiserver `proxy.RandomEndpoint`).
pub(crate) fn of_service(service: &Value, slices: &[&Value], target: Target<'_>) -> Result<Vec<Location>, Status> {
    let ports: Vec<&Value> = items(&service["spec"]["ports"]).collect();
    let name = match target.port.parse::<u64>() {
        Ok(number) => {
            let found = ports.iter().find(|port| port["port"].as_u64() == Some(number));
            let found = found.ok_or_else(|| {
                Status::service_unavailable(format!("no service port {number} found for service {:?}", target.name))
            })?;
            found["name"].as_str().unwrap_or_default()
        }
        Err(_) => target.port,
    };
    let mut all: Vec<Location> = Vec::new();
    for slice in slices {
        let named = |port: &&Value| port["name"].as_str().unwrap_or_default() == name;
        let number = |port: &Value| port["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let Some(port) = items(&slice["ports"]).filter(named).find_map(number) else { continue };
        let ready = items(&slice["endpoints"]).filter(|endpoint| endpoint["conditions"]["ready"] != false);
        let addresses = ready.filter_map(|endpoint| endpoint["addresses"][0].as_str()?.parse().ok());
        all.extend(addresses.filter(proxyable).map(|address| Location { tls: target.tls, address, port }));
    }
    match all.is_empty() {
        true => Err(Status::service_unavailable(format!("no endpoints available for service {:?}", target.name))),
        false => Ok(all),
    }
}

/// The node's address and its server's port.
pub(crate) fn of_node(node: &Value) -> Option<(IpAddr, u16)> {
    let internal = items(&node["status"]["addresses"]).find(|address| address["type"] == "InternalIP")?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64()?;
    Some((internal["address"].as_str()?.parse().ok()?, u16::try_from(port).ok().filter(|port| *port > 0)?))
}

/// Statuses are written by others: the server's own loopback and link must not be reached through them
/// (apimachinery `proxyutil.IsProxyableIP`).
fn proxyable(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_with_schemes_and_ports() {
        assert_eq!(Target::parse("web"), Some(Target { tls: false, name: "web", port: "" }));
        assert_eq!(Target::parse("web:80"), Some(Target { tls: false, name: "web", port: "80" }));
        assert_eq!(Target::parse("https:web:tls"), Some(Target { tls: true, name: "web", port: "tls" }));
        assert_eq!(Target::parse("http:web:"), Some(Target { tls: false, name: "web", port: "" }));
        assert_eq!((Target::parse("ftp:web:1"), Target::parse(":80"), Target::parse("a:b:c:d")), (None, None, None));
    }

    #[test]
    fn the_container_that_is_meant() {
        let pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let message = |named: &str| container(&pod, named).unwrap_err().message;
        assert_eq!(container(&pod, "b").unwrap(), "b");
        assert_eq!(message(""), "a container name must be specified for pod x, choose one of: [a b]");
        assert_eq!(message("c"), "container c is not valid for pod x");
        let pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}});
        assert_eq!((container(&pod, "").unwrap(), container(&pod, "i").unwrap()), ("a", "i"));
    }

    #[test]
    fn a_pods_port_by_number_by_name_and_first() {
        let pod = json!({
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 8080}, {"name": "m", "containerPort": 9}]}]},
            "status": {"podIP": "10.244.1.2"},
        });
        let port = |text: &str| of_pod(&pod, Target::parse(text).unwrap()).map(|location| location.port);
        assert_eq!((port("p"), port("p:81"), port("p:m")), (Ok(8080), Ok(81), Ok(9)));
        assert_eq!(port("p:none").unwrap_err().code, 503);
        for ip in ["127.0.0.1", "169.254.1.1", ""] {
            let pod = json!({"spec": {"containers": []}, "status": {"podIP": ip}});
            assert_eq!(of_pod(&pod, Target::parse("p").unwrap()).unwrap_err().message, "address not allowed");
        }
    }

    #[test]
    fn a_service_is_reached_at_its_pods_alone() {
        let pod = |name: &str| (name == "p").then(|| Arc::new(json!({"status": {"podIPs": [{"ip": "10.244.1.2"}]}})));
        let to = |name: &str, namespace: &str, ip: &str| json!({"addresses": [ip], "targetRef": {"name": name, "namespace": namespace}});
        let slice = json!({"endpoints": [
            to("p", "n", "10.244.1.2"), to("p", "n", "10.244.9.9"), to("p", "other", "10.244.1.2"), to("q", "n", "10.244.1.2"),
            {"addresses": ["10.244.1.2"]},
        ]});
        assert_eq!(of_pods(&slice, "n", pod)["endpoints"], json!([to("p", "n", "10.244.1.2")]));
    }

    #[test]
    fn a_services_ready_endpoints() {
        let service = json!({"spec": {"ports": [{"name": "http", "port": 80}, {"name": "m", "port": 9}]}});
        let slice = json!({
            "endpoints": [
                {"addresses": ["10.244.1.2"], "conditions": {"ready": true}}, {"addresses": ["10.244.2.2"]},
                {"addresses": ["10.244.3.2"], "conditions": {"ready": false}}, {"addresses": ["127.0.0.1"]},
            ],
            "ports": [{"name": "http", "port": 8080}],
        });
        let places = |text: &str| of_service(&service, &[&slice], Target::parse(text).unwrap());
        assert_eq!(places("s:80").unwrap().len(), 2);
        assert_eq!(places("s:http").unwrap()[1].port, 8080);
        assert_eq!(places("s:81").unwrap_err().message, "no service port 81 found for service \"s\"");
        assert_eq!(places("s:m").unwrap_err().message, "no endpoints available for service \"s\"");
        assert_eq!(places("s").unwrap_err().code, 503);
    }
}
