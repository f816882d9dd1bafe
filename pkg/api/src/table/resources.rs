//! Cells of Services, endpoints and the remaining kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::workloads::{pairs, selector};
use super::{age, items, name, number, or, text};
use crate::time;

/// How many addresses, ports or hosts a cell lists before `+ N more...`.
const MOST: usize = 3;

/// Cells of a Service.
pub fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let cluster_ip = or(text(object, "/spec/clusterIPs/0"), text(object, "/spec/clusterIP"));
    let ports: Vec<String> = items(object, "/spec/ports")
        .iter()
        .map(|port| {
            let (number_, protocol) = (number(port, "/port"), or(text(port, "/protocol"), "TCP"));
            match number(port, "/nodePort") {
                0 => format!("{number_}/{protocol}"),
                node => format!("{number_}:{node}/{protocol}"),
            }
        })
        .collect();
    vec![
        name(object),
        text(object, "/spec/type").into(),
        or(cluster_ip, "<none>").into(),
        external_ip(object).into(),
        or(&ports.join(","), "<none>").into(),
        age(object, now),
        pairs(&object["spec"]["selector"]).into(),
    ]
}

fn external_ip(object: &Value) -> String {
    let external: Vec<String> =
        items(object, "/spec/externalIPs").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    match text(object, "/spec/type") {
        "ExternalName" => text(object, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let mut all = load_balancer(object);
            all.extend(external);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ClusterIP" | "NodePort" => or(&external.join(","), "<none>").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses or host names that a load balancer wrote into the status, sorted.
fn load_balancer(object: &Value) -> Vec<String> {
    let mut all: Vec<String> = items(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|i| or(text(i, "/ip"), text(i, "/hostname")).to_owned())
        .filter(|a| !a.is_empty())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The first three, and how many more.
fn few(all: &[String], none: &str) -> String {
    match all.len() {
        0 => none.to_owned(),
        n if n <= MOST => all.join(","),
        n => format!("{} + {} more...", all[..MOST].join(","), n - MOST),
    }
}

fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Cells of Endpoints.
pub fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in items(object, "/subsets") {
        let addresses = || items(subset, "/addresses").iter().map(|a| text(a, "/ip"));
        let ports = items(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            all.extend(addresses().map(|a| host_port(a, number(port, "/port"))));
        }
    }
    let none = if items(object, "/subsets").is_empty() { "<none>" } else { "" };
    vec![name(object), few(&all, none).into(), age(object, now)]
}

/// Cells of an EndpointSlice.
pub fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(object, "/ports")
        .iter()
        .map(|p| match p["port"].as_i64() {
            Some(port) => port.to_string(),
            None => p["name"].as_str().unwrap_or("*").to_owned(),
        })
        .collect();
    let addresses: Vec<String> = items(object, "/endpoints")
        .iter()
        .flat_map(|e| items(e, "/addresses"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    vec![
        name(object),
        text(object, "/addressType").into(),
        few(&ports, "<unset>").into(),
        few(&addresses, "<unset>").into(),
        age(object, now),
    ]
}

/// Cells of a Node.
pub fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = items(object, "/status/conditions").iter().find(|c| c["type"] == "Ready");
    let mut status = match ready {
        Some(c) if c["status"] == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.push(value.as_str().unwrap_or(""));
        }
    }
    roles.retain(|r| !r.is_empty());
    roles.sort_unstable();
    roles.dedup();
    let address = |kind: &str| {
        let found = items(object, "/status/addresses").iter().find(|a| a["type"] == kind);
        found.map_or("<none>", |a| text(a, "/address")).to_owned()
    };
    let mut kernel = or(text(object, "/status/nodeInfo/kernelVersion"), "<unknown>").to_owned();
    let architecture = text(object, "/status/nodeInfo/architecture");
    if !architecture.is_empty() {
        kernel.push_str(&format!(" ({architecture})"));
    }
    vec![
        name(object),
        status.into(),
        or(&roles.join(","), "<none>").into(),
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        or(text(object, "/status/nodeInfo/osImage"), "<unknown>").into(),
        kernel.into(),
        or(text(object, "/status/nodeInfo/containerRuntimeVersion"), "<unknown>").into(),
    ]
}

/// Cells of a Namespace.
pub fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), age(object, now)]
}

/// Cells of an Event (core/v1).
pub fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let at = |pointer: &str| object.pointer(pointer).and_then(time::of);
    let first = time::age(at("/firstTimestamp").or_else(|| at("/eventTime")), now);
    let (last, count) = if object["series"].is_object() {
        (time::age(at("/series/lastObservedTime"), now), number(object, "/series/count"))
    } else {
        let last = at("/lastTimestamp").map_or_else(|| first.clone(), |t| time::age(Some(t), now));
        (last, number(object, "/count").max(1))
    };
    let kind = text(object, "/involvedObject/kind").to_lowercase();
    let target = match text(object, "/involvedObject/name") {
        "" => kind,
        own => format!("{kind}/{own}"),
    };
    let component = or(text(object, "/source/component"), text(object, "/reportingComponent"));
    let instance = or(text(object, "/source/host"), text(object, "/reportingInstance"));
    let source = if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") };
    vec![
        last.into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        target.into(),
        text(object, "/involvedObject/fieldPath").into(),
        source.into(),
        text(object, "/message").trim().into(),
        first.into(),
        count.into(),
        name(object),
    ]
}

/// Cells of an Ingress.
pub fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let rules = items(object, "/spec/rules");
    let named: Vec<&str> = rules.iter().take(MOST).map(|r| text(r, "/host")).filter(|h| !h.is_empty()).collect();
    let hosts = match named.len() {
        0 => "*".to_owned(),
        _ if rules.len() > MOST => format!("{} + {} more...", named.join(","), rules.len() - MOST),
        _ => named.join(","),
    };
    vec![
        name(object),
        object["spec"]["ingressClassName"].as_str().unwrap_or("<none>").into(),
        hosts.into(),
        load_balancer(object).join(",").into(),
        if items(object, "/spec/tls").is_empty() { "80" } else { "80, 443" }.into(),
        age(object, now),
    ]
}

/// Cells of an IngressClass.
pub fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut own = text(object, "/metadata/name").to_owned();
    if object["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true" {
        own.push_str(" (default)");
    }
    let parameters = &object["spec"]["parameters"];
    let shown = if parameters.is_object() {
        let group = parameters["apiGroup"].as_str().map(|g| format!(".{g}")).unwrap_or_default();
        format!("{}{group}/{}", text(parameters, "/kind"), text(parameters, "/name"))
    } else {
        "<none>".to_owned()
    };
    vec![own.into(), text(object, "/spec/controller").into(), shown.into(), age(object, now)]
}

/// Cells of a NetworkPolicy.
pub fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), selector(object, "/spec/podSelector").into(), age(object, now)]
}

/// Cells of a ConfigMap.
pub fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = |field: &str| object[field].as_object().map_or(0, |m| m.len());
    vec![name(object), (count("data") + count("binaryData")).into(), age(object, now)]
}

/// Cells of a Secret.
pub fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = object["data"].as_object().map_or(0, |m| m.len());
    vec![name(object), text(object, "/type").into(), count.into(), age(object, now)]
}

/// Cells of a Lease.
pub fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/spec/holderIdentity").into(), age(object, now)]
}

/// Cells of kinds that show nothing else.
pub fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

/// Cells of kinds without a printer of their own: the time of creation instead of an age.
pub fn created_at(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/metadata/creationTimestamp").into()]
}
